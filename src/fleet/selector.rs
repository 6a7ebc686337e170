//! Choosing tenants: `label.plan = "pro" and not label.region in (eu, us)`.
//!
//! ```text
//! any    = all { "or" all }
//! all    = one { "and" one }
//! one    = "not" one | "(" any ")" | "*" | test
//! test   = "id" compare | label [ compare ]         a label alone: the tenant has it
//! label  = "label." name
//! compare = "=" value | "!=" value | "in" "(" value { "," value } ")"
//! ```
//!
//! A value is bare, or quoted with `"` or `'` (twice inside to mean itself); in the value of `=` and `!=` a `*` stands for any text. `!=` is `not … =`, so it is also true of a
//! tenant without the label.

mod parse;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use self::parse::Expression;
use super::error::FleetError;
use super::tenant::Tenant;
use crate::base::TenantId;

/// A choice of tenants. Pure: the same tenant is chosen or not wherever and whenever it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    text: String,
    expression: Expression,
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// WL0208 with the character at which it stops making sense.
    pub fn parse(text: &str) -> Result<Self, FleetError> {
        Ok(Self { text: text.to_owned(), expression: parse::parse(text)? })
    }

    /// Everyone.
    #[must_use]
    pub fn all() -> Self {
        Self { text: "*".to_owned(), expression: Expression::All }
    }

    /// The tenants with these ids, separated by commas: the argument of `--only`.
    ///
    /// # Errors
    /// WL0207 naming the ids that no tenant has; WL0208 where there is no id at all.
    pub fn only(list: &str, tenants: &[Tenant]) -> Result<Self, FleetError> {
        let ids: BTreeSet<String> =
            list.split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect();
        if ids.is_empty() {
            let reason = "it names no tenant".to_owned();
            return Err(FleetError::BadSelector { text: list.to_owned(), position: 1, reason });
        }
        let known: BTreeSet<&str> = tenants.iter().map(|tenant| tenant.id.as_str()).collect();
        let unknown: Vec<String> = ids.iter().filter(|id| !known.contains(id.as_str())).cloned().collect();
        if !unknown.is_empty() {
            return Err(FleetError::UnknownTenant { ids: unknown, known: known.len() });
        }
        let quoted: Vec<String> = ids.iter().map(|id| parse::quote(id)).collect();
        Ok(Self { text: format!("id in ({})", quoted.join(", ")), expression: Expression::ids(ids) })
    }

    /// Whether this tenant is chosen.
    #[must_use]
    pub fn matches(&self, id: &TenantId, labels: &BTreeMap<String, String>) -> bool {
        self.expression.matches(id, labels)
    }

    /// The text it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Selector {
    type Error = FleetError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.text
    }
}
