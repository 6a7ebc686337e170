//! What a webhook delivery proves and what it means, as functions over bytes: no server, no log, no clock.
//!
//! ```text
//! headers, body ──receive──▶ Delivery { id, event, payload } ──decide──▶ Order { revision, environment, …, report }
//!      │  secrets, now            │  rules
//!      └── Rejected (401, 400, 413, 422)
//! ```
//!
//! Nothing in a payload is trusted but the fields that a rule names, and of these only what has the form of a revision or of a name.
//! Where the result goes is built of checked fields upon the address in the configuration, never of a URL in a payload.

mod error;
mod json;
mod proof;
mod report;
mod rules;
mod sender;
mod template;

pub use error::Rejected;
pub use proof::sign_standard;
pub use report::{CommitId, Guid, ReportRequest, ReportState, ReportTo, RepositoryName};
pub use rules::{Order, decide};
pub use sender::{Delivery, Received, check_secret, receive};
