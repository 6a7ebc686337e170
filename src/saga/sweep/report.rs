//! Goes through families of deploys, on as many threads as the tests may have, and prints what it went through as one table.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::families::{Deploy, Family};
use super::{Count, Courses};

/// Bytes. A search goes as deep as its longest course; only what is used is ever taken.
const STACK: usize = 256 << 20;

/// What became of one family.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub count: Count,
    /// What the first check that failed said, and of which deploy.
    pub found: Option<String>,
    /// Of one core.
    time: Duration,
}

/// Sweeps all of these and prints the table. Fails if anything was found.
pub(super) fn sweep(title: &str, families: &[Family]) -> Vec<Row> {
    let deploys = |(at, family): (usize, &Family)| (0..family.deploys.len()).map(move |deploy| (at, deploy));
    let queue: Mutex<VecDeque<_>> = Mutex::new(families.iter().enumerate().flat_map(deploys).collect());
    let rows = Mutex::new(vec![Row::default(); families.len()]);
    let began = Instant::now();
    let work = || {
        let take = || queue.lock().unwrap().pop_front();
        while let Some((family, deploy)) = take() {
            // One finding of a family is enough, and the first one is the smallest.
            if rows.lock().unwrap()[family].found.is_none() {
                let swept = one(&families[family].deploys[deploy]);
                rows.lock().unwrap()[family].add(deploy, swept);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).unwrap();
        }
    });
    let rows = rows.into_inner().unwrap();
    print!("{}", table(title, families, &rows, began.elapsed()));
    for (family, row) in families.iter().zip(&rows) {
        if let Some(found) = &row.found {
            println!("found in: {}: {found}", family.name);
        }
    }
    assert!(rows.iter().all(|row| row.found.is_none()), "the sweep has found something");
    rows
}

/// As many as there may be tests at a time.
fn threads() -> usize {
    let said = std::env::var("RUST_TEST_THREADS").ok().and_then(|threads| threads.parse().ok());
    said.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn one(deploy: &Deploy) -> (Count, Option<String>, Duration) {
    let began = Instant::now();
    let (count, found) = deploy.sweep();
    (count, found, began.elapsed())
}

impl Row {
    fn add(&mut self, deploy: usize, (count, found, time): (Count, Option<String>, Duration)) {
        self.count += count;
        self.time += time;
        if let Some(found) = found.filter(|_| self.found.is_none()) {
            let Count { states, prefixes, recovered, .. } = count;
            self.found = Some(format!(
                "{found} (deploy {}, after {states} states, {recovered} of {prefixes} prefixes recovered)",
                deploy + 1
            ));
        }
    }

    fn cells(&self, family: &str) -> Vec<String> {
        let Count { deploys, states, prefixes, recovered, deaths: [before, after, effect], courses } = self.count;
        let Courses { undisturbed, recovered: disturbed } = courses;
        let numbers = [deploys, states, prefixes, recovered, before, after, effect];
        let mut cells = vec![family.to_owned()];
        cells.extend(numbers.map(|number| grouped(number.into())));
        cells.extend([undisturbed, disturbed].map(grouped));
        cells.push(format!("{:.1}", self.time.as_secs_f64()));
        cells
    }
}

/// As `docs/reliability/sweep.md` has it: a line for each family, and one for all.
fn table(title: &str, families: &[Family], rows: &[Row], time: Duration) -> String {
    let head = [
        "family",
        "deploys",
        "states",
        "prefixes",
        "recovered",
        "death before append",
        "after append",
        "after effect",
        "courses without",
        "with a death",
        "s",
    ];
    let mut all = Row::default();
    for row in rows {
        all.count += row.count;
        all.time += row.time;
    }
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    lines.extend(families.iter().zip(rows).map(|(family, row)| row.cells(&family.name)));
    lines.push(all.cells("all"));
    let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let pad = |(column, cell): (usize, &String)| match column {
        0 => format!("| {cell:<width$} |", width = widths[0]),
        _ => format!(" {cell:>width$} |", width = widths[column]),
    };
    let line = |cells: &Vec<String>| cells.iter().enumerate().map(pad).collect::<String>() + "\n";
    let rule: String = widths.iter().enumerate().map(|(column, width)| rule(column, *width)).collect();
    let Count { prefixes, recovered, deploys, .. } = all.count;
    format!(
        "\n{title}\n\n{}{rule}\n{}\nrecovered {} of {} prefixes, in {} deploys, {:.0} s\n",
        line(&lines[0]),
        lines[1..].iter().map(line).collect::<String>(),
        grouped(recovered.into()),
        grouped(prefixes.into()),
        grouped(deploys.into()),
        time.as_secs_f64(),
    )
}

/// Under the head; the colon says that a column is one of numbers.
fn rule(column: usize, width: usize) -> String {
    let dashes = "-".repeat(width + 1);
    if column == 0 { format!("|{dashes}-|") } else { format!("{dashes}:|") }
}

/// In groups of three digits, as long as it can be read.
fn grouped(number: u128) -> String {
    match number {
        u128::MAX => "over 10^38".to_owned(),
        0..1_000_000_000_000 => {
            let digits = number.to_string();
            let from_end = |(at, digit): (usize, char)| {
                let left = digits.len() - at;
                if at > 0 && left.is_multiple_of(3) { vec![' ', digit] } else { vec![digit] }
            };
            digits.chars().enumerate().flat_map(from_end).collect()
        }
        _ => format!("~10^{}", number.ilog10()),
    }
}
