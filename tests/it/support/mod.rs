//! Helpers of the tests: private servers, temporary projects, the real binary.

pub mod postgres;
pub mod project;
