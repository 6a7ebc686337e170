//! Named points at which a test can have this process killed.
//!
//! Built with the feature `crash-points`, `WINDLASS_CRASH_AT=<point>:<n>` makes the process send itself SIGKILL when it reaches
//! the point for the n-th time, and `WINDLASS_CRASH_COUNT=<file>` appends a line with the point's name at every passage, so
//! that a test can first count the passages of an undisturbed run and then kill at each of them. Without the feature a point is
//! nothing. `WINDLASS_PANIC_AT=<point>:<n>` has it panic there instead: what a defect would do.

macro_rules! points {
    ($( $variant:ident = $name:literal, $doc:literal; )*) => {
        /// A place in the loop where the process may die.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point { $( #[doc = $doc] $variant, )* }

        impl Point {
            /// Every point.
            pub const ALL: &'static [Point] = &[ $( Point::$variant, )* ];

            /// The name used in `WINDLASS_CRASH_AT`.
            #[must_use]
            pub const fn name(self) -> &'static str { match self { $( Point::$variant => $name, )* } }
        }
    };
}

impl Point {
    /// The points that every deploy passes, whoever drives it; the others are passed by a server alone.
    #[must_use]
    pub fn of_deploys() -> Vec<Self> {
        let of_a_server = |point: &Self| {
            matches!(point, Self::RequestAccepted | Self::RequestTaken | Self::RequestCreated | Self::ReportSent)
        };
        Self::ALL.iter().copied().filter(|point| !of_a_server(point)).collect()
    }
}

points! {
    BeforeCreate = "before-create", "The deploy is planned, nothing is in the log.";
    AfterCreate = "after-create", "The deploy is in the log, no worker has started.";
    BeforeAppend = "before-append", "A worker or coordinator is about to hand events to the log.";
    AfterAppend = "after-append", "The events are durable, and nothing has followed from them yet.";
    BeforeLogCommit = "before-log-commit", "The log's writer has written a group and not yet committed it.";
    AfterLogCommit = "after-log-commit", "The group is committed and nobody has been told.";
    AfterClaim = "after-claim", "A worker holds the lease of a tenant and has done nothing with it.";
    AfterOpen = "after-open", "The fence row in the tenant database is raised, no step has acted.";
    BeforeEffect = "before-effect", "The start is durable; the tenant database has not been asked.";
    InsideEffect = "inside-effect", "The statements have run inside their transaction, which is not committed.";
    AfterEffect = "after-effect", "The effect is committed in the tenant database; the log does not know.";
    BeforeUndoEffect = "before-undo-effect", "The undo is announced; the tenant database has not been asked.";
    InsideUndoEffect = "inside-undo-effect", "The undo has run inside its transaction, which is not committed.";
    AfterUndoEffect = "after-undo-effect", "The undo is committed in the tenant database; the log does not know.";
    AfterProbe = "after-probe", "Evidence has been read; the log does not know what it said.";
    BeforeFinish = "before-finish", "Every tenant has ended; the deploy has not.";
    RequestAccepted = "request-accepted", "A server has taken a request in; whoever sent it has not been answered.";
    RequestTaken = "request-taken", "The sender has been answered, or may have been; nothing has been done with the request.";
    RequestCreated = "request-created", "The deploy that was asked for is in the log; its request is not settled.";
    ReportSent = "report-sent", "Somebody has been told how a deploy goes; that they have is not in the log.";
}

/// Passes a point: dies here if a test asked for it.
#[cfg(feature = "crash-points")]
pub fn point(point: Point) {
    enabled::pass(point);
}

/// Passes a point: nothing, in a build without the feature `crash-points`.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub const fn point(_point: Point) {}

/// How long a tenant is owned without a sign of life: as long as `usual`, or as `WINDLASS_TEST_LEASE_MS` says, so that a test need not
/// wait that long.
#[cfg(feature = "crash-points")]
#[must_use]
pub fn lease(usual: std::time::Duration) -> std::time::Duration {
    let wanted = std::env::var("WINDLASS_TEST_LEASE_MS").ok().and_then(|text| text.parse().ok());
    wanted.map_or(usual, std::time::Duration::from_millis)
}

/// How long a tenant is owned without a sign of life: as `usual`, in a build without the feature `crash-points`.
#[cfg(not(feature = "crash-points"))]
#[must_use]
#[inline]
pub const fn lease(usual: std::time::Duration) -> std::time::Duration {
    usual
}

/// By how many milliseconds the machine's clock is wrong: as the file says that `WINDLASS_TEST_CLOCK` names, so that a test can set the
/// clock of a process while it runs.
#[cfg(feature = "crash-points")]
#[must_use]
pub fn clock_error() -> i64 {
    static FILE: std::sync::LazyLock<Option<std::ffi::OsString>> =
        std::sync::LazyLock::new(|| std::env::var_os("WINDLASS_TEST_CLOCK"));
    let read = |file| std::fs::read_to_string(file).ok()?.trim().parse().ok();
    FILE.as_ref().and_then(read).unwrap_or(0)
}

/// By how many milliseconds the machine's clock is wrong: nobody says, in a build without the feature `crash-points`.
#[cfg(not(feature = "crash-points"))]
#[must_use]
#[inline]
pub const fn clock_error() -> i64 {
    0
}

#[cfg(feature = "crash-points")]
mod enabled {
    use std::collections::HashMap;
    use std::io::Write as _;
    use std::sync::{LazyLock, Mutex, PoisonError};

    use super::Point;

    struct Plan {
        die: Option<(String, u64)>,
        panic: Option<(String, u64)>,
        count_file: Option<std::path::PathBuf>,
    }

    static PLAN: LazyLock<Plan> = LazyLock::new(|| Plan {
        die: place("WINDLASS_CRASH_AT"),
        panic: place("WINDLASS_PANIC_AT"),
        count_file: std::env::var_os("WINDLASS_CRASH_COUNT").map(Into::into),
    });
    static PASSED: LazyLock<Mutex<HashMap<&'static str, u64>>> = LazyLock::new(Mutex::default);

    fn place(variable: &str) -> Option<(String, u64)> {
        let text = std::env::var(variable).ok()?;
        let (name, nth) = text.rsplit_once(':')?;
        Some((name.to_owned(), nth.parse().ok()?))
    }

    pub(super) fn pass(point: Point) {
        let plan = &*PLAN;
        if plan.die.is_none() && plan.panic.is_none() && plan.count_file.is_none() {
            return;
        }
        // Held to the end, so that two threads at the same point are counted one after the other.
        let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = passed.entry(point.name()).or_default();
        *nth += 1;
        if let Some(path) = &plan.count_file {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            let _ = file.and_then(|mut file| writeln!(file, "{}", point.name()));
        }
        let nth = *nth;
        let is_here =
            |place: &Option<(String, u64)>| place.as_ref().is_some_and(|(name, at)| name == point.name() && *at == nth);
        if is_here(&plan.panic) {
            drop(passed);
            panic!("a defect, as asked for, at {}", point.name());
        }
        if is_here(&plan.die) {
            // SIGKILL, not abort(): no handler, no destructor and no buffer gets a word in.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}
