//! The hash chain of a stream, and the seal over all streams of a deploy (promise P8).
//!
//! Each stream starts from a genesis that names it, so an event moved to another stream breaks the chain there too. Chains are per
//! stream so that parallel tenants do not contend for one head. The seal is a Merkle root in the manner of RFC 6962: leaves and
//! inner nodes are hashed under different domains, so that neither can be passed off as the other, and an odd node is carried up.

use std::collections::BTreeMap;

use super::event::{DeployOutcome, StreamId, TenantOutcome};
use crate::base::{DeployId, Digest, LogId, Seq, TenantId};

/// The head of a stream without events.
#[must_use]
pub fn genesis(stream: &StreamId) -> Digest {
    let deploy = stream.deploy.0.as_bytes().as_slice();
    match &stream.tenant {
        None => Digest::of_fields("windlass deploy stream 1", [deploy]),
        Some(tenant) => Digest::of_fields("windlass tenant stream 1", [deploy, tenant.as_str().as_bytes()]),
    }
}

/// The head after one more event: the hash of the head before and of the event's bytes exactly as stored.
#[must_use]
pub fn link(previous: &Digest, body: &[u8]) -> Digest {
    Digest::of_fields("windlass event 1", [previous.as_bytes().as_slice(), body])
}

/// The digest of how a deploy ended.
#[must_use]
pub fn end_digest(outcome: DeployOutcome, account: &BTreeMap<TenantOutcome, u64>) -> Digest {
    // The written words, which are a contract; an enum without fields always has one.
    let word = |of: serde_json::Result<String>| of.unwrap_or_default().into_bytes();
    let mut fields = vec![word(serde_json::to_string(&outcome))];
    for (outcome, count) in account {
        fields.extend([word(serde_json::to_string(outcome)), count.to_be_bytes().to_vec()]);
    }
    Digest::of_fields("windlass end 1", fields.iter().map(Vec::as_slice))
}

/// The root over the heads of a deploy: its own stream's head as it was before the end, the end, then the tenants' heads in order
/// of their ids.
///
/// The end itself is in it as [`end_digest`] and not by its event's hash, which only the log knows once it has written it: so the
/// seal can be written together with the end, and a deploy that has ended without one has lost it.
#[must_use]
pub fn seal(deploy: DeployId, own: (Seq, Digest), end: Digest, tenants: &[(TenantId, Seq, Digest)]) -> Digest {
    let leaf = |name: &[u8], seq: Seq, head: &Digest| {
        Digest::of_fields("windlass seal leaf 1", [name, &seq.0.to_be_bytes(), head.as_bytes().as_slice()])
    };
    let mut level = Vec::with_capacity(tenants.len() + 2);
    level.push(leaf(deploy.0.as_bytes(), own.0, &own.1));
    level.push(end);
    level.extend(tenants.iter().map(|(tenant, seq, head)| leaf(tenant.as_str().as_bytes(), *seq, head)));
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => {
                    Digest::of_fields("windlass seal node 1", [left.as_bytes().as_slice(), right.as_bytes().as_slice()])
                }
                odd => odd[0],
            })
            .collect();
    }
    level[0]
}

/// What is signed of a deploy that has ended: its seal, with its own name and that of the log it stands in, so that the signature of one
/// deploy says nothing of another.
#[must_use]
pub fn signed(log: LogId, deploy: DeployId, root: &Digest) -> Digest {
    let fields = [log.0.as_bytes().as_slice(), deploy.0.as_bytes().as_slice(), root.as_bytes().as_slice()];
    Digest::of_fields("windlass seal signature 1", fields)
}

/// The digest of a deploy's tenant list: how each is reached, as stored, in the deploy's order.
#[must_use]
pub fn tenants_digest<'a>(specs: impl IntoIterator<Item = &'a str>) -> Digest {
    Digest::of_fields("windlass tenants 1", specs.into_iter().map(str::as_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(names: &[&str]) -> Vec<(TenantId, Seq, Digest)> {
        names.iter().map(|name| (TenantId::new(*name).unwrap(), Seq(3), Digest::of(name.as_bytes()))).collect()
    }

    #[test]
    fn the_seal_changes_with_every_head_its_length_and_their_order() {
        let deploy = DeployId::fresh();
        let own = (Seq(5), Digest::of(b"own"));
        let end = Digest::of(b"end");
        let whole = seal(deploy, own, end, &heads(&["a", "b", "c"]));
        assert_ne!(whole, seal(deploy, own, end, &heads(&["b", "a", "c"])));
        assert_ne!(whole, seal(deploy, own, end, &heads(&["a", "b"])));
        let mut longer = heads(&["a", "b", "c"]);
        longer[2].1 = Seq(4);
        assert_ne!(whole, seal(deploy, own, end, &longer));
        assert_ne!(whole, seal(deploy, (Seq(6), own.1), end, &heads(&["a", "b", "c"])));
        assert_ne!(whole, seal(deploy, own, Digest::of(b"another"), &heads(&["a", "b", "c"])));
        assert_eq!(whole, seal(deploy, own, end, &heads(&["a", "b", "c"])));
    }

    #[test]
    fn every_end_has_a_digest_of_its_own() {
        let account = |completed| BTreeMap::from([(TenantOutcome::Completed, completed)]);
        let end = end_digest(DeployOutcome::Completed, &account(2));
        assert_ne!(end, end_digest(DeployOutcome::Unwound, &account(2)));
        assert_ne!(end, end_digest(DeployOutcome::Completed, &account(3)));
        assert_ne!(end, end_digest(DeployOutcome::Completed, &BTreeMap::from([(TenantOutcome::Unwound, 2)])));
    }

    #[test]
    fn what_is_signed_is_of_one_log_one_deploy_and_one_root() {
        let (log, deploy, root) = (LogId::fresh(), DeployId::fresh(), Digest::of(b"root"));
        let digest = signed(log, deploy, &root);
        assert_ne!(digest, signed(LogId::fresh(), deploy, &root));
        assert_ne!(digest, signed(log, DeployId::fresh(), &root));
        assert_ne!(digest, signed(log, deploy, &Digest::of(b"another")));
    }

    #[test]
    fn two_streams_never_share_a_genesis() {
        let deploy = DeployId::fresh();
        let tenant = |name: &str| StreamId::tenant(deploy, TenantId::new(name).unwrap());
        assert_ne!(genesis(&tenant("a")), genesis(&tenant("b")));
        assert_ne!(genesis(&StreamId::deploy(deploy)), genesis(&StreamId::deploy(DeployId::fresh())));
    }
}
