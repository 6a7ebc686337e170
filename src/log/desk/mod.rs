//! The desk: what a server keeps in the log beside the events.
//!
//! What has been asked for and is not a deploy yet, who may ask, and how far others have been told. None of it is evidence of what
//! happened to a tenant; all of it must survive the death of the process that took it in, so it lies in the same file under the same
//! commits.

mod api;
mod report;
mod request;
mod token;

pub use api::{Desk, PushedRelease, ServerRow, TakeError};
pub use report::{Report, ReportState};
pub use request::{
    Asked, Delivery, Listed, NewRequest, Request, RequestState, Selection, Settled, TakenIn, What, WhenBusy, identity,
};
pub use token::{NewToken, Role, Token};
