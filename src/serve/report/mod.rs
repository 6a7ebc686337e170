//! What others are told of a deploy: those who asked for it with a webhook, receivers of outgoing webhooks, a collector of traces.
//!
//! ```text
//! events of the log, the request ──Story──▶ moments ──status, notify, trace──▶ messages ──post──▶ them
//!                                                        │ after the cursor
//! reports (deploy, target, cursor) ──────────────────────┘◀── noted when it has been taken
//! ```
//!
//! There is no outbox: a message is a pure function of the request and of the deploy's own events, made anew whenever it is to be sent,
//! and only how far somebody has been told is kept. So nothing can be told that did not happen, and nothing that happened is forgotten.
//! Whoever dies between the telling and its note leaves it to be told again: at least once, in order for each deploy and target.
//!
//! Who is told of what is decided as follows. Whoever asked with a webhook, and those who are told of every deploy (`[[serve.notify]]`,
//! `[serve.traces]`), are noted in the transaction that takes the request in. A deploy that a command begins is found by the teller as
//! long as it is under way, or if it was created after this server started; one that began and ended while no server ran is not told of.

mod backoff;
mod notify;
mod post;
mod standing;
mod status;
mod story;
mod target;
mod tell;
mod teller;
mod trace;

pub(super) use post::client;
pub use standing::Standing;
pub use target::Target;
pub(super) use teller::tell;
