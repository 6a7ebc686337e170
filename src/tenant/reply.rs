//! What comes back for a text of several statements, the same for every engine.

use super::ledger::RawRow;

/// The names of the first columns of our own result sets begin with this, so that they are told from a migration's.
pub(super) const TAG: &str = "windlass_";

/// A row as text, column by column.
pub(super) type Cells = Vec<Option<String>>;

/// A row of a result set of ours.
#[derive(Debug)]
pub(super) struct Tagged {
    /// The name of its first column.
    pub(super) tag: String,
    /// Its columns.
    pub(super) cells: Cells,
}

impl Tagged {
    /// A column's text; empty where it is NULL, which reads as damage wherever a value is needed.
    pub(super) fn cell(&self, at: usize) -> &str {
        self.cells.get(at).and_then(Option::as_deref).unwrap_or_default()
    }
}

/// The answers to one text.
#[derive(Debug)]
pub(super) struct Reply<Trouble> {
    /// How many of its statements ended well.
    pub(super) completed: usize,
    /// The rows of our own result sets.
    pub(super) rows: Vec<Tagged>,
    /// What ended it early.
    pub(super) trouble: Option<Trouble>,
}

impl<Trouble> Default for Reply<Trouble> {
    fn default() -> Self {
        Self { completed: 0, rows: Vec::new(), trouble: None }
    }
}

impl<Trouble> Reply<Trouble> {
    /// The first row under a tag.
    pub(super) fn row(&self, tag: &str) -> Option<&Tagged> {
        self.rows.iter().find(|row| row.tag == tag)
    }

    /// The ledger's rows in it.
    pub(super) fn ledger_rows(self) -> impl Iterator<Item = RawRow> {
        self.rows.into_iter().filter(|row| row.tag == "windlass_row").map(raw_row)
    }
}

fn raw_row(row: Tagged) -> RawRow {
    let mut cells = row.cells.into_iter().map(Option::unwrap_or_default);
    let mut next = || cells.next().unwrap_or_default();
    RawRow {
        position: next(),
        deploy: next(),
        step: next(),
        half: next(),
        version: next(),
        name: next(),
        digest: next(),
        effect: next(),
        epoch: next(),
        at_ms: next(),
    }
}
