//! What a script sets for its statements is set when they are looked for, and when they are taken back.

use windlass::tenant::course::{self, TakenBack};
use windlass::tenant::{FenceState, SetsSession, Stride, Unit};

use super::super::subject::{Kind, Subject};
use super::{Script, carried_on, carry_on, indexes, invalid, killed, strides};

/// Two schemas with a table of the same name, and the settings by which a script finds the second.
const TWINS: &str = "CREATE SCHEMA side; CREATE TABLE t (a int PRIMARY KEY, b int); INSERT INTO t VALUES (1, 1);
                     CREATE TABLE side.t (a int PRIMARY KEY, b int)";

#[tokio::test]
async fn a_part_is_taken_back_where_the_settings_of_its_script_had_put_it() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside(
        "CREATE SCHEMA side; CREATE TABLE kept (a int); INSERT INTO kept VALUES (1); CREATE TABLE first (a int)",
    )
    .await;
    let act = Script::up(
        &it,
        "ALTER TABLE first ADD COLUMN b int; SET search_path = side; CREATE TABLE kept (a int);
         CREATE INDEX CONCURRENTLY i ON missing (a)",
    );
    let mut undos: Vec<Option<Stride>> =
        strides("ALTER TABLE first DROP COLUMN b; SELECT 1; DROP TABLE kept; SELECT 1").into_iter().map(Some).collect();
    undos[1].as_mut().unwrap().texts.clear();
    let undo = Unit { sets_session: SetsSession::Yes, fence: FenceState::Undone, ..it.down("1", &[]) };
    let mut session = it.open(1).await;
    assert_eq!(carry_on(&mut *session, &act).await.unwrap_err().done, 3);
    let taken = course::take_back(&mut *session, &act.course(), &undos, &undo).await;
    assert_eq!(taken.map_err(|halted| halted.error.to_string()), Ok(TakenBack::Part(3)));
    assert_eq!(it.number("SELECT count(*) FROM kept").await, 1);
    assert_eq!(it.number("SELECT count(*) FROM pg_tables WHERE schemaname = 'side'").await, 0);
    let column = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'first'::regclass AND attname = 'b'";
    assert_eq!(it.number(column).await, 0);
}

#[tokio::test]
async fn a_statement_in_doubt_is_looked_for_where_the_settings_of_its_script_had_put_it() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside(TWINS).await;
    let script = Script::up(&it, "SET search_path = side; CREATE INDEX CONCURRENTLY i ON t (b)");
    killed(&it, &script, "INSERT INTO side.t VALUES (0, 0)").await;
    assert_eq!(indexes(&it, "side.t").await, ["i invalid", "t_pkey"]);
    carried_on(&it, &script).await;
    assert_eq!(indexes(&it, "side.t").await, ["i", "t_pkey"]);
    assert_eq!(indexes(&it, "t").await, ["t_pkey"]);
}

#[tokio::test]
async fn an_index_that_we_had_cleared_away_to_build_it_anew_is_built() {
    let it = Subject::new(Kind::PostgresDatabase).await;
    it.outside("CREATE TABLE t (a int PRIMARY KEY, b int); INSERT INTO t VALUES (1, 1), (2, 1)").await;
    invalid(&it, "CREATE UNIQUE INDEX CONCURRENTLY i ON t (b)").await;
    it.outside("DELETE FROM t WHERE a = 2").await;
    let script = Script::up(&it, "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (b)");
    let mut session = it.open(1).await;
    let before = session.print(&script.strides[0].facts).await.unwrap().text;
    session.intend(&script.unit.key, 1, &before).await.unwrap();
    // The server has called it done, the invalid one is dropped, and the worker dies.
    it.outside("DROP INDEX i").await;
    session.close().await;
    carried_on(&it, &script).await;
    assert_eq!(indexes(&it, "t").await, ["i", "t_pkey"]);
}
