//! What turned a deploy, as its log tells, and whether that could be: the weather itself is no reason to unwind.

use super::fleet::{IMPATIENT_TRIES, STRICT};
use crate::support::oracle::{Account, Entry};

/// What the operators of the storm say.
pub(super) const UNWIND: &str = "the weather";
pub(super) const RETRY: &str = "hope";

/// It cannot be told whether a step took effect.
const IN_DOUBT: &str = "WL0611";

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
    let turn = turn(account)?;
    let cause = &turn.body["cause"];
    let operator = &cause["operator"];
    if operator["reason"] == UNWIND && known.unwind_was_said {
        return Some(Ok("an operator said so"));
    }
    let failed = &cause["tenant_failed"];
    let (Some(tenant), Some(step)) = (failed["tenant"].as_str(), failed["step"].as_str()) else {
        return Some(Err(format!("turned by {cause}, which nobody said")));
    };
    let before = Before { account, position: turn.position, tenant, step };
    // What three looks could not settle is for good, and names what stood in the way of the last.
    let in_doubt = failed["failure"]["code"] == IN_DOUBT;
    // A deploy turns for what is for good; whether it was a try too many, or the first, the tenant's own events say.
    Some(match before.class() {
        Some("permanent") if known.poisoned == Some(tenant) && step.ends_with(STRICT) => Ok("a tenant cannot take it"),
        Some("transient") if !known.patient && before.tries() >= IMPATIENT_TRIES => Ok("three tries were not enough"),
        _ if !known.patient && in_doubt && before.looks() >= IMPATIENT_TRIES => Ok("three looks were not enough"),
        _ => Err(format!("turned by {tenant} at {step}, which nothing explains: {failed}")),
    })
}

/// What befell a step before the deploy turned.
struct Before<'a> {
    account: &'a Account,
    position: i64,
    tenant: &'a str,
    step: &'a str,
}

impl<'a> Before<'a> {
    fn own(&self) -> impl Iterator<Item = &'a Entry> {
        let (position, tenant, step) = (self.position, self.tenant, self.step);
        self.account.entries.iter().filter(move |entry| {
            entry.position < position && entry.tenant.as_deref() == Some(tenant) && entry.body["step"] == step
        })
    }

    fn count(&self, is_meant: impl Fn(&Entry) -> bool) -> usize {
        self.own().filter(|entry| is_meant(entry)).count()
    }

    /// Of the step's last failure.
    fn class(&self) -> Option<&'a str> {
        self.own().filter(|entry| entry.kind() == "step_failed").last()?.body["failure"]["class"].as_str()
    }

    fn tries(&self) -> usize {
        self.count(|entry| entry.kind() == "step_started")
    }

    /// Looks for evidence that found none.
    fn looks(&self) -> usize {
        self.count(|entry| entry.kind() == "step_probed" && !entry.body["found"]["unknown"].is_null())
    }
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

    const TABLE: &str = "migrate:0007_table";

    /// A turn at a step after so many rounds of these events of it, and as many that came later.
    fn account(cause: &Value, round: &[Value], rounds: usize) -> Account {
        let entry = |position, tenant: Option<&str>, body| Entry { position, tenant: tenant.map(str::to_owned), body };
        let of_step = |position| {
            let events = std::iter::repeat_n(round, rounds).flatten();
            events.map(move |event| entry(position, Some("pg0"), event.clone()))
        };
        let mut entries: Vec<Entry> = of_step(1).collect();
        entries.push(entry(2, None, json!({"type": "direction_set", "direction": "unwind", "cause": cause})));
        entries.extend(of_step(3));
        Account { entries, leases: Vec::new(), statuses: BTreeMap::new() }
    }

    /// As a deploy tells it: by then it is for good, whatever it was.
    fn failed(step: &str, code: &str) -> Value {
        json!({"tenant_failed": {"tenant": "pg0", "step": step, "failure": {"class": "permanent", "code": code}}})
    }

    /// A try that fails.
    fn a_try(step: &str, class: &str) -> [Value; 2] {
        let failed = json!({"type": "step_failed", "step": step, "failure": {"class": class}});
        [json!({"type": "step_started", "step": step}), failed]
    }

    #[test]
    fn a_turn_is_excused_by_its_own_cause_and_by_no_other() {
        let nothing = Known { poisoned: None, patient: true, unwind_was_said: false };
        let anything = Known { poisoned: Some("pg1"), patient: false, unwind_was_said: true };
        let poisoned = Known { poisoned: Some("pg0"), ..nothing };
        let strict = "migrate:0008_strict";
        let verdict =
            |cause: &Value, round: &[Value], rounds, known| of_turn(&account(cause, round, rounds), known).unwrap();
        let said = json!({"operator": {"actor": {"name": "a", "host": "b"}, "reason": UNWIND}});
        assert_eq!(verdict(&said, &[], 0, anything), Ok("an operator said so"));
        assert!(verdict(&said, &[], 0, poisoned).is_err(), "nobody was sent");
        let refused = failed(strict, "WL0606");
        assert_eq!(verdict(&refused, &a_try(strict, "permanent"), 1, poisoned), Ok("a tenant cannot take it"));
        assert!(verdict(&failed(TABLE, "WL0606"), &a_try(TABLE, "permanent"), 3, poisoned).is_err(), "another step");
        assert!(verdict(&refused, &a_try(strict, "permanent"), 3, anything).is_err(), "another tenant");
        let gone = failed(TABLE, "WL0601");
        assert_eq!(verdict(&gone, &a_try(TABLE, "transient"), 3, anything), Ok("three tries were not enough"));
        assert!(verdict(&gone, &a_try(TABLE, "permanent"), 3, anything).is_err(), "it was given up at the first");
        assert!(verdict(&gone, &a_try(TABLE, "transient"), 2, anything).is_err(), "one try was left");
        assert!(verdict(&gone, &a_try(TABLE, "transient"), 3, poisoned).is_err(), "there were tries enough");
        let in_doubt = failed(TABLE, IN_DOUBT);
        let looked = [json!({"type": "step_probed", "step": TABLE, "found": {"unknown": {"retry": "no"}}})];
        assert_eq!(verdict(&in_doubt, &looked, 3, anything), Ok("three looks were not enough"));
        assert!(verdict(&in_doubt, &looked, 2, anything).is_err(), "one look was left");
        assert!(verdict(&in_doubt, &a_try(TABLE, "permanent"), 3, anything).is_err(), "nobody looked");
    }
}
