//! What SQLite said, in the words that decide what happens next.

use super::connect::Trouble;
use crate::base::{Code, TenantId};
use crate::saga::failure::{ErrorClass, Failure};
use crate::tenant::conn::Scrubber;
use crate::tenant::error::{Outcome, SessionError};

/// The extended result code of a commit that the session's latch refused.
const COMMIT_REFUSED: u32 = 531;
/// … of a NULL where none may be: how our INSERT says that the fence is another's.
const NOT_NULL: u32 = 1299;
/// … of a taken primary key, and of a taken unique value.
const KEY_TAKEN: [u32; 2] = [1555, 2067];

/// An error, understood.
#[derive(Debug, Clone)]
pub(super) struct Said {
    class: ErrorClass,
    code: Code,
    /// SQLite's extended result code; `None` where it did not come to an answer.
    result: Option<u32>,
    /// On one line, without secrets.
    text: String,
}

impl Said {
    pub(super) fn of(trouble: &Trouble, scrubber: &Scrubber) -> Self {
        let lost = |text: String| Self {
            class: ErrorClass::Transient,
            code: Code::TenantUnreachable,
            result: None,
            text: scrubber.scrub(&text),
        };
        match trouble {
            Trouble::Driver(sqlx::Error::Database(error)) => {
                let Some(result) = error.code().and_then(|code| code.parse().ok()) else {
                    return lost(error.to_string());
                };
                let (class, code) = classify(result);
                Self { class, code, result: Some(result), text: scrubber.scrub(error.message()) }
            }
            Trouble::Driver(error) => lost(error.to_string()),
            Trouble::Silence(limit) => lost(format!("no answer within {} s", limit.as_secs())),
        }
    }

    /// SQLite's general error, which is also what it says to a ROLLBACK where there is no transaction.
    pub(super) fn is_plain_error(&self) -> bool {
        self.result == Some(1)
    }

    /// The text tried to end the transaction that it ran in.
    pub(super) fn commit_refused(&self) -> bool {
        self.result == Some(COMMIT_REFUSED)
    }

    /// The fence is not ours any more.
    pub(super) fn fenced(&self) -> bool {
        self.result == Some(NOT_NULL)
    }

    /// The ledger row's key, or its place, is taken.
    pub(super) fn key_taken(&self) -> bool {
        self.result.is_some_and(|result| KEY_TAKEN.contains(&result))
    }

    /// As the failure of a step.
    pub(super) fn failure(&self) -> Failure {
        let failure = Failure::new(self.class, self.code, self.text.clone());
        match self.result {
            Some(result) => failure.with_server_code(result.to_string()),
            None => failure,
        }
    }

    /// As the error of an act before its commit: without an answer, it may still be under way.
    pub(super) fn error(&self, tenant: &TenantId) -> SessionError {
        let outcome = if self.result.is_some() { Outcome::NoEffect } else { Outcome::Unknown };
        SessionError { tenant: tenant.clone(), failure: self.failure(), outcome }
    }

    /// As the error of a commit. Busy, full and a violated constraint leave the transaction uncommitted; after an I/O error the
    /// commit may be found in the file when it is next opened.
    pub(super) fn error_at_commit(&self, tenant: &TenantId) -> SessionError {
        let certain = self.result.is_some_and(|result| matches!(result & 0xff, 5 | 13 | 19));
        let outcome = if certain { Outcome::NoEffect } else { Outcome::Unknown };
        SessionError { outcome, ..self.error(tenant) }
    }

    /// As the error of a statement that commits by itself: only an I/O error may have come after its commit.
    pub(super) fn error_alone(&self, tenant: &TenantId) -> SessionError {
        let certain = self.result.is_some_and(|result| result & 0xff != 10);
        let outcome = if certain { Outcome::NoEffect } else { Outcome::Unknown };
        SessionError { outcome, ..self.error(tenant) }
    }

    /// As the error of an opening. A file that is locked may be locked by the worker before us, whose migration is not over.
    pub(super) fn before_the_fence(&self, tenant: &TenantId) -> SessionError {
        let mut error = self.before_anything(tenant, "cannot raise the fence");
        if self.result.is_some_and(|result| matches!(result & 0xff, 5 | 6)) {
            error.failure.code = Code::PredecessorAlive;
            error.failure.message =
                format!("the file is locked, perhaps by an earlier session that is still at work: {}", self.text);
        }
        error
    }

    /// As the error of a survey or an opening: nothing of a migration was asked.
    pub(super) fn before_anything(&self, tenant: &TenantId, doing: &str) -> SessionError {
        let failure = self.failure();
        let code = if self.result.is_some_and(|result| matches!(result & 0xff, 3 | 8 | 23)) {
            // Before a migration speaks, a file that cannot be written is about permissions.
            Code::TenantDenied
        } else {
            failure.code
        };
        let message = format!("{doing}: {}", self.text);
        let failure = Failure { server_code: failure.server_code, ..Failure::new(failure.class, code, message) };
        SessionError { tenant: tenant.clone(), failure, outcome: Outcome::NoEffect }
    }
}

/// Whether trying again can help, by extended result code; its low byte is the primary one.
const fn classify(result: u32) -> (ErrorClass, Code) {
    match result & 0xff {
        // Busy, locked, and the locking protocol of the WAL: another writer is at it.
        5 | 6 | 15 => (ErrorClass::Transient, Code::TenantTimeout),
        // Interrupted: by us, since the statement has had its time.
        9 => (ErrorClass::Permanent, Code::TenantTimeout),
        // I/O error.
        10 => (ErrorClass::Transient, Code::StepFailed),
        // Cannot open.
        14 => (ErrorClass::Transient, Code::TenantUnreachable),
        // Corrupt; not a database.
        11 | 26 => (ErrorClass::Permanent, Code::TenantUnreachable),
        // A full disk (13) does not empty itself while we wait.
        _ => (ErrorClass::Permanent, Code::StepFailed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_by_itself_is_transient_and_nothing_else_is() {
        for transient in [5, 261, 517, 6, 262, 15, 10, 266, 14] {
            assert_eq!(classify(transient).0, ErrorClass::Transient, "{transient}");
        }
        for permanent in [1, 8, 9, 11, 13, 19, 1299, 1555, 26] {
            assert_eq!(classify(permanent).0, ErrorClass::Permanent, "{permanent}");
        }
    }
}
