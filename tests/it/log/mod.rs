//! The log: conformance of every implementation, and what only one of them can do.

mod bench;
mod conformance;
mod differential;
mod sqlite;
