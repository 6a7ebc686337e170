//! The lines of an export: a contract with every export that exists. A reader refuses what it does not know, so anything added to a line
//! needs another [`FORMAT`].
//!
//! One line says what the file is. Then, for each deploy: its line, the files that its events refer to, its own stream and the tenants'
//! in order of their ids, each followed by its events, and the line of its seal. What is counted in a line comes after it, so that one
//! reading checks a file of any size.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::jsonl::Scope;
use crate::base::{DeployId, Digest, LogId, Seq, Signature, TenantId};

/// The version of the lines.
pub(super) const FORMAT: u32 = 1;

/// One line, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line<'a> {
    /// The first.
    Export {
        /// [`FORMAT`].
        format: u32,
        /// The log that it was made of.
        log: LogId,
        /// Whether these are all deploys of the log, in the order of their creation.
        scope: Scope,
        /// How many deploys follow.
        deploys: u64,
    },
    /// A deploy begins.
    Deploy {
        /// Which.
        deploy: DeployId,
        /// How many files follow.
        files: u64,
        /// How many streams follow.
        streams: u64,
    },
    /// A file that an event refers to.
    File {
        /// SHA-256 of the text.
        digest: Digest,
        /// The text.
        text: Cow<'a, str>,
    },
    /// A stream begins.
    Stream {
        /// Whose; none for the deploy's own.
        tenant: Option<TenantId>,
        /// The tenant's place in the deploy's order, from 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ordinal: Option<u64>,
        /// How the tenant was reached, as stored: JSON without secrets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spec: Option<Cow<'a, str>>,
        /// How many events the log says that it has.
        events: Seq,
        /// The head of its chain, as the log has it.
        head: Digest,
    },
    /// An event of the stream that began last.
    Event {
        /// Its place.
        seq: Seq,
        /// The head of the chain after it.
        hash: Digest,
        /// Its JSON, byte for byte as stored: what the hash covers.
        body: Cow<'a, str>,
    },
    /// The end of a deploy's part.
    Seal {
        /// The root in the seal; none while the deploy is under way.
        root: Option<Digest>,
        /// A signature made when it was exported.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<Signature>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_written_to_the_byte_and_reads_back() {
        let digest = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        for line in [
            format!(r#"{{"line":"export","format":1,"log":"{id}","scope":"some","deploys":1}}"#),
            format!(r#"{{"line":"deploy","deploy":"{id}","files":3,"streams":3}}"#),
            format!(r#"{{"line":"file","digest":"{digest}","text":"{{\"a\":\"ü\\n\"}}"}}"#),
            format!(r#"{{"line":"stream","tenant":null,"events":5,"head":"{digest}"}}"#),
            format!(r#"{{"line":"stream","tenant":"acme","ordinal":0,"spec":"{{}}","events":5,"head":"{digest}"}}"#),
            format!(r#"{{"line":"event","seq":1,"hash":"{digest}","body":"{{\"seq\":1}}"}}"#),
            format!(r#"{{"line":"seal","root":"{digest}"}}"#),
            r#"{"line":"seal","root":null}"#.to_owned(),
        ] {
            let read: Line<'_> = serde_json::from_str(&line).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), line);
            let more = line.replacen('{', r#"{"more":1,"#, 1);
            assert!(serde_json::from_str::<Line<'_>>(&more).is_err(), "{more}");
        }
    }
}
