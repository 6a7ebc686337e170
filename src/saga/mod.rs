//! The pure heart: everything that can happen, and what happens next.
//!
//! Functions over data: events in, state out, decision out. No I/O, no async, no clock, no SQL. The same fold runs live and in
//! recovery, so there is no second code path to be wrong in (promise P2).

pub mod chain;
pub mod deploy;
pub mod event;
pub mod failure;
pub mod plan;
pub mod retry;
pub mod summary;
pub mod tenant;
pub mod workflow;

#[cfg(test)]
mod sim;
#[cfg(test)]
mod sweep;
#[cfg(test)]
pub(crate) mod testing;
