//! The `windlass` program: thin over the library.

use std::process::ExitCode;

use windlass::step::Kinds;

fn main() -> ExitCode {
    windlass::cli::main(Kinds::default())
}
