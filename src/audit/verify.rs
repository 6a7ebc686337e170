//! Whether the log still says what was written (promise P8).
//!
//! [`Check`] looks at the streams; here they are compared with what a log keeps beside them: its rows, its records
//! of which release a tenant is on, and the deploys before and after. Whoever can rewrite the whole file, hashes and seal included, is
//! found only by a signature, or by somebody who has kept the seal elsewhere: `windlass audit show` prints it.

use async_trait::async_trait;

use super::check::{Check, Files, Report};
use crate::base::{Code, DeployId, Digest, PublicKey, TenantId};
use crate::log::{DeployRow, Log, LogError, TenantQuery, TenantRecord};
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

/// Checks one deploy, and the files it refers to. Where keys are given, it must be signed by one of them.
pub async fn verify(log: &dyn Log, deploy: DeployId, keys: &[PublicKey]) -> Result<Report, LogError> {
    let row = log.deploy(deploy).await?;
    let files = OfLog(log);
    let mut check = Check::new(log.id(), deploy, &files);
    let mut places = Vec::new();
    for stream in log.raw(deploy).await? {
        let place = check.stream(&stream).await?;
        places.extend(stream.stream.tenant.zip(place));
    }
    if check.own.summary.as_ref().is_some_and(|fold| *fold != row.summary) {
        check.find(Code::ProjectionWrong, None, None, "the deploy's row does not say what its events say");
    }
    check.seal(Some(&row.summary));
    check.signatures(None, keys);
    created(&mut check, log, &row).await?;
    among_others(&mut check, log, &row, &places).await?;
    Ok(check.report)
}

/// The fleet, the moment and the list of tenants that the deploy was created with.
async fn created(check: &mut Check<'_>, log: &dyn Log, row: &DeployRow) -> Result<(), LogError> {
    let Some((at, DeployEvent::DeployCreated { fleet, .. })) = check.own.created.clone() else { return Ok(()) };
    if row.fleet != fleet {
        let message = format!("the deploy was created for fleet {fleet}, and its row says {}", row.fleet);
        check.find(Code::ProjectionWrong, None, None, message);
    }
    if at != row.created_at {
        let message = "the deploy's row gives another moment of its creation than its first event";
        check.find(Code::ProjectionWrong, None, None, message);
    }
    let everyone = TenantQuery { statuses: Vec::new(), after: None, limit: usize::MAX };
    let rows = log.tenants(row.id, &everyone).await?;
    check.tenants(&rows.into_iter().map(|row| (row.tenant, row.spec)).collect::<Vec<_>>());
    Ok(())
}

/// Its place among the deploys of its fleet. And what the log remembers of its tenants must be what their streams lead to, where no
/// later deploy has gone on from there.
async fn among_others(
    check: &mut Check<'_>,
    log: &dyn Log,
    row: &DeployRow,
    places: &[(TenantId, Place)],
) -> Result<(), LogError> {
    let Some((_, DeployEvent::DeployCreated { fleet, .. })) = check.own.created.clone() else { return Ok(()) };
    let deploys = log.deploys(Some(&fleet), usize::MAX).await?;
    let Some(at) = deploys.iter().position(|of| of.id == row.id) else { return Ok(()) };
    check.follows(deploys.get(at + 1).map(|of| Previous { deploy: of.id, seal: of.summary.seal }));
    if at == 0 {
        let records = log.records(&fleet).await?;
        for (tenant, place) in places {
            if let Some(message) = record_problem(records.get(tenant), *place) {
                check.find(Code::ProjectionWrong, Some(tenant), None, message);
            }
        }
    }
    Ok(())
}

/// What does not fit between a tenant's stream and the record of which release it is on.
fn record_problem(record: Option<&TenantRecord>, place: Place) -> Option<&'static str> {
    let Some(record) = record else { return Some("the record of which release the tenant is on is gone") };
    let fits = match place {
        // Nothing was learnt here, so the record may say whatever it said before.
        Place::Unchanged => true,
        Place::Unknown => record.release.is_none(),
        Place::At(release) => record.release == Some(release),
    };
    (!fits).then_some("the record of which release the tenant is on does not say what its events say")
}
