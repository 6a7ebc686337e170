//! Judges where a deploy has left things, with SQL of its own.
//!
//! Nothing here uses Windlass' modules: what they would read wrongly, they would also have written wrongly. A tenant database is seen
//! as lines of text, its schema and every row of it, so that two states are the same or a difference can be shown. The log is
//! seen as the events in the order in which they were committed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _, SqliteConnection};

use super::mariadb;

/// Everything in a fleet that a deploy may change: by tenant, one line for each object, row and migration in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sight(pub BTreeMap<String, Vec<String>>);

impl Sight {
    /// What is here and not there (`-`), and there and not here (`+`).
    pub fn difference(&self, found: &Self) -> String {
        let mut text = String::new();
        for (tenant, lines) in &self.0 {
            let others = found.0.get(tenant).map(Vec::as_slice).unwrap_or_default();
            for line in lines.iter().filter(|line| !others.contains(line)) {
                let _ = writeln!(text, "- {tenant}: {line}");
            }
            for line in others.iter().filter(|line| !lines.contains(line)) {
                let _ = writeln!(text, "+ {tenant}: {line}");
            }
        }
        if text.is_empty() && self != found { format!("in order or number: {self:#?}\n{found:#?}") } else { text }
    }
}

/// The statements that were begun, and left in doubt.
const IN_DOUBT: &str = "SELECT 'in doubt: ' || step_id || ' ' || half || ' ' || number FROM windlass_statement WHERE state <> 'done' ORDER BY 1";

/// What an SQLite tenant holds.
pub async fn of_sqlite(file: &Path) -> Vec<String> {
    let mut connection = sqlite(file).await;
    let mut lines = column(
        &mut connection,
        "SELECT type || ' ' || name || ' of ' || tbl_name || ': ' || coalesce(sql, 'made by a constraint') FROM sqlite_schema \
         WHERE tbl_name <> 'windlass_statement' ORDER BY type, name",
    )
    .await;
    let tables = column(
        &mut connection,
        "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'windlass_%' ORDER BY name",
    )
    .await;
    for table in tables {
        let columns = column(&mut connection, &format!("SELECT quote(name) FROM pragma_table_info('{table}')")).await;
        let cells: Vec<String> = columns.iter().map(|name| format!("quote(\"{}\")", name.trim_matches('\''))).collect();
        let rows = format!("SELECT {} FROM \"{table}\" ORDER BY 1", cells.join(" || ', ' || "));
        lines.extend(column(&mut connection, &rows).await.into_iter().map(|row| format!("row of {table}: {row}")));
    }
    // Made when it is first needed, so it is no difference.
    let there = "SELECT name FROM sqlite_schema WHERE name = 'windlass_statement'";
    if !column(&mut connection, there).await.is_empty() {
        lines.extend(column(&mut connection, IN_DOUBT).await);
    }
    let ledger = "SELECT effect || ' ' || deploy_id || '/' || step_id || ' ' || version || ' ' || name || ' ' || digest
                  FROM windlass_ledger ORDER BY position";
    lines.extend(in_force(column(&mut connection, ledger).await));
    connection.close().await.unwrap();
    lines
}

/// What a PostgreSQL tenant holds, in the schema `public` of a database.
pub async fn of_postgres(url: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let mut lines = Vec::new();
    for objects in [
        "SELECT format('column %s.%s: %s %s default %s', table_name, column_name, data_type, is_nullable, column_default)
         FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
        "SELECT format('constraint %s of %s: %s %s', conname, conrelid::regclass, pg_get_constraintdef(oid), convalidated)
         FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT format('index %s: %s valid %s', i.indexrelid::regclass, pg_get_indexdef(i.indexrelid), i.indisvalid)
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT format('%s %s: %s', c.relkind, c.relname, CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END)
         FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT format('routine %s', p.oid::regprocedure) FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT format('type %s', t.typname) FROM pg_type t WHERE t.typnamespace = 'public'::regnamespace ORDER BY 1",
    ] {
        lines.extend(texts(&mut connection, objects).await);
    }
    // Made when it is first needed, so it is no difference.
    lines.retain(|line| !line.contains("windlass_statement"));
    let there = "SELECT relname::text FROM pg_class WHERE oid = to_regclass('public.windlass_statement')";
    if !texts(&mut connection, there).await.is_empty() {
        lines.extend(texts(&mut connection, IN_DOUBT).await);
    }
    let tables =
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')
                  AND relname NOT LIKE 'windlass\\_%' ORDER BY 1";
    for table in texts(&mut connection, tables).await {
        let rows = texts(&mut connection, &format!("SELECT t::text FROM \"{table}\" t ORDER BY 1")).await;
        lines.extend(rows.into_iter().map(|row| format!("row of {table}: {row}")));
    }
    let ledger = "SELECT effect || ' ' || deploy_id || '/' || step_id || ' ' || version || ' ' || name || ' ' || digest
                  FROM windlass_ledger ORDER BY position";
    lines.extend(in_force(texts(&mut connection, ledger).await));
    connection.close().await.unwrap();
    lines
}

/// What a MariaDB tenant holds: every line that `mariadb-dump` writes of it, and the statements that were begun and left in doubt.
pub async fn of_mariadb(port: u16, database: &str) -> Vec<String> {
    let mut lines: Vec<String> = dump_of_mariadb(port, database).lines().map(str::to_owned).collect();
    let mut admin = mariadb::Admin::at(port, database).await;
    lines.extend(
        admin
            .texts("SELECT CONCAT_WS(' ', 'in doubt:', step_id, half, number) FROM windlass_statement WHERE state <> 'done'")
            .await,
    );
    let ledger = "SELECT CONCAT_WS(' ', effect, CONCAT(deploy_id, '/', step_id), version, name, digest) FROM windlass_ledger \
                  ORDER BY position";
    lines.extend(in_force(admin.texts(ledger).await));
    lines
}

/// Definitions and rows of a MariaDB tenant, without Windlass's own tables.
pub fn dump_of_mariadb(port: u16, database: &str) -> String {
    mariadb::dump_at(port, database, &["windlass_fence", "windlass_ledger", "windlass_statement"])
}

/// Folds a ledger: what was applied and not reverted since. Applying what is in force, or reverting what is not, is an effect had
/// twice; but a step that was given up in its middle, as its tombstone says, has a part to be reverted.
fn in_force(ledger: Vec<String>) -> Vec<String> {
    let (mut in_force, mut given_up) = (Vec::<String>::new(), Vec::<String>::new());
    for row in ledger {
        let mut words = row.splitn(3, ' ');
        let mut word = || words.next().unwrap().to_owned();
        let (effect, step, migration) = (word(), word(), word());
        let at = in_force.iter().position(|of| *of == migration);
        let part = given_up.iter().position(|of| *of == step);
        match (effect.as_str(), at, part) {
            ("apply", None, None) => in_force.push(migration),
            ("revert", Some(at), None) => drop(in_force.remove(at)),
            ("revert", None, Some(part)) => drop(given_up.remove(part)),
            ("void", ..) => given_up.push(step),
            _ => panic!("the ledger says {effect} of {migration} in {step}, with {in_force:?} in force"),
        }
    }
    in_force.into_iter().map(|migration| format!("in force: {migration}")).collect()
}

/// One event of the log.
#[derive(Debug)]
pub struct Entry {
    /// Its place in the order of commits.
    pub position: i64,
    /// The tenant; none in the deploy's own stream.
    pub tenant: Option<String>,
    /// What it says.
    pub body: Value,
}

impl Entry {
    /// Its type.
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap()
    }
}

/// The newest deploy of a log.
#[derive(Debug)]
pub struct Account {
    /// Every event of all its streams, in the order of commits.
    pub entries: Vec<Entry>,
    /// Leases that are held.
    pub leases: Vec<String>,
    /// The tenants, as the log's projection has them.
    pub statuses: BTreeMap<String, String>,
}

/// How many deploys a log has; none where there is no log.
pub async fn deploys(log: &Path) -> i64 {
    if !log.exists() {
        return 0;
    }
    let mut connection = sqlite(log).await;
    let count = sqlx::query_scalar("SELECT count(*) FROM deploys").fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    count
}

/// How many events of a type a log has, over all its deploys.
pub async fn count(log: &Path, kind: &str) -> i64 {
    let mut connection = sqlite(log).await;
    let sql = "SELECT count(*) FROM events WHERE body ->> '$.event.type' = ?1";
    let count = sqlx::query_scalar(sql).bind(kind).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    count
}

/// Whether nobody has the log's write lock.
pub async fn can_be_written(log: &Path) -> bool {
    let options = SqliteConnectOptions::new().filename(log).busy_timeout(std::time::Duration::ZERO);
    let mut connection = options.connect().await.unwrap();
    let begun = sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut connection).await.is_ok();
    connection.close().await.unwrap();
    begun
}

impl Account {
    /// Reads the newest deploy.
    pub async fn read(log: &Path) -> Self {
        let mut connection = sqlite(log).await;
        let key: i64 = sqlx::query_scalar("SELECT key FROM deploys ORDER BY key DESC LIMIT 1")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let rows = sqlx::query(
            "SELECT e.position, t.tenant, e.body FROM events e LEFT JOIN tenants t ON t.key = e.tenant \
             WHERE e.deploy = ?1 ORDER BY e.position",
        )
        .bind(key)
        .fetch_all(&mut connection)
        .await
        .unwrap();
        let entry = |row: &SqliteRow| Entry { position: row.get(0), tenant: row.get(1), body: event(row.get(2)) };
        let entries = rows.iter().map(entry).collect();
        let leases =
            column(&mut connection, "SELECT tenant || ' by ' || owner FROM tenants WHERE owner IS NOT NULL").await;
        let statuses = sqlx::query_as("SELECT tenant, status FROM tenants WHERE deploy = ?1")
            .bind(key)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        Self { entries, leases, statuses: statuses.into_iter().collect() }
    }

    /// The events of the deploy's own stream.
    pub fn own(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.tenant.is_none())
    }

    /// What is wrong with a deploy that ought to have ended like this; empty where nothing is.
    pub fn faults(&self, outcome: &str) -> Vec<String> {
        let mut faults = self.started_after_the_turn();
        match self.own().find(|entry| entry.kind() == "deploy_finished") {
            None => faults.push("the deploy has not finished".to_owned()),
            Some(end) => {
                if end.body["outcome"] != outcome {
                    faults.push(format!("the deploy is {}, not {outcome}", end.body["outcome"]));
                }
                let account = end.body["account"].as_object().unwrap();
                let told: u64 = account.values().map(|count| count.as_u64().unwrap()).sum();
                if told != self.statuses.len() as u64 {
                    faults.push(format!("the account tells of {told} of {} tenants", self.statuses.len()));
                }
            }
        }
        if self.own().filter(|entry| entry.kind() == "sealed").count() != 1 {
            faults.push("the deploy is not sealed once".to_owned());
        }
        let good: &[&str] = if outcome == "completed" { &["completed"] } else { &["unwound", "untouched"] };
        let others = self.statuses.iter().filter(|(_, status)| !good.contains(&status.as_str()));
        faults.extend(others.map(|(tenant, status)| format!("{tenant} is {status}")));
        faults.extend(self.leases.iter().map(|lease| format!("a lease is left: {lease}")));
        faults
    }

    /// Promise P5: forward steps that were started after the deploy turned.
    fn started_after_the_turn(&self) -> Vec<String> {
        let turned = self.own().find(|entry| entry.kind() == "direction_set" && entry.body["direction"] == "unwind");
        let Some(turned) = turned else { return Vec::new() };
        let after =
            self.entries.iter().filter(|entry| entry.position > turned.position && entry.kind() == "step_started");
        after.map(|entry| format!("started after the turn: {:?} {}", entry.tenant, entry.body)).collect()
    }
}

/// What was recorded, without when, by whom and under which lease.
fn event(body: &str) -> Value {
    let mut recorded: Value = serde_json::from_str(body).unwrap();
    recorded["event"].take()
}

async fn sqlite(file: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

async fn column(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await.unwrap()
}

async fn texts(connection: &mut PgConnection, sql: &str) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await.unwrap()
}
