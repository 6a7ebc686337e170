-- The desk: what a server keeps beside the events. Run once, whole, in one transaction, right after 0001 or when an older log is opened.
--
-- Nothing here is evidence: what happened to a tenant is in the events alone, and `audit verify` does not read these tables. They hold
-- what has been asked for and not been done yet, who may ask, and how far the telling of others has come.

-- What was asked for, in the order in which it came. Rows are never deleted: a delivery that comes again years later is answered with
-- the same deploy.
CREATE TABLE requests (
    key         INTEGER PRIMARY KEY,
    -- The id that the deploy has, or would have had.
    id          TEXT    NOT NULL UNIQUE,
    fleet       TEXT    NOT NULL,
    -- What another request must have in common with this one to be the same: fleet, environment, selection, workflow, and the release
    -- (or the revision, until the release is known).
    identity    BLOB    NOT NULL,
    -- The request (JSON).
    body        TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    state       TEXT    NOT NULL DEFAULT 'queued'
                CHECK (state IN ('queued', 'created', 'same', 'nothing_to_do', 'refused', 'cancelled')),
    -- How it was settled (JSON).
    settled     TEXT,
    settled_at  INTEGER
) STRICT;

CREATE INDEX requests_queued ON requests (fleet, key) WHERE state = 'queued';
CREATE INDEX requests_alike ON requests (identity, key);

-- Each sending that was accepted, and the request that it belongs to for ever.
CREATE TABLE deliveries (
    source      TEXT    NOT NULL,
    delivery    TEXT    NOT NULL,
    -- The digest of what was sent, where the same name with other contents is a mistake of the sender.
    content     BLOB,
    request     TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (source, delivery)
) STRICT, WITHOUT ROWID;

-- What a revision was when it was first seen.
CREATE TABLE revisions (
    fleet    TEXT    NOT NULL,
    revision TEXT    NOT NULL,
    release  BLOB    NOT NULL,
    seen_at  INTEGER NOT NULL,
    PRIMARY KEY (fleet, revision)
) STRICT, WITHOUT ROWID;

-- Releases that were pushed. Their bytes are among the blobs.
CREATE TABLE releases (
    fleet     TEXT    NOT NULL,
    digest    BLOB    NOT NULL,
    name      TEXT    NOT NULL,
    migrations INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    pushed_at INTEGER NOT NULL,
    pushed_by TEXT    NOT NULL,
    PRIMARY KEY (fleet, digest)
) STRICT, WITHOUT ROWID;

-- Who may ask. Of a token only the SHA-256 is kept: it is 32 random bytes, which nobody guesses from that.
CREATE TABLE tokens (
    id         TEXT    NOT NULL PRIMARY KEY,
    hash       BLOB    NOT NULL UNIQUE,
    -- The rest (JSON): name, role, fleets, the token that a session was opened with.
    body       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    -- When it was last used, to the minute.
    used_at    INTEGER
) STRICT;

-- How far each of those who are told of a deploy has been told. What is told is read from the events; there is no copy of it here.
CREATE TABLE reports (
    deploy   TEXT    NOT NULL,
    target   TEXT    NOT NULL,
    -- How far it has been told; 0: nothing.
    position INTEGER NOT NULL,
    state    TEXT    NOT NULL CHECK (state IN ('open', 'done', 'given_up')),
    attempts INTEGER NOT NULL,
    next_at  INTEGER NOT NULL,
    -- What went wrong last, and since when it goes wrong.
    error    TEXT,
    failing_since INTEGER,
    PRIMARY KEY (deploy, target)
) STRICT, WITHOUT ROWID;

CREATE INDEX reports_due ON reports (next_at) WHERE state = 'open';

-- The servers on this log. One that has not been seen for a while is gone.
CREATE TABLE servers (
    worker     TEXT    NOT NULL PRIMARY KEY,
    url        TEXT    NOT NULL,
    fleets     TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
