//! What a unit must not touch, because a rollback would not take it back; and what must not be read, because the server's mode reads
//! it otherwise than we did.

use crate::base::{Code, TenantId};
use crate::saga::failure::{ErrorClass, Failure};
use crate::tenant::error::{Outcome, SessionError};

/// A table whose rows survive a rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptTable {
    pub(super) name: String,
    pub(super) engine: String,
}

/// Refuses a unit that names such a table in a statement that may write. What a view or a trigger leads to is not seen here; a rollback
/// tells of it (warning 1196).
pub(super) fn refuse_kept_tables(
    tenant: &TenantId,
    statements: &[String],
    tables: &[KeptTable],
) -> Result<(), SessionError> {
    for (at, statement) in statements.iter().enumerate() {
        let mut words = words(statement).peekable();
        if words.peek().is_some_and(|first| ["select", "do", "set"].contains(&first.as_str())) {
            continue;
        }
        let Some(table) = words.find_map(|word| tables.iter().find(|table| table.name.to_lowercase() == word)) else {
            continue;
        };
        let message = format!(
            "the table {} is kept by {}, whose rows survive a rollback: what this statement does to it could not be undone, or \
             would be done twice after a crash; nothing was done. ALTER TABLE {} ENGINE = InnoDB first",
            table.name, table.engine, table.name
        );
        return Err(refused(tenant, Code::NotTransactional, message, at));
    }
    Ok(())
}

/// Refuses a unit whose text was split by other rules than the server reads it by. Only a backslash in it can make a difference.
pub(super) fn refuse_misread(tenant: &TenantId, statements: &[String], sql_mode: &str) -> Result<(), SessionError> {
    let mode = |name: &str| sql_mode.split(',').any(|mode| mode == name);
    let plain_backslash = mode("NO_BACKSLASH_ESCAPES");
    let misread =
        |text: &String| text.contains('\\') && (plain_backslash || (mode("ANSI_QUOTES") && text.contains('"')));
    let Some(at) = statements.iter().position(misread) else { return Ok(()) };
    let which = if plain_backslash { "NO_BACKSLASH_ESCAPES" } else { "ANSI_QUOTES" };
    let message = format!(
        "the statement holds a backslash, which this server's sql_mode ({which}) reads otherwise than it was split by; nothing was \
         done. Write it without one, or change the server's sql_mode"
    );
    Err(refused(tenant, Code::UnsplittableSql, message, at))
}

/// Refuses a unit with a statement that the server would close the connection over.
pub(super) fn refuse_too_long(
    tenant: &TenantId,
    statements: &[String],
    packet_bytes_max: usize,
) -> Result<(), SessionError> {
    // A byte before it says that it is a statement; a packet that is just as long as the limit is refused.
    let too_long = |text: &String| text.len() + 1 >= packet_bytes_max;
    let Some(at) = statements.iter().position(too_long) else { return Ok(()) };
    let bytes = statements.get(at).map_or(0, String::len);
    let message = format!(
        "the statement has {bytes} bytes, and the server's max_allowed_packet is {packet_bytes_max}; nothing was done. Split it, or \
         raise the limit"
    );
    Err(refused(tenant, Code::TooLarge, message, at))
}

fn refused(tenant: &TenantId, code: Code, message: String, at: usize) -> SessionError {
    let mut failure = Failure::new(ErrorClass::Permanent, code, message);
    failure.statement = u32::try_from(at + 1).ok();
    SessionError { tenant: tenant.clone(), failure, outcome: Outcome::NoEffect }
}

/// The words of a statement in lower case, as far as they could be names. Too many rather than too few: keywords and double-quoted texts
/// count, and a quoted name with other characters is one word.
fn words(statement: &str) -> impl Iterator<Item = String> {
    let text = without_texts(statement);
    let quoted: Vec<String> = text.split('`').skip(1).step_by(2).map(str::to_lowercase).collect();
    let legal = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
    let bare = text.split(|c: char| !legal(c)).filter(|word| !word.is_empty()).map(str::to_lowercase);
    bare.chain(quoted).collect::<Vec<_>>().into_iter()
}

/// A statement without what stands in single quotes, where values stand and names cannot.
fn without_texts(statement: &str) -> String {
    let mut rest = statement.chars();
    let mut kept = String::with_capacity(statement.len());
    let mut name = false;
    while let Some(c) = rest.next() {
        name ^= c == '`';
        if c != '\'' || name {
            kept.push(c);
            continue;
        }
        kept.push(' ');
        // A doubled quote ends one text and begins the next, which comes to the same.
        while let Some(inner) = rest.next() {
            match inner {
                '\\' => drop(rest.next()),
                '\'' => break,
                _ => {}
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> TenantId {
        TenantId::new("acme").unwrap()
    }

    #[test]
    fn a_statement_that_may_write_to_a_kept_table_is_refused() {
        let tables = [
            KeptTable { name: "Old".to_owned(), engine: "MyISAM".to_owned() },
            KeptTable { name: "odd name".to_owned(), engine: "Aria".to_owned() },
        ];
        let judge = |text: &str| refuse_kept_tables(&tenant(), &["SELECT 1".to_owned(), text.to_owned()], &tables);
        for bad in [
            "INSERT INTO old VALUES (1)",
            "update x.`OLD` set a = 1",
            "DELETE FROM `odd name`",
            "CALL p(old)",
            "INSERT INTO `it's` SELECT 'x', a FROM old",
        ] {
            let error = judge(bad).unwrap_err();
            assert_eq!((error.failure.code, error.failure.statement), (Code::NotTransactional, Some(2)), "{bad}");
        }
        for good in [
            "SELECT * FROM old",
            "INSERT INTO older VALUES (1)",
            "UPDATE t SET old_name = 1",
            r"INSERT INTO t VALUES ('the old', 'it''s old', 'it\'s old', '')",
        ] {
            assert!(judge(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_backslash_is_refused_where_the_server_reads_it_otherwise() {
        let judge = |text: &str, mode: &str| refuse_misread(&tenant(), &[text.to_owned()], mode);
        assert!(judge(r"SELECT 'a\'b'", "STRICT_TRANS_TABLES").is_ok());
        assert!(judge(r"SELECT 'a\'b'", "STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES").is_err());
        assert!(judge("SELECT 'a'", "NO_BACKSLASH_ESCAPES").is_ok());
        assert!(judge(r#"SELECT "a\"b""#, "ANSI_QUOTES,IGNORE_SPACE").is_err());
        assert!(judge(r"SELECT 'a\'b'", "ANSI_QUOTES").is_ok());
    }
}
