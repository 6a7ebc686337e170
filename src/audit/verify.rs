//! Whether the log still says what was written (promise P8).
//!
//! [`Check`] looks at the streams; here they are compared with what a log keeps beside them: its rows, its records
//! of which release a tenant is on, and the deploys before and after. Whoever can rewrite the whole file, hashes and seal included, is
//! found only by a signature, or by somebody who has kept the seal elsewhere: `windlass audit show` prints it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Serialize;

use super::check::{Check, Files, Finding, Report};
use super::records::{Remembered, Told};
use crate::base::{Code, DeployId, Digest, PublicKey, TenantId};
use crate::log::{DeployRow, Log, LogError, TenantQuery};
use crate::saga::event::{DeployEvent, Previous};
use crate::saga::summary::Place;

/// The files of a log.
struct OfLog<'a>(&'a dyn Log);

#[async_trait]
impl Files for OfLog<'_> {
    async fn file(&self, digest: &Digest) -> Result<Vec<u8>, LogError> {
        self.0.blob(digest).await
    }
}

/// What was found in a whole log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LogReport {
    /// Its deploys, the oldest first.
    pub deploys: Vec<(DeployId, Report)>,
    /// What belongs to none of them.
    pub findings: Vec<Finding>,
}

/// Checks all deploys of a log, and the records of which release each tenant is on: they decide which tenants the next deploy has nothing
/// to do at, and are what the deploys lead to, from the first to the last, and nothing else. Where keys are given, each deploy must be
/// signed by one of them.
pub async fn verify_log(log: &dyn Log, keys: &[PublicKey]) -> Result<LogReport, LogError> {
    let mut found = LogReport::default();
    let mut fleets: BTreeMap<String, (Remembered, Option<Newest>)> = BTreeMap::new();
    for fleet in log.fleets().await? {
        fleets.insert(fleet, Default::default());
    }
    // Whatever fleet their rows name: that may be what was changed.
    for row in log.deploys(None, usize::MAX).await?.into_iter().rev() {
        let (remembered, newest) = fleets.entry(row.fleet.clone()).or_default();
        *newest = Some(Newest::of(log, &row).await?);
        // One deploy that cannot be read must not keep the others from being looked at.
        let report = match verify_row(log, &row, keys).await {
            Ok((report, told)) => {
                remembered.deploy(told);
                report
            }
            Err(LogError::Corrupt { place, reason }) => {
                *remembered = Remembered::lost();
                let (deploy, message) = (Some(row.id), format!("{place}: {reason}"));
                let finding = Finding { code: Code::LogUnreadable, deploy, tenant: None, seq: None, message };
                Report { findings: vec![finding], ..Report::default() }
            }
            Err(error) => return Err(error),
        };
        found.deploys.push((row.id, report));
    }
    for (fleet, (remembered, newest)) in fleets {
        let records = log.records(&fleet).await?;
        if let Some(newest) = &newest
            && newest.has_moved(log).await?
        {
            continue;
        }
        let newest = newest.map(|newest| newest.deploy);
        let newest = found.deploys.iter_mut().find(|(deploy, _)| Some(*deploy) == newest);
        let Some((deploy, report)) = newest else {
            if !records.is_empty() {
                let message =
                    format!("the log has records of the tenants of fleet {fleet}, and no deploy that they come from");
                found.findings.push(Finding {
                    code: Code::DeployMissing,
                    deploy: None,
                    tenant: None,
                    seq: None,
                    message,
                });
            }
            continue;
        };
        report.forgotten(*deploy, remembered.compare(&records));
    }
    Ok(found)
}

/// Checks one deploy, and the files it refers to. Where keys are given, it must be signed by one of them.
///
/// What the log remembers of the tenants comes from all deploys, and only what this one alone says of it is checked here, if it is the
/// newest of its fleet; the rest by [`verify_log`].
pub async fn verify(log: &dyn Log, deploy: DeployId, keys: &[PublicKey]) -> Result<Report, LogError> {
    let row = log.deploy(deploy).await?;
    let newest = Newest::of(log, &row).await?;
    let (mut report, told) = verify_row(log, &row, keys).await?;
    if log.deploys(Some(&row.fleet), 1).await?.first().is_some_and(|newest| newest.id == deploy) {
        let mut remembered = Remembered::lost();
        remembered.deploy(told);
        let records = log.records(&row.fleet).await?;
        if !newest.has_moved(log).await? {
            report.forgotten(deploy, remembered.compare(&records));
        }
    }
    Ok(report)
}

/// The newest deploy of a fleet, which somebody may be driving while it is looked at: what is read of it in several readings fits together
/// only if nothing was written between them.
struct Newest {
    deploy: DeployId,
    /// Where its events ended when its first stream was about to be read; none where it has ended itself.
    end: Option<u64>,
}

impl Newest {
    async fn of(log: &dyn Log, row: &DeployRow) -> Result<Self, LogError> {
        let deploy = row.id;
        if row.summary.outcome.is_some() {
            return Ok(Self { deploy, end: None });
        }
        match log.end(deploy).await {
            Ok(end) => Ok(Self { deploy, end: Some(end) }),
            // Places that are none are found where the streams are walked.
            Err(LogError::Corrupt { .. }) => Ok(Self { deploy, end: None }),
            Err(error) => Err(error),
        }
    }

    async fn has_moved(&self, log: &dyn Log) -> Result<bool, LogError> {
        Ok(match self.end {
            Some(end) => log.end(self.deploy).await? != end,
            None => false,
        })
    }
}

impl Report {
    /// Records of tenants that do not say what the streams lead to.
    fn forgotten(&mut self, deploy: DeployId, tenants: Vec<(TenantId, &'static str)>) {
        for (tenant, message) in tenants {
            let (code, deploy, tenant) = (Code::ProjectionWrong, Some(deploy), Some(tenant));
            self.find(Finding { code, deploy, tenant, seq: None, message: message.to_owned() });
        }
    }
}

async fn verify_row(log: &dyn Log, row: &DeployRow, keys: &[PublicKey]) -> Result<(Report, Vec<Told>), LogError> {
    let files = OfLog(log);
    let mut check = Check::new(log.id(), row.id, &files);
    let mut places = BTreeMap::new();
    let mut own_length = None;
    for stream in log.raw(row.id).await? {
        own_length = own_length.or(Some(stream.last_seq));
        let place = check.stream(&stream).await?;
        if let Some(tenant) = stream.stream.tenant {
            places.insert(tenant, place);
        }
    }
    // A row that was read before the stream has grown is of an earlier moment, and not wrong.
    if own_length == Some(row.last_seq) && check.own.summary.as_ref().is_some_and(|fold| *fold != row.summary) {
        check.find(Code::ProjectionWrong, None, None, "the deploy's row does not say what its events say");
    }
    check.seal(Some(&row.summary));
    check.signatures(None, keys);
    let told = tenants(&mut check, log, row, places).await?;
    among_others(&mut check, log, row).await?;
    Ok((check.report, told))
}

/// The fleet, the moment and the list of tenants that the deploy was created with. What it says of each tenant, in the end.
async fn tenants(
    check: &mut Check<'_>,
    log: &dyn Log,
    row: &DeployRow,
    mut places: BTreeMap<TenantId, Option<Place>>,
) -> Result<Vec<Told>, LogError> {
    let everyone = TenantQuery { statuses: Vec::new(), after: None, limit: usize::MAX };
    let rows = log.tenants(row.id, &everyone).await?;
    let told = rows.iter().map(|of| Told::new(of, places.remove(&of.tenant).flatten())).collect();
    let Some((at, DeployEvent::DeployCreated { fleet, .. })) = check.own.created.clone() else { return Ok(told) };
    if row.fleet != fleet {
        let message = format!("the deploy was created for fleet {fleet}, and its row says {}", row.fleet);
        check.find(Code::ProjectionWrong, None, None, message);
    }
    if at != row.created_at {
        let message = "the deploy's row gives another moment of its creation than its first event";
        check.find(Code::ProjectionWrong, None, None, message);
    }
    check.tenants(&rows.into_iter().map(|row| (row.tenant, row.spec)).collect::<Vec<_>>());
    Ok(told)
}

/// Its place among the deploys of its fleet.
async fn among_others(check: &mut Check<'_>, log: &dyn Log, row: &DeployRow) -> Result<(), LogError> {
    let Some((_, DeployEvent::DeployCreated { fleet, .. })) = check.own.created.clone() else { return Ok(()) };
    let deploys = log.deploys(Some(&fleet), usize::MAX).await?;
    if let Some(at) = deploys.iter().position(|of| of.id == row.id) {
        check.follows(deploys.get(at + 1).map(|of| Previous { deploy: of.id, seal: of.summary.seal }));
    }
    Ok(())
}
