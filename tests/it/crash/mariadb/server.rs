//! The server killed with -9 in the middle of a definition, and started again.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use super::{Text, at_work, fleet_of_one, migration};
use crate::crash::fleet::{Fleet, Way};
use crate::crash::judge;
use crate::crash::running::Running;
use crate::crash::server::{DEPLOY, PATIENT, retrying};
use crate::support::mariadb::PrivateMariaDb;
use crate::support::server::{Durability, READY_WITHIN};

/// How often each case is tried, and how often with `WINDLASS_LONG=1`.
const ROUNDS: [usize; 2] = [1, 8];

/// By which sign a test sees that the server is in the middle of a statement.
#[derive(Debug, Clone, Copy)]
enum Sign {
    /// It stands in the process list, beginning so.
    AtWork(&'static str),
    /// The first of these files is gone. The second goes last.
    Gone([&'static str; 2]),
}

/// A statement, and how it is caught.
#[derive(Debug)]
struct Case {
    name: &'static str,
    founding: &'static str,
    text: Text,
    sign: Sign,
}

/// A table with enough in it for a server to be seen at work on it.
const BIG: &str = "CREATE TABLE big (id INT PRIMARY KEY, filler CHAR(200) NOT NULL);
    INSERT INTO big SELECT seq, CONCAT(seq * 7919 % 100003, REPEAT('x', 190)) FROM seq_1_to_100000;";

/// So many tables that they do not all go, or get other names, in one moment.
const EIGHT: &str = "CREATE TABLE a (id INT PRIMARY KEY); INSERT INTO a SELECT seq FROM seq_1_to_1000;
    CREATE TABLE b LIKE a; CREATE TABLE c LIKE a; CREATE TABLE d LIKE a; CREATE TABLE e LIKE a; CREATE TABLE f LIKE a;
    CREATE TABLE g LIKE a; CREATE TABLE h LIKE a; INSERT INTO h SELECT id FROM a";

/// In each, the statement that is killed is the last of three of both kinds: before it, a definition and a row that would show if they
/// took effect twice.
const CASES: [Case; 4] = [
    Case {
        name: "alter",
        founding: BIG,
        text: migration(
            "0001_alter",
            "CREATE TABLE marks (id INT PRIMARY KEY);
INSERT INTO marks SELECT COUNT(*) FROM marks;
-- undo: DELETE FROM marks;
ALTER TABLE big ADD COLUMN n INTEGER NOT NULL DEFAULT 7, ALGORITHM=COPY;
",
            "ALTER TABLE big DROP COLUMN n;\nDROP TABLE marks;\n",
        ),
        sign: Sign::AtWork("ALTER TABLE big"),
    },
    Case {
        name: "index",
        founding: BIG,
        text: migration(
            "0001_index",
            "CREATE TABLE marks (id INT PRIMARY KEY);
INSERT INTO marks SELECT COUNT(*) FROM marks;
-- undo: DELETE FROM marks;
CREATE INDEX big_filler ON big (filler);
",
            "DROP INDEX big_filler ON big;\nDROP TABLE marks;\n",
        ),
        sign: Sign::AtWork("CREATE INDEX big_filler"),
    },
    Case {
        name: "rename",
        founding: EIGHT,
        text: migration(
            "0001_rename",
            "CREATE TABLE marks (id INT PRIMARY KEY);
INSERT INTO marks SELECT COUNT(*) FROM marks;
-- undo: DELETE FROM marks;
RENAME TABLE a TO a1, b TO b1, c TO c1, d TO d1, e TO e1, f TO f1, g TO g1, h TO h1;
",
            "RENAME TABLE a1 TO a, b1 TO b, c1 TO c, d1 TO d, e1 TO e, f1 TO f, g1 TO g, h1 TO h;\nDROP TABLE marks;\n",
        ),
        sign: Sign::Gone(["a.frm", "h.frm"]),
    },
    Case {
        name: "drop",
        founding: EIGHT,
        text: migration(
            "0001_drop",
            "CREATE TABLE marks (id INT PRIMARY KEY);
INSERT INTO marks SELECT COUNT(*) FROM marks;
-- undo: DELETE FROM marks;
DROP TABLE a, b, c, d, e, f, g, h;
",
            "CREATE TABLE a (id INT PRIMARY KEY);
CREATE TABLE b LIKE a;
CREATE TABLE c LIKE a;
CREATE TABLE d LIKE a;
CREATE TABLE e LIKE a;
CREATE TABLE f LIKE a;
CREATE TABLE g LIKE a;
CREATE TABLE h LIKE a;
DROP TABLE marks;
",
        ),
        sign: Sign::Gone(["a.frm", "h.frm"]),
    },
];

/// The migrations of all cases.
pub(super) fn texts() -> impl Iterator<Item = Text> {
    CASES.into_iter().map(|case| case.text)
}

/// Who takes the deploy up when the server is there again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The process that has seen the server go, by trying again.
    Itself,
    /// Another one: the first was killed together with the server.
    Resume,
}

/// How often what was seen.
#[derive(Default)]
struct Tally {
    killed: usize,
    /// Of several tables, the server had done one and not all.
    half: usize,
}

impl Case {
    async fn fleet(&self, server: &PrivateMariaDb, name: &str) -> Fleet {
        let fleet = fleet_of_one(server.port(), &format!("{}_{name}", self.name), self.founding, &self.text).await;
        retrying(&fleet, PATIENT);
        fleet
    }

    /// Starts a deploy, and comes back when the server is in the middle.
    async fn in_the_middle(&self, server: &PrivateMariaDb, fleet: &Fleet) -> Running {
        let mut admin = server.admin().await;
        let mut running = Running::start(fleet.command(&DEPLOY));
        match self.sign {
            Sign::AtWork(statement) => admin.until(&at_work(fleet, statement)).await,
            Sign::Gone([first, _]) => {
                until_gone(&server.files_of(&fleet.place("acme").database).join(first), &mut running);
            }
        }
        running
    }

    /// Kills the server in the middle of one deploy after the other, and holds the ends against that of a deploy that nobody
    /// disturbed.
    async fn survives(&self, server: &mut PrivateMariaDb, rounds: usize, tally: &mut Tally) {
        let calm = self.fleet(server, "calm").await;
        calm.run(&DEPLOY).ends_with(0);
        let expected = calm.sight().await;
        calm.remove().await;
        for (round, by) in (0..rounds).flat_map(|round| [(round, By::Itself), (round, By::Resume)]) {
            let fleet = self.fleet(server, &format!("{by:?}{round}").to_lowercase()).await;
            let running = self.in_the_middle(server, &fleet).await;
            server.kill9();
            tally.killed += 1;
            if let Sign::Gone(files) = self.sign {
                let folder = server.files_of(&fleet.place("acme").database);
                tally.half += usize::from(files.map(|file| folder.join(file).exists()) == [false, true]);
            }
            let ran = match by {
                By::Itself => {
                    server.restart_in_place().await;
                    running.ends().await
                }
                By::Resume => {
                    // With the value goes the process, by SIGKILL.
                    drop(running);
                    server.restart_in_place().await;
                    fleet.run(&["resume"])
                }
            };
            let what = format!("{}, taken up by {by:?}", self.name);
            assert_eq!(ran.code, Some(0), "{what}: {ran:?}");
            let faults = judge::faults(&fleet, Way::Forward.outcome(), &expected).await;
            assert_eq!(faults, Vec::<String>::new(), "{what}: {ran:?}");
            fleet.remove().await;
        }
    }
}

/// Looks at a file, as often as the machine can, until it is gone.
fn until_gone(file: &Path, running: &mut Running) {
    let deadline = Instant::now() + READY_WITHIN;
    while file.exists() {
        assert!(Instant::now() < deadline && running.is_running(), "{} has not gone", file.display());
    }
}

#[tokio::test]
async fn a_deploy_whose_server_is_killed_in_the_middle_of_a_definition_completes_as_if_it_had_not_been() {
    let rounds = ROUNDS[usize::from(std::env::var_os("WINDLASS_LONG").is_some())];
    let mut server = PrivateMariaDb::start(Durability::Fsync).await;
    let mut tally = Tally::default();
    for case in CASES {
        case.survives(&mut server, rounds, &mut tally).await;
    }
    let _ = writeln!(
        std::io::stderr(),
        "server killed: mariadb: {} times in the middle of a definition, {} of them between its first table and its last, all ended as undisturbed",
        tally.killed,
        tally.half
    );
}
