//! Whether the streams of one deploy still say what was written, wherever they come from: a log, or an export of one.
//!
//! Every stream is walked from its genesis: an edited event breaks the chain where it stands, a deleted one leaves a gap, two that
//! were swapped carry each other's numbers, a cut leaves the stream shorter than its header says. The fold shows whether what remains
//! makes sense, the rows beside it, where there are any, are compared with it, and the seal binds the heads of all streams together, so
//! that a header that was cut to match is found too. Streams are taken one at a time, and of a tenant's no more is kept than its head.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::Serialize;

use super::order::Order;
use super::walk::{Walked, walk};
use crate::base::limits::FINDINGS_MAX;
use crate::base::{Code, DeployId, Digest, LogId, PublicKey, Seq, Signature, TenantId, Timestamp};
use crate::fleet::Tenant;
use crate::log::{LogError, RawStream};
use crate::saga::chain;
use crate::saga::deploy::DeployState;
use crate::saga::event::{DeployEvent, Event, Previous, StreamId, TenantEvent};
use crate::saga::plan::Plan;
use crate::saga::summary::{DeploySummary, Place, TenantStatus};
use crate::saga::tenant::TenantState;

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The page to look it up under.
    pub code: Code,
    /// Which deploy; none for the log or the export as a whole.
    pub deploy: Option<DeployId>,
    /// Whose stream; none for the deploy's own, or for the deploy as a whole.
    pub tenant: Option<TenantId>,
    /// Which event, where it is one.
    pub seq: Option<Seq>,
    /// In words.
    pub message: String,
}

impl Finding {
    /// Where it is, for people.
    #[must_use]
    pub fn place(&self) -> String {
        let Some(deploy) = self.deploy else { return "as a whole".to_owned() };
        let stream = StreamId { deploy, tenant: self.tenant.clone() };
        self.seq.map_or_else(|| stream.to_string(), |seq| format!("{stream}, event {seq}"))
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Streams walked.
    pub streams: u64,
    /// Events checked.
    pub events: u64,
    /// Stored files checked.
    pub blobs: u64,
    /// The seal, where the deploy has one.
    pub seal: Option<Digest>,
    /// Whose signatures of that seal hold.
    pub signed_by: Vec<PublicKey>,
    /// What does not hold; empty where all is well. No more than [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many findings there are beyond those.
    pub unlisted: u64,
}

impl Report {
    /// Takes down a finding, or counts it.
    pub(super) fn find(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.unlisted += 1;
        }
    }

    /// Whether all that was looked at is as it was written.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.findings.is_empty() && self.unlisted == 0
    }

    /// Leaves no more than so many findings, and counts the others.
    pub(super) fn shorten(&mut self, room: usize) {
        let over = self.findings.len().saturating_sub(room);
        self.findings.truncate(room);
        self.unlisted += over as u64;
    }
}

/// Where the files are that events refer to by their digest.
#[async_trait]
pub(super) trait Files: Send + Sync {
    /// One of them, checked against its digest.
    async fn file(&self, digest: &Digest) -> Result<Vec<u8>, LogError>;
}

/// What the deploy's own stream says.
#[derive(Default)]
pub(super) struct Own {
    /// Its first event, with its moment.
    pub(super) created: Option<(Timestamp, DeployEvent)>,
    /// The fold, where it is one.
    pub(super) summary: Option<DeploySummary>,
    sealed: Option<(Digest, Option<Signature>)>,
    account: Option<BTreeMap<TenantStatus, u64>>,
    /// Length and head before the end, and the end.
    end: Option<(Seq, Digest, Digest)>,
    order: Order,
}

/// One deploy, being checked.
pub(super) struct Check<'a> {
    pub(super) report: Report,
    pub(super) own: Own,
    log: LogId,
    deploy: DeployId,
    files: &'a dyn Files,
    /// Those that were asked for; none where one cannot be had, which has been found then.
    plans: BTreeMap<Digest, Option<Plan>>,
    wanted: BTreeSet<Digest>,
    /// The tenants' heads, as their headers have them.
    heads: Vec<(TenantId, Seq, Digest)>,
    /// How many tenants stand where; none once a stream could not be folded.
    census: Option<BTreeMap<TenantStatus, u64>>,
}

impl<'a> Check<'a> {
    pub(super) fn new(log: LogId, deploy: DeployId, files: &'a dyn Files) -> Self {
        Self {
            report: Report::default(),
            own: Own::default(),
            log,
            deploy,
            files,
            plans: BTreeMap::new(),
            wanted: BTreeSet::new(),
            heads: Vec::new(),
            census: Some(BTreeMap::new()),
        }
    }

    pub(super) fn find(&mut self, code: Code, tenant: Option<&TenantId>, seq: Option<Seq>, message: impl Into<String>) {
        let (deploy, tenant, message) = (Some(self.deploy), tenant.cloned(), message.into());
        self.report.find(Finding { code, deploy, tenant, seq, message });
    }

    /// The digests of all files that were asked for.
    pub(super) const fn wanted(&self) -> &BTreeSet<Digest> {
        &self.wanted
    }

    /// Checks a stream: the deploy's own first, then the tenants' in order of their ids. What its events mean for the record of which
    /// release the tenant is on, where they are whole.
    pub(super) async fn stream(&mut self, stream: &RawStream) -> Result<Option<Place>, LogError> {
        let (walked, faults) = walk(stream);
        self.report.streams += 1;
        self.report.events += stream.events.len() as u64;
        let tenant = stream.stream.tenant.clone();
        let whole = faults.listed.is_empty();
        for (code, seq, message) in faults.listed {
            self.find(code, tenant.as_ref(), Some(seq), message);
        }
        self.report.unlisted += faults.unlisted;
        let Some(tenant) = tenant else {
            self.own_stream(walked, whole).await?;
            return Ok(None);
        };
        self.heads.push((tenant.clone(), stream.last_seq, stream.head));
        if let Some((seq, why)) = self.own.order.fault(&walked) {
            self.find(Code::OrderWrong, Some(&tenant), Some(seq), why);
        }
        let folded = if whole { self.fold(&tenant, stream, &walked).await? } else { None };
        match (&mut self.census, &folded) {
            (Some(census), Some((status, _))) => *census.entry(*status).or_default() += 1,
            (census, _) => *census = None,
        }
        Ok(folded.map(|(_, place)| place))
    }

    async fn own_stream(&mut self, walked: Walked, whole: bool) -> Result<(), LogError> {
        let end = walked.end;
        self.own.order = Order::of_own(&walked);
        let mut events = Vec::with_capacity(walked.events.len());
        let mut created = None;
        for recorded in walked.events {
            // One of another kind has been found.
            let Event::Deploy(event) = recorded.event else { continue };
            match &event {
                // A later one is not a legal move, and its files are not looked at.
                DeployEvent::DeployCreated { release, workflow, .. } if events.is_empty() => {
                    created = Some((recorded.at, event.clone()));
                    for digest in [*release, *workflow] {
                        self.file(&digest).await?;
                    }
                }
                DeployEvent::DeployFinished { account, .. } => {
                    let status = |(outcome, count): (&_, &u64)| (TenantStatus::of(*outcome), *count);
                    self.own.account = Some(account.iter().map(status).collect());
                }
                DeployEvent::Sealed { root, signature } => {
                    self.own.sealed = Some((*root, signature.as_deref().cloned()));
                    self.report.seal = Some(*root);
                }
                _ => {}
            }
            events.push(event);
        }
        (self.own.created, self.own.end) = (created, end);
        if whole {
            match DeployState::fold(&events) {
                Ok(state) => self.own.summary = Some(state.summary().clone()),
                Err(error) => self.find(Code::IllegalEvent, None, Some(error.seq), error.to_string()),
            }
        }
        Ok(())
    }

    /// Folds a tenant's whole stream, and compares it with the tenant's row, where there is one.
    async fn fold(
        &mut self,
        tenant: &TenantId,
        stream: &RawStream,
        walked: &Walked,
    ) -> Result<Option<(TenantStatus, Place)>, LogError> {
        let events = || {
            walked.events.iter().filter_map(|recorded| match &recorded.event {
                Event::Tenant(event) => Some(event),
                Event::Deploy(_) => None,
            })
        };
        let Some(TenantEvent::TenantPlanned { plan, .. }) = events().next() else {
            let message = "the stream does not begin with tenant_planned";
            self.find(Code::IllegalEvent, Some(tenant), Some(Seq(1)), message);
            return Ok(None);
        };
        self.plan(plan).await?;
        // One that cannot be had has been found already.
        let Some(Some(plan)) = self.plans.get(plan) else { return Ok(None) };
        let (summary, place) = match TenantState::fold(plan, events()) {
            Ok(state) => (state.summary(plan), self.arrived(plan, state.place(plan))),
            Err(error) => {
                let (seq, message) = (error.seq, error.to_string());
                self.find(Code::IllegalEvent, Some(tenant), Some(seq), message);
                return Ok(None);
            }
        };
        if stream.summary.as_ref().is_some_and(|row| *row != summary) {
            let message = "the tenant's row does not say what its events say";
            self.find(Code::ProjectionWrong, Some(tenant), None, message);
        }
        Ok(Some((summary.status, place)))
    }

    /// What a tenant's stream means for the record of its release. One that had nothing to do has no step that could say so: it is on
    /// the release already, unless what the deploy leads to is not a release, as in a rollback.
    fn arrived(&self, plan: &Plan, place: Place) -> Place {
        match &self.own.created {
            Some((_, DeployEvent::DeployCreated { release, trigger, .. }))
                if plan.is_empty() && trigger.leads_to_release() =>
            {
                Place::At(*release)
            }
            _ => place,
        }
    }

    /// Reads a plan, once.
    async fn plan(&mut self, digest: &Digest) -> Result<(), LogError> {
        if self.plans.contains_key(digest) {
            return Ok(());
        }
        let plan = match self.file(digest).await?.map(|bytes| Plan::from_bytes(&bytes)) {
            None => None,
            Some(Ok(plan)) => Some(plan),
            Some(Err(error)) => {
                self.find(Code::BlobAltered, None, None, format!("the plan {digest}: {error}"));
                None
            }
        };
        self.plans.insert(*digest, plan);
        Ok(())
    }

    /// Reads a file that an event refers to.
    async fn file(&mut self, digest: &Digest) -> Result<Option<Vec<u8>>, LogError> {
        self.wanted.insert(*digest);
        let (code, message) = match self.files.file(digest).await {
            Ok(bytes) => {
                self.report.blobs += 1;
                return Ok(Some(bytes));
            }
            Err(error @ LogError::BlobMissing { .. }) => (Code::BlobMissing, error.to_string()),
            Err(error @ LogError::BlobAltered { .. }) => (Code::BlobAltered, error.to_string()),
            Err(error) => return Err(error),
        };
        self.find(code, None, None, message);
        Ok(None)
    }

    /// How the tenants are reached, in the deploy's order: as when it was created, and each under its own name, since two whose places
    /// were exchanged give the same list.
    pub(super) fn tenants(&mut self, specs: &[(TenantId, String)]) {
        let Some((_, DeployEvent::DeployCreated { tenants, .. })) = &self.own.created else { return };
        if chain::tenants_digest(specs.iter().map(|(_, spec)| spec.as_str())) != *tenants {
            let message = "the tenants, or how they are reached, are not those that the deploy was created with";
            self.find(Code::ProjectionWrong, None, None, message);
            return;
        }
        for (tenant, spec) in specs {
            let named = serde_json::from_str::<Tenant>(spec).map(|of| of.id);
            if named.is_ok_and(|named| named != *tenant) {
                self.find(Code::ProjectionWrong, Some(tenant), None, "how it is reached is how another tenant was");
            }
        }
    }

    /// The seal over the heads as they are now, and the account in the end.
    pub(super) fn seal(&mut self, row: Option<&DeploySummary>) {
        match (&self.own.sealed, self.own.end) {
            (Some((root, _)), Some((seq, head, end)))
                if chain::seal(self.deploy, (seq, head), end, &self.heads) != *root =>
            {
                let message = "the streams are not those that were sealed when the deploy ended";
                self.find(Code::SealBroken, None, None, message);
            }
            (None, _) if row.is_some_and(|row| row.seal.is_some()) => {
                self.find(Code::SealBroken, None, None, "the deploy's row says that it is sealed, and no event does");
            }
            (None, Some(_)) => {
                let message =
                    "the deploy has ended and is not sealed: both are written at once, so the seal was cut off";
                self.find(Code::SealBroken, None, None, message);
            }
            _ => {}
        }
        if let (Some(account), Some(census)) = (&self.own.account, &self.census)
            && account != census
        {
            let message = "the account that the deploy ended with is not what its tenants' events come to";
            self.find(Code::IllegalEvent, None, None, message);
        }
    }

    /// The signatures of the seal: that in the log, and one that an export has beside it. Each that is there must hold; where keys are
    /// given, one must be by one of them.
    pub(super) fn signatures(&mut self, beside: Option<Signature>, keys: &[PublicKey]) {
        let Some((root, in_log)) = self.own.sealed.clone() else {
            if !keys.is_empty() {
                let message = "the deploy is not sealed, so that nothing of it is signed";
                self.find(Code::SignatureMissing, None, None, message);
            }
            return;
        };
        let digest = chain::signed(self.log, self.deploy, &root);
        for signature in [in_log, beside].into_iter().flatten() {
            let key = signature.key;
            if !signature.holds(&digest) {
                let message = format!("what is given as the signature of its seal by {key} is not one");
                self.find(Code::SignatureWrong, None, None, message);
            } else if !self.report.signed_by.contains(&key) {
                self.report.signed_by.push(key);
            }
        }
        if !keys.is_empty() && !self.report.signed_by.iter().any(|key| keys.contains(key)) {
            let by = list(&self.report.signed_by);
            let signed = if by.is_empty() { "it is not signed".to_owned() } else { format!("it is signed by {by}") };
            self.find(Code::SignatureMissing, None, None, format!("{signed}, and not by {}", list(keys)));
        }
    }

    /// Its place among the deploys of its fleet: the one that it was planned after must be there, as it was sealed, right before it.
    pub(super) fn follows(&mut self, before: Option<Previous>) {
        let Some((_, DeployEvent::DeployCreated { previous, .. })) = &self.own.created else { return };
        let previous = previous.as_deref().copied();
        if before == previous {
            return;
        }
        let name = |of: &Option<Previous>| of.map_or_else(|| "none".to_owned(), |of| of.deploy.to_string());
        let message = if before.map(|of| of.deploy) == previous.map(|of| of.deploy) {
            format!("deploy {}, which came before this one, is not as it was sealed then", name(&previous))
        } else {
            format!(
                "the fleet's deploy before this one was {}, and in the log it is {}",
                name(&previous),
                name(&before)
            )
        };
        self.find(Code::DeployMissing, None, None, message);
    }
}

fn list(keys: &[PublicKey]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
