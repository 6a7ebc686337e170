//! How far others have been told; and a fleet as cells, for those who look at it.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::{Done, damaged};
use crate::base::limits::{REPORT_CLAIM_AHEAD_MAX, REPORT_RETRY_AFTER_MAX};
use crate::base::{DeployId, Timestamp};
use crate::log::sqlite::fault::Fault;
use crate::log::sqlite::lease;
use crate::log::sqlite::rows::{deploy_id, int, unsigned};
use crate::log::{Report, ReportState};
use crate::saga::summary::TenantStatus;

macro_rules! columns {
    () => {
        "deploy, target, position, state, attempts, next_at, error, failing_since"
    };
}

fn row(row: &SqliteRow) -> Result<Report, Fault> {
    let state: &str = row.try_get("state")?;
    Ok(Report {
        deploy: deploy_id(row, "deploy")?,
        target: row.try_get("target")?,
        position: unsigned(row, "position")?,
        state: ReportState::parse(state).ok_or_else(|| damaged("reports.state", state))?,
        attempts: unsigned(row, "attempts")?,
        next_at: Timestamp(row.try_get("next_at")?),
        error: row.try_get("error")?,
        failing_since: row.try_get::<Option<i64>, _>("failing_since")?.map(Timestamp),
    })
}

pub(super) async fn open(
    connection: &mut SqliteConnection,
    deploy: DeployId,
    target: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO reports (deploy, target, position, state, attempts, next_at) VALUES (?1, ?2, 0, 'open', 0, ?3) \
         ON CONFLICT DO NOTHING",
    )
    .bind(deploy.to_string())
    .bind(target)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn due(connection: &mut SqliteConnection, now: Timestamp, limit: usize) -> Result<Vec<Report>, Fault> {
    // Two ranges of one index. The second is what was written before the clock was set back: without a failure nobody waits longer than a
    // claim, and with one no longer than the longest pause.
    let found = sqlx::query(concat!(
        "SELECT ",
        columns!(),
        " FROM reports WHERE state = 'open' AND next_at <= ?1 UNION ALL SELECT ",
        columns!(),
        " FROM reports WHERE state = 'open' AND next_at > ?3 AND (failing_since IS NULL OR next_at > ?4) \
          ORDER BY next_at, deploy, target LIMIT ?2"
    ))
    .bind(now.0)
    .bind(int(limit))
    .bind(now.plus(REPORT_CLAIM_AHEAD_MAX).0)
    .bind(now.plus(REPORT_RETRY_AFTER_MAX).0)
    .fetch_all(connection)
    .await?;
    found.iter().map(row).collect()
}

pub(super) async fn of(connection: &mut SqliteConnection, deploy: DeployId) -> Result<Vec<Report>, Fault> {
    let found = sqlx::query(concat!("SELECT ", columns!(), " FROM reports WHERE deploy = ?1 ORDER BY target"))
        .bind(deploy.to_string())
        .fetch_all(connection)
        .await?;
    found.iter().map(row).collect()
}

pub(super) async fn note(connection: &mut SqliteConnection, report: &Report) -> Done<()> {
    sqlx::query(
        "UPDATE reports SET position = max(position, ?3), state = ?4, attempts = ?5, next_at = ?6, error = ?7, \
             failing_since = ?8 WHERE deploy = ?1 AND target = ?2",
    )
    .bind(report.deploy.to_string())
    .bind(&report.target)
    .bind(int(report.position))
    .bind(report.state.as_str())
    .bind(report.attempts)
    .bind(report.next_at.0)
    .bind(&report.error)
    .bind(report.failing_since.map(|since| since.0))
    .execute(connection)
    .await?;
    Ok(Ok(()))
}

pub(super) async fn claim(connection: &mut SqliteConnection, report: &Report, until: Timestamp) -> Done<bool> {
    let done = sqlx::query(
        "UPDATE reports SET next_at = ?5 \
         WHERE deploy = ?1 AND target = ?2 AND state = 'open' AND position = ?3 AND next_at = ?4",
    )
    .bind(report.deploy.to_string())
    .bind(&report.target)
    .bind(int(report.position))
    .bind(report.next_at.0)
    .bind(until.0)
    .execute(connection)
    .await?;
    Ok(Ok(done.rows_affected() == 1))
}

pub(super) async fn standing(connection: &mut SqliteConnection) -> Result<(u64, u64, u64), Fault> {
    let row = sqlx::query(
        "SELECT count(*) FILTER (WHERE state = 'open') AS open, count(*) FILTER (WHERE state = 'open' AND attempts > 0) AS failing, \
             count(*) FILTER (WHERE state = 'given_up') AS given_up FROM reports",
    )
    .fetch_one(connection)
    .await?;
    Ok((unsigned(&row, "open")?, unsigned(&row, "failing")?, unsigned(&row, "given_up")?))
}

pub(super) async fn cells(
    connection: &mut SqliteConnection,
    id: DeployId,
    per_cell: u64,
) -> Result<Vec<(u64, TenantStatus, u64)>, Fault> {
    let deploy = lease::deploy(connection, id).await?;
    let found = sqlx::query(
        "SELECT ordinal / ?2 AS cell, status, count(*) AS tenants FROM tenants WHERE deploy = ?1 GROUP BY cell, status \
         ORDER BY cell, status",
    )
    .bind(deploy.key)
    .bind(int(per_cell.max(1)))
    .fetch_all(connection)
    .await?;
    let cell = |row: &SqliteRow| {
        let status: &str = row.try_get("status")?;
        let status = TenantStatus::parse(status).ok_or_else(|| damaged("tenants.status", status))?;
        Ok((unsigned(row, "cell")?, status, unsigned(row, "tenants")?))
    };
    found.iter().map(cell).collect()
}
