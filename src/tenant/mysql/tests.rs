//! What a stepwise migration stands on, with a real server: prints, and the rows around statements.

#[path = "../../../tests/it/support/mariadb.rs"]
#[allow(dead_code, missing_docs, reason = "the integration tests, whose server it is, ask more of it")]
mod mariadb;
#[path = "../../../tests/it/support/server.rs"]
#[allow(dead_code, missing_docs, reason = "the same")]
mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions as _;

use self::mariadb::{Admin, Db, PrivateMariaDb, shared};
use self::server::Durability;
use super::print::{Numbers, Of};
use super::session::MySession;
use crate::base::{Code, Coded as _, DeployId, Digest, Epoch, LogId, StepId, TenantId, WorkerId};
use crate::fleet::{Entry, SecretResolver, Source, Variables};
use crate::release::stepwise::{Object, ObjectKind};
use crate::saga::event::Half;
use crate::tenant::conn::Conn;
use crate::tenant::error::Outcome;
use crate::tenant::session::{
    Applied, Effect, FenceState, ForeignKeys, LedgerKey, Opening, Probe, Session as _, SetsSession, Unit,
};
use crate::tenant::stepwise::{Begun, Outcomes, State, Stepwise as _, Written};

/// A tenant and a deploy.
struct Stage {
    db: Db,
    conn: Conn,
    deploy: DeployId,
}

impl Stage {
    /// `app` is the tenant's own user, which sees what is its own; the superuser sees InnoDB's numbers as well.
    async fn new(superuser: bool) -> Self {
        let db = shared().await.database().await;
        let conn = Self::reach(if superuser { &db.superuser_url } else { &db.url }).await;
        Self { db, conn, deploy: DeployId::fresh() }
    }

    async fn reach(url: &str) -> Conn {
        let id = TenantId::new("acme").unwrap();
        let (url, labels) = (url.into(), BTreeMap::new());
        let source = Source::List(vec![Entry { id: id.clone(), url, schema: None, labels }]);
        // In clear only for this moment: a frozen URL would ask its source for the password.
        let variables = Variables::Fixed(BTreeMap::new());
        let resolver = SecretResolver::new(variables);
        let tenant = source.read(&resolver, Path::new("/")).await.unwrap().remove(0);
        let source = crate::fleet::RereadSource::new(
            source,
            resolver.clone(),
            Path::new("/").to_owned(),
            std::sync::Arc::new(crate::base::SystemClock),
        );
        let url = resolver.with_source(std::sync::Arc::new(source)).resolve(&tenant).await.unwrap();
        Conn::new(id, url)
    }

    async fn open(&self, epoch: u64) -> MySession {
        let opening = Opening {
            tenant: self.conn.tenant.clone(),
            deploy: self.deploy,
            log: LogId::fresh(),
            tenants: 1,
            worker: WorkerId(format!("worker {epoch}")),
            epoch: Epoch(epoch),
            lock_timeout: Duration::from_secs(20),
            statement_timeout: Duration::from_secs(30),
            ledger_schema: None,
        };
        super::open(&self.conn, &opening).await.unwrap()
    }

    async fn outside(&self, sql: &str) {
        Admin::to(&self.db).await.execute_all(sql).await;
    }

    /// As the tenant's own user, who sees the bodies of its own routines and of no others.
    async fn own(&self, sql: &str) {
        let connection = mariadb::plain(&self.db.url).connect().await.unwrap();
        Admin(connection).execute_all(sql).await;
    }

    async fn number(&self, sql: &str) -> i64 {
        Admin::to(&self.db).await.number(sql).await
    }

    fn key(&self) -> LedgerKey {
        LedgerKey { deploy: self.deploy, step: StepId("migrate:1".to_owned()), half: Half::Act }
    }

    fn unit(&self) -> Unit {
        Unit {
            key: self.key(),
            effect: Effect::Apply,
            version: "1".to_owned(),
            name: "1_name".to_owned(),
            digest: Digest::of(b"1"),
            statements: Vec::new(),
            sets_session: SetsSession::No,
            foreign_keys: ForeignKeys::Unchecked,
            fence: FenceState::Done,
        }
    }
}

fn object(kind: ObjectKind, name: &str) -> Object {
    Object { kind, schema: None, name: name.to_owned() }
}

/// What there is before the statements of [`CHANGES`].
const SCENE: &str = "CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, n int, KEY k (n));
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE `odd-ná me` (id int);
    CREATE TABLE parts (id int) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20));
    CREATE VIEW v AS SELECT id FROM t;
    CREATE SEQUENCE s;
    CREATE PROCEDURE p() SELECT 1;
    CREATE FUNCTION f() RETURNS int RETURN 1;
    CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO DO 0;
    CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.n = 1";

/// Statements one after the other, and the object that each changes.
const CHANGES: &[(&str, ObjectKind, &str)] = &[
    ("ALTER TABLE t ADD COLUMN m int", ObjectKind::Table, "t"),
    ("ALTER TABLE t ALTER COLUMN m SET DEFAULT 7", ObjectKind::Table, "t"),
    ("ALTER TABLE t ADD INDEX m (m)", ObjectKind::Table, "t"),
    ("ALTER TABLE t ADD CONSTRAINT small CHECK (m < 100)", ObjectKind::Table, "t"),
    ("ALTER TABLE t ADD CONSTRAINT up FOREIGN KEY (m) REFERENCES parent (id)", ObjectKind::Table, "t"),
    ("ALTER TABLE t COMMENT = 'all of them'", ObjectKind::Table, "t"),
    ("ALTER TABLE t CONVERT TO CHARACTER SET latin1", ObjectKind::Table, "t"),
    ("ALTER TABLE t RENAME COLUMN n TO o", ObjectKind::Table, "t"),
    ("CREATE INDEX o2 ON t (o)", ObjectKind::Table, "t"),
    ("DROP INDEX k ON t", ObjectKind::Table, "t"),
    ("RENAME TABLE t TO renamed", ObjectKind::Table, "t"),
    ("RENAME TABLE renamed TO t", ObjectKind::Table, "t"),
    ("ALTER TABLE `odd-ná me` ADD COLUMN a int", ObjectKind::Table, "odd-ná me"),
    ("ALTER TABLE parts ADD PARTITION (PARTITION p2 VALUES LESS THAN (30))", ObjectKind::Table, "parts"),
    ("CREATE TABLE u (id int)", ObjectKind::Table, "u"),
    ("DROP TABLE u", ObjectKind::Table, "u"),
    ("CREATE OR REPLACE VIEW v AS SELECT id, o FROM t", ObjectKind::View, "v"),
    ("DROP VIEW v", ObjectKind::View, "v"),
    ("ALTER SEQUENCE s INCREMENT 5", ObjectKind::Sequence, "s"),
    ("DROP SEQUENCE s", ObjectKind::Sequence, "s"),
    ("CREATE OR REPLACE PROCEDURE p() SELECT 2", ObjectKind::Procedure, "p"),
    ("CREATE OR REPLACE PROCEDURE p(a int) SELECT 2", ObjectKind::Procedure, "p"),
    ("ALTER PROCEDURE p SQL SECURITY INVOKER", ObjectKind::Procedure, "p"),
    ("DROP PROCEDURE p", ObjectKind::Procedure, "p"),
    ("DROP FUNCTION f", ObjectKind::Function, "f"),
    ("ALTER EVENT e DISABLE", ObjectKind::Event, "e"),
    ("ALTER EVENT e RENAME TO e2", ObjectKind::Event, "e"),
    ("DROP TRIGGER g", ObjectKind::Trigger, "g"),
    ("CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW SET @n = 1", ObjectKind::Trigger, "g"),
];

#[tokio::test]
async fn a_print_sees_every_change_of_a_definition_and_so_does_the_print_of_everything() {
    let it = Stage::new(false).await;
    it.own(SCENE).await;
    let mut session = it.open(1).await;
    for (change, kind, name) in CHANGES {
        let objects = [object(*kind, name)];
        let before = session.fingerprint(Of::Objects(&objects), Numbers::NotAsked).await.unwrap();
        let all_before = session.fingerprint(Of::All, Numbers::NotAsked).await.unwrap();
        assert_eq!(session.fingerprint(Of::All, Numbers::NotAsked).await.unwrap(), all_before);
        it.own(change).await;
        let after = session.fingerprint(Of::Objects(&objects), Numbers::NotAsked).await.unwrap();
        assert_ne!(before, after, "{change}");
        assert_ne!(session.fingerprint(Of::All, Numbers::NotAsked).await.unwrap(), all_before, "{change}");
        assert_eq!(session.fingerprint(Of::Objects(&objects), Numbers::NotAsked).await.unwrap(), after);
    }
}

#[tokio::test]
async fn what_no_definition_shows_is_seen_by_the_numbers_of_the_tables() {
    let it = Stage::new(true).await;
    it.outside(SCENE).await;
    it.outside("DROP TRIGGER g; INSERT INTO t VALUES (1, 2), (2, 3); INSERT INTO parts VALUES (1)").await;
    let mut session = it.open(1).await;
    let elsewhere = [Object { schema: Some("nowhere".to_owned()), ..object(ObjectKind::Table, "t") }];
    let print = session.fingerprint(Of::Objects(&elsewhere), Numbers::Asked).await.unwrap();
    assert_eq!(print, "table nowhere.t: absent");
    for (change, name) in [
        ("TRUNCATE t", "t"),
        ("OPTIMIZE TABLE t", "t"),
        ("ALTER TABLE t FORCE", "t"),
        ("ALTER TABLE t ENGINE = InnoDB", "t"),
        ("TRUNCATE `odd-ná me`", "odd-ná me"),
        ("ALTER TABLE parts TRUNCATE PARTITION p0", "parts"),
    ] {
        let objects = [object(ObjectKind::Table, name)];
        let mut prints = Vec::new();
        for of in [Of::Objects(&objects), Of::All] {
            prints.push(session.fingerprint(of, Numbers::Asked).await.unwrap());
        }
        let plain = session.fingerprint(Of::Objects(&objects), Numbers::NotAsked).await.unwrap();
        it.outside(change).await;
        for (of, before) in [Of::Objects(&objects), Of::All].into_iter().zip(prints) {
            assert_ne!(session.fingerprint(of, Numbers::Asked).await.unwrap(), before, "{change}");
        }
        assert_eq!(session.fingerprint(Of::Objects(&objects), Numbers::NotAsked).await.unwrap(), plain, "{change}");
    }
}

#[tokio::test]
async fn a_print_says_what_is_absent_and_does_not_move_with_rows_or_settings() {
    let it = Stage::new(false).await;
    it.outside(SCENE).await;
    let mut session = it.open(1).await;
    let absent = [
        object(ObjectKind::Table, "nowhere"),
        object(ObjectKind::Sequence, "t"),
        object(ObjectKind::View, "nowhere"),
        object(ObjectKind::Procedure, "nowhere"),
    ];
    let print = session.fingerprint(Of::Objects(&absent), Numbers::Asked).await.unwrap();
    assert_eq!(print, "table nowhere: absent; sequence t: absent; view nowhere: absent; procedure nowhere: absent");
    let objects: Vec<Object> = [
        (ObjectKind::Table, "t"),
        (ObjectKind::View, "v"),
        (ObjectKind::Sequence, "s"),
        (ObjectKind::Procedure, "p"),
        (ObjectKind::Function, "f"),
        (ObjectKind::Event, "e"),
        (ObjectKind::Trigger, "g"),
    ]
    .map(|(kind, name)| object(kind, name))
    .into();
    let before = session.fingerprint(Of::Objects(&objects), Numbers::Asked).await.unwrap();
    assert!(!before.contains("absent") && before.contains("numbers unseen"), "{before}");
    it.outside("INSERT INTO t (n) VALUES (1), (2); SELECT NEXTVAL(s)").await;
    session
        .run_alone(Half::Act, "SET NAMES latin1, sql_mode = 'ANSI_QUOTES,NO_TABLE_OPTIONS', time_zone = '+05:00'")
        .await
        .unwrap();
    session.run_alone(Half::Act, "USE information_schema").await.unwrap();
    assert_eq!(session.fingerprint(Of::Objects(&objects), Numbers::Asked).await.unwrap(), before);
    // And what the migration has set is still set.
    let mode = "SELECT 1 FROM information_schema.SESSION_VARIABLES WHERE VARIABLE_NAME = 'SQL_MODE' AND VARIABLE_VALUE LIKE '%ANSI%'";
    assert_eq!(session.rows(mode.to_owned(), 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_rows_around_a_script_say_how_far_it_has_come() {
    let it = Stage::new(false).await;
    let mut session = it.open(1).await;
    let (key, touched) = (it.key(), [object(ObjectKind::Table, "t")]);
    assert_eq!(session.begun(&key).await.unwrap(), []);
    let before = session.fingerprint(Of::Objects(&touched), Numbers::NotAsked).await.unwrap();
    assert_eq!(session.intend(&key, 1, &before).await.unwrap(), Written::Now);
    assert_eq!(session.intend(&key, 1, "other").await.unwrap(), Written::Before);
    session.run_alone(Half::Act, "CREATE TABLE t (id int)").await.unwrap();
    let after = session.fingerprint(Of::Objects(&touched), Numbers::NotAsked).await.unwrap();

    // Another worker finds the intent, and the print tells it.
    let mut later = it.open(2).await;
    let intent = Begun { number: 1, state: State::Intent, before, after: String::new(), epoch: Epoch(1) };
    assert_eq!(later.begun(&key).await.unwrap(), std::slice::from_ref(&intent));
    assert_eq!(later.fingerprint(Of::Objects(&touched), Numbers::NotAsked).await.unwrap(), after);
    later.settle(&key, 1, &after).await.unwrap();
    for expected in [Written::Now, Written::Before] {
        assert_eq!(later.run_with_outcome(&key, 2, &["INSERT INTO t VALUES (1)".to_owned()]).await.unwrap(), expected);
    }
    later.intend(&key, 3, "x").await.unwrap();
    later.forget(&key, 3).await.unwrap();
    later.intend(&key, 3, "y").await.unwrap();
    assert_eq!(later.finish(&it.unit(), Outcomes::Due).await.unwrap(), Applied::Now);
    let done = |number, before: &str, after: &str| Begun {
        number,
        state: State::Done,
        before: before.to_owned(),
        after: after.to_owned(),
        epoch: Epoch(2),
    };
    let expected = [done(1, &intent.before, &after), done(2, "", ""), done(3, "y", "")];
    assert_eq!(later.begun(&key).await.unwrap(), expected);
    assert!(matches!(later.probe(&key), Probe::Applied(_)));
    assert_eq!(it.number("SELECT COUNT(*) FROM t").await, 1);
    assert_eq!(it.number("SELECT COUNT(*) FROM windlass_fence WHERE state = 'done'").await, 1);
}

#[tokio::test]
async fn a_statement_that_fails_with_its_outcome_leaves_neither() {
    let it = Stage::new(false).await;
    it.outside("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (7)").await;
    let mut session = it.open(1).await;
    let error =
        session.run_with_outcome(&it.key(), 4, &["INSERT INTO t VALUES (1), (7)".to_owned()]).await.unwrap_err();
    assert_eq!((error.outcome, error.failure.statement), (Outcome::NoEffect, Some(4)));
    assert_eq!(error.failure.server_code.as_deref(), Some("ER_DUP_ENTRY 1062"));
    let torn = session.run_with_outcome(&it.key(), 4, &["CREATE TABLE u (id int)".to_owned()]).await.unwrap_err();
    assert_eq!((torn.code(), torn.outcome), (Code::TransactionBroken, Outcome::Torn));
    assert_eq!(session.begun(&it.key()).await.unwrap(), []);
    assert_eq!(it.number("SELECT COUNT(*) FROM t").await, 1);
    // And alone: what the server says is what the session says.
    let error = session.run_alone(Half::Act, "CREATE TABLE t (id int)").await.unwrap_err();
    assert_eq!(
        (error.outcome, error.failure.server_code.as_deref()),
        (Outcome::NoEffect, Some("ER_TABLE_EXISTS_ERROR 1050"))
    );
}

#[tokio::test]
async fn a_worker_whose_fence_was_raised_writes_nothing() {
    let it = Stage::new(false).await;
    it.outside("CREATE TABLE t (id int)").await;
    let (mut session, key) = (it.open(1).await, it.key());
    session.intend(&key, 1, "x").await.unwrap();
    it.outside("UPDATE windlass_fence SET epoch = 9").await;
    let errors = [
        session.intend(&key, 2, "x").await.unwrap_err(),
        session.settle(&key, 1, "y").await.unwrap_err(),
        session.forget(&key, 1).await.unwrap_err(),
        session.run_with_outcome(&key, 2, &["INSERT INTO t VALUES (1)".to_owned()]).await.unwrap_err(),
        session.finish(&it.unit(), Outcomes::Due).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.code(), error.outcome), (Code::TenantFenced, Outcome::NoEffect), "{error}");
    }
    assert_eq!(
        it.number("SELECT COUNT(*) FROM windlass_statement WHERE state = 'intent' AND before_print = 'x'").await,
        1
    );
    assert_eq!(it.number("SELECT (SELECT COUNT(*) FROM windlass_ledger) + (SELECT COUNT(*) FROM t)").await, 0);
}

#[tokio::test]
async fn a_worker_in_a_long_alter_is_ended_and_its_alter_has_not_happened() {
    let it = Stage::new(false).await;
    it.outside("CREATE TABLE many (id int PRIMARY KEY, n int); INSERT INTO many SELECT seq, seq FROM seq_1_to_300000")
        .await;
    let (mut session, key, touched) = (it.open(1).await, it.key(), [object(ObjectKind::Table, "many")]);
    let before = session.fingerprint(Of::Objects(&touched), Numbers::NotAsked).await.unwrap();
    session.intend(&key, 1, &before).await.unwrap();
    let alter = "ALTER TABLE many MODIFY n bigint NOT NULL, ALGORITHM = COPY";
    // An open transaction that has read the table: the ALTER copies it, and then waits to put the copy in its place.
    let mut reader = Admin::to(&it.db).await;
    reader.execute_all("START TRANSACTION; SELECT MAX(n) FROM many").await;
    let zombie = tokio::spawn(async move { session.run_alone(Half::Act, alter).await });
    let at_work = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{}' AND info LIKE 'ALTER%' AND state LIKE 'Waiting for table metadata lock%'",
        it.db.name
    );
    shared().await.admin().await.until(&at_work).await;
    let mut later = it.open(2).await;
    assert_eq!(later.fingerprint(Of::Objects(&touched), Numbers::NotAsked).await.unwrap(), before);
    assert_eq!(zombie.await.unwrap().unwrap_err().outcome, Outcome::Unknown);
    assert_eq!(later.begun(&key).await.unwrap()[0].state, State::Intent);
    reader.execute_all("COMMIT").await;
    later.run_alone(Half::Act, alter).await.unwrap();
    assert_ne!(later.fingerprint(Of::Objects(&touched), Numbers::NotAsked).await.unwrap(), before);
}

/// What a killed server leaves of a statement is what was before or what is after, and the print says which.
#[tokio::test]
async fn after_the_server_was_killed_in_a_statement_the_print_is_that_of_before_or_after() {
    let mut server = PrivateMariaDb::start(Durability::Fsync).await;
    let db = server.database().await;
    let it = Stage { conn: Stage::reach(&db.url).await, db, deploy: DeployId::fresh() };
    it.outside("CREATE TABLE many (id int PRIMARY KEY, n int); INSERT INTO many SELECT seq, seq FROM seq_1_to_300000")
        .await;
    let touched = [object(ObjectKind::Table, "many")];
    let script = ["CREATE INDEX by_n ON many (n)", "ALTER TABLE many MODIFY n bigint NOT NULL, ALGORITHM = COPY"];
    for (epoch, number, statement) in [(1, 1, script[0]), (3, 2, script[1])] {
        let mut session = it.open(epoch).await;
        let before = session.fingerprint(Of::Objects(&touched), Numbers::NotAsked).await.unwrap();
        session.intend(&it.key(), number, &before).await.unwrap();
        let running = tokio::spawn(async move { session.run_alone(Half::Act, statement).await });
        let begins = statement.split(' ').next().unwrap();
        let at_work = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '{begins}%'");
        let mut admin = server.admin().await;
        while !running.is_finished() && admin.number(&at_work).await == 0 {
            tokio::task::yield_now().await;
        }
        server.kill9();
        // On a fast machine it was over already.
        if let Err(error) = running.await.unwrap() {
            assert_eq!(error.outcome, Outcome::Unknown);
        }
        server.restart_in_place().await;

        let mut later = it.open(epoch + 1).await;
        let found = later.fingerprint(Of::Objects(&touched), Numbers::NotAsked).await.unwrap();
        if found == before {
            later.run_alone(Half::Act, statement).await.unwrap();
        }
        let after = later.fingerprint(Of::Objects(&touched), Numbers::NotAsked).await.unwrap();
        assert_ne!(after, before);
        later.settle(&it.key(), number, &after).await.unwrap();
    }
    let mut last = it.open(5).await;
    last.finish(&it.unit(), Outcomes::Written).await.unwrap();
    // What a server does that was never killed.
    it.outside("CREATE TABLE other LIKE many; ALTER TABLE other DROP INDEX by_n, MODIFY n int").await;
    for statement in script {
        it.outside(&statement.replace("many", "other")).await;
    }
    let shown = async |table: &str| {
        Admin::to(&it.db).await.text(&format!(
        "SELECT GROUP_CONCAT(COLUMN_TYPE, IS_NULLABLE, COLUMN_KEY ORDER BY ORDINAL_POSITION) FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}'"
    )).await
    };
    assert_eq!(shown("many").await, shown("other").await);
    assert_eq!(it.number("SELECT COUNT(*) FROM many").await, 300_000);
}
