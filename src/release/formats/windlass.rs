//! Windlass's own folder format, which golang-migrate and sqlx share:
//! `<digits>_<name>.up.sql` with `<digits>_<name>.down.sql`, or a lone `<digits>_<name>.sql`.

use std::collections::BTreeMap;

use crate::release::directive;
use crate::release::{Migration, Release, ReleaseError, Script, Undo, Version};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// The parts of a file's name.
#[derive(Debug, PartialEq, Eq)]
struct Name<'a> {
    digits: &'a str,
    title: &'a str,
    direction: Direction,
}

impl<'a> Name<'a> {
    /// `None` for a name in another form.
    fn parse(file: &'a str) -> Option<Self> {
        let stem = file.strip_suffix(".sql")?;
        let (stem, direction) = match (stem.strip_suffix(".up"), stem.strip_suffix(".down")) {
            (Some(stem), _) => (stem, Direction::Up),
            (_, Some(stem)) => (stem, Direction::Down),
            _ => (stem, Direction::Up),
        };
        let (digits, title) = stem.split_once('_')?;
        let numbered = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        (numbered && !title.chars().any(char::is_control)).then_some(Self { digits, title, direction })
    }
}

/// One file.
struct Side<'a> {
    name: Name<'a>,
    file: &'a str,
    text: String,
}

/// Makes a release of the files of a folder: their names, and their texts in normal form.
///
/// # Errors
/// When a name is in another form, two files claim one place, an undo has no migration, or a directive is not understood.
pub(in crate::release) fn read(
    name: Option<String>,
    mut files: BTreeMap<String, String>,
) -> Result<Release, ReleaseError> {
    let mut ups: BTreeMap<Version, Side<'_>> = BTreeMap::new();
    let mut downs: BTreeMap<Version, Side<'_>> = BTreeMap::new();
    for (file, text) in &mut files {
        let parsed = Name::parse(file).and_then(|name| Some((name.digits.parse::<Version>().ok()?, name)));
        let (version, name) = parsed.ok_or_else(|| ReleaseError::BadName { file: file.clone() })?;
        let side = match name.direction {
            Direction::Up => &mut ups,
            Direction::Down => &mut downs,
        };
        if let Some(first) = side.insert(version.clone(), Side { name, file, text: std::mem::take(text) }) {
            return Err(both(version, first.file, file));
        }
    }
    let mut migrations = Vec::with_capacity(ups.len());
    for (version, up) in ups {
        let down = downs.remove(&version);
        // Under another name, or with other digits, it may well undo a migration of another branch.
        if let Some(other) =
            down.as_ref().filter(|down| (down.name.digits, down.name.title) != (up.name.digits, up.name.title))
        {
            return Err(both(version, up.file, other.file));
        }
        migrations.push(migration(up, down)?);
    }
    if let Some((_, Side { name, file, .. })) = downs.pop_first() {
        let wanted = format!("{}_{}.up.sql", name.digits, name.title);
        return Err(ReleaseError::OrphanUndo { file: file.to_owned(), wanted });
    }
    Release::new(name, migrations)
}

fn both(version: Version, first: &str, second: &str) -> ReleaseError {
    ReleaseError::DuplicateVersion { version, first: first.to_owned(), second: second.to_owned() }
}

fn migration(up: Side<'_>, down: Option<Side<'_>>) -> Result<Migration, ReleaseError> {
    let Side { name, file, text } = up;
    let (script, irreversible) = read_script(file, text)?;
    let undo = match (down, irreversible) {
        (None, None) => Undo::Missing,
        (None, Some(_)) => Undo::Irreversible,
        (Some(down), None) => match read_script(down.file, down.text)? {
            (script, None) => Undo::Written(script),
            (_, Some(line)) => {
                return Err(misplaced(down.file, line, "belongs into the file that it speaks of, the up file"));
            }
        },
        (Some(down), Some(line)) => return Err(misplaced(file, line, &format!("contradicts {}", down.file))),
    };
    Migration::new(name.digits, name.title.to_owned(), script, undo)
        .map_err(|_| ReleaseError::BadName { file: file.to_owned() })
}

/// The script in this file, and the line that says it is irreversible.
fn read_script(file: &str, text: String) -> Result<(Script, Option<u32>), ReleaseError> {
    let head = directive::read(file, &text)?;
    Ok((Script::of_normal(file.to_owned(), text, head.directives), head.irreversible_at))
}

fn misplaced(file: &str, line: u32, reason: &str) -> ReleaseError {
    ReleaseError::BadDirective {
        file: file.to_owned(),
        line,
        directive: "-- windlass: irreversible".to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Code, Coded};
    use crate::release::{Files, ForeignKeys};

    fn release(files: &[(&str, &str)]) -> Result<Release, ReleaseError> {
        let mut gathered = Files::new("here");
        for (file, text) in files {
            gathered.add(file, text.as_bytes().to_owned())?;
        }
        gathered.into_release(None)
    }

    #[test]
    fn pairs_lone_ups_and_plain_files_make_migrations_in_order_of_number() {
        let release = release(&[
            ("10_b.sql", "B"),
            ("9_a.down.sql", "undo A"),
            ("9_a.up.sql", "A"),
            ("0_zero_and_more.x.up.sql", ""),
            ("340282366920938463463374607431768211456_huge.sql", ""),
        ])
        .unwrap();
        let labels: Vec<_> = release.migrations.iter().map(Migration::label).collect();
        let huge = "340282366920938463463374607431768211456_huge";
        assert_eq!(labels, ["0_zero_and_more.x", "9_a", "10_b", huge]);
        assert!(matches!(&release.migrations[1].undo, Undo::Written(script) if script.text == "undo A"));
        assert_eq!(release.migrations[2].undo, Undo::Missing);
        assert_eq!(release.name, huge);
    }

    #[test]
    fn a_byte_order_mark_and_windows_line_endings_are_no_part_of_a_script() {
        let windows = release(&[("1_a.up.sql", "\u{feff}SELECT 1;\r\nSELECT 2;\r\n")]).unwrap();
        let unix = release(&[("1_a.up.sql", "SELECT 1;\nSELECT 2;\n")]).unwrap();
        assert_eq!(windows.migrations[0].up, unix.migrations[0].up);
        assert_eq!(windows.digest(), unix.digest());
    }

    #[test]
    fn each_script_has_the_directives_of_its_own_head() {
        let unchecked = "-- windlass: foreign-keys = unchecked\nSELECT 1";
        let release = release(&[("1_a.up.sql", ""), ("1_a.down.sql", unchecked)]).unwrap();
        assert_eq!(release.migrations[0].up.directives.foreign_keys, ForeignKeys::Checked);
        let Undo::Written(undo) = &release.migrations[0].undo else { panic!("the undo is written") };
        assert_eq!(undo.directives.foreign_keys, ForeignKeys::Unchecked);
    }

    #[test]
    fn irreversible_is_said_in_an_up_file_that_has_no_down_file() {
        let said = "-- windlass: irreversible\nDROP TABLE t";
        assert_eq!(release(&[("1_a.up.sql", said)]).unwrap().migrations[0].undo, Undo::Irreversible);
        let contradicted = release(&[("1_a.up.sql", said), ("1_a.down.sql", "")]).unwrap_err();
        assert_eq!(contradicted.code(), Code::BadDirective);
        assert!(contradicted.to_string().contains("contradicts 1_a.down.sql"));
        let misplaced = release(&[("1_a.up.sql", ""), ("1_a.down.sql", said)]).unwrap_err();
        assert!(misplaced.to_string().starts_with("1_a.down.sql, line 1: "));
    }

    #[test]
    fn two_files_for_one_version_are_refused_by_both_names() {
        for (first, second) in [
            ("007_y.up.sql", "7_x.up.sql"),
            ("7_x.sql", "7_x.up.sql"),
            ("007_x.down.sql", "7_x.down.sql"),
            ("7_x.up.sql", "7_y.down.sql"),
            ("7_x.up.sql", "007_x.down.sql"),
        ] {
            let error = release(&[(first, ""), (second, "")]).unwrap_err();
            assert_eq!(error.code(), Code::DuplicateVersion);
            assert_eq!(error.to_string(), format!("{first} and {second} are both version 7"));
        }
    }

    #[test]
    fn an_undo_without_its_migration_is_refused() {
        let error = release(&[("1_a.up.sql", ""), ("2_b.down.sql", "")]).unwrap_err();
        assert_eq!(error.code(), Code::DuplicateVersion);
        assert!(error.to_string().starts_with("2_b.down.sql undoes a migration that is not there"));
    }

    #[test]
    fn an_sql_file_of_another_form_is_refused_by_its_name() {
        for file in
            ["add_email.sql", "_a.up.sql", "7.sql", "v7_a.up.sql", "7a_b.sql", "7_a.UP.SQL", "7_a\n.up.sql", "-7_a.sql"]
        {
            let error = release(&[(file, "")]).unwrap_err();
            assert!(matches!(&error, ReleaseError::BadName { file: named } if named == file), "{error}");
        }
    }
}
