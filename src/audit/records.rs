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
    /// The release; the outer one is none where what happened last cannot be known.
    release: Option<Option<Digest>>,
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
                Some(_) => Some(None),
                None if self.lost => None,
                None => Some(None),
            };
            let release = match place {
                None => None,
                Some(Place::Unchanged) => known,
                Some(Place::Unknown) => Some(None),
                Some(Place::At(release)) => Some(Some(release)),
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
            (Some(expected), Some(record)) if expected.release.is_some_and(|release| release != record.release) => {
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
