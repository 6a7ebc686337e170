//! Error codes: the stable names under which a failure can be looked up.
//!
//! A code is a contract: once released it keeps its number and its meaning. Each has a page, `docs/errors/WLnnnn.md`, with what
//! is true when it is seen and the command to run next; a test holds this table and the pages together.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! codes {
    ($( $variant:ident = $number:literal, $title:literal; )*) => {
        /// One kind of failure, with its stable number. `Display` writes the form users see, `WL0412`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $( #[doc = $title] $variant, )* }

        impl Code {
            /// Every code, in order of number.
            pub const ALL: &'static [Code] = &[ $( Code::$variant, )* ];

            /// The number behind `WL`.
            #[must_use]
            pub const fn number(self) -> u16 { match self { $( Code::$variant => $number, )* } }

            /// The title of its page.
            #[must_use]
            pub const fn title(self) -> &'static str { match self { $( Code::$variant => $title, )* } }
        }
    };
}

codes! {
    ConfigMissing = 1, "No windlass.toml here";
    ConfigInvalid = 2, "The configuration is not valid";
    SecretUnresolved = 3, "A secret reference cannot be resolved";
    AlreadyInitialised = 4, "There is a project here already";
    BadArgument = 5, "An argument does not make sense here";
    FileNotWritten = 6, "A file that was asked for cannot be written";
    KeyUnusable = 7, "A signing key cannot be used";

    ReleaseMissing = 101, "The migration folder cannot be read";
    ReleaseEmpty = 102, "The migration folder holds no migration";
    DuplicateVersion = 103, "Two migrations share a version";
    MissingUndo = 104, "A migration has no undo";
    BadMigrationName = 105, "A file in the migration folder has no name we understand";
    UnreadableMigration = 106, "A migration file cannot be read as text";
    UnsplittableSql = 107, "The statements of a migration cannot be told apart";
    NotTransactional = 108, "A statement changes a table that does not roll back";
    TransactionControl = 109, "A migration contains transaction control of its own";
    ChangedMigration = 110, "A migration that was applied has been changed since";
    OutOfOrder = 111, "A migration is older than one already applied";
    BadDirective = 112, "A windlass directive is not understood";
    TooLarge = 113, "A release is larger than its limits";
    UnknownApplied = 114, "A tenant has a migration that this release does not know";
    NoPlace = 115, "A statement has no place in a migration";
    NoHalfway = 116, "A migration cannot be undone from its middle";

    FleetEmpty = 201, "The fleet has no tenants";
    DuplicateTenant = 202, "Two tenants share an id";
    SameDatabase = 203, "Two tenants are the same database";
    SourceFailed = 204, "The list of tenants cannot be read";
    BadTenantUrl = 205, "A tenant's connection URL is not valid";
    UnsupportedEngine = 206, "A tenant's database server cannot be worked with";
    UnknownTenant = 207, "No tenant has this id";
    BadSelector = 208, "A selector is not valid";

    UnknownWorkflow = 301, "No workflow has this name";
    WorkflowInvalid = 302, "The workflow file is not valid";
    WorkflowCycle = 303, "The steps of a workflow wait for each other";
    UnknownNeeds = 304, "A step needs a step that is not there";
    UnreachableStep = 305, "A step can never run";
    UnknownStepKind = 306, "A step uses a kind that is not there";
    UnsupportedWorkflow = 307, "The workflow asks for something this version cannot do";
    DuplicateStep = 308, "Two steps share an id";

    DeployUnknown = 401, "No deploy has this id";
    FleetBusy = 402, "Another deploy of this fleet is under way";
    LostLog = 403, "Tenants carry the marks of a deploy that this log does not know";
    IllegalEvent = 404, "An event does not fit the state of its stream";
    WrongState = 405, "The deploy is not in a state for this command";
    NothingToRetry = 406, "There is nothing to retry";
    BuiltUpon = 407, "Later migrations stand on what is to be rolled back";
    WaitingForHuman = 408, "The deploy waits for a decision";
    Defect = 409, "Windlass met a defect of its own";

    LogUnavailable = 501, "The log cannot be used";
    LogNewer = 502, "The log was written by a newer Windlass";
    LogFull = 503, "The disk under the log is full";
    LogCorrupt = 504, "The log does not read back as it was written";
    Fenced = 505, "Another worker has taken over";
    LogBusy = 506, "The log did not answer in time";
    BlobMissing = 507, "The log lacks a file that it refers to";

    TenantUnreachable = 601, "A tenant database does not answer";
    TenantDenied = 602, "A tenant database refuses the credentials";
    TenantMissing = 603, "A tenant database does not exist";
    TenantTimeout = 604, "A statement or a lock took longer than its limit";
    TenantFenced = 605, "A later worker holds this tenant database";
    StepFailed = 606, "A statement failed";
    RetriesExhausted = 607, "A step failed again and again";
    TransactionBroken = 608, "A migration ended its own transaction";
    CheckFailed = 609, "A check did not hold";
    InDoubt = 611, "It cannot be told whether a step took effect";
    LedgerDamaged = 612, "The ledger in a tenant database is not readable";
    PlanOutdated = 613, "A tenant has changed since it was planned";
    PredecessorAlive = 614, "An earlier session on a tenant could not be ended";
    Irreversible = 615, "An irreversible migration cannot be undone";
    ForeignKeyBroken = 616, "A migration leaves rows that point nowhere";
    LedgerGone = 617, "A tenant has lost its ledger";
    LedgerUntold = 618, "A tenant's ledger does not know what a human decided";

    ChainBroken = 701, "An event is not the one that was written";
    EventMissing = 702, "An event is missing from the log";
    StreamTruncated = 703, "The end of a stream has been cut off";
    SealBroken = 704, "A finished deploy is not the one that was sealed";
    ProjectionWrong = 705, "A summary table disagrees with the events";
    BlobAltered = 706, "A stored file does not have its digest";
    DeployMissing = 707, "A deploy is missing from the log";
    LogUnreadable = 708, "A part of the log cannot be read";
    SignatureMissing = 709, "A deploy is not signed by the key that was given";
    SignatureWrong = 710, "A signature is not of what it stands beside";
    ExportDamaged = 711, "An export does not read as one";
    OrderWrong = 712, "Events do not stand in the order in which they were written";

    DeliveryUnproven = 801, "A webhook delivery does not prove where it comes from";
    DeliveryMalformed = 802, "What a webhook received is not a delivery";
    DeliveryTooLarge = 803, "A webhook delivery is too large";
    DeliveryUnmapped = 804, "No rule says what a webhook delivery means";
    DeliveryUnfit = 805, "A webhook delivery does not hold what its rule asks for";

    RevisionUnknown = 811, "The release of a revision cannot be found";
    GitUnreadable = 812, "A git repository cannot be read";
    RevisionChanged = 813, "A revision is not what it was";
    PushedUnreadable = 814, "A pushed release is not one";

    QueueFull = 821, "Too many requests wait for a fleet";
    DeliveryReused = 822, "A delivery came again with other contents";
    RequestMalformed = 823, "A request to the server cannot be read";
    NotAuthenticated = 824, "A request needs a token";
    NotAllowed = 825, "A token may not do this";
    NoSuchThing = 826, "There is nothing at this address";
    BodyTooLarge = 827, "A request's body is too large";
    TooManyRequests = 828, "Too many requests";
    TooSlow = 829, "A request took too long";
    ServerUnreachable = 830, "The server cannot be reached";
    NotServed = 831, "The server cannot be started";
    FormNotOurs = 841, "A form does not come from a page of this session";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WL{:04}", self.number())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Code::ALL
            .iter()
            .copied()
            .find(|code| code.to_string() == text)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown error code {text:?}")))
    }
}

/// An error that a person can look up, and act upon.
///
/// The `Display` of the error says what happened, to whom, and what is true now; [`Coded::next`] says what to run.
pub trait Coded: std::error::Error {
    /// The stable code.
    fn code(&self) -> Code;

    /// The command, or the act, that comes next. One line, without a full stop where it is a command.
    fn next(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].number() < pair[1].number()));
    }

    #[test]
    fn a_code_reads_back_from_its_written_form() {
        for code in Code::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), *code);
        }
    }
}
