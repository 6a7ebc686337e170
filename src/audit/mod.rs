//! Reads back: what a deploy did, how it stands, and whether the log still says what was written.

mod account;
mod timeline;
mod verify;

pub use account::{Account, FailureGroup, account};
pub use timeline::{Line, cause_words, part_words, timeline};
pub use verify::{Finding, Report, verify};
