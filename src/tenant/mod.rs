//! A session with one tenant database.
//!
//! [`Session`] is the contract; each engine is one implementation. See `ARCHITECTURE.md`, "A session with one tenant", for the order
//! in which a session is opened and why.

mod act;
mod conn;
pub mod course;
mod error;
mod ledger;
mod mysql;
mod postgres;
mod reply;
mod session;
mod sqlite;
mod stepwise;

pub use conn::{Conn, Surveying, open, survey};
pub use error::{Outcome, SessionError};
pub use session::{
    Applied, CheckOutcome, Effect, FenceMark, FenceState, ForeignKeys, InForce, LedgerKey, LedgerRow, Opening, Probe,
    Session, SetsSession, Survey, Unit,
};
pub use stepwise::{Begun, Mend, Mended, Outcomes, Print, State, Stepwise, Stride, Written};

use crate::fleet::Engine;
use crate::release::Dialect;

/// The SQL that the databases of an engine speak.
#[must_use]
pub const fn dialect(engine: Engine) -> Dialect {
    match engine {
        Engine::Postgres => Dialect::Postgres,
        Engine::Sqlite => Dialect::Sqlite,
        Engine::Mysql => Dialect::Mysql,
    }
}
