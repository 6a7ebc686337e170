use std::sync::Arc;

use async_trait::async_trait;
use proptest::prelude::*;

use super::*;
use crate::base::{Code, Coded as _, TenantId};
use crate::fleet::{SourceSecrets, Tenant, Variables};

/// A source that gives one password to everyone.
struct Gives(Secret);

#[async_trait]
impl SourceSecrets for Gives {
    async fn password(&self, _tenant: &TenantId) -> Result<Secret, FleetError> {
        Ok(self.0.clone())
    }

    async fn read_again(&self) {}
}

fn resolver(variables: &[(&str, &str)]) -> SecretResolver {
    let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value)));
    SecretResolver::new(Variables::Fixed(pairs.collect()))
}

fn acme() -> Subject {
    Subject::Tenant { id: TenantId::new("acme").unwrap() }
}

async fn freeze(url: &str, variables: &[(&str, &str)]) -> Result<Tenant, FleetError> {
    let frozen = SourceUrl::from(url).freeze(&acme(), None, Path::new("/srv/shop"), &resolver(variables)).await?;
    Ok(Tenant { id: TenantId::new("acme").unwrap(), target: frozen.target, labels: BTreeMap::new() })
}

async fn clear(url: &str, variables: &[(&str, &str)]) -> Option<Secret> {
    SourceUrl::from(url).clear_password(&acme(), Path::new("/srv/shop"), &resolver(variables)).await.unwrap()
}

/// What a driver is handed in the end, after a way through the log.
async fn round_trip(url: &str, variables: &[(&str, &str)]) -> Result<ResolvedUrl, FleetError> {
    let stored = serde_json::to_string(&freeze(url, variables).await?).unwrap();
    let tenant: Tenant = serde_json::from_str(&stored).unwrap();
    let mut resolver = resolver(variables);
    if let Some(password) = clear(url, variables).await {
        resolver = resolver.with_source(Arc::new(Gives(password)));
    }
    resolver.resolve(&tenant).await
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #[test]
    fn a_frozen_tenant_never_holds_its_password_and_resolves_to_it_again(
        password in "\\PC{8,24}".prop_filter("long enough not to occur by chance", |text| !text.chars().any(|c| u32::from(c) >= 0xF_0000)),
        in_query in any::<bool>(),
    ) {
        let encoded = percent_encoding::utf8_percent_encode(&password, percent_encoding::NON_ALPHANUMERIC).to_string();
        let url = if in_query {
            format!("postgres://app@db-3:5433/acme?sslmode=require&password={encoded}")
        } else {
            format!("postgres://app:{encoded}@db-3:5433/acme?sslmode=require")
        };
        let stored = serde_json::to_string(&block_on(freeze(&url, &[])).unwrap()).unwrap();
        prop_assert!(!stored.contains(&password) && !stored.contains(&encoded), "{}", stored);

        let resolved = block_on(round_trip(&url, &[])).unwrap();
        let (before, after) = (::url::Url::parse(&url).unwrap(), ::url::Url::parse(resolved.expose()).unwrap());
        let password_of = |url: &::url::Url| {
            let clear = percent_encoding::percent_decode_str(url.password().unwrap_or_default());
            let clear = clear.decode_utf8().unwrap().into_owned();
            url.query_pairs().find(|(key, _)| key == "password").map_or(clear, |(_, value)| value.into_owned())
        };
        prop_assert_eq!(password_of(&after), password_of(&before));
        prop_assert_eq!((before.username(), before.host_str(), before.port()), (after.username(), after.host_str(), after.port()));
        prop_assert_eq!(before.path(), after.path());
        prop_assert!(!resolved.redact(resolved.expose()).contains(&encoded));
        let shown = format!("{resolved:?}");
        prop_assert!(!shown.contains(&password));
    }

    #[test]
    fn whatever_text_a_source_gives_is_frozen_without_a_password_or_refused_without_showing_it(
        before in "[a-z:/@?#=;$\\{\\}% ]{0,6}", after in "[a-z:/@?#=;$\\{\\}% ]{0,12}",
    ) {
        let url = format!("postgres://app:{before}S3cr3t{after}@db-3/acme");
        match block_on(freeze(&url, &[])) {
            Ok(tenant) => prop_assert!(!serde_json::to_string(&tenant).unwrap().contains("S3cr3t"), "{}", url),
            Err(error) => prop_assert!(!format!("{error} {error:?}").contains("S3cr3t"), "{}", url),
        }
    }
}

#[tokio::test]
async fn references_work_in_every_part_and_are_encoded_for_their_place() {
    let variables =
        [("USER", "app@x"), ("PW", "p/s:s@%"), ("HOST", "db-3:5433"), ("DB", "acme/1"), ("APP", "wind lass")];
    let url = "postgres://${env:USER}:${env:PW}@${env:HOST}/${env:DB}?application_name=${env:APP}";
    let tenant = freeze(url, &variables).await.unwrap();
    assert_eq!(tenant.target.url.as_str(), url, "a template without a clear password is kept as it is");
    let resolved = round_trip(url, &variables).await.unwrap();
    let expected = "postgres://app%40x:p%2Fs%3As%40%25@db-3:5433/acme%2F1?application_name=wind%20lass";
    assert_eq!(resolved.expose(), expected);
    assert_eq!(resolved.server().as_str(), "db-3:5433");
    let options = resolved.postgres_options().unwrap();
    assert_eq!((options.get_host(), options.get_port(), options.get_username()), ("db-3", 5433, "app@x"));
    assert_eq!(options.get_database(), Some("acme/1"));
}

#[tokio::test]
async fn a_whole_url_may_be_a_reference() {
    let variables = [("URL", "postgres://app:hunter2@db-3/acme?schema=tenant_7")];
    let tenant = freeze("${env:URL}", &variables).await.unwrap();
    assert_eq!(tenant.target.url.as_str(), "${env:URL}");
    assert_eq!((tenant.target.engine, tenant.target.schema.as_deref()), (Engine::Postgres, Some("tenant_7")));
    let resolved = round_trip("${env:URL}", &variables).await.unwrap();
    assert_eq!(resolved.expose(), "postgres://app:hunter2@db-3/acme", "the schema is not for the driver");
    assert_eq!(resolved.redact("no hunter2 at postgres://app:hunter2@db-3/acme?schema=tenant_7"), "no *** at ***");

    let error = freeze("${env:URL}/x?password=clear", &variables).await.unwrap_err();
    assert_eq!(error.code(), Code::BadTenantUrl);
    let error = freeze("${env:URL}x:clear@h/d", &variables).await.unwrap_err();
    assert_eq!(error.code(), Code::BadTenantUrl);
}

#[tokio::test]
async fn a_password_that_is_clear_in_part_is_replaced_whole() {
    let url = "postgres://app:pre${env:PW}@db/acme";
    let tenant = freeze(url, &[]).await.unwrap();
    assert_eq!(tenant.target.url.as_str(), "postgres://app:${source}@db/acme");
    assert_eq!(round_trip(url, &[("PW", "@fix")]).await.unwrap().expose(), "postgres://app:pre%40fix@db/acme");
}

#[tokio::test]
async fn files_are_found_beside_the_configuration_whatever_their_form() {
    let table = [
        ("tenants/acme.db", "sqlite:///srv/shop/tenants/acme.db"),
        ("./a b?.db", "sqlite:///srv/shop/a b%3F.db"),
        ("/var/acme.db", "sqlite:///var/acme.db"),
        ("sqlite:acme.db?mode=rw", "sqlite:///srv/shop/acme.db?mode=rw"),
        ("sqlite://acme.db", "sqlite:///srv/shop/acme.db"),
        ("sqlite:///var/${env:X}.db", "sqlite:///var/${env:X}.db"),
        ("sqlite://${env:DIR}/a.db", "sqlite://${env:DIR}/a.db"),
    ];
    for (written, frozen) in table {
        let tenant = freeze(written, &[("X", "acme"), ("DIR", "/data")]).await.unwrap();
        assert_eq!((tenant.target.engine, tenant.target.url.as_str()), (Engine::Sqlite, frozen));
    }
    let resolved = round_trip("./a b?.db", &[]).await.unwrap();
    assert_eq!(resolved.sqlite_options().unwrap().get_filename(), Path::new("/srv/shop/a b?.db"));
    let resolved = round_trip("sqlite://${env:DIR}/a.db", &[("DIR", "/data dir")]).await.unwrap();
    assert_eq!(resolved.expose(), "sqlite:///data%20dir/a.db");
}

#[tokio::test]
async fn a_schema_leaves_the_url_and_must_be_a_name() {
    let tenant = freeze("postgresql://app@db/shop?schema=tenant_7&sslmode=require", &[]).await.unwrap();
    assert_eq!(tenant.target.schema.as_deref(), Some("tenant_7"));
    assert_eq!(tenant.target.url.as_str(), "postgresql://app@db/shop?sslmode=require");
    let long = format!("postgres://db/shop?schema={}", "x".repeat(64));
    for url in [long.as_str(), "postgres://db/shop?schema=", "postgres://db/shop?schema=a&schema=b"] {
        assert_eq!(freeze(url, &[]).await.unwrap_err().code(), Code::BadTenantUrl, "{url}");
    }
}

#[tokio::test]
async fn what_is_no_url_is_refused_with_the_tenant_and_without_the_password() {
    let table = [
        "",
        "host=db password=hunter2",
        "app:hunter2@tcp(db:3306)/acme",
        "mssql://sa:hunter2@db/acme",
        "postgres:app:hunter2@db",
        "postgres://app:12/hunter2@db/acme",
        "postgres://app:hunter2#1@db/acme",
        "postgres://app:hunter2@db:port/acme",
        "postgres://app:hunter2@a,b/acme",
        "postgres://app:hunter2@db/acme?password=hunter2",
        "postgres://app:hunter2@d b/acme",
        "postgres://app:hunter2${@db/acme",
        "sqlite::memory:",
        "sqlite:a.db?key=hunter2",
        "sqlite:",
        "postgres://app:hunter2%ff@db/${source}",
    ];
    for url in table {
        let error = freeze(url, &[]).await.unwrap_err();
        assert_eq!(error.code(), Code::BadTenantUrl, "{url}");
        let text = format!("{error} {error:?}");
        assert!(text.contains("acme") && !text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn an_unset_variable_is_named_with_its_tenant_when_it_is_used_and_not_before() {
    let tenant = freeze("postgres://app:${env:PW}@db/acme", &[]).await.unwrap();
    let error = resolver(&[]).resolve(&tenant).await.unwrap_err();
    assert_eq!(error.code(), Code::SecretUnresolved);
    let expected = "${env:PW} in the connection URL of tenant acme cannot be resolved: the variable is not set; \
                    nothing was connected to";
    assert_eq!(error.to_string(), expected);
    assert_eq!(freeze("postgres://${env:HOST}/acme", &[]).await.unwrap_err().code(), Code::SecretUnresolved);
}

#[tokio::test]
async fn a_secret_file_beside_the_configuration_is_named_by_its_whole_path_in_the_log() {
    let tenant = freeze("postgres://app:${file:secrets/pw}@db/acme", &[]).await.unwrap();
    assert_eq!(tenant.target.url.as_str(), "postgres://app:${file:/srv/shop/secrets/pw}@db/acme");
    let error = resolver(&[]).resolve(&tenant).await.unwrap_err();
    assert!(error.to_string().contains("${file:/srv/shop/secrets/pw}"), "{error}");
}

#[test]
fn a_stored_template_with_a_clear_password_is_refused() {
    for text in
        ["postgres://a:b@h/d", "postgres://h/d?pass%77ord=b", "${env:X}/?sslpassword=b", "mysql://a:${env:P}x@h/d"]
    {
        assert!(serde_json::from_value::<UrlTemplate>(text.into()).is_err(), "{text}");
    }
    assert!(UrlTemplate::new("mysql://a:${env:P}@h/d?sslpassword=${source}").is_ok());
}

#[test]
fn the_driver_is_not_handed_what_it_would_log() {
    let url = "postgres://a@h/d?sslpassword=hunter2&sslmode=disable&pgbouncer=true";
    let resolved = block_on(round_trip(url, &[])).unwrap();
    assert!(resolved.expose().contains("hunter2"));
    let options = format!("{:?}", resolved.postgres_options().unwrap());
    assert!(!options.contains("hunter2") && options.contains("Disable"), "{options}");
}

#[tokio::test]
async fn a_mysql_url_is_read_as_its_driver_reads_it() {
    let tenant = freeze("mariadb://app:hunter2@DB-3/acme?ssl-mode=verify_identity", &[]).await.unwrap();
    assert_eq!((tenant.target.engine, tenant.target.schema.as_deref()), (Engine::Mysql, None));
    assert_eq!(tenant.target.url.as_str(), "mariadb://app:${source}@DB-3/acme?ssl-mode=verify_identity");
    let url = "mysql://app%40x:p%2Fw@db-3/acme%201?ssl-mode=required&charset=latin1&timezone=SYSTEM&host=other&tls=no";
    let resolved = round_trip(url, &[]).await.unwrap();
    assert_eq!(resolved.server().as_str(), "db-3:3306", "no parameter but a socket's moves the server");
    let options = resolved.mysql_options().unwrap();
    assert_eq!((options.get_host(), options.get_port(), options.get_username()), ("db-3", 3306, "app@x"));
    assert_eq!((options.get_database(), options.get_charset()), (Some("acme 1"), "utf8mb4"));
    assert!(matches!(options.get_ssl_mode(), sqlx::mysql::MySqlSslMode::Required));
    let socket = round_trip("mysql://app@localhost/acme?socket=/run/my.sock", &[]).await.unwrap();
    assert_eq!(socket.server().as_str(), "unix:/run/my.sock");
    for url in ["mysql://app@db", "mysql://db/acme?password=hunter2", "mysql://db/acme?user=x", "mysql://db/a?schema=b"]
    {
        let error = freeze(url, &[]).await.unwrap_err();
        assert_eq!(error.code(), Code::BadTenantUrl, "{url}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
