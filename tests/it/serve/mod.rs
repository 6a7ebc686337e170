//! The server: the real binary, asked over HTTP on loopback.

mod access;
mod api;
mod deaths;
mod fake;
mod follow;
mod hooks;
mod house;
mod limits;
mod lists;
mod luck;
mod metrics;
mod openapi;
mod page;
mod places;
mod push;
mod remote;
mod reports;
mod schemathesis;
mod senders;
mod show;
mod steer;
mod tokens;
