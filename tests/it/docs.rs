//! The pages in `docs/errors` and the table of error codes say the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use windlass::base::Code;

/// The sections of every page, in their order.
const SECTIONS: [&str; 4] = ["## What happened", "## What is true now", "## Causes", "## What to do"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/errors")
}

fn page(code: Code) -> String {
    let path = folder().join(format!("{code}.md"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{code} has no page {}: {error}", path.display()))
}

#[test]
fn every_code_has_a_page_with_its_own_title() {
    for code in Code::ALL {
        let text = page(*code);
        assert_eq!(text.lines().next(), Some(format!("# {code} — {}", code.title()).as_str()));
    }
}

#[test]
fn every_page_says_what_happened_what_is_true_why_and_what_to_do() {
    for code in Code::ALL {
        let text = page(*code);
        let sections: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(sections, SECTIONS, "{code}");
        assert!(text.contains("```"), "{code} names nothing to run or to write");
    }
}

#[test]
fn every_page_belongs_to_a_code() {
    let pages: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    let codes: BTreeSet<String> = Code::ALL.iter().map(|code| format!("{code}.md")).collect();
    assert_eq!(pages, codes);
}

#[test]
fn the_index_lists_every_page_once_with_its_title() {
    let index = fs::read_to_string(folder().join("README.md")).unwrap();
    let listed: Vec<&str> = index.lines().filter(|line| line.starts_with("| [WL")).collect();
    let expected: Vec<String> =
        Code::ALL.iter().map(|code| format!("| [{code}]({code}.md) | {} |", code.title())).collect();
    assert_eq!(listed, expected);
}

#[test]
fn a_page_speaks_only_of_codes_that_exist() {
    let known: BTreeSet<String> = Code::ALL.iter().map(ToString::to_string).collect();
    for code in Code::ALL {
        let text = page(*code);
        for (at, _) in text.match_indices("WL") {
            let named: String = text[at..].chars().take(6).collect();
            assert!(known.contains(&named), "{code} speaks of {named}");
        }
    }
}

/// All pages: those at the top, and everything in `docs`.
fn pages() -> Vec<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut pages) = (vec![root.join("docs"), root.join("examples")], Vec::new());
    let mut take = |path: PathBuf, folders: &mut Vec<PathBuf>| {
        if path.is_dir() {
            folders.push(path);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    };
    for entry in fs::read_dir(&root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            take(path, &mut folders);
        }
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            take(entry.unwrap().path(), &mut folders);
        }
    }
    pages
}

/// A heading, as the links to it have it.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    heading
        .chars()
        .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut dead = Vec::new();
    let mut links = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.contains(char::is_whitespace) {
                continue;
            }
            links += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let there = target.exists()
                && (heading.is_empty()
                    || fs::read_to_string(&target)
                        .unwrap()
                        .lines()
                        .any(|line| line.starts_with('#') && anchor(line) == heading));
            if !there {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
    assert!(links > 100, "only {links} links were found: they are not read any more");
}
