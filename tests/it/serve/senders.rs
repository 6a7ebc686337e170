//! Every sender, each with its own payload and its own proof, through the server's socket.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use http::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use windlass::base::Timestamp;
use windlass::base::limits::DELIVERY_BYTES_MAX;
use windlass::config::serve::Sender;

use super::house::{House, Server, answer};
use super::limits::socket;
use crate::webhook::payload;
use crate::webhook::prove::{self, SECRET, SIGNING};

/// One sender as it is set up here, and what it sends.
struct Way {
    /// The webhook's name.
    hook: &'static str,
    sender: Sender,
    secret: &'static str,
    event: &'static str,
    /// A documented payload.
    file: &'static str,
    /// Where in it the revision stands, and what stands before it there.
    at: &'static str,
    before: &'static str,
    /// How the rule reads it.
    revision: &'static str,
}

const WAYS: [Way; 7] = [
    Way {
        hook: "of-github",
        sender: Sender::Github,
        secret: SECRET,
        event: "release",
        file: "github_release",
        at: "/release/tag_name",
        before: "",
        revision: "{release.tag_name}",
    },
    Way {
        hook: "of-gitlab-signed",
        sender: Sender::Gitlab,
        secret: SIGNING,
        event: "Tag Push Hook",
        file: "gitlab_tag_push",
        at: "/ref",
        before: "refs/tags/",
        revision: "{ref|after:refs/tags/}",
    },
    Way {
        hook: "of-gitlab-clear",
        sender: Sender::Gitlab,
        secret: SECRET,
        event: "Pipeline Hook",
        file: "gitlab_pipeline",
        at: "/object_attributes/sha",
        before: "",
        revision: "{object_attributes.sha}",
    },
    Way {
        hook: "of-azure",
        sender: Sender::Azure,
        secret: SECRET,
        event: "build.complete",
        file: "azure_build_complete",
        at: "/resource/buildNumber",
        before: "",
        revision: "{resource.buildNumber}",
    },
    Way {
        hook: "of-bitbucket",
        sender: Sender::Bitbucket,
        secret: SECRET,
        event: "repo:push",
        file: "bitbucket_push",
        at: "/push/changes/0/new/name",
        before: "release/",
        revision: "{push.changes.0.new.name|after:release/}",
    },
    Way {
        hook: "of-gitea",
        sender: Sender::Gitea,
        secret: SECRET,
        event: "push",
        file: "gitea_push",
        at: "/after",
        before: "",
        revision: "{after}",
    },
    Way {
        hook: "of-standard",
        sender: Sender::Standard,
        secret: SIGNING,
        event: "release.ready",
        file: "standard_release_ready",
        at: "/data/revision",
        before: "",
        revision: "{data.revision}",
    },
];

impl Way {
    /// The lines that set this webhook up; its secret is in a variable.
    fn lines(&self) -> String {
        let Self { hook, sender, event, revision, .. } = self;
        format!(
            "[[serve.webhook]]\nname = \"{hook}\"\nsender = \"{sender}\"\nsecrets = [\"${{env:{}}}\"]\n\
             [[serve.webhook.rule]]\nevent = \"{event}\"\nrevision = \"{revision}\"\n",
            self.variable()
        )
    }

    fn variable(&self) -> String {
        self.hook.to_uppercase().replace('-', "_")
    }

    /// A secret of the same form that is not this one.
    fn other_secret(&self) -> String {
        if self.is_standard_form() {
            format!("whsec_{}", STANDARD.encode([7; 24]))
        } else {
            format!("{}-of-somebody-else", self.secret)
        }
    }

    fn is_standard_form(&self) -> bool {
        self.secret.starts_with("whsec_")
    }

    /// Whether the body is under the proof.
    fn signs(&self) -> bool {
        self.is_standard_form() || !matches!(self.sender, Sender::Azure | Sender::Gitlab)
    }

    /// The documented payload about this revision; `number` makes it a delivery of its own where the body names it.
    fn body(&self, number: usize, event: &str, revision: &str) -> Vec<u8> {
        let mut body: Value = serde_json::from_slice(&payload(self.file)).unwrap();
        *body.pointer_mut(self.at).unwrap() = json!(format!("{}{revision}", self.before));
        match self.sender {
            Sender::Azure => (body["notificationId"], body["eventType"]) = (json!(number), json!(event)),
            Sender::Standard => body["type"] = json!(event),
            _ => {}
        }
        serde_json::to_vec(&body).unwrap()
    }

    /// The headers of a delivery with this body.
    fn headers(&self, number: usize, event: &str, secret: &str, body: &[u8]) -> HeaderMap {
        let (mut headers, id) = (HeaderMap::new(), format!("delivery-{number}"));
        prove::name(self.sender, &mut headers, event);
        let named = match self.sender {
            Sender::Github => "X-GitHub-Delivery",
            Sender::Gitlab => "Idempotency-Key",
            Sender::Bitbucket => "X-Request-UUID",
            Sender::Gitea => "X-Gitea-Delivery",
            // In its body, or under its signature.
            Sender::Azure | Sender::Standard => "X-Nothing",
        };
        prove::set(&mut headers, named, &id);
        if self.is_standard_form() {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            let now = Timestamp(i64::try_from(since.as_millis()).unwrap());
            prove::sign_standard(&mut headers, secret, &id, now, body);
        } else {
            prove::prove(self.sender, &mut headers, secret, body);
        }
        headers
    }

    fn path(&self) -> String {
        format!("/webhooks/{}", self.hook)
    }

    async fn send(&self, server: &Server, headers: HeaderMap, body: Vec<u8>) -> (StatusCode, Value) {
        answer(server.ask(Method::POST, &self.path()).headers(headers).body(body)).await
    }

    /// A good delivery of a release.
    async fn deliver(&self, server: &Server, number: usize, revision: &str) -> (StatusCode, Value) {
        let body = self.body(number, self.event, revision);
        self.send(server, self.headers(number, self.event, self.secret, &body), body).await
    }

    /// Sends what is not taken, and holds the answer to this status and code.
    async fn refused(&self, server: &Server, headers: HeaderMap, body: Vec<u8>, status: u16, code: &str) {
        let (got, problem) = self.send(server, headers, body).await;
        assert_eq!((got.as_u16(), problem["code"].as_str()), (status, Some(code)), "{}: {problem}", self.hook);
    }
}

/// A house with all of these webhooks, and so many releases `r1`, `r2`, … of which each has one migration more.
fn house(releases: usize) -> House {
    let house = House::of(1, "");
    let file = house.project.at("windlass.toml");
    let hooks: String = WAYS.iter().map(Way::lines).collect();
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &hooks).unwrap();
    let written: Vec<(String, String, String)> = (1..=releases)
        .map(|n| (format!("{n:04}_t{n}"), format!("CREATE TABLE t{n} (x INTEGER);\n"), format!("DROP TABLE t{n};\n")))
        .collect();
    let migrations: Vec<(&str, &str, &str)> =
        written.iter().map(|(name, up, down)| (name.as_str(), up.as_str(), down.as_str())).collect();
    for n in 1..=releases {
        house.release(&format!("r{n}"), &migrations[..n]);
    }
    house
}

fn serve(house: &House) -> Server {
    let variables: Vec<(String, &str)> = WAYS.iter().map(|way| (way.variable(), way.secret)).collect();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, secret)| (name.as_str(), *secret)).collect();
    house.serve_with(&variables)
}

#[tokio::test]
async fn what_every_sender_sends_is_one_deploy_however_often_it_is_sent() {
    let house = house(2 * WAYS.len());
    let server = serve(&house);
    for (way, n) in WAYS.iter().zip((1..).step_by(2)) {
        let revision = format!("r{n}");
        let (status, first) = way.deliver(&server, n, &revision).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{}: {first}", way.hook);
        let id = first["id"].as_str().unwrap();
        let (status, again) = way.deliver(&server, n, &revision).await;
        assert_eq!((status, &again["id"]), (StatusCode::OK, &first["id"]), "{}", way.hook);
        let deploy = server.until(id, "completed").await;
        let webhook = &deploy["account"]["trigger"]["webhook"];
        let told = [&webhook["webhook"], &webhook["sender"], &webhook["event"], &webhook["revision"]];
        assert_eq!(told, [way.hook, way.sender.to_string().as_str(), way.event, &revision], "{deploy:#}");
        let (status, again) = way.deliver(&server, n, &revision).await;
        assert_eq!((status, &again["id"]), (StatusCode::OK, &first["id"]), "{}, after its end", way.hook);

        let revision = format!("r{}", n + 1);
        let answers = join_all((0..20).map(|_| way.deliver(&server, n + 1, &revision))).await;
        let ids: BTreeSet<&str> = answers.iter().map(|(_, answer)| answer["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 1, "{}: {answers:?}", way.hook);
        let new = answers.iter().filter(|(status, _)| *status == StatusCode::ACCEPTED).count();
        assert_eq!(new, 1, "{}: {answers:?}", way.hook);
        assert!(answers.iter().all(|(status, _)| status.is_success()), "{}: {answers:?}", way.hook);
        server.until(ids.first().unwrap(), "completed").await;
    }
    let (_, list) = server.get("/v1/deploys?limit=100").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2 * WAYS.len());
}

#[tokio::test]
async fn what_no_sender_would_send_starts_nothing() {
    let house = house(1);
    let server = serve(&house);
    for way in &WAYS {
        let good = way.body(1, way.event, "r1");
        let proved = |body: &[u8]| way.headers(1, way.event, way.secret, body);
        let by_another = way.headers(1, way.event, &way.other_secret(), &good);
        way.refused(&server, by_another, good.clone(), 401, "WL0801").await;
        let mut unproved = HeaderMap::new();
        prove::name(way.sender, &mut unproved, way.event);
        way.refused(&server, unproved, good.clone(), 401, "WL0801").await;
        if way.signs() {
            let mut altered = good.clone();
            altered.push(b' ');
            way.refused(&server, proved(&good), altered, 401, "WL0801").await;
        }
        let unknown = "an-event-that-no-rule-knows";
        let body = way.body(1, unknown, "r1");
        way.refused(&server, way.headers(1, unknown, way.secret, &body), body, 422, "WL0804").await;
        for garbage in [b"[1, 2".to_vec(), b"\xff\xfe\x00".to_vec(), b"\"a text\"".to_vec(), Vec::new()] {
            way.refused(&server, proved(&garbage), garbage, 400, "WL0802").await;
        }
        too_large(&server, way).await;
    }
    let (_, list) = server.get("/v1/deploys").await;
    assert_eq!(list["items"], json!([]));
    let said = server.said();
    assert!(!said.contains(SECRET) && !said.contains(SIGNING), "{said}");
}

/// One byte too many, under a good proof. The head alone is sent: it is answered by what it says is coming.
async fn too_large(server: &Server, way: &Way) {
    let body = vec![b' '; DELIVERY_BYTES_MAX + 1];
    let mut head = format!("POST {} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n", way.path(), body.len());
    for (name, value) in &way.headers(1, way.event, way.secret, &body) {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    let mut socket = socket(&server.url);
    let answer = tokio::task::spawn_blocking(move || {
        write!(socket, "{head}\r\n").unwrap();
        let mut answer = String::new();
        let _ = socket.read_to_string(&mut answer);
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("WL0803"), "{}: {answer}", way.hook);
}
