//! The `windlass` program: thin over the library.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use windlass::cli::{Cli, Exit, run};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come this way too, and are no mistake.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return exit.into();
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("WINDLASS_LOG"))
        .with_writer(std::io::stderr)
        // A standard error that is gone is nothing to fail over, and saying so there panics.
        .log_internal_errors(false)
        .init();
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let exit = runtime.block_on(run(cli));
            // Nothing that is still running matters any more: the log has what counts.
            runtime.shutdown_background();
            exit.into()
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "the runtime cannot be started: {error}");
            Exit::Refused.into()
        }
    }
}
