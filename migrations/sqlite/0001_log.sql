-- The log, format 1. Run once, whole, in the transaction that creates the file.
--
-- STRICT throughout: a value of the wrong type is refused when it is written, not found when it is read. Integer keys stand in for
-- deploys and tenants inside the file, so that an event's index entries are a few bytes; ids appear once.

-- What the file is. One row.
CREATE TABLE meta (
    one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    -- The version of the vocabulary of events and of this schema. A higher one than the program knows is refused.
    format     INTEGER NOT NULL,
    -- The log's identity. Tenant ledgers carry it, so that a lost or a wrong log is noticed.
    log_id     TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Release files, workflows, plans, tenant lists: stored once, under the SHA-256 of their bytes.
CREATE TABLE blobs (
    digest BLOB NOT NULL PRIMARY KEY,
    bytes  BLOB NOT NULL
) STRICT;

-- One row per deploy: the header of its own stream, and the fold of it.
CREATE TABLE deploys (
    key        INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    fleet      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    -- How many events its stream has, and the head of their chain. A shorter read is damage, not an end.
    last_seq   INTEGER NOT NULL,
    head       BLOB    NOT NULL,
    -- The fold (JSON). Written in the transaction of the events that it follows from; every start reads the direction here.
    summary    TEXT    NOT NULL,
    -- For the index below; the fact itself lives in the fold.
    outcome    TEXT    GENERATED ALWAYS AS (summary ->> '$.outcome') VIRTUAL
) STRICT;

-- At most one unfinished deploy per fleet, whatever the processes around the file believe.
CREATE UNIQUE INDEX deploys_under_way ON deploys (fleet) WHERE outcome IS NULL;

-- One row per tenant of a deploy: the header of its stream, its lease, and the fold of its stream.
CREATE TABLE tenants (
    key         INTEGER PRIMARY KEY,
    deploy      INTEGER NOT NULL REFERENCES deploys (key),
    tenant      TEXT    NOT NULL,
    ordinal     INTEGER NOT NULL,
    spec        TEXT    NOT NULL,
    last_seq    INTEGER NOT NULL,
    head        BLOB    NOT NULL,
    -- The epoch of the last holder: every append names it, and one that names another is fenced off.
    epoch       INTEGER NOT NULL,
    -- Who holds it. Stays after the lease has run out, until somebody else takes it or it is given back.
    owner       TEXT,
    lease_until INTEGER NOT NULL,
    status      TEXT    NOT NULL,
    stage       INTEGER NOT NULL,
    wave        INTEGER NOT NULL,
    step        TEXT,
    ready_at    INTEGER,
    code        TEXT,
    message     TEXT,
    UNIQUE (deploy, tenant),
    UNIQUE (deploy, ordinal)
) STRICT;

-- Both what can be claimed and how many stand where: a claim is one short range per claimable status, in the order in which it hands
-- out, and the census is a count over this index alone.
CREATE INDEX tenants_standing ON tenants (deploy, status, stage, wave, ordinal);
-- Heartbeats, holders, and when the next lease runs out: as many entries as there are leases, not tenants.
CREATE INDEX tenants_held ON tenants (deploy, owner) WHERE owner IS NOT NULL;
-- When the next tenant that waits between two tries is due.
CREATE INDEX tenants_waiting ON tenants (deploy, ready_at) WHERE ready_at IS NOT NULL;

-- The events. Never updated, never deleted.
CREATE TABLE events (
    -- The place in the log as a whole. There is one writer at a time, so the order of places is the order of commits, and a reader
    -- that has seen a place has seen all before it.
    position INTEGER PRIMARY KEY,
    deploy   INTEGER NOT NULL,
    -- The key of the tenant; 0 for the deploy's own stream.
    tenant   INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    -- JSON, byte for byte what the chain covers.
    body     TEXT    NOT NULL,
    -- The head of the stream's chain after this event.
    hash     BLOB    NOT NULL
) STRICT;

-- A stream in its order; and no two events in one place of it.
CREATE UNIQUE INDEX events_of_stream ON events (deploy, tenant, seq);
-- What happened in a deploy after a place.
CREATE INDEX events_of_deploy ON events (deploy, position);

-- What is known of a tenant across deploys: so that a deploy with nothing to do there opens no connection, and so that epochs grow
-- over all deploys.
CREATE TABLE records (
    fleet   TEXT    NOT NULL,
    tenant  TEXT    NOT NULL,
    -- The digest of what it was reached by.
    target  BLOB    NOT NULL,
    -- The release it is on; NULL where only its own ledger knows.
    release BLOB,
    epoch   INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (fleet, tenant)
) STRICT, WITHOUT ROWID;
