//! A project with SQLite tenants and a server on it, and what can be asked of it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::project::Project;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// The secret of the webhook `github` of every house.
pub const SECRET: &str = "a secret of some length";

/// A project of SQLite tenants with releases `v1`, `v2` and the faulty `bad`, and its server.
pub struct House {
    pub project: Project,
    pub http: Client,
}

impl House {
    /// One with these tenants. `more` is added to `windlass.toml` behind `[serve]`.
    pub fn of(tenants: usize, more: &str) -> Self {
        // The crate that speaks TLS for us wants to be told which arithmetic to use; who comes second finds it told.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let project = Project::new();
        for number in 0..tenants {
            project.write(&format!("tenants/t{number:04}.db"), "");
        }
        project.write(
            "windlass.toml",
            &format!(
                "name = \"shop\"\n[fleet]\nsource = {{ glob = \"tenants/*.db\" }}\n[serve]\n{more}\n\
             [serve.release]\nfolder = \"releases/{{revision}}\"\n\
             [[serve.webhook]]\nname = \"github\"\nsender = \"github\"\nsecrets = [\"${{env:HOOK_SECRET}}\"]\n\
             [[serve.webhook.rule]]\nevent = \"deployment\"\nwhen = {{ \"action\" = \"created\" }}\n\
             revision = \"{{deployment.ref}}\"\nenvironment = \"{{deployment.environment}}\"\n"
            ),
        );
        project.write("migrations/0001_orders.up.sql", ORDERS);
        project.write("migrations/0001_orders.down.sql", "DROP TABLE orders;\n");
        let house = Self { project, http: Client::new() };
        house.release("v1", &[("0001_orders", ORDERS, "DROP TABLE orders;\n")]);
        house.release(
            "v2",
            &[
                ("0001_orders", ORDERS, "DROP TABLE orders;\n"),
                (
                    "0002_status",
                    "ALTER TABLE orders ADD COLUMN status TEXT;\n",
                    "ALTER TABLE orders DROP COLUMN status;\n",
                ),
            ],
        );
        house.release(
            "bad",
            &[
                ("0001_orders", ORDERS, "DROP TABLE orders;\n"),
                ("0002_wrong", "CREATE INDEX by_nothing ON missing (x);\n", "DROP INDEX by_nothing;\n"),
            ],
        );
        house
    }

    /// The same, and its webhook `github` reports back to this address, with the token in `HUB_TOKEN`.
    pub fn telling(self, api: &str) -> Self {
        let text = std::fs::read_to_string(self.project.at("windlass.toml")).unwrap();
        let secrets = "secrets = [\"${env:HOOK_SECRET}\"]\n";
        let report = format!("{secrets}report = {{ api = \"{api}\", token = \"${{env:HUB_TOKEN}}\" }}\n");
        self.project.write("windlass.toml", &text.replacen(secrets, &report, 1));
        self
    }

    /// Puts a release where its revision is looked for.
    pub fn release(&self, revision: &str, migrations: &[(&str, &str, &str)]) {
        for (name, up, down) in migrations {
            self.project.write(&format!("releases/{revision}/{name}.up.sql"), up);
            self.project.write(&format!("releases/{revision}/{name}.down.sql"), down);
        }
    }

    /// Starts the server.
    pub fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    /// Starts the server with these variables.
    pub fn serve_with(&self, environment: &[(&str, &str)]) -> Server {
        self.start("127.0.0.1:0", environment)
    }

    /// Starts the server at this address: that of one which was killed.
    pub fn serve_at(&self, address: &str) -> Server {
        self.start(address, &[])
    }

    /// Starts the server behind a limit that the shell sets: `ulimit -n 64`.
    pub fn serve_under(&self, limit: &str) -> Server {
        let mut command = self.project.command_of("sh");
        command.args(["-c", &format!("{limit}; exec windlass \"$@\""), "sh"]);
        self.run(command, "127.0.0.1:0", &[])
    }

    fn start(&self, address: &str, environment: &[(&str, &str)]) -> Server {
        self.run(self.project.command(), address, environment)
    }

    fn run(&self, mut command: Command, address: &str, environment: &[(&str, &str)]) -> Server {
        command.args(["serve", "--listen", address]).env("HOOK_SECRET", SECRET).env("WINDLASS_LOG", "info");
        command.envs(environment.iter().copied());
        let config = std::fs::read_to_string(self.project.at("windlass.toml")).unwrap();
        let scheme = if config.contains("tls = {") { "https" } else { "http" };
        Server::start(command, scheme, self.http.clone())
    }
}

/// The first migration of every release here.
pub const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, number TEXT);\n";

/// A server that runs. Killed with this value.
pub struct Server {
    child: Child,
    http: Client,
    pub url: String,
    said: Arc<Mutex<String>>,
}

impl Server {
    fn start(mut command: Command, scheme: &str, http: Client) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        let complaints = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in complaints.lines().map_while(Result::ok) {
                let mut heard = heard.lock().unwrap();
                heard.push_str(&line);
                heard.push('\n');
            }
        });
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        // How others reach it may be something else.
        let bound =
            line.split_once("(listening on ").and_then(|(_, rest)| rest.split_once(')')).map(|(bound, _)| bound);
        let bound = bound.unwrap_or_else(|| panic!("it does not say where it is: {line}{}", said.lock().unwrap()));
        let url = format!("{scheme}://{bound}");
        // What it says at its end must have somewhere to go.
        std::thread::spawn(move || answers.lines().map_while(Result::ok).for_each(drop));
        Self { child, http, url, said }
    }

    /// What it has complained of so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Lets its files grow, or no file by a single byte.
    pub fn files_may_grow(&self, may: bool) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let limit = rustix::process::Rlimit { current: if may { None } else { Some(0) }, maximum: None };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, limit).unwrap();
    }

    /// Waits until this is what keeps its fleet from moving.
    pub async fn until_trouble(&self, code: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, server) = self.get("/v1/server").await;
            if server["fleets"][0]["trouble"]["code"] == code {
                return;
            }
            assert!(Instant::now() < deadline, "never {code}: {server:#}\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills it with SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal, by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success(), "no signal {name}");
    }

    /// Waits until it takes no more connections: it knows that it is to end.
    pub async fn until_closed(&self) {
        let address = self.url.split_once("//").map(|(_, address)| address).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            assert!(Instant::now() < deadline, "it still listens: {}", self.said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether its process has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its own end.
    pub async fn ends(mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end: {}", self.said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A request to a path.
    pub fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// What a path answers.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.ask(Method::GET, path)).await
    }

    /// What a path answers to a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        answer(self.ask(Method::POST, path).json(body)).await
    }

    /// Sends a GitHub-shaped delivery of a deployment of this revision, signed with [`SECRET`].
    pub async fn deliver(&self, id: &str, revision: &str) -> (StatusCode, Value) {
        answer(self.delivery(id, &deployment(id, revision))).await
    }

    /// A delivery to the webhook `github`, ready to be sent.
    pub fn delivery(&self, id: &str, body: &Value) -> RequestBuilder {
        let body = serde_json::to_vec(body).unwrap();
        self.ask(Method::POST, "/webhooks/github")
            .header("x-github-event", "deployment")
            .header("x-github-delivery", id)
            .header("x-hub-signature-256", format!("sha256={}", hmac(SECRET, &body)))
            .header("content-type", "application/json")
            .body(body)
    }

    /// Waits until a deploy stands like this; gives how it is shown.
    pub async fn until(&self, id: &str, standing: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, deploy) = self.get(&format!("/v1/deploys/{id}")).await;
            if deploy["standing"] == standing {
                return deploy;
            }
            assert!(Instant::now() < deadline, "never {standing}: {deploy:#}\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Server {
    /// Waits until a deploy is over, or will never be one.
    pub async fn until_settled(&self, id: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, deploy) = self.get(&format!("/v1/deploys/{id}")).await;
            if !matches!(deploy["standing"].as_str(), Some("queued" | "under_way" | "unwinding" | "paused")) {
                return deploy;
            }
            assert!(Instant::now() < deadline, "never over: {deploy:#}\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status and the JSON of an answer; null where it is none.
pub async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, response.json().await.unwrap_or(Value::Null))
}

/// The body of a `deployment` event, in GitHub's shape. The id makes each one another.
pub fn deployment(id: &str, revision: &str) -> Value {
    json!({
        "action": "created",
        "deployment": {
            "id": 42, "node_id": id, "ref": revision, "task": "deploy", "environment": "production",
            "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e", "payload": {},
        },
        "repository": { "id": 1, "full_name": "octo/shop" },
        "sender": { "login": "octocat" },
    })
}

/// HMAC-SHA256, as hexadecimal digits.
pub fn hmac(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
