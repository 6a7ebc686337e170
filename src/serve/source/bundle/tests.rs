use proptest::prelude::*;

use super::*;
use crate::base::{Code, Coded};
use crate::release::load;

/// A folder of migrations as anybody may write them.
fn folder() -> impl Strategy<Value = Vec<(String, String)>> {
    let text = "\u{feff}{0,2}(-- windlass: foreign-keys = unchecked\n)?\\PC{0,40}(\r{0,2}\n\\PC{0,40})?";
    let migration = ("0{0,3}", "[a-zé _+-]{1,12}", text, prop::option::of(text));
    prop::collection::btree_map(0_u32..500, migration, 1..6).prop_map(|all| {
        all.into_iter()
            .flat_map(|(version, (zeros, title, up, down))| {
                let up = (format!("{zeros}{version}_{title}.up.sql"), up);
                [Some(up), down.map(|down| (format!("{zeros}{version}_{title}.down.sql"), down))]
            })
            .flatten()
            .collect()
    })
}

fn loaded(files: &[(String, String)]) -> Release {
    let dir = tempfile::tempdir().unwrap();
    for (file, text) in files {
        std::fs::write(dir.path().join(file), text).unwrap();
    }
    load(dir.path(), None).unwrap()
}

proptest! {
    #[test]
    fn what_a_folder_holds_reads_back_the_same_when_it_was_pushed(files in folder()) {
        let release = loaded(&files);
        let bytes = release.to_bytes().unwrap();
        let read = read(&bytes, Digest::of(&bytes)).unwrap();
        prop_assert_eq!(&read, &release);
        prop_assert_eq!(read.digest(), release.digest());
    }

    #[test]
    fn a_byte_that_changed_on_the_way_is_noticed(files in folder(), at: prop::sample::Index, bit in 0_u32..8) {
        let mut bytes = loaded(&files).to_bytes().unwrap();
        let claimed = Digest::of(&bytes);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(read(&bytes, claimed).unwrap_err().code(), Code::PushedUnreadable);
    }

    /// Who pushes may give any bytes their right digest. What is taken then is what a folder could have held, in its one form.
    #[test]
    fn whatever_is_taken_is_the_one_form_of_a_release(files in folder(), at: prop::sample::Index, byte: u8) {
        let mut bytes = loaded(&files).to_bytes().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(release) = read(&bytes, Digest::of(&bytes)) {
            prop_assert_eq!(release.to_bytes().unwrap(), bytes);
        }
    }
}

/// Under its own digest.
fn refusal(bytes: &[u8]) -> String {
    let error = read(bytes, Digest::of(bytes)).unwrap_err();
    assert_eq!(error.code(), Code::PushedUnreadable);
    error.to_string()
}

/// A release of one migration, with a place for something else in it.
fn with(from: &str, to: &str) -> Vec<u8> {
    let json = r#"{"format":1,"name":"v1","migrations":[{"digits":"1","name":"a","up":{"file":"1_a.up.sql","foreign_keys":"checked","text":"SELECT 1"},"undo":{"written":{"file":"1_a.down.sql","foreign_keys":"checked","text":"SELECT 2"}}}]}"#;
    assert!(json.contains(from));
    json.replacen(from, to, 1).into_bytes()
}

#[test]
fn the_release_of_these_tests_is_one() {
    let bytes = with("v1", "v1");
    assert_eq!(read(&bytes, Digest::of(&bytes)).unwrap().name, "v1");
}

#[test]
fn what_no_folder_could_hold_is_refused() {
    for (from, to) in [
        ("1_a.up.sql", "../1_a.up.sql"),
        ("1_a.up.sql", "1_../../etc/passwd.up.sql"),
        ("1_a.up.sql", "1_a\\\\b.up.sql"),
        ("1_a.up.sql", "1_a\\u0007.up.sql"),
        ("1_a.up.sql", "1_a\\u0000.up.sql"),
        ("1_a.up.sql", "2_a.up.sql"),
        ("1_a.up.sql", "1_b.up.sql"),
        ("1_a.up.sql", "1_a.down.sql"),
        ("1_a.up.sql", ".1_a.up.sql"),
        ("1_a.up.sql", "1_a.txt"),
        ("1_a.up.sql", ""),
        ("\"digits\":\"1\"", "\"digits\":\"2\""),
        ("\"digits\":\"1\"", "\"digits\":\"x\""),
        ("\"name\":\"a\"", "\"name\":\"b\""),
        ("\"name\":\"v1\"", "\"name\":\"\""),
        ("\"name\":\"v1\"", "\"name\":\"v\\n1\""),
        ("SELECT 1", "SELECT 1;\\u0000 DROP TABLE t"),
        ("SELECT 1", "-- windlass: irreversible"),
        ("SELECT 1", "-- windlass: foreign-keys = unchecked"),
        ("SELECT 1", "-- windlass: whatever"),
        ("\"checked\"", "\"unchecked\""),
        ("\"format\":1", "\"format\":2"),
        ("\"format\":1", "\"format\":1,\"more\":1"),
        ("\"format\":1", "\"format\":1,\"format\":1"),
        ("{\"format\"", " {\"format\""),
        ("SELECT 1", "SELECT \\u0031"),
        ("]}", "]}\n"),
        (
            "\"undo\":{\"written\":{\"file\":\"1_a.down.sql\",\"foreign_keys\":\"checked\",\"text\":\"SELECT 2\"}}",
            "\"undo\":\"irreversible\"",
        ),
    ] {
        refusal(&with(from, to));
    }
    let long = with("\"name\":\"v1\"", &format!("\"name\":\"{}\"", "v".repeat(300)));
    refusal(&long);
    for nothing in [r#"{"format":1,"name":"v1","migrations":[]}"#, "", "null", "[]", "\u{feff}{}"] {
        refusal(nothing.as_bytes());
    }
}

#[test]
fn an_order_and_a_version_are_those_of_a_folder() {
    let one = |digits: &str| {
        format!(
            r#"{{"digits":"{digits}","name":"a","up":{{"file":"{digits}_a.sql","foreign_keys":"checked","text":""}},"undo":"missing"}}"#
        )
    };
    let all = |these: &[&str]| {
        let migrations: Vec<_> = these.iter().map(|digits| one(digits)).collect();
        format!(r#"{{"format":1,"name":"v1","migrations":[{}]}}"#, migrations.join(",")).into_bytes()
    };
    let bytes = all(&["9", "10"]);
    read(&bytes, Digest::of(&bytes)).unwrap();
    refusal(&all(&["10", "9"]));
    assert!(refusal(&all(&["7", "007"])).contains("both version 7"));
    refusal(&all(&["7", "7"]));
}

#[test]
fn a_million_migrations_are_refused_at_the_limit() {
    let one =
        r#"{"digits":"1","name":"a","up":{"file":"1_a.sql","foreign_keys":"checked","text":""},"undo":"missing"},"#;
    let bytes = format!(r#"{{"format":1,"name":"v1","migrations":[{}{{}}]}}"#, one.repeat(1_000_000));
    assert!(refusal(bytes.as_bytes()).contains("more than 20000 migrations"));
}

#[test]
fn deep_json_is_refused_where_it_stands() {
    for open in ["[", "{\"a\":"] {
        let deep = open.repeat(500_000);
        refusal(deep.as_bytes());
        refusal(format!("{{\"format\":1,\"name\":\"v1\",\"migrations\":{deep}").as_bytes());
        refusal(format!("{{\"format\":1,\"other\":{deep}").as_bytes());
    }
}

#[test]
fn what_is_larger_than_a_release_is_refused_unread() {
    let bytes = vec![b' '; usize::try_from(PUSHED_BYTES_MAX).unwrap() + 1];
    // Not even its digest is made: it is not the one that is claimed, and that is not what is said.
    let error = read(&bytes, Digest::of(b"")).unwrap_err();
    assert!(error.to_string().contains("more than 268435456 bytes"), "{error}");
}
