//! Proofs of origin: signatures and shared texts, compared so that the time taken says nothing about them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::Rejected;
use super::sender::Secrets;
use crate::base::limits::{DELIVERY_SIGNATURES_MAX, DELIVERY_TIME_TOLERANCE};
use crate::base::{Timestamp, unhex};

/// The one value of a header that proves something. One that is there twice, or is not plain text, proves nothing.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok()
}

/// `Ok` where it is so.
pub(super) fn demand(proved: Choice) -> Result<(), Rejected> {
    if bool::from(proved) { Ok(()) } else { Err(Rejected::Unproven) }
}

/// Whether any of the secrets signed the body: HMAC-SHA-256, in lower-case hexadecimal behind `prefix`.
pub(super) fn hex_signed(secrets: Secrets, body: &[u8], given: Option<&str>, prefix: &str) -> Choice {
    let signature = given.and_then(|text| text.strip_prefix(prefix)).and_then(unhex::<32>);
    let Some(signature) = signature else { return Choice::from(0) };
    any(secrets.iter().map(|secret| hmac_is(secret.expose().as_bytes(), &[body], &signature)))
}

/// Whether any of the secrets is this text.
pub(super) fn same_text(secrets: impl IntoIterator<Item = impl AsRef<[u8]>>, given: &[u8]) -> Choice {
    // Digests have one length: not even that of the secret can be measured.
    let given = Sha256::digest(given);
    any(secrets.into_iter().map(|secret| {
        let secret = secret.as_ref();
        Sha256::digest(secret).as_slice().ct_eq(given.as_slice()) & !secret.ct_eq(b"")
    }))
}

/// What the Standard Webhooks form signed.
pub(super) struct Signed<'a> {
    /// `webhook-id`.
    pub(super) id: &'a str,
}

/// Verifies the Standard Webhooks form: `v1` and `v1a` signatures over `id.timestamp.body`, the time within five minutes of ours.
pub(super) fn standard_signed<'a>(
    keys: &[StandardKey],
    headers: &'a HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Option<Signed<'a>> {
    let id = header(headers, "webhook-id")?;
    let timestamp = header(headers, "webhook-timestamp")?;
    let signatures = header(headers, "webhook-signature")?;
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    let tokens = signatures.split(' ').take(DELIVERY_SIGNATURES_MAX);
    let proved = any(tokens.map(|token| any(keys.iter().map(|key| key.signed(&parts, token)))));
    (bool::from(proved) && is_recent(timestamp, now)).then_some(Signed { id })
}

/// Seconds since 1970, in digits alone: `+5` and ` 5` are not what was meant.
fn is_recent(timestamp: &str, now: Timestamp) -> bool {
    let plain = timestamp.len() <= 12 && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let Some(seconds) = timestamp.parse::<i64>().ok().filter(|_| plain) else { return false };
    let sent = Timestamp(seconds * 1_000);
    sent.until(now).max(now.until(sent)) <= DELIVERY_TIME_TOLERANCE
}

/// A secret of the Standard Webhooks form.
pub(super) enum StandardKey {
    /// `whsec_`: both sides have it.
    Shared(Vec<u8>),
    /// `whpk_`: the sender's public key.
    Public(Box<VerifyingKey>),
}

/// Bytes of a shared secret, by the specification.
const SHARED_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

impl StandardKey {
    pub(super) const SHARED_PREFIX: &str = "whsec_";
    const PUBLIC_PREFIX: &str = "whpk_";

    /// Reads `whsec_<base64>` or `whpk_<base64>`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(encoded) = text.strip_prefix(Self::SHARED_PREFIX) {
            let bytes = STANDARD.decode(encoded).ok()?;
            return SHARED_BYTES.contains(&bytes.len()).then_some(Self::Shared(bytes));
        }
        let bytes: [u8; 32] = STANDARD.decode(text.strip_prefix(Self::PUBLIC_PREFIX)?).ok()?.try_into().ok()?;
        VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak()).map(|key| Self::Public(Box::new(key)))
    }

    fn signed(&self, parts: &[&[u8]], token: &str) -> Choice {
        let no = Choice::from(0);
        let Some((version, encoded)) = token.split_once(',') else { return no };
        match (self, version) {
            (Self::Shared(secret), "v1") => {
                let given: Option<[u8; 32]> = STANDARD.decode(encoded).ok().and_then(|bytes| bytes.try_into().ok());
                given.map_or(no, |given| hmac_is(secret, parts, &given))
            }
            (Self::Public(key), "v1a") => {
                let given = STANDARD.decode(encoded).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
                let holds = given.is_some_and(|given| key.verify_strict(&parts.concat(), &given).is_ok());
                Choice::from(u8::from(holds))
            }
            _ => no,
        }
    }
}

/// Whether one of them is so. All are looked at: which one it was must not show.
fn any(each: impl Iterator<Item = Choice>) -> Choice {
    each.fold(Choice::from(0), |any, one| any | one)
}

fn hmac_is(secret: &[u8], parts: &[&[u8]], given: &[u8; 32]) -> Choice {
    // Everybody can sign with an empty secret.
    let usable = Hmac::<Sha256>::new_from_slice(secret).ok().filter(|_| !secret.is_empty());
    let Some(mut mac) = usable else { return Choice::from(0) };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().as_slice().ct_eq(given.as_slice())
}
