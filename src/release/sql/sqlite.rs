//! What `SQLite` does with a statement. The lists of what cannot run, or is silently without effect, inside a transaction were
//! measured on version 3.40.

use super::Class;
use super::class::{Control, Kind};
use super::classify::main_verb;
use super::sentence::Sentence;

/// Pragmas that answer with an error inside a transaction.
const REFUSED: [&str; 2] = ["wal_checkpoint", "synchronous"];

/// Pragmas that, set inside a transaction, answer with success and do nothing.
const WITHOUT_EFFECT: [&str; 5] = ["foreign_keys", "journal_mode", "auto_vacuum", "page_size", "encoding"];

/// Pragmas that are kept in the database file, or for this transaction only.
const NOT_OF_THE_SESSION: [&str; 4] = ["user_version", "application_id", "defer_foreign_keys", "schema_version"];

pub(super) fn classify(s: Sentence<'_>) -> Class {
    let Some(verb) = s.word(0) else { return unknown("It begins with no word") };
    match verb.as_str() {
        "BEGIN" => control(Control::Begin),
        "COMMIT" | "END" => control(Control::Commit),
        "ROLLBACK" => control(Control::Rollback),
        "SAVEPOINT" => control(Control::Savepoint),
        "RELEASE" => control(Control::Release),
        "CREATE" if s.is_any(1, &["TEMP", "TEMPORARY"]) => Class::plain(Kind::Ddl).changes_session(),
        "CREATE" => Class::plain(Kind::Ddl),
        "ALTER" => alter(s),
        "DROP" if s.is(1, "TABLE") => {
            Class::plain(Kind::Ddl).destroys(format!("table {} and its rows", s.name(s.skip_if_exists(2))))
        }
        "DROP" if s.is_any(1, &["INDEX", "VIEW", "TRIGGER"]) => Class::plain(Kind::Ddl),
        "INSERT" | "UPDATE" | "DELETE" | "REPLACE" => change(s, 0),
        "WITH" => match main_verb(s) {
            Some(at) if s.is_any(at, &["SELECT", "VALUES"]) => Class::plain(Kind::Query),
            Some(at) => change(s, at),
            None => unknown("The statement behind its WITH cannot be found"),
        },
        // Unlike elsewhere, an explained statement never runs.
        "SELECT" | "VALUES" | "EXPLAIN" => Class::plain(Kind::Query),
        "PRAGMA" => pragma(s),
        "ATTACH" | "DETACH" => Class::plain(Kind::Session).changes_session(),
        "VACUUM" => Class::plain(Kind::Maintenance).not_transactional("SQLite refuses it inside a transaction"),
        "ANALYZE" | "REINDEX" => Class::plain(Kind::Maintenance),
        _ => unknown("It begins with a word that Windlass does not know"),
    }
}

fn unknown(why: &str) -> Class {
    Class::plain(Kind::Unknown).unclear(why).changes_session()
}

fn control(control: Control) -> Class {
    Class::plain(Kind::Session).control(control)
}

/// `ALTER TABLE name ADD | DROP | RENAME …`, one action each.
fn alter(s: Sentence<'_>) -> Class {
    let ddl = Class::plain(Kind::Ddl);
    let action = s.skip_name(2);
    if s.is_any(action, &["ADD", "RENAME"]) {
        return ddl;
    }
    if !s.is(action, "DROP") {
        return ddl.unclear("It has an action that Windlass does not know");
    }
    let column = s.skip(action + 1, &["COLUMN"]);
    ddl.destroys(format!("column {} of {}", s.name(column), s.name(2)))
}

/// `INSERT`, `UPDATE`, `DELETE` or `REPLACE`, its verb at `at`.
fn change(s: Sentence<'_>, at: usize) -> Class {
    let dml = Class::plain(Kind::Dml);
    let or = if s.is(at + 1, "OR") { at + 3 } else { at + 1 };
    let table = s.name(s.skip_any(or, &["INTO", "FROM"]));
    match s.word(at).unwrap_or_default().as_str() {
        "UPDATE" => dml.destroys(format!("the values of {table} from before the update")),
        "DELETE" => dml.destroys(format!("rows of {table}")),
        "REPLACE" => dml.destroys(format!("the rows of {table} that are replaced")),
        "INSERT" if s.reads(at + 1, &["OR", "REPLACE"]) => {
            dml.destroys(format!("the rows of {table} that are replaced"))
        }
        "INSERT" if s.has(&["DO", "UPDATE"]) => dml.destroys(format!("the values of {table} from before the upsert")),
        _ => dml,
    }
}

/// `PRAGMA [schema.]name [= value | (value)]`.
fn pragma(s: Sentence<'_>) -> Class {
    let name = s.name(1).trim_matches(['"', '`', '[', ']', '\'']).to_ascii_lowercase();
    let behind = s.skip_name(1);
    let given = s.symbol(behind, b'=') || s.symbol(behind, b'(');
    let session = Class::plain(Kind::Session);
    if name == "wal_checkpoint" || (given && REFUSED.contains(&name.as_str())) {
        return session.not_transactional(format!("SQLite refuses PRAGMA {name} inside a transaction"));
    }
    if given && WITHOUT_EFFECT.contains(&name.as_str()) {
        return session
            .changes_session()
            .not_transactional(format!("inside a transaction, PRAGMA {name} is silently without effect"));
    }
    if NOT_OF_THE_SESSION.contains(&name.as_str()) && given {
        return session;
    }
    if asks(&name) || !given { Class::plain(Kind::Query) } else { session.changes_session() }
}

/// Pragmas whose argument is what they ask about.
fn asks(name: &str) -> bool {
    name.ends_with("_check") || name.ends_with("_info") || name.ends_with("_xinfo") || name.ends_with("_list")
}
