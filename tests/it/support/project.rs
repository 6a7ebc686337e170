//! A project in a temporary folder, and the real binary run in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions as _, Row as _, SqliteConnection};
use tempfile::TempDir;

/// The name that every command is run under.
pub const USER: &str = "tester";

/// A folder that is removed with this value.
pub struct Project {
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; none where it was killed.
    pub code: Option<i32>,
    /// Its answer.
    pub stdout: String,
    /// What went wrong.
    pub stderr: String,
}

impl Project {
    /// An empty one.
    pub fn new() -> Self {
        // Not where TMPDIR says: what is said of a log below /tmp is part of some expectations.
        Self { folder: tempfile::Builder::new().prefix("windlass-it-").tempdir_in("/tmp").unwrap() }
    }

    /// A copy of a folder of the repository, given from its root.
    pub fn copy_of(folder: &str) -> Self {
        let project = Self::new();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), project.path());
        project
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder where it is.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// A place in it.
    pub fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// Writes a file, with the folders that it lies in.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The binary, ready to be run in this folder: nothing of the tester's own environment reaches its output.
    pub fn command(&self) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_windlass"))
    }

    /// Another program, ready to be run in this folder, for which the binary is in the PATH.
    pub fn command_of(&self, program: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_windlass")).parent().unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([binary.to_owned()].into_iter().chain(std::env::split_paths(&path))).unwrap();
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .env("PATH", path)
            .env("USER", USER)
            .env_remove("CI")
            .env_remove("WINDLASS_LOG");
        command
    }

    /// Runs a command line, split at its spaces.
    pub fn windlass(&self, arguments: &str) -> Ran {
        Ran::of(self.command().args(arguments.split_whitespace()).output().unwrap())
    }

    /// A connection to an SQLite file, made where there is none.
    pub async fn sqlite(&self, path: &str) -> SqliteConnection {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
    }

    /// Runs SQL in a file; the rows, each value as text, columns apart by ` | `.
    pub async fn sql(&self, path: &str, sql: &str) -> Result<Vec<String>, sqlx::Error> {
        let mut connection = self.sqlite(path).await;
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await?;
        sqlx::Connection::close(connection).await?;
        let text = |row: &sqlx::sqlite::SqliteRow| {
            let cells = row.columns().iter().map(|column| {
                let at = column.ordinal();
                row.try_get_unchecked::<Option<String>, _>(at).unwrap().unwrap_or_else(|| "NULL".to_owned())
            });
            cells.collect::<Vec<_>>().join(" | ")
        };
        Ok(rows.iter().map(text).collect())
    }
}

impl Ran {
    /// What a process left.
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The same, after making sure of its exit code.
    pub fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
