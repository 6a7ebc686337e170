//! Requests: what was asked for and is to become a deploy.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::{Code, DeployId, Digest, TenantId, Timestamp};
pub use crate::config::serve::WhenBusy;
use crate::log::{Blob, DeployRow};
use crate::saga::event::{Actor, Trigger};

/// Which tenants, and in which way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// The workflow's name; the configured one where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// Only these tenants: ids, with commas between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
    /// Only tenants that this selector matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select: Option<String>,
    /// Tenants whose databases were really created anew.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub new_databases: Vec<String>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A release to the fleet, or to a part of it.
    Deploy {
        /// The revision as it was named; none where a release was named by digest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<String>,
        /// Its release, once it has been found. The bytes are among the log's blobs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        release: Option<Digest>,
        /// For which environment, where the sender says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        environment: Option<String>,
        /// To whom, and in which way.
        #[serde(default)]
        selection: Selection,
    },
    /// A finished deploy to be undone.
    Rollback {
        /// Which.
        of: DeployId,
        /// The workflow; the configured one where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        workflow: Option<String>,
    },
}

/// What two requests of a fleet have in common when they are the same one, asked for twice.
#[must_use]
pub fn identity(fleet: &str, what: &What) -> Digest {
    let parts = match what {
        What::Deploy { revision, release, environment, selection } => {
            // A release says more than the name it was found under: two names of one release are the same release.
            let named = if release.is_some() { &None } else { revision };
            serde_json::to_vec(&("deploy", fleet, named, release, environment, selection))
        }
        What::Rollback { of, .. } => serde_json::to_vec(&("rollback", fleet, of)),
    };
    Digest::of(&parts.unwrap_or_default())
}

/// The sending that brought a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Who sent it: `webhook:NAME`, or `api:TOKEN` for an `Idempotency-Key`.
    pub source: String,
    /// The sender's name for it, the same over all tries.
    pub id: String,
    /// The digest of what was sent, where the same id with other contents is to be refused.
    pub content: Option<Digest>,
}

/// A request to be taken in.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// The id of the deploy to be.
    pub id: DeployId,
    /// Which fleet.
    pub fleet: String,
    /// What for.
    pub asked: Asked,
    /// The bytes of the release that is asked for, where they have been found already.
    pub release: Option<Blob>,
    /// The names of the sending that brought it. If it has come under any of them before, it is what it was then.
    pub deliveries: Vec<Delivery>,
    /// Whether it may wait.
    pub when_busy: WhenBusy,
    /// Who is to be told how it goes.
    pub reports: Vec<String>,
}

/// What is asked for, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Asked {
    /// What.
    pub what: What,
    /// How it was set off, for the deploy's first event.
    pub trigger: Trigger,
    /// By whom.
    pub actor: Actor,
}

/// What became of a request that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenIn {
    /// It is a new one, and durable.
    New(DeployId),
    /// This very delivery has been taken in before.
    Replay(DeployId),
    /// Another delivery has asked for the same, and that waits or is on its way up.
    Same(DeployId),
}

impl TakenIn {
    /// The deploy that the asker is answered with.
    #[must_use]
    pub const fn deploy(self) -> DeployId {
        match self {
            TakenIn::New(id) | TakenIn::Replay(id) | TakenIn::Same(id) => id,
        }
    }
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// It waits for its turn, or is being prepared.
    Queued,
    /// It is a deploy.
    Created,
    /// It turned out to be the same as another, once its release had been found.
    Same,
    /// All tenants were on the release already.
    NothingToDo,
    /// It was refused before anything was touched.
    Refused,
    /// Somebody called it off while it waited.
    Cancelled,
}

impl RequestState {
    /// The word, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            RequestState::Queued => "queued",
            RequestState::Created => "created",
            RequestState::Same => "same",
            RequestState::NothingToDo => "nothing_to_do",
            RequestState::Refused => "refused",
            RequestState::Cancelled => "cancelled",
        }
    }

    /// The state with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        use RequestState::{Cancelled, Created, NothingToDo, Queued, Refused, Same};
        [Queued, Created, Same, NothingToDo, Refused, Cancelled].into_iter().find(|state| state.as_str() == word)
    }
}

/// How a request was settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Settled {
    /// It is a deploy.
    Created,
    /// It is the same as this one.
    Same {
        /// The other deploy.
        deploy: DeployId,
    },
    /// All tenants were on the release already.
    NothingToDo {
        /// How many.
        tenants: u64,
        /// What the release is called, after its last migration; none of a rollback.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        release: Option<String>,
    },
    /// It was refused, and nothing was touched.
    Refused {
        /// The page to look it up under.
        code: Code,
        /// In words.
        message: String,
        /// What to run next.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
        /// Tenants that are the reason, with theirs; the first of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schema(value_type = Vec<Vec<String>>)]
        tenants: Vec<(TenantId, Code, String)>,
    },
    /// Somebody called it off.
    Cancelled {
        /// Who.
        actor: Actor,
        /// Why.
        reason: String,
    },
}

impl Settled {
    /// The state that a request is in when it was settled so.
    #[must_use]
    pub const fn state(&self) -> RequestState {
        match self {
            Settled::Created => RequestState::Created,
            Settled::Same { .. } => RequestState::Same,
            Settled::NothingToDo { .. } => RequestState::NothingToDo,
            Settled::Refused { .. } => RequestState::Refused,
            Settled::Cancelled { .. } => RequestState::Cancelled,
        }
    }
}

/// A request as the desk keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Request {
    /// Its place in the order of arrival.
    #[serde(skip)]
    pub key: i64,
    /// The id of the deploy that it is, or would have been.
    pub id: DeployId,
    /// Which fleet.
    pub fleet: String,
    /// What for, and by whom.
    #[serde(flatten)]
    pub asked: Asked,
    /// When it came.
    pub received_at: Timestamp,
    /// Where it stands.
    pub state: RequestState,
    /// How it was settled, once it was.
    pub settled: Option<Settled>,
    /// When.
    pub settled_at: Option<Timestamp>,
}

/// A deploy in a list: asked for, or made, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: DeployId,
    /// How it was asked for; none where it was begun by a command.
    pub request: Option<Request>,
    /// How it stands; none as long as it is only asked for.
    pub row: Option<DeployRow>,
}
