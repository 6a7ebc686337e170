//! Tenants to try things on.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

/// What a [`World`] may fail with.
pub type WorldError = Box<dyn std::error::Error + Send + Sync>;

/// Where a tenant is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its connection URL, as in a fleet: `postgres://…`, `mysql://…`, `sqlite://…`.
    pub url: String,
    /// Its schema, where it is not a whole PostgreSQL database.
    pub schema: Option<String>,
}

/// Makes tenants to try things on, and looks at them.
#[async_trait]
pub trait World: Send + Sync {
    /// A tenant as it is before the deploy: each time another one, and all alike.
    async fn fresh(&self) -> Result<Place, WorldError>;

    /// Everything of a tenant that counts, as text: what a deploy changes there, and an undo must bring back. It leaves out the
    /// tables of Windlass (`windlass_…`), and what differs between two tenants that were treated alike: moments, random numbers.
    async fn look(&self, at: &Place) -> Result<String, WorldError>;
}

/// Tenants that are SQLite files.
#[derive(Debug)]
pub struct SqliteFiles {
    folder: PathBuf,
    setup: String,
    made: AtomicU32,
}

impl SqliteFiles {
    /// Files in `folder`, which is made where it is missing and never emptied: a temporary one is best. `setup` is the SQL that makes
    /// a tenant what it is before the deploy.
    pub fn new(folder: impl Into<PathBuf>, setup: impl Into<String>) -> Self {
        Self { folder: folder.into(), setup: setup.into(), made: AtomicU32::new(0) }
    }

    async fn connect(file: &str) -> Result<SqliteConnection, sqlx::Error> {
        SqliteConnectOptions::new().filename(file).connect().await
    }
}

#[async_trait]
impl World for SqliteFiles {
    async fn fresh(&self) -> Result<Place, WorldError> {
        std::fs::create_dir_all(&self.folder)?;
        let folder = std::path::absolute(&self.folder)?;
        let file = loop {
            let number = self.made.fetch_add(1, Ordering::Relaxed);
            let file = folder.join(format!("tenant-{number}.db"));
            match std::fs::File::create_new(&file) {
                Ok(_) => break file,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        };
        let file = file.to_str().ok_or("the folder's name is not UTF-8")?;
        let mut connection = Self::connect(file).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(self.setup.as_str())).execute(&mut connection).await?;
        connection.close().await?;
        Ok(Place { url: format!("sqlite://{file}"), schema: None })
    }

    /// The definitions of all tables, indexes, views and triggers, and all rows.
    async fn look(&self, at: &Place) -> Result<String, WorldError> {
        let file = at.url.strip_prefix("sqlite://").ok_or("not a place of this world")?;
        let mut connection = Self::connect(file).await?;
        let objects = "SELECT type, name, coalesce(sql, '') FROM sqlite_schema \
                       WHERE name NOT LIKE 'windlass\\_%' ESCAPE '\\' AND tbl_name NOT LIKE 'windlass\\_%' ESCAPE '\\' \
                       AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name";
        let mut seen = String::new();
        for object in sqlx::query(objects).fetch_all(&mut connection).await? {
            let (kind, name, sql): (String, String, String) = (object.get(0), object.get(1), object.get(2));
            seen.push_str(&format!("{kind} {name}: {sql}\n"));
            if kind == "table" {
                rows(&mut connection, &name, &mut seen).await?;
            }
        }
        connection.close().await?;
        Ok(seen)
    }
}

/// The rows of a table, each as SQL would write it, in the order of their texts.
async fn rows(connection: &mut SqliteConnection, table: &str, seen: &mut String) -> Result<(), sqlx::Error> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns = sqlx::query("SELECT name FROM pragma_table_info(?1)").bind(table).fetch_all(&mut *connection).await?;
    let cells: Vec<String> =
        columns.iter().map(|column| format!("quote({})", quoted(&column.get::<String, _>(0)))).collect();
    let all = format!("SELECT {} FROM {} ORDER BY 1", cells.join(" || ', ' || "), quoted(table));
    for row in sqlx::query(sqlx::AssertSqlSafe(all)).fetch_all(&mut *connection).await? {
        seen.push_str(&format!("  {}\n", row.get::<String, _>(0)));
    }
    Ok(())
}
