//! The ground the house stands on: identifiers, digests, signatures, time, error codes and limits.
//!
//! Floor 0. Nothing in here does I/O except [`time::SystemClock`], and nothing in here knows what a saga, a release or a
//! tenant database is. Every other room may import it.

pub mod code;
pub mod crash;
pub mod digest;
pub mod ids;
pub mod limits;
pub mod measure;
pub mod revision;
pub mod signature;
pub mod time;
mod words;

pub use code::{Code, Coded};
pub use digest::Digest;
pub use ids::{Attempt, DeployId, Epoch, LogId, Seq, StepId, TenantId, WorkerId};
pub use revision::Revision;
pub(crate) use signature::unhex;
pub use signature::{PublicKey, Signature, SigningKey};
pub use time::{Clock, SystemClock, Timestamp};
pub(crate) use words::{count, one_line, plain, span, turns_text_round};
