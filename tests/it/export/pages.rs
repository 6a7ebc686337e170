//! The exports that are read by people: a spreadsheet, a report.

use crate::audit::{CONFIGURATION, deploy_twice};
use crate::support::project::Project;

/// Tenants whose names are formulas and markup, and what their exports are.
async fn named(tenants: &[&str]) -> Project {
    let project = Project::new();
    project.write("windlass.toml", CONFIGURATION);
    for tenant in tenants {
        project.sql(&format!("tenants/{tenant}.db"), "CREATE TABLE customers (name TEXT)").await.unwrap();
    }
    project.write("migrations/0001_a.up.sql", "CREATE TABLE a (id INTEGER, note TEXT DEFAULT '<i>&');\n");
    project.write("migrations/0001_a.down.sql", "DROP TABLE a;\n");
    project.windlass("deploy").ends_with(0);
    project
}

/// The records of RFC 4180.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => cell.extend(rest.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {
                assert_eq!(rest.next(), Some('\n'));
                record.push(std::mem::take(&mut cell));
                records.push(std::mem::take(&mut record));
            }
            c => cell.push(c),
        }
    }
    assert!(!quoted && cell.is_empty() && record.is_empty(), "the last record is not whole");
    records
}

#[tokio::test]
async fn a_spreadsheet_has_a_row_for_each_event_and_no_formula() {
    let project = named(&["=1+1", "+bolt", "-crow", "@dodo", "a, \"b\""]).await;
    let text = project.windlass("audit export --format csv").ends_with(0).stdout;
    let records = records(&text);
    assert_eq!(records[0].join(" "), "time deploy tenant seq event step what actor by code");
    let events = project.sql("windlass.db", "SELECT count(*) FROM events").await.unwrap();
    assert_eq!((records.len() - 1).to_string(), events[0]);
    assert!(records.iter().all(|record| record.len() == 10));
    for name in ["'=1+1", "'+bolt", "'-crow", "'@dodo", "a, \"b\""] {
        assert!(records.iter().any(|record| record[2] == name), "{name}");
    }
    assert!(records.iter().flatten().all(|cell| !cell.starts_with(['=', '+', '-', '@'])));
    let created = &records[1];
    assert!(created[4] == "deploy_created" && created[7].starts_with("tester@"), "{created:?}");
}

/// The page's tags, each of which must be closed in its order.
fn well_formed(page: &str) {
    let mut open = Vec::new();
    for part in page.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("a tag that does not end");
        let name = tag.split(' ').next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if ["!DOCTYPE", "meta"].contains(&name) => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[tokio::test]
async fn a_report_holds_everything_in_itself_and_takes_no_name_for_markup() {
    let project = named(&["<img src=x onerror=alert(1)>", "a&b"]).await;
    let page = project.windlass("audit export --format html").ends_with(0).stdout;
    well_formed(&page);
    for outside in ["<script", "<img", "<link", "http:", "https:", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    for said in [
        "&lt;img src=x onerror=alert(1)&gt;</a>",
        "a&amp;b</a>",
        "the log said what was written",
        "prefers-color-scheme: dark",
        "@media print",
        "windlass audit verify",
        "CREATE TABLE a (id INTEGER, note TEXT DEFAULT &#39;&lt;i&gt;&amp;&#39;)",
    ] {
        assert!(page.contains(said), "{said} is not in\n{page}");
    }
}

#[tokio::test]
async fn a_report_says_what_was_run_why_it_turned_and_how_each_tenant_ended() {
    let project = Project::new();
    deploy_twice(&project, CONFIGURATION).await;
    let page = project.windlass("audit export latest --format html").ends_with(0).stdout;
    well_formed(&page);
    let seal = project.sql("windlass.db", "SELECT summary ->> '$.seal' FROM deploys WHERE key = 2").await.unwrap();
    let digests = project
        .sql(
            "windlass.db",
            "SELECT DISTINCT body ->> '$.event.evidence.digest' FROM events WHERE deploy = 2 AND body LIKE '%migrate:%' \
             AND body ->> '$.event.evidence.digest' IS NOT NULL",
        )
        .await
        .unwrap();
    assert_eq!(digests.len(), 2, "the script and its undo");
    for digest in digests {
        assert!(page.contains(&format!("<section id=\"s{digest}\">")), "{digest}");
    }
    for said in
        [seal[0].as_str(), "turned because", "<h3>acme: unwound</h3>", "<h3>bolt: unwound</h3>", "tester@", "WL0606"]
    {
        assert!(page.contains(said), "{said} is not in\n{page}");
    }
}

#[tokio::test]
async fn a_report_has_a_digest_for_each_statement_and_the_part_that_took_effect() {
    let project = Project::new();
    project.write("windlass.toml", CONFIGURATION);
    project.sql("tenants/acme.db", "CREATE TABLE t (a); INSERT INTO t VALUES (1), (1)").await.unwrap();
    // VACUUM commits by itself, so the first statement is in effect when the last one fails.
    project.write(
        "migrations/0001_a.up.sql",
        "CREATE TABLE a (id INTEGER);\nVACUUM;\n-- one\n-- more\nCREATE UNIQUE INDEX t_a ON t (a);\n",
    );
    project.write("migrations/0001_a.down.sql", "DROP INDEX t_a;\nDROP TABLE a;\n");
    project.windlass("deploy").ends_with(3);
    let page = project.windlass("audit export --format html").ends_with(0).stdout;
    well_formed(&page);
    let hash = |text: &str| windlass::base::Digest::of(text.as_bytes());
    for (number, line, text) in
        [(1, 1, "CREATE TABLE a (id INTEGER)"), (2, 2, "VACUUM"), (3, 5, "CREATE UNIQUE INDEX t_a ON t (a)")]
    {
        let digest = hash(text);
        let row = format!("<tr><td>{number}</td><td>{line}</td><td>{text}</td><td><code>{digest}</code></td></tr>");
        assert!(page.contains(&row), "{row} is not in\n{page}");
    }
    let back = hash("DROP TABLE a");
    let row = format!("<tr><td></td><td></td><td>taken back by DROP TABLE a</td><td><code>{back}</code></td></tr>");
    assert!(page.contains(&row), "{row} is not in\n{page}");
    let failed = page.lines().find(|line| line.contains("migrate:0001_a failed")).expect("the failure");
    assert!(failed.contains("its first 2 statements took effect</td><td>2</td><td><a href=\"#s"), "{failed}");
    let undone = page.lines().find(|line| line.contains("migrate:0001_a undone")).expect("the undo");
    assert!(undone.contains("<a href=\"#s"), "{undone}");
    for line in page.lines().filter(|line| line.contains("href=\"#s")) {
        let target = line.split("href=\"#").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        assert!(page.contains(&format!("id=\"{target}\"")), "{target} is nowhere");
    }
}
