//! What only a server can be caught at that commits each definition by itself: a client killed in the middle of one, itself killed in
//! the middle of one, and a fleet whose migration stops between two of them.

mod client;
mod judged;
mod reviewed;
mod server;
mod show;

use super::fleet::Fleet;
use super::home::Home;
use super::release::Migration;

/// A migration.
const fn migration(name: &'static str, up: &'static str, down: &'static str) -> Text {
    Text { name, up, down }
}

/// A migration as it stands in a test.
#[derive(Debug, Clone, Copy)]
struct Text {
    name: &'static str,
    up: &'static str,
    down: &'static str,
}

impl Text {
    fn of(&self) -> Migration {
        Migration { name: self.name, up: self.up.to_owned(), down: self.down.to_owned() }
    }
}

/// A fleet of one, `acme`, with a release of one migration.
async fn fleet_of_one(port: u16, name: &str, founding: &str, migration: &Text) -> Fleet {
    let fleet = Fleet::found(Home::MariaDb(port), name, vec!["acme".to_owned()], founding).await;
    fleet.add(&migration.of());
    fleet
}

/// Of the process list: that the server is at work on a statement that begins so, in this database.
fn at_work(fleet: &Fleet, statement: &str) -> String {
    let database = fleet.place("acme").database;
    format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{database}' AND command = 'Query' \
         AND info LIKE '{statement}%'"
    )
}
