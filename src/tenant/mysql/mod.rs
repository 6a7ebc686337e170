//! MySQL, from version 8, and MariaDB, from version 10.6: one database per tenant.
//!
//! | | Here |
//! |---|---|
//! | messages | one statement each: the server goes on with a message whose client died, and would run all that it holds |
//! | a unit | DML alone: any DDL commits, before it runs and also when it then fails |
//! | who we are | a row in `windlass_fence` with the connection's number and a random name, held with `GET_LOCK` |
//! | a predecessor | found by that row, ended with `KILL`, and waited for until the process list is without it |
//! | its rows | locked until its rollback is done, whatever locks of names it has lost: the ledger's key makes us wait |
//!
//! Tenants are reached directly: behind a proxy that shares its connections there is no telling which session is whose. And by one user
//! each: another user's session is seen by its lock alone, unless ours has the PROCESS privilege, and ended only with more than that.
//!
//! On MySQL nothing limits how long a statement that is no SELECT may take: it is waited for as long as MariaDB would let it run and a
//! little more, and then its line counts as lost. Passwords of MySQL's own kind (`caching_sha2_password`) need TLS.
//!
//! Texts run under the modes, time zone and default engine of the server. Only what decides how they are read is ours: `utf8mb4`.

mod connect;
mod ending;
mod engines;
mod names;
mod opening;
mod print;
mod said;
mod session;
mod sql;
mod statements;
mod survey;
#[cfg(test)]
mod tests;
mod transaction;
mod wire;

pub(super) use opening::open;
pub(super) use survey::survey;
