//! The tampering table of exports.

use std::fmt::Write as _;

use serde_json::Value;
use windlass::base::Digest;

use super::{ACME, BOLT, change, change_body, event, exports, stream};
use crate::audit::{documented, findings};

/// A finding: its code, the tenant, the event.
type Found = (&'static str, Option<&'static str>, Option<u64>);

/// One act of tampering with the export of the first deploy.
struct Tampering {
    act: &'static str,
    /// How. Also given: the export of the second deploy.
    how: fn(&mut Vec<String>, &[String]),
    found: &'static [Found],
}

const TABLE: &[Tampering] = &[
    Tampering {
        act: "an event edited",
        how: |lines, _| {
            let at = event(lines, ACME, 4);
            change_body(lines, at, |body| body["event"]["attempt"] = 7.into());
        },
        found: &[("WL0701", ACME, Some(4))],
    },
    Tampering {
        act: "a byte of an event that means nothing edited",
        how: |lines, _| {
            let at = event(lines, ACME, 4);
            change(lines, at, |line| line["body"] = format!("{} ", line["body"].as_str().unwrap()).into());
        },
        found: &[("WL0701", ACME, Some(4))],
    },
    Tampering {
        act: "an event's hash edited",
        how: |lines, _| {
            let at = event(lines, BOLT, 3);
            change(lines, at, |line| line["hash"] = "0".repeat(64).into());
        },
        found: &[("WL0701", BOLT, Some(3))],
    },
    Tampering {
        act: "an event made unreadable",
        how: |lines, _| {
            let at = event(lines, BOLT, 2);
            change(lines, at, |line| line["body"] = "{".into());
        },
        found: &[("WL0701", BOLT, Some(2))],
    },
    Tampering {
        act: "an event deleted",
        how: |lines, _| drop(lines.remove(event(lines, ACME, 5))),
        found: &[("WL0702", ACME, Some(5))],
    },
    Tampering {
        act: "an event put in",
        how: |lines, _| {
            let at = event(lines, ACME, 10);
            lines.insert(
                at + 1,
                lines[at].replace("\"seq\":10", "\"seq\":11").replace("\\\"seq\\\":10", "\\\"seq\\\":11"),
            );
        },
        found: &[("WL0701", ACME, Some(11)), ("WL0703", ACME, Some(11))],
    },
    Tampering {
        act: "an event doubled",
        how: |lines, _| {
            let at = event(lines, ACME, 6);
            lines.insert(at, lines[at].clone());
        },
        found: &[("WL0701", ACME, Some(6))],
    },
    Tampering {
        act: "the last event doubled",
        how: |lines, _| {
            let at = event(lines, ACME, 10);
            lines.insert(at, lines[at].clone());
        },
        found: &[("WL0701", ACME, Some(10))],
    },
    Tampering {
        act: "two events reordered",
        how: |lines, _| {
            let at = event(lines, ACME, 4);
            lines.swap(at, at + 1);
        },
        found: &[("WL0702", ACME, Some(4)), ("WL0701", ACME, Some(4))],
    },
    Tampering {
        act: "the last event cut off",
        how: |lines, _| drop(lines.remove(event(lines, ACME, 10))),
        found: &[("WL0703", ACME, Some(10))],
    },
    Tampering {
        act: "the last event cut off, and the stream's line made to fit",
        how: |lines, _| {
            lines.remove(event(lines, ACME, 10));
            let last: Value = serde_json::from_str(&lines[event(lines, ACME, 9)]).unwrap();
            let at = stream(lines, ACME);
            change(lines, at, |line| (line["events"], line["head"]) = (9.into(), last["hash"].clone()));
        },
        found: &[("WL0704", None, None), ("WL0404", None, None)],
    },
    Tampering {
        act: "the second half cut off",
        how: |lines, _| lines.truncate(lines.len() / 2),
        found: &[("WL0703", ACME, Some(10)), ("WL0704", None, None), ("WL0711", None, None)],
    },
    Tampering { act: "the last line cut off", how: |lines, _| drop(lines.pop()), found: &[("WL0711", None, None)] },
    Tampering {
        act: "the last line cut in half",
        how: |lines, _| {
            let last = lines.last_mut().unwrap();
            last.truncate(last.len() / 2);
        },
        found: &[("WL0711", None, None)],
    },
    Tampering {
        act: "the last line doubled",
        how: |lines, _| lines.insert(lines.len() - 1, lines[0].clone()),
        found: &[("WL0711", None, None)],
    },
    Tampering {
        act: "the events of two tenants swapped",
        how: |lines, _| {
            let (acme, bolt) = (event(lines, ACME, 1), event(lines, BOLT, 1));
            for at in 0..10 {
                lines.swap(acme + at, bolt + at);
            }
        },
        found: &[("WL0701", ACME, Some(1)), ("WL0701", BOLT, Some(1))],
    },
    Tampering {
        act: "one event of two tenants swapped",
        how: |lines, _| {
            let (acme, bolt) = (event(lines, ACME, 7), event(lines, BOLT, 7));
            lines.swap(acme, bolt);
        },
        found: &[("WL0701", ACME, Some(7)), ("WL0701", BOLT, Some(7))],
    },
    Tampering {
        act: "the streams of two tenants swapped, as they stand",
        how: |lines, _| {
            let (acme, bolt) = (stream(lines, ACME), stream(lines, BOLT));
            for at in 0..=10 {
                lines.swap(acme + at, bolt + at);
            }
        },
        found: &[("WL0711", None, None), ("WL0704", None, None)],
    },
    Tampering {
        act: "the names of two tenants swapped",
        how: |lines, _| {
            for (at, name) in [(stream(lines, ACME), "bolt"), (stream(lines, BOLT), "acme")] {
                change(lines, at, |line| line["tenant"] = name.into());
            }
        },
        found: &[("WL0701", ACME, Some(1)), ("WL0701", BOLT, Some(1)), ("WL0711", None, None)],
    },
    Tampering {
        act: "a tenant taken out",
        how: |lines, _| drop(lines.drain(stream(lines, BOLT)..=event(lines, BOLT, 10))),
        found: &[("WL0704", None, None), ("WL0705", None, None), ("WL0711", None, None)],
    },
    Tampering {
        act: "a tenant taken out, and the deploy's line made to fit",
        how: |lines, _| {
            lines.drain(stream(lines, BOLT)..=event(lines, BOLT, 10));
            change(lines, 1, |line| line["streams"] = 2.into());
        },
        found: &[("WL0704", None, None), ("WL0705", None, None)],
    },
    Tampering {
        act: "a stream of another deploy put in the place of one",
        how: |lines, second| {
            let (from, to) = (stream(second, ACME), stream(lines, ACME));
            let other = second[from..].iter().take_while(|line| !line.contains("\"tenant\":\"bolt\"")).cloned();
            lines.splice(to..=to + 10, other);
        },
        found: &[("WL0701", ACME, Some(1)), ("WL0704", None, None)],
    },
    Tampering {
        act: "a count of events edited",
        how: |lines, _| {
            let at = stream(lines, ACME);
            change(lines, at, |line| line["events"] = 11.into());
        },
        found: &[("WL0703", ACME, Some(11))],
    },
    Tampering {
        act: "a head edited",
        how: |lines, _| {
            let at = stream(lines, ACME);
            change(lines, at, |line| line["head"] = "0".repeat(64).into());
        },
        found: &[("WL0701", ACME, Some(10)), ("WL0704", None, None)],
    },
    Tampering {
        act: "the count of streams edited",
        how: |lines, _| change(lines, 1, |line| line["streams"] = 4.into()),
        found: &[("WL0711", None, None)],
    },
    Tampering {
        act: "the count of files edited",
        how: |lines, _| change(lines, 1, |line| line["files"] = 2.into()),
        found: &[("WL0711", None, None)],
    },
    Tampering {
        act: "the count of deploys edited",
        how: |lines, _| change(lines, 0, |line| line["deploys"] = 2.into()),
        found: &[("WL0711", None, None)],
    },
    Tampering {
        act: "the deploy given another id",
        how: |lines, second| lines[1].clone_from(&second[1]),
        found: &[("WL0701", None, Some(1)), ("WL0701", ACME, Some(1)), ("WL0704", None, None), ("WL0710", None, None)],
    },
    Tampering {
        act: "a file edited",
        how: |lines, _| {
            let at = lines.iter().position(|line| line.contains("CREATE TABLE orders")).unwrap();
            lines[at] = lines[at].replace("CREATE TABLE orders", "CREATE TABLE orderz");
        },
        found: &[("WL0706", None, None)],
    },
    Tampering {
        act: "a file edited, and its digest with it",
        how: |lines, _| {
            change(lines, 2, |line| {
                let text = format!("{} ", line["text"].as_str().unwrap());
                line["digest"] = Digest::of(text.as_bytes()).to_string().into();
                line["text"] = text.into();
            });
        },
        found: &[("WL0507", None, None), ("WL0711", None, None)],
    },
    Tampering {
        act: "a file taken out, and the deploy's line made to fit",
        how: |lines, _| {
            lines.remove(3);
            change(lines, 1, |line| line["files"] = 2.into());
        },
        found: &[("WL0507", None, None)],
    },
    Tampering {
        act: "a file doubled, and the deploy's line made to fit",
        how: |lines, _| {
            lines.insert(3, lines[3].clone());
            change(lines, 1, |line| line["files"] = 4.into());
        },
        found: &[("WL0711", None, None)],
    },
    Tampering {
        act: "how a tenant is reached edited",
        how: |lines, _| {
            let at = stream(lines, BOLT);
            lines[at] = lines[at].replace("bolt.db", "crow.db");
        },
        found: &[("WL0705", None, None)],
    },
    Tampering {
        act: "how two tenants are reached exchanged",
        how: |lines, _| {
            let (acme, bolt) = (stream(lines, ACME), stream(lines, BOLT));
            let one: Value = serde_json::from_str(&lines[acme]).unwrap();
            let two: Value = serde_json::from_str(&lines[bolt]).unwrap();
            change(lines, acme, |line| (line["spec"], line["ordinal"]) = (two["spec"].clone(), two["ordinal"].clone()));
            change(lines, bolt, |line| (line["spec"], line["ordinal"]) = (one["spec"].clone(), one["ordinal"].clone()));
        },
        found: &[("WL0705", ACME, None), ("WL0705", BOLT, None)],
    },
    Tampering {
        act: "the root in the seal's line edited",
        how: |lines, second| {
            let other: Value = serde_json::from_str(second.last().unwrap()).unwrap();
            let at = lines.len() - 1;
            change(lines, at, |line| line["root"] = other["root"].clone());
        },
        found: &[("WL0704", None, None)],
    },
    Tampering {
        act: "the seal of another deploy replayed",
        how: |lines, second| {
            let other: Value = serde_json::from_str(second.last().unwrap()).unwrap();
            let (seal, last) = (event(lines, None, 5), lines.len() - 1);
            change_body(lines, seal, |body| body["event"]["root"] = other["root"].clone());
            lines[last].clone_from(second.last().unwrap());
        },
        found: &[("WL0701", None, Some(5)), ("WL0704", None, None), ("WL0710", None, None)],
    },
    Tampering {
        act: "the signature taken off",
        how: |lines, _| {
            let at = lines.len() - 1;
            change(lines, at, |line| drop(line.as_object_mut().unwrap().remove("signature")));
        },
        found: &[("WL0709", None, None)],
    },
    Tampering {
        act: "the signature of another deploy replayed",
        how: |lines, second| {
            let other: Value = serde_json::from_str(second.last().unwrap()).unwrap();
            let at = lines.len() - 1;
            change(lines, at, |line| line["signature"] = other["signature"].clone());
        },
        found: &[("WL0710", None, None), ("WL0709", None, None)],
    },
    Tampering {
        act: "the export said to be of another log",
        how: |lines, _| change(lines, 0, |line| line["log"] = "01890a5d-ac96-774b-bcce-b302099a8057".into()),
        found: &[("WL0710", None, None), ("WL0709", None, None)],
    },
    Tampering {
        act: "a line that there is not",
        how: |lines, _| lines.insert(3, r#"{"line":"note","text":"all is well"}"#.to_owned()),
        found: &[("WL0711", None, None)],
    },
    Tampering {
        act: "more in a line than belongs there",
        how: |lines, _| change(lines, 2, |line| line["note"] = "all is well".into()),
        found: &[("WL0711", None, None), ("WL0507", None, None)],
    },
];

#[tokio::test]
async fn every_act_of_tampering_with_an_export_is_found() {
    let exports = exports().await;
    let mut report = String::new();
    for Tampering { act, how, found } in TABLE {
        let mut changed = exports.files[0].clone();
        how(&mut changed, &exports.files[1]);
        assert_ne!(changed, exports.files[0], "{act}");
        let ran = exports.verify_signed(&changed);
        if ran.code != Some(1) {
            let _ = writeln!(report, "{act}: ended with {:?}: {}{}", ran.code, ran.stdout, ran.stderr);
            continue;
        }
        let findings: Vec<_> = findings(&ran).into_iter().map(|(code, _, tenant, seq)| (code, tenant, seq)).collect();
        for (code, tenant, seq) in *found {
            let wanted = ((*code).to_owned(), tenant.map(str::to_owned), *seq);
            if !findings.contains(&wanted) {
                let _ = writeln!(report, "{act}: {wanted:?} is not among {findings:#?}");
            }
        }
        if let Err(error) = documented(act, found.iter().map(|(code, ..)| *code)) {
            let _ = writeln!(report, "{error}");
        }
    }
    assert!(report.is_empty(), "{report}");
}
