//! Who is told.

use serde::{Deserialize, Serialize};

use crate::serve::webhook::ReportTo;

/// Who is told of a deploy, as the desk keeps it: without addresses and secrets, which are the configuration's.
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
        /// Its address.
        url: String,
    },
    /// The collector of traces.
    Traces,
}

impl Target {
    /// The text that the desk knows it by.
    #[must_use]
    pub fn text(&self) -> String {
        // Our own type, which has no key that JSON could not take.
        serde_json::to_string(self).unwrap_or_default()
    }
}
