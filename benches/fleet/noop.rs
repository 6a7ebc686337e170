//! A deploy that has nothing to do: the log knows, so no tenant is asked.

use std::fmt;
use std::time::Duration;

use crate::engine::Engine;
use crate::release::Release;
use crate::{Arguments, median, ms, project};

/// How often each command is run.
const RUNS: usize = 5;

/// What was measured.
pub struct Noop {
    tenants: usize,
    deploy: Duration,
    status: Duration,
    start: Duration,
}

/// Deploys once, takes the tenants away, and deploys again: whatever tried to open one would fail.
pub async fn measure(engine: &mut Engine, arguments: &Arguments) -> Noop {
    let tenants = arguments.noop;
    let fleet = engine.fleet(tenants).await;
    let folder = fleet.folder.path();
    project::write(&fleet, arguments.concurrency);
    project::add(&fleet, Release::First);
    let first = project::windlass(folder, &["deploy"]);
    fleet.prove(Release::First).await;
    eprintln!("nothing to do: made {tenants} tenants in {} ms", ms(first.took));
    std::fs::rename(folder.join("tenants"), folder.join("away")).unwrap();
    let times = |arguments: &[&str], says: &str| {
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let ran = project::windlass(folder, arguments);
            assert!(ran.said.contains(says), "windlass {arguments:?} said:\n{}", ran.said);
            times.push(ran.took);
        }
        median(&times)
    };
    let nothing = format!("nothing to do: all {tenants} tenants are on release");
    Noop {
        tenants,
        deploy: times(&["deploy"], &nothing),
        status: times(&["status"], &format!("{tenants}")),
        start: times(&["--version"], "windlass"),
    }
}

impl fmt::Display for Noop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenants, deploy, status, start } = self;
        let whole = |of: &Duration| format!("{:.0} ms", of.as_secs_f64() * 1000.0);
        write!(
            f,
            "Nothing to do on {tenants} tenants, whose files were taken away before: `deploy` {}, `status` {}, of which the start \
             of the process (`--version`) {}",
            whole(deploy),
            whole(status),
            whole(start)
        )
    }
}
