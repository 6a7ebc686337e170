//! Surveying: what can be learnt without touching anything.

use sqlx::postgres::PgConnection;

use super::connect::{Limits, SURVEY_NAME, close, connect};
use super::opening::ledger_schema;
use super::said::{DENIED, NO_TABLE, Said};
use super::sql::{self, Names, literal};
use super::wire::{Reply, exchange};
use crate::base::Code;
use crate::base::limits::TENANT_ANSWER_GRACE;
use crate::saga::failure::ErrorClass;
use crate::tenant::conn::{Conn, Surveying};
use crate::tenant::error::SessionError;
use crate::tenant::ledger::{Damage, Ledger, fence_mark};
use crate::tenant::session::Survey;

/// Which part of the tenant a message asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tables {
    /// With the fence and the ledger.
    Read,
    /// Only whether they are there.
    LookFor,
}

/// Whether the server may be asked for the identifier of its data directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SystemId {
    Ask,
    /// The role may not: when the server was started has to do.
    Denied,
}

/// Our two tables, and the schema that was named for them, if one was.
struct Ours<'a> {
    names: Names,
    schema: Option<&'a str>,
}

/// Surveys a tenant.
pub(in crate::tenant) async fn survey(
    conn: &Conn,
    schema: Option<&str>,
    surveying: &Surveying,
) -> Result<Survey, SessionError> {
    let ours = ledger_schema(conn, schema, surveying.ledger_schema.as_deref())?;
    let ours = Ours { names: Names::in_schema(ours), schema: ours };
    let limits = Limits { lock: surveying.lock_timeout, statement: surveying.statement_timeout };
    let mut pg = connect(conn, schema, SURVEY_NAME, limits).await?;
    let found = look(conn, &mut pg, &ours, surveying).await;
    close(pg).await;
    found
}

async fn look(
    conn: &Conn,
    pg: &mut PgConnection,
    ours: &Ours<'_>,
    surveying: &Surveying,
) -> Result<Survey, SessionError> {
    let (mut tables, mut system_id) = (Tables::Read, SystemId::Ask);
    let limit = (surveying.statement_timeout + surveying.lock_timeout).saturating_add(TENANT_ANSWER_GRACE);
    loop {
        let reply = exchange(pg, text(ours, tables, system_id), None, limit).await;
        let Some(trouble) = &reply.trouble else { return read(conn, reply) };
        let said = Said::of(trouble, &conn.scrubber());
        match said.sqlstate.as_deref() {
            Some(NO_TABLE | "3F000") if tables == Tables::Read => tables = Tables::LookFor,
            Some(DENIED) if system_id == SystemId::Ask => system_id = SystemId::Denied,
            _ => return Err(said.before_anything(&conn.tenant, "cannot survey")),
        }
    }
}

fn text(Ours { names, schema }: &Ours<'_>, tables: Tables, system_id: SystemId) -> String {
    // The identifier is that of the data directory, which a copied server shares with its original; no two that run were started
    // in the same microsecond. Not the address: one server may have several.
    let server_is = match system_id {
        SystemId::Ask => "(SELECT system_identifier::text FROM pg_control_system())",
        SystemId::Denied => "''",
    };
    let tables = match tables {
        Tables::Read => format!("{};\n{}", sql::fence(names), sql::ledger(names)),
        Tables::LookFor => format!(
            "SELECT (to_regclass({}) IS NOT NULL)::text AS windlass_there, (to_regclass({}) IS NOT NULL)::text",
            literal(&names.fence),
            literal(&names.ledger)
        ),
    };
    let fence = literal(&names.fence);
    let would_be = schema.map_or_else(|| "current_schema()::text".to_owned(), literal);
    format!(
        "ROLLBACK; BEGIN READ ONLY;
SELECT split_part(current_setting('server_version'), ' ', 1) AS windlass_server,
       {server_is} || '@' || extract(epoch FROM pg_postmaster_start_time())::text,
       (SELECT oid::text FROM pg_database WHERE datname = current_database()), current_schema()::text,
       coalesce((SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.oid = to_regclass({fence})), {would_be}),
       session_user::text, current_user::text;
{tables};
COMMIT"
    )
}

fn read(conn: &Conn, reply: Reply) -> Result<Survey, SessionError> {
    let damaged = |damage: Damage| damage.of(&conn.tenant);
    let facts: Vec<Option<String>> = reply.row("windlass_server").map(|row| row.cells.clone()).unwrap_or_default();
    let fact = |at: usize| facts.get(at).cloned().flatten();
    let part = |at: usize| fact(at).unwrap_or_default();
    if fact(3).is_none() {
        let message = "the database has none of the schemas in the tenant's search path".to_owned();
        return Err(SessionError::no_effect(&conn.tenant, ErrorClass::Permanent, Code::TenantMissing, message));
    }
    let (login, acting) = (part(5), part(6));
    if login != acting {
        // The server shows a session's start to its own role and to those that are members of it. Acting as another, a worker could
        // neither name its own session in the fence nor end its predecessor's.
        let message = format!(
            "{login} acts as {acting} as soon as it logs in (ALTER ROLE … SET role): Windlass could not see its own sessions. Log in \
             as {acting}, or: ALTER ROLE {login} RESET role"
        );
        return Err(SessionError::no_effect(&conn.tenant, ErrorClass::Permanent, Code::TenantDenied, message));
    }
    if reply.row("windlass_there").is_some_and(|row| row.cell(0) != row.cell(1)) {
        return Err(damaged(Damage::HalfMissing));
    }
    let fence = reply.row("windlass_mark").map(fence_mark).transpose().map_err(damaged)?;
    let ledger = Ledger::read(reply.ledger_rows()).map_err(damaged)?;
    Ok(Survey {
        server: format!("PostgreSQL {}", part(0)),
        // By the ledger: two tenants that share one would each be told that the other's migrations are its own.
        identity: format!("postgresql:{}/{}/{}", part(1), part(2), part(4)),
        in_force: ledger.in_force().to_vec(),
        fence,
    })
}
