//! The whole way, once: a signed delivery of a webhook, a hundred tenants on three engines, the server killed in the middle and started
//! again, the same delivery once more. What happens is printed: `./test a_webhook_deploys -- --nocapture` shows it.

use reqwest::StatusCode;
use serde_json::json;

use super::fake::Fake;
use super::house::{House, SECRET};
use crate::support::{mariadb, postgres};

const POSTGRES: usize = 33;
const MARIADB: usize = 33;
const SQLITE: usize = 34;

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

    let server = house.serve_with(&[("HUB_TOKEN", "hub-secret")]);
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
    server.kill();
    println!("the server killed with -9 at: {census}");
    assert!(census["completed"].as_u64().unwrap() < 100, "it was over before it could be killed: {census}");

    let server = house.serve_with(&[("HUB_TOKEN", "hub-secret")]);
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
    drop(server);

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
