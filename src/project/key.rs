//! The key that signs the end of a deploy, out of its file.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::ProjectError;
use crate::base::limits::SECRET_BYTES_MAX;
use crate::base::{Code, SigningKey};

/// The key in a file; `next` is what to do where it is none.
///
/// # Errors
/// WL0007 where the file cannot be read, is open to others, or holds no key.
pub fn signing_key(path: &Path, next: &str) -> Result<SigningKey, ProjectError> {
    let shown = path.display();
    let unusable = |why: &dyn std::fmt::Display, next: &str| {
        unusable(format!("the signing key in {shown} cannot be used: {why}; nothing was done"), next)
    };
    let file = File::open(path).map_err(|error| unusable(&error, next))?;
    let mode = file.metadata().map_err(|error| unusable(&error, next))?.permissions().mode();
    // A group may read it: that is how a secret is handed to a container.
    if mode & 0o027 != 0 {
        let why = format!("others than its owner can get at it (mode {:04o})", mode & 0o7777);
        return Err(unusable(
            &why,
            &format!("chmod 600 {shown}; if it was so on a machine that others use, make a new key"),
        ));
    }
    let text = read(file).map_err(|error| unusable(&error, next))?;
    SigningKey::from_file_text(&text).map_err(|error| unusable(&error, next))
}

/// What a file of a key holds, as far as a key can be long.
pub(crate) fn read(file: File) -> std::io::Result<String> {
    let mut text = String::new();
    file.take(SECRET_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn unusable(message: String, next: &str) -> ProjectError {
    ProjectError::new(Code::KeyUnusable, message, next)
}
