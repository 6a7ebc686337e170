//! What `PostgreSQL` does with a statement. The list of what cannot run in a transaction block was measured on version 15, where
//! each answers with SQLSTATE 25001.

use super::class::{Control, Kind};
use super::classify::main_verb;
use super::lexer;
use super::sentence::{Sentence, tokens};
use super::{Class, Dialect};

const REFUSED: &str = "PostgreSQL refuses it inside a transaction block (25001)";

pub(super) fn classify(s: Sentence<'_>) -> Class {
    let class = by_verb(s);
    let temporary = (0..s.len()).any(|at| s.is(at, "PG_TEMP"));
    if temporary || leaves_something(s, class.kind) { class.changes_session() } else { class }
}

fn by_verb(s: Sentence<'_>) -> Class {
    let Some(verb) = s.word(0) else {
        // A parenthesised query: `(SELECT …) UNION …`.
        return if s.symbol(0, b'(') { query(s.from(1)) } else { unknown("It begins with no word") };
    };
    match verb.as_str() {
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" | "PREPARE" => control(s),
        "CREATE" => create(s),
        "ALTER" => alter(s),
        "DROP" => drop(s),
        "TRUNCATE" => Class::plain(Kind::Ddl).destroys("all rows of the truncated tables"),
        "REASSIGN" => Class::plain(Kind::Ddl).destroys("the knowledge of who owned what"),
        "COMMENT" | "GRANT" | "REVOKE" | "SECURITY" | "IMPORT" | "REFRESH" => Class::plain(Kind::Ddl),
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" => change(s, 0),
        "WITH" => with(s),
        "COPY" => copy(s),
        "SELECT" | "VALUES" | "TABLE" => query(s),
        "SHOW" => Class::plain(Kind::Query),
        "EXPLAIN" => explain(s),
        "SET" => set(s),
        "LOCK" | "NOTIFY" | "FETCH" | "MOVE" | "CLOSE" => Class::plain(Kind::Session),
        "DISCARD" if s.is(1, "ALL") => Class::plain(Kind::Session).changes_session().not_transactional(REFUSED),
        "DECLARE" if !s.has(&["WITH", "HOLD"]) => Class::plain(Kind::Session),
        "RESET" | "DISCARD" | "LISTEN" | "UNLISTEN" | "LOAD" | "DEALLOCATE" | "DECLARE" => {
            Class::plain(Kind::Session).changes_session()
        }
        "VACUUM" => Class::plain(Kind::Maintenance).not_transactional(REFUSED),
        "CLUSTER" if clusters_all(s) => Class::plain(Kind::Maintenance).not_transactional(REFUSED),
        "ANALYZE" | "ANALYSE" | "CLUSTER" | "CHECKPOINT" => Class::plain(Kind::Maintenance),
        "REINDEX" => reindex(s),
        "DO" => block(s),
        "CALL" => unknown("What a procedure does cannot be told from its call"),
        "EXECUTE" => unknown("What a prepared statement does cannot be told from its name"),
        _ => unknown("It begins with a word that Windlass does not know"),
    }
}

fn unknown(why: &str) -> Class {
    Class::plain(Kind::Unknown).unclear(why).changes_session()
}

fn control(s: Sentence<'_>) -> Class {
    let control = match s.word(0).unwrap_or_default().as_str() {
        "BEGIN" | "START" => Control::Begin,
        "SAVEPOINT" => Control::Savepoint,
        "RELEASE" => Control::Release,
        "ROLLBACK" | "ABORT" => Control::Rollback,
        "PREPARE" if s.is(1, "TRANSACTION") => Control::Prepare,
        "PREPARE" => return Class::plain(Kind::Session).changes_session(),
        _ => Control::Commit,
    };
    Class::plain(Kind::Session).control(control)
}

fn create(s: Sentence<'_>) -> Class {
    let ddl = Class::plain(Kind::Ddl);
    let index = s.skip(1, &["UNIQUE"]);
    let temporary = s.skip_any(s.skip(1, &["OR", "REPLACE"]), &["LOCAL", "GLOBAL"]);
    if s.reads(index, &["INDEX", "CONCURRENTLY"]) || s.is_any(1, &["DATABASE", "TABLESPACE"]) {
        ddl.not_transactional(REFUSED)
    } else if s.is(1, "SUBSCRIPTION") {
        if makes_slot(s) {
            ddl.not_transactional(format!("{REFUSED}, because it makes a replication slot"))
        } else {
            ddl
        }
    } else if s.is_any(temporary, &["TEMP", "TEMPORARY"]) {
        ddl.changes_session()
    } else {
        ddl
    }
}

/// A subscription makes its slot unless `create_slot` or `connect` is off.
pub(in crate::release) fn makes_slot(s: Sentence<'_>) -> bool {
    !(0..s.len()).any(|at| s.is_any(at, &["CREATE_SLOT", "CONNECT"]) && option_is_off(s, at))
}

/// Whether the option named at `at` is given as false, with or without an equals sign.
fn option_is_off(s: Sentence<'_>, at: usize) -> bool {
    let value = if s.symbol(at + 1, b'=') { at + 2 } else { at + 1 };
    let value = s.written(value).trim_matches(['\'', '"']).to_ascii_lowercase();
    matches!(value.as_str(), "false" | "off" | "0" | "no" | "f" | "n")
}

fn alter(s: Sentence<'_>) -> Class {
    let ddl = Class::plain(Kind::Ddl);
    match s.word(1).unwrap_or_default().as_str() {
        "SYSTEM" => ddl.not_transactional(REFUSED),
        "DATABASE" if s.has(&["SET", "TABLESPACE"]) => ddl.not_transactional(REFUSED),
        "TABLE" => alter_table(s, 2),
        "FOREIGN" if s.is(2, "TABLE") => alter_table(s, 3),
        "TYPE" => alter_type(s),
        "SEQUENCE" if s.has(&["RESTART"]) => ddl.destroys("the position of a sequence"),
        // Passwords cannot be read back.
        "ROLE" | "USER" | "GROUP" if s.has(&["PASSWORD"]) => ddl.destroys("a password"),
        _ => ddl,
    }
}

fn alter_type(s: Sentence<'_>) -> Class {
    let ddl = Class::plain(Kind::Ddl);
    let actions = s.from(s.skip_name(2));
    let lossy = actions.parts().iter().find_map(|action| {
        let dropped = action.starts(&["DROP", "ATTRIBUTE"]);
        let altered = action.starts(&["ALTER", "ATTRIBUTE"]);
        (dropped || altered).then(|| action.name(action.skip_if_exists(2)).to_owned())
    });
    match lossy {
        Some(attribute) => ddl.destroys(format!("what attribute {attribute} held")),
        None => ddl,
    }
}

/// `ALTER TABLE [IF EXISTS] [ONLY] name [*] action, …`.
fn alter_table(s: Sentence<'_>, at: usize) -> Class {
    let ddl = Class::plain(Kind::Ddl);
    if s.reads(at, &["ALL", "IN", "TABLESPACE"]) {
        return ddl;
    }
    let name = s.skip(s.skip_if_exists(at), &["ONLY"]);
    let behind = s.skip_name(name);
    let actions = s.from(if s.symbol(behind, b'*') { behind + 1 } else { behind });
    let class = actions.parts().into_iter().map(|action| table_action(action, s.name(name))).reduce(worse);
    let class = class.unwrap_or(ddl);
    let detaches = actions.starts(&["DETACH", "PARTITION"]);
    if detaches && actions.has(&["CONCURRENTLY"]) { class.not_transactional(REFUSED) } else { class }
}

/// Of two classes of the same statement, the one that loses more; a known loss tells more than an unknown one.
fn worse(left: Class, right: Class) -> Class {
    use super::Loss;
    match (&left.loss, &right.loss) {
        (Loss::Destroys { .. }, _) | (_, Loss::None) => left,
        _ => right,
    }
}

fn table_action(s: Sentence<'_>, table: &str) -> Class {
    let ddl = Class::plain(Kind::Ddl);
    match s.word(0).unwrap_or_default().as_str() {
        "DROP" if s.is(1, "CONSTRAINT") && s.has(&["CASCADE"]) => {
            ddl.destroys(format!("whatever depends on a constraint of {table}"))
        }
        "DROP" | "ALTER" if s.is(1, "CONSTRAINT") => ddl,
        "DROP" => {
            let column = s.skip_if_exists(s.skip(1, &["COLUMN"]));
            ddl.destroys(format!("column {} of {table}", s.name(column)))
        }
        "ALTER" => {
            let column = s.skip(1, &["COLUMN"]);
            let action = s.from(column + 1);
            if action.starts(&["TYPE"]) || action.starts(&["SET", "DATA", "TYPE"]) {
                ddl.destroys(format!("the values of {table}.{} as they were before their conversion", s.name(column)))
            } else if action.starts(&["DROP", "IDENTITY"]) || action.has(&["RESTART"]) {
                ddl.destroys(format!("the position of the sequence behind {table}.{}", s.name(column)))
            } else {
                ddl
            }
        }
        "ADD" | "RENAME" | "SET" | "RESET" | "ENABLE" | "DISABLE" | "ATTACH" | "DETACH" | "OWNER" | "VALIDATE"
        | "INHERIT" | "NO" | "REPLICA" | "CLUSTER" | "FORCE" | "OF" | "NOT" | "OPTIONS" => ddl,
        _ => ddl.unclear("It has an action that Windlass does not know"),
    }
}

fn drop(s: Sentence<'_>) -> Class {
    let ddl = Class::plain(Kind::Ddl);
    let what = s.word(1).unwrap_or_default();
    let class = match what.as_str() {
        "INDEX" if s.is(2, "CONCURRENTLY") => ddl.not_transactional(REFUSED),
        "DATABASE" | "TABLESPACE" => {
            ddl.not_transactional(REFUSED).destroys(format!("a {}", what.to_ascii_lowercase()))
        }
        "TABLE" => ddl.destroys(format!("table {} and its rows", s.name(s.skip_if_exists(2)))),
        "FOREIGN" if s.is(2, "TABLE") => ddl,
        "SEQUENCE" => ddl.destroys("the position of a sequence"),
        "EXTENSION" => ddl.destroys("what the extension kept"),
        "OWNED" => ddl.destroys("everything that the role owned"),
        "ROLE" | "USER" | "GROUP" => ddl.destroys("a role with its password and memberships"),
        "SUBSCRIPTION" | "SERVER" => ddl.destroys("a connection with its secrets"),
        _ => ddl,
    };
    let cascades = s.has(&["CASCADE"]) && matches!(class.loss, super::Loss::None);
    if cascades { class.destroys("whatever depended on what was dropped") } else { class }
}

/// `INSERT`, `UPDATE`, `DELETE` or `MERGE`, its verb at `at`.
fn change(s: Sentence<'_>, at: usize) -> Class {
    let dml = Class::plain(Kind::Dml);
    let table = |words: &[&str]| s.name(s.skip(s.skip(at + 1, words), &["ONLY"])).to_owned();
    match s.word(at).unwrap_or_default().as_str() {
        "UPDATE" => dml.destroys(format!("the values of {} from before the update", table(&[]))),
        "DELETE" => dml.destroys(format!("rows of {}", table(&["FROM"]))),
        "MERGE" if s.has(&["THEN", "UPDATE"]) || s.has(&["THEN", "DELETE"]) => {
            dml.destroys(format!("rows of {} from before the merge", table(&["INTO"])))
        }
        "INSERT" if s.has(&["DO", "UPDATE"]) => {
            dml.destroys(format!("the values of {} from before the upsert", table(&["INTO"])))
        }
        _ => dml,
    }
}

/// `WITH …`: its main statement, or a data-modifying expression inside, whichever loses more.
fn with(s: Sentence<'_>) -> Class {
    let Some(verb) = main_verb(s) else { return unknown("The statement behind its WITH cannot be found") };
    let main =
        if s.is_any(verb, &["INSERT", "UPDATE", "DELETE", "MERGE"]) { change(s, verb) } else { query(s.from(verb)) };
    let inside = (0..s.len()).filter(|at| {
        let opens = s.symbol(*at, b'(') && *at > 0 && s.is_any(at - 1, &["AS", "MATERIALIZED"]);
        opens && s.is_any(at + 1, &["INSERT", "UPDATE", "DELETE", "MERGE"])
    });
    inside.fold(main, |class, open| {
        let inner = change(s.from(open + 1), 0);
        let worst = worse(class, inner);
        Class { kind: Kind::Dml, ..worst }
    })
}

fn copy(s: Sentence<'_>) -> Class {
    if s.has(&["PROGRAM"]) {
        return unknown("What a program on the server does cannot be told");
    }
    Class::plain(if s.has(&["FROM"]) { Kind::Dml } else { Kind::Query })
}

fn explain(s: Sentence<'_>) -> Class {
    let options = if s.symbol(1, b'(') { s.behind_parentheses(1) } else { 1 };
    let runs = (1..options).any(|at| s.is_any(at, &["ANALYZE", "ANALYSE"]) && !option_is_off(s, at));
    let plain = s.skip_any(options, &["ANALYZE", "ANALYSE"]);
    if runs || plain > options {
        return classify(s.from(s.skip(plain, &["VERBOSE"])));
    }
    Class::plain(Kind::Query)
}

fn set(s: Sentence<'_>) -> Class {
    let session = Class::plain(Kind::Session);
    if s.is(1, "TRANSACTION") {
        return session.control(Control::SetTransaction);
    }
    if s.is_any(1, &["LOCAL", "CONSTRAINTS"]) { session } else { session.changes_session() }
}

/// `CLUSTER`, `CLUSTER VERBOSE`, `CLUSTER (…)`: every table that was ever clustered.
fn clusters_all(s: Sentence<'_>) -> bool {
    let options = if s.symbol(1, b'(') { s.behind_parentheses(1) } else { s.skip(1, &["VERBOSE"]) };
    options == s.len()
}

fn reindex(s: Sentence<'_>) -> Class {
    let options = if s.symbol(1, b'(') { s.behind_parentheses(1) } else { 1 };
    let asked = (1..options).any(|at| s.is(at, "CONCURRENTLY") && !option_is_off(s, at));
    let many = s.is_any(options, &["DATABASE", "SYSTEM", "SCHEMA"]);
    let maintenance = Class::plain(Kind::Maintenance);
    if asked || many || s.is(options + 1, "CONCURRENTLY") {
        maintenance.not_transactional(REFUSED)
    } else {
        maintenance
    }
}

/// `DO`: able to do anything. A `COMMIT` or `ROLLBACK` that begins a statement of its body is transaction control; the server
/// refuses it inside a transaction (2D000).
fn block(s: Sentence<'_>) -> Class {
    let class = unknown("What a DO block does cannot be told");
    let ends_transaction = (1..s.len()).any(|at| match s.kind(at) {
        Some(lexer::Kind::Dollar) => {
            let delimiter = s.written(at)[1..].find('$').map_or(0, |end| end + 2);
            let body = s.written(at);
            commits(&body[delimiter..body.len() - delimiter])
        }
        Some(lexer::Kind::Text) => commits(s.written(at).trim_matches('\'')),
        _ => false,
    });
    if ends_transaction { class.control(Control::InsideBlock) } else { class }
}

fn commits(body: &str) -> bool {
    // A body that PostgreSQL's own lexer cannot read is another language's.
    let Ok(tokens) = tokens(Dialect::Postgres, body) else { return false };
    let s = Sentence::new(body, &tokens);
    (0..s.len()).any(|at| {
        let begins = at == 0
            || s.symbol(at - 1, b';')
            || s.symbol(at - 1, b'>')
            || s.is_any(at - 1, &["BEGIN", "THEN", "ELSE", "LOOP"]);
        let ends = s.symbol(at + 1, b';') || s.is_any(at + 1, &["AND", "WORK", "TRANSACTION"]);
        begins && ends && s.is_any(at, &["COMMIT", "ROLLBACK"])
    })
}

/// Functions that a `SELECT` calls for their value. Anything else that it calls may have been called for its effect.
const HARMLESS_FUNCTIONS: [&str; 39] = [
    "ABS",
    "ARRAY_AGG",
    "AVG",
    "BOOL_AND",
    "BOOL_OR",
    "CAST",
    "CLOCK_TIMESTAMP",
    "COALESCE",
    "CONCAT",
    "COUNT",
    "CURRENT_SETTING",
    "EXTRACT",
    "FORMAT",
    "GENERATE_SERIES",
    "GEN_RANDOM_UUID",
    "GREATEST",
    "JSONB_BUILD_OBJECT",
    "JSON_BUILD_OBJECT",
    "LEAST",
    "LENGTH",
    "LOWER",
    "MAX",
    "MD5",
    "MIN",
    "NOW",
    "NULLIF",
    "RANDOM",
    "REGEXP_REPLACE",
    "REPLACE",
    "ROUND",
    "ROW_NUMBER",
    "SPLIT_PART",
    "STRING_AGG",
    "SUBSTRING",
    "SUM",
    "TO_CHAR",
    "TO_REGCLASS",
    "TRIM",
    "UPPER",
];

/// Words that may stand before a parenthesis without being called.
const NOT_FUNCTIONS: [&str; 36] = [
    "ALL",
    "AND",
    "ANY",
    "ARRAY",
    "AS",
    "BETWEEN",
    "BY",
    "CASE",
    "CUBE",
    "DISTINCT",
    "ELSE",
    "EXCEPT",
    "EXISTS",
    "FILTER",
    "FROM",
    "HAVING",
    "IN",
    "INTERSECT",
    "JOIN",
    "LATERAL",
    "LIKE",
    "LIMIT",
    "NOT",
    "OFFSET",
    "ON",
    "OR",
    "OVER",
    "ROLLUP",
    "ROW",
    "SELECT",
    "SETS",
    "SOME",
    "THEN",
    "UNION",
    "USING",
    "VALUES",
];

fn query(s: Sentence<'_>) -> Class {
    let into = s.find(&["INTO"]);
    let mut class = Class::plain(if into.is_some() { Kind::Ddl } else { Kind::Query });
    if into.is_some_and(|at| s.is_any(s.skip_any(at + 1, &["LOCAL", "GLOBAL"]), &["TEMP", "TEMPORARY"])) {
        class = class.changes_session();
    }
    for at in calls(s) {
        let function = s.written(at).trim_matches('"').to_ascii_lowercase();
        match function.as_str() {
            "set_config" | "pg_advisory_lock" | "pg_advisory_lock_shared" | "pg_try_advisory_lock" => {}
            "setval" | "nextval" => class = class.destroys("the position of a sequence"),
            name if is_harmless(name) => {}
            name => {
                let unclear =
                    Class::plain(Kind::Query).unclear(format!("What the function {name} does cannot be told"));
                class = Class { session: class.session, kind: class.kind, ..worse(class, unclear) };
            }
        }
    }
    class
}

/// Where a function is called, or something stands that reads as if one were.
fn calls(s: Sentence<'_>) -> impl Iterator<Item = usize> {
    (0..s.len()).filter(move |at| s.symbol(at + 1, b'(') && is_called(s, *at))
}

fn is_harmless(function: &str) -> bool {
    HARMLESS_FUNCTIONS.contains(&function.to_ascii_uppercase().as_str())
}

/// Whether a statement that reads or writes rows calls a function that may leave something behind in the session: a setting, a lock,
/// a temporary table. What a trigger or a column's default does is not seen here; every unit takes back settings and roles anyway.
fn leaves_something(s: Sentence<'_>, kind: Kind) -> bool {
    let from = match kind {
        Kind::Query | Kind::Dml => 0,
        // CREATE TABLE … AS SELECT …
        Kind::Ddl if s.is(0, "SELECT") => 0,
        Kind::Ddl if s.is(0, "CREATE") && (s.has(&["TABLE"]) || s.has(&["MATERIALIZED"])) => {
            match s.top().find(|at| s.is(*at, "AS") && s.is_any(at + 1, &["SELECT", "WITH", "VALUES", "EXECUTE"])) {
                Some(at) if s.is(at + 1, "EXECUTE") => return true,
                Some(at) => at + 1,
                None => return false,
            }
        }
        _ => return false,
    };
    let s = s.from(from);
    calls(s).filter(|at| !names_relation(s, *at)).any(|at| {
        let function = s.written(at).trim_matches('"').to_ascii_lowercase();
        match function.as_str() {
            "set_config" => !is_local_setting(s, at),
            "setval" | "nextval" => false,
            name => !is_harmless(name),
        }
    })
}

/// Whether the name at `at` is a table's or an alias' with a list of columns behind it, or `ON CONFLICT (…)`.
fn names_relation(s: Sentence<'_>, at: usize) -> bool {
    let mut first = at;
    while first >= 2 && s.symbol(first - 1, b'.') {
        first -= 2;
    }
    s.is_any(at, &["CONFLICT", "SET"]) || (first > 0 && s.is_any(first - 1, &["INTO", "AS", "WITH", "RECURSIVE"]))
}

fn is_called(s: Sentence<'_>, at: usize) -> bool {
    let named = matches!(s.kind(at), Some(lexer::Kind::Word | lexer::Kind::Quoted));
    named && !s.is_any(at, &NOT_FUNCTIONS)
}

/// `set_config(…, …, true)`.
fn is_local_setting(s: Sentence<'_>, at: usize) -> bool {
    let end = s.behind_parentheses(at + 1);
    s.is(end.saturating_sub(2), "TRUE")
}
