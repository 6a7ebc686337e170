//! A folder per revision.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::TempDir;
use windlass::base::Code;
use windlass::serve::source::{Found, Settings, SourceError, SourceKind};

use super::{labels, refused, revision, sources};

/// `<top>/releases/<revision>/migrations`, and `<top>/elsewhere` beside it.
struct Releases(TempDir);

impl Releases {
    fn new() -> Self {
        let releases = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(releases.at("releases")).unwrap();
        releases
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn add(&self, folder: &str) {
        fs::create_dir_all(self.at(folder)).unwrap();
        fs::write(self.at(folder).join("0001_orders.up.sql"), "CREATE TABLE orders (id INTEGER)").unwrap();
    }

    async fn find(&self, name: &str) -> Result<Found, SourceError> {
        let folder = Some(format!("{}/{{revision}}/migrations", self.at("releases").display()));
        sources(Settings { folder, ..Settings::default() }, self.0.path()).find(&revision(name)).await
    }
}

#[tokio::test]
async fn the_folder_of_a_revision_is_its_release() {
    let releases = Releases::new();
    releases.add("releases/v1/migrations");
    let found = releases.find("v1").await.unwrap();
    assert_eq!((labels(&found), found.source), (vec!["0001_orders"], SourceKind::Folder));
    assert_eq!(found.origin, format!("folder {}", releases.at("releases/v1/migrations").display()));
}

#[tokio::test]
async fn what_is_not_there_is_said_with_where_it_was_looked_for() {
    let releases = Releases::new();
    fs::write(releases.at("releases/file"), "").unwrap();
    fs::create_dir(releases.at("releases/v2")).unwrap();
    fs::write(releases.at("releases/v2/migrations"), "").unwrap();
    symlink("nowhere", releases.at("releases/v3")).unwrap();
    for name in ["v1", "file", "v2", "v3", "feature/x"] {
        let error = refused(releases.find(name).await, Code::RevisionUnknown);
        assert!(error.contains(&format!("releases/{name}/migrations")), "{error}");
    }
    fs::remove_dir_all(releases.at("releases")).unwrap();
    let error = refused(releases.find("v1").await, Code::RevisionUnknown);
    assert!(error.contains("the folder before the revision is not there"), "{error}");
}

#[tokio::test]
async fn a_folder_that_is_no_release_says_so_in_the_releases_own_words() {
    let releases = Releases::new();
    fs::create_dir_all(releases.at("releases/v1/migrations")).unwrap();
    refused(releases.find("v1").await, Code::ReleaseEmpty);
    fs::write(releases.at("releases/v1/migrations/seed.sql"), "").unwrap();
    let error = refused(releases.find("v1").await, Code::BadMigrationName);
    assert!(error.starts_with("revision v1, folder ") && error.contains("seed.sql"), "{error}");
}

#[tokio::test]
async fn a_link_among_the_releases_is_followed_and_one_that_leads_out_of_them_is_not() {
    let releases = Releases::new();
    releases.add("releases/v1/migrations");
    releases.add("elsewhere/migrations");
    symlink("v1", releases.at("releases/current")).unwrap();
    assert_eq!(labels(&releases.find("current").await.unwrap()), ["0001_orders"]);
    // A folder beside the releases whose name begins with theirs is not among them.
    releases.add("releases-old/migrations");
    fs::create_dir(releases.at("releases/v4")).unwrap();
    for (link, to) in [
        ("releases/v2", "../elsewhere"),
        ("releases/v3", "../releases-old"),
        ("releases/v4/migrations", "../../elsewhere/migrations"),
        ("releases/v5", ".."),
    ] {
        symlink(to, releases.at(link)).unwrap();
    }
    // Through this one, the way to the migrations comes back to the top itself.
    symlink("releases", releases.at("migrations")).unwrap();
    for name in ["v2", "v3", "v4", "v5"] {
        let error = refused(releases.find(name).await, Code::RevisionUnknown);
        assert!(error.contains("which is not in"), "{error}");
    }
}

#[tokio::test]
async fn a_migration_that_is_a_link_stays_among_the_releases_as_well() {
    let releases = Releases::new();
    releases.add("releases/v1/migrations");
    fs::write(releases.at("releases/shared.sql"), "SELECT 2").unwrap();
    fs::write(releases.at("secret"), "password").unwrap();
    symlink("../../shared.sql", releases.at("releases/v1/migrations/0002_shared.sql")).unwrap();
    assert_eq!(labels(&releases.find("v1").await.unwrap()), ["0001_orders", "0002_shared"]);
    symlink("../../../secret", releases.at("releases/v1/migrations/0003_secret.sql")).unwrap();
    let error = refused(releases.find("v1").await, Code::RevisionUnknown);
    assert!(error.contains("0003_secret.sql leads to") && !error.contains("password"), "{error}");
}
