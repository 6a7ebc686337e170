//! A failing seed, made as small as can be had cheaply, and told to people.

use std::fmt::Write as _;

use crate::run::{Run, simulate};
use crate::scenario::{Cuts, NAMES, PauseDef, Scenario};
use crate::world::{Broken, Telling};

/// Runs that looking for a smaller history may cost.
const RUNS_MAX: u32 = 400;

/// The smallest cut-down scenario found that breaks the same promise in the same way.
pub fn shrink(seed: u64) -> (Cuts, Run) {
    let mut best = Cuts::default();
    let mut run = simulate(seed, &best, Telling::Silent);
    let Some(shape) = run.broken.as_ref().map(shape) else { return (best, run) };
    let mut left = RUNS_MAX;
    loop {
        let smaller = candidates(seed, &best, &run).into_iter().find_map(|cuts| {
            left = left.checked_sub(1)?;
            let run = simulate(seed, &cuts, Telling::Silent);
            (self::shape(run.broken.as_ref()?) == shape).then_some((cuts, run))
        });
        let Some(found) = smaller else { break };
        (best, run) = found;
    }
    let run = simulate(seed, &best, Telling::Kept);
    (best, run)
}

/// What was broken, without names and numbers: a smaller history that breaks something else says nothing of this one.
fn shape(broken: &Broken) -> (&'static str, Vec<String>) {
    let plain = |word: &&str| !NAMES.contains(word) && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let words = broken.what.split([' ', ',', ':', ';']).filter(plain).map(str::to_owned).collect();
    (broken.promise, words)
}

/// What may be left out next: the large things first.
fn candidates(seed: u64, cuts: &Cuts, run: &Run) -> Vec<Cuts> {
    let now = Scenario::draw(seed, cuts);
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Cuts)| {
        let mut smaller = cuts.clone();
        change(&mut smaller);
        if smaller != *cuts {
            all.push(smaller);
        }
    };
    if now.jobs.len() > 1 {
        with(&|cuts| cuts.jobs_max = Some(now.jobs.len() - 1));
    }
    if now.workers > 1 {
        with(&|cuts| cuts.workers_max = Some(now.workers - 1));
    }
    if now.tenants.len() > 1 {
        for at in 0..5 {
            with(&|cuts| {
                cuts.tenants.insert(at);
            });
        }
    }
    if now.migrations.len() > 1 {
        with(&|cuts| cuts.migrations_max = Some(now.migrations.len() - 1));
    }
    with(&|cuts| cuts.calm_pace = true);
    with(&|cuts| cuts.no_pauses = true);
    for (at, _, _) in &run.faults {
        with(&|cuts| {
            cuts.faults.insert(*at);
        });
    }
    all
}

/// The scenario, the faults, what happened, what was broken, and how to see it again.
pub fn told(seed: u64) -> String {
    let (cuts, run) = shrink(seed);
    let scenario = Scenario::draw(seed, &cuts);
    let mut text = format!("seed {seed}, shrunk to:\n");
    for tenant in &scenario.tenants {
        let _ = writeln!(text, "  tenant {} on {}, which refuses {:?}", tenant.name, tenant.engine, tenant.poison);
    }
    for (at, migration) in scenario.migrations.iter().enumerate() {
        let irreversible = if migration.irreversible { ", irreversible" } else { "" };
        let _ = writeln!(text, "  migration {}: {:?}{irreversible}", at + 1, migration.statements);
    }
    let Scenario { jobs, workers, concurrency, attempts, wave_size, trusts_log, mends_between, .. } = &scenario;
    let _ = writeln!(
        text,
        "  jobs {jobs:?}, {workers} workers with {concurrency} drivers each, {attempts} tries, waves of {wave_size:?}, the log \
         is taken at its word: {trusts_log}, mended between deploys: {mends_between}"
    );
    for PauseDef { at_call, lasts_ms } in &scenario.pauses {
        let _ = writeln!(text, "  at call {at_call} the deploy is paused, for {lasts_ms} ms");
    }
    for (at, fault, place) in &run.faults {
        let _ = writeln!(text, "  fault {at}: {fault:?} at {place}");
    }
    for line in &run.history {
        let _ = writeln!(text, "{line}");
    }
    let broken = run.broken.map_or_else(|| "nothing is broken".to_owned(), |of| format!("{}: {}", of.promise, of.what));
    let _ = writeln!(
        text,
        "\n{broken}\nto see it again: WINDLASS_SIM_FROM={seed} WINDLASS_SIM_SEEDS=1 ./test --test sim seeds"
    );
    text
}
