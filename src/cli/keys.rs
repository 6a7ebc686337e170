//! Signing keys: made, and read. A secret key is written to its file and to nothing else.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use serde_json::json;

use super::file::{Existing, NewFile};
use super::output::{Exit, Failure, Output};
use crate::base::{Code, PublicKey, SigningKey};
use crate::project::key::read;
use crate::project::signing_key;

pub(super) fn keygen(path: &Path, output: Output) -> Result<Exit, Failure> {
    let mut file = NewFile::create(path, Existing::Keep)?;
    let key = SigningKey::fresh()
        .map_err(|error| unusable(format!("no key can be made: {error}"), "windlass audit keygen FILE, in a moment"))?;
    // Into memory: the file tells what goes wrong when it is put in its place.
    let _ = file.write_all(key.to_file_text().as_bytes());
    let written = file.commit()?;
    let (file, public) = (path.display().to_string(), key.public());
    output.answer(&json!({ "file": file, "public_key": public }), || {
        format!(
            "{public}\n\nThis is the public key: give it to whoever verifies. The secret one is in {file}: whoever has it can sign in your \
             name.\nTo sign the end of each deploy, in windlass.toml:\n\n    [audit]\n    sign_with = \"{file}\""
        )
    });
    written.settled()?;
    Ok(Exit::Done)
}

/// Shows the public half of a key that is there.
pub(super) fn show_key(path: &Path, output: Output) -> Result<Exit, Failure> {
    let public = signing_key(path, "the same command with a file that `windlass audit keygen` wrote")?.public();
    output.answer(&json!({ "file": path, "public_key": public }), || public.to_string());
    Ok(Exit::Done)
}

/// A public key as typed, or the file that holds one. What was typed is not repeated: somebody may have typed the secret one.
pub(super) fn public_key(text: &str) -> Result<PublicKey, Failure> {
    let parsed = match text.parse::<PublicKey>() {
        Err(error) if text.starts_with("ed25519") => Err(error.to_string()),
        Err(_) => match File::open(text).and_then(read) {
            Ok(text) => text.parse::<PublicKey>().map_err(|error| format!("of the file: {error}")),
            Err(_) => Err("it is neither a public key (ed25519:…) nor a file that holds one".to_owned()),
        },
        Ok(key) => Ok(key),
    };
    let next = "the same command with the public key of whom you trust, which `windlass audit key FILE` shows where the secret one is";
    parsed.map_err(|why| unusable(format!("what was given with --key cannot be used: {why}"), next))
}

fn unusable(message: String, next: &str) -> Failure {
    Failure::new(Code::KeyUnusable, message, next)
}
