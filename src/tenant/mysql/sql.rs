//! The texts that are sent, one statement each. Values stand inside them; they get there through [`literal`] and [`identifier`] and
//! no other way, which hold under any `sql_mode`.

use std::fmt::Write as _;
use std::time::Duration;

use super::connect::{Limits, SessionId};
use crate::base::limits::{LEDGER_ROWS_MAX, TENANT_IDLE_IN_TRANSACTION};
use crate::base::{DeployId, Timestamp};
use crate::tenant::ledger::{NewRow, effect_text, half_text, state_text};
use crate::tenant::session::{FenceState, LedgerKey, Opening};

/// A text as an SQL literal. What a mode could read differently (quotes, backslashes, anything beyond ASCII) goes in hexadecimal. A
/// NUL becomes U+FFFD, as everywhere.
pub(super) fn literal(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " -_.:/,".contains(c);
    if text.chars().all(plain) {
        return format!("'{text}'");
    }
    let mut hex = String::with_capacity(text.len() * 2);
    for byte in text.replace('\0', "\u{fffd}").bytes() {
        let _ = write!(hex, "{byte:02x}");
    }
    format!("_utf8mb4 X'{hex}'")
}

/// A name as a quoted identifier.
pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('\0', "\u{fffd}").replace('`', "``"))
}

/// The names of our tables, in full: a migration may say USE.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) database: String,
    pub(super) fence: String,
    pub(super) ledger: String,
    pub(super) statement: String,
}

impl Names {
    pub(super) fn in_database(database: &str) -> Self {
        let of = |table: &str| format!("{}.{table}", identifier(database));
        Self {
            database: database.to_owned(),
            fence: of("windlass_fence"),
            ledger: of("windlass_ledger"),
            statement: of("windlass_statement"),
        }
    }
}

/// Whole seconds, rounded up, at least one.
fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).clamp(1, 31_536_000).try_into().unwrap_or(31_536_000)
}

/// The modes that a session would have from any other client: ours tells the server at its handshake to ignore spaces behind the
/// names of functions, which makes reserved words of some of them.
const OWN_MODES: &str = "IF(FIND_IN_SET('IGNORE_SPACE', @@GLOBAL.sql_mode), @@SESSION.sql_mode, \
     TRIM(BOTH ',' FROM REPLACE(CONCAT(',', @@SESSION.sql_mode, ','), ',IGNORE_SPACE,', ',')))";

/// What a session is told at its start. Only what guards it: modes, time zone and isolation are the server's. The limit of a
/// statement is MariaDB's; MySQL has none but for SELECT, and a statement that takes longer there is given up with its line.
pub(super) fn settings(limits: Limits) -> String {
    let statement_s = limits.statement.as_secs_f64().clamp(0.001, 31_536_000.0);
    format!(
        "SET SESSION sql_mode = {OWN_MODES}, autocommit = 1, completion_type = 'NO_CHAIN', lock_wait_timeout = {lock}, \
         innodb_lock_wait_timeout = {lock}, sql_quote_show_create = 1 \
         /*M!100301 , max_statement_time = {statement_s:.3}, idle_transaction_timeout = {idle} */",
        lock = seconds(limits.lock),
        idle = seconds(TENANT_IDLE_IN_TRANSACTION),
    )
}

/// What a server says of itself, and whether we have the lock of our name.
///
/// The start is exact: both parts of the difference are the moment at which this statement began. MariaDB has no identity of its
/// own that it would tell to everybody, so it is told by where it runs; and since when, which [`super::connect`] adds.
pub(super) fn facts(token: &str) -> String {
    const STARTED: &str = "(SELECT UNIX_TIMESTAMP() - CAST(VARIABLE_VALUE AS UNSIGNED) \
         FROM /*M! information_schema.GLOBAL_STATUS */ /*!50700 performance_schema.global_status */ \
         WHERE VARIABLE_NAME = 'Uptime')";
    format!(
        "SELECT @@version AS windlass_facts, DATABASE(), CONNECTION_ID(), @@sql_mode, {STARTED}, GET_LOCK('{token}', 0), \
         @@lower_case_table_names, \
         CONCAT(/*!50700 @@server_uuid */ /*M! @@hostname, ':', @@port, ':', @@datadir, ':', @@server_id */), \
         @@max_allowed_packet"
    )
}

/// In MariaDB our own tables are made without the limit of a statement, which is a migration's.
const UNLIMITED: &str = "/*M!100102 SET STATEMENT max_statement_time = 0 FOR */";

/// How every table of ours is kept: its rows roll back, its names compare byte by byte, its keys may be long.
const KEPT: &str = "ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

const KEY: &str = "deploy_id char(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    step_id varchar(700) NOT NULL,
    half char(4) CHARACTER SET ascii COLLATE ascii_bin NOT NULL CHECK (half IN ('act', 'undo'))";

/// Makes the tables, one statement each. The fence is the last: a ledger without it is one whose making was cut short, and empty.
pub(super) fn create_tables(names: &Names) -> [String; 3] {
    let Names { fence, ledger, statement, .. } = names;
    [
        format!(
            "{UNLIMITED} CREATE TABLE IF NOT EXISTS {statement} (
    {KEY},
    `number` int unsigned NOT NULL CHECK (`number` > 0),
    state varchar(10) NOT NULL CHECK (state IN ('intent', 'done')),
    before_print mediumtext NOT NULL,
    after_print mediumtext NOT NULL,
    epoch bigint unsigned NOT NULL,
    at datetime(3) NOT NULL COMMENT 'UTC',
    PRIMARY KEY (deploy_id, step_id, half, `number`)
) {KEPT}"
        ),
        format!(
            "{UNLIMITED} CREATE TABLE IF NOT EXISTS {ledger} (
    `position` bigint unsigned NOT NULL UNIQUE CHECK (`position` > 0),
    {KEY},
    version varchar(700) NOT NULL,
    name text NOT NULL,
    digest varchar(100) NOT NULL,
    effect varchar(10) NOT NULL CHECK (effect IN ('apply', 'revert', 'void')),
    epoch bigint unsigned NOT NULL,
    at datetime(3) NOT NULL COMMENT 'UTC',
    PRIMARY KEY (deploy_id, step_id, half)
) {KEPT}"
        ),
        format!(
            "{UNLIMITED} CREATE TABLE IF NOT EXISTS {fence} (
    id smallint NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch bigint unsigned NOT NULL,
    log_id char(36) NOT NULL,
    deploy_id char(36) NOT NULL,
    tenants bigint unsigned NOT NULL,
    state varchar(10) NOT NULL CHECK (state IN ('open', 'done', 'undone')),
    worker text NOT NULL,
    `session` varchar(200) NOT NULL COMMENT 'the holder: start of the server / connection / lock',
    former text NOT NULL COMMENT 'earlier holders that had not been seen gone',
    raised_at datetime(3) NOT NULL COMMENT 'UTC'
) {KEPT}"
        ),
    ]
}

/// Which of our tables are there, and by which engine they are kept.
pub(super) fn tables(names: &Names) -> String {
    format!(
        "SELECT TABLE_NAME AS windlass_table, ENGINE FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {} AND TABLE_NAME IN ('windlass_fence', 'windlass_ledger', 'windlass_statement')",
        literal(&names.database)
    )
}

/// The fence row: what a survey reads, and then who holds it and since when it is now, in milliseconds.
pub(super) fn fence(names: &Names) -> String {
    format!(
        "SELECT epoch AS windlass_mark, log_id, deploy_id, tenants, state, worker, `session`, former, {NOW_MS} \
         FROM {} WHERE id = 1",
        names.fence
    )
}

const NOW_MS: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000";

/// A session's list of earlier ones.
fn listed(sessions: &[SessionId]) -> String {
    sessions.iter().map(SessionId::text).collect::<Vec<_>>().join(" ")
}

/// Takes the fence of a database where nobody has had it.
pub(super) fn take_fence(names: &Names, opening: &Opening, session: &SessionId) -> String {
    format!(
        "INSERT INTO {} (id, epoch, log_id, deploy_id, tenants, state, worker, `session`, former, raised_at) \
         VALUES (1, {}, '{}', '{}', {}, 'open', {}, '{}', '', UTC_TIMESTAMP(3))",
        names.fence,
        opening.epoch,
        opening.log,
        opening.deploy,
        opening.tenants,
        literal(opening.worker.as_str()),
        session.text(),
    )
}

/// Raises the fence, if the holder is still the one that was read. `former` are those that are still there.
pub(super) fn raise_fence(
    names: &Names,
    opening: &Opening,
    session: &SessionId,
    state: FenceState,
    held_by: &str,
    former: &[SessionId],
) -> String {
    format!(
        "UPDATE {} SET epoch = {}, log_id = '{}', deploy_id = '{}', tenants = {}, state = '{}', worker = {}, \
         `session` = '{}', former = '{}', raised_at = UTC_TIMESTAMP(3) WHERE id = 1 AND `session` = {}",
        names.fence,
        opening.epoch,
        opening.log,
        opening.deploy,
        opening.tenants,
        state_text(state),
        literal(opening.worker.as_str()),
        session.text(),
        listed(former),
        literal(held_by),
    )
}

/// Which connection holds the lock of a session's name, and whether its own connection is still in the process list.
pub(super) fn look(session: &SessionId) -> String {
    format!(
        "SELECT '{token}' AS windlass_other, IS_USED_LOCK('{token}'), \
         (SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {connection})",
        token = session.token,
        connection = session.connection,
    )
}

const ROWS: &str = "SELECT `position` AS windlass_row, deploy_id, step_id, half, version, name, digest, effect, epoch, \
                    TIMESTAMPDIFF(MICROSECOND, '1970-01-01', at) DIV 1000 FROM";

/// The whole ledger.
pub(super) fn ledger(names: &Names) -> String {
    format!("{ROWS} {} ORDER BY `position` LIMIT {}", names.ledger, LEDGER_ROWS_MAX + 1)
}

/// One row of the ledger.
pub(super) fn ledger_row(names: &Names, key: &LedgerKey) -> String {
    format!("{ROWS} {} WHERE {}", names.ledger, key_is(key))
}

pub(super) fn key_is(key: &LedgerKey) -> String {
    let half = half_text(key.half);
    format!("deploy_id = '{}' AND step_id = {} AND half = '{half}'", key.deploy, literal(key.step.as_str()))
}

/// Inserts a ledger row, at a moment that the server has named.
pub(super) fn insert_row(names: &Names, row: &NewRow<'_>, at: Timestamp) -> String {
    let NewRow { position, key, version, name, digest, effect, epoch } = row;
    format!(
        "INSERT INTO {ledger} (`position`, deploy_id, step_id, half, version, name, digest, effect, epoch, at) \
         VALUES ({position}, '{deploy}', {step}, '{half}', {version}, {name}, '{digest}', '{effect}', {epoch}, \
         TIMESTAMPADD(MICROSECOND, {at} * 1000, '1970-01-01'))",
        ledger = names.ledger,
        deploy = key.deploy,
        step = literal(key.step.as_str()),
        half = half_text(key.half),
        version = literal(version),
        name = literal(name),
        effect = effect_text(*effect),
        at = at.0,
    )
}

/// Takes out a row that says more than is true.
pub(super) fn clean_up(names: &Names, opening: &Opening, key: &LedgerKey) -> String {
    format!("DELETE FROM {} WHERE {} AND epoch = {}", names.ledger, key_is(key), opening.epoch)
}

/// Says in the fence how far this deploy has come; not where a later worker has raised it, which answers for it then.
pub(super) fn set_fence(names: &Names, opening: &Opening, state: FenceState) -> String {
    format!(
        "UPDATE {} SET state = '{}' WHERE id = 1 AND epoch = {} AND deploy_id = '{}'",
        names.fence,
        state_text(state),
        opening.epoch,
        opening.deploy,
    )
}

/// The statements of a deploy that were begun.
pub(super) fn statements(names: &Names, deploy: DeployId) -> String {
    format!(
        "SELECT step_id AS windlass_statement, half, `number`, state, before_print, after_print, epoch FROM {} \
         WHERE deploy_id = '{deploy}'",
        names.statement,
    )
}

/// One of them.
pub(super) fn statement_is(key: &LedgerKey, number: u32) -> String {
    format!("{} AND `number` = {number}", key_is(key))
}

/// Writes that a statement is about to be run, if the fence is still ours.
pub(super) fn insert_intent(names: &Names, opening: &Opening, key: &LedgerKey, number: u32, before: &str) -> String {
    format!(
        "INSERT INTO {} (deploy_id, step_id, half, `number`, state, before_print, after_print, epoch, at) \
         SELECT '{}', {}, '{}', {number}, 'intent', {}, '', epoch, UTC_TIMESTAMP(3) FROM {} \
         WHERE id = 1 AND epoch = {} AND deploy_id = '{}'",
        names.statement,
        key.deploy,
        literal(key.step.as_str()),
        half_text(key.half),
        literal(before),
        names.fence,
        opening.epoch,
        opening.deploy,
    )
}

/// Writes, in one transaction with a statement, that it was run.
pub(super) fn insert_done(names: &Names, opening: &Opening, key: &LedgerKey, number: u32) -> String {
    format!(
        "INSERT INTO {} (deploy_id, step_id, half, `number`, state, before_print, after_print, epoch, at) \
         VALUES ('{}', {}, '{}', {number}, 'done', '', '', {}, UTC_TIMESTAMP(3))",
        names.statement,
        key.deploy,
        literal(key.step.as_str()),
        half_text(key.half),
        opening.epoch,
    )
}

/// Says that a statement has taken effect.
pub(super) fn settle_statement(names: &Names, opening: &Opening, key: &LedgerKey, number: u32, after: &str) -> String {
    format!(
        "UPDATE {} SET state = 'done', after_print = {}, epoch = {}, at = UTC_TIMESTAMP(3) WHERE {} AND state = 'intent'",
        names.statement,
        literal(after),
        opening.epoch,
        statement_is(key, number),
    )
}

/// Says that all statements of a step that were begun have taken effect.
pub(super) fn settle_all(names: &Names, opening: &Opening, key: &LedgerKey) -> String {
    format!(
        "UPDATE {} SET state = 'done', epoch = {}, at = UTC_TIMESTAMP(3) WHERE {} AND state = 'intent'",
        names.statement,
        opening.epoch,
        key_is(key),
    )
}

/// Takes out the row of a statement that has not taken effect, or whose effect is no more.
pub(super) fn forget_statement(names: &Names, key: &LedgerKey, number: u32) -> String {
    format!("DELETE FROM {} WHERE {}", names.statement, statement_is(key, number))
}

/// The tables of the tenant whose rows outlive a rollback; and the engine of tables to come that name none, where that is such a one,
/// under no name.
pub(super) fn tables_that_do_not_roll_back(names: &Names) -> String {
    format!(
        "SELECT TABLE_NAME AS windlass_engine, ENGINE FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {} AND TABLE_TYPE = 'BASE TABLE' AND ENGINE <> 'InnoDB' \
         UNION ALL SELECT '', @@default_storage_engine FROM DUAL WHERE @@default_storage_engine <> 'InnoDB'",
        literal(&names.database)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_means_the_same_under_any_mode() {
        assert_eq!(literal("migrate:0001_a"), "'migrate:0001_a'");
        assert_eq!(literal(""), "''");
        assert_eq!(literal("it's \\"), "_utf8mb4 X'69742773205c'");
        assert_eq!(literal("é\0"), "_utf8mb4 X'c3a9efbfbd'");
        assert_eq!(identifier("a`b"), "`a``b`");
    }

    #[test]
    fn a_limit_is_never_none() {
        assert_eq!(seconds(Duration::ZERO), 1);
        assert_eq!(seconds(Duration::from_millis(1001)), 2);
        assert_eq!(seconds(Duration::MAX), 31_536_000);
    }
}
