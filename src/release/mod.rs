//! WHAT a deploy brings: a folder of migrations, read into a [`Release`].
//!
//! [`load()`] reads the folder once. From then on the release is data: [`Release::to_bytes`] goes into the log, and a deploy runs
//! from what the log gives back, never from the folder. [`review()`] tells the statements apart for one SQL dialect, refuses what
//! the saga could not carry, and says how good each undo is. A script with a statement that commits by itself is [`stepwise`]; each
//! of its statements has an undo of its own, or none.
//!
//! [`Files`] are what a folder and every other place from which a release comes are made of: names and bytes. A release that
//! somebody sent is read by [`Release::from_sent`].
//!
//! Floor 1; pure, but for the reading of the folder. A folder format is one file in `formats`.

mod directive;
mod error;
mod files;
mod formats;
mod load;
mod manifest;
mod model;
mod review;
pub mod sql;
pub mod stepwise;
mod undo;

pub use error::ReleaseError;
pub use files::Files;
pub use load::load;
pub use model::{BadVersion, Directives, ForeignKeys, Migration, Release, Script, Undo, Version};
pub use review::{Reviewed, ReviewedUndo, UndoQuality, review};
pub use sql::{Dialect, Statement};
pub use undo::{FromTheMiddle, Origin, StatementUndo};
