//! The integration tests: one binary, so that one private server serves them all.

// Panicking is how a test speaks, and a test's own helpers are part of it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod audit;
mod cases;
mod commands;
mod corpus;
mod crash;
mod docs;
mod engine;
mod examples;
mod export;
mod full_disk;
mod kit;
mod log;
mod postgres;
mod recipes;
mod serve;
mod source;
mod storm;
mod support;
mod tenant;
mod undo;
mod webhook;
