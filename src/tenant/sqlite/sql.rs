//! The texts that are run. Values stand inside them, so that one text holds a whole transaction; they get there through
//! [`literal`] and no other way.
//!
//! Our tables are named with `main.`, which no temporary table can shadow. They are not STRICT: a customer's older SQLite would
//! refuse to read the whole file.

use std::fmt::Write as _;

use crate::base::Timestamp;
use crate::base::limits::LEDGER_ROWS_MAX;
use crate::tenant::ledger::{NewRow, effect_text, half_text, state_text};
use crate::tenant::session::{FenceState, ForeignKeys, LedgerKey, Opening, Unit};

/// A text as an SQL literal. A NUL, at which SQLite would stop reading, becomes U+FFFD.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\0', "\u{fffd}").replace('\'', "''"))
}

const TABLES: &str = "CREATE TABLE IF NOT EXISTS main.windlass_fence (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    log_id TEXT NOT NULL,
    deploy_id TEXT NOT NULL,
    tenants INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'done', 'undone')),
    worker TEXT NOT NULL,
    raised_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS main.windlass_ledger (
    position INTEGER NOT NULL UNIQUE CHECK (position > 0),
    deploy_id TEXT NOT NULL,
    step_id TEXT NOT NULL,
    half TEXT NOT NULL CHECK (half IN ('act', 'undo')),
    version TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    effect TEXT NOT NULL CHECK (effect IN ('apply', 'revert', 'void')),
    epoch INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (deploy_id, step_id, half)
)";

/// The opening, in one transaction: make the tables, raise the fence, read both.
pub(super) fn open(opening: &Opening, now: Timestamp) -> String {
    format!(
        "BEGIN IMMEDIATE;
{TABLES};
INSERT INTO main.windlass_fence AS f (id, epoch, log_id, deploy_id, tenants, state, worker, raised_at)
VALUES (1, {epoch}, {log}, {deploy}, {tenants}, 'open', {worker}, {at})
ON CONFLICT (id) DO UPDATE SET
    epoch = excluded.epoch, log_id = excluded.log_id, deploy_id = excluded.deploy_id, tenants = excluded.tenants,
    state = CASE WHEN f.deploy_id = excluded.deploy_id THEN f.state ELSE 'open' END,
    worker = excluded.worker, raised_at = excluded.raised_at
WHERE f.epoch < excluded.epoch
   OR (f.epoch = excluded.epoch AND f.deploy_id = excluded.deploy_id AND f.worker = excluded.worker);
SELECT sqlite_version() AS windlass_server;
{FENCE};
{ledger};
COMMIT",
        epoch = opening.epoch,
        log = literal(&opening.log.to_string()),
        deploy = literal(&opening.deploy.to_string()),
        tenants = opening.tenants,
        worker = literal(opening.worker.as_str()),
        at = now.0,
        ledger = ledger(),
    )
}

/// The fence row, and who holds it.
pub(super) const FENCE: &str =
    "SELECT epoch AS windlass_mark, log_id, deploy_id, tenants, state, worker FROM main.windlass_fence WHERE id = 1";

const ROWS: &str = "SELECT position AS windlass_row, deploy_id, step_id, half, version, name, digest, effect, epoch, at
FROM main.windlass_ledger";

/// The whole ledger.
pub(super) fn ledger() -> String {
    format!("{ROWS} ORDER BY position LIMIT {}", LEDGER_ROWS_MAX + 1)
}

/// One row of the ledger.
pub(super) fn ledger_row(key: &LedgerKey) -> String {
    format!("{ROWS} WHERE {}", key_is(key))
}

/// Begins a survey: from here on nothing can be written.
pub(super) const SURVEY: &str = "PRAGMA query_only = ON;
BEGIN;
SELECT sqlite_version() AS windlass_server,
       (SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND name = 'windlass_fence'),
       (SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND name = 'windlass_ledger')";

fn key_is(key: &LedgerKey) -> String {
    let (deploy, step) = (literal(&key.deploy.to_string()), literal(key.step.as_str()));
    format!("deploy_id = {deploy} AND step_id = {step} AND half = '{}'", half_text(key.half))
}

/// Begins as the file's writer and inserts a ledger row, unless the fence is no longer ours: then its epoch would be NULL.
fn insert_row(opening: &Opening, row: &NewRow<'_>, at: Timestamp) -> String {
    let NewRow { position, key, version, name, digest, effect, epoch } = row;
    format!(
        "BEGIN IMMEDIATE;
INSERT INTO main.windlass_ledger (position, deploy_id, step_id, half, version, name, digest, effect, epoch, at)
VALUES ({position}, {deploy}, {step}, '{half}', {version}, {name}, '{digest}', '{effect}',
    (SELECT epoch FROM main.windlass_fence WHERE id = 1 AND epoch = {epoch} AND deploy_id = {ours}), {at})",
        deploy = literal(&key.deploy.to_string()),
        step = literal(key.step.as_str()),
        half = half_text(key.half),
        version = literal(version),
        name = literal(name),
        effect = effect_text(*effect),
        ours = literal(&opening.deploy.to_string()),
        at = at.0,
    )
}

/// How many statements of ours come before a unit's first: BEGIN and the ledger row.
pub(super) const PROLOGUE: usize = 2;

/// A unit up to its commit. What it ends with tells whether the transaction is still the one it began: the ledger row cannot have
/// been committed, so it is seen from inside that transaction or not at all.
pub(super) fn unit(opening: &Opening, row: &NewRow<'_>, at: Timestamp, unit: &Unit, held: FenceState) -> String {
    let mut sql = insert_row(opening, row, at);
    sql.push_str(";\n");
    for statement in &unit.statements {
        sql.push_str(statement);
        // On a line of its own: the statement may end in a comment.
        sql.push_str("\n;\n");
    }
    if unit.foreign_keys == ForeignKeys::Checked {
        sql.push_str("SELECT \"table\" AS windlass_dangling, rowid, parent FROM pragma_foreign_key_check LIMIT 1;\n");
    }
    if unit.fence != held {
        let _ = writeln!(sql, "{};", set_fence(opening, unit.fence));
    }
    let _ = write!(sql, "SELECT 1 AS windlass_guard FROM main.windlass_ledger WHERE {}", key_is(&unit.key));
    sql
}

/// Says in the fence how far this deploy has come; not where a later worker has raised it, which answers for it then.
pub(super) fn set_fence(opening: &Opening, state: FenceState) -> String {
    format!(
        "UPDATE main.windlass_fence SET state = '{}' WHERE id = 1 AND epoch = {} AND deploy_id = {}",
        state_text(state),
        opening.epoch,
        literal(&opening.deploy.to_string())
    )
}

/// A tombstone; where the key is taken, the row that has it says why.
pub(super) fn tombstone(opening: &Opening, row: &NewRow<'_>, at: Timestamp) -> String {
    let insert = insert_row(opening, row, at);
    format!("{insert}\nON CONFLICT (deploy_id, step_id, half) DO NOTHING;\n{};\nCOMMIT", ledger_row(row.key))
}

/// Begins a check, which cannot write.
pub(super) const CHECK: &str = "PRAGMA query_only = ON;\nBEGIN";
/// How many statements that is.
pub(super) const CHECK_PROLOGUE: usize = 2;
/// Ends it.
pub(super) const CHECK_OVER: &str = "PRAGMA query_only = OFF";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_survives_quotes_and_nul() {
        assert_eq!(literal("it's \\ a\0b"), "'it''s \\ a\u{fffd}b'");
    }
}
