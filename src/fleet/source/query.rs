//! The query on the catalog database.

use futures_util::TryStreamExt as _;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Column as _, Connection as _, Row as _, TypeInfo as _, ValueRef as _};
use tokio::time::timeout;

use super::row::Table;
use crate::base::limits::{CONNECT_TIMEOUT, FLEET_TENANTS_MAX, LOG_BUSY_TIMEOUT, SOURCE_TIMEOUT};
use crate::fleet::error::FleetError;
use crate::fleet::tenant::Engine;
use crate::fleet::url::ResolvedUrl;

/// Runs `sql` on the catalog and takes every value as text.
pub(super) async fn rows(sql: &str, on: &ResolvedUrl) -> Result<Table, FleetError> {
    let table = match on.engine() {
        Engine::Postgres => postgres(sql, on).await,
        Engine::Sqlite => sqlite(sql, on).await,
        Engine::Mysql => mysql(sql, on).await,
    };
    table.map_err(|failure| FleetError::SourceFailed {
        from: "the query on the catalog database".to_owned(),
        reason: failure.said(on),
    })
}

/// Why the catalog gave nothing.
enum Failure {
    Driver(sqlx::Error),
    Slow { what: &'static str, limit: std::time::Duration },
    Other(String),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(error)
    }
}

impl Failure {
    fn said(&self, on: &ResolvedUrl) -> String {
        match self {
            // Scrubbed: a driver may repeat what it was connected with.
            Self::Driver(error) => match error.as_database_error() {
                // Its `Display` adds a line of the server's own source code.
                Some(said) => on.redact(said.message()),
                None => on.redact(&error.to_string()),
            },
            Self::Slow { what, limit } => format!("{what} took longer than {} s", limit.as_secs()),
            Self::Other(reason) => on.redact(reason),
        }
    }
}

async fn postgres(sql: &str, on: &ResolvedUrl) -> Result<Table, Failure> {
    let options = on.postgres_options()?.application_name("windlass/catalog");
    let slow = |_| Failure::Slow { what: "connecting", limit: CONNECT_TIMEOUT };
    let mut connection = timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options)).await.map_err(slow)??;
    let limit_ms = SOURCE_TIMEOUT.as_millis();
    // The settings are the transaction's and not the session's: behind a pooler the session is handed to others afterwards,
    // and would hand them `default_transaction_read_only` along.
    let begin =
        format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {limit_ms}; SET LOCAL lock_timeout = {limit_ms}");
    let work = async {
        sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut connection).await?;
        let mut table = Table { columns: Vec::new(), rows: Vec::new() };
        // Not prepared: in the simple protocol every value comes as text, whatever its type.
        let mut stream = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch(&mut connection);
        while let Some(row) = stream.try_next().await? {
            add(&mut table, || names(row.columns()), postgres_cells(&row)?)?;
        }
        drop(stream);
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await?;
        Ok(table)
    };
    let slow = |_| Failure::Slow { what: "the query", limit: SOURCE_TIMEOUT };
    let table = timeout(SOURCE_TIMEOUT, work).await.map_err(slow)?;
    // The rows are here; how the connection ends changes nothing.
    let _ = timeout(CONNECT_TIMEOUT, connection.close()).await;
    table
}

async fn mysql(sql: &str, on: &ResolvedUrl) -> Result<Table, Failure> {
    let options = on.mysql_options()?;
    let slow = |_| Failure::Slow { what: "connecting", limit: CONNECT_TIMEOUT };
    let mut connection = timeout(CONNECT_TIMEOUT, MySqlConnection::connect_with(&options)).await.map_err(slow)??;
    let work = async {
        sqlx::raw_sql("START TRANSACTION READ ONLY").execute(&mut connection).await?;
        let mut table = Table { columns: Vec::new(), rows: Vec::new() };
        // Not prepared: every value comes as text, whatever its type.
        let mut stream = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch(&mut connection);
        while let Some(row) = stream.try_next().await? {
            add(&mut table, || names(row.columns()), mysql_cells(&row)?)?;
        }
        drop(stream);
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await?;
        Ok(table)
    };
    let slow = |_| Failure::Slow { what: "the query", limit: SOURCE_TIMEOUT };
    // A query that is too slow is dropped with its connection. The server goes on with it, and cannot write.
    let table = timeout(SOURCE_TIMEOUT, work).await.map_err(slow)?;
    let _ = timeout(CONNECT_TIMEOUT, connection.close()).await;
    table
}

async fn sqlite(sql: &str, on: &ResolvedUrl) -> Result<Table, Failure> {
    let options = on.sqlite_options()?.read_only(true).create_if_missing(false).busy_timeout(LOG_BUSY_TIMEOUT);
    let slow = |_| Failure::Slow { what: "opening the file", limit: CONNECT_TIMEOUT };
    let mut connection = timeout(CONNECT_TIMEOUT, SqliteConnection::connect_with(&options)).await.map_err(slow)??;
    let work = async {
        let mut table = Table { columns: Vec::new(), rows: Vec::new() };
        let mut stream = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch(&mut connection);
        while let Some(row) = stream.try_next().await? {
            add(&mut table, || names(row.columns()), sqlite_cells(&row)?)?;
        }
        Ok(table)
    };
    let slow = |_| Failure::Slow { what: "the query", limit: SOURCE_TIMEOUT };
    let table = timeout(SOURCE_TIMEOUT, work).await.map_err(slow)?;
    let _ = timeout(CONNECT_TIMEOUT, connection.close()).await;
    table
}

fn names<C: sqlx::Column>(columns: &[C]) -> Vec<String> {
    columns.iter().map(|column| column.name().to_owned()).collect()
}

fn add(table: &mut Table, names: impl Fn() -> Vec<String>, cells: Vec<Option<String>>) -> Result<(), Failure> {
    if table.rows.is_empty() {
        table.columns = names();
    } else if table.columns.len() != cells.len() {
        return Err(Failure::Other("it holds more than one query, and they give different columns".to_owned()));
    }
    if table.rows.len() >= FLEET_TENANTS_MAX {
        return Err(Failure::Other(format!("it gives more than {FLEET_TENANTS_MAX} rows")));
    }
    table.rows.push(cells);
    Ok(())
}

fn postgres_cells(row: &PgRow) -> Result<Vec<Option<String>>, Failure> {
    (0..row.len())
        .map(|at| {
            let value = row.try_get_raw(at)?;
            if value.is_null() {
                return Ok(None);
            }
            let text = value.as_str().map_err(|_| not_text(row.column(at).name()))?;
            // The server writes t and f, people `label.canary = true`.
            let text = match (value.type_info().name(), text) {
                ("BOOL", "t") => "true",
                ("BOOL", "f") => "false",
                _ => text,
            };
            Ok(Some(text.to_owned()))
        })
        .collect()
}

fn mysql_cells(row: &MySqlRow) -> Result<Vec<Option<String>>, Failure> {
    // Unchecked: whatever its type, a value comes as text. There is no boolean: people write `label.canary = 1`.
    let cell = |at: usize| row.try_get_unchecked::<Option<String>, _>(at).map_err(|_| not_text(row.column(at).name()));
    (0..row.len()).map(cell).collect()
}

fn sqlite_cells(row: &SqliteRow) -> Result<Vec<Option<String>>, Failure> {
    // Unchecked: SQLite itself makes text of numbers.
    let cell = |at: usize| row.try_get_unchecked::<Option<String>, _>(at).map_err(|_| not_text(row.column(at).name()));
    (0..row.len()).map(cell).collect()
}

fn not_text(column: &str) -> Failure {
    Failure::Other(format!("the column {column:?} holds a value that is not UTF-8 text"))
}
