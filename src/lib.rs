//! Windlass takes a release to every tenant database of a SaaS, as one durable saga.
//!
//! The binary is thin over this library; see `ARCHITECTURE.md` for the house and the life of one deploy. Rooms, from the ground
//! up, each importing only from rooms below it: [`base`] · `saga`, `fleet`, `release` · `log`, `tenant` · `step`, `audit` ·
//! `engine` · `project` · `serve` · `testing` (a feature) · `cli`.

pub mod audit;
pub mod base;
pub mod cli;
pub mod config;
pub mod engine;
pub mod fleet;
pub mod log;
pub mod project;
pub mod release;
pub mod saga;
pub mod serve;
pub mod step;
pub mod tenant;
#[cfg(feature = "testing")]
pub mod testing;
