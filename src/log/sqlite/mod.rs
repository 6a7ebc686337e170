//! The log in an SQLite file: write-ahead mode, `synchronous = FULL`, one writing task with group commit, a few readers.
//!
//! Several processes may have the file open at once. Each write is one `BEGIN IMMEDIATE` transaction with its conditions inside it,
//! so correctness never rests on there being one process; only speed does.

mod append;
mod create;
mod desk;
mod fault;
mod lease;
mod open;
mod read;
mod rows;
mod store;
mod writer;

pub use open::SqliteOptions;
pub use store::SqliteLog;
