//! What the server said, in the words that decide what happens next.

use sqlx::mysql::MySqlDatabaseError;

use super::names::named;
use super::wire::Trouble;
use crate::base::{Code, TenantId};
use crate::saga::failure::{ErrorClass, Failure};
use crate::tenant::conn::Scrubber;
use crate::tenant::error::{Outcome, SessionError};

/// Whether the session outlived an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// It did, and so may its transaction have done.
    Alive,
    /// It did not, or that cannot be told. What the server was doing may have been done.
    Lost,
}

/// An error, understood.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) class: ErrorClass,
    pub(super) code: Code,
    /// The server's own number of it.
    pub(super) number: Option<u16>,
    /// On one line, without secrets.
    pub(super) text: String,
    pub(super) line: Line,
}

/// No such table, or no such column of it.
pub(super) const NO_TABLE: u16 = 1146;
/// A key is taken.
pub(super) const KEY_TAKEN: u16 = 1062;
/// A lock was not to be had in time.
pub(super) const LOCK_TIMEOUT: u16 = 1205;
/// A deadlock: the whole transaction was rolled back.
pub(super) const DEADLOCK: u16 = 1213;
/// No savepoint has this name: the transaction that made it is over.
pub(super) const NO_SAVEPOINT: u16 = 1305;
/// No session has this number.
pub(super) const NO_SUCH_THREAD: u16 = 1094;
/// The session is somebody else's.
pub(super) const KILL_DENIED: u16 = 1095;

impl Said {
    pub(super) fn of(trouble: &Trouble, scrubber: &Scrubber) -> Self {
        let lost = |text: String| Self {
            class: ErrorClass::Transient,
            code: Code::TenantUnreachable,
            number: None,
            text: scrubber.scrub(&text),
            line: Line::Lost,
        };
        match trouble {
            Trouble::Driver(sqlx::Error::Database(error)) => match error.try_downcast_ref::<MySqlDatabaseError>() {
                Some(error) => Self::of_server(error.number(), error.message(), scrubber),
                None => lost(error.to_string()),
            },
            Trouble::Driver(error) => lost(error.to_string()),
            Trouble::Silence(limit) => lost(format!("no answer within {} s", limit.as_secs())),
            Trouble::Over => lost("the session had been ended".to_owned()),
        }
    }

    fn of_server(number: u16, message: &str, scrubber: &Scrubber) -> Self {
        let (class, code) = classify(number, message);
        let line = if ends_the_line(number) { Line::Lost } else { Line::Alive };
        Self { class, code, number: Some(number), text: scrubber.scrub(message), line }
    }

    pub(super) fn is(&self, number: u16) -> bool {
        self.number == Some(number)
    }

    /// As the failure of a step.
    pub(super) fn failure(&self) -> Failure {
        let failure = Failure::new(self.class, self.code, self.text.clone());
        match self.number {
            Some(number) => failure.with_server_code(named(number)),
            None => failure,
        }
    }

    /// As the error of an act that may have taken effect where the line was lost, and had none otherwise.
    pub(super) fn error(&self, tenant: &TenantId) -> SessionError {
        let outcome = match self.line {
            Line::Alive => Outcome::NoEffect,
            Line::Lost => Outcome::Unknown,
        };
        SessionError { tenant: tenant.clone(), failure: self.failure(), outcome }
    }

    /// As the error of a survey or an opening: nothing of a migration had been sent.
    pub(super) fn before_anything(&self, tenant: &TenantId, doing: &str) -> SessionError {
        let failure = self.failure();
        let code = match (failure.code, self.number) {
            // Before a migration speaks, a missing privilege is about the credentials.
            (Code::StepFailed, Some(1142 | 1143 | 1227 | 1370)) => Code::TenantDenied,
            (code, _) => code,
        };
        let server_code = failure.server_code;
        let failure = Failure { server_code, ..Failure::new(failure.class, code, format!("{doing}: {}", self.text)) };
        SessionError { tenant: tenant.clone(), failure, outcome: Outcome::NoEffect }
    }
}

/// After these the server closes the connection, or has: shutting down, a packet it could not read, killed by somebody (1317 is
/// also what a single statement that was killed says; a new session is the safe reading of it), idle too long.
const fn ends_the_line(number: u16) -> bool {
    matches!(number, 1053 | 1080 | 1152..=1161 | 1184 | 1317 | 1927 | 2006 | 2013 | 4031)
}

/// Whether trying again can help, by the server's number.
///
/// A lock timeout is transient: whoever holds the lock lets go of it. A statement timeout is not: the same statement takes as
/// long again, and each try locks the tenant out for that time.
fn classify(number: u16, message: &str) -> (ErrorClass, Code) {
    use ErrorClass::{Permanent, Transient};
    if ends_the_line(number) {
        return (Transient, Code::TenantUnreachable);
    }
    match number {
        LOCK_TIMEOUT => (Transient, Code::TenantTimeout),
        // The statement's own limit: MariaDB's max_statement_time, MySQL's max_execution_time.
        1969 | 3024 => (Permanent, Code::TenantTimeout),
        // Deadlock; too many locks; a definition that changed meanwhile; another's write came first (Galera, snapshots); memory.
        DEADLOCK | 1206 | 1412 | 1615 | 1020 | 1037 | 1038 | 1041 => (Transient, Code::StepFailed),
        // Too many connections of all, of this user, of an hour; no thread; a node of a cluster that is not ready; a replica,
        // until the failover is over. 1290 speaks of other options as well.
        1040 | 1203 | 1226 | 1135 | 1047 | 1836 => (Transient, Code::TenantUnreachable),
        1290 if message.contains("read-only") || message.contains("read_only") => (Transient, Code::TenantUnreachable),
        1044 | 1045 | 1129 | 1130 | 1251 | 1698 | 1820 | 1862 | 3118 | 3159 | 4151 => (Permanent, Code::TenantDenied),
        1049 => (Permanent, Code::TenantMissing),
        // All others: syntax, constraints, missing objects; a full disk (1021, 1114), which does not empty itself while we wait.
        _ => (Permanent, Code::StepFailed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_by_itself_is_transient_and_nothing_else_is() {
        for transient in [1205, 1213, 1040, 1203, 1226, 1836, 1047, 2006, 2013, 1927, 1317, 1053] {
            assert_eq!(classify(transient, "").0, ErrorClass::Transient, "{transient}");
        }
        for permanent in [1062, 1064, 1146, 1451, 1045, 1044, 1049, 1969, 3024, 1021, 1114, 1290, 1792, 1366] {
            assert_eq!(classify(permanent, "").0, ErrorClass::Permanent, "{permanent}");
        }
        let replica = "The MariaDB server is running with the --read-only option so it cannot execute this statement";
        assert_eq!(classify(1290, replica), (ErrorClass::Transient, Code::TenantUnreachable));
    }

    #[test]
    fn only_what_closes_the_connection_makes_an_outcome_unknown() {
        for lost in [1927, 2013, 1317, 1053, 1158] {
            assert!(ends_the_line(lost), "{lost}");
        }
        for alive in [1205, 1213, 1062, 1969] {
            assert!(!ends_the_line(alive), "{alive}");
        }
    }
}
