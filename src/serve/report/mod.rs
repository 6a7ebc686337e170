//! What others are told of a deploy.

mod target;

pub use target::Target;
