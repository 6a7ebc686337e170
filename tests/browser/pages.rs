//! Ways through the page.

use serde_json::{Value, json};

use super::axe::violations;
use super::browser::Browser;
use super::house::{House, Server};
use super::releases;

/// Tenants of a fleet.
const TENANTS: usize = 300;

/// The tenant with which something is wrong.
const TROUBLED: &str = "t0150";

/// Two rows with one number.
const TWICE: &str = "INSERT INTO orders (number) VALUES ('7'), ('7')";

/// A fleet that is on release `v1`, and its server.
async fn founded(troubled: bool) -> (House, Server) {
    let house = House::of(TENANTS, "");
    let server = house.serve();
    let id = ask(&server, "v1").await;
    server.until(&id, "completed").await;
    if troubled {
        house.project.sql(&format!("tenants/{TROUBLED}.db"), TWICE).await.unwrap();
    }
    (house, server)
}

async fn ask(server: &Server, revision: &str) -> String {
    let (status, answer) = server.post("/v1/deploys", &json!({ "revision": revision })).await;
    assert!(status.is_success(), "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

/// Opens the page of a deploy once it has begun, and marks the document, so that a later look tells whether it is still this one.
async fn open(browser: &Browser, server: &Server, id: &str) {
    browser.goto(&format!("{}/deploys/{id}", server.url)).await;
    browser.until("document.querySelectorAll('.cells a').length === 300").await;
    browser.execute("window.same = true;").await;
}

async fn is_still_the_same_document(browser: &Browser) {
    assert_eq!(browser.value("window.same === true").await, Value::Bool(true), "the page was loaded anew");
}

fn cells(state: &str) -> String {
    format!("document.querySelectorAll('.cells a.{state}').length")
}

async fn is_in_good_order(browser: &Browser) {
    assert_eq!(violations(browser).await, Vec::<String>::new());
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_is_watched_to_its_end_without_a_reload() {
    let (house, server) = founded(false).await;
    releases::slow_one(&house);
    let browser = Browser::start().await;
    let id = ask(&server, "slow").await;
    open(&browser, &server, &id).await;
    browser.until_standing("Under way").await;
    browser.until(&format!("{} > 60 && {} > 60", cells("completed"), cells("pending"))).await;
    browser.pictures("running").await;
    browser.until_standing("Completed").await;
    browser.until(&format!("{} === 300", cells("completed"))).await;
    is_still_the_same_document(&browser).await;
    let said = browser.value("document.getElementById('said').textContent").await;
    assert!(said.as_str().unwrap().starts_with("Completed. "), "a screen reader was told {said}");
    assert!(browser.value("document.querySelector('[data-command=rollback]') !== null").await == Value::Bool(true));
    browser.pictures("done").await;
    is_in_good_order(&browser).await;
    browser.goto(&format!("{}/", server.url)).await;
    browser.until("document.querySelectorAll('.row').length === 2").await;
    browser.pictures("home").await;
    is_in_good_order(&browser).await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_fails_is_seen_to_unwind() {
    let (house, server) = founded(true).await;
    releases::unique(&house);
    let browser = Browser::start().await;
    let id = ask(&server, "unique").await;
    open(&browser, &server, &id).await;
    browser.until_standing("Unwinding").await;
    browser.until(&format!("{} > 30 && {} > 30", cells("unwound"), cells("completed"))).await;
    browser.pictures("unwinding").await;
    browser.until_standing("Unwound").await;
    is_still_the_same_document(&browser).await;
    let failures = browser.value("document.querySelector('.failures').innerText").await;
    assert!(failures.as_str().unwrap().contains(TROUBLED), "{failures}");
    browser.pictures("unwound").await;
    is_in_good_order(&browser).await;
    browser.click(&format!(".names a[href$='/tenants/{TROUBLED}']")).await;
    browser.until("document.querySelectorAll('.steps li').length > 0").await;
    browser.pictures("tenant").await;
    is_in_good_order(&browser).await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_tenant_is_mended_and_its_retry_clicked() {
    let (house, server) = founded(true).await;
    releases::stubborn(&house);
    let browser = Browser::start().await;
    let id = ask(&server, "stubborn").await;
    open(&browser, &server, &id).await;
    browser.until(&format!("document.querySelector('.cells a.completed[title^=\"{TROUBLED}:\"]') !== null")).await;
    browser.click("[data-command=unwind] summary").await;
    browser.write("#reason-unwind", "the report is wrong").await;
    browser.click("[data-command=unwind] [name=confirm]").await;
    browser.click("[data-command=unwind] button").await;
    browser.until_standing("Waits for a human").await;
    browser.until(&format!("{} === 1", cells("stuck"))).await;
    browser.pictures("stuck").await;
    is_in_good_order(&browser).await;
    // On the phone that woke somebody up.
    browser.resize(420, 900).await;
    browser.picture("stuck-narrow-light").await;
    assert_eq!(browser.value("document.documentElement.scrollWidth <= window.innerWidth").await, Value::Bool(true));
    is_in_good_order(&browser).await;
    browser.resize(1400, 1000).await;
    // The list of those that are stuck, by the legend; and the tenant, by the list.
    browser.click(".legend a[href='?state=stuck']").await;
    browser.until("document.querySelectorAll('tbody tr').length === 1").await;
    is_in_good_order(&browser).await;
    browser.click("tbody a").await;
    browser.until("document.querySelector('[data-command=retry]') !== null").await;
    browser.pictures("stuck-tenant").await;
    is_in_good_order(&browser).await;
    house.project.sql(&format!("tenants/{TROUBLED}.db"), "UPDATE orders SET number = id").await.unwrap();
    browser.click("[data-command=retry] summary").await;
    browser.write("#reason-retry", "the numbers are mended").await;
    browser.click("[data-command=retry] [name=confirm]").await;
    browser.click("[data-command=retry] button").await;
    browser.until("document.querySelector('.facts a[href^=\"/deploys/\"]') !== null").await;
    browser.click(".facts a[href^=\"/deploys/\"]").await;
    browser.until_standing("Unwound").await;
    is_in_good_order(&browser).await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_for_those_who_log_in_and_for_keyboards() {
    let (house, server) = founded(false).await;
    let ran = house.project.windlass("--json token create --name ada --role viewer").ends_with(0);
    let token: Value = serde_json::from_str(&ran.stdout).unwrap();
    let deploys = house.project.windlass("--json status --all").ends_with(0);
    let deploys: Value = serde_json::from_str(&deploys.stdout).unwrap();
    let id = deploys[0]["deploy"].as_str().unwrap().to_owned();
    let browser = Browser::start().await;
    browser.goto(&format!("{}/deploys/{id}", server.url)).await;
    browser.until("document.getElementById('token') !== null").await;
    browser.pictures("login").await;
    is_in_good_order(&browser).await;
    browser.write("#token", token["token"].as_str().unwrap()).await;
    browser.click("main button").await;
    browser.until_standing("Completed").await;
    // A viewer steers nothing.
    assert_eq!(browser.value("document.querySelector('.command') === null").await, Value::Bool(true));
    // One stop for all cells, and arrows between them.
    assert_eq!(browser.value("document.querySelectorAll('.cells a[tabindex=\"0\"]').length").await, json!(1));
    browser.execute("document.querySelector('.cells a').focus();").await;
    browser.write(".cells a", "\u{e014}").await;
    assert_eq!(browser.value("document.activeElement.title").await, json!("t0001: completed"));
    is_in_good_order(&browser).await;
    browser.click(".who button").await;
    browser.until("document.getElementById('token') !== null").await;
    browser.end().await;
}

/// The other tests say that nothing is found. Here something is there to be found.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_page_is_found() {
    let house = House::of(1, "");
    house.project.windlass("token create --name ada --role viewer").ends_with(0);
    let server = house.serve();
    let browser = Browser::start().await;
    browser.goto(&format!("{}/login", server.url)).await;
    is_in_good_order(&browser).await;
    browser.execute("document.documentElement.removeAttribute('lang');").await;
    let found = violations(&browser).await;
    assert!(found.len() == 2 && found.iter().all(|of| of.contains("html-has-lang")), "{found:?}");
    browser.execute("document.body.setAttribute('style', 'color: red');").await;
    let complaints = browser.complaints().await;
    assert!(complaints.iter().any(|of| of.contains("Content Security Policy")), "{complaints:?}");
    browser.end().await;
}
