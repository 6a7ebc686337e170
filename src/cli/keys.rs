//! Signing keys: made, and read. A secret key is written to its file and to nothing else.

use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::json;

use super::file::{Existing, NewFile};
use super::output::{Exit, Failure, Output};
use crate::base::limits::SECRET_BYTES_MAX;
use crate::base::{Code, PublicKey, SigningKey};

pub(super) fn keygen(path: &Path, output: Output) -> Result<Exit, Failure> {
    let mut file = NewFile::create(path, Existing::Keep)?;
    let key = SigningKey::fresh().map_err(|error| unusable(format!("no key can be made: {error}")))?;
    // Into memory: the file tells what goes wrong when it is put in its place.
    let _ = file.write_all(key.to_file_text().as_bytes());
    file.commit()?;
    let (file, public) = (path.display().to_string(), key.public());
    output.answer(&json!({ "file": file, "public_key": public }), || {
        format!(
            "{public}\n\nThis is the public key: give it to whoever verifies. The secret one is in {file}: whoever has it can sign in your \
             name.\nTo sign the end of each deploy, in windlass.toml:\n\n    [audit]\n    sign_with = \"{file}\""
        )
    });
    Ok(Exit::Done)
}

/// The key in a file.
pub(super) fn signing_key(path: &Path) -> Result<SigningKey, Failure> {
    let unusable = |why: &dyn std::fmt::Display| {
        unusable(format!("the signing key in {} cannot be used: {why}; nothing was done", path.display()))
    };
    let text = read(path).map_err(|error| unusable(&error))?;
    SigningKey::from_file_text(&text).map_err(|error| unusable(&error))
}

/// A public key as typed, or the file that holds one. What was typed is not repeated: somebody may have typed the secret one.
pub(super) fn public_key(text: &str) -> Result<PublicKey, Failure> {
    let parsed = match text.parse::<PublicKey>() {
        Err(error) if text.starts_with("ed25519") => Err(error.to_string()),
        Err(_) => match read(Path::new(text)) {
            Ok(text) => text.parse::<PublicKey>().map_err(|error| format!("of the file: {error}")),
            Err(_) => Err("it is neither a public key (ed25519:…) nor a file that holds one".to_owned()),
        },
        Ok(key) => Ok(key),
    };
    parsed.map_err(|why| unusable(format!("what was given with --key cannot be used: {why}")))
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(SECRET_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn unusable(message: String) -> Failure {
    Failure::new(Code::KeyUnusable, message, "windlass audit keygen FILE")
}
