//! A webhook: who sends, how that is proved, and what its events mean.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::template::{FieldPath, Template};
use super::url::HttpUrl;
use crate::fleet::SecretRef;

/// One webhook, reached at `POST /webhooks/<name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// 1 to 50 of `a-z 0-9 -`.
    pub name: String,
    /// Whose form its deliveries have.
    pub sender: Sender,
    /// What proves where a delivery comes from. At least one; with several, any of them does.
    pub secrets: Vec<SecretRef>,
    /// Where the sender wants the result, if it is to be told.
    pub report: Option<ReportBack>,
    /// What its events mean. The first that matches decides.
    pub rules: Vec<Rule>,
}

/// Whose form a delivery has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// GitHub, also GitHub Enterprise Server.
    Github,
    /// GitLab.
    Gitlab,
    /// The service hooks of Azure DevOps.
    Azure,
    /// Bitbucket Cloud.
    Bitbucket,
    /// Gitea and Forgejo.
    Gitea,
    /// Anybody who speaks Standard Webhooks 1.0.
    Standard,
}

impl Sender {
    /// Every sender.
    pub const ALL: [Self; 6] = [Self::Github, Self::Gitlab, Self::Azure, Self::Bitbucket, Self::Gitea, Self::Standard];
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Azure => "azure",
            Self::Bitbucket => "bitbucket",
            Self::Gitea => "gitea",
            Self::Standard => "standard",
        })
    }
}

/// How the sender is told what became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportBack {
    /// Where its API begins. Requests are built upon this and never upon a URL out of a payload.
    pub api: HttpUrl,
    /// What it is asked with.
    pub token: SecretRef,
}

/// What one kind of event means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The event's name, as the sender writes it.
    pub event: String,
    /// What must be so besides. All of them.
    pub when: Vec<Condition>,
    /// The release that is wanted.
    pub revision: Template,
    /// The environment it is meant for.
    pub environment: Option<Template>,
    /// The workflow; none: the project's.
    pub workflow: Option<Template>,
    /// The fleet; none: the project's.
    pub fleet: Option<Template>,
}

/// A field of the payload and the values it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Which field.
    pub field: FieldPath,
    /// Any of these. At least one.
    pub accepts: Vec<Accepted>,
}

/// A value that a condition accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// This text.
    Text(String),
    /// A text that begins so: written with `*` at its end.
    Prefix(String),
    /// This number.
    Number(i64),
    /// This flag.
    Flag(bool),
}
