//! Revisions that were seen, and releases that were pushed.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::Done;
use super::requests::keep_blob;
use crate::base::{Digest, Timestamp};
use crate::log::sqlite::fault::Fault;
use crate::log::sqlite::rows::{digest, int, unsigned};
use crate::log::{Blob, PushedRelease};

macro_rules! columns {
    () => {
        "fleet, digest, name, migrations, bytes, pushed_at, pushed_by"
    };
}

fn row(row: &SqliteRow) -> Result<PushedRelease, Fault> {
    Ok(PushedRelease {
        fleet: row.try_get("fleet")?,
        digest: digest(row, "digest")?,
        name: row.try_get("name")?,
        migrations: unsigned(row, "migrations")?,
        bytes: unsigned(row, "bytes")?,
        pushed_at: Timestamp(row.try_get("pushed_at")?),
        pushed_by: row.try_get("pushed_by")?,
    })
}

pub(super) async fn see_revision(
    connection: &mut SqliteConnection,
    fleet: &str,
    revision: &str,
    release: Digest,
    now: Timestamp,
) -> Done<Digest> {
    sqlx::query(
        "INSERT INTO revisions (fleet, revision, release, seen_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )
    .bind(fleet)
    .bind(revision)
    .bind(release.as_bytes().as_slice())
    .bind(now.0)
    .execute(&mut *connection)
    .await?;
    Ok(Ok(self::revision(connection, fleet, revision).await?.unwrap_or(release)))
}

pub(super) async fn revision(
    connection: &mut SqliteConnection,
    fleet: &str,
    revision: &str,
) -> Result<Option<Digest>, Fault> {
    let found = sqlx::query("SELECT release FROM revisions WHERE fleet = ?1 AND revision = ?2")
        .bind(fleet)
        .bind(revision)
        .fetch_optional(connection)
        .await?;
    found.map(|row| digest(&row, "release")).transpose()
}

pub(super) async fn push(
    connection: &mut SqliteConnection,
    release: &PushedRelease,
    bytes: &[u8],
    now: Timestamp,
) -> Done<bool> {
    keep_blob(connection, &Blob { digest: release.digest, bytes: bytes.to_vec() }).await?;
    let done = sqlx::query(
        "INSERT INTO releases (fleet, digest, name, migrations, bytes, pushed_at, pushed_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT DO NOTHING",
    )
    .bind(&release.fleet)
    .bind(release.digest.as_bytes().as_slice())
    .bind(&release.name)
    .bind(int(release.migrations))
    .bind(int(release.bytes))
    .bind(now.0)
    .bind(&release.pushed_by)
    .execute(connection)
    .await?;
    Ok(Ok(done.rows_affected() == 1))
}

pub(super) async fn pushed(
    connection: &mut SqliteConnection,
    fleet: &str,
    digest: &Digest,
) -> Result<Option<PushedRelease>, Fault> {
    let found = sqlx::query(concat!("SELECT ", columns!(), " FROM releases WHERE fleet = ?1 AND digest = ?2"))
        .bind(fleet)
        .bind(digest.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    found.as_ref().map(row).transpose()
}

pub(super) async fn releases(
    connection: &mut SqliteConnection,
    fleet: &str,
    limit: usize,
) -> Result<Vec<PushedRelease>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT ",
        columns!(),
        " FROM releases WHERE fleet = ?1 ORDER BY pushed_at DESC, digest LIMIT ?2"
    ))
    .bind(fleet)
    .bind(int(limit))
    .fetch_all(connection)
    .await?;
    found.iter().map(row).collect()
}
