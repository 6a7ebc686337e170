//! A release as it is pushed: [`Release::to_bytes`], under the SHA-256 of these bytes.
//!
//! Whoever pushes is believed in nothing: the bytes are read within limits, and must be the one form that the release has.

use super::SourceError;
use crate::base::Digest;
use crate::base::limits::PUSHED_BYTES_MAX;
use crate::release::Release;

/// The release in `bytes`, which were sent under the digest `claimed`.
///
/// # Errors
/// WL0814 when they are too many, have another digest, or are not what [`Release::to_bytes`] makes of files that a folder could hold.
pub fn read(bytes: &[u8], claimed: Digest) -> Result<Release, SourceError> {
    let refuse = |reason: String| SourceError::NotARelease { claimed, reason };
    if bytes.len() as u64 > PUSHED_BYTES_MAX {
        return Err(refuse(format!("more than {PUSHED_BYTES_MAX} bytes")));
    }
    let digest = Digest::of(bytes);
    if digest != claimed {
        return Err(refuse(format!("its digest is {}", digest.short())));
    }
    Release::from_sent(bytes).map_err(|error| refuse(error.to_string()))
}

#[cfg(test)]
mod tests;
