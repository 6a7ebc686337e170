//! What turned a deploy, as its log tells, and whether that could be: the weather itself is no reason to unwind.

use super::fleet::{IMPATIENT_TRIES, STRICT};
use crate::support::oracle::{Account, Entry};

/// What the operators of the storm say.
pub(super) const UNWIND: &str = "the weather";
pub(super) const RETRY: &str = "hope";

/// What was so before the deploy, or was done to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// The tenant that cannot take the release.
    pub(super) poisoned: Option<&'a str>,
    /// Whether there were tries enough for anything that the storm does.
    pub(super) patient: bool,
    /// Whether an operator was sent to say `unwind`.
    pub(super) unwind_was_said: bool,
}

/// The event that turned it.
fn turn(account: &Account) -> Option<&Entry> {
    account.own().find(|entry| entry.kind() == "direction_set" && entry.body["direction"] == "unwind")
}

/// Why it turned, in a word, if it did. The inner error: why that cannot be.
pub(super) fn of_turn(account: &Account, known: Known<'_>) -> Option<Result<&'static str, String>> {
    let cause = &turn(account)?.body["cause"];
    let operator = &cause["operator"];
    if operator["reason"] == UNWIND && known.unwind_was_said {
        return Some(Ok("an operator said so"));
    }
    let failed = &cause["tenant_failed"];
    let (Some(tenant), Some(step), Some(class)) =
        (failed["tenant"].as_str(), failed["step"].as_str(), failed["failure"]["class"].as_str())
    else {
        return Some(Err(format!("turned by {cause}, which nobody said")));
    };
    Some(match class {
        "permanent" if known.poisoned == Some(tenant) && step.ends_with(STRICT) => Ok("a tenant cannot take it"),
        "transient" if !known.patient && has_used_its_tries(account, tenant, step) => Ok("three tries were not enough"),
        _ => Err(format!("turned by {tenant} at {step}, which nothing explains: {failed}")),
    })
}

/// Whether a step was tried, or looked after, as often as the workflow of those with few tries says.
fn has_used_its_tries(account: &Account, tenant: &str, step: &str) -> bool {
    let own =
        account.entries.iter().filter(|entry| entry.tenant.as_deref() == Some(tenant) && entry.body["step"] == step);
    let (mut tries, mut looks) = (0, 0);
    for entry in own {
        tries += usize::from(entry.kind() == "step_started");
        looks += usize::from(entry.kind() == "step_probed" && !entry.body["found"]["unknown"].is_null());
    }
    tries.max(looks) >= IMPATIENT_TRIES
}

/// How many tenants an operator's `retry` took up again in the middle of the storm.
pub(super) fn retried(account: &Account) -> u64 {
    account.entries.iter().filter(|entry| entry.kind() == "tenant_resolved" && entry.body["reason"] == RETRY).count()
        as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    fn account(cause: Value, tries: usize) -> Account {
        let entry = |position, tenant: Option<&str>, body| Entry { position, tenant: tenant.map(str::to_owned), body };
        let step = "migrate:0007_table";
        let mut entries: Vec<Entry> =
            (0..tries).map(|_| entry(1, Some("pg0"), json!({"type": "step_started", "step": step}))).collect();
        entries.push(entry(2, None, json!({"type": "direction_set", "direction": "unwind", "cause": cause})));
        Account { entries, leases: Vec::new(), statuses: BTreeMap::new() }
    }

    fn failed(step: &str, class: &str) -> Value {
        json!({"tenant_failed": {"tenant": "pg0", "step": step, "failure": {"class": class, "code": "WL0301"}}})
    }

    #[test]
    fn a_turn_is_excused_by_its_own_cause_and_by_no_other() {
        let nothing = Known { poisoned: None, patient: true, unwind_was_said: false };
        let anything = Known { poisoned: Some("pg1"), patient: false, unwind_was_said: true };
        let poisoned = Known { poisoned: Some("pg0"), ..nothing };
        let (strict, table) = ("migrate:0008_strict", "migrate:0007_table");
        let said = json!({"operator": {"actor": {"name": "a", "host": "b"}, "reason": UNWIND}});
        let verdict = |cause: &Value, tries, known| of_turn(&account(cause.clone(), tries), known).unwrap();
        assert_eq!(verdict(&said, 0, anything), Ok("an operator said so"));
        assert!(verdict(&said, 0, poisoned).is_err(), "nobody was sent");
        assert_eq!(verdict(&failed(strict, "permanent"), 1, poisoned), Ok("a tenant cannot take it"));
        assert!(verdict(&failed(table, "permanent"), 1, poisoned).is_err(), "at another step");
        assert!(verdict(&failed(strict, "permanent"), 1, anything).is_err(), "another tenant");
        assert_eq!(verdict(&failed(table, "transient"), 3, anything), Ok("three tries were not enough"));
        assert!(verdict(&failed(table, "transient"), 2, anything).is_err(), "one try was left");
        assert!(verdict(&failed(table, "transient"), 3, poisoned).is_err(), "there were tries enough");
    }
}
