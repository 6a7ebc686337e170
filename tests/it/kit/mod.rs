//! The test kit for releases, workflows and step kinds of one's own: it lets through what is right, and names the step where something
//! is wrong.

mod servers;
mod steps;

use windlass::release::{Release, load};
use windlass::testing::{Broken, SqliteFiles, Trial, Tried};
use windlass::testing::{fails_cleanly_at_every_step, repeats_safely, undo_repeats_safely};

/// A folder, with migrations: `(up, down)`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(migrations: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.0.path().join("migrations")).unwrap();
        for (number, (up, down)) in (1..).zip(migrations) {
            let of = |kind: &str| folder.0.path().join(format!("migrations/{number:04}_m.{kind}.sql"));
            std::fs::write(of("up"), up).unwrap();
            std::fs::write(of("down"), down).unwrap();
        }
        folder
    }

    fn release(&self) -> Release {
        load(&self.0.path().join("migrations"), None).unwrap()
    }

    fn files(&self) -> SqliteFiles {
        SqliteFiles::new(self.0.path().join("tenants"), SETUP)
    }

    fn trial(&self) -> Trial {
        Trial::of_release(self.release(), self.files()).unwrap()
    }
}

const SETUP: &str = "CREATE TABLE customers (name TEXT NOT NULL); INSERT INTO customers VALUES ('ann'), ('bob');";
const ORDERS: (&str, &str) =
    ("CREATE TABLE orders (id INTEGER); INSERT INTO orders VALUES (1), (2);", "DROP TABLE orders;");

/// All three promises.
async fn all(trial: &Trial) -> Result<[Tried; 3], Broken> {
    Ok([fails_cleanly_at_every_step(trial).await?, repeats_safely(trial).await?, undo_repeats_safely(trial).await?])
}

#[tokio::test]
async fn a_sound_release_is_let_through_and_it_is_said_what_was_tried() {
    let email = (
        "ALTER TABLE customers ADD COLUMN email TEXT; UPDATE customers SET email = name || '@x';",
        "ALTER TABLE customers DROP COLUMN email;",
    );
    let folder = Folder::new(&[ORDERS, email]);
    let [fails, repeats, undo] = all(&folder.trial()).await.unwrap();
    let steps = ["preflight", "migrate:0001_m", "migrate:0002_m", "switch"];
    assert_eq!(
        (fails.steps.clone(), repeats.steps),
        (steps.map(str::to_owned).to_vec(), steps.map(str::to_owned).to_vec())
    );
    assert_eq!(undo.steps, ["migrate:0002_m", "migrate:0001_m"]);
    assert!(
        fails.moments.contains(&"in step migrate:0002_m, before the transaction of 2 statements".to_owned()),
        "{fails:?}"
    );
    assert!(undo.moments.contains(&"after the undo of step migrate:0001_m".to_owned()), "{undo:?}");
    let said = fails.to_string();
    let steps = "at 4 steps: preflight, migrate:0001_m, migrate:0002_m, switch";
    assert!(said.starts_with("fails cleanly at every step: held in ") && said.ends_with(steps), "{said}");
}

#[tokio::test]
async fn an_undo_that_leaves_something_behind_is_named_with_its_step_and_the_history() {
    // The second undo forgets the row that its migration has changed.
    let folder = Folder::new(&[ORDERS, ("UPDATE customers SET name = 'eve' WHERE name = 'bob'", "SELECT 1")]);
    let broken = fails_cleanly_at_every_step(&folder.trial()).await.unwrap_err();
    assert_eq!(broken.promise, Some("fails cleanly at every step"));
    // Whatever fails after it shows it first.
    assert_eq!(broken.step.as_deref(), Some("switch"), "{broken}");
    assert!(broken.what.contains("where \"  'bob'\" should be seen there is \"  'eve'\""), "{broken}");
    assert!(broken.history.iter().any(|line| line.contains("migrate:0002_m undone")), "{broken}");
    assert!(broken.to_string().contains("what happened:\n"), "{broken}");
    let broken = undo_repeats_safely(&folder.trial()).await.unwrap_err();
    assert!(broken.moment.is_none() && broken.what.contains("'eve'"), "undisturbed, it is wrong already: {broken}");
}

#[tokio::test]
async fn statements_that_commit_by_themselves_fail_one_by_one() {
    let sound = ("CREATE TABLE a (id INTEGER); VACUUM; CREATE TABLE b (id INTEGER);", "DROP TABLE b; DROP TABLE a;");
    let folder = Folder::new(&[sound]);
    let [fails, repeats, undo] = all(&folder.trial()).await.unwrap();
    assert!(fails.moments.contains(&"in step migrate:0001_m, before VACUUM".to_owned()), "{fails:?}");
    assert!(repeats.moments.contains(&"in step migrate:0001_m, after VACUUM".to_owned()), "{repeats:?}");
    assert!(!undo.moments.is_empty());
}

#[tokio::test]
async fn a_release_that_does_not_even_complete_is_told_before_anything_is_tried() {
    let folder = Folder::new(&[("CREATE UNIQUE INDEX names ON nowhere (name);", "DROP INDEX names;")]);
    let broken = repeats_safely(&folder.trial()).await.unwrap_err();
    assert!(broken.step.is_none(), "{broken}");
    assert!(broken.what.starts_with("the deploy should have ended as Completed, and it ended as Unwound"), "{broken}");
    let broken = Trial::of_workflow("name = ", folder.release(), folder.files()).err().unwrap();
    assert!(broken.to_string().starts_with("not tried: "), "{broken}");
}

#[tokio::test]
async fn a_look_that_differs_each_time_is_told() {
    let folder = Folder::new(&[(
        "INSERT INTO customers VALUES (hex(randomblob(16)));",
        "DELETE FROM customers WHERE length(name) = 32;",
    )]);
    let broken = repeats_safely(&folder.trial()).await.unwrap_err();
    assert!(broken.what.contains("two undisturbed deploys left tenants that do not look alike"), "{broken}");
}
