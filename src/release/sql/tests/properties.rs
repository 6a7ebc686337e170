//! What holds of every text, whatever it says.

use proptest::prelude::*;

use crate::release::sql::{Dialect, Statement, classify, split};

/// Pieces that open, close and confuse.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "SELECT 1",
        ";",
        ";\n",
        " ",
        "\n",
        "\r",
        "'",
        "''",
        "'a;b'",
        "E'",
        "\\",
        "\"",
        "\"q;\"",
        "`",
        "[",
        "]",
        "$$",
        "$a$",
        "$1",
        "a$",
        "--",
        "-- c;\n",
        "/*",
        "*/",
        "/* ; */",
        "(",
        ")",
        "CASE",
        "END",
        "BEGIN",
        "ATOMIC",
        "CREATE",
        "FUNCTION",
        "TRIGGER",
        "DO",
        "COPY",
        "FROM",
        "STDIN",
        "WITH x AS",
        "DELETE",
        "é",
        "\u{a0}",
        ":",
        "::",
        "@x",
        ".",
        "1e",
        ",",
        "#",
        "/*!50001",
        "/*M!",
        "\\'",
        "\nDELIMITER //\n",
        "\nDELIMITER ;\n",
        "\nDELIMITER $$\n",
        "\nDELIMITER E\n",
        "//",
        "\"",
        "IF",
        "THEN",
        "LOOP",
        "PROCEDURE p()",
        "EVENT e",
        "FOR EACH ROW",
        "REPEAT",
        "UNTIL",
        "WHILE",
        "DECLARE",
        "HANDLER FOR",
        "l:",
        "SET NAMES",
    ]);
    prop::collection::vec(piece, 0..48).prop_map(|pieces| pieces.concat())
}

/// Whole statements, and what may stand between two of them.
fn script(dialect: Dialect) -> impl Strategy<Value = (Vec<String>, String)> {
    let mut statements = vec![
        "SELECT ';', '--', '/*'",
        "INSERT INTO \"a;\" VALUES ('it''s')",
        "SELECT (1 /* ; */ + 2) -- ;\n",
        "UPDATE é SET a = 1",
    ];
    statements.push(match dialect {
        Dialect::Postgres => "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END",
        Dialect::Mysql => "CREATE PROCEDURE p() BEGIN IF a THEN SELECT CASE WHEN 1 THEN ';' END; END IF; END",
        Dialect::Sqlite => "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; END",
    });
    let between = prop::sample::select(vec![";", " ; ", ";;\n", "; -- it's; \n", "\n;/* don't; */\n", ";\t;"]);
    prop::collection::vec((prop::sample::select(statements), between), 0..12).prop_map(|parts| {
        let script = parts.iter().flat_map(|(statement, between)| [*statement, *between]).collect();
        let statements = parts.iter().map(|(statement, _)| statement.trim_end_matches(" -- ;\n").to_owned()).collect();
        (statements, script)
    })
}

fn any_dialect() -> impl Strategy<Value = Dialect> {
    prop::sample::select(vec![Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite])
}

/// The text with its statements taken out, each replaced by a space.
fn rest(text: &str, statements: &[Statement]) -> String {
    let mut rest = String::new();
    let mut at = 0;
    for statement in statements {
        rest.push_str(&text[at..statement.start]);
        rest.push(' ');
        at = statement.start + statement.text.len();
    }
    rest + &text[at..]
}

/// Bytes that mean something to one of the lexers, in any order.
fn noise() -> impl Strategy<Value = String> {
    let byte = prop::sample::select(b" \n\r\t;;'\"`\\--##/**/!!()[]$$@.:,=<EeNMUux&019azEND_\xc3\xa9\x0b\x1f".to_vec());
    prop::collection::vec(byte, 0..64).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn any_bytes() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<u8>(), 0..256).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The statements lie in the text in order, are what they are by themselves, and cover all that is said.
fn holds(dialect: Dialect, text: &str) -> Result<(), TestCaseError> {
    let Ok(statements) = split(dialect, text) else { return Ok(()) };
    for statement in &statements {
        let end = statement.start + statement.text.len();
        prop_assert_eq!(&text[statement.start..end], &statement.text);
        prop_assert_eq!(statement.line as usize, text[..statement.start].matches('\n').count() + 1);
        prop_assert_eq!(&classify(dialect, &statement.text), &statement.class);
        let alone = split(dialect, &statement.text);
        prop_assert_eq!(alone.map(|found| found.len()), Ok(1), "{:?}", statement.text);
    }
    for pair in statements.windows(2) {
        prop_assert!(pair[0].start + pair[0].text.len() <= pair[1].start);
    }
    let rest = rest(text, &statements);
    prop_assert_eq!(split(dialect, &rest), Ok(Vec::new()), "{:?} says something", rest);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_statements_lie_in_the_text_in_order_and_cover_all_that_is_said(dialect in any_dialect(), text in soup()) {
        holds(dialect, &text)?;
    }

    #[test]
    fn the_same_holds_of_noise(dialect in any_dialect(), text in noise()) {
        holds(dialect, &text)?;
    }

    #[test]
    fn the_same_holds_of_any_bytes(dialect in any_dialect(), text in any_bytes()) {
        holds(dialect, &text)?;
    }

    #[test]
    fn whole_statements_are_found_again_whatever_stands_between_them(
        (dialect, (statements, script)) in any_dialect().prop_flat_map(|dialect| (Just(dialect), script(dialect)))
    ) {
        let found: Vec<_> = split(dialect, &script).unwrap().into_iter().map(|statement| statement.text).collect();
        prop_assert_eq!(found, statements);
    }

    #[test]
    fn no_text_makes_the_scanner_fail_otherwise_than_by_an_error(dialect in any_dialect(), text in any::<String>()) {
        let _ = split(dialect, &text);
        let _ = classify(dialect, &text);
    }
}

/// What the fuzz targets have found.
#[test]
fn the_same_holds_of_what_once_broke_it() {
    for text in ["E$\nDELIMITER[ ;\nSELECT 1", "a\nDELIMITER / ;"] {
        for dialect in [Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite] {
            holds(dialect, text).unwrap();
        }
    }
}
