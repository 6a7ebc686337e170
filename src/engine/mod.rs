//! Drives: decide, append, act, append. Recovery is the same loop.
//!
//! [`prepare()`] looks at every tenant that a release would change and freezes their plans; nothing is touched by it. [`Engine::run`]
//! takes a deploy that is in the log to its end, whoever created it and whoever began it.

mod drive;
mod error;
mod gateway;
mod gone;
mod hands;
mod lost;
mod operate;
mod prepare;
mod rollback;
mod run;
mod seal;
mod standing;
mod waves;
mod worker;

pub use error::{EngineError, Refusal};
pub use gateway::{Gateway, OpenSession, RealGateway};
pub use operate::{Settled, Word, pause, resolve, resolve_all, resumed, retry, taken_up, turn};
pub use prepare::{OutOfOrder, Prepared, PreparedTenant, Request, SurveyMode, prepare};
pub use rollback::{finished_release, prepare_rollback};
pub use run::{Ending, Engine, Settings, Stop, refuse_foreign};
pub use worker::{host, is_dead, this_worker};
