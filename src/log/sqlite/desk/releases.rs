//! Revisions that were seen, releases that were pushed, and what is known of which tenant is on what.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::Done;
use super::requests::keep_blob;
use crate::base::{Digest, TenantId, Timestamp};
use crate::log::sqlite::fault::Fault;
use crate::log::sqlite::rows::{digest, int, record, unsigned};
use crate::log::{Blob, PushedRelease, TenantRecord};

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
    behind: Option<(Timestamp, Digest)>,
    limit: usize,
) -> Result<Vec<PushedRelease>, Fault> {
    let (at, digest) = behind.unzip();
    let found = sqlx::query(concat!(
        "SELECT ",
        columns!(),
        " FROM releases WHERE fleet = ?1 AND (?2 IS NULL OR pushed_at < ?2 OR (pushed_at = ?2 AND digest > ?3)) \
          ORDER BY pushed_at DESC, digest LIMIT ?4"
    ))
    .bind(fleet)
    .bind(at.map(|at| at.0))
    .bind(digest.as_ref().map(|digest| digest.as_bytes().as_slice()))
    .bind(int(limit))
    .fetch_all(connection)
    .await?;
    found.iter().map(row).collect()
}

pub(super) async fn has(connection: &mut SqliteConnection, fleet: &str, digest: &Digest) -> Result<bool, Fault> {
    // A deploy that a command began says in its first event alone what it is of.
    let found: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM releases WHERE fleet = ?1 AND digest = ?2) \
             OR EXISTS (SELECT 1 FROM revisions WHERE fleet = ?1 AND release = ?2) \
             OR EXISTS (SELECT 1 FROM deploys AS d JOIN events AS e ON e.deploy = d.key AND e.tenant = 0 AND e.seq = 1 \
                        WHERE d.fleet = ?1 AND e.body ->> '$.event.release' = ?3)",
    )
    .bind(fleet)
    .bind(digest.as_bytes().as_slice())
    .bind(digest.to_string())
    .fetch_one(connection)
    .await?;
    Ok(found)
}

pub(super) async fn known_tenants(
    connection: &mut SqliteConnection,
    fleet: &str,
    after: Option<&TenantId>,
    limit: usize,
) -> Result<Vec<(TenantId, TenantRecord)>, Fault> {
    let found = sqlx::query(
        "SELECT tenant, target, release, epoch, seen_at FROM records WHERE fleet = ?1 AND tenant > ?2 ORDER BY tenant LIMIT ?3",
    )
    .bind(fleet)
    // Every tenant's id is greater than no text at all.
    .bind(after.map_or("", TenantId::as_str))
    .bind(int(limit))
    .fetch_all(connection)
    .await?;
    found.iter().map(record).collect()
}
