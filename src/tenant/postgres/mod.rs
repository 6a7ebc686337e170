//! PostgreSQL, from version 14.
//!
//! Everything goes over the simple protocol, one message per act: opening is one message after the handshake, a migration is one
//! message from its BEGIN to its COMMIT. That is what keeps a deploy near the cost of its SQL, and it leaves no moment in which a
//! transaction waits for a client. Statements that commit by themselves are one message each, since the server refuses them in a
//! message of several; what is written around them is a transaction of our own, which leaves a script's settings as they are.
//!
//! A connection pooler in transaction mode hides the sessions that an opening has to end; tenants are reached directly.

mod connect;
mod mend;
mod opening;
mod print;
mod said;
mod session;
mod sql;
mod statements;
mod survey;
mod transaction;
mod wire;

pub(super) use opening::open;
pub(super) use survey::survey;
