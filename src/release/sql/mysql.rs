//! What `MySQL` and `MariaDB` do with a statement. What commits by itself is the list of `MySQL`'s manual, "Statements That Cause
//! an Implicit Commit", and was measured on `MariaDB` 10.11; where the two differ, the statement is taken to commit.

mod rules;

use super::class::{Control, Kind};
use super::classify::main_verb;
use super::sentence::Sentence;
use super::{Class, lexer};
use rules::is_own_variable;
pub(super) use rules::other_rules;

const COMMITS: &str = "MySQL commits whatever is under way before it runs, and then commits it by itself";

const MAY_COMMIT: &str = "what it runs may commit by itself";

pub(super) fn classify(s: Sentence<'_>) -> Class {
    let Some(verb) = s.word(0) else {
        return if s.symbol(0, b'(') { query(s) } else { unknown("It begins with no word") };
    };
    match verb.as_str() {
        // MariaDB's block outside of routines.
        "BEGIN" if s.starts(&["BEGIN", "NOT", "ATOMIC"]) => unknown("What a block does cannot be told"),
        "BEGIN" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" | "XA" => control(s),
        "START" if s.is(1, "TRANSACTION") => control(s),
        "START" | "STOP" | "CHANGE" | "RESET" | "INSTALL" | "UNINSTALL" | "IMPORT" | "CLONE" | "RESTART"
        | "SHUTDOWN" | "PURGE" | "KILL" => commits(Kind::Unknown).unclear("It works on the server, not on a database"),
        "CREATE" => create(s),
        "ALTER" => alter(s),
        "DROP" => drop(s),
        "RENAME" | "REVOKE" | "GRANT" => commits(Kind::Ddl),
        "TRUNCATE" => commits(Kind::Ddl).destroys(format!("all rows of {}", s.name(s.skip(1, &["TABLE"])))),
        "INSERT" | "REPLACE" | "UPDATE" | "DELETE" => change(s, 0),
        "LOAD" if s.is(1, "INDEX") => commits(Kind::Maintenance),
        "LOAD" => load(s),
        "WITH" => match main_verb(s) {
            Some(at) if s.is_any(at, &["SELECT", "VALUES", "TABLE"]) => query(s),
            Some(at) => change(s, at),
            None => unknown("The statement behind its WITH cannot be found"),
        },
        "SELECT" | "VALUES" | "TABLE" | "DO" => query(s),
        "SHOW" | "HELP" | "CHECKSUM" => Class::plain(Kind::Query),
        "EXPLAIN" | "DESCRIBE" | "DESC" => explain(s),
        "SET" => set(s),
        "USE" => Class::plain(Kind::Session).changes_session(),
        "HANDLER" | "PREPARE" | "DEALLOCATE" | "SIGNAL" | "RESIGNAL" | "GET" => {
            Class::plain(Kind::Session).changes_session()
        }
        "LOCK" | "UNLOCK" => commits(Kind::Session).changes_session(),
        "ANALYZE" if !is_table_maintenance(s) => explain(s),
        "ANALYZE" | "OPTIMIZE" | "CHECK" | "REPAIR" | "CACHE" | "FLUSH" => commits(Kind::Maintenance),
        "CALL" => unknown("What a procedure does cannot be told from its call"),
        "EXECUTE" => unknown("What a prepared statement does cannot be told from its name"),
        _ => unknown("It begins with a word that Windlass does not know"),
    }
}

/// Able to do anything, a commit included. To take it for transactional would be a guess in the harmful direction: its ledger row
/// would be committed with the first of its effects.
fn unknown(why: &str) -> Class {
    Class::plain(Kind::Unknown).unclear(why).changes_session().not_transactional(MAY_COMMIT)
}

fn commits(kind: Kind) -> Class {
    Class::plain(kind).not_transactional(COMMITS)
}

fn control(s: Sentence<'_>) -> Class {
    let word = s.word(usize::from(s.is(0, "XA"))).unwrap_or_default();
    let control = match word.as_str() {
        "BEGIN" | "START" => Control::Begin,
        "SAVEPOINT" => Control::Savepoint,
        "RELEASE" => Control::Release,
        "ROLLBACK" => Control::Rollback,
        "PREPARE" => Control::Prepare,
        "RECOVER" => return Class::plain(Kind::Query),
        _ => Control::Commit,
    };
    Class::plain(Kind::Session).control(control)
}

/// What `CREATE`, `ALTER` or `DROP` is about, and where that word stands: behind `OR REPLACE`, `DEFINER = …` and the like.
pub(in crate::release) fn object(s: Sentence<'_>) -> Option<(usize, String)> {
    const OBJECTS: [&str; 18] = [
        "TABLE",
        "INDEX",
        "VIEW",
        "PROCEDURE",
        "FUNCTION",
        "TRIGGER",
        "EVENT",
        "SEQUENCE",
        "DATABASE",
        "SCHEMA",
        "USER",
        "ROLE",
        "SERVER",
        "TABLESPACE",
        "PACKAGE",
        "LOGFILE",
        "SPATIAL",
        "RESOURCE",
    ];
    // Objects of these names come first; behind an equals sign stands a definer or an algorithm.
    let at = (1..s.len().min(24)).find(|at| s.is_any(*at, &OBJECTS) && !s.symbol(at - 1, b'='))?;
    let word = s.word(at)?;
    if word == "SPATIAL" && s.is(at + 1, "INDEX") { Some((at + 1, "INDEX".to_owned())) } else { Some((at, word)) }
}

fn create(s: Sentence<'_>) -> Class {
    let replaces = s.reads(1, &["OR", "REPLACE"]);
    if s.is(s.skip(1, &["OR", "REPLACE"]), "TEMPORARY") {
        // Not even its own rows are kept beyond the session.
        return Class::plain(Kind::Ddl).changes_session();
    }
    let ddl = commits(Kind::Ddl);
    match object(s) {
        Some((at, kind))
            if replaces && matches!(kind.as_str(), "TABLE" | "DATABASE" | "SCHEMA" | "SEQUENCE" | "USER") =>
        {
            let name = s.name(s.skip_if_exists(at + 1));
            ddl.destroys(format!("the {} {name} that was there before", kind.to_ascii_lowercase()))
        }
        _ => ddl,
    }
}

fn drop(s: Sentence<'_>) -> Class {
    if s.is(1, "TEMPORARY") {
        return Class::plain(Kind::Ddl).changes_session();
    }
    // `DROP PREPARE` is `DEALLOCATE PREPARE`.
    if s.is(1, "PREPARE") {
        return Class::plain(Kind::Session).changes_session();
    }
    let ddl = commits(Kind::Ddl);
    match s.word(1).unwrap_or_default().as_str() {
        "TABLE" | "TABLES" => ddl.destroys(format!("table {} and its rows", s.name(s.skip_if_exists(2)))),
        "DATABASE" | "SCHEMA" => ddl.destroys("a database"),
        "SEQUENCE" => ddl.destroys("the position of a sequence"),
        "USER" | "ROLE" => ddl.destroys("an account with its password and privileges"),
        "SERVER" => ddl.destroys("a connection with its secrets"),
        "TABLESPACE" | "UNDO" | "LOGFILE" => ddl.destroys("a tablespace"),
        _ => ddl,
    }
}

fn alter(s: Sentence<'_>) -> Class {
    let ddl = commits(Kind::Ddl);
    match object(s) {
        Some((at, kind)) if kind == "TABLE" => alter_table(s, s.skip_if_exists(at + 1)),
        Some((_, kind)) if kind == "SEQUENCE" && s.has(&["RESTART"]) => ddl.destroys("the position of a sequence"),
        Some((_, kind)) if kind == "USER" && s.has(&["BY"]) => ddl.destroys("a password"),
        _ => ddl,
    }
}

/// `ALTER [ONLINE] [IGNORE] TABLE name [WAIT n | NOWAIT] action, …`, the name at `at`.
fn alter_table(s: Sentence<'_>, at: usize) -> Class {
    let actions = s.from(behind_wait(s, s.skip_name(at)));
    let class = actions.parts().into_iter().map(|action| table_action(action, s.name(at))).reduce(worse);
    let class = class.unwrap_or_else(|| Class::plain(Kind::Ddl));
    let ignores = s.is(1, "IGNORE") || s.is(2, "IGNORE");
    let class = if ignores { class.destroys("the rows that its new keys do not admit") } else { class };
    class.not_transactional(COMMITS)
}

/// The position behind `WAIT n` or `NOWAIT`, which `MariaDB` takes behind a table's name.
pub(in crate::release) fn behind_wait(s: Sentence<'_>, at: usize) -> usize {
    if s.is(at, "WAIT") { at + 2 } else { s.skip(at, &["NOWAIT"]) }
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
    let definitions = ["INDEX", "KEY", "PRIMARY", "FOREIGN", "CONSTRAINT", "CHECK"];
    match s.word(0).unwrap_or_default().as_str() {
        "DROP" if s.is_any(1, &definitions) => ddl,
        "DROP" if s.is(1, "PARTITION") => ddl.destroys(format!("a partition of {table} with its rows")),
        "DROP" if s.is(1, "SYSTEM") => ddl.destroys(format!("the history of {table}")),
        "DROP" if s.is(1, "PERIOD") => ddl,
        "DROP" => {
            let column = s.skip_if_exists(s.skip(1, &["COLUMN"]));
            ddl.destroys(format!("column {} of {table}", s.name(column)))
        }
        "MODIFY" | "CHANGE" => {
            let column = s.skip_if_exists(s.skip(1, &["COLUMN"]));
            ddl.destroys(format!("the values of {table}.{} as they were before their conversion", s.name(column)))
        }
        "CONVERT" if s.is(1, "TO") => {
            ddl.destroys(format!("the texts of {table} as they were before their conversion"))
        }
        "TRUNCATE" => ddl.destroys(format!("the rows of a partition of {table}")),
        "DISCARD" | "IMPORT" => ddl.destroys(format!("the rows of {table}")),
        "AUTO_INCREMENT" => ddl.destroys(format!("the position of the sequence behind {table}")),
        "ENGINE" => ddl.unclear("What another storage engine does not keep cannot be told"),
        "ADD" | "ALTER" | "RENAME" | "COMMENT" | "DEFAULT" | "CHARACTER" | "CHARSET" | "COLLATE" | "ENABLE"
        | "DISABLE" | "ALGORITHM" | "LOCK" | "FORCE" | "ORDER" | "ROW_FORMAT" | "KEY_BLOCK_SIZE" | "EXCHANGE"
        | "ANALYZE" | "CHECK" | "OPTIMIZE" | "REBUILD" | "REPAIR" | "REORGANIZE" | "COALESCE" | "PARTITION"
        | "REMOVE" | "WITH" | "WITHOUT" | "VALIDATION" | "STATS_PERSISTENT" | "STATS_AUTO_RECALC"
        | "STATS_SAMPLE_PAGES" | "PAGE_COMPRESSED" | "ENCRYPTED" | "ENCRYPTION" | "COMPRESSION" | "MIN_ROWS"
        | "MAX_ROWS" | "AVG_ROW_LENGTH" | "PAGE_CHECKSUM" | "CHECKSUM" | "INSERT_METHOD" | "DELAY_KEY_WRITE"
        | "PACK_KEYS" => ddl,
        _ => ddl.unclear("It has an action that Windlass does not know"),
    }
}

/// `INSERT`, `REPLACE`, `UPDATE` or `DELETE`, its verb at `at`.
fn change(s: Sentence<'_>, at: usize) -> Class {
    let dml = Class::plain(Kind::Dml);
    let mut name = at + 1;
    while s.is_any(name, &["LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "IGNORE", "INTO", "FROM"]) {
        name += 1;
    }
    let table = s.name(name);
    let class = match s.word(at).unwrap_or_default().as_str() {
        "UPDATE" => dml.destroys(format!("the values of {table} from before the update")),
        "DELETE" => dml.destroys(format!("rows of {table}")),
        "REPLACE" => dml.destroys(format!("the rows of {table} that are replaced")),
        "INSERT" if s.has(&["ON", "DUPLICATE", "KEY", "UPDATE"]) => {
            dml.destroys(format!("the values of {table} from before the upsert"))
        }
        "INSERT" => dml,
        _ => unknown("The statement behind its WITH is not known"),
    };
    if sets_variable(s) { class.changes_session() } else { class }
}

fn load(s: Sentence<'_>) -> Class {
    let dml = Class::plain(Kind::Dml);
    if s.has(&["REPLACE"]) { dml.destroys("the rows that are replaced") } else { dml }
}

/// `@a := …`, `… INTO @a`.
fn sets_variable(s: Sentence<'_>) -> bool {
    (1..s.len())
        .any(|at| (s.symbol(at, b'=') && s.symbol(at - 1, b':')) || (s.is(at - 1, "INTO") && s.symbol(at, b'@')))
}

/// Functions that are called for their value. Anything else that a query calls may have been called for its effect.
const HARMLESS_FUNCTIONS: [&str; 66] = [
    "ABS",
    "AVG",
    "BIT_AND",
    "BIT_OR",
    "CAST",
    "CEIL",
    "CEILING",
    "CHAR",
    "CHAR_LENGTH",
    "COALESCE",
    "CONCAT",
    "CONCAT_WS",
    "CONVERT",
    "COUNT",
    "CURDATE",
    "CURRENT_TIMESTAMP",
    "DATABASE",
    "DATE",
    "DATEDIFF",
    "DATE_ADD",
    "DATE_FORMAT",
    "DATE_SUB",
    "EXTRACT",
    "FLOOR",
    "FORMAT",
    "FROM_UNIXTIME",
    "GREATEST",
    "GROUP_CONCAT",
    "HEX",
    "IF",
    "IFNULL",
    "INSTR",
    "ISNULL",
    "JSON_ARRAY",
    "JSON_EXTRACT",
    "JSON_OBJECT",
    "JSON_UNQUOTE",
    "LEAST",
    "LEFT",
    "LENGTH",
    "LOWER",
    "LPAD",
    "MAX",
    "MD5",
    "MIN",
    "MOD",
    "MONTH",
    "NOW",
    "NULLIF",
    "RAND",
    "REGEXP_REPLACE",
    "RIGHT",
    "ROUND",
    "ROW_NUMBER",
    "RPAD",
    "SHA2",
    "SUBSTR",
    "SUBSTRING",
    "SUM",
    "TRIM",
    "UNHEX",
    "UNIX_TIMESTAMP",
    "UPPER",
    "UUID",
    "VERSION",
    "YEAR",
];

/// Words that may stand before a parenthesis without being called.
const NOT_FUNCTIONS: [&str; 35] = [
    "ALL",
    "AND",
    "ANY",
    "AS",
    "BETWEEN",
    "BY",
    "CASE",
    "DISTINCT",
    "DIV",
    "ELSE",
    "EXCEPT",
    "EXISTS",
    "FROM",
    "HAVING",
    "IN",
    "INTERSECT",
    "INTERVAL",
    "JOIN",
    "LIKE",
    "LIMIT",
    "NOT",
    "ON",
    "OR",
    "OVER",
    "SELECT",
    "SOME",
    "THEN",
    "UNION",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
    "XOR",
    "DO",
];

fn query(s: Sentence<'_>) -> Class {
    let mut class = Class::plain(Kind::Query);
    if sets_variable(s) {
        class = class.changes_session();
    }
    for at in (0..s.len()).filter(|at| s.symbol(at + 1, b'(')) {
        let named = matches!(s.kind(at), Some(lexer::Kind::Word | lexer::Kind::Quoted));
        let list = at > 0 && s.is_any(at - 1, &["AS", "WITH", "RECURSIVE"]);
        if !named || list || s.is_any(at, &NOT_FUNCTIONS) || s.is_any(at, &HARMLESS_FUNCTIONS) {
            continue;
        }
        let function = s.written(at).trim_matches('`').to_ascii_lowercase();
        // What an unknown function leaves behind in the session cannot be told: a lock, a variable.
        class = match function.as_str() {
            "nextval" | "setval" => class.destroys("the position of a sequence"),
            name => {
                worse(class, Class::plain(Kind::Query).unclear(format!("What the function {name} does cannot be told")))
            }
        };
        class = class.changes_session();
    }
    if s.has(&["NEXT", "VALUE", "FOR"]) { class.destroys("the position of a sequence") } else { class }
}

/// `EXPLAIN statement` runs nothing; `EXPLAIN ANALYZE` and `MariaDB`'s `ANALYZE statement` run it.
fn explain(s: Sentence<'_>) -> Class {
    let runs = s.is(0, "ANALYZE") || s.is(1, "ANALYZE");
    let verbs = ["SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE", "WITH", "TABLE", "VALUES"];
    match s.top().skip(1).find(|at| s.is_any(*at, &verbs)) {
        Some(at) if runs => classify(s.from(at)),
        _ => Class::plain(Kind::Query),
    }
}

/// `ANALYZE [NO_WRITE_TO_BINLOG | LOCAL] TABLE …`.
fn is_table_maintenance(s: Sentence<'_>) -> bool {
    s.is_any(s.skip_any(1, &["NO_WRITE_TO_BINLOG", "LOCAL"]), &["TABLE", "TABLES"])
}

fn set(s: Sentence<'_>) -> Class {
    let session = Class::plain(Kind::Session);
    match s.word(1).unwrap_or_default().as_str() {
        "PASSWORD" => return commits(Kind::Ddl).destroys("a password"),
        "DEFAULT" if s.is(2, "ROLE") => return commits(Kind::Ddl),
        "TRANSACTION" => return session.control(Control::SetTransaction),
        "SESSION" | "GLOBAL" | "LOCAL" if s.is(2, "TRANSACTION") => return session.control(Control::SetTransaction),
        "STATEMENT" => {
            return match s.find(&["FOR"]) {
                Some(at) if at + 1 < s.len() => classify(s.from(at + 1)),
                _ => unknown("The statement behind its FOR cannot be found"),
            };
        }
        _ => {}
    }
    let assigned = |at: usize| s.symbol(at + 1, b'=') || (s.symbol(at + 1, b':') && s.symbol(at + 2, b'='));
    if s.top().skip(1).any(|at| s.is(at, "AUTOCOMMIT") && assigned(at) && !is_own_variable(s, at)) {
        return session.control(Control::Autocommit);
    }
    let global = s.top().skip(1).any(|at| s.is_any(at, &["GLOBAL", "PERSIST", "PERSIST_ONLY"]));
    // What it calls is called for its value: it is assigned.
    if global {
        session.unclear("What a setting of the whole server was before cannot be told")
    } else {
        session.changes_session()
    }
}
