use super::*;
use crate::base::{Code, Coded as _};

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/srv/shop"))
}

#[test]
fn an_empty_file_is_a_project_of_defaults_named_after_its_folder() {
    let config = parse("").unwrap();
    assert_eq!(config.name, "shop");
    assert_eq!(config.log_url, "sqlite://windlass.db".into());
    assert_eq!(config.release_dir, Path::new("/srv/shop/migrations"));
    assert_eq!(config.workflows_dir, Path::new("/srv/shop/workflows"));
    assert_eq!(config.source, Source::List(Vec::new()));
    assert_eq!((config.servers.default_connections, config.deploy.concurrency), (8, 16));
    assert_eq!(config.deploy.workflow, "all-or-nothing");
    assert_eq!(config.sign_with, None);
    assert_eq!((config.deploy.survey, config.deploy.out_of_order), (Survey::All, OutOfOrder::Refuse));
}

#[test]
fn every_key_is_read() {
    let text = r#"
        name = "toys"
        [log]
        url = "sqlite:///var/lib/windlass.db"
        [release]
        dir = "db"
        [fleet]
        source = { sql = "SELECT 1", on = "${env:CATALOG_URL}", url = "postgres://{host}/{db}" }
        [server.default]
        connections = 4
        [server."DB-3.internal:5432"]
        connections = 20
        [deploy]
        workflow = "canary"
        concurrency = 10_000
        survey = "unknown"
        out_of_order = "allow"
        ledger_schema = "windlass"
        [workflows]
        dir = "/etc/workflows"
        [audit]
        sign_with = "keys/signing"
    "#;
    let config = parse(text).unwrap();
    assert_eq!(config.name, "toys");
    assert_eq!(config.release_dir, Path::new("/srv/shop/db"));
    assert_eq!(config.workflows_dir, Path::new("/etc/workflows"));
    assert_eq!(config.sign_with.as_deref(), Some(Path::new("/srv/shop/keys/signing")));
    let (sql, on) = ("SELECT 1".to_owned(), "${env:CATALOG_URL}".into());
    assert_eq!(config.source, Source::Query { sql, on, url: Some("postgres://{host}/{db}".into()) });
    let budgets = config.budgets();
    assert_eq!(budgets.connections(&ServerKey::new("db-3.internal:5432")), 20);
    assert_eq!(budgets.connections(&ServerKey::new("db-4:5432")), 4);
    let ledger_schema = Some("windlass".to_owned());
    let (survey, out_of_order) = (Survey::Unknown, OutOfOrder::Allow);
    let workflow = "canary".to_owned();
    assert_eq!(config.deploy, DeployDefaults { workflow, concurrency: 10_000, survey, out_of_order, ledger_schema });
}

#[test]
fn a_list_of_tenants_may_have_labels_of_any_simple_type() {
    let text = r#"
        [[fleet.tenant]]
        id = "acme"
        url = "acme.db"
        labels = { plan = "pro", canary = true, shard = 7 }
        [[fleet.tenant]]
        id = "globex"
        url = "postgres://db/shop"
        schema = "globex"
    "#;
    let Source::List(entries) = parse(text).unwrap().source else { panic!("not a list") };
    let labels: Vec<_> = entries[0].labels.values().map(String::as_str).collect();
    assert_eq!(labels, ["true", "pro", "7"]);
    assert_eq!(entries[1].schema.as_deref(), Some("globex"));
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_key_and_what_is_known() {
    let table = [
        ("\n[deplyo]\n", "line 2: unknown field `deplyo`, expected one of `name`, `log`"),
        ("[deploy]\nconcurency = 3", "line 2: unknown field `concurency`, expected one of `workflow`, `concurrency`"),
        ("[deploy]\nconcurrency = 0", "line 2, concurrency: 0 is not between 1 and 10000"),
        ("[server.default]\nconnections = 10001", "line 2, connections: 10001 is not between 1 and 10000"),
        ("[server]\n\"db:1\" = { connections = -1 }", "line 2, connections: -1 is not"),
        ("[deploy]\nsurvey = \"some\"", "line 2, survey: unknown variant `some`, expected `all` or `unknown`"),
        ("[fleet]\nsource = { glob = \"*.db\", sql = \"x\" }", "line 2, source: a source has a glob, or sql and on"),
        ("[fleet]\nsource = { sql = \"x\" }", "line 2, source: a source is either { sql, on } or { glob }"),
        ("[[fleet.tenant]]\nid = \" \"\nurl = \"x\"", "line 2, id: \" \" is not a tenant id"),
        ("[[fleet.tenant]]\nid = \"a\"", "line 1: missing field `url`"),
        ("[fleet]\nsource = { glob = \"*\" }\n[[fleet.tenant]]\nid = \"a\"\nurl = \"x\"", "fleet: tenants come from"),
        ("[server.A]\nconnections = 1\n[server.a]\nconnections = 1", "server.a: it is there twice"),
        ("name = \"\"", "name: it must be a text of 1 to 200 bytes"),
        ("[deploy]\nledger_schema = \"\"", "deploy.ledger_schema: it must be a text of 1 to 63 bytes"),
        ("name = \"a", "line 1"),
    ];
    for (text, expected) in table {
        let error = parse(text).unwrap_err();
        assert_eq!(error.code(), Code::ConfigInvalid);
        let shown = error.to_string();
        assert!(shown.starts_with("windlass.toml, ") && shown.contains(expected), "{text}\n{shown}");
    }
}

#[test]
fn a_password_in_the_file_is_never_shown() {
    let table = [
        "[fleet]\nsource = \"postgres://app:hunter2@db/x\"",
        "[server]\ndefault = \"postgres://app:hunter2@db/x, expected hunter2\"",
        "[log]\nurl = \"postgres://app:hunter2@db/x\\q\"",
        "[log]\nurl = \"postgres://app:hunter2@db/x",
        "[log]\nurl = postgres://app:hunter2@db/x",
        "[deploy]\nconcurrency = \"hunter2\"",
        "[[fleet.tenant]]\nid = \"a\"\nlabels = \"hunter2\"\nurl = \"hunter2\"",
    ];
    for text in table {
        let error = parse(text).unwrap_err();
        let shown = format!("{error} {error:?} {:?}", error.next());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let config = parse("[log]\nurl = \"postgres://app:hunter2@db/x\"\n[[fleet.tenant]]\nid = \"a\"\nurl = \"hunter2\"");
    assert!(!format!("{:?}", config.unwrap()).contains("hunter2"));
}

#[test]
fn the_file_is_found_in_the_nearest_folder_above() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(dir.path().join(FILE_NAME), "name = \"top\"").unwrap();
    assert_eq!(locate(&deep).unwrap(), dir.path().join(FILE_NAME));

    let config = Config::find(Some(&dir.path().join(FILE_NAME))).unwrap();
    assert_eq!((config.name.as_str(), config.base_dir.as_path()), ("top", dir.path()));

    let error = Config::find(Some(&deep.join("other.toml"))).unwrap_err();
    assert_eq!((error.code(), error.next().as_deref()), (Code::ConfigMissing, Some("windlass init")));
}

#[test]
fn a_file_that_cannot_be_a_configuration_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let refused = |bytes: Vec<u8>| {
        std::fs::write(&path, bytes).unwrap();
        let error = Config::find(Some(&path)).unwrap_err();
        assert_eq!(error.code(), Code::ConfigInvalid);
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
        error.to_string()
    };
    assert!(refused(vec![b'#'; usize::try_from(TOML_BYTES_MAX).unwrap() + 1]).contains("larger than"));
    assert!(refused(vec![0xff]).contains("not UTF-8"));
    assert!(refused(b"x = 1".to_vec()).contains("line 1: unknown field `x`"));
}
