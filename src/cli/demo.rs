//! `demo`.
use super::output::{Exit, Failure, Output};
use std::path::Path;
pub(super) async fn demo(_dir: &Path, _output: Output) -> Result<Exit, Failure> {
    Ok(Exit::Done)
}
