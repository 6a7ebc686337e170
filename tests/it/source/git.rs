//! A git repository at a revision.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use windlass::base::Code;
use windlass::serve::source::{Settings, SourceKind};

use super::repository::{Repository, file};
use super::{labels, refused, revision, sources};

const ORDERS: (&str, &str) = ("db/migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER)");

#[tokio::test]
async fn a_commit_a_tag_and_a_branch_lead_to_the_files_of_that_commit() {
    let repository = Repository::new();
    let first = repository.commit(&[
        ORDERS,
        ("db/migrations/0001_orders.down.sql", "DROP TABLE orders"),
        ("db/migrations/README.md", "no migration"),
        ("db/migrations/old/0000_x.sql", "in a folder of its own"),
        ("src/seed.sql", "elsewhere"),
    ]);
    repository.run(&["tag", "light"]).unwrap();
    repository
        .run(&["-c", "user.name=T", "-c", "user.email=t@example.org", "tag", "-a", "-m", "x", "v1.0+annotated"])
        .unwrap();
    repository.run(&["branch", "feature/x"]).unwrap();
    let second = repository.commit(&[("db/migrations/0002_more.sql", "SELECT 1;\r\nSELECT 2;\r\n")]);
    for name in [&first, "light", "v1.0+annotated", "feature/x", &first.to_uppercase()] {
        let found = repository.find(name).await.unwrap();
        assert_eq!((labels(&found), found.source), (vec!["0001_orders"], SourceKind::Git));
        assert_eq!(found.origin, format!("git {} at {first} in db/migrations", repository.url()));
    }
    for name in [&second, "main"] {
        let found = repository.find(name).await.unwrap();
        assert_eq!(labels(&found), ["0001_orders", "0002_more"]);
        assert_eq!(found.release.migrations[1].up.text, "SELECT 1;\nSELECT 2;\n");
    }
}

#[tokio::test]
async fn a_tag_comes_before_a_branch_of_the_same_name_and_neither_is_taken_for_a_part_of_another() {
    let repository = Repository::new();
    let first = repository.commit(&[ORDERS]);
    repository.run(&["tag", "both"]).unwrap();
    repository.commit(&[("db/migrations/0002_more.sql", "")]);
    repository.run(&["branch", "both"]).unwrap();
    repository.run(&["update-ref", "refs/heads/refs/tags/hidden", "main"]).unwrap();
    assert!(repository.find("both").await.unwrap().origin.contains(&first));
    let error = refused(repository.find("hidden").await, Code::RevisionUnknown);
    assert!(error.contains("neither a tag nor a branch"), "{error}");
}

#[tokio::test]
async fn a_repository_with_long_ids_is_read_as_well() {
    let repository = Repository::with_format("sha256");
    let commit = repository.commit(&[ORDERS]);
    assert_eq!(commit.len(), 64);
    for name in ["main", &commit] {
        assert_eq!(labels(&repository.find(name).await.unwrap()), ["0001_orders"]);
    }
}

#[tokio::test]
async fn what_is_not_in_the_repository_is_told_apart_from_what_cannot_be_read() {
    let repository = Repository::new();
    let commit = repository.commit(&[("README.md", "")]);
    let error = refused(repository.find("v9").await, Code::RevisionUnknown);
    assert!(error.contains("neither a tag nor a branch of this name)"), "{error}");
    let error = refused(repository.find(&commit[..10]).await, Code::RevisionUnknown);
    assert!(error.contains("all digits of its id"), "{error}");
    let error = refused(repository.find("main").await, Code::RevisionUnknown);
    assert!(error.contains("there is no folder db/migrations"), "{error}");
    let error = refused(repository.find(&"0123456789".repeat(4)).await, Code::GitUnreadable);
    assert!(error.contains("by its id"), "{error}");
    let gone = repository.sources("file:///nowhere/shop.git", Duration::from_mins(1)).find(&revision("main")).await;
    let error = refused(gone, Code::GitUnreadable);
    assert!(error.contains("git ls-remote failed: ") && error.contains("/nowhere/shop.git"), "{error}");
}

#[tokio::test]
async fn the_folder_comes_before_the_repository_which_has_what_the_folder_has_not() {
    let repository = Repository::new();
    repository.commit(&[ORDERS]);
    let releases = tempfile::tempdir().unwrap();
    let folder = releases.path().join("r");
    fs::create_dir_all(folder.join("v1")).unwrap();
    fs::write(folder.join("v1/0009_here.sql"), "").unwrap();
    let git = windlass::serve::source::GitSettings {
        url: windlass::fleet::Secret::new(repository.url()),
        path: "db/migrations".to_owned(),
        timeout: Duration::from_mins(1),
    };
    let folder = Some(format!("{}/{{revision}}", folder.display()));
    let both = sources(Settings { folder, git: Some(git), ..Settings::default() }, &repository.scratch());
    assert_eq!(labels(&both.find(&revision("v1")).await.unwrap()), ["0009_here"]);
    assert_eq!(labels(&both.find(&revision("main")).await.unwrap()), ["0001_orders"]);
    let error = refused(both.find(&revision("v2")).await, Code::RevisionUnknown);
    assert!(error.contains("there is no such folder); in git "), "{error}");
}

#[tokio::test]
async fn links_submodules_and_pointers_are_refused_by_their_path() {
    let link = |path: &str| file("120000", path, b"/etc/passwd");
    let submodule = |path: &str| format!("M 160000 {} {path}\n", "1".repeat(40)).into_bytes();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    for (lines, says) in [
        (link("db/migrations/0001_a.sql"), "db/migrations/0001_a.sql is a symbolic link"),
        (link("db/migrations"), "db/migrations is a symbolic link"),
        (link("db"), "revision main: db is a symbolic link"),
        (submodule("db/migrations/vendor"), "db/migrations/vendor is a submodule"),
        (submodule("db/migrations"), "db/migrations is a submodule"),
        (file("100644", "db/migrations", b""), "db/migrations is a file"),
        (file("100644", "db/migrations/0001_a.sql", pointer), "db/migrations/0001_a.sql is kept by Git LFS"),
        (file("100644", "\"db/migrations/0001_\\377.sql\"", b""), "has a name that is not UTF-8 text"),
    ] {
        let repository = Repository::new();
        repository.import(&lines);
        let error = refused(repository.find("main").await, Code::GitUnreadable);
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test]
async fn what_makes_no_release_is_refused_in_the_releases_own_words() {
    for (path, text, code) in [
        ("db/migrations/README.md", b"".as_slice(), Code::ReleaseEmpty),
        ("db/migrations/seed.sql", b"", Code::BadMigrationName),
        ("\"db/migrations/1_a\\\\b.sql\"", b"", Code::BadMigrationName),
        ("db/migrations/1_a.sql", b"SELECT '\xff'", Code::UnreadableMigration),
        ("db/migrations/1_a.sql", b"SELECT 1;\0", Code::UnreadableMigration),
    ] {
        let repository = Repository::new();
        repository.import(&file("100644", path, text));
        let error = refused(repository.find("main").await, code);
        assert!(error.starts_with("revision main, git file://"), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_by_its_size_alone() {
    let repository = Repository::new();
    // Sixteen mebibytes and one of the same byte are some kilobytes in a pack.
    repository.import(&file("100644", "db/migrations/1_a.sql", &vec![b'x'; 16 * 1024 * 1024 + 1]));
    let error = refused(repository.find("main").await, Code::TooLarge);
    assert!(error.contains("1_a.sql: more than 16777216 bytes"), "{error}");
}

#[tokio::test]
async fn one_migration_more_than_the_limit_is_refused_and_so_are_many_files_of_one_text() {
    let repository = Repository::new();
    let all: Vec<u8> = (1..=20_001).flat_map(|at| file("100644", &format!("db/migrations/{at}_a.sql"), b"")).collect();
    repository.import(&all);
    let error = refused(repository.find("main").await, Code::TooLarge);
    assert!(error.contains("more than 20000 migrations"), "{error}");
    // Seventeen files of sixteen mebibytes are one object, and more than a release together.
    let repository = Repository::new();
    let mut lines = b"".to_vec();
    let text = vec![b' '; 16 * 1024 * 1024];
    lines.extend(file("100644", "db/migrations/1_a.sql", &text));
    let commit = repository.import(&lines);
    let blob = repository.run(&["rev-parse", &format!("{commit}:db/migrations/1_a.sql")]).unwrap();
    let more: Vec<_> = (2..=17).map(|at| format!("M 100644 {blob} db/migrations/{at}_a.sql\n")).collect();
    repository.import(more.concat().as_bytes());
    let error = refused(repository.find("main").await, Code::TooLarge);
    assert!(error.contains("more than 268435456 bytes"), "{error}");
}

#[tokio::test]
async fn hooks_filters_and_settings_of_the_repository_do_nothing() {
    let repository = Repository::new();
    let trace = repository.scratch().parent().unwrap().join("ran");
    let run = format!("touch {}", trace.display());
    repository.commit(&[
        ORDERS,
        ("db/migrations/.gitattributes", "*.sql filter=evil working-tree-encoding=UTF-16 ident eol=crlf"),
        (".gitattributes", "* filter=evil"),
        (".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c id\n"),
        ("db/migrations/0002_id.sql", "-- $Id$\nSELECT 2"),
    ]);
    repository.run(&["config", "filter.evil.smudge", &run]).unwrap();
    repository.run(&["config", "uploadpack.packObjectsHook", &run]).unwrap();
    for hook in ["post-checkout", "reference-transaction", "post-update", "pre-auto-gc"] {
        let path = repository.path().join("hooks").join(hook);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{run}\n")).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let found = repository.find("main").await.unwrap();
    assert_eq!(found.release.migrations[1].up.text, "-- $Id$\nSELECT 2");
    assert!(!trace.exists(), "a program of the repository ran");
}

/// Whether a living process works in this folder, or names it.
fn is_worked_in(folder: &Path) -> bool {
    let text = folder.to_str().unwrap();
    fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let says = |file: &str| {
            let bytes = fs::read(process.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(text)
        };
        let is_ours = process.file_name().to_string_lossy() == std::process::id().to_string();
        let is_dead = fs::read_to_string(process.path().join("stat"))
            .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')));
        !is_ours && !is_dead && (says("cmdline") || says("environ"))
    })
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_in_time_and_leaves_no_process() {
    // Takes connections, as the system does for whoever listens, and never says a word.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://bot:hunter2@{}/shop.git", listener.local_addr().unwrap());
    let repository = Repository::new();
    let begun = Instant::now();
    let found = repository.sources(&url, Duration::from_secs(1)).find(&revision("main")).await;
    let error = refused(found, Code::GitUnreadable);
    assert!(error.contains("took longer than 1 s") && !error.contains("hunter2"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(fs::read_dir(repository.scratch()).unwrap().count(), 0);
    assert!(!is_worked_in(&repository.scratch()));
}

#[tokio::test]
async fn a_search_that_nobody_waits_for_any_more_ends_with_all_of_its_processes() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/shop.git", listener.local_addr().unwrap());
    let repository = Repository::new();
    let sources = repository.sources(&url, Duration::from_mins(10));
    let name = revision("main");
    let connected = tokio::task::spawn_blocking(move || listener.accept().unwrap());
    // Whoever asked is gone as soon as git has connected.
    let connection = tokio::select! {
        found = sources.find(&name) => panic!("{found:?}"),
        connection = connected => connection.unwrap(),
    };
    let begun = Instant::now();
    while is_worked_in(&repository.scratch()) {
        assert!(begun.elapsed() < Duration::from_secs(10), "git outlives the search");
        tokio::task::yield_now().await;
    }
    drop(connection);
    // What git was just writing when its folder was removed is for the next start.
    sources.clean().await;
    assert_eq!(fs::read_dir(repository.scratch()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_server_that_refuses_the_password_is_told_with_its_words_and_without_ours() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        use std::io::{BufRead as _, BufReader, Write as _};
        let mut passwords = Vec::new();
        // Without, and with.
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            passwords.extend(
                head.into_iter().find_map(|line| line.strip_prefix("Authorization: Basic ").map(str::to_owned)),
            );
            let refusal = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\n";
            write!(stream, "{refusal}Content-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        }
        passwords
    });
    let repository = Repository::new();
    let found = repository.sources(&format!("http://bot:hunter2@{address}/shop.git"), Duration::from_mins(1));
    let error = refused(found.find(&revision("main")).await, Code::GitUnreadable);
    assert!(error.contains("git ls-remote failed: ") && error.contains("Authentication failed"), "{error}");
    assert!(!error.contains("hunter2") && !error.contains("bot"), "{error}");
    // bot:hunter2
    assert_eq!(asked.join().unwrap(), ["Ym90Omh1bnRlcjI="]);
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_a_folder_that_the_next_start_removes() {
    let repository = Repository::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/shop.git", listener.local_addr().unwrap());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "source::git::reads_until_it_is_killed", "--ignored", "--nocapture"])
        .envs([("WINDLASS_TEST_URL", &url), ("WINDLASS_TEST_SCRATCH", &repository.scratch().display().to_string())])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Git is under way as soon as it has connected.
    let _connection = tokio::task::spawn_blocking(move || listener.accept().unwrap()).await.unwrap();
    let here = repository.sources(&url, Duration::from_secs(1));
    assert_eq!(here.clean().await, 0, "somebody works there");
    assert!(is_worked_in(&repository.scratch()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read_dir(repository.scratch()).unwrap().count(), 1);
    let begun = Instant::now();
    while is_worked_in(&repository.scratch()) {
        assert!(begun.elapsed() < Duration::from_secs(10), "git outlives whoever started it");
        tokio::task::yield_now().await;
    }
    assert_eq!(here.clean().await, 1);
    assert_eq!(fs::read_dir(repository.scratch()).unwrap().count(), 0);
}

/// The process of the test above.
#[tokio::test]
#[ignore = "run by a_process_that_is_killed_leaves_a_folder_that_the_next_start_removes"]
async fn reads_until_it_is_killed() {
    use windlass::fleet::Secret;
    use windlass::serve::source::GitSettings;
    let [url, scratch] = ["WINDLASS_TEST_URL", "WINDLASS_TEST_SCRATCH"].map(|name| std::env::var(name).unwrap());
    let git = GitSettings { url: Secret::new(url), path: ".".to_owned(), timeout: Duration::from_mins(10) };
    let sources = sources(Settings { git: Some(git), ..Settings::default() }, Path::new(&scratch));
    let _ = sources.find(&revision("main")).await;
}
