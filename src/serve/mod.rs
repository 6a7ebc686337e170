//! The server: webhooks, an API, live events, a page, and the deploys of its fleets kept going.
//!
//! One process is enough: what it is asked for and what it does lies in the log, so that whatever process comes after it goes on.
//! [`start()`] binds and takes over; [`Server::run`] serves until it is told to stop.

mod access;
mod accounts;
mod addresses;
mod api;
mod app;
mod extract;
mod health;
mod hook;
mod intake;
mod keeper;
mod live;
mod metrics;
mod page;
mod problem;
mod report;
mod router;
mod server;
pub mod source;
mod start;
mod take;
pub mod webhook;

pub use access::{Need, ROUTES, Secret, need};
pub use api::document;
pub use problem::{Named, Problem, ProblemBody};
pub use report::{Standing, Target};
pub use start::{ServeError, Server, start};
