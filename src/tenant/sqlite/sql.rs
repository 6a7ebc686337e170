//! The texts that are run. Values stand inside them, so that one text holds a whole transaction; they get there through
//! [`literal`] and no other way.
//!
//! Our tables are named with `main.`, which no temporary table can shadow. They are not STRICT: a customer's older SQLite would
//! refuse to read the whole file.

use crate::base::limits::LEDGER_ROWS_MAX;
use crate::base::{DeployId, Timestamp};
use crate::tenant::ledger::{NewRow, effect_text, half_text, state_text};
use crate::tenant::session::{FenceState, LedgerKey, Opening};

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

pub(super) fn key_is(key: &LedgerKey) -> String {
    let (deploy, step) = (literal(&key.deploy.to_string()), literal(key.step.as_str()));
    format!("deploy_id = {deploy} AND step_id = {step} AND half = '{}'", half_text(key.half))
}

/// Our epoch, or NULL, which the row cannot hold, where the fence is no longer ours.
fn epoch_if_ours(opening: &Opening) -> String {
    format!(
        "(SELECT epoch FROM main.windlass_fence WHERE id = 1 AND epoch = {} AND deploy_id = {})",
        opening.epoch,
        literal(&opening.deploy.to_string())
    )
}

/// Begins as the file's writer.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// Inserts a ledger row, unless the fence is no longer ours.
pub(super) fn insert_row(opening: &Opening, row: &NewRow<'_>, at: Timestamp) -> String {
    let NewRow { position, key, version, name, digest, effect, epoch: _ } = row;
    format!(
        "INSERT INTO main.windlass_ledger (position, deploy_id, step_id, half, version, name, digest, effect, epoch, at)
VALUES ({position}, {deploy}, {step}, '{half}', {version}, {name}, '{digest}', '{effect}', {epoch}, {at})",
        deploy = literal(&key.deploy.to_string()),
        step = literal(key.step.as_str()),
        half = half_text(key.half),
        version = literal(version),
        name = literal(name),
        effect = effect_text(*effect),
        epoch = epoch_if_ours(opening),
        at = at.0,
    )
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

/// How many statements a tombstone is; the last is its commit.
pub(super) const TOMBSTONE_STATEMENTS: usize = 4;

/// A tombstone; where the key is taken, the row that has it says why.
pub(super) fn tombstone(opening: &Opening, row: &NewRow<'_>, at: Timestamp) -> String {
    let insert = insert_row(opening, row, at);
    format!("{BEGIN};\n{insert}\nON CONFLICT (deploy_id, step_id, half) DO NOTHING;\n{};\nCOMMIT", ledger_row(row.key))
}

/// Begins a check, which cannot write.
pub(super) const CHECK: &str = "PRAGMA query_only = ON;\nBEGIN";
/// How many statements that is.
pub(super) const CHECK_PROLOGUE: usize = 2;
/// Ends it.
pub(super) const CHECK_OVER: &str = "PRAGMA query_only = OFF";

/// Makes the table of the statements that were begun, in the transaction of the first.
pub(super) const STATEMENT_TABLE: &str = "CREATE TABLE IF NOT EXISTS main.windlass_statement (
    deploy_id TEXT NOT NULL,
    step_id TEXT NOT NULL,
    half TEXT NOT NULL CHECK (half IN ('act', 'undo')),
    number INTEGER NOT NULL CHECK (number > 0),
    state TEXT NOT NULL CHECK (state IN ('intent', 'done')),
    before_print TEXT NOT NULL,
    after_print TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (deploy_id, step_id, half, number)
)";

/// Whether that table is there.
pub(super) const HAS_STATEMENT_TABLE: &str =
    "SELECT 1 AS windlass_there FROM main.sqlite_master WHERE type = 'table' AND name = 'windlass_statement'";

/// The statements of a step that were begun, in order.
pub(super) fn statements(key: &LedgerKey) -> String {
    format!(
        "SELECT number AS windlass_statement, state, before_print, after_print, epoch
FROM main.windlass_statement WHERE {} ORDER BY number",
        key_is(key)
    )
}

/// A statement of an act of this deploy of which neither the end of the act nor its undo has a row in the ledger. A tombstone is
/// neither: it stands before the first statement is taken back.
pub(super) fn part_of_an_act(deploy: DeployId) -> String {
    format!(
        "SELECT 1 AS windlass_part FROM main.windlass_statement s WHERE s.deploy_id = {} AND s.half = 'act' AND NOT EXISTS
    (SELECT 1 FROM main.windlass_ledger l WHERE l.deploy_id = s.deploy_id AND l.step_id = s.step_id AND l.effect <> 'void')
LIMIT 1",
        literal(&deploy.to_string())
    )
}

/// One of them.
pub(super) fn statement_is(key: &LedgerKey, number: u32) -> String {
    format!("{} AND number = {number}", key_is(key))
}

/// Writes that a statement is about to be run, or, with the statement in one transaction, that it was; unless the fence is no longer
/// ours.
pub(super) fn insert_statement(
    opening: &Opening,
    key: &LedgerKey,
    number: u32,
    state: &str,
    before: &str,
    at: Timestamp,
) -> String {
    format!(
        "INSERT INTO main.windlass_statement (deploy_id, step_id, half, number, state, before_print, after_print, epoch, at)
VALUES ({deploy}, {step}, '{half}', {number}, '{state}', {before}, '', {epoch}, {at})",
        deploy = literal(&key.deploy.to_string()),
        step = literal(key.step.as_str()),
        half = half_text(key.half),
        before = literal(before),
        epoch = epoch_if_ours(opening),
        at = at.0,
    )
}

/// Says that a statement has taken effect.
pub(super) fn settle_statement(opening: &Opening, key: &LedgerKey, number: u32, after: &str, at: Timestamp) -> String {
    format!(
        "UPDATE main.windlass_statement SET state = 'done', after_print = {}, epoch = {}, at = {}
WHERE {} AND state = 'intent' RETURNING number AS windlass_settled",
        literal(after),
        opening.epoch,
        at.0,
        statement_is(key, number),
    )
}

/// Says that all statements of a step that were begun have taken effect.
pub(super) fn settle_all(opening: &Opening, key: &LedgerKey, at: Timestamp) -> String {
    format!(
        "UPDATE main.windlass_statement SET state = 'done', epoch = {}, at = {} WHERE {} AND state = 'intent'",
        opening.epoch,
        at.0,
        key_is(key),
    )
}

/// Takes out the row of a statement that has not taken effect.
pub(super) fn forget_statement(key: &LedgerKey, number: u32) -> String {
    format!("DELETE FROM main.windlass_statement WHERE {}", statement_is(key, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_survives_quotes_and_nul() {
        assert_eq!(literal("it's \\ a\0b"), "'it''s \\ a\u{fffd}b'");
    }
}
