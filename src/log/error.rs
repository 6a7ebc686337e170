//! What can go wrong with the log.

use crate::base::{Code, Coded, DeployId, Digest, Epoch, Seq, TenantId};
use crate::saga::event::StreamId;

/// The log cannot answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// It cannot be opened, or refuses what is asked of it.
    #[error("the log {url} cannot be used: {reason}")]
    Unavailable {
        /// Where, without secrets.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// Its schema or its events are of a later version.
    #[error(
        "the log {url} was written by a newer Windlass (format {found}; this one knows {known}). Nothing was changed"
    )]
    Newer {
        /// Where.
        url: String,
        /// What it says of itself.
        found: u32,
        /// The highest this program can read.
        known: u32,
    },
    /// No room. What was acknowledged is safe; the append that met this was not written.
    #[error(
        "the disk under the log {url} is full: nothing of this append was written, everything acknowledged before is safe"
    )]
    Full {
        /// Where.
        url: String,
    },
    /// It was busy for longer than its limit.
    #[error("the log {url} was busy for longer than {waited_ms} ms")]
    Busy {
        /// Where.
        url: String,
        /// How long was waited.
        waited_ms: u64,
    },
    /// It does not read back as written.
    #[error("the log is damaged at {place}: {reason}")]
    Corrupt {
        /// Which stream or table.
        place: String,
        /// What does not fit.
        reason: String,
    },
    /// A file that an event refers to is not there.
    #[error("the log lacks the file {digest}")]
    BlobMissing {
        /// Its digest.
        digest: Digest,
    },
    /// A file is not what its digest says.
    #[error("the stored file {digest} does not have that digest")]
    BlobAltered {
        /// The digest it is stored under.
        digest: Digest,
    },
    /// No such deploy.
    #[error("the log knows no deploy {text}")]
    DeployUnknown {
        /// As asked for.
        text: String,
    },
    /// The deploy is there, and this tenant is not in it.
    #[error("deploy {deploy} has no tenant {tenant}")]
    TenantUnknown {
        /// The deploy.
        deploy: DeployId,
        /// The tenant.
        tenant: TenantId,
    },
    /// What was asked for can never be right: a mistake of the program, not of the log. Nothing was changed.
    #[error("the log refuses {place}: {reason}")]
    Refused {
        /// Which stream or part.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Coded for LogError {
    fn code(&self) -> Code {
        match self {
            LogError::Unavailable { .. } => Code::LogUnavailable,
            LogError::Newer { .. } => Code::LogNewer,
            LogError::Full { .. } => Code::LogFull,
            LogError::Busy { .. } => Code::LogBusy,
            LogError::Corrupt { .. } => Code::LogCorrupt,
            LogError::BlobMissing { .. } => Code::BlobMissing,
            LogError::BlobAltered { .. } => Code::BlobAltered,
            LogError::DeployUnknown { .. } => Code::DeployUnknown,
            LogError::TenantUnknown { .. } => Code::UnknownTenant,
            LogError::Refused { .. } => Code::IllegalEvent,
        }
    }

    fn next(&self) -> Option<String> {
        Some(
            match self {
                LogError::TenantUnknown { deploy, .. } => return Some(format!("windlass status {deploy}")),
                LogError::Unavailable { .. } => "windlass doctor",
                LogError::Newer { .. } => "install the Windlass that wrote it, or a later one",
                LogError::Full { .. } => "make room on the log's disk, then: windlass resume",
                LogError::Busy { .. } => "windlass status",
                LogError::Corrupt { .. }
                | LogError::BlobMissing { .. }
                | LogError::BlobAltered { .. }
                | LogError::Refused { .. } => "windlass audit verify",
                LogError::DeployUnknown { .. } => "windlass status --all",
            }
            .to_owned(),
        )
    }
}

/// An append was not written. Nothing of it is in the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Another holder has the lease: the writer must drop the tenant at once (promise P6).
    #[error("{stream}: epoch {held} has been succeeded by {current}")]
    Fenced {
        /// Where.
        stream: StreamId,
        /// The writer's epoch.
        held: Epoch,
        /// The one in force.
        current: Epoch,
    },
    /// Something else was written since the writer read the stream: it must read again.
    #[error("{stream}: expected {expected} events and found {current}")]
    Stale {
        /// Where.
        stream: StreamId,
        /// What the writer had seen.
        expected: Seq,
        /// What is there.
        current: Seq,
    },
    /// The append held a forward start, and the deploy has turned (promise P5).
    #[error("{stream}: the deploy has turned, no forward step may start")]
    Turned {
        /// Where.
        stream: StreamId,
    },
    /// The append held a start of a step or of an undo, and the deploy is paused.
    #[error("{stream}: the deploy is paused, nothing may start")]
    Paused {
        /// Where.
        stream: StreamId,
    },
    /// The deploy has finished: its streams are closed but for the seal.
    #[error("{stream}: the deploy has finished")]
    Finished {
        /// Where.
        stream: StreamId,
    },
    /// The log failed. The append may or may not be in it: read the stream before trying again.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A deploy was not created. Nothing of it is in the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CreateError {
    /// The fleet has an unfinished deploy.
    #[error("fleet {fleet} has a deploy under way: {deploy}. Nothing was started")]
    FleetBusy {
        /// Which fleet.
        fleet: String,
        /// The deploy that is under way.
        deploy: DeployId,
    },
    /// Another deploy of the fleet has come and gone since this one was planned: its plans may be for tenants that are otherwise now.
    #[error("fleet {fleet} has been deployed to since this deploy was planned{}. Nothing was started", .newest.map(|of| format!(", by {of}")).unwrap_or_default())]
    FleetMoved {
        /// Which fleet.
        fleet: String,
        /// Its newest deploy.
        newest: Option<DeployId>,
    },
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Coded for CreateError {
    fn code(&self) -> Code {
        match self {
            CreateError::FleetBusy { .. } | CreateError::FleetMoved { .. } => Code::FleetBusy,
            CreateError::Log(error) => error.code(),
        }
    }

    fn next(&self) -> Option<String> {
        match self {
            CreateError::FleetBusy { deploy, .. } => Some(format!("windlass resume {deploy}")),
            CreateError::FleetMoved { .. } => Some("windlass plan".to_owned()),
            CreateError::Log(error) => error.next(),
        }
    }
}
