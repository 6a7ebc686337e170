//! What axe-core finds in a page: the rules of WCAG 2 A and AA, and good practice.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::browser::{Browser, target};

/// The version that is fetched from npm, once.
const VERSION: &str = "4.14.1";

/// The script of axe-core, fetched where it is not there yet.
fn script() -> &'static str {
    static SCRIPT: OnceLock<String> = OnceLock::new();
    SCRIPT.get_or_init(|| {
        let folder = target().join("axe").join(VERSION);
        let file = folder.join("package/axe.min.js");
        if !file.exists() {
            fs::create_dir_all(&folder).unwrap();
            let run = |program: &str, arguments: &[&str]| {
                let status = Command::new(program).args(arguments).current_dir(&folder).status();
                let status = status.unwrap_or_else(|error| panic!("{program}: {error}"));
                assert!(status.success(), "{program} {arguments:?} in {}", folder.display());
            };
            run("npm", &["pack", "--silent", &format!("axe-core@{VERSION}")]);
            run("tar", &["-xzf", &format!("axe-core-{VERSION}.tgz"), "package/axe.min.js"]);
        }
        fs::read_to_string(file).unwrap()
    })
}

/// Looks the page through, in the light and in the dark. Gives every violation in a line; there is to be none.
pub async fn violations(browser: &Browser) -> Vec<String> {
    let mut found = Vec::new();
    for scheme in super::browser::SCHEMES {
        browser.scheme(scheme).await;
        browser.execute(script()).await;
        let run = "const done = arguments[0]; axe.run(document).then(done, (error) => done(String(error)));";
        let told = browser.execute_async(run).await;
        let violations = told["violations"].as_array().unwrap_or_else(|| panic!("axe did not run: {told}"));
        assert!(told["passes"].as_array().is_some_and(|of| of.len() > 5), "axe has looked at nothing: {told}");
        found.extend(violations.iter().map(|of| line(scheme, of)));
    }
    browser.scheme("light").await;
    found
}

fn line(scheme: &str, of: &Value) -> String {
    let nodes = of["nodes"].as_array().unwrap();
    let at: Vec<String> =
        nodes.iter().take(4).map(|node| format!("{}: {}", node["html"], node["failureSummary"])).collect();
    format!("{scheme}: {} ({}) at {} places\n  {}", of["id"], of["impact"], nodes.len(), at.join("\n  "))
}
