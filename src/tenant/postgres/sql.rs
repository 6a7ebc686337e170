//! The texts that are sent. Values stand inside them, since the simple protocol has no parameters; they get there through
//! [`literal`] and [`identifier`] and no other way.

use crate::base::limits::LEDGER_ROWS_MAX;
use crate::base::{DeployId, Digest};
use crate::tenant::ledger::{NewRow, effect_text, half_text, state_text};
use crate::tenant::session::{Effect, FenceState, LedgerKey, Opening};

/// What our own errors begin with. Raised by a cast that fails, since a plain statement has no other way to raise.
pub(super) const FENCED: &str = "windlass-fenced:";
/// The guard's error.
pub(super) const BROKEN: &str = "windlass-transaction-broken:";

/// A text as an SQL literal, whatever `standard_conforming_strings` says. A NUL, which no text of the server can hold, becomes
/// U+FFFD.
pub(super) fn literal(text: &str) -> String {
    let escaped = text.replace('\0', "\u{fffd}").replace('\'', "''");
    if escaped.contains('\\') { format!(" E'{}'", escaped.replace('\\', "\\\\")) } else { format!("'{escaped}'") }
}

/// A name as a quoted identifier.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('\0', "\u{fffd}").replace('"', "\"\""))
}

/// The names of our tables.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) fence: String,
    pub(super) ledger: String,
    /// Made when a step first needs it: most tenants never do.
    pub(super) statement: String,
}

impl Names {
    /// In a schema; or wherever the search path finds them, until an opening has resolved that: a migration that changes the
    /// search path must not move our tables.
    pub(super) fn in_schema(schema: Option<&str>) -> Self {
        let prefix = schema.map(|schema| format!("{}.", identifier(schema))).unwrap_or_default();
        let of = |table: &str| format!("{prefix}{table}");
        Self { fence: of("windlass_fence"), ledger: of("windlass_ledger"), statement: of("windlass_statement") }
    }
}

/// Characters of a worker's id that the fence keeps. With no text of unlimited length in it, the fence needs no TOAST table, whose making
/// would cost more than its own.
const WORKER_CHARS_MAX: usize = 300;

/// Makes the tables. Ends a transaction first: an opening that found none was inside one.
pub(super) fn create_tables(names: &Names) -> String {
    let Names { fence, ledger, .. } = names;
    format!(
        "ROLLBACK;
CREATE TABLE IF NOT EXISTS {fence} (
    id smallint PRIMARY KEY CHECK (id = 1),
    epoch bigint NOT NULL,
    log_id uuid NOT NULL,
    deploy_id uuid NOT NULL,
    tenants bigint NOT NULL,
    state varchar(10) NOT NULL CHECK (state IN ('open', 'done', 'undone')),
    worker varchar({WORKER_CHARS_MAX}) NOT NULL,
    backend_pid integer NOT NULL,
    backend_start timestamptz NOT NULL,
    former_pid integer,
    former_start timestamptz,
    raised_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE IF NOT EXISTS {ledger} (
    position bigint NOT NULL UNIQUE CHECK (position > 0),
    deploy_id uuid NOT NULL,
    step_id text NOT NULL,
    half text NOT NULL CHECK (half IN ('act', 'undo')),
    version text NOT NULL,
    name text NOT NULL,
    digest text NOT NULL,
    effect text NOT NULL CHECK (effect IN ('apply', 'revert', 'void')),
    epoch bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (deploy_id, step_id, half)
)"
    )
}

/// The opening, in one message: raise the fence and commit that; then, in a transaction of its own that cannot see the world as it
/// was before, name the sessions that have to end; then read the ledger, which is final if none has to.
pub(super) fn open(names: &Names, opening: &Opening, prefix: &str) -> String {
    let Names { fence, .. } = names;
    let (epoch, tenants) = (opening.epoch, opening.tenants);
    let log = literal(&opening.log.to_string());
    let deploy = literal(&opening.deploy.to_string());
    let worker = literal(&opening.worker.as_str().chars().take(WORKER_CHARS_MAX).collect::<String>());
    format!(
        "BEGIN;
SELECT epoch::text AS windlass_held FROM {fence} WHERE id = 1 FOR UPDATE;
INSERT INTO {fence} AS f (id, epoch, log_id, deploy_id, tenants, state, worker, backend_pid, backend_start)
VALUES (1, {epoch}, {log}, {deploy}, {tenants}, 'open', {worker}, pg_backend_pid(),
        (SELECT backend_start FROM pg_stat_get_activity(pg_backend_pid())))
ON CONFLICT (id) DO UPDATE SET
    epoch = excluded.epoch, log_id = excluded.log_id, deploy_id = excluded.deploy_id, tenants = excluded.tenants,
    state = CASE WHEN f.deploy_id = excluded.deploy_id THEN f.state ELSE 'open' END, worker = excluded.worker,
    former_pid = f.backend_pid, former_start = f.backend_start,
    backend_pid = excluded.backend_pid, backend_start = excluded.backend_start, raised_at = clock_timestamp()
WHERE f.epoch < excluded.epoch
   OR (f.epoch = excluded.epoch AND f.deploy_id = excluded.deploy_id AND f.worker = excluded.worker)
RETURNING f.state AS windlass_raised;
COMMIT;
{facts};
{others};
{ledger}",
        facts = facts(names),
        others = others(names, prefix),
        ledger = ledger(names),
    )
}

/// The server's version, and the schema in which our tables are.
fn facts(names: &Names) -> String {
    format!(
        "SELECT split_part(current_setting('server_version'), ' ', 1) AS windlass_server,
       (SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = to_regclass({fence}))",
        fence = literal(&names.fence)
    )
}

/// The sessions of earlier workers on this tenant: by name, and the fence's former holder also under another name, which its
/// migration may have given it. The start tells a process id that was used again.
///
/// From the function under `pg_stat_activity`, not from the view: what the view joins to it costs a fresh session a millisecond of
/// reading catalogs.
pub(super) fn others(names: &Names, prefix: &str) -> String {
    format!(
        "SELECT a.pid::text AS windlass_other, a.backend_start::text, a.application_name
FROM pg_stat_get_activity(NULL) a LEFT JOIN {fence} f ON f.id = 1
WHERE a.datid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND a.pid <> pg_backend_pid()
  AND (starts_with(a.application_name, {prefix}) OR (a.pid = f.former_pid AND a.backend_start = f.former_start))",
        fence = names.fence,
        prefix = literal(prefix),
    )
}

/// The whole ledger.
pub(super) fn ledger(names: &Names) -> String {
    format!("{} ORDER BY position LIMIT {}", ledger_rows(names), LEDGER_ROWS_MAX + 1)
}

fn ledger_rows(names: &Names) -> String {
    format!(
        "SELECT position::text AS windlass_row, deploy_id::text, step_id, half, version, name, digest, effect, epoch::text,
       {AT_MS} FROM {ledger}",
        ledger = names.ledger
    )
}

const AT_MS: &str = "floor(extract(epoch FROM at) * 1000)::bigint::text";

/// One row of the ledger.
pub(super) fn ledger_row(names: &Names, key: &LedgerKey) -> String {
    format!("{} WHERE {}", ledger_rows(names), key_is(key))
}

/// The fence row.
pub(super) fn fence(names: &Names) -> String {
    format!(
        "SELECT epoch::text AS windlass_mark, log_id::text, deploy_id::text, tenants::text, state FROM {} WHERE id = 1",
        names.fence
    )
}

/// Ends sessions, and lets the server wait for each of them, at most `wait_ms`. In a transaction of its own, since the server
/// shows one transaction the same sessions all the time.
pub(super) fn terminate(sessions: &[(i32, Option<String>)], wait_ms: u64) -> String {
    let which: Vec<String> = sessions
        .iter()
        .map(|(pid, start)| {
            let start = start.as_deref().map_or("NULL".to_owned(), literal);
            format!("(a.pid = {pid} AND a.backend_start IS NOT DISTINCT FROM {start}::timestamptz)")
        })
        .collect();
    format!(
        "BEGIN; SET LOCAL statement_timeout = 0;
SELECT pg_terminate_backend(a.pid, {wait_ms})::text AS windlass_ended FROM pg_stat_activity a WHERE {};
COMMIT",
        which.join(" OR ")
    )
}

pub(super) fn key_is(key: &LedgerKey) -> String {
    let (deploy, step) = (literal(&key.deploy.to_string()), literal(key.step.as_str()));
    format!("deploy_id = {deploy} AND step_id = {step} AND half = '{}'", half_text(key.half))
}

/// Our epoch, or an error where the fence is no longer ours. The fence is read without a lock: a successor raises it and then ends
/// this session, and must not have to wait for a transaction of ours to be able to.
fn epoch_if_ours(names: &Names, opening: &Opening) -> String {
    format!(
        "CASE WHEN EXISTS (SELECT FROM {fence} WHERE id = 1 AND epoch = {epoch} AND deploy_id = {deploy}) THEN {epoch}
    ELSE ('{FENCED}' || coalesce((SELECT epoch::text FROM {fence} WHERE id = 1), 'nobody'))::bigint END",
        fence = names.fence,
        epoch = opening.epoch,
        deploy = literal(&opening.deploy.to_string()),
    )
}

/// Makes sure that the fence is ours.
pub(super) fn still_ours(names: &Names, opening: &Opening) -> String {
    format!("SELECT {} AS windlass_ours", epoch_if_ours(names, opening))
}

/// Inserts a ledger row, unless the fence is no longer ours.
fn insert_row(names: &Names, opening: &Opening, row: &NewRow<'_>) -> String {
    let NewRow { position, key, version, name, digest, effect, epoch: _ } = row;
    format!(
        "INSERT INTO {ledger} (position, deploy_id, step_id, half, version, name, digest, effect, epoch)
VALUES ({position}, {deploy}, {step}, '{half}', {version}, {name}, '{digest}', '{effect}',
    {epoch})",
        ledger = names.ledger,
        deploy = literal(&key.deploy.to_string()),
        step = literal(key.step.as_str()),
        half = half_text(key.half),
        version = literal(version),
        name = literal(name),
        effect = effect_text(*effect),
        epoch = epoch_if_ours(names, opening),
    )
}

/// The same, and tells when.
pub(super) fn insert_row_and_tell(names: &Names, opening: &Opening, row: &NewRow<'_>) -> String {
    format!("{} RETURNING {AT_MS} AS windlass_at", insert_row(names, opening, row))
}

/// Says in the fence how far this deploy has come; not where a later worker has raised it, which answers for it then.
pub(super) fn set_fence(names: &Names, opening: &Opening, state: FenceState) -> String {
    format!(
        "UPDATE {} SET state = '{}' WHERE id = 1 AND epoch = {} AND deploy_id = {}",
        names.fence,
        state_text(state),
        opening.epoch,
        literal(&opening.deploy.to_string())
    )
}

/// Takes back what a migration may have set in its session; what we set ourselves came with the connection's start, and that is what
/// a setting is reset to.
pub(super) const RESET: [&str; 3] = ["RESET ALL", "RESET SESSION AUTHORIZATION", "RESET ROLE"];

/// For the rest of a transaction we are ourselves, whatever role or search path a step's statements have set for those to come; and
/// what we write is there before they run.
pub(super) const OURSELVES: [&str; 4] = [
    "SET LOCAL SESSION AUTHORIZATION DEFAULT",
    "SET LOCAL ROLE NONE",
    "SET LOCAL search_path = pg_catalog",
    "SET LOCAL synchronous_commit = on",
];

/// Before [`OURSELVES`]: remembers what it changes.
pub(super) const REMEMBER: &str = "SELECT pg_catalog.set_config('windlass.login', pg_catalog.current_setting('session_authorization'), true), \
     pg_catalog.set_config('windlass.role', pg_catalog.current_setting('role'), true), \
     pg_catalog.set_config('windlass.path', pg_catalog.current_setting('search_path'), true), \
     pg_catalog.set_config('windlass.waits', pg_catalog.current_setting('synchronous_commit'), true)";

/// Gives it back, in the same transaction. The role comes last: changing the login takes it away.
pub(super) const GIVE_BACK: &str = "SELECT set_config('session_authorization', current_setting('windlass.login'), true), \
     set_config('role', current_setting('windlass.role'), true), \
     set_config('synchronous_commit', current_setting('windlass.waits'), true), \
     set_config('search_path', current_setting('windlass.path'), true)";

/// Ends a failed transaction, and tells whether there was one: AND CHAIN is refused (25P01) where the text has ended it.
pub(super) const ROLLBACK: &str = "ROLLBACK AND CHAIN; ROLLBACK";

/// A tombstone; where the key is taken, the row that has it says why.
pub(super) fn tombstone(names: &Names, opening: &Opening, position: u64, key: &LedgerKey) -> String {
    let row = NewRow {
        position,
        key,
        version: "",
        name: "",
        digest: Digest([0; 32]),
        effect: Effect::Void,
        epoch: opening.epoch,
    };
    let insert = insert_row(names, opening, &row);
    format!("{insert} ON CONFLICT (deploy_id, step_id, half) DO NOTHING;\n{}", ledger_row(names, key))
}

/// Whether a text of ours may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A text of ours in a transaction of its own, amid a step's statements: it leaves their settings as they are. `first` is run under
/// them, and ends in a semicolon where it is not empty.
pub(super) fn amid(access: Access, first: &str, text: &str) -> String {
    let access = match access {
        Access::Read => "READ ONLY",
        Access::Write => "READ WRITE",
    };
    format!("BEGIN ISOLATION LEVEL READ COMMITTED {access};\n{first}{};\n{text};\nCOMMIT", OURSELVES.join("; "))
}

/// Makes the table of the statements that were begun.
pub(super) fn create_statement_table(names: &Names) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (
    deploy_id uuid NOT NULL,
    step_id text NOT NULL,
    half text NOT NULL CHECK (half IN ('act', 'undo')),
    number bigint NOT NULL CHECK (number > 0),
    state text NOT NULL CHECK (state IN ('intent', 'done')),
    before_print text NOT NULL,
    after_print text NOT NULL,
    epoch bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (deploy_id, step_id, half, number)
)",
        names.statement
    )
}

/// The statements of a step that were begun, in order.
pub(super) fn statements(names: &Names, key: &LedgerKey) -> String {
    format!(
        "SELECT number::text AS windlass_statement, state, before_print, after_print, epoch::text
FROM {} WHERE {} ORDER BY number",
        names.statement,
        key_is(key)
    )
}

/// A statement of an act of this deploy of which neither the end of the act nor its undo has a row in the ledger. A tombstone is
/// neither: it stands before the first statement is taken back.
pub(super) fn part_of_an_act(names: &Names, deploy: DeployId) -> String {
    format!(
        "SELECT 1 AS windlass_part FROM {statement} s WHERE s.deploy_id = {deploy} AND s.half = 'act' AND NOT EXISTS
    (SELECT FROM {ledger} l WHERE l.deploy_id = s.deploy_id AND l.step_id = s.step_id AND l.effect <> 'void') LIMIT 1",
        statement = names.statement,
        ledger = names.ledger,
        deploy = literal(&deploy.to_string()),
    )
}

/// One of them.
pub(super) fn statement_is(key: &LedgerKey, number: u32) -> String {
    format!("{} AND number = {number}", key_is(key))
}

/// Writes that a statement is about to be run, or, with the statement in one transaction, that it was; unless the fence is no longer
/// ours.
pub(super) fn insert_statement(
    names: &Names,
    opening: &Opening,
    key: &LedgerKey,
    number: u32,
    state: &str,
    before: &str,
) -> String {
    format!(
        "INSERT INTO {statement} (deploy_id, step_id, half, number, state, before_print, after_print, epoch)
VALUES ({deploy}, {step}, '{half}', {number}, '{state}', {before}, '', {epoch})",
        statement = names.statement,
        deploy = literal(&key.deploy.to_string()),
        step = literal(key.step.as_str()),
        half = half_text(key.half),
        before = literal(before),
        epoch = epoch_if_ours(names, opening),
    )
}

/// Says that a statement has taken effect.
pub(super) fn settle_statement(names: &Names, opening: &Opening, key: &LedgerKey, number: u32, after: &str) -> String {
    format!(
        "UPDATE {} SET state = 'done', after_print = {}, epoch = {}, at = clock_timestamp()
WHERE {} AND state = 'intent' RETURNING number::text AS windlass_settled",
        names.statement,
        literal(after),
        opening.epoch,
        statement_is(key, number),
    )
}

/// Says that all statements of a step that were begun have taken effect.
pub(super) fn settle_all(names: &Names, opening: &Opening, key: &LedgerKey) -> String {
    format!(
        "UPDATE {} SET state = 'done', epoch = {}, at = clock_timestamp() WHERE {} AND state = 'intent'",
        names.statement,
        opening.epoch,
        key_is(key),
    )
}

/// Takes out the row of a statement that has not taken effect.
pub(super) fn forget_statement(names: &Names, key: &LedgerKey, number: u32) -> String {
    format!("DELETE FROM {} WHERE {}", names.statement, statement_is(key, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_survives_quotes_backslashes_and_nul() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'b"), r" E'a\\''b'");
        assert_eq!(literal("a\0b"), "'a\u{fffd}b'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }
}
