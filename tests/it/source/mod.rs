//! Where a release comes from: real folders, real repositories, and those that mean harm.

mod folder;
mod git;
pub mod http;
pub mod repository;

use std::path::Path;

use windlass::base::{Code, Coded};
use windlass::serve::source::{Found, Revision, Settings, SourceError, Sources};

fn revision(text: &str) -> Revision {
    Revision::new(text).unwrap()
}

/// Sources that keep what they fetch in `scratch`.
fn sources(settings: Settings, scratch: &Path) -> Sources {
    Sources::new(Settings { scratch: scratch.to_owned(), ..settings }).unwrap()
}

/// The labels of what was found.
fn labels(found: &Found) -> Vec<&str> {
    found.release.migrations.iter().map(windlass::release::Migration::label).collect()
}

/// The error that says it, with its code.
fn refused(result: Result<Found, SourceError>, code: Code) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.next().is_some());
    error.to_string()
}

#[test]
fn sources_that_can_be_none_are_refused_by_their_key() {
    use windlass::fleet::Secret;
    use windlass::serve::source::GitSettings;
    let git = |url: &str, path: &str, seconds: u64| {
        let timeout = std::time::Duration::from_secs(seconds);
        Settings {
            git: Some(GitSettings { url: Secret::new(url), path: path.to_owned(), timeout }),
            ..Settings::default()
        }
    };
    let folder = Settings { folder: Some("releases/{revision}".to_owned()), ..Settings::default() };
    for (settings, key) in [
        (folder, "serve.release.folder"),
        (git("ext::sh -c id", ".", 1), "serve.release.git.url"),
        (git("https://bot:hunter2@git.example.org/shop.git?x", ".", 1), "serve.release.git.url"),
        (git("https://git.example.org/shop.git", "../etc", 1), "serve.release.git.path"),
        (git("https://git.example.org/shop.git", ".", 0), "serve.release.git.timeout"),
        (git("https://git.example.org/shop.git", ".", 86_400), "serve.release.git.timeout"),
    ] {
        let error = Sources::new(settings).unwrap_err();
        assert_eq!(error.code(), Code::ConfigInvalid);
        assert!(error.to_string().starts_with(key) && !error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn without_a_source_nothing_is_found_and_that_is_said() {
    let scratch = tempfile::tempdir().unwrap();
    let sources = sources(Settings::default(), scratch.path());
    // A server looks in a task of its own.
    let found = tokio::spawn(async move { sources.find(&revision("v1")).await }).await.unwrap();
    assert!(refused(found, Code::RevisionUnknown).contains("neither a folder nor a git repository"));
}
