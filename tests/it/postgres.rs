//! The real binary over PostgreSQL tenants: what it says, and what is then true in the databases, read with SQL of the tests' own.

use std::net::TcpListener;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::support::postgres::{APP_PASSWORD, Admin, Db, PrivatePostgres, shared};
use crate::support::project::{Project, Ran};

/// What a migration can change, as text: everything that is not Windlass's own.
const SHAPE: &str = "SELECT coalesce(string_agg(line, E'\\n' ORDER BY line), '') FROM ( \
         SELECT format('%s.%s.%s %s', table_schema, table_name, column_name, data_type) AS line \
         FROM information_schema.columns \
         WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_name NOT LIKE 'windlass%' \
       UNION ALL \
         SELECT indexdef FROM pg_indexes WHERE schemaname NOT IN ('pg_catalog') AND tablename NOT LIKE 'windlass%' \
     ) AS shape";

/// How many tables of Windlass there are: none where it has touched nothing.
const OWN_TABLES: &str = "SELECT count(*)::text FROM pg_tables WHERE tablename LIKE 'windlass%'";

/// Both directions of the release: a table, and an index that rows can refuse.
const RELEASE: [(&str, &str); 4] = [
    (
        "migrations/0001_orders.up.sql",
        "CREATE TABLE orders (id int PRIMARY KEY);\nINSERT INTO orders VALUES (1), (2);\n",
    ),
    ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n"),
    ("migrations/0002_unique.up.sql", "CREATE UNIQUE INDEX names ON customers (name);\n"),
    ("migrations/0002_unique.down.sql", "DROP INDEX names;\n"),
];

/// A project with the release, and this fleet.
fn project(fleet: &str) -> Project {
    let project = Project::new();
    project.write("windlass.toml", &format!("name = \"shop\"\n{fleet}\n[deploy]\nconcurrency = 1\n"));
    for (path, text) in RELEASE {
        project.write(path, text);
    }
    project
}

/// A database with customers of these names.
async fn customers(server: &PrivatePostgres, names: &str) -> Db {
    let db = server.database().await;
    let sql = format!("SET ROLE app; CREATE TABLE customers (name text); INSERT INTO customers VALUES {names}");
    Admin::to(&db).await.execute_all(&sql).await;
    db
}

async fn text(db: &Db, sql: &str) -> String {
    Admin::to(db).await.text(sql).await
}

/// Runs a command with variables.
fn with(project: &Project, variables: &[(&str, &str)], arguments: &str) -> Ran {
    let mut command = project.command();
    Ran::of(command.envs(variables.iter().copied()).args(arguments.split_whitespace()).output().unwrap())
}

/// Makes sure that a password is nowhere: not in what was said, not in the log's files, in no form (promise P9).
fn assert_hidden(secret: &str, project: &Project, said: &[&Ran]) {
    let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let in_url = url::Url::parse(&format!("x://u:{encoded}@h")).unwrap().password().unwrap().to_owned();
    let forms = [secret.to_owned(), secret.escape_debug().to_string(), encoded, in_url];
    let holds =
        |bytes: &[u8]| forms.iter().find(|form| bytes.windows(form.len()).any(|window| window == form.as_bytes()));
    for ran in said {
        assert_eq!(holds(ran.stdout.as_bytes()), None, "standard output:\n{}", ran.stdout);
        assert_eq!(holds(ran.stderr.as_bytes()), None, "standard error:\n{}", ran.stderr);
    }
    for entry in std::fs::read_dir(project.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("windlass.db") {
            assert_eq!(holds(&std::fs::read(&path).unwrap()), None, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn a_fleet_in_a_catalog_is_deployed_and_its_passwords_stay_there() {
    let server = shared().await;
    let (acme, bolt, gone) =
        (customers(server, "('a')").await, customers(server, "('b')").await, customers(server, "('c')").await);
    let catalog = server.database().await;
    // Passwords in clear, as many a catalog has them.
    let sql = format!(
        "SET ROLE app; CREATE TABLE tenants (id text, database_url text, plan text, active boolean); \
         INSERT INTO tenants VALUES ('acme', '{}', 'pro', true), ('bolt', '{}', 'free', true), ('gone', '{}', 'free', false)",
        acme.url, bolt.url, gone.url
    );
    Admin::to(&catalog).await.execute_all(&sql).await;
    let project = project(
        "[fleet]\nsource = { sql = \"SELECT id, database_url AS url, plan FROM tenants WHERE active\", on = \"${env:CATALOG}\" }",
    );
    let variables = [("CATALOG", catalog.url.as_str()), ("WINDLASS_LOG", "trace")];
    let plan = with(&project, &variables, "plan --select label.plan=\"pro\"").ends_with(0);
    assert!(plan.stdout.contains("1 of 1 tenant would change"), "{}", plan.stdout);
    let deployed = with(&project, &variables, "deploy").ends_with(0);
    let listed = with(&project, &variables, "tenants list --json").ends_with(0);
    let shown = with(&project, &variables, "audit show --json").ends_with(0);
    for db in [&acme, &bolt] {
        assert_eq!(text(db, "SELECT string_agg(id::text, ',' ORDER BY id) FROM orders").await, "1,2");
        assert!(text(db, SHAPE).await.contains("CREATE UNIQUE INDEX names"));
    }
    assert_eq!(text(&gone, OWN_TABLES).await, "0");
    assert_hidden(APP_PASSWORD, &project, &[&plan, &deployed, &listed, &shown]);
}

#[tokio::test]
async fn a_schema_per_tenant_is_lowered_when_one_of_them_fails() {
    let server = shared().await;
    let db = server.database().await;
    let mut fleet = String::new();
    let mut sql = "SET ROLE app;".to_owned();
    for (tenant, rows) in [("acme", "('a'), ('b')"), ("bolt", "('c')"), ("crow", "('d'), ('d')")] {
        sql.push_str(&format!("CREATE SCHEMA {tenant}; CREATE TABLE {tenant}.customers (name text);"));
        sql.push_str(&format!("INSERT INTO {tenant}.customers VALUES {rows};"));
        fleet
            .push_str(&format!("[[fleet.tenant]]\nid = \"{tenant}\"\nurl = \"${{env:URL}}\"\nschema = \"{tenant}\"\n"));
    }
    Admin::to(&db).await.execute_all(&sql).await;
    let (project, variables) = (project(&fleet), [("URL", db.url.as_str())]);
    let before = text(&db, SHAPE).await;

    let unwound = with(&project, &variables, "deploy").ends_with(3);
    for line in
        ["  acme completed\n", "  bolt completed\n", "  crow failed: migration 0002_unique", "  tenants  3 unwound\n"]
    {
        assert!(unwound.stdout.contains(line), "{line} is not in\n{}", unwound.stdout);
    }
    assert_eq!(text(&db, SHAPE).await, before);
    let rows = "SELECT (SELECT count(*) FROM acme.customers) || ' ' || (SELECT count(*) FROM bolt.customers) || ' ' || \
                (SELECT count(*) FROM crow.customers)";
    assert_eq!(text(&db, rows).await, "2 1 2");

    Admin::to(&db).await.execute_all("DELETE FROM crow.customers WHERE ctid = '(0,1)'").await;
    with(&project, &variables, "deploy").ends_with(0);
    with(&project, &variables, "audit verify").ends_with(0);
    for tenant in ["acme", "bolt", "crow"] {
        assert_eq!(text(&db, &format!("SELECT count(*)::text FROM {tenant}.orders")).await, "2");
        let index = format!("CREATE UNIQUE INDEX names ON {tenant}.customers USING btree (name)");
        assert!(text(&db, SHAPE).await.contains(&index));
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_before_anything_is_touched_and_said_nowhere() {
    /// With everything that a URL or a quoted text escapes.
    const WRONG: &str = "wr0ng/@p%25 \"w#";
    let server = shared().await;
    let (acme, bolt) = (customers(server, "('a')").await, customers(server, "('b')").await);
    let bolt_url = format!("postgres://app:${{env:BOLT_PASSWORD}}@127.0.0.1:{}/{}", server.port(), bolt.name);
    let project = project(&format!(
        "[[fleet.tenant]]\nid = \"acme\"\nurl = \"${{env:ACME}}\"\n[[fleet.tenant]]\nid = \"bolt\"\nurl = \"{bolt_url}\""
    ));
    let variables = [("ACME", acme.url.as_str()), ("BOLT_PASSWORD", WRONG), ("WINDLASS_LOG", "trace")];
    let refused = with(&project, &variables, "deploy").ends_with(1);
    assert!(refused.stderr.contains("bolt  WL0602"), "{}", refused.stderr);
    let refused_in_json = with(&project, &variables, "deploy --json").ends_with(1);
    assert!(refused_in_json.stdout.contains("WL0602") || refused_in_json.stderr.contains("WL0602"));
    let doctor = with(&project, &variables, "doctor").ends_with(1);
    assert!(doctor.stdout.contains("WL0602"), "{}", doctor.stdout);
    for db in [&acme, &bolt] {
        assert_eq!(text(db, OWN_TABLES).await, "0");
    }
    let said = [&refused, &refused_in_json, &doctor];
    assert_hidden(WRONG, &project, &said);
    assert_hidden(APP_PASSWORD, &project, &said);
}

#[tokio::test]
async fn a_right_password_is_said_nowhere_either() {
    /// With everything that a URL or a quoted text escapes.
    const RIGHT: &str = "r1ght/@p%25 \"w#";
    let server = shared().await;
    let db = customers(server, "('a'), ('a')").await;
    let owner = format!(
        "CREATE ROLE odd LOGIN PASSWORD '{RIGHT}'; ALTER DATABASE {} OWNER TO odd; ALTER TABLE customers OWNER TO odd",
        db.name
    );
    Admin::to(&db).await.execute_all(&owner).await;
    let url = format!("postgres://odd:${{env:ODD_PASSWORD}}@127.0.0.1:{}/{}", server.port(), db.name);
    let project = project(&format!("[[fleet.tenant]]\nid = \"acme\"\nurl = \"{url}\""));
    let variables = [("ODD_PASSWORD", RIGHT), ("WINDLASS_LOG", "trace")];
    let unwound = with(&project, &variables, "deploy").ends_with(3);
    assert!(unwound.stdout.contains("acme failed: migration 0002_unique"), "{}", unwound.stdout);
    Admin::to(&db).await.execute_all("DELETE FROM customers WHERE ctid = '(0,1)'").await;
    let deployed = with(&project, &variables, "deploy --json").ends_with(0);
    let shown = with(&project, &variables, "audit show --json").ends_with(0);
    let doctor = with(&project, &variables, "doctor").ends_with(0);
    assert_hidden(RIGHT, &project, &[&unwound, &deployed, &shown, &doctor]);
}

#[tokio::test]
async fn a_tenant_whose_server_says_nothing_is_refused_before_anything_is_touched() {
    let server = shared().await;
    let acme = customers(server, "('a')").await;
    // The system takes the connection on; nobody ever speaks.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let project = project(&format!(
        "[[fleet.tenant]]\nid = \"acme\"\nurl = \"${{env:ACME}}\"\n\
         [[fleet.tenant]]\nid = \"mute\"\nurl = \"postgres://app@127.0.0.1:{port}/mute\""
    ));
    let refused = with(&project, &[("ACME", &acme.url)], "deploy").ends_with(1);
    assert!(refused.stderr.contains("mute  WL0601"), "{}", refused.stderr);
    assert!(refused.stderr.contains("nothing was touched"), "{}", refused.stderr);
    assert_eq!(text(&acme, OWN_TABLES).await, "0");
}

#[tokio::test]
async fn two_tenants_that_are_one_database_are_refused() {
    let server = shared().await;
    let (acme, bolt) = (customers(server, "('a')").await, customers(server, "('b')").await);
    let other = format!("postgresql://app:{APP_PASSWORD}@localhost:{}/{}?sslmode=prefer", server.port(), acme.name);
    let project = project(
        "[[fleet.tenant]]\nid = \"acme\"\nurl = \"${env:ACME}\"\n[[fleet.tenant]]\nid = \"bolt\"\nurl = \"${env:BOLT}\"\n\
         [[fleet.tenant]]\nid = \"crow\"\nurl = \"${env:OTHER}\"",
    );
    let variables = [("ACME", acme.url.as_str()), ("BOLT", &bolt.url), ("OTHER", &other)];
    let refused = with(&project, &variables, "deploy").ends_with(1);
    assert!(refused.stderr.contains("WL0203"), "{}", refused.stderr);
    assert!(refused.stderr.contains("acme") && refused.stderr.contains("crow"), "{}", refused.stderr);
    for db in [&acme, &bolt] {
        assert_eq!(text(db, OWN_TABLES).await, "0");
    }
    assert_hidden(APP_PASSWORD, &project, &[&refused]);
}

#[test]
fn a_password_in_the_logs_files_would_be_seen_in_every_form() {
    for form in ["p/w\"d", "p%2Fw%22d", "p/w\\\"d"] {
        let project = Project::new();
        project.write("windlass.db-wal", &format!("\u{1}x{form}y"));
        assert!(std::panic::catch_unwind(|| assert_hidden("p/w\"d", &project, &[])).is_err(), "{form}");
    }
}
