//! The result goes back to where the sender's API documents it, in the sender's own words.

use serde_json::{Value, json};
use windlass::serve::webhook::{ReportRequest, ReportState, ReportTo};

use super::*;

const URL: &str = "https://windlass.example.org/v1/deploys/0190";

/// What would be told about a documented payload, under a rule for the fleet `shop`.
fn report(sender: Sender, event: &str, file: &str, revision: &str) -> ReportTo {
    let rule =
        format!("event = \"{event}\"\nrevision = \"{revision}\"\nfleet = \"shop\"\nenvironment = \"production\"");
    let order = ordered(&reporting(sender, &rule), &Sent::new(sender, event, payload(file)));
    order.report.unwrap_or_else(|| panic!("{file}: {:?}", order.unreported))
}

fn told(report: &ReportTo, state: ReportState) -> (String, Value) {
    let ReportRequest { method, path, body } = report.request(state, "12 of 40 tenants", URL);
    assert_eq!(method, "POST");
    (path, body)
}

const STATES: [ReportState; 5] =
    [ReportState::Queued, ReportState::InProgress, ReportState::Success, ReportState::Failure, ReportState::Error];

/// The sender's words for the five states, in order.
fn words(report: &ReportTo) -> Vec<String> {
    STATES.iter().map(|state| told(report, *state).1["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn github_is_told_the_status_of_the_deployment() {
    let to = report(Sender::Github, "deployment", "github_deployment", "{deployment.sha}");
    let (path, body) = told(&to, ReportState::InProgress);
    assert_eq!(path, "/repos/octo/shop/deployments/145988746/statuses");
    assert_eq!(body, json!({ "state": "in_progress", "description": "12 of 40 tenants", "log_url": URL }));
    assert_eq!(words(&to), ["queued", "in_progress", "success", "failure", "error"]);
}

#[test]
fn github_is_told_the_status_of_the_commit_where_there_is_no_deployment() {
    for (event, file, revision) in [
        ("push", "github_push_tag", "{ref|after:refs/tags/}"),
        ("workflow_run", "github_workflow_run", "{workflow_run.head_sha}"),
        ("release", "github_release", COMMIT),
        ("repository_dispatch", "github_repository_dispatch", "{client_payload.revision}"),
    ] {
        let to = report(Sender::Github, event, file, revision);
        let (path, body) = told(&to, ReportState::Success);
        assert_eq!(path, format!("/repos/octo/shop/statuses/{COMMIT}"), "{file}");
        let expected = json!({
            "state": "success", "description": "12 of 40 tenants", "target_url": URL, "context": "windlass/shop/production",
        });
        assert_eq!(body, expected);
        assert_eq!(words(&to), ["pending", "pending", "success", "failure", "error"]);
    }
}

#[test]
fn gitlab_is_told_the_status_of_the_commit() {
    for (event, file, revision) in [
        ("Deployment Hook", "gitlab_deployment", "{short_sha}"),
        ("Tag Push Hook", "gitlab_tag_push", "{ref|after:refs/tags/}"),
        ("Pipeline Hook", "gitlab_pipeline", "{object_attributes.ref}"),
        ("Release Hook", "gitlab_release", "{tag}"),
    ] {
        let to = report(Sender::Gitlab, event, file, revision);
        let (path, body) = told(&to, ReportState::InProgress);
        assert_eq!(path, format!("/projects/30/statuses/{COMMIT}"), "{file}");
        let expected = json!({
            "state": "running", "description": "12 of 40 tenants", "target_url": URL, "name": "windlass/shop/production",
        });
        assert_eq!(body, expected);
        assert_eq!(words(&to), ["pending", "running", "success", "failed", "failed"]);
    }
}

#[test]
fn azure_is_told_the_status_of_the_commit() {
    for (event, file, revision) in [
        ("build.complete", "azure_build_complete", "{resource.buildNumber}"),
        ("git.push", "azure_git_push", "{resource.refUpdates.0.newObjectId}"),
    ] {
        let to = report(Sender::Azure, event, file, revision);
        let (path, body) = told(&to, ReportState::Failure);
        let expected = format!(
            "/be9b3917-87e6-42a4-a549-2bc06a7a878f/_apis/git/repositories/278d5cd2-584d-4b63-824a-2ba458937249/commits/{COMMIT}/statuses?api-version=7.1"
        );
        assert_eq!(path, expected, "{file}");
        let expected = json!({
            "state": "failed", "description": "12 of 40 tenants", "targetUrl": URL,
            "context": { "genre": "windlass", "name": "windlass/shop/production" },
        });
        assert_eq!(body, expected);
        assert_eq!(words(&to), ["pending", "pending", "succeeded", "failed", "error"]);
    }
}

#[test]
fn bitbucket_is_told_the_build_status_of_the_commit() {
    let to = report(Sender::Bitbucket, "repo:push", "bitbucket_push", "{push.changes.0.new.name}");
    let (path, body) = told(&to, ReportState::Success);
    assert_eq!(path, format!("/repositories/team/shop/commit/{COMMIT}/statuses/build"));
    let expected = json!({
        "state": "SUCCESSFUL", "description": "12 of 40 tenants", "url": URL,
        "key": "windlass/shop/production", "name": "windlass/shop/production",
    });
    assert_eq!(body, expected);
    assert_eq!(words(&to), ["INPROGRESS", "INPROGRESS", "SUCCESSFUL", "FAILED", "FAILED"]);
}

#[test]
fn gitea_is_told_the_status_of_the_commit() {
    for (event, file, revision) in
        [("push", "gitea_push", "{after}"), ("release", "gitea_release", "{release.tag_name}")]
    {
        let to = report(Sender::Gitea, event, file, revision);
        let (path, body) = told(&to, ReportState::Queued);
        assert_eq!(path, format!("/repos/team/shop/statuses/{COMMIT}"), "{file}");
        let expected = json!({
            "state": "pending", "description": "12 of 40 tenants", "target_url": URL, "context": "windlass/shop/production",
        });
        assert_eq!(body, expected);
        assert_eq!(words(&to), ["pending", "pending", "success", "failure", "error"]);
    }
}

#[test]
fn what_is_told_is_as_long_as_each_sender_takes() {
    let long = "x".repeat(90);
    let rule = format!("event = \"repo:push\"\nrevision = \"v1\"\nfleet = \"{long}\"");
    let order = ordered(
        &reporting(Sender::Bitbucket, &rule),
        &Sent::new(Sender::Bitbucket, "repo:push", payload("bitbucket_push")),
    );
    let request = order.report.unwrap().request(ReportState::Error, &"ä".repeat(300), URL);
    let description = request.body["description"].as_str().unwrap();
    assert_eq!(description.chars().count(), 140);
    assert!(description.ends_with('…'));
    assert_eq!(request.body["name"], format!("windlass/{long}"));
    let key = request.body["key"].as_str().unwrap();
    assert!(key.starts_with("windlass/") && key.len() <= 40, "{key}");
}

#[test]
fn an_address_in_a_payload_is_never_where_anything_is_sent() {
    let forged = String::from_utf8(payload("github_deployment")).unwrap().replace("api.github.com", "evil.example.org");
    let order = ordered(
        &reporting(Sender::Github, "event = \"deployment\"\nrevision = \"{deployment.sha}\""),
        &Sent::new(Sender::Github, "deployment", forged),
    );
    let to = order.report.unwrap();
    let request = to.request(ReportState::Success, "", URL);
    assert!(!format!("{to:?} {request:?}").contains("evil"));
}

#[test]
fn a_field_that_would_lead_elsewhere_is_not_reported_upon_and_that_is_said() {
    let hook = reporting(Sender::Github, "event = \"push\"\nrevision = \"v1\"");
    let order = |repository: &str, after: &str| {
        let body = json!({ "repository": { "full_name": repository }, "after": after }).to_string();
        ordered(&hook, &Sent::new(Sender::Github, "push", body))
    };
    assert!(order("octo/shop", COMMIT).report.is_some());
    let deleted = "0".repeat(40);
    for (repository, after, said) in [
        ("octo/shop/../../user/keys?", COMMIT, "no repository at repository.full_name"),
        ("octo/..", COMMIT, "no repository"),
        ("octo/shop", "main", "whole commit id"),
        ("octo/shop", deleted.as_str(), "whole commit id"),
    ] {
        let order = order(repository, after);
        assert_eq!(order.report, None);
        let reason = order.unreported.unwrap();
        assert!(reason.contains(said) && !reason.contains("keys"), "{reason}");
    }
    let gitlab = reporting(Sender::Gitlab, "event = \"Deployment Hook\"\nrevision = \"v1\"");
    let other = String::from_utf8(payload("gitlab_deployment")).unwrap().replace("\"6dcb09b5\"", "\"aaaaaaaa\"");
    let order = ordered(&gitlab, &Sent::new(Sender::Gitlab, "Deployment Hook", other));
    assert_eq!(order.report, None, "the commit at the end of the URL is another one");
}

#[test]
fn what_names_no_commit_is_taken_and_not_reported_upon() {
    for (sender, event, file, revision, said) in [
        (
            Sender::Github,
            "repository_dispatch",
            "github_repository_dispatch",
            "{branch}",
            "neither the revision nor the payload is a whole commit id",
        ),
        (
            Sender::Azure,
            "ms.vss-release.deployment-completed-event",
            "azure_deployment_completed",
            "{resource.environment.release.name}",
            "the payload has no id at resource.repository.id",
        ),
    ] {
        let rule = format!("event = \"{event}\"\nrevision = \"{revision}\"");
        let order = ordered(&reporting(sender, &rule), &Sent::new(sender, event, payload(file)));
        assert_eq!(order.report, None, "{file}");
        let reason = order.unreported.unwrap();
        assert!(reason.contains(said), "{file}: {reason}");
    }
}

#[test]
fn each_sender_is_asked_with_its_own_form_of_token() {
    let value = |to: &ReportTo, token: &str| to.authorization(&Secret::new(token)).expose().to_owned();
    let github = report(Sender::Github, "deployment", "github_deployment", "v1");
    assert_eq!(value(&github, "t"), "Bearer t");
    let gitlab = report(Sender::Gitlab, "Pipeline Hook", "gitlab_pipeline", "v1");
    assert_eq!(value(&gitlab, "t"), "Bearer t");
    let azure = report(Sender::Azure, "git.push", "azure_git_push", "v1");
    assert_eq!(value(&azure, "pat"), "Basic OnBhdA==");
    let bitbucket = report(Sender::Bitbucket, "repo:push", "bitbucket_push", "v1");
    assert_eq!((value(&bitbucket, "t"), value(&bitbucket, "u:p")), ("Bearer t".to_owned(), "Basic dTpw".to_owned()));
    let gitea = report(Sender::Gitea, "push", "gitea_push", "v1");
    assert_eq!(value(&gitea, "t"), "token t");
    assert_eq!(format!("{:?}", gitea.authorization(&Secret::new("hunter2"))), "***");
}

#[test]
fn what_is_kept_in_the_log_reads_back() {
    let to = report(Sender::Gitlab, "Pipeline Hook", "gitlab_pipeline", "v1");
    let written = serde_json::to_value(&to).unwrap();
    let expected =
        json!({ "to": "gitlab_commit", "project": 30, "commit": COMMIT, "context": "windlass/shop/production" });
    assert_eq!(written, expected);
    assert_eq!(serde_json::from_value::<ReportTo>(written).unwrap(), to);
}
