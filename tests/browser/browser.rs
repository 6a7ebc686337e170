//! A headless Chromium, driven by its own driver; both end with the value.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
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
pub struct Browser {
    pub client: Client,
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
        let Value::Object(capabilities) = capabilities else { unreachable!("it is one") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        Self { client, _driver: driver, _profile: profile }
    }

    /// Ends the browser in good order.
    pub async fn end(self) {
        self.client.close().await.unwrap();
    }

    /// Shows the page as for somebody who likes it so.
    pub async fn scheme(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// A command of the developer tools' protocol.
    pub async fn devtools(&self, cmd: &str, params: Value) -> Value {
        let body = json!({ "cmd": cmd, "params": params });
        self.client.issue_cmd(Post { path: "goog/cdp/execute", body }).await.unwrap()
    }

    /// What the console complained of since it was last asked: errors of scripts, of loading and of the content security policy.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.client.issue_cmd(Post { path: "se/log", body: json!({ "type": "browser" }) }).await.unwrap();
        let bad = log.as_array().unwrap().iter().filter(|of| of["level"] == "SEVERE" || of["level"] == "WARNING");
        bad.map(|of| of["message"].as_str().unwrap().to_owned()).collect()
    }

    /// The value of an expression in the page.
    pub async fn value(&self, expression: &str) -> Value {
        self.client.execute(&format!("return ({expression});"), Vec::new()).await.unwrap()
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
        self.client.find(Locator::Css(css)).await.unwrap().click().await.unwrap();
    }

    /// Types into the one field that a selector names.
    pub async fn write(&self, css: &str, text: &str) {
        self.client.find(Locator::Css(css)).await.unwrap().send_keys(text).await.unwrap();
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
        std::fs::write(folder.join(format!("{name}.png")), self.client.screenshot().await.unwrap()).unwrap();
    }
}

/// The folder that everything made is in.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

/// A command that this driver knows beside the standard ones.
#[derive(Debug)]
struct Post {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Post {
    fn endpoint(&self, base_url: &url::Url, session_id: Option<&str>) -> Result<url::Url, url::ParseError> {
        base_url.join(&format!("session/{}/{}", session_id.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _request_url: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
