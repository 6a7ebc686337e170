//! Filling a template with what a payload holds.

use serde_json::Value;

use crate::config::serve::{FieldPath, Piece, Template};

/// What stands in the payload at this path.
pub(super) fn look<'a, 'p>(payload: &'a Value, mut path: impl Iterator<Item = &'p str>) -> Option<&'a Value> {
    path.try_fold(payload, |value, name| match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(values) => place(name).and_then(|at| values.get(at)),
        _ => None,
    })
}

/// A place in an array, written as numbers are: not `01`, not `+1`.
fn place(name: &str) -> Option<usize> {
    let plain = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    name.parse().ok().filter(|_| plain)
}

/// The text that a template makes of a payload, in the form that its purpose demands.
///
/// # Errors
/// The path that could not be filled in, or the rule that the whole does not keep; never what the payload holds.
pub(super) fn fill(template: &Template, payload: &Value) -> Result<String, String> {
    let mut filled = String::new();
    for piece in template.pieces() {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Field { path, after } => filled.push_str(&field(payload, path, after.as_deref())?),
        }
    }
    template
        .purpose()
        .check(&filled)
        .map_err(|error| format!("what {} makes is not usable: {error}", template.as_str()))?;
    Ok(filled)
}

fn field(payload: &Value, path: &FieldPath, after: Option<&str>) -> Result<String, String> {
    let text = match look(payload, path.names()) {
        None => return Err(format!("the payload has no {path}")),
        Some(Value::Null) => return Err(format!("{path} is null")),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => number.to_string(),
        Some(_) => return Err(format!("{path} is neither a text nor a whole number nor true or false")),
    };
    let text = match after {
        None => text,
        Some(prefix) => match text.strip_prefix(prefix) {
            Some(rest) => rest.to_owned(),
            None => return Err(format!("{path} does not begin with {prefix}")),
        },
    };
    if text.is_empty() { Err(format!("{path} is empty")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::base::Revision;
    use crate::config::serve::Purpose;

    fn revision(template: &str, payload: &Value) -> Result<String, String> {
        fill(&Template::new(template, Purpose::Revision).unwrap(), payload)
    }

    #[test]
    fn texts_numbers_and_flags_are_filled_in() {
        let payload = json!({
            "deployment": { "sha": "6dcb09b", "id": 42, "big": u64::MAX, "less": -7, "live": true },
            "commits": [{ "id": "a1" }, { "id": "b2" }],
            "ref": "refs/tags/v1.2",
            "0": "zero",
        });
        let table = [
            ("{deployment.sha}", "6dcb09b"),
            ("v{deployment.id}/{commits.1.id}", "v42/b2"),
            ("{deployment.big}{deployment.less}", "18446744073709551615-7"),
            ("{deployment.live}", "true"),
            ("{ref|after:refs/tags/}", "v1.2"),
            ("{ref|after:refs/}", "tags/v1.2"),
            ("{0}", "zero"),
            ("main", "main"),
        ];
        for (template, expected) in table {
            assert_eq!(revision(template, &payload).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn what_cannot_be_filled_in_is_named_by_its_path_and_never_shown() {
        let payload = json!({
            "a": { "text": "hunter2 ", "null": null, "list": ["hunter2"], "half": 0.5, "huge": 1e300, "empty": "", "long": "x".repeat(201) },
            "ref": "refs/heads/hunter2-refs/tags/v1",
            "up": "../../hunter2",
        });
        let table = [
            ("{a.missing}", "the payload has no a.missing"),
            ("{a.text.deeper}", "the payload has no a.text.deeper"),
            ("{a.list.1}", "the payload has no a.list.1"),
            ("{a.list.00}", "the payload has no a.list.00"),
            ("{a.list.first}", "the payload has no a.list.first"),
            ("{a.null}", "a.null is null"),
            ("{a}", "a is neither a text"),
            ("{a.list}", "a.list is neither a text"),
            ("{a.half}", "a.half is neither a text"),
            ("{a.huge}", "a.huge is neither a text"),
            ("v{a.empty}", "a.empty is empty"),
            ("{ref|after:refs/tags/}", "ref does not begin with refs/tags/"),
            ("{a.text}", "what {a.text} makes is not usable: a revision is"),
            ("{up}", "what {up} makes is not usable"),
            ("{a.long}", "what {a.long} makes is not usable"),
        ];
        for (template, expected) in table {
            let error = revision(template, &payload).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{template}\n{error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_payload_holds_only_revisions_come_out(value in "\\PC{0,30}", prefix in "[a-z./-]{0,3}") {
            let payload = json!({ "a": value, "b": [value] });
            if let Ok(template) = Template::new(&format!("{prefix}{{a}}{{b.0}}"), Purpose::Revision)
                && let Ok(filled) = fill(&template, &payload)
            {
                prop_assert_eq!(&filled, &format!("{prefix}{value}{value}"));
                prop_assert!(Revision::new(filled).is_ok());
            }
        }
    }
}
