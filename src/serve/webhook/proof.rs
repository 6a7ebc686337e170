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
use crate::fleet::Secret;

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
    any(secrets.iter().map(|secret| match hmac(secret.expose().as_bytes(), &[body]) {
        Some(right) => right.ct_eq(&signature),
        None => Choice::from(0),
    }))
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
    // Before the expensive part: it is in the request, so it tells nobody anything.
    if !is_recent(timestamp, now) {
        return None;
    }
    let message: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    let given = Given::read(signatures);
    bool::from(any(keys.iter().map(|key| key.signed(&message, &given)))).then_some(Signed { id })
}

/// The signatures that a delivery carries, by their kind. Those of other versions are not ours to understand.
struct Given {
    shared: Vec<[u8; 32]>,
    public: Vec<Signature>,
}

impl Given {
    /// Reads `v1,<base64> v1a,<base64> …`.
    fn read(header: &str) -> Self {
        let decoded = |version: &'static str| {
            let of_version = header.split(' ').filter_map(move |token| token.strip_prefix(version));
            of_version.filter_map(|encoded| STANDARD.decode(encoded).ok()).take(DELIVERY_SIGNATURES_MAX)
        };
        Self {
            shared: decoded("v1,").filter_map(|bytes| bytes.try_into().ok()).collect(),
            public: decoded("v1a,").filter_map(|bytes| Signature::from_slice(&bytes).ok()).collect(),
        }
    }
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

    fn signed(&self, message: &[&[u8]], given: &Given) -> Choice {
        match self {
            Self::Shared(secret) => match hmac(secret, message) {
                Some(right) => any(given.shared.iter().map(|signature| right.ct_eq(signature))),
                None => Choice::from(0),
            },
            Self::Public(_) if given.public.is_empty() => Choice::from(0),
            Self::Public(key) => {
                let message = message.concat();
                let holds = |signature: &Signature| key.verify_strict(&message, signature).is_ok();
                any(given.public.iter().map(|signature| Choice::from(u8::from(holds(signature)))))
            }
        }
    }
}

/// The `webhook-signature` of what is sent in the Standard Webhooks form, the first version: what `standard_signed` verifies. None where
/// the secret is not a shared one of that form.
#[must_use]
pub fn sign_standard(secret: &Secret, id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
    let StandardKey::Shared(key) = StandardKey::parse(secret.expose())? else { return None };
    let mac = hmac(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body])?;
    Some(format!("v1,{}", STANDARD.encode(mac)))
}

/// Whether one of them is so. All are looked at: which one it was must not show.
fn any(each: impl Iterator<Item = Choice>) -> Choice {
    each.fold(Choice::from(0), |any, one| any | one)
}

/// HMAC-SHA-256 of the parts together. None with an empty secret: everybody can sign with that.
fn hmac(secret: &[u8], parts: &[&[u8]]) -> Option<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok().filter(|_| !secret.is_empty())?;
    for part in parts {
        mac.update(part);
    }
    Some(mac.finalize().into_bytes().into())
}
