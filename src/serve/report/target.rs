//! Who is told.

use serde::{Deserialize, Serialize};

use crate::base::Digest;
use crate::config::serve::{HttpUrl, Notify, Serve};
use crate::serve::webhook::ReportTo;

/// Who is told of a deploy, as the desk keeps it: without secrets, which are the configuration's. Of a receiver's address only the origin
/// is kept, and the digest that the configured one is known by: many such addresses are secrets as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "snake_case")]
pub enum Target {
    /// Whoever sent the webhook that asked for it.
    Sender {
        /// The webhook's name.
        webhook: String,
        /// Upon what.
        upon: ReportTo,
    },
    /// A receiver of outgoing webhooks.
    Notify {
        /// Scheme, host and port of its address.
        origin: String,
        /// The digest of the whole address.
        address: Digest,
    },
    /// The collector of traces.
    Traces,
}

/// What a receiver's address is known by.
fn address(url: &HttpUrl) -> Digest {
    Digest::of(url.as_str().as_bytes())
}

impl Target {
    /// The receiver of outgoing webhooks with this configuration.
    #[must_use]
    pub fn of(notify: &Notify) -> Self {
        Self::Notify { origin: notify.url.origin().to_owned(), address: address(&notify.url) }
    }

    /// Those who are told of every deploy.
    pub fn standing(settings: &Serve) -> impl Iterator<Item = Self> + '_ {
        settings.notify.iter().map(Self::of).chain(settings.traces.iter().map(|_| Self::Traces))
    }

    /// The text that the desk knows it by.
    #[must_use]
    pub fn text(&self) -> String {
        // Our own type, which has no key that JSON could not take.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The target with this text; none for one that another version of Windlass has made.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The receiver that this names, as it is configured now; none where it is configured no longer.
    #[must_use]
    pub fn notify<'a>(&self, settings: &'a Serve) -> Option<&'a Notify> {
        let Self::Notify { address: known, .. } = self else { return None };
        settings.notify.iter().find(|notify| address(&notify.url) == *known)
    }

    /// What is slow together: reports to one of these wait for each other.
    #[must_use]
    pub fn route(&self) -> String {
        match self {
            Self::Sender { webhook, .. } => format!("sender {webhook}"),
            Self::Notify { address, .. } => format!("notify {address}"),
            Self::Traces => "traces".to_owned(),
        }
    }

    /// The kind of target, for what is counted.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sender { .. } => "sender",
            Self::Notify { .. } => "notify",
            Self::Traces => "traces",
        }
    }

    /// Who it is, for people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Sender { webhook, upon } => format!("{} (webhook {webhook})", upon.product()),
            Self::Notify { origin, .. } => origin.clone(),
            Self::Traces => "the collector of traces".to_owned(),
        }
    }
}
