//! Tenants on servers: a world is a few lines over the tools that everybody has.

use std::process::Command;

use async_trait::async_trait;
use windlass::testing::{Place, Trial, World, WorldError};
use windlass::testing::{fails_cleanly_at_every_step, repeats_safely};

use super::{Folder, all};
use crate::support::{mariadb, oracle, postgres};

struct Postgres;

#[async_trait]
impl World for Postgres {
    async fn fresh(&self) -> Result<Place, WorldError> {
        let db = postgres::shared().await.database().await;
        let setup = "CREATE TABLE customers (name text); INSERT INTO customers VALUES ('ann'), ('bob'); \
                     ALTER TABLE customers OWNER TO app";
        postgres::Admin::to(&db).await.execute_all(setup).await;
        Ok(Place { url: db.url, schema: None })
    }

    async fn look(&self, at: &Place) -> Result<String, WorldError> {
        let mut dump = Command::new(postgres::program("pg_dump"));
        let dump = dump.args(["--exclude-table=windlass_*", "--dbname"]).arg(&at.url).output()?;
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        let text = String::from_utf8(dump.stdout)?;
        // A word that newer versions of pg_dump draw by lot.
        Ok(text
            .lines()
            .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
            .collect::<Vec<_>>()
            .join("\n"))
    }
}

struct MariaDb;

#[async_trait]
impl World for MariaDb {
    async fn fresh(&self) -> Result<Place, WorldError> {
        let db = mariadb::shared().await.database().await;
        let setup = "CREATE TABLE customers (name VARCHAR(20)); INSERT INTO customers VALUES ('ann'), ('bob')";
        mariadb::Admin::to(&db).await.execute_all(setup).await;
        Ok(Place { url: db.url, schema: None })
    }

    async fn look(&self, at: &Place) -> Result<String, WorldError> {
        let name = at.url.rsplit('/').next().and_then(|rest| rest.split('?').next()).ok_or("no database")?;
        Ok(oracle::dump_of_mariadb(mariadb::shared().await.port(), name))
    }
}

#[tokio::test]
async fn a_sound_release_is_let_through_on_postgres() {
    let email = (
        "ALTER TABLE customers ADD email text; UPDATE customers SET email = name || '@x';",
        "ALTER TABLE customers DROP email;",
    );
    let index = ("CREATE INDEX CONCURRENTLY names ON customers (name);", "DROP INDEX CONCURRENTLY names;");
    let folder = Folder::new(&[email, index]);
    let [fails, repeats, undo] = all(&Trial::of_release(folder.release(), Postgres).unwrap()).await.unwrap();
    let build = "in step migrate:0002_m, before CREATE INDEX CONCURRENTLY names ON customers (name)";
    assert!(fails.moments.iter().any(|moment| moment == build), "{fails:?}");
    assert!(repeats.moments.len() > fails.moments.len() && !undo.moments.is_empty());
}

#[tokio::test]
async fn a_sound_release_is_let_through_on_mariadb_statement_by_statement() {
    let two = (
        "CREATE TABLE orders (id INT);\nALTER TABLE customers ADD email VARCHAR(20);\nUPDATE customers SET email = name;",
        "ALTER TABLE customers DROP email;\nDROP TABLE orders;",
    );
    let folder = Folder::new(&[two]);
    let [fails, ..] = all(&Trial::of_release(folder.release(), MariaDb).unwrap()).await.unwrap();
    for statement in [
        "CREATE TABLE orders (id INT)",
        "ALTER TABLE customers ADD email VARCHAR(20)",
        "UPDATE customers SET email = name",
    ] {
        let moment = format!("in step migrate:0001_m, before {statement}");
        assert!(fails.moments.contains(&moment), "{fails:?}");
    }
}

#[tokio::test]
async fn a_statement_whose_own_undo_is_wrong_is_named_on_mariadb() {
    // The undo as a whole is right. That of the first statement by itself, which is run where the second one fails, is not.
    let wrong = (
        "CREATE TABLE orders (id INT);\n-- undo: SELECT 1\nCREATE INDEX names ON customers (name);",
        "DROP INDEX names ON customers;\nDROP TABLE orders;",
    );
    let folder = Folder::new(&[wrong]);
    let trial = Trial::of_release(folder.release(), MariaDb).unwrap();
    repeats_safely(&trial).await.unwrap();
    let broken = fails_cleanly_at_every_step(&trial).await.unwrap_err();
    assert_eq!(
        broken.moment.as_deref(),
        Some("in step migrate:0001_m, before CREATE INDEX names ON customers (name)"),
        "{broken}"
    );
    assert!(broken.what.contains("orders"), "{broken}");
}
