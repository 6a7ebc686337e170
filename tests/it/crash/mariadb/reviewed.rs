//! The releases that these tests deploy can be taken back from wherever they stop: otherwise a deploy of them would be refused, or
//! would end with a human, and the tests would show something else.

use windlass::release::{Dialect, FromTheMiddle, load, review};

use super::{client, server, show};
use crate::crash::home::Engine;
use crate::crash::release::{Migration, migrations};

#[test]
fn every_release_of_these_tests_can_be_taken_back_from_its_middle() {
    let alone = [client::GROWS, client::SHRINKS].into_iter().chain(server::texts());
    let releases: Vec<Vec<Migration>> = [migrations(Engine::MariaDb), show::RELEASE.map(|text| text.of()).into()]
        .into_iter()
        .chain(alone.map(|text| vec![text.of()]))
        .collect();
    let mut stepwise = 0;
    for release in releases {
        let folder = tempfile::tempdir().unwrap();
        for Migration { name, up, down } in &release {
            std::fs::write(folder.path().join(format!("{name}.up.sql")), up).unwrap();
            std::fs::write(folder.path().join(format!("{name}.down.sql")), down).unwrap();
        }
        for reviewed in review(&load(folder.path(), None).unwrap(), Dialect::Mysql).unwrap() {
            // A migration that has none is one transaction, and never stops there.
            if let Some(verdict) = reviewed.from_the_middle {
                assert_eq!(verdict, FromTheMiddle::Yes, "{}", reviewed.label);
                stepwise += 1;
            }
        }
    }
    assert!(stepwise > 10, "{stepwise}");
}
