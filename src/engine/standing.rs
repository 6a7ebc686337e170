//! What is in force in every tenant of a fleet, and how that is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};

use super::error::{EngineError, Refusal};
use super::gateway::Gateway;
use super::prepare::{Request, SurveyMode};
use crate::base::{Digest, TenantId};
use crate::fleet::Tenant;
use crate::log::{CreateError, Log, LogError, TenantRecord};
use crate::release::{Migration, Release};
use crate::saga::event::Previous;
use crate::step::in_force_digest;
use crate::tenant::{InForce, Survey};

/// A migration that is in force in a tenant.
#[derive(Debug, Clone)]
pub(super) struct Present {
    pub(super) version: String,
    pub(super) name: String,
    pub(super) digest: Digest,
}

/// What is in force in a tenant, and how that is known.
pub(super) struct Standing {
    pub(super) in_force: Arc<[Present]>,
    /// Without its list of migrations, which is above.
    pub(super) survey: Option<Survey>,
    /// The release that is exactly this, where the log has it.
    pub(super) release: Option<Digest>,
}

/// The lists of migrations that tenants have, each kept once: a fleet of tens of thousands has a handful of them, hundreds of entries
/// long.
#[derive(Default)]
pub(super) struct Histories(BTreeMap<Digest, Arc<[Present]>>);

impl Histories {
    fn share(&mut self, list: Vec<Present>) -> Arc<[Present]> {
        Arc::clone(self.0.entry(digest_of(&list)).or_insert_with(|| list.into()))
    }

    /// As a tenant itself says.
    pub(super) fn standing(&mut self, mut survey: Survey) -> Standing {
        let row = |of: InForce| Present { version: of.version, name: of.name, digest: of.digest };
        let in_force = self.share(std::mem::take(&mut survey.in_force).into_iter().map(row).collect());
        Standing { in_force, survey: Some(survey), release: None }
    }
}

pub(super) fn digest_of(list: &[Present]) -> Digest {
    in_force_digest(list.iter().map(|of| (of.version.as_str(), &of.digest)))
}

/// What the log knew of a fleet when a deploy of it was begun to be prepared.
pub(super) struct Known {
    /// The newest deploy. Should there be a newer one when this one is created, the tenants may have been changed since they were
    /// looked at, and the log refuses.
    pub(super) previous: Option<Previous>,
    pub(super) records: BTreeMap<TenantId, TenantRecord>,
}

impl Known {
    /// The newest deploy first: what is read after it can only be newer.
    pub(super) async fn read(log: &dyn Log, fleet: &str) -> Result<Self, LogError> {
        let newest = log.deploys(Some(fleet), 1).await?.pop();
        let previous = newest.map(|row| Previous { deploy: row.id, seal: row.summary.seal });
        Ok(Self { previous, records: log.records(fleet).await? })
    }

    /// An error where a deploy of the fleet is under way or has come and gone since: what tenants were found to be may then be its doing,
    /// and is no reason to refuse anybody. The log would not take our deploy either.
    pub(super) async fn is_still_so(&self, log: &dyn Log, fleet: &str) -> Result<(), EngineError> {
        let newest = log.deploys(Some(fleet), 1).await?.pop();
        let fleet = fleet.to_owned();
        match newest.map(|row| (Previous { deploy: row.id, seal: row.summary.seal }, row.summary.outcome)) {
            Some((Previous { deploy, .. }, None)) => Err(CreateError::FleetBusy { fleet, deploy }.into()),
            newest if newest.map(|(previous, _)| previous) == self.previous => Ok(()),
            newest => Err(CreateError::FleetMoved { fleet, newest: newest.map(|(of, _)| of.deploy) }.into()),
        }
    }
}

pub(super) type Looked = Vec<(Tenant, Result<Standing, Refusal>)>;

/// What is in force in every tenant: from the log where it knows and may be trusted, else from the tenant.
pub(super) async fn look_at_all(
    log: &dyn Log,
    gateway: &dyn Gateway,
    request: &Request,
    records: &BTreeMap<TenantId, TenantRecord>,
) -> Result<Looked, EngineError> {
    let mut releases = KnownReleases { target: request.release.digest(), seen: BTreeMap::new() };
    let mut asked = Vec::new();
    let mut looked: BTreeMap<TenantId, Result<Standing, Refusal>> = BTreeMap::new();
    for tenant in &request.tenants {
        let record = records.get(&tenant.id).filter(|record| record.target == target_digest(tenant));
        let known = record.filter(|_| !request.new_databases.contains(&tenant.id));
        let recorded = known.and_then(|record| record.release);
        if let Some(release) = &recorded {
            releases.read(log, release).await?;
        }
        match recorded.filter(|release| releases.may_be_trusted(release, request.survey)) {
            Some(release) => {
                let in_force = releases.contents(&release);
                looked.insert(tenant.id.clone(), Ok(Standing { in_force, survey: None, release: Some(release) }));
            }
            None => asked.push((tenant.clone(), recorded)),
        }
    }
    let mut answers = stream::iter(asked)
        .map(|(tenant, recorded)| async move {
            let answer = gateway.survey(&tenant).await;
            (tenant.id, recorded, answer)
        })
        .buffer_unordered(request.concurrency.max(1));
    let mut histories = Histories::default();
    while let Some((id, recorded, answer)) = answers.next().await {
        let standing = match answer {
            Ok(survey) => {
                let standing = histories.standing(survey);
                // The record counts only if the tenant bears it out.
                let in_force = digest_of(&standing.in_force);
                let release = recorded.filter(|release| digest_of(&releases.contents(release)) == in_force);
                Ok(Standing { release, ..standing })
            }
            Err(error) => Err(Refusal { tenant: id.clone(), code: error.failure.code, message: error.failure.message }),
        };
        looked.insert(id, standing);
    }
    drop(answers);
    let with = |tenant: &Tenant| looked.remove(&tenant.id).map(|standing| (tenant.clone(), standing));
    Ok(request.tenants.iter().filter_map(with).collect())
}

/// The releases that the log's records of tenants name, each read once.
struct KnownReleases {
    target: Digest,
    seen: BTreeMap<Digest, (Digest, Arc<[Present]>)>,
}

impl KnownReleases {
    async fn read(&mut self, log: &dyn Log, blob: &Digest) -> Result<(), EngineError> {
        if !self.seen.contains_key(blob) {
            let release = Release::from_bytes(&log.blob(blob).await?)?;
            self.seen.insert(*blob, (release.digest(), contents(&release).into()));
        }
        Ok(())
    }

    /// Whether a tenant recorded on this release need not be asked: one that is on the target has nothing to gain from it; another
    /// is taken at the log's word only where the operator says so.
    fn may_be_trusted(&self, blob: &Digest, survey: SurveyMode) -> bool {
        survey == SurveyMode::Unknown || self.seen.get(blob).is_some_and(|(digest, _)| *digest == self.target)
    }

    fn contents(&self, blob: &Digest) -> Arc<[Present]> {
        self.seen.get(blob).map(|(_, contents)| Arc::clone(contents)).unwrap_or_default()
    }
}

fn contents(release: &Release) -> Vec<Present> {
    let row = |of: &Migration| Present {
        version: of.version.as_str().to_owned(),
        name: of.label().to_owned(),
        digest: of.digest(),
    };
    release.migrations.iter().map(row).collect()
}

/// What a record of a tenant was made under: it counts only as long as the tenant is reached by the same means.
pub(super) fn target_digest(tenant: &Tenant) -> Digest {
    Digest::of(&serde_json::to_vec(&tenant.target).unwrap_or_default())
}
