//! The page over HTTP: sessions, forms, and what whom is shown.

use reqwest::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::json;

use windlass::base::SystemClock;
use windlass::log::{Blob, Log as _, NewTenant, SqliteLog};
use windlass::saga::event::DeployEvent;
use windlass::saga::summary::TenantStatus;

use super::access::token;
use super::house::{House, Server};
use crate::log::bench;

/// What a browser says that it would like.
const HTML: &str = "text/html,application/xhtml+xml";

/// Somebody at a browser, which follows nothing by itself.
pub(super) struct Visitor<'s> {
    server: &'s Server,
    http: Client,
    cookie: Option<String>,
}

impl<'s> Visitor<'s> {
    pub(super) fn of(server: &'s Server) -> Self {
        Self { server, http: Client::builder().redirect(Policy::none()).build().unwrap(), cookie: None }
    }

    /// Somebody who has logged in with a token.
    async fn with(server: &'s Server, token: &str) -> Self {
        let mut visitor = Self::of(server);
        let answer = visitor.login(token, "/").await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let cookie = set_cookie(&answer).split(';').next().unwrap().to_owned();
        visitor.cookie = Some(cookie);
        visitor
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.server.url)).header("accept", HTML);
        match &self.cookie {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    }

    pub(super) async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.form(path, fields).send().await.unwrap()
    }

    fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.request(Method::POST, path).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
    }

    async fn login(&self, token: &str, next: &str) -> Response {
        self.send("/login", &[("token", token), ("next", next)]).await
    }

    /// What the forms on the pages of this visitor carry.
    pub(super) async fn csrf(&self, path: &str) -> String {
        let page = self.page(path).await;
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap_or_else(|| panic!("no form: {page}"));
        rest.split('"').next().unwrap().to_owned()
    }
}

fn set_cookie(answer: &Response) -> String {
    answer.headers()[SET_COOKIE].to_str().unwrap().to_owned()
}

pub(super) fn location(answer: &Response) -> &str {
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    answer.headers()[LOCATION].to_str().unwrap()
}

/// A deploy that stands still until it is told to go on.
async fn paused(server: &Server, token: Option<&str>, reason: &str) -> String {
    let ask = |path: String, body| {
        let request = server.ask(Method::POST, &path).json(&body);
        if let Some(token) = token { request.bearer_auth(token) } else { request }
    };
    let asked = ask("/v1/deploys".to_owned(), json!({ "revision": "slow" })).send().await.unwrap();
    let asked: serde_json::Value = asked.json().await.unwrap();
    let id = asked["id"].as_str().unwrap().to_owned();
    loop {
        // It may only have been asked for so far.
        let said = ask(format!("/v1/deploys/{id}/pause"), json!({ "reason": reason })).send().await.unwrap();
        if said.status().is_success() {
            return id;
        }
        assert_eq!(said.status(), StatusCode::CONFLICT, "{}", said.text().await.unwrap());
        tokio::task::yield_now().await;
    }
}

/// A release that nobody sees the end of: each tenant takes half a second or more.
fn slow(house: &House) {
    let up = "CREATE TABLE orders AS WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000000) \
              SELECT count(*) AS rows FROM n;\n";
    house.release("slow", &[("0001_orders", up, "DROP TABLE orders;\n")]);
}

#[tokio::test]
async fn a_deep_link_survives_the_login() {
    let house = House::of(1, "");
    let admin = token(&house, "admin", &[]);
    let server = house.serve();
    let visitor = Visitor::of(&server);
    let wanted = "/deploys/01a1ffa5-db61-716b-9d4d-8d66b9cbfdba?state=stuck&after=7";
    let answer = visitor.get(wanted).await;
    let login = location(&answer).to_owned();
    assert!(login.starts_with("/login?next=%2Fdeploys%2F"), "{login}");
    let form = visitor.page(&login).await;
    assert!(
        form.contains("name=\"next\" value=\"/deploys/01a1ffa5-db61-716b-9d4d-8d66b9cbfdba?state=stuck&#38;after=7\"")
    );
    assert_eq!(location(&visitor.login(&admin, wanted).await), wanted);
    for elsewhere in ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"] {
        assert_eq!(location(&visitor.login(&admin, elsewhere).await), "/", "{elsewhere}");
    }
    // Whoever is in already goes on at once.
    let inside = Visitor::with(&server, &admin).await;
    assert_eq!(location(&inside.get(&login).await), wanted);
}

#[tokio::test]
async fn a_session_lies_in_a_cookie_that_nothing_else_can_use_and_ends_at_its_logout() {
    let house = House::of(1, "");
    let viewer = token(&house, "viewer", &[]);
    let server = house.serve();
    let answer = Visitor::of(&server).login(&viewer, "/").await;
    let cookie = set_cookie(&answer);
    let attributes: Vec<&str> = cookie.split("; ").skip(1).collect();
    assert_eq!(attributes, ["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"]);
    assert!(!cookie.contains(&viewer), "the cookie is the token itself");
    let visitor = Visitor::with(&server, &viewer).await;
    let csrf = visitor.csrf("/").await;
    // A form without its proof, or with another's, ends nothing.
    let other = Visitor::with(&server, &viewer).await.csrf("/").await;
    assert_ne!(csrf, other);
    for wrong in [vec![], vec![("csrf", "")], vec![("csrf", other.as_str())]] {
        let answer = visitor.send("/logout", &wrong).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert!(answer.text().await.unwrap().contains("WL0841"));
        assert_eq!(visitor.get("/").await.status(), StatusCode::OK);
    }
    let answer = visitor.send("/logout", &[("csrf", &csrf)]).await;
    assert_eq!(location(&answer), "/login");
    assert!(set_cookie(&answer).starts_with("windlass_session=; Path=/; Max-Age=0"));
    // Also for whoever has kept the cookie.
    assert_eq!(location(&visitor.get("/").await), "/login");
}

#[tokio::test]
async fn a_session_is_secure_where_the_server_is_reached_over_tls() {
    let house = House::of(1, "url = \"https://windlass.example.org\"");
    let viewer = token(&house, "viewer", &[]);
    let server = house.serve();
    let answer = Visitor::of(&server).login(&viewer, "/").await;
    assert!(set_cookie(&answer).ends_with("; Secure"), "{}", set_cookie(&answer));
}

#[tokio::test]
async fn a_session_is_no_token_and_ends_with_the_token_it_was_opened_with() {
    let house = House::of(1, "");
    // Whatever becomes of the other one, the server needs a token.
    token(&house, "admin", &[]);
    let viewer = token(&house, "viewer", &[]);
    let server = house.serve();
    let visitor = Visitor::with(&server, &viewer).await;
    let session = visitor.cookie.clone().unwrap().split_once('=').unwrap().1.to_owned();
    assert_eq!(Visitor::of(&server).login(&session, "/").await.status(), StatusCode::UNAUTHORIZED);
    // Nor does a token do as a cookie, which a page elsewhere might set.
    let mut forged = Visitor::of(&server);
    forged.cookie = Some(format!("windlass_session={viewer}"));
    assert_eq!(location(&forged.get("/").await), "/login");
    let id = viewer.split('_').nth(1).unwrap();
    house.project.windlass(&format!("token revoke {id}")).ends_with(0);
    assert_eq!(location(&visitor.get("/").await), "/login");
}

#[tokio::test]
async fn a_token_is_not_guessed_at_the_login() {
    let house = House::of(1, "");
    let viewer = token(&house, "viewer", &[]);
    let server = house.serve();
    let visitor = Visitor::of(&server);
    let first = visitor.login("wl_00000000_guess", "/").await;
    assert_eq!(first.status(), StatusCode::UNAUTHORIZED);
    assert!(first.headers().get(SET_COOKIE).is_none());
    assert!(first.text().await.unwrap().contains("This token is not good"));
    let mut last = StatusCode::UNAUTHORIZED;
    for _ in 0..40 {
        last = visitor.login("wl_00000000_guess", "/").await.status();
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    // What is right is let in all the same.
    assert_eq!(location(&visitor.login(&viewer, "/").await), "/");
    // Another site logs nobody in.
    let elsewhere = visitor.form("/login", &[("token", &viewer)]).header("origin", "https://evil.example");
    assert_eq!(elsewhere.send().await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_operator_steers_by_a_form_that_is_meant_and_a_viewer_sees_none() {
    let house = House::of(60, "");
    slow(&house);
    let (viewer, operator) = (token(&house, "viewer", &[]), token(&house, "operator", &[]));
    let server = house.serve();
    let id = paused(&server, Some(&operator), "look at it first").await;
    let page = format!("/deploys/{id}");
    let looking = Visitor::with(&server, &viewer).await;
    let shown = looking.page(&page).await;
    assert!(shown.contains("Paused") && shown.contains("look at it first"), "{shown}");
    assert!(!shown.contains("data-command"), "a viewer is shown commands");
    let csrf = looking.csrf(&page).await;
    let fields = [("csrf", csrf.as_str()), ("confirm", "yes"), ("reason", "because")];
    assert_eq!(looking.send(&format!("{page}/unwind"), &fields).await.status(), StatusCode::FORBIDDEN);
    let steering = Visitor::with(&server, &operator).await;
    let shown = steering.page(&page).await;
    for command in ["resume", "unwind"] {
        assert!(shown.contains(&format!("data-command=\"{command}\"")), "{command} is not there");
    }
    assert!(!shown.contains("data-command=\"pause\""), "a paused deploy can be paused");
    let mine = steering.csrf(&page).await;
    let unwind = format!("{page}/unwind");
    for (csrf, confirm, status, code) in [
        ("", "yes", StatusCode::FORBIDDEN, "WL0841"),
        (csrf.as_str(), "yes", StatusCode::FORBIDDEN, "WL0841"),
        (mine.as_str(), "", StatusCode::BAD_REQUEST, "WL0005"),
    ] {
        let fields = [("csrf", csrf), ("confirm", confirm), ("reason", "because")];
        let answer = steering.send(&unwind, &fields).await;
        assert_eq!(answer.status(), status);
        assert!(answer.text().await.unwrap().contains(code));
        assert!(steering.page(&page).await.contains("Paused"), "it was done all the same");
    }
    let fields = [("csrf", mine.as_str()), ("confirm", "yes"), ("reason", "it is wrong")];
    assert_eq!(location(&steering.send(&unwind, &fields).await), page);
    let shown = steering.page(&page).await;
    assert!(shown.contains("operator@127.0.0.1 said so: it is wrong"), "{shown}");
}

#[tokio::test]
async fn a_server_without_tokens_takes_forms_of_its_own_pages_alone() {
    let house = House::of(60, "");
    slow(&house);
    let server = house.serve();
    let id = paused(&server, None, "look at it first").await;
    let page = format!("/deploys/{id}");
    let visitor = Visitor::of(&server);
    let csrf = visitor.csrf(&page).await;
    let resume = format!("{page}/resume");
    assert_eq!(visitor.send(&resume, &[("confirm", "yes")]).await.status(), StatusCode::FORBIDDEN);
    let fields = [("csrf", csrf.as_str()), ("confirm", "yes")];
    let elsewhere = visitor.form(&resume, &fields).header("origin", "https://evil.example");
    assert_eq!(elsewhere.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert!(visitor.page(&page).await.contains("Paused"));
    assert_eq!(location(&visitor.send(&resume, &fields).await), page);
    assert!(!visitor.page(&page).await.contains("<span id=\"standing-word\">Paused"));
}

#[tokio::test]
async fn nothing_that_others_say_becomes_a_part_of_a_page() {
    let house = House::of(60, "");
    slow(&house);
    let hostile = "<img src=x onerror=alert(1)>&\"'\u{202e}";
    house.project.write(&format!("tenants/a{hostile}.db"), "");
    let server = house.serve();
    let reason = "<script>alert(1)</script>\u{1b}[2K\u{202e}";
    let id = paused(&server, None, reason).await;
    let visitor = Visitor::of(&server);
    let in_path = "a%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E%26%22%27%E2%80%AE";
    for path in [
        "/".to_owned(),
        format!("/deploys/{id}"),
        format!("/deploys/{id}?state=pending"),
        format!("/deploys/{id}/tenants/{in_path}"),
    ] {
        let page = visitor.page(&path).await;
        assert!(!page.contains("<script>") && !page.contains("<img src=x"), "{path}: {page}");
        assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}'), "{path}: {page}");
    }
    let page = visitor.page(&format!("/deploys/{id}")).await;
    assert!(page.contains("&#60;script&#62;alert(1)&#60;/script&#62;\u{fffd}[2K\u{fffd}"), "{page}");
    assert!(page.contains("a&#60;img src=x onerror=alert(1)&#62;&#38;&#34;&#39;\u{fffd}: "), "{page}");
    let nowhere = visitor.get(&format!("/deploys/{id}?state=%3Cscript%3E")).await;
    assert_eq!(nowhere.status(), StatusCode::BAD_REQUEST);
    assert!(!nowhere.text().await.unwrap().contains("<script>"));
}

#[tokio::test]
async fn pages_hold_no_script_and_no_style_and_load_what_never_changes() {
    let house = House::of(2, "");
    let server = house.serve();
    let (_, asked) = server.post("/v1/deploys", &json!({ "revision": "v1" })).await;
    let id = asked["id"].as_str().unwrap();
    server.until(id, "completed").await;
    let visitor = Visitor::of(&server);
    for path in ["/".to_owned(), format!("/deploys/{id}"), format!("/deploys/{id}/tenants/t0001")] {
        let answer = visitor.get(&path).await;
        let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.contains("script-src 'self'; style-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        let page = answer.text().await.unwrap();
        for inline in ["<style", " style=", "<script>", " onclick=", "javascript:", "http://", "//cdn"] {
            assert!(!page.contains(inline), "{path} holds {inline}");
        }
        let assets: Vec<&str> = page.split("\"/assets/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(assets.len() >= 2, "{page}");
        for name in assets {
            let asset = visitor.get(&format!("/assets/{name}")).await;
            assert_eq!(asset.status(), StatusCode::OK, "{name}");
            assert_eq!(asset.headers()[CACHE_CONTROL], "public, max-age=31536000, immutable");
        }
    }
    assert_eq!(visitor.get("/assets/style.css").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn of_the_parts_of_a_page_those_come_that_have_changed() {
    let house = House::of(3, "");
    let server = house.serve();
    let (_, asked) = server.post("/v1/deploys", &json!({ "revision": "v1" })).await;
    let id = asked["id"].as_str().unwrap();
    server.until(id, "completed").await;
    let visitor = Visitor::of(&server);
    let parts = format!("/deploys/{id}/parts");
    let all = visitor.page(&format!("{parts}/all")).await;
    let digests: Vec<&str> = all.split("data-digest=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(digests.len(), 7, "{all}");
    let rest = visitor.page(&format!("{parts}/all?have={}", digests[1..].join(","))).await;
    assert_eq!(rest.matches("data-digest=").count(), 1);
    assert!(rest.contains("id=\"part-headline\"") && rest.contains("data-how=\"no\""), "{rest}");
    assert!(visitor.page(&format!("{parts}/cells")).await.contains("t0002: completed"));
    assert_eq!(visitor.get(&format!("{parts}/nothing")).await.status(), StatusCode::NOT_FOUND);
    // A cell of one tenant leads to that tenant.
    assert_eq!(location(&visitor.get(&format!("/deploys/{id}?cell=2")).await), format!("/deploys/{id}/tenants/t0002"));
}

#[tokio::test]
async fn what_was_refused_is_told_on_the_first_page_with_its_reason() {
    let house = House::of(1, "");
    let server = house.serve();
    house.release("undoable", &[("0001_orders", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n", "")]);
    std::fs::remove_file(house.project.at("releases/undoable/0001_orders.down.sql")).unwrap();
    let (_, asked) = server.post("/v1/deploys", &json!({ "revision": "undoable" })).await;
    let id = asked["id"].as_str().unwrap_or_else(|| panic!("{asked}"));
    server.until(id, "refused").await;
    let visitor = Visitor::of(&server);
    for path in ["/".to_owned(), format!("/deploys/{id}")] {
        let page = visitor.page(&path).await;
        assert!(page.contains("Refused") && page.contains("WL0104"), "{page}");
    }
    // Of fleets that a token does not cover nothing is told.
    let elsewhere = token(&house, "viewer", &["--fleet", "elsewhere"]);
    let stranger = Visitor::with(&server, &elsewhere).await;
    assert!(!stranger.page("/").await.contains("shop"));
    let nothing = stranger.get(&format!("/deploys/{id}")).await;
    assert_eq!(nothing.status(), StatusCode::NOT_FOUND);
    assert!(nothing.text().await.unwrap().contains("<h1>"), "a browser is answered in words for machines");
}

/// A deploy of this many tenants that stands still: the hundredth part is completed, one is stuck, the rest has not begun.
async fn large(house: &House, tenants: usize) -> String {
    let log = SqliteLog::open(house.project.at("windlass.db"), std::sync::Arc::new(SystemClock)).await.unwrap();
    let tenant = |number: usize| {
        let status = match number {
            4_711 => TenantStatus::Stuck,
            _ if number < tenants / 100 => TenantStatus::Completed,
            _ => TenantStatus::Pending,
        };
        NewTenant { summary: bench::summary(status, 0, 0), ..bench::new_tenant(&format!("t{number:07}")) }
    };
    let mut new = bench::new_deploy("shop", (0..tenants).map(tenant).collect());
    new.blobs.push(Blob::new(b"workflow".to_vec()));
    let id = new.id;
    log.create_deploy(new).await.unwrap();
    let paused = DeployEvent::DeployPaused { actor: bench::actor(), reason: "lunch".into() };
    log.append(bench::append_to_deploy(id, 1, paused)).await.unwrap();
    id.to_string()
}

/// Six thousand tenants; with `WINDLASS_LONG` a million.
#[tokio::test]
async fn however_many_tenants_there_are_a_page_has_two_thousand_cells_at_most_and_the_one_that_is_stuck_is_seen() {
    let tenants = if std::env::var_os("WINDLASS_LONG").is_some() { 1_000_000 } else { 6_000 };
    let house = House::of(1, "");
    let id = large(&house, tenants).await;
    let server = house.serve();
    let visitor = Visitor::of(&server);
    let begun = std::time::Instant::now();
    let page = visitor.page(&format!("/deploys/{id}")).await;
    println!("{tenants} tenants: {} bytes in {:?}", page.len(), begun.elapsed());
    assert_eq!(page.matches("href=\"?cell=").count(), 2_000);
    assert_eq!(page.matches("<a class=\"stuck\"").count(), 1);
    let cell = 4_711 / (tenants / 2_000);
    assert!(page.contains(&format!("<a class=\"stuck\" href=\"?cell={cell}\"")), "another cell is");
    assert!(page.len() < 400_000, "{} bytes", page.len());
    // The cell lists its tenants, and so does the legend.
    let listed = visitor.page(&format!("/deploys/{id}?cell={cell}")).await;
    assert_eq!(listed.matches("<tr><th scope=\"row\">").count(), (tenants / 2_000).min(100));
    let stuck = visitor.page(&format!("/deploys/{id}?state=stuck")).await;
    assert_eq!(stuck.matches("<tr><th scope=\"row\">").count(), 1);
    assert!(stuck.contains("t0004711"));
    // All of those that have not begun, page by page.
    let first = visitor.page(&format!("/deploys/{id}?state=pending")).await;
    let (_, next) = first.split_once("class=\"button\" href=\"").unwrap();
    let next = next.split('"').next().unwrap().replace("&#38;", "&");
    let second = visitor.page(&next).await;
    let row = |number: usize| format!("/tenants/t{number:07}\"");
    let at = tenants / 100 + usize::from(tenants / 100 <= 4_711 && 4_711 < tenants / 100 + 100);
    assert!(first.contains(&row(at)) && !second.contains(&row(at)));
    assert!(second.contains(&row(at + 100)), "{second}");
}
