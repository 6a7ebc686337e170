//! No room under the log: what was acknowledged is safe, nothing starts that could not be announced, and with room again the deploy
//! comes to its right end.
//!
//! Two mechanisms, neither of which needs a privilege. A limit of pages makes SQLite answer a running engine as it does when the disk is
//! full: it is set to every size between that of the log when the deploy begins and when it ends. A limit of the size of files
//! (`ulimit -f`) makes the system refuse the real binary's writes, as it does beyond a quota.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use windlass::base::{Code, Coded as _, DeployId, SystemClock, WorkerId};
use windlass::config::Config;
use windlass::engine::{
    Ending, Engine, EngineError, OutOfOrder, RealGateway, Request, Settings, Stop, SurveyMode, prepare, this_worker,
};
use windlass::log::{Log, SqliteLog, SqliteOptions};
use windlass::release::load;
use windlass::saga::event::{Actor, Trigger};
use windlass::step::Kinds;

use crate::support::project::{Project, Ran};

/// What a tenant holds, but for Windlass's own tables.
const CONTENT: &str = "SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_schema \
     WHERE name NOT LIKE '%windlass%' ORDER BY name)";
/// Blocks that nothing fits into that SQLite puts beside a log, and every tenant does.
const NO_ROOM: u32 = 40;
const TENANTS: [&str; 8] = ["acme", "bolt", "crow", "dodo", "emu", "finch", "gull", "heron"];

/// What becomes of the release on the last tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Follows,
    Fails,
}

/// Eight tenants, one after the other, and a release of two migrations: the first doubles rows where it is run twice.
async fn project(last: Last) -> Project {
    let project = Project::new();
    let configuration = "name = \"shop\"\n[deploy]\nconcurrency = 1\n[fleet]\nsource = { glob = \"tenants/*.db\" }\n";
    project.write("windlass.toml", configuration);
    for tenant in TENANTS {
        let second = if tenant == "heron" && last == Last::Fails { "ann" } else { "bob" };
        let sql = format!("CREATE TABLE customers (name TEXT); INSERT INTO customers VALUES ('ann'), ('{second}')");
        project.sql(&format!("tenants/{tenant}.db"), &sql).await.unwrap();
    }
    let up = "CREATE TABLE IF NOT EXISTS orders (id INTEGER);\nINSERT INTO orders VALUES (1);\n";
    project.write("migrations/0001_orders.up.sql", up);
    project.write("migrations/0001_orders.down.sql", "DROP TABLE orders;\n");
    project.write("migrations/0002_unique.up.sql", "CREATE UNIQUE INDEX names ON customers (name);\n");
    project.write("migrations/0002_unique.down.sql", "DROP INDEX names;\n");
    project
}

/// Runs the binary with files that may not grow beyond so many blocks of 512 bytes.
fn limited(project: &Project, blocks: u32, arguments: &str) -> Ran {
    let script = format!("ulimit -f {blocks}; exec windlass {arguments}");
    Ran::of(project.command_of("sh").args(["-c", &script]).output().unwrap())
}

/// Moves all of the log into its file, and makes sure that there is no room for anything beside it.
async fn settle(project: &Project) {
    project.sql("windlass.db", "PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    for beside in ["windlass.db-wal", "windlass.db-shm"].map(|file| project.at(file)) {
        if beside.exists() {
            std::fs::remove_file(beside).unwrap();
        }
    }
}

/// What is there after a deploy that came to its end: each migration once, or nothing of it.
async fn assert_ended(project: &Project, last: Last, place: &str) {
    for tenant in TENANTS {
        let file = format!("tenants/{tenant}.db");
        let content = project.sql(&file, CONTENT).await.unwrap();
        match last {
            Last::Follows => {
                assert_eq!(content, ["customers names orders"], "{place}: {tenant}");
                assert_eq!(
                    project.sql(&file, "SELECT count(*) FROM orders").await.unwrap(),
                    ["1"],
                    "{place}: {tenant}"
                );
            }
            Last::Fails => assert_eq!(content, ["customers"], "{place}: {tenant}"),
        }
    }
    project.windlass("audit verify").ends_with(0);
}

#[tokio::test]
async fn a_deploy_that_cannot_be_announced_touches_nothing() {
    let project = project(Last::Follows).await;
    project.windlass("deploy --only acme").ends_with(0);
    settle(&project).await;
    let refused = limited(&project, NO_ROOM, "deploy").ends_with(1);
    assert!(refused.stderr.starts_with("WL0503: the disk under the log "), "{}", refused.stderr);
    assert!(refused.stderr.contains("next: make room on the log's disk"), "{}", refused.stderr);
    for tenant in &TENANTS[1..] {
        let tables = project.sql(&format!("tenants/{tenant}.db"), "SELECT group_concat(name) FROM sqlite_schema").await;
        assert_eq!(tables.unwrap(), ["customers"]);
    }
    project.windlass("deploy").ends_with(0);
    assert_ended(&project, Last::Follows, "after room was made").await;
}

#[tokio::test]
async fn a_binary_whose_writes_are_refused_on_the_way_says_how_to_go_on() {
    let mut stopped = 0;
    for blocks in (200..).step_by(500) {
        let project = project(Last::Follows).await;
        let ran = limited(&project, blocks, "deploy");
        if ran.code == Some(0) {
            break;
        }
        // Refused before the deploy was created, or stopped on the way.
        assert!(matches!(ran.code, Some(1 | 5)), "{blocks} blocks: {:?}\n{}\n{}", ran.code, ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("WL0503"), "{}", ran.stderr);
        if ran.code == Some(5) {
            stopped += 1;
            assert!(ran.stderr.contains("is as it was left, and can be resumed"), "{}", ran.stderr);
            project.windlass("resume").ends_with(0);
        } else {
            project.windlass("deploy").ends_with(0);
        }
        assert_ended(&project, Last::Follows, &format!("with {blocks} blocks")).await;
    }
    assert!(stopped >= 2, "stopped on the way {stopped} times");
}

#[tokio::test]
async fn a_log_that_fills_in_the_middle_of_a_deploy_loses_nothing() {
    sweep(Last::Follows).await;
}

#[tokio::test]
async fn a_log_that_fills_in_the_middle_of_an_unwind_loses_nothing() {
    sweep(Last::Fails).await;
}

/// Runs the deploy with every size of log that it does not fit into, and has the real binary end what is left.
async fn sweep(last: Last) {
    let mut lengths = BTreeSet::new();
    for more in 0..200 {
        let project = project(last).await;
        let error = match deploy_with_room_for(&project, more).await {
            Ok(ending) => {
                assert!(matches!(ending, Ending::Finished(_)));
                assert!(lengths.len() >= 4, "only {lengths:?}: the log was full at too few places");
                return;
            }
            Err(error) => error,
        };
        assert_eq!(error.code(), Code::LogFull, "{error}");
        let events = project.sql("windlass.db", "SELECT count(*) FROM events").await.unwrap();
        lengths.insert(events.clone());
        let place = format!("full after {events:?} events");

        settle(&project).await;
        let still_full = limited(&project, NO_ROOM, "resume").ends_with(1);
        assert!(still_full.stderr.contains("WL0503"), "{}", still_full.stderr);
        project.windlass("resume").ends_with(if last == Last::Follows { 0 } else { 3 });
        assert_ended(&project, last, &place).await;
    }
    panic!("the deploy never fits");
}

/// Deploys with the library's own parts, as `windlass deploy` does, into a log that may grow by so many pages beyond its size when the
/// deploy has been created. The worker is one that `resume` will see to be dead.
async fn deploy_with_room_for(project: &Project, more: u32) -> Result<Ending, EngineError> {
    let config = Config::find(Some(&project.at("windlass.toml"))).unwrap();
    let gateway = Arc::new(RealGateway::new(config.resolver(), Arc::new(config.budgets())));
    let path = project.at("windlass.db");
    let unlimited = SqliteLog::open(&path, Arc::new(SystemClock)).await.unwrap();
    let found = config.workflow("all-or-nothing").unwrap();
    let request = Request {
        fleet: config.name.clone(),
        release: load(&config.release_dir, None).unwrap(),
        workflow: found.workflow,
        workflow_text: found.text,
        tenants: config.source.read(&config.resolver(), &config.base_dir).await.unwrap(),
        whole_fleet: true,
        survey: SurveyMode::All,
        out_of_order: OutOfOrder::Refuse,
        disowned: BTreeSet::new(),
        new_databases: BTreeSet::new(),
        concurrency: 1,
        kinds: Kinds::default(),
    };
    let prepared = prepare(&unlimited, &*gateway, request).await.unwrap();
    let me = this_worker();
    let (process, _started) = me.as_str().rsplit_once('/').unwrap();
    let worker = WorkerId(format!("{process}/0"));
    let deploy = DeployId::fresh();
    let actor = Actor { name: "tester".to_owned(), host: "here".to_owned() };
    let new = prepared.into_new_deploy(deploy, Trigger::Command, actor, worker.clone()).unwrap();
    unlimited.create_deploy(new).await.unwrap();
    drop(unlimited);

    let pages: u32 = project.sql("windlass.db", "PRAGMA page_count").await.unwrap()[0].parse().unwrap();
    let settings = SqliteOptions { pages_max: Some(pages + more) };
    let log: Arc<dyn Log> = Arc::new(SqliteLog::open_with(&path, settings, Arc::new(SystemClock)).await.unwrap());
    let settings = Settings { concurrency: 1, ..Settings::default() };
    let (_tell, stop) = watch::channel(Stop::Run);
    Engine::new(log, gateway, worker, settings).run(deploy, stop).await
}
