//! Why a delivery is not taken.

use http::StatusCode;

use crate::base::limits::{DELIVERY_BYTES_MAX, DELIVERY_TIME_TOLERANCE};
use crate::base::{Code, Coded};

/// A delivery that is not taken. Nothing was started.
///
/// No message repeats what the payload holds, and none says what would have proved its origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Not signed by any of the secrets, or not at this time. One message for all of it: it may go to somebody who is trying.
    #[error(
        "the delivery does not prove where it comes from: it is not signed by a secret of this webhook, or its time is more than {} \
         minutes away; nothing was started",
        DELIVERY_TIME_TOLERANCE.as_secs() / 60
    )]
    Unproven,
    /// Proved, and not of its sender's form.
    #[error("this is not a delivery: {reason}; nothing was started")]
    Malformed {
        /// Which header, or which part of the body.
        reason: String,
    },
    /// Larger than the limit.
    #[error("the delivery is larger than {DELIVERY_BYTES_MAX} bytes; nothing was started")]
    TooLarge,
    /// No rule matches.
    #[error("no rule of the webhook {webhook} maps this delivery: {looked_at}; nothing was started")]
    Unmapped {
        /// The webhook's name.
        webhook: String,
        /// The event, and the names of the fields that rules about it look at.
        looked_at: String,
    },
    /// A rule matches, and a template of it cannot be filled.
    #[error("the delivery does not fit rule {rule} of the webhook {webhook}, {key}: {reason}; nothing was started")]
    Unfit {
        /// The webhook's name.
        webhook: String,
        /// The rule's place, from 1.
        rule: usize,
        /// Which of its templates.
        key: &'static str,
        /// The path, and what is wrong with what is found there.
        reason: String,
    },
}

impl Rejected {
    /// The status that it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unproven => StatusCode::UNAUTHORIZED,
            Self::Malformed { .. } => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unmapped { .. } | Self::Unfit { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    pub(super) fn malformed(reason: impl Into<String>) -> Self {
        Self::Malformed { reason: reason.into() }
    }
}

impl Coded for Rejected {
    fn code(&self) -> Code {
        match self {
            Self::Unproven => Code::DeliveryUnproven,
            Self::Malformed { .. } => Code::DeliveryMalformed,
            Self::TooLarge => Code::DeliveryTooLarge,
            Self::Unmapped { .. } => Code::DeliveryUnmapped,
            Self::Unfit { .. } => Code::DeliveryUnfit,
        }
    }

    fn next(&self) -> Option<String> {
        let next = match self {
            Self::Unproven => "compare the secret at the sender with the webhook's secrets, and this machine's clock",
            Self::Malformed { .. } => "correct the webhook's settings at the sender, or its sender in windlass.toml",
            Self::TooLarge => "choose only those events at the sender that a rule maps",
            Self::Unmapped { .. } | Self::Unfit { .. } => {
                "if it was meant to start a deploy, correct the rule in windlass.toml and have it delivered again"
            }
        };
        Some(next.to_owned())
    }
}
