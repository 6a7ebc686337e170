//! Pages of lists: how many things, and where to go on.
//!
//! A cursor says after which thing the next page begins, by what that thing is called in the order of its list, and not how many came
//! before it: what is added meanwhile moves nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::Code;
use crate::base::limits::{CURSOR_BYTES_MAX, PAGE_DEFAULT, PAGE_MAX};
use crate::serve::problem::Problem;

/// How many things a page holds: 1 to [`PAGE_MAX`].
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "usize")]
pub(super) struct Limit(usize);

impl Limit {
    pub(super) const fn get(self) -> usize {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(PAGE_DEFAULT)
    }
}

impl TryFrom<usize> for Limit {
    type Error = String;

    fn try_from(number: usize) -> Result<Self, String> {
        let fits = (1..=PAGE_MAX).contains(&number);
        fits.then_some(Self(number)).ok_or_else(|| format!("`limit` is 1 to {PAGE_MAX}"))
    }
}

/// A place in the log: that of an event that was given out, or 0.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct Position(u64);

impl Position {
    pub(super) const fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Position {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        let fits = i64::try_from(number).is_ok();
        fits.then_some(Self(number)).ok_or_else(|| "no log has so many events".to_owned())
    }
}

/// The text of a cursor into the list of this name.
pub(super) fn cursor<T: Serialize>(list: &str, place: &T) -> String {
    // What goes into cursors are numbers and texts, which can always be written.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(list, place)).unwrap_or_default())
}

/// The place that a cursor into the list of this name speaks of.
///
/// # Errors
/// WL0823 where it is none of this list: a text like any other, so that the request can be read, and not be done (422).
pub(super) fn place<T: DeserializeOwned>(list: &str, text: Option<&str>) -> Result<Option<T>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let bytes = if text.len() <= CURSOR_BYTES_MAX { URL_SAFE_NO_PAD.decode(text).ok() } else { None };
    let read = bytes.and_then(|bytes| serde_json::from_slice::<(String, T)>(&bytes).ok());
    let found = read.filter(|(of, _)| of == list).map(|(_, place)| Some(place));
    found.ok_or_else(|| {
        Problem::new(Code::RequestMalformed, "`after` is what this list gave as `next`, and this is not")
            .with_status(StatusCode::UNPROCESSABLE_ENTITY)
            .next("the same request without `after`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_by_the_list_that_gave_it_and_by_no_other() {
        let text = cursor("tenants", &7_u64);
        assert_eq!(place("tenants", Some(&text)).unwrap(), Some(7_u64));
        for (list, text) in [("deploys", text.as_str()), ("tenants", ""), ("tenants", "W10"), ("tenants", "ü")] {
            assert_eq!(place::<u64>(list, Some(text)).unwrap_err().code(), Code::RequestMalformed, "{list} {text}");
        }
        assert_eq!(place::<u64>("tenants", None).unwrap(), None);
    }
}
