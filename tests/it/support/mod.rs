//! Helpers of the tests: private servers, temporary projects, the real binary.

pub mod mariadb;
#[cfg(feature = "crash-points")]
pub mod oracle;
pub mod postgres;
pub mod project;
pub mod server;
