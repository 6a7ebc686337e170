//! Every limit that is not a setting, with its unit in its name and its reason beside it (promise P10).

use std::num::NonZeroU32;
use std::time::Duration;

/// Bytes of a tenant id. Fits an index key of every engine with room for a prefix.
pub const TENANT_ID_BYTES_MAX: usize = 200;

/// Tenants in one fleet. Ten times what the largest known users run.
pub const FLEET_TENANTS_MAX: usize = 1_000_000;

/// Migrations in one release.
pub const RELEASE_MIGRATIONS_MAX: usize = 20_000;

/// Steps in one tenant's plan: each migration of the largest release, and those of a workflow beside them.
pub const PLAN_STEPS_MAX: usize = RELEASE_MIGRATIONS_MAX + WORKFLOW_STEPS_MAX;

/// Bytes of one migration file.
pub const MIGRATION_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bytes of all files of one release together.
pub const RELEASE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Bytes of the name of a migration's file: as many as file systems allow.
pub const MIGRATION_NAME_BYTES_MAX: usize = 255;

/// Bytes of a release's name: it is called after a file, if nobody names it.
pub const RELEASE_NAME_BYTES_MAX: usize = MIGRATION_NAME_BYTES_MAX;

/// Bytes of a workflow or a configuration file.
pub const TOML_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes of one line of an export. The longest is a release, quoted twice: at worst four bytes for one.
pub const EXPORT_LINE_BYTES_MAX: u64 = 4 * RELEASE_BYTES_MAX + 4_096;

/// Bytes of one deploy's files in an export, and of how its tenants are reached, which are in memory together: a release, its workflow
/// and the plans of four times as much.
pub const EXPORT_KEPT_BYTES_MAX: u64 = 4 * RELEASE_BYTES_MAX;

/// Bytes of one stream in an export, which is in memory as a whole: ten times what the longest plan comes to where every step succeeds.
pub const EXPORT_STREAM_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Deploys that one export holds.
pub const EXPORT_DEPLOYS_MAX: usize = 100_000;

/// Findings that one report lists, and lines of an export that may be none before the rest of it is not read: what is wrong with a file
/// is told by the first of them, and a file that is not ours at all must not cost more than one that is.
pub const FINDINGS_MAX: usize = 1_000;

/// Bytes of a secret read from a file.
pub const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Steps in one workflow.
pub const WORKFLOW_STEPS_MAX: usize = 200;

/// Bytes of a server's error message that are kept in an event; the rest is cut with an ellipsis.
pub const MESSAGE_BYTES_MAX: usize = 2_000;

/// Appends that one group commit of the log may carry. At 256 the cost of the commit is already spread thin (measured:
/// 320 000 events/s at 256 a commit, 70 700 at 16).
pub const GROUP_COMMIT_APPENDS_MAX: usize = 256;

/// Appends that may wait for the log's writer; more wait in their callers.
pub const LOG_QUEUE_MAX: usize = 4_096;

/// How long a worker owns a tenant without a sign of life.
pub const LEASE: Duration = Duration::from_secs(15);

/// The end of a lease further ahead than this was written before the clock was set back, and is over ([`Timestamp::believed`]). More than
/// any lease lasts, so that a clock that is put right by seconds takes no tenant from anybody.
///
/// [`Timestamp::believed`]: super::Timestamp::believed
pub const LEASE_AHEAD_MAX: Duration = Duration::from_mins(1);

/// The longest pause between two tries that a workflow may ask for. A next try further ahead than this was written before the clock was
/// set back, and is due.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_hours(1);

/// How often a worker gives that sign: three chances within one lease.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a log's write lock is waited for before the log counts as busy.
pub const LOG_BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long opening a connection to a tenant may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an earlier session on a tenant is given to end after it was told to.
pub const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an idle coordinator waits before it looks at the log again for what other processes wrote.
pub const POLL: Duration = Duration::from_millis(200);

/// Rows of one tenant's ledger that are read; a ledger beyond this is damaged.
pub const LEDGER_ROWS_MAX: usize = 1_000_000;

/// Tenants that are named when a deploy cannot be begun; beyond that they are counted.
pub const PREPARE_REFUSALS_MAX: usize = 1_000;

/// Deploys of a fleet, the newest first, that are looked through for what was done at a tenant, and for the one under way.
pub const DEPLOYS_REMEMBERED_MAX: usize = 10_000;

/// Tenants of a deploy that one reading of the log gives.
pub const TENANTS_PAGE: usize = 1_000;

/// Starts of one step on one tenant, retries after crashes included; beyond it the step has failed.
pub const STARTS_PER_STEP_MAX: u32 = 100;

/// Looks for evidence that may find an earlier session at work, before a human is asked what holds the tenant. With pauses that grow to
/// half a minute they span more than the quarter of an hour that a statement is given by default.
pub const LOOKS_WHILE_HELD_MAX: u32 = 60;

/// Drivers of one engine that may panic before it stops: a defect that comes back is not driven round and round.
pub const PANICS_MAX: u32 = 3;

/// Physical servers whose budgets one worker keeps apart at once.
pub const SERVERS_MAX: usize = 10_000;

/// How long reading the list of tenants from a catalog database may take, after the connection is open.
pub const SOURCE_TIMEOUT: Duration = Duration::from_mins(1);

/// How soon a source may be read again because a password was missing from the last reading.
pub const SOURCE_REREAD_MIN: Duration = Duration::from_secs(10);

/// How soon a source may be read again because a password from the last reading was refused: a wrong one must not be asked for over and
/// over, and one that was changed a moment ago must be found.
pub const SOURCE_REREAD_REFUSED_MIN: Duration = Duration::from_secs(1);

/// Bytes of a selector.
pub const SELECTOR_BYTES_MAX: usize = 64 * 1024;

/// Parentheses and `not`s inside each other in a selector.
pub const SELECTOR_DEPTH_MAX: usize = 64;

/// How much longer than the server's own time limits an answer of a tenant's server is waited for, before the connection counts
/// as lost. Only a cut network comes this far: the server itself gives up earlier.
pub const TENANT_ANSWER_GRACE: Duration = Duration::from_secs(10);

/// How long a tenant's server keeps a transaction of ours open while nothing is asked of it. Every transaction is one message,
/// so only a broken worker waits inside one.
pub const TENANT_IDLE_IN_TRANSACTION: Duration = Duration::from_mins(1);

/// How often a tenant's server looks whether we are still there while it runs a statement. Measured: a statement whose client was
/// killed is gone within 0.46 s; without this it runs to its end and commits.
pub const TENANT_CLIENT_CHECK: Duration = Duration::from_millis(500);

/// How long the farewell to a tenant's server may take.
pub const TENANT_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often opening a session is begun again after it made the tables, or ended the session that stood in its way.
pub const TENANT_OPEN_TRIES_MAX: u32 = 5;

/// How long a survey waits for a lock: it only reads, and whoever is in its way is doing something that must not be deployed into.
pub const SURVEY_LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a statement of a survey may take.
pub const SURVEY_STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a server looks at a fleet of which nobody has said anything: another process may have left a deploy there.
pub const KEEPER_LOOK: Duration = Duration::from_secs(1);

/// The longest pause of a server between two tries to move a fleet that does not move.
pub const KEEPER_PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long the requests of a fleet wait for a repository that cannot be reached, before they are refused: others wait behind them.
pub const SOURCE_PATIENCE: Duration = Duration::from_mins(10);

/// Tenants that are named when a request is refused; they are kept with it for ever.
pub const SETTLED_TENANTS_MAX: usize = 20;

/// Connections that a server has at once. Each costs it some tens of kilobytes.
pub const CONNECTIONS_MAX: usize = 1_024;

/// The part of them that one address may hold: one in so many. Whoever comes through a proxy comes from one address, so that it is not
/// less; and who holds as many as he can get leaves the others as much.
pub const CONNECTIONS_OF_ONE_PART: usize = 2;

/// Files that are kept open for what the server exists for, where the system does not allow as many as it would like: tenants, the log,
/// reports.
pub const FILES_KEPT: usize = 512;

/// Connections at once that there is always room for.
pub const CONNECTIONS_MIN: usize = 16;

/// How long a client may take to send the head of a request, and to agree on TLS: who is slower holds a connection for nothing.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request may take as a whole, its body and its answer included. Live events and pushed releases have their own.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a release may take to be pushed: the largest one over a slow line.
pub const PUSH_TIMEOUT: Duration = Duration::from_mins(10);

/// Releases that are received at once: each is in memory as a whole.
pub const PUSHES_MAX: usize = 2;

/// Bytes of the body of a request to the API that pushes no release.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How long running steps are given to end when a server is told to.
pub const DRAIN_TIMEOUT: Duration = Duration::from_mins(1);

/// Requests a second of one address where nothing is set, over its connections, and how many may come at once: some hundred people who
/// look at the page from behind one proxy.
pub const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(500).unwrap();

/// As many may be set.
pub const REQUESTS_PER_SECOND_MAX: u32 = 1_000_000;

/// Refused tokens and signatures a minute of one address, beyond which it is told to wait. What is right is let in all the same.
pub const REFUSED_PER_MINUTE_MAX: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// How exactly it is kept when a token was last used: a commit for every request would be a high price for knowing it better.
pub const TOKEN_USED_EXACTLY: Duration = Duration::from_mins(1);

/// Deliveries that are received at once: each may be in memory as a whole before it is known who sent it.
pub const DELIVERIES_AT_ONCE_MAX: usize = 32;

/// How long the body of a delivery may take to arrive: senders send it at once, and one of few places is held for it.
pub const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one client follows live events before it has to come back, by the last event that it has seen, and show its token again.
pub const FOLLOW_MAX: Duration = Duration::from_mins(5);

/// How long a session of the page lasts.
pub const SESSION: Duration = Duration::from_hours(12);

/// The part of all connections that may follow live events: one in so many. Behind a proxy all are of one address, whose part they must
/// not use up.
pub const FOLLOWERS_PART: usize = 4;

/// How often a server looks for new events of a deploy that somebody follows.
pub const PULSE: Duration = Duration::from_millis(100);

/// How often a server says in the log that it is there, and after how long without that it is taken to be gone.
pub const SERVER_SEEN: Duration = Duration::from_secs(10);
/// See [`SERVER_SEEN`].
pub const SERVER_GONE: Duration = Duration::from_secs(35);

/// Things that one page of a list holds at most, and as many as it holds where nobody says.
pub const PAGE_MAX: usize = 1_000;
/// See [`PAGE_MAX`].
pub const PAGE_DEFAULT: usize = 100;

/// Bytes of a cursor into a list, which holds at most the name of a tenant.
pub const CURSOR_BYTES_MAX: usize = 2_000;

/// Things of a list that one request looks through for those that are asked for; the next page goes on from there.
pub const LOOKED_THROUGH_MAX: usize = 10_000;

/// Exports that are written at once: each has one deploy in memory.
pub const EXPORTS_MAX: usize = 4;

/// Characters of the name of an environment, as the API takes it.
pub const ENVIRONMENT_CHARS_MAX: usize = 200;

/// Bytes of a selection of tenants, as the API takes it: it is kept for ever with what was asked for.
pub const SELECTION_BYTES_MAX: usize = 100_000;

/// Characters of a token's name, which the log names its holder by.
pub const TOKEN_NAME_CHARS_MAX: usize = 100;

/// For how long a token made over the API is good at most, where it ends at all.
pub const TOKEN_LIFETIME_MAX: Duration = Duration::from_hours(24 * 365 * 10);

/// Requests that may wait for one fleet: more than a day of a deploy every quarter of an hour.
pub const REQUESTS_QUEUED_MAX: u64 = 100;

// `windlass serve`.

/// Further projects that one server serves.
pub const SERVE_PROJECTS_MAX: usize = 100;

/// Webhooks of one project.
pub const WEBHOOKS_MAX: usize = 100;

/// Bytes of a webhook's name, which is a part of its URL.
pub const WEBHOOK_NAME_BYTES_MAX: usize = 50;

/// Secrets of one webhook at once: each is tried on every delivery, and a rotation needs two.
pub const WEBHOOK_SECRETS_MAX: usize = 10;

/// Rules of one webhook.
pub const WEBHOOK_RULES_MAX: usize = 100;

/// Conditions of one rule.
pub const RULE_CONDITIONS_MAX: usize = 20;

/// Values that one condition accepts.
pub const CONDITION_VALUES_MAX: usize = 100;

/// Bytes of a template, of a value that a condition accepts, and of an event's name in a rule.
pub const TEMPLATE_BYTES_MAX: usize = 500;

/// Names that a path into a payload goes through. The deepest field of a documented payload that anybody maps lies at eight.
pub const FIELD_PATH_NAMES_MAX: usize = 16;

/// Bytes of a revision, and of a name that a template makes: what fits a path, a label and an index key.
pub const REVISION_BYTES_MAX: usize = 200;

/// Receivers of outgoing webhooks.
pub const NOTIFY_MAX: usize = 20;

/// How long one visit to a git repository may take at most, whatever is set.
pub const GIT_TIMEOUT_MAX: Duration = Duration::from_hours(1);

/// Bytes of one delivery of a webhook. Deployments and pipelines are below 100 KiB, a push with as many commits as senders list below
/// 3 MiB. It is in memory as a whole, before it is known who sent it.
pub const DELIVERY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a delivery's id and of its event's name, as a sender gives them.
pub const DELIVERY_ID_BYTES_MAX: usize = 200;

/// Arrays and objects inside each other in a delivery. Documented payloads stay below 16.
pub const DELIVERY_DEPTH_MAX: usize = 64;

/// Values in a delivery: in memory each is some 30 times as large as it can be in the text.
pub const DELIVERY_VALUES_MAX: usize = 200_000;

/// How far the time of a signed delivery may be from ours, either way: what Standard Webhooks 1.0 recommends.
pub const DELIVERY_TIME_TOLERANCE: Duration = Duration::from_mins(5);

/// Signatures of one kind that are looked at in one delivery. A rotation needs two; each by a public key costs one pass over the body,
/// before it is known who sent it.
pub const DELIVERY_SIGNATURES_MAX: usize = 4;

/// Characters of a report's description. GitHub refuses more.
pub const REPORT_DESCRIPTION_CHARS_MAX: usize = 140;

/// Bytes of a pushed release as it is sent, which are in memory as a whole: those of the largest release, with little of it quoted.
pub const PUSHED_BYTES_MAX: u64 = RELEASE_BYTES_MAX;

/// How long finding a release in a git repository may take where the configuration does not say.
pub const GIT_TIMEOUT: Duration = Duration::from_mins(1);

/// Repositories that are read at once: each may take the memory and the disk that the limits below allow.
pub const GIT_AT_ONCE_MAX: usize = 2;

/// Bytes of one commit of a git repository with all its files, packed, as they are fetched: the largest file that git may write. A
/// repository beyond it gives its releases in another way.
pub const GIT_FETCH_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Bytes of address space of a git that fetches, where the system can limit it: a pack of a few kilobytes can unfold to any size.
pub const GIT_MEMORY_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Bytes that a git which is asked for names, of references or of the files in one folder, may answer: the files of the largest
/// release under the longest names, twice over.
pub const GIT_LIST_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Bytes of what git says about a failure that are shown.
pub const GIT_SAID_BYTES_MAX: usize = 1_000;

/// Folders inside each other in the path to the migrations of a git repository.
pub const GIT_PATH_DEPTH_MAX: usize = 32;

/// How long a git that was told to end is waited for.
pub const GIT_END_TIMEOUT: Duration = Duration::from_secs(5);

/// Cells in which a page shows the tenants of a deploy. Beyond that many tenants each cell is several of them: a person tells no more
/// apart on one screen, and a browser draws no more four times a second.
pub const CELLS_MAX: u64 = 2_000;

/// Events of a deploy that a page shows at a time.
pub const PAGE_EVENTS: usize = 40;

/// Deploys of a fleet, and settled requests, that the first page shows.
pub const PAGE_DEPLOYS: usize = 15;

/// Bytes of a form of the page: a reason, and the names of what it is about.
pub const FORM_BYTES_MAX: usize = 16 * 1024;

/// Bytes of the address that a login leads back to.
pub const NEXT_BYTES_MAX: usize = 1_000;

// What others are told.

/// How long telling somebody something may take, from the connection to the end of the answer.
pub const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a report is in hand while it is told. A server that dies with it leaves it to the next one for as long.
pub const REPORT_CLAIM: Duration = Duration::from_secs(12);

/// A report that has not failed and is to be told further ahead than this was taken in hand before the clock was set back, and is due.
pub const REPORT_CLAIM_AHEAD_MAX: Duration = Duration::from_mins(1);

/// How often it is looked whether there is anything to tell.
pub const REPORT_LOOK: Duration = Duration::from_millis(200);

/// How often it is looked for deploys that a command has begun, so that they are told of too.
pub const REPORT_OPEN_LOOK: Duration = Duration::from_secs(1);

/// Reports looked at in one round: more wait for the next one.
pub const REPORTS_LOOKED_AT_MAX: usize = 1_000;

/// Reports that are told at once, all in all.
pub const REPORTS_AT_ONCE_MAX: usize = 16;

/// Reports that are told at once to one address: what is slow is not to take the room of the others.
pub const REPORTS_TO_ONE_MAX: usize = 2;

/// The pause after the first failure to tell; it doubles with each one.
pub const REPORT_PAUSE_FIRST: Duration = Duration::from_secs(1);

/// The longest pause between two tries, but where the other side asks for a longer one.
pub const REPORT_PAUSE_MAX: Duration = Duration::from_hours(1);

/// The longest pause that the other side may ask for.
pub const REPORT_RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// How long telling one thing is tried before it is given up: a weekend and a day.
pub const REPORT_GIVE_UP: Duration = Duration::from_hours(72);

/// Failures without which nothing is given up, whatever the clock says: the pauses before the tenth take some minutes all in all.
pub const REPORT_GIVE_UP_FAILURES_MIN: u32 = 10;

/// Bytes of an answer to a report that are read; nothing of them is shown.
pub const REPORT_ANSWER_BYTES_MAX: usize = 4 * 1024;

/// How long a request that was called off is watched for a deploy that was just being created, before its asker is told.
pub const REPORT_CANCEL_WAIT: Duration = Duration::from_secs(5);

/// Spans of a trace that are sent at once. Those of one tenant stay together, however many.
pub const SPANS_AT_ONCE_MAX: usize = 500;
