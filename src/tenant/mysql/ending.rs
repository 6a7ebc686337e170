//! Ending the sessions of earlier workers, and seeing them gone.
//!
//! A client's death ends nothing here: its statement runs to its end, and a `KILL` only begins the end, in which a transaction is
//! rolled back with its rows locked. So a session counts as gone when the process list is without it, and not before.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::connect::SessionId;
use super::said::{KILL_DENIED, NO_SUCH_THREAD, Said};
use super::sql;
use super::wire::Wire;
use crate::base::Code;
use crate::base::limits::PREDECESSOR_TIMEOUT;
use crate::saga::failure::ErrorClass;
use crate::tenant::conn::Conn;
use crate::tenant::error::SessionError;

/// The pause between two looks at the process list. Measured: a killed ALTER is gone after 10 to 30 ms.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A session that is still there.
#[derive(Debug, Clone)]
pub(super) struct Other {
    pub(super) session: SessionId,
    /// The connection to kill.
    connection: u64,
}

/// How long a session that we may not end is given to end by itself. The server takes a moment to forget one that has said farewell.
const LEAVING_TIMEOUT: Duration = Duration::from_secs(1);

/// Those of earlier sessions that are still there. What ran on another run of the server is gone with it.
pub(super) async fn still_there(
    conn: &Conn,
    wire: &mut Wire,
    ours: &SessionId,
    earlier: &[SessionId],
) -> Result<Vec<Other>, SessionError> {
    let mut found = Vec::new();
    for session in earlier.iter().filter(|session| session.server_started_s == ours.server_started_s) {
        let reply = wire.say(sql::look(session)).await;
        if let Some(trouble) = &reply.trouble {
            let said = Said::of(trouble, &conn.scrubber());
            return Err(said.before_anything(&conn.tenant, "cannot look for an earlier session"));
        }
        let seen = reply.row("windlass_other");
        let holder = seen.and_then(|row| row.cell(1).parse().ok());
        let listed = seen.is_some_and(|row| row.cell(2) != "0");
        // Without its lock it may still be at work: being killed, or its text has released all locks.
        let connection = holder.or(listed.then_some(session.connection));
        if let Some(connection) = connection.filter(|connection| *connection != ours.connection) {
            found.push(Other { session: session.clone(), connection });
        }
    }
    Ok(found)
}

/// Ends sessions and waits until they are gone.
///
/// A crash in here leaves them in the fence row, as earlier holders that had not been seen gone: the next opening goes on with them.
pub(super) async fn end(
    conn: &Conn,
    wire: &mut Wire,
    ours: &SessionId,
    mut others: Vec<Other>,
) -> Result<(), SessionError> {
    let (mut deadline, mut denied) = (Instant::now() + PREDECESSOR_TIMEOUT, None);
    for other in &others {
        let reply = wire.say(format!("KILL CONNECTION {}", other.connection)).await;
        let Some(trouble) = &reply.trouble else { continue };
        let said = Said::of(trouble, &conn.scrubber());
        // Somebody else's; it may be on its way out all the same, and the server not yet through with it.
        if said.is(KILL_DENIED) {
            deadline = Instant::now() + LEAVING_TIMEOUT;
            denied = Some(said.text);
            continue;
        }
        if !said.is(NO_SUCH_THREAD) {
            return Err(said.before_anything(&conn.tenant, "cannot end an earlier session"));
        }
    }
    while !others.is_empty() {
        let sessions: Vec<SessionId> = others.iter().map(|other| other.session.clone()).collect();
        others = still_there(conn, wire, ours, &sessions).await?;
        if !others.is_empty() && Instant::now() >= deadline {
            if let Some(denied) = &denied {
                return Err(alive(conn, &others, ErrorClass::Permanent, denied));
            }
            let waited = format!(
                "it was killed and is still there after {} s, perhaps rolling back",
                PREDECESSOR_TIMEOUT.as_secs()
            );
            return Err(alive(conn, &others, ErrorClass::Transient, &waited));
        }
        if !others.is_empty() {
            sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

fn alive(conn: &Conn, others: &[Other], class: ErrorClass, why: &str) -> SessionError {
    let who: Vec<String> = others.iter().map(|other| format!("connection {}", other.connection)).collect();
    let message = format!("an earlier session is not ended: {}; {why}; nothing was done", who.join(", "));
    SessionError::no_effect(&conn.tenant, class, Code::PredecessorAlive, message)
}
