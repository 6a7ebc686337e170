//! A headless Chromium, driven by its own driver; both end with the value.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything that is waited for may take.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// How often a page is looked at while something is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// The page in the light and in the dark.
pub const SCHEMES: [&str; 2] = ["light", "dark"];

/// A driver, killed with this value; its browser ends with it.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A browser with one window.
///
/// Spoken to in the W3C's `WebDriver` protocol, of which the tests need ten commands: a client for all of it is not worth its weight.
pub struct Browser {
    http: Client,
    session: String,
    _driver: Driver,
    _profile: TempDir,
}

impl Browser {
    /// Starts one.
    pub async fn start() -> Self {
        let mut driver = Command::new("chromedriver");
        let driver = driver.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = Driver(driver.expect("chromedriver: apt-get install chromium chromium-driver"));
        let mut lines = BufReader::new(driver.0.stdout.take().unwrap()).lines();
        let said = |line: &String| line.contains("started successfully on port");
        let line = lines.by_ref().map_while(Result::ok).find(said).expect("chromedriver does not say its port");
        let port = line.trim_end_matches('.').rsplit(' ').next().unwrap().to_owned();
        // What it says later must have somewhere to go.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--force-device-scale-factor=1",
            "--window-size=1400,1000",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let capabilities = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut browser = Self {
            http: Client::new(),
            session: format!("http://127.0.0.1:{port}"),
            _driver: driver,
            _profile: profile,
        };
        let made = browser.post("session", json!({ "capabilities": { "alwaysMatch": capabilities } })).await;
        browser.session = format!("{}/session/{}", browser.session, made["sessionId"].as_str().unwrap());
        browser
    }

    /// A command to the driver, and what it gives.
    async fn command(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request = self.http.request(method, format!("{}/{path}", self.session).trim_end_matches('/').to_owned());
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let mut answer: Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{path} {}: {answer:#}", body.unwrap_or_default());
        answer["value"].take()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.command(Method::POST, path, Some(body)).await
    }

    /// Goes to an address.
    pub async fn goto(&self, url: &str) {
        self.post("url", json!({ "url": url })).await;
    }

    /// Makes the window so large.
    pub async fn resize(&self, width: u32, height: u32) {
        self.post("window/rect", json!({ "width": width, "height": height })).await;
    }

    /// Runs a script in the page.
    pub async fn execute(&self, script: &str) -> Value {
        self.post("execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Runs a script in the page that calls its last argument with what it gives.
    pub async fn execute_async(&self, script: &str) -> Value {
        self.post("execute/async", json!({ "script": script, "args": [] })).await
    }

    /// The path of the one thing that a selector names.
    async fn find(&self, css: &str) -> String {
        let found = self.post("element", json!({ "using": "css selector", "value": css })).await;
        let id = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        format!("element/{id}")
    }

    /// Ends the browser in good order.
    pub async fn end(self) {
        self.command(Method::DELETE, "", None).await;
    }

    /// Shows the page as for somebody who likes it so.
    pub async fn scheme(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// A command of the developer tools' protocol.
    pub async fn devtools(&self, cmd: &str, params: Value) -> Value {
        self.post("goog/cdp/execute", json!({ "cmd": cmd, "params": params })).await
    }

    /// What the console complained of since it was last asked: errors of scripts, of loading and of the content security policy.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", json!({ "type": "browser" })).await;
        let bad = log.as_array().unwrap().iter().filter(|of| of["level"] == "SEVERE" || of["level"] == "WARNING");
        bad.map(|of| of["message"].as_str().unwrap().to_owned()).collect()
    }

    /// The value of an expression in the page.
    pub async fn value(&self, expression: &str) -> Value {
        self.execute(&format!("return ({expression});")).await
    }

    /// Waits until an expression is true in the page, which is not loaded anew for it.
    pub async fn until(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(expression).await != Value::Bool(true) {
            if Instant::now() > deadline {
                let shown = self.value("document.body.innerText").await;
                panic!("never {expression}:\n{}", shown.as_str().unwrap_or_default());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the headline says so.
    pub async fn until_standing(&self, word: &str) {
        let word = serde_json::to_string(word).unwrap();
        self.until(&format!("document.getElementById('standing-word')?.textContent === {word}")).await;
    }

    /// Clicks on the one thing that a selector names.
    pub async fn click(&self, css: &str) {
        let found = self.find(css).await;
        self.post(&format!("{found}/click"), json!({})).await;
    }

    /// Types into the one field that a selector names.
    pub async fn write(&self, css: &str, text: &str) {
        let found = self.find(css).await;
        self.post(&format!("{found}/value"), json!({ "text": text })).await;
    }

    /// Keeps a picture of the whole page in `target/screenshots`, in the light and in the dark.
    pub async fn pictures(&self, name: &str) {
        for scheme in SCHEMES {
            self.scheme(scheme).await;
            self.picture(&format!("{name}-{scheme}")).await;
        }
        self.scheme("light").await;
    }

    /// Keeps a picture of what the window shows.
    pub async fn picture(&self, name: &str) {
        let folder = target().join("screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        let picture = self.command(Method::GET, "screenshot", None).await;
        let bytes = STANDARD.decode(picture.as_str().unwrap()).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }
}

/// The folder that everything made is in.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}
