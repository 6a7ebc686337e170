//! The log's records of which release each tenant is on: what the deploys of a fleet lead to, from the first to the last.
//!
//! A deploy passes over a tenant whose record says that it is on the release already, in silence, so a forged one keeps a tenant from
//! its migrations. Folded here as the log folds them when it writes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::base::{Digest, TenantId};
use crate::log::{TenantRecord, TenantRow};
use crate::saga::summary::Place;

/// What one deploy says of one tenant.
pub(super) struct Told {
    tenant: TenantId,
    /// The digest of what it was reached by; none where its row does not read.
    target: Option<Digest>,
    /// None where its stream is damaged, which has been found.
    place: Option<Place>,
}

/// The part of a tenant's row that a record is bound to, as it was written.
#[derive(Deserialize)]
struct Spec<'a> {
    #[serde(borrow)]
    target: &'a RawValue,
}

impl Told {
    pub(super) fn new(row: &TenantRow, place: Option<Place>) -> Self {
        let spec = serde_json::from_str::<Spec<'_>>(&row.spec).ok();
        let target = spec.map(|spec| Digest::of(spec.target.get().as_bytes()));
        Self { tenant: row.tenant.clone(), target, place }
    }
}

/// What a record must say.
struct Expected {
    target: Option<Digest>,
    release: Known,
}

/// The release that a record must name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// This one.
    Release(Digest),
    /// None: only the tenant's own ledger knows.
    Nothing,
    /// What happened last was damaged, which has been found.
    Lost,
}

impl Known {
    fn fits(self, release: Option<Digest>) -> bool {
        match self {
            Self::Release(known) => release == Some(known),
            Self::Nothing => release.is_none(),
            Self::Lost => true,
        }
    }
}

/// What the deploys of a fleet lead to.
#[derive(Default)]
pub(super) struct Remembered {
    tenants: BTreeMap<TenantId, Expected>,
    /// A deploy could not be read: it may have had any tenant.
    lost: bool,
}

impl Remembered {
    /// After a deploy that cannot be read.
    pub(super) fn lost() -> Self {
        Self { tenants: BTreeMap::new(), lost: true }
    }

    /// One more deploy.
    pub(super) fn deploy(&mut self, told: Vec<Told>) {
        for Told { tenant, target, place } in told {
            let before = self.tenants.remove(&tenant);
            // What was known of a tenant that is reached otherwise now is of another database.
            let known = match before {
                Some(before) if before.target == target => before.release,
                None if self.lost => Known::Lost,
                _ => Known::Nothing,
            };
            let release = match place {
                None => Known::Lost,
                Some(Place::Unchanged) => known,
                Some(Place::Unknown) => Known::Nothing,
                Some(Place::At(release)) => Known::Release(release),
            };
            self.tenants.insert(tenant, Expected { target, release });
        }
    }

    /// The tenants whose record does not say what the deploys lead to, and how.
    pub(super) fn compare(&self, records: &BTreeMap<TenantId, TenantRecord>) -> Vec<(TenantId, &'static str)> {
        let all: BTreeSet<&TenantId> = self.tenants.keys().chain(records.keys()).collect();
        let problem = |tenant: &TenantId| match (self.tenants.get(tenant), records.get(tenant)) {
            (Some(_), None) => Some("the record of which release the tenant is on is gone"),
            (None, Some(_)) if !self.lost => {
                Some("there is a record of which release the tenant is on, and no deploy has had such a tenant")
            }
            (Some(expected), Some(record)) if !expected.release.fits(record.release) => {
                Some("the record of which release the tenant is on does not say what its events say")
            }
            (Some(expected), Some(record)) if expected.target.is_some_and(|target| target != record.target) => {
                Some("the record of which release the tenant is on is of a database that it was not reached by")
            }
            _ => None,
        };
        all.into_iter().filter_map(|tenant| Some((tenant.clone(), problem(tenant)?))).collect()
    }
}
