//! Proving where a delivery comes from, as the senders do it. Written from their documentation and not from the code that verifies.
//! The fuzz target takes this file as well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use windlass::base::{Digest, Timestamp};
use windlass::config::serve::Sender;

/// A secret that serves every sender: of Azure's form and long enough.
pub const SECRET: &str = "windlass:a-secret-of-the-tests";
/// One of the Standard Webhooks form: 24 bytes.
pub const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// When the tests take place.
pub const NOW: Timestamp = Timestamp(1_795_000_000_000);

/// Which secret this sender is given.
pub fn secret(sender: Sender) -> &'static str {
    if sender == Sender::Standard { SIGNING } else { SECRET }
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// Lower-case hexadecimal HMAC-SHA-256.
pub fn hex_hmac(secret: &str, body: &[u8]) -> String {
    let digest: [u8; 32] = hmac(secret.as_bytes(), body).try_into().unwrap();
    Digest(digest).to_string()
}

/// Sets a header, in place of one that is there.
pub fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
}

/// Signs in the Standard Webhooks form.
pub fn sign_standard(headers: &mut HeaderMap, secret: &str, id: &str, at: Timestamp, body: &[u8]) {
    let seconds = (at.0 / 1_000).to_string();
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let message = [id.as_bytes(), b".", seconds.as_bytes(), b".", body].concat();
    set(headers, "webhook-id", id);
    set(headers, "webhook-timestamp", &seconds);
    set(headers, "webhook-signature", &format!("v1,{}", STANDARD.encode(hmac(&key, &message))));
}

/// Adds the proof that this sender gives.
pub fn prove(sender: Sender, headers: &mut HeaderMap, secret: &str, body: &[u8]) {
    match sender {
        Sender::Github => set(headers, "X-Hub-Signature-256", &format!("sha256={}", hex_hmac(secret, body))),
        Sender::Bitbucket => set(headers, "X-Hub-Signature", &format!("sha256={}", hex_hmac(secret, body))),
        Sender::Gitea => set(headers, "X-Gitea-Signature", &hex_hmac(secret, body)),
        Sender::Gitlab => set(headers, "X-Gitlab-Token", secret),
        Sender::Azure => set(headers, "Authorization", &format!("Basic {}", STANDARD.encode(secret))),
        Sender::Standard => sign_standard(headers, secret, "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", NOW, body),
    }
}

/// The headers that name a delivery and its event, where these do not stand in the body.
pub fn name(sender: Sender, headers: &mut HeaderMap, event: &str) {
    const ID: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    set(headers, "Content-Type", "application/json");
    match sender {
        Sender::Github => {
            set(headers, "X-GitHub-Event", event);
            set(headers, "X-GitHub-Delivery", ID);
        }
        Sender::Gitlab => {
            set(headers, "X-Gitlab-Event", event);
            set(headers, "Idempotency-Key", ID);
        }
        Sender::Bitbucket => {
            set(headers, "X-Event-Key", event);
            set(headers, "X-Request-UUID", ID);
        }
        Sender::Gitea => {
            set(headers, "X-Gitea-Event", event);
            set(headers, "X-Gitea-Delivery", ID);
        }
        Sender::Azure | Sender::Standard => {}
    }
}
