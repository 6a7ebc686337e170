//! The durable log: what must not be lost, and who may write it.
//!
//! [`Log`] is the contract; `conformance` proves it for every implementation, one function per behaviour.

mod api;
mod desk;
mod error;
mod memory;
mod rules;
mod sqlite;

pub use api::{
    Append, Blob, Claim, Claims, DeployRow, LeaseAfter, Log, NewDeploy, NewTenant, RawEvent, RawStream, TailEvent,
    TenantQuery, TenantRecord, TenantRow,
};
pub use desk::{
    Asked, Delivery, Desk, Listed, NewRequest, NewToken, PushedRelease, Report, ReportState, Request, RequestState,
    Role, Selection, ServerRow, Settled, TakeError, TakenIn, Token, What, WhenBusy, identity,
};
pub use error::{AppendError, CreateError, LogError};
pub use memory::MemoryLog;
pub use sqlite::{SqliteLog, SqliteOptions};
