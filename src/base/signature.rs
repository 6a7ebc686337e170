//! Ed25519 signatures: who vouches for a digest.
//!
//! Written forms: a public key is `ed25519:` and 64 hexadecimal digits, a secret one `ed25519-secret:` and 64. The two prefixes keep one
//! from being taken for the other, and a secret key has neither `Display` nor `Serialize`: it leaves this file through
//! [`SigningKey::to_file_text`] alone.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer as _, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Digest;

const PUBLIC: &str = "ed25519:";
const SECRET: &str = "ed25519-secret:";

const FILE_HEAD: &str =
    "# A signing key of Windlass. Whoever has this file can sign in its owner's name: keep it secret.\n";

/// The public half: what a signature is checked by. Always a point of the curve.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// The secret half. Wiped from memory when it is dropped.
pub struct SigningKey(ed25519_dalek::SigningKey);

/// A signature, with the key that it says it was made by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// By whose key.
    pub key: PublicKey,
    /// The 64 bytes of it.
    #[serde(rename = "signature")]
    pub bytes: SignatureBytes,
}

/// The bytes of a signature. Written as 128 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SignatureBytes([u8; 64]);

/// The text is not a key. It is not repeated: it may be a secret, or nearly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Not a public key.
    #[error("it is not a public key: `ed25519:` and 64 hexadecimal digits")]
    NotPublic,
    /// A secret key where a public one belongs.
    #[error("it is a secret key, and the public one is asked for: it stands in what `windlass audit keygen` printed")]
    SecretGiven,
    /// Not a secret key.
    #[error("it does not hold a signing key: one line, `ed25519-secret:` and 64 hexadecimal digits")]
    NotSecret,
}

impl SigningKey {
    /// A fresh one, from the system's source of randomness.
    ///
    /// # Errors
    /// When the system has none to give.
    pub fn fresh() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// Reads the text of a key file: lines that begin with `#` say nothing.
    ///
    /// # Errors
    /// When it holds no key, or more than one.
    pub fn from_file_text(text: &str) -> Result<Self, BadKey> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (Some(line), None) = (lines.next(), lines.next()) else { return Err(BadKey::NotSecret) };
        let seed = line.strip_prefix(SECRET).and_then(unhex::<32>).ok_or(BadKey::NotSecret)?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// The text of a key file. A secret.
    #[must_use]
    pub fn to_file_text(&self) -> String {
        format!("{FILE_HEAD}{SECRET}{}\n", Hex(self.0.as_bytes()))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a digest, which names by its domain what it is a digest of.
    #[must_use]
    pub fn sign(&self, digest: &Digest) -> Signature {
        Signature { key: self.public(), bytes: SignatureBytes(self.0.sign(digest.as_bytes()).to_bytes()) }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(*** of {})", self.public())
    }
}

impl Signature {
    /// Whether its key signed this digest. Strict: a signature has one form only, and a weak key none at all.
    #[must_use]
    pub fn holds(&self, digest: &Digest) -> bool {
        let bytes = ed25519_dalek::Signature::from_bytes(&self.bytes.0);
        self.key.0.verify_strict(digest.as_bytes(), &bytes).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", Hex(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        if text.contains(SECRET) {
            return Err(BadKey::SecretGiven);
        }
        let bytes = text.trim().strip_prefix(PUBLIC).and_then(unhex::<32>).ok_or(BadKey::NotPublic)?;
        VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| BadKey::NotPublic)
    }
}

impl fmt::Display for SignatureBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for SignatureBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for SignatureBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SignatureBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = unhex(&text).ok_or_else(|| serde::de::Error::custom("not a signature: 128 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Bytes from lower-case hexadecimal digits: each value has one written form.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_file_text(&format!("ed25519-secret:{}", format!("{seed:02x}").repeat(32))).unwrap()
    }

    /// The first test vector of RFC 8032, so that another program's signatures are ours too.
    #[test]
    fn keys_are_those_of_rfc_8032() {
        let secret = "ed25519-secret:9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(SigningKey::from_file_text(secret).unwrap().public().to_string(), public);
    }

    #[test]
    fn a_signature_holds_for_its_digest_and_its_key_alone() {
        let digest = Digest::of(b"root");
        let signature = key(1).sign(&digest);
        assert!(signature.holds(&digest));
        assert!(!signature.holds(&Digest::of(b"another")));
        assert!(!Signature { key: key(2).public(), ..signature.clone() }.holds(&digest));
        let mut bytes = signature.bytes;
        bytes.0[0] ^= 1;
        assert!(!Signature { bytes, ..signature }.holds(&digest));
    }

    #[test]
    fn a_signature_reads_back_from_its_written_form() {
        let signature = key(3).sign(&Digest::of(b"root"));
        let json = serde_json::to_string(&signature).unwrap();
        assert_eq!(serde_json::from_str::<Signature>(&json).unwrap(), signature);
        assert!(serde_json::from_str::<Signature>(&json.replace("\"signature\":\"", "\"signature\":\"00")).is_err());
    }

    #[test]
    fn a_key_file_reads_back_and_a_fresh_key_is_another() {
        let fresh = SigningKey::fresh().unwrap();
        let text = fresh.to_file_text();
        assert!(text.starts_with("# "));
        assert_eq!(SigningKey::from_file_text(&text).unwrap().public(), fresh.public());
        assert_ne!(SigningKey::fresh().unwrap().public(), fresh.public());
    }

    #[test]
    fn a_secret_key_is_never_shown_and_never_taken_for_a_public_one() {
        let text = key(0xab).to_file_text();
        assert!(!format!("{:?}", key(0xab)).contains("abab"));
        let error = text.parse::<PublicKey>().unwrap_err();
        assert_eq!(error, BadKey::SecretGiven);
        assert!(!error.to_string().contains("abab"));
        assert!(SigningKey::from_file_text(&key(1).public().to_string()).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in
            ["", "ed25519:", "ed25519:00", "ed25519-secret:00", &"0".repeat(64), "ed25519-secret:\ned25519-secret:"]
        {
            assert!(text.parse::<PublicKey>().is_err(), "{text}");
            assert!(SigningKey::from_file_text(text).is_err(), "{text}");
        }
        // No point of the curve has this as its encoding.
        assert!(format!("ed25519:02{}", "0".repeat(62)).parse::<PublicKey>().is_err());
    }
}
