//! The server: the real binary, asked over HTTP on loopback.

mod access;
mod deaths;
mod fake;
mod hooks;
mod house;
mod limits;
mod metrics;
mod page;
mod places;
mod remote;
mod reports;
mod show;
