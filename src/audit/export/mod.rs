//! A deploy, or all of them, out of the log and into a file: JSON Lines to be checked again without the log, CSV for a spreadsheet, HTML to
//! be read and printed.

mod csv;
mod html;
mod jsonl;
mod lines;
mod read;
mod scripts;

use std::io;

use crate::base::{Code, Coded, DeployId, Digest};
use crate::log::LogError;

pub use csv::write_csv;
pub use html::write_html;
pub use jsonl::{Scope, write_jsonl};
pub use read::{ReadError, Verified, verify_export};

/// How much an export holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Deploys.
    pub deploys: u64,
    /// Events of them.
    pub events: u64,
}

/// An export that was not made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log cannot be read, or not as it was written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What was asked to be signed is not sealed.
    #[error("deploy {deploy} has not ended, so that there is no seal to be signed; nothing was exported")]
    NotSealed {
        /// The deploy.
        deploy: DeployId,
    },
    /// Where it is written to does not take it.
    #[error("the export cannot be written: {0}")]
    Io(#[from] io::Error),
}

impl Coded for ExportError {
    fn code(&self) -> Code {
        match self {
            Self::Log(error) => error.code(),
            Self::NotSealed { .. } => Code::WrongState,
            Self::Io(_) => Code::FileNotWritten,
        }
    }

    fn next(&self) -> Option<String> {
        match self {
            Self::Log(error) => error.next(),
            Self::NotSealed { deploy } => Some(format!("windlass status {deploy}")),
            Self::Io(_) => Some("make room, or name another place with --output".to_owned()),
        }
    }
}

/// A file that the log has and that is no text. Windlass writes none.
fn not_text(digest: Digest) -> LogError {
    LogError::Corrupt { place: format!("file {digest}"), reason: "it is not text".to_owned() }
}
