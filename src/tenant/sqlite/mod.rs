//! SQLite.
//!
//! There is no server whose sessions could be ended. The file has one writer at a time, and every transaction of ours begins as that
//! writer and looks at the fence row before it does anything else: that is the whole fence.
//!
//! A commit happens only while the session's [latch](connect::Latch) is open. A COMMIT in a migration's text finds it shut, and
//! SQLite turns it into a rollback: on this engine such a text is not detected but prevented.

mod connect;
mod opening;
mod said;
mod session;
mod sql;
mod statements;
mod transaction;

pub(super) use opening::{open, survey};
