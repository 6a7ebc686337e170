//! What the prints of MariaDB settle wrongly, or not at all: statements that leave every definition as it was, and what a statement
//! found there already.

use windlass::release::Dialect;
use windlass::release::sql::split;
use windlass::release::stepwise::facts;
use windlass::tenant::course::{self, Course, Progress, TakenBack};
use windlass::tenant::{FenceState, Outcome, Session, Stride, Unit};

use super::subject::{Kind, Subject};

fn strides(script: &str) -> Vec<Stride> {
    let statements = split(Dialect::Mysql, script).unwrap();
    let stride = |(number, statement): (u32, &windlass::release::Statement)| Stride {
        number,
        texts: vec![statement.text.clone()],
        facts: facts(Dialect::Mysql, statement),
    };
    (1..).zip(&statements).map(stride).collect()
}

/// A worker's death behind a script's only statement, or in it: `left` is what the server has done.
async fn dies(it: &Subject, unit: &Unit, strides: &[Stride], left: &str) -> Box<dyn Session> {
    let mut session = it.open(1).await;
    let before = session.print(&strides[0].facts).await.unwrap().text;
    session.intend(&unit.key, 1, &before).await.unwrap();
    it.outside(left).await;
    session.close().await;
    it.open(2).await
}

#[tokio::test]
async fn what_leaves_every_definition_as_it_was_is_not_taken_for_what_never_ran() {
    for (make, statement, after, expected) in [
        // Two tables that are defined alike have changed places.
        (
            "CREATE TABLE x (id int); CREATE TABLE y (id int); INSERT INTO y VALUES (1)",
            "RENAME TABLE x TO z, y TO x, z TO y",
            "SELECT count(*) FROM x",
            1,
        ),
        // InnoDB does not know it, and somebody has written into it since.
        (
            "CREATE TABLE x (id int) ENGINE = MyISAM",
            "TRUNCATE TABLE x; INSERT INTO x VALUES (1)",
            "SELECT count(*) FROM x",
            1,
        ),
    ] {
        let it = Subject::new(Kind::MariaDb).await;
        it.outside(make).await;
        let (unit, strides) = (it.up("1", &[]), strides(statement.split(';').next().unwrap()));
        let mut later = dies(&it, &unit, &strides, statement).await;
        let halted = course::carry_on(&mut *later, &Course { unit: &unit, strides: &strides }).await.unwrap_err();
        assert_eq!(halted.error.outcome, Outcome::Torn, "{}", halted.error);
        assert_eq!(it.number(after).await, expected, "{statement}");
    }
}

#[tokio::test]
async fn a_replaced_table_that_is_gone_is_made_before_anybody_calls_the_tenant_as_it_was() {
    let it = Subject::new(Kind::MariaDb).await;
    it.outside("CREATE TABLE x (id int); INSERT INTO x VALUES (1)").await;
    let (unit, script) = (it.up("1", &[]), strides("CREATE OR REPLACE TABLE x (id int, b int); DROP TABLE missing"));
    let mut later = dies(&it, &unit, &script, "DROP TABLE x").await;
    let course = Course { unit: &unit, strides: &script };
    assert_eq!(course::progress(&mut *later, &course).await.unwrap(), Progress::Strides(1));
    assert_eq!(it.number("SELECT count(*) FROM x").await, 0);
    let undo = Unit { fence: FenceState::Undone, ..it.down("1", &[]) };
    let halted = course::take_back(&mut *later, &course, &[None, None], &undo).await.unwrap_err();
    assert!(halted.error.to_string().contains("statement 1"), "{}", halted.error);
}

#[tokio::test]
async fn what_a_statement_has_found_there_already_is_not_taken_back() {
    let it = Subject::new(Kind::MariaDb).await;
    it.outside("CREATE TABLE x (id int); INSERT INTO x VALUES (1)").await;
    let script =
        strides("CREATE TABLE IF NOT EXISTS x (id int); CREATE TABLE IF NOT EXISTS y (id int); DROP TABLE missing");
    let undos: Vec<Option<Stride>> = strides("DROP TABLE x; DROP TABLE y; SELECT 1").into_iter().map(Some).collect();
    let (unit, undo) = (it.up("1", &[]), Unit { fence: FenceState::Undone, ..it.down("1", &[]) });
    let course = Course { unit: &unit, strides: &script };
    let mut session = it.open(1).await;
    assert_eq!(course::carry_on(&mut *session, &course).await.unwrap_err().done, 2);
    let taken = course::take_back(&mut *session, &course, &undos, &undo).await;
    assert_eq!(taken.map_err(|halted| halted.error.to_string()), Ok(TakenBack::Part(2)));
    assert_eq!(it.number("SELECT count(*) FROM x").await, 1);
    assert_eq!(it.tables("y").await, 0);
}
