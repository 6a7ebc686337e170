//! What the server said, in the words that decide what happens next.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition, PgSeverity};

use super::sql::{BROKEN, FENCED};
use super::wire::Trouble;
use crate::base::{Code, Epoch, TenantId};
use crate::saga::failure::{ErrorClass, Failure};
use crate::tenant::conn::Scrubber;
use crate::tenant::error::{Outcome, SessionError};

/// A row of that key is there.
pub(super) const KEY_TAKEN: &str = "23505";
/// A privilege is missing.
pub(super) const DENIED: &str = "42501";
/// There is no such table.
pub(super) const NO_TABLE: &str = "42P01";

/// Whether the session outlived an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// It did: the server's transaction is over, the session is not.
    Alive,
    /// It did not. What the server was doing may have been done.
    Lost,
}

/// Whether an error is one that we made the server raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// It is not.
    None,
    /// The fence is another's, with that epoch.
    Fenced(Epoch),
    /// The guard found another transaction than it was to guard.
    Broken,
}

impl Mark {
    fn of(message: &str) -> Self {
        if let Some((_, current)) = message.split_once(FENCED) {
            let digits: String = current.chars().take_while(char::is_ascii_digit).collect();
            return Self::Fenced(Epoch(digits.parse().unwrap_or_default()));
        }
        if message.contains(BROKEN) { Self::Broken } else { Self::None }
    }
}

/// An error, understood.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) class: ErrorClass,
    pub(super) code: Code,
    pub(super) sqlstate: Option<String>,
    /// On one line, without secrets.
    pub(super) text: String,
    pub(super) line: Line,
    /// Where in the message, in characters from 1.
    pub(super) position: Option<usize>,
    /// Whether it is ours.
    pub(super) mark: Mark,
}

impl Said {
    pub(super) fn of(trouble: &Trouble, scrubber: &Scrubber) -> Self {
        let lost = |text: String| Self {
            class: ErrorClass::Transient,
            code: Code::TenantUnreachable,
            sqlstate: None,
            text: scrubber.scrub(&text),
            line: Line::Lost,
            position: None,
            mark: Mark::None,
        };
        match trouble {
            Trouble::Driver(sqlx::Error::Database(error)) => match error.try_downcast_ref::<PgDatabaseError>() {
                Some(error) => Self::of_server(error, scrubber),
                None => lost(error.to_string()),
            },
            Trouble::Driver(error) => lost(error.to_string()),
            Trouble::Silence(limit) => lost(format!("no answer within {} s", limit.as_secs())),
            Trouble::Over => lost("the session had been ended".to_owned()),
        }
    }

    fn of_server(error: &PgDatabaseError, scrubber: &Scrubber) -> Self {
        let mut text = error.message().to_owned();
        for (label, part) in [("DETAIL", error.detail()), ("HINT", error.hint())] {
            if let Some(part) = part {
                text.push_str("; ");
                text.push_str(label);
                text.push_str(": ");
                text.push_str(part);
            }
        }
        let (class, code) = classify(error.code());
        let ended = matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic);
        Self {
            class,
            code,
            sqlstate: Some(error.code().to_owned()),
            text: scrubber.scrub(&text),
            line: if ended { Line::Lost } else { Line::Alive },
            position: match error.position() {
                Some(PgErrorPosition::Original(position)) => Some(position),
                _ => None,
            },
            mark: Mark::of(error.message()),
        }
    }

    pub(super) fn is(&self, sqlstate: &str) -> bool {
        self.sqlstate.as_deref() == Some(sqlstate)
    }

    /// As the failure of a step.
    pub(super) fn failure(&self) -> Failure {
        let failure = Failure::new(self.class, self.code, self.text.clone());
        match &self.sqlstate {
            Some(sqlstate) => failure.with_server_code(sqlstate),
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
        let mut failure = self.failure();
        let code = match failure.code {
            // Before a migration speaks, a missing privilege is about the credentials.
            Code::StepFailed if self.is(DENIED) => Code::TenantDenied,
            Code::StepFailed if self.is("3F000") => Code::TenantMissing,
            code => code,
        };
        failure = Failure {
            server_code: failure.server_code,
            ..Failure::new(failure.class, code, format!("{doing}: {}", self.text))
        };
        SessionError { tenant: tenant.clone(), failure, outcome: Outcome::NoEffect }
    }
}

/// Whether trying again can help, by SQLSTATE.
///
/// A lock timeout is transient: whoever holds the lock lets go of it. A statement timeout is not: the same statement takes as
/// long again, and each try locks the tenant out for that time.
fn classify(sqlstate: &str) -> (ErrorClass, Code) {
    use ErrorClass::{Permanent, Transient};
    match sqlstate {
        "55P03" => (Transient, Code::TenantTimeout),
        "57014" => (Permanent, Code::TenantTimeout),
        "40001" | "40P01" => (Transient, Code::StepFailed),
        // Shut down, crashed, starting up, ended by an administrator, idle too long; 25006: a standby, until the failover is over.
        // Too many connections, too.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25006" | "53300" => (Transient, Code::TenantUnreachable),
        // A full disk does not empty itself while we wait; the other resources (connections, memory) come back.
        "53100" => (Permanent, Code::StepFailed),
        "3D000" => (Permanent, Code::TenantMissing),
        _ => match sqlstate.get(..2) {
            Some("08") => (Transient, Code::TenantUnreachable),
            Some("53") => (Transient, Code::StepFailed),
            Some("28") => (Permanent, Code::TenantDenied),
            _ => (Permanent, Code::StepFailed),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_by_itself_is_transient_and_nothing_else_is() {
        for transient in ["08006", "57P01", "53300", "53200", "40001", "40P01", "55P03"] {
            assert_eq!(classify(transient).0, ErrorClass::Transient, "{transient}");
        }
        for permanent in ["57014", "53100", "42601", "23505", "28P01", "3D000", "XX000", "58030", ""] {
            assert_eq!(classify(permanent).0, ErrorClass::Permanent, "{permanent}");
        }
    }
}
