//! The whole way, once: a signed delivery of a webhook, a hundred tenants on three engines, the server killed in the middle and started
//! again, the same delivery once more. What happens is printed: `./test a_webhook_deploys -- --nocapture` shows it.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::fake::Fake;
use super::house::{House, SECRET, Server};
use crate::support::{mariadb, postgres};

const POSTGRES: usize = 33;
const MARIADB: usize = 33;
const SQLITE: usize = 34;

/// The token with which the sender is told how it goes.
const HUB_TOKEN: &str = "hub-secret";

/// The password of tenants that know another one.
const WRONG: &str = "wrong-word-4711";

/// One text that all three engines take, in as many statements as there is something to interrupt.
const UP: &str = "CREATE TABLE invoices (id INTEGER PRIMARY KEY, number VARCHAR(20) NOT NULL);
INSERT INTO invoices VALUES (1, 'A-1');
-- undo: DELETE FROM invoices WHERE id = 1;
INSERT INTO invoices VALUES (2, 'A-2');
-- undo: DELETE FROM invoices WHERE id = 2;
CREATE INDEX invoices_by_number ON invoices (number);
";

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_deploys_a_hundred_tenants_on_three_engines_through_the_death_of_its_server() {
    let house = House::of(SQLITE, "");
    let mut tenants = String::new();
    let (postgres, mariadb) = (postgres::shared().await, mariadb::shared().await);
    let (mut on_postgres, mut on_mariadb) = (Vec::new(), Vec::new());
    for number in 0..POSTGRES {
        let db = postgres.database().await;
        tenants.push_str(&format!("[[fleet.tenant]]\nid = \"pg{number:02}\"\nurl = \"{}\"\n", db.url));
        on_postgres.push(db);
    }
    for number in 0..MARIADB {
        let db = mariadb.database().await;
        tenants.push_str(&format!("[[fleet.tenant]]\nid = \"my{number:02}\"\nurl = \"{}\"\n", db.url));
        on_mariadb.push(db);
    }
    for number in 0..SQLITE {
        tenants.push_str(&format!(
            "[[fleet.tenant]]\nid = \"t{number:04}\"\nurl = \"sqlite://tenants/t{number:04}.db\"\n"
        ));
    }
    let config = std::fs::read_to_string(house.project.at("windlass.toml")).unwrap();
    let list = config.replace("[fleet]\nsource = { glob = \"tenants/*.db\" }\n", "");
    // A GitHub of our own, which wants to know how it goes.
    let hub = Fake::kind().await;
    let report =
        format!("report = {{ api = \"{}\", token = \"${{env:HUB_TOKEN}}\" }}\n[[serve.webhook.rule]]", hub.url);
    let list = list.replacen("[[serve.webhook.rule]]", &report, 1);
    house.project.write("windlass.toml", &format!("{list}\n{tenants}"));
    house.release("v9", &[("0001_invoices", UP, "DROP TABLE invoices;\n")]);

    let server = house.serve_with(&[("HUB_TOKEN", HUB_TOKEN)]);
    let (status, first) = server.deliver("delivery-1", "v9").await;
    println!("POST /webhooks/github (delivery-1): {status} {first}");
    assert_eq!(status, StatusCode::ACCEPTED);
    let id = first["id"].as_str().unwrap().to_owned();
    // In the middle: some tenants have ended, others have not.
    let census = loop {
        let (_, deploy) = server.get(&format!("/v1/deploys/{id}")).await;
        let census = &deploy["account"]["census"];
        if census["completed"].as_u64().is_some_and(|done| done >= 20) {
            break census.clone();
        }
        assert_ne!(deploy["standing"], "refused", "{deploy:#}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let said = server.said();
    server.kill();
    println!("the server killed with -9 at: {census}");
    assert!(census["completed"].as_u64().unwrap() < 100, "it was over before it could be killed: {census}");

    let server = house.serve_with(&[("HUB_TOKEN", HUB_TOKEN)]);
    let (status, again) = server.deliver("delivery-1", "v9").await;
    println!("started again; the same delivery: {status} {again}");
    assert_eq!((status, &again["id"]), (StatusCode::OK, &first["id"]));
    let deploy = server.until(&id, "completed").await;
    println!("{}", deploy["account"]["census"]);
    assert_eq!(deploy["account"]["census"], json!({ "completed": 100 }));
    let told = hub.until(|heard| heard.iter().any(|of| of.body["state"] == "success")).await;
    for of in &told {
        println!("to GitHub: POST {} {}: {}", of.path, of.body["state"], of.body["description"]);
        assert_eq!(of.path, "/repos/octo/shop/deployments/42/statuses");
    }

    let elsewhere = |url: &str, name: &str| url.replace(&format!("/{name}?"), "/elsewhere?");
    let urls =
        [elsewhere(&on_postgres[0].url, &on_postgres[0].name), elsewhere(&on_mariadb[0].url, &on_mariadb[0].name)];
    nothing_that_is_shown_holds_a_secret(&house, server, &hub, &id, urls, said).await;

    // Once in each, and not twice: the rows say so.
    for db in &on_postgres {
        let rows = postgres::Admin::to(db).await.text("SELECT count(*)::text FROM invoices").await;
        assert_eq!(rows, "2", "{}", db.name);
    }
    for db in &on_mariadb {
        assert_eq!(mariadb::Admin::to(db).await.number("SELECT count(*) FROM invoices").await, 2, "{}", db.name);
    }
    for number in 0..SQLITE {
        let rows =
            house.project.sql(&format!("tenants/t{number:04}.db"), "SELECT count(*) FROM invoices").await.unwrap();
        assert_eq!(rows, ["2"]);
    }
    let told = house.project.command().args(["audit", "show", &id]).env("HOOK_SECRET", SECRET).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    for line in told
        .lines()
        .filter(|line| line.contains("created by") || line.contains("resumed by") || line.contains("finished"))
    {
        println!("{line}");
    }
    house.project.windlass("audit verify").ends_with(0);
}

/// Asks for two releases more, one that fails and one that is refused, and then looks for secrets in all that the servers have let out.
async fn nothing_that_is_shown_holds_a_secret(
    house: &House,
    server: Server,
    hub: &Fake,
    completed: &str,
    urls: [String; 2],
    mut said: String,
) {
    // Where tenants say something of their own.
    house.release("v10", &[("0001_invoices", UP, "DROP TABLE invoices;\n"), ("0002_wrong", WRONG_SQL, "SELECT 1;\n")]);
    let (status, failing) = server.deliver("delivery-2", "v10").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{failing}");
    let failed = failing["id"].as_str().unwrap();
    let deploy = server.until(failed, "unwound").await;
    println!("a release that fails: {}", deploy["account"]["census"]);
    said += &server.said();
    drop(server);

    // And where they let nobody in.
    let config = std::fs::read_to_string(house.project.at("windlass.toml")).unwrap();
    house.project.write("windlass.toml", &(config + &shut(urls)));
    let server = house.serve_with(&[("HUB_TOKEN", HUB_TOKEN)]);
    let (status, shut) = server.deliver("delivery-3", "v10").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{shut}");
    let refused = shut["id"].as_str().unwrap();
    let deploy = server.until(refused, "refused").await;
    let tenants = deploy["request"]["settled"]["tenants"].to_string();
    println!("a release that is refused: {tenants}");
    assert!(["pg-shut", "my-shut", "pg-gone"].iter().all(|tenant| tenants.contains(tenant)), "{deploy:#}");

    for path in shown(&[completed, failed], refused) {
        let answer = server.ask(Method::GET, &path).send().await.unwrap();
        let status = answer.status();
        let body = answer.bytes().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&body));
        holds_no_secret(&path, &body);
    }
    said += &server.said();
    assert!(said.contains("windlass::access"), "{said}");
    holds_no_secret("what the servers said", said.as_bytes());
    for of in hub.heard() {
        assert_eq!(of.header("authorization"), format!("Bearer {HUB_TOKEN}"));
        holds_no_secret("what GitHub was told", &of.bytes);
    }
    // The server is still there, and so is what it has not moved into the log's own file yet.
    for name in ["windlass.db", "windlass.db-wal"] {
        holds_no_secret(name, &std::fs::read(house.project.at(name)).unwrap());
    }
}

/// What no engine takes.
const WRONG_SQL: &str = "INSERT INTO missing_table VALUES (1);\n";

/// Tenants that know another password, and one where nobody listens.
fn shut(urls: [String; 2]) -> String {
    let [postgres, mariadb] = urls.map(|url| url.replace(postgres::APP_PASSWORD, WRONG));
    let gone = format!("postgres://app:{WRONG}@127.0.0.1:1/gone");
    [("pg-shut", postgres), ("my-shut", mariadb), ("pg-gone", gone)]
        .map(|(id, url)| format!("[[fleet.tenant]]\nid = \"{id}\"\nurl = \"{url}\"\n"))
        .concat()
}

/// The paths of all that a server shows of these deploys, and of a request that became none.
fn shown(deploys: &[&str], refused: &str) -> Vec<String> {
    let mut paths: Vec<String> = ["/", "/metrics", "/v1/server", "/v1/deploys", "/v1/tenants", "/v1/audit/export"]
        .into_iter()
        .map(str::to_owned)
        .collect();
    paths.extend(["/v1", ""].map(|before| format!("{before}/deploys/{refused}")));
    for id in deploys {
        for of in ["", "/tenants?limit=100", "/events?limit=100"] {
            paths.push(format!("/v1/deploys/{id}{of}"));
        }
        for tenant in ["pg00", "my00", "t0000"] {
            paths.extend(["/v1", ""].map(|before| format!("{before}/deploys/{id}/tenants/{tenant}")));
        }
        paths.push(format!("/deploys/{id}"));
        paths.extend(["jsonl", "csv", "html"].map(|format| format!("/v1/audit/export?deploy={id}&format={format}")));
    }
    paths
}

#[track_caller]
fn holds_no_secret(name: &str, bytes: &[u8]) {
    let passwords = [postgres::APP_PASSWORD, mariadb::APP_PASSWORD, WRONG, SECRET, HUB_TOKEN];
    for secret in passwords {
        let found = bytes.windows(secret.len()).position(|at| at == secret.as_bytes());
        let around = |at: usize| String::from_utf8_lossy(&bytes[at.saturating_sub(100)..bytes.len().min(at + 100)]);
        assert!(found.is_none(), "{name} holds {secret}: …{}…", around(found.unwrap_or(0)));
    }
}
