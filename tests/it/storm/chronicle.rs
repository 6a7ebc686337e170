//! What the storm did: counted, and told line by line with its time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Shared by everybody who does something.
#[derive(Clone)]
pub(super) struct Chronicle(Arc<Mutex<Told>>);

struct Told {
    begun: Instant,
    lines: Vec<String>,
    counts: BTreeMap<(Count, String), u64>,
    findings: Vec<String>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Count {
    Deploys,
    Tenants,
    Faults,
    Commands,
    Processes,
    Human,
    Checks,
}

impl Count {
    fn title(self) -> &'static str {
        match self {
            Self::Deploys => "deploys by end",
            Self::Tenants => "tenants by end",
            Self::Faults => "faults by kind",
            Self::Commands => "commands",
            Self::Processes => "processes by end",
            Self::Human => "a human's word",
            Self::Checks => "seen",
        }
    }
}

impl Chronicle {
    pub(super) fn new() -> Self {
        let told = Told { begun: Instant::now(), lines: Vec::new(), counts: BTreeMap::new(), findings: Vec::new() };
        Self(Arc::new(Mutex::new(told)))
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.0.lock().unwrap()
    }

    /// Tells one thing.
    pub(super) fn tell(&self, what: impl AsRef<str>) {
        let mut told = self.told();
        let at = told.begun.elapsed().as_secs_f64();
        told.lines.push(format!("{at:9.3}  {}", what.as_ref()));
    }

    pub(super) fn count(&self, of: Count, kind: impl Into<String>, by: u64) {
        *self.told().counts.entry((of, kind.into())).or_default() += by;
    }

    pub(super) fn counted(&self, of: Count, kind: &str) -> u64 {
        self.told().counts.get(&(of, kind.to_owned())).copied().unwrap_or_default()
    }

    /// Something that ought not to be.
    pub(super) fn find(&self, what: impl AsRef<str>) {
        self.tell(format!("FOUND: {}", what.as_ref()));
        self.told().findings.push(what.as_ref().to_owned());
    }

    pub(super) fn findings(&self) -> Vec<String> {
        self.told().findings.clone()
    }

    /// All that was told, one line each.
    pub(super) fn lines(&self) -> String {
        self.told().lines.join("\n")
    }

    /// The numbers.
    pub(super) fn account(&self, seed: u64) -> String {
        let told = self.told();
        let mut text = format!("storm: seed {seed}, {} s\n", told.begun.elapsed().as_secs());
        let mut last = None;
        for ((of, kind), count) in &told.counts {
            if last != Some(*of) {
                let all: u64 = told.counts.iter().filter(|((also, _), _)| also == of).map(|(_, count)| count).sum();
                let _ = writeln!(text, "  {}: {all}", of.title());
                last = Some(*of);
            }
            let _ = writeln!(text, "    {count:6}  {kind}");
        }
        let _ = writeln!(text, "  findings: {}", told.findings.len());
        text
    }
}
