//! Reads back: what a deploy did, how it stands, and whether the log still says what was written.

mod account;
mod check;
mod export;
mod order;
mod records;
mod tenant;
mod timeline;
mod verify;
mod walk;
mod words;

pub use account::{Account, FailureGroup, account};
pub use check::{Finding, Report};
pub use export::{
    ExportError, Exported, ReadError, Scope, Verified, verify_export, write_csv, write_html, write_jsonl,
};
pub use tenant::{Lease, Moment, StepAccount, TenantAccount, tenant_account};
pub use timeline::{Line, actor_words, cause_words, part_words, pause_words, set_off_words, timeline, trigger_words};
pub use verify::{LogReport, verify, verify_log};
pub use words::{headline, next_words, waits_for_human};
