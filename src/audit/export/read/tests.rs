//! Files that were made to be expensive.

use super::*;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const DIGEST: &str = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";

/// The lines before the first file of a deploy.
fn head() -> String {
    let export = format!(r#"{{"line":"export","format":1,"log":"{ID}","scope":"some","deploys":1}}"#);
    format!("{export}\n{}\n", deploy())
}

fn deploy() -> String {
    format!(r#"{{"line":"deploy","deploy":"{ID}","files":1,"streams":1}}"#)
}

fn stream(tenant: &str) -> String {
    format!(r#"{{"line":"stream","tenant":{tenant},"events":1,"head":"{DIGEST}"}}"#)
}

async fn read(text: &str, bounds: Bounds) -> Result<Verified, ReadError> {
    verify_within(text.as_bytes(), &[], bounds).await
}

#[tokio::test]
async fn a_file_whose_lines_are_none_is_not_read_to_its_end() {
    let text = head() + &"\n".repeat(10 * FINDINGS_MAX);
    let Err(ReadError::NotAnExport { line, .. }) = read(&text, Bounds::default()).await else { panic!("it was read") };
    assert_eq!(line, 3 + FINDINGS_MAX as u64);
}

#[tokio::test]
async fn no_more_is_listed_than_people_can_read_and_the_rest_is_counted() {
    // Lines that are some, and stand where they do not belong.
    let many = 3 * FINDINGS_MAX;
    let text = head() + &(head().lines().next().unwrap_or_default().to_owned() + "\n").repeat(many);
    let text = text + &deploy() + "\n" + &(stream("null") + "\n").repeat(many);
    let verified = read(&text, Bounds::default()).await.unwrap();
    let listed: usize = verified.deploys.iter().map(|(_, report)| report.findings.len()).sum();
    let counted: u64 = verified.deploys.iter().map(|(_, report)| report.unlisted).sum();
    // One for each deploy at least, and what is said of the file as a whole.
    assert!((FINDINGS_MAX..=FINDINGS_MAX + 3).contains(&listed), "{listed}");
    assert!(counted + listed as u64 >= 2 * many as u64, "{counted}");
    assert!(verified.deploys.iter().all(|(_, report)| !report.holds()));
}

#[tokio::test]
async fn what_is_held_in_memory_at_once_is_bounded() {
    let file = format!(r#"{{"line":"file","digest":"{DIGEST}","text":"{}"}}"#, "x".repeat(600));
    let event = format!(r#"{{"line":"event","seq":1,"hash":"{DIGEST}","body":"{}"}}"#, "x".repeat(600));
    let tenants = format!("{}\n{}\n{}\n", stream("null"), stream("\"a\""), stream("\"b\""));
    let spec = stream("\"a\"").replace("\"events\"", &format!("\"spec\":\"{}\",\"events\"", "x".repeat(1_200)));
    let bounds = Bounds { line: 2_000, kept: 1_000, stream: 1_000, streams: 2, deploys: 1 };
    for (text, what) in [
        (format!("{file}\n"), None),
        (format!("{file}\n{file}\n"), Some("more than 1000 bytes of files")),
        (format!("{}\n{spec}\n", stream("null")), Some("more than 1000 bytes of files")),
        (format!("{}\n{event}\n", stream("null")), None),
        (format!("{}\n{event}\n{event}\n", stream("null")), Some("a stream of more than 1000 bytes")),
        (tenants, Some("more than 2 streams")),
        (format!("{}\n", deploy()), Some("more than 1 deploys")),
    ] {
        match (read(&(head() + &text), bounds).await, what) {
            (Ok(_), None) => {}
            (Err(ReadError::TooMuch { what: found, .. }), Some(what)) => assert_eq!(found, what),
            (other, what) => panic!("{what:?}: {other:?}"),
        }
    }
    let long = read(&(head() + &"x".repeat(3_000)), bounds).await;
    assert!(matches!(long, Err(ReadError::NotAnExport { line: 3, .. })), "{long:?}");
}
