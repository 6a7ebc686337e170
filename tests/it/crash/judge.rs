//! What an undisturbed run leaves, and what is wrong with another.

use super::fleet::{Fleet, TENANTS, Template, Way};
use super::home::Engine;
use crate::support::oracle::{self, Account, Sight};
use crate::support::project::Ran;

/// What an undisturbed run passes, and leaves.
pub(super) struct Undisturbed {
    way: Way,
    /// The crash points in the order in which they were passed.
    pub(super) passages: Vec<String>,
    /// Deploys in the log before this one.
    earlier: i64,
    founded: Sight,
    after: Sight,
}

impl Undisturbed {
    /// Lets a copy of the fleet be deployed to in peace.
    pub(super) async fn run(template: &Template) -> Self {
        let way = template.way;
        let fleet = template.copy("calm").await;
        let earlier = oracle::deploys(&fleet.log()).await;
        let counted = fleet.project.at("passages");
        let output = fleet.command(way.command()).env("WINDLASS_CRASH_COUNT", &counted).output().unwrap();
        Ran::of(output).ends_with(way.exit());
        let passages = std::fs::read_to_string(&counted).unwrap().lines().map(str::to_owned).collect();
        let after = fleet.sight().await;
        match way {
            Way::Unwind | Way::Rollback => {
                assert_eq!(template.founded, after, "{}", template.founded.difference(&after));
            }
            Way::Forward => assert_is_the_release(template.home.engine(), &after),
        }
        let undisturbed = Self { way, passages, earlier, founded: template.founded.clone(), after };
        undisturbed.assert_same_end(&fleet).await;
        fleet.remove().await;
        undisturbed
    }

    /// What takes a killed deploy up: `resume` if there is something in the log, the same command if not.
    pub(super) async fn goes_on(&self, fleet: &Fleet) -> &'static [&'static str] {
        if oracle::deploys(&fleet.log()).await > self.earlier { &["resume"] } else { self.way.command() }
    }

    /// How another run's end differs from that of the undisturbed one; empty where it does not.
    pub(super) async fn faults(&self, fleet: &Fleet) -> Vec<String> {
        faults(fleet, self.way.outcome(), &self.after).await
    }

    /// The same, for a test that ends here.
    pub(super) async fn assert_same_end(&self, fleet: &Fleet) {
        assert_eq!(self.faults(fleet).await, Vec::<String>::new());
    }

    /// Where the fleet was given up on its way, it is as it was before the deploy.
    pub(super) async fn assert_lowered(&self, fleet: &Fleet) {
        assert_eq!(faults(fleet, Way::Unwind.outcome(), &self.founded).await, Vec::<String>::new());
    }
}

/// How a fleet differs from what it should be after a deploy with this outcome.
pub(super) async fn faults(fleet: &Fleet, outcome: &str, expected: &Sight) -> Vec<String> {
    let sight = fleet.sight().await;
    let mut faults = Account::read(&fleet.log()).await.faults(outcome);
    let verified = fleet.run(&["audit", "verify"]);
    if verified.code != Some(0) {
        faults.push(format!("audit verify: {verified:?}"));
    }
    if sight != *expected {
        faults.push(format!("the fleet is not as it should be:\n{}", expected.difference(&sight)));
    }
    faults
}

/// The undisturbed run is what the others are held against, so it is held against sums done by hand: every tenant's customers began
/// with 2 and 5 visits, had 1 added once and were tripled once.
fn assert_is_the_release(engine: Engine, sight: &Sight) {
    for (tenant, _) in TENANTS {
        for (id, email, visits) in [(1, "ann", 9), (2, "bob", 18)] {
            let row = match engine {
                Engine::Sqlite => format!("row of customers: {id}, '{email}', {visits}, 7"),
                Engine::Postgres => format!("row of customers: ({id},{email},{visits},7)"),
                Engine::MariaDb => format!("({id},'{email}',{visits},7)"),
            };
            // A dump has its rows apart by commas, and a semicolon behind the last.
            let found = sight.0[tenant].iter().any(|line| line.trim_end_matches([',', ';']) == row);
            assert!(found, "{tenant}: no {row:?} in {:#?}", sight.0[tenant]);
        }
    }
}
