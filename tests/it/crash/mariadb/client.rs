//! The client killed in the middle of a long ALTER: its server knows nothing of that, and goes on.

use std::os::unix::process::ExitStatusExt as _;

use super::{Text, at_work, fleet_of_one, migration};
use crate::crash::fleet::Way;
use crate::crash::judge;
use crate::support::mariadb::{Admin, shared};
use crate::support::oracle::dump_of_mariadb;

/// A table whose copying takes a server a second or two, and one that accepts no unique key.
const FOUNDING: &str = "CREATE TABLE big (id INT PRIMARY KEY, filler CHAR(200) NOT NULL);
    INSERT INTO big SELECT seq, REPEAT('x', 200) FROM seq_1_to_200000;
    CREATE TABLE words (id INT PRIMARY KEY, word VARCHAR(20) NOT NULL); INSERT INTO words VALUES (1, 'a'), (2, 'a');";

/// The rows that it inserts count those that the ALTER has made.
pub(super) const GROWS: Text = migration(
    "0001_grows",
    "CREATE TABLE marks (id INT PRIMARY KEY, what VARCHAR(20) NOT NULL);
ALTER TABLE big ADD COLUMN n INTEGER NOT NULL DEFAULT 7, ALGORITHM=COPY;
INSERT INTO marks SELECT COUNT(*), 'grown' FROM big WHERE n = 7;
",
    "ALTER TABLE big DROP COLUMN n;\nDROP TABLE marks;\n",
);

/// Its third statement fails, and the undo of the second is as long as the second.
pub(super) const SHRINKS: Text = migration(
    "0001_shrinks",
    "CREATE TABLE marks (id INT PRIMARY KEY, what VARCHAR(20) NOT NULL);
ALTER TABLE big ADD COLUMN n INTEGER NOT NULL DEFAULT 7;
-- undo: ALTER TABLE big DROP COLUMN n, ALGORITHM=COPY;
CREATE UNIQUE INDEX once ON words (word);
",
    "DROP INDEX once ON words;\nALTER TABLE big DROP COLUMN n;\nDROP TABLE marks;\n",
);

/// When another process takes the deploy up.
#[derive(Debug, Clone, Copy)]
enum TakenUp {
    /// When the first has just died, wherever the server may be.
    AtOnce,
    /// As soon as the server is seen at work on the statement of the dead.
    WhileItRuns,
    /// When it has brought it to its end.
    WhenItIsOver,
}

/// Kills a deploy at the passage of a point, in which the server begins with an `ALTER TABLE big`, and holds the end against that of a
/// deploy that nobody disturbed.
async fn is_taken_up(way: Way, text: &Text, passage: &str) {
    let server = shared().await;
    let mut admin = server.admin().await;
    let name = format!("alter_{way:?}").to_lowercase();
    let calm = fleet_of_one(server.port(), &format!("{name}_calm"), FOUNDING, text).await;
    let before = dump_of_mariadb(server.port(), &calm.place("acme").database);
    calm.run(&["deploy"]).ends_with(way.exit());
    let expected = calm.sight().await;
    let after = dump_of_mariadb(server.port(), &calm.place("acme").database);
    assert_eq!(before == after, way == Way::Unwind, "{after}");
    calm.remove().await;
    for (at, taken_up) in [TakenUp::AtOnce, TakenUp::WhileItRuns, TakenUp::WhenItIsOver].into_iter().enumerate() {
        let fleet = fleet_of_one(server.port(), &format!("{name}_{at}"), FOUNDING, text).await;
        let killed = fleet.command(&["deploy"]).env("WINDLASS_CRASH_AT", passage).output().unwrap();
        assert_eq!(killed.status.signal(), Some(9), "{killed:?}");
        let at_work = at_work(&fleet, "ALTER TABLE big");
        match taken_up {
            TakenUp::AtOnce => {}
            TakenUp::WhileItRuns => admin.until(&at_work).await,
            TakenUp::WhenItIsOver => goes_on_to_its_end(&mut admin, &at_work).await,
        }
        let resumed = fleet.run(&["resume"]);
        assert_eq!(resumed.code, Some(way.exit()), "{taken_up:?}: {resumed:?}");
        assert_eq!(judge::faults(&fleet, way.outcome(), &expected).await, Vec::<String>::new(), "{taken_up:?}");
        fleet.remove().await;
    }
}

async fn goes_on_to_its_end(admin: &mut Admin, at_work: &str) {
    admin.until(at_work).await;
    admin.until(&format!("SELECT 1 - ({at_work})")).await;
}

#[tokio::test]
async fn a_deploy_whose_client_was_killed_in_a_long_alter_completes_as_if_it_had_not_been() {
    is_taken_up(Way::Forward, &GROWS, "inside-effect:2").await;
}

#[tokio::test]
async fn an_unwind_whose_client_was_killed_in_a_long_alter_takes_it_all_back() {
    is_taken_up(Way::Unwind, &SHRINKS, "inside-undo-effect:1").await;
}
