use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _};

use super::*;
use crate::base::limits::{SOURCE_REREAD_MIN, SOURCE_REREAD_REFUSED_MIN};
use crate::base::time::ManualClock;
use crate::base::{Code, Coded as _, SystemClock, Timestamp};
use crate::fleet::{Secret, SourceSecrets as _, Variables};

fn resolver() -> SecretResolver {
    SecretResolver::new(Variables::Fixed([("PW".to_owned(), Secret::new("p@ss"))].into()))
}

fn entry(id: &str, url: &str) -> Entry {
    Entry { id: TenantId::new(id).unwrap(), url: url.into(), schema: None, labels: BTreeMap::new() }
}

async fn read(source: &Source, base_dir: &Path) -> Result<Vec<Tenant>, FleetError> {
    source.read(&resolver(), base_dir).await
}

/// A catalog in a folder of its own.
async fn catalog(sql: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    run(&dir, sql).await;
    dir
}

async fn run(dir: &tempfile::TempDir, sql: &str) {
    let options = SqliteConnectOptions::new().filename(dir.path().join("catalog.db")).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn query(sql: &str, url: Option<&str>) -> Source {
    Source::Query { sql: sql.to_owned(), on: "sqlite:catalog.db".into(), url: url.map(SourceUrl::from) }
}

const TENANTS: &str = "CREATE TABLE tenants (id, url, plan TEXT, seats INTEGER, region TEXT, password TEXT);
    INSERT INTO tenants VALUES ('globex', 'postgres://app:hunter2@db/globex', 'pro', 7, NULL, 'hunter2'),
                               (12, 'postgres://app:${env:PW}@db/t12', 'free', 1, 'eu', 'x')";

#[tokio::test]
async fn a_catalog_query_gives_tenants_sorted_by_id_with_labels_of_every_type_and_no_password() {
    let dir = catalog(TENANTS).await;
    let source = query("SELECT *, seats > 5 AS large FROM tenants", None);
    let tenants = read(&source, dir.path()).await.unwrap();
    let ids: Vec<_> = tenants.iter().map(|tenant| tenant.id.as_str()).collect();
    assert_eq!(ids, ["12", "globex"]);
    let labels: Vec<_> = tenants[1].labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("large", "1"), ("plan", "pro"), ("seats", "7")], "a NULL is no label");
    assert!(!serde_json::to_string(&tenants).unwrap().contains("hunter2"));
}

#[tokio::test]
async fn a_clear_password_is_looked_up_again_and_a_tenant_born_later_is_found() {
    let dir = catalog(TENANTS).await;
    let source = query("SELECT id, url FROM tenants", None);
    let clock = Arc::new(ManualClock::at(Timestamp(0)));
    let secrets = RereadSource::new(source.clone(), resolver(), dir.path().to_owned(), clock.clone());
    let globex = TenantId::new("globex").unwrap();
    assert_eq!(secrets.password(&globex).await.unwrap().expose(), "hunter2");

    run(&dir, "INSERT INTO tenants (id, url) VALUES ('late', 'postgres://app:s3cond@db/late')").await;
    let late = TenantId::new("late").unwrap();
    let error = secrets.password(&late).await.unwrap_err();
    assert_eq!(error.code(), Code::SecretUnresolved, "the source is not read for every miss");
    clock.advance(SOURCE_REREAD_MIN);
    assert_eq!(secrets.password(&late).await.unwrap().expose(), "s3cond");

    let tenants = read(&source, dir.path()).await.unwrap();
    let resolver = resolver().with_source(Arc::new(secrets));
    assert_eq!(resolver.resolve(&tenants[0]).await.unwrap().expose(), "postgres://app:p%40ss@db/t12");
    assert_eq!(resolver.resolve(&tenants[1]).await.unwrap().expose(), "postgres://app:hunter2@db/globex");
}

#[tokio::test]
async fn tenants_that_are_refused_at_once_all_get_the_password_that_was_changed() {
    let dir = catalog(
        "CREATE TABLE tenants (id, url);
         INSERT INTO tenants VALUES ('a', 'postgres://app:first@db/a'), ('b', 'postgres://app:first@db/b')",
    )
    .await;
    let source = query("SELECT id, url FROM tenants", None);
    let clock = Arc::new(ManualClock::at(Timestamp(0)));
    let secrets = Arc::new(RereadSource::new(source.clone(), resolver(), dir.path().to_owned(), clock.clone()));
    let tenants = read(&source, dir.path()).await.unwrap();
    let resolver = resolver().with_source(secrets);
    let (one, two) = (resolver.resolve(&tenants[0]).await.unwrap(), resolver.resolve(&tenants[1]).await.unwrap());

    run(&dir, "UPDATE tenants SET url = replace(url, 'first', 'second')").await;
    assert!(resolver.other_than(&tenants[0], &one).await.is_none(), "the source was asked just now");
    clock.advance(SOURCE_REREAD_REFUSED_MIN);
    let now = resolver.other_than(&tenants[0], &one).await.unwrap();
    assert_eq!(now.expose(), "postgres://app:second@db/a");
    assert_eq!(resolver.other_than(&tenants[1], &two).await.unwrap().expose(), "postgres://app:second@db/b");
    clock.advance(SOURCE_REREAD_REFUSED_MIN);
    assert!(resolver.other_than(&tenants[0], &now).await.is_none(), "there is no other one");

    // The catalog goes away: what is known is still given, and it is not asked by everyone.
    std::fs::remove_file(dir.path().join("catalog.db")).unwrap();
    clock.advance(SOURCE_REREAD_MIN);
    assert!(resolver.other_than(&tenants[0], &now).await.is_none());
    assert_eq!(resolver.resolve(&tenants[0]).await.unwrap().expose(), now.expose());
}

#[tokio::test]
async fn a_template_makes_the_url_from_columns_and_keeps_the_password_column_out_of_the_labels() {
    let dir = catalog(
        "CREATE TABLE t (id, host, port, db, pw, schema);
         INSERT INTO t VALUES (1, 'db-3', 5433, 'a/b', 'hunter@2', 'tenant_1')",
    )
    .await;
    let source = query("SELECT * FROM t", Some("postgres://app:{pw}@{host}:{port}/{db}?sslmode=require"));
    let tenants = read(&source, dir.path()).await.unwrap();
    let target = &tenants[0].target;
    assert_eq!(target.url.as_str(), "postgres://app:${source}@db-3:5433/a%2Fb?sslmode=require");
    assert_eq!(target.schema.as_deref(), Some("tenant_1"));
    assert_eq!(tenants[0].labels.keys().collect::<Vec<_>>(), ["db", "host", "port"]);
    let secrets = RereadSource::new(source, resolver(), dir.path().to_owned(), Arc::new(SystemClock));
    assert_eq!(secrets.password(&tenants[0].id).await.unwrap().expose(), "hunter@2");

    let error = read(&query("SELECT id FROM t", Some("postgres://{host}/x")), dir.path()).await.unwrap_err();
    assert!(error.to_string().contains("row 1: the url needs {host}"), "{error}");
}

#[tokio::test]
async fn a_catalog_that_cannot_be_read_says_why() {
    let dir = catalog(TENANTS).await;
    let table = [
        ("SELECT id FROM tenants", "no column \"url\"; it gives id"),
        ("SELECT NULL AS id, url FROM tenants", "row 1: its id is NULL"),
        ("SELECT id, NULL AS url FROM tenants", "row 1: the url of tenant globex is NULL"),
        ("SELECT id, url, plan AS id FROM tenants", "two columns of one name"),
        ("SELECT id, url, x'ff' AS raw FROM tenants", "\"raw\" holds a value that is not UTF-8 text"),
        ("SELEC", "syntax error"),
        ("DELETE FROM tenants", "readonly"),
    ];
    for (sql, expected) in table {
        let error = read(&query(sql, None), dir.path()).await.unwrap_err();
        assert_eq!(error.code(), Code::SourceFailed, "{sql}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let nowhere = tempfile::tempdir().unwrap();
    assert_eq!(read(&query("SELECT 1", None), nowhere.path()).await.unwrap_err().code(), Code::SourceFailed);
    assert!(!nowhere.path().join("catalog.db").exists(), "reading creates nothing");
    let empty = query("SELECT id, url FROM tenants WHERE 0", None);
    assert_eq!(read(&empty, dir.path()).await.unwrap_err().code(), Code::FleetEmpty);
}

#[tokio::test]
async fn every_file_of_a_glob_is_a_tenant_and_the_companions_of_sqlite_are_not() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["acme.db", "acme.db-wal", "b${x}%.db"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    let source = Source::Glob { pattern: "*.db*".to_owned(), url: None };
    let tenants = read(&source, dir.path()).await.unwrap();
    assert_eq!(tenants.iter().map(|tenant| tenant.id.as_str()).collect::<Vec<_>>(), ["acme", "b${x}%"]);
    let resolved = resolver().resolve(&tenants[1]).await.unwrap();
    assert_eq!(resolved.sqlite_options().unwrap().get_filename(), dir.path().join("b${x}%.db"));

    let named = Source::Glob { pattern: "a*.db".to_owned(), url: Some("postgres://db/{stem}".into()) };
    assert_eq!(read(&named, dir.path()).await.unwrap()[0].target.url.as_str(), "postgres://db/acme");
    let none = Source::Glob { pattern: "*.sqlite".to_owned(), url: None };
    assert_eq!(read(&none, dir.path()).await.unwrap_err().code(), Code::FleetEmpty);
}

#[tokio::test]
async fn two_tenants_of_one_id_are_both_named() {
    let source = Source::List(vec![entry("b", "b.db"), entry("a", "a.db"), entry("b", "c.db")]);
    let error = read(&source, Path::new("/srv")).await.unwrap_err();
    assert_eq!(error.code(), Code::DuplicateTenant);
    assert_eq!(error.to_string(), "two tenants have the id b: entry 1 and entry 3");
}

#[tokio::test]
async fn two_tenants_that_are_one_database_are_refused_however_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.db"), "").unwrap();
    std::os::unix::fs::symlink(dir.path().join("a.db"), dir.path().join("link.db")).unwrap();
    let same = [
        ("a.db", "sqlite:./../link.db"),
        ("postgres://one@DB/x", "postgresql://two:pw@db:5432/x?sslmode=require"),
        ("postgres://db/x?schema=s", "postgres://other/y?host=db&dbname=x&schema=s"),
        ("postgres://x@db", "postgres://y@db/x"),
    ];
    for (first, second) in same {
        let second = second.replace("./..", &dir.path().to_string_lossy());
        let source = Source::List(vec![entry("a", first), entry("b", &second)]);
        assert_eq!(read(&source, dir.path()).await.unwrap_err().code(), Code::SameDatabase, "{first}");
    }
    let apart = ["postgres://db/x?schema=s", "postgres://db/x?schema=t", "postgres://db:5433/x", "postgres://db/X"];
    let entries = apart.iter().enumerate().map(|(at, url)| entry(&format!("t{at}"), url)).collect();
    assert_eq!(read(&Source::List(entries), dir.path()).await.unwrap().len(), 4);
}
