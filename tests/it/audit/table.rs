//! What is done to a log, and what must be found.
//!
//! Keys in the file are given in the order of creation: deploy 1 completed with the tenants 1 (acme) and 2 (bolt), deploy 2 was unwound
//! with the tenants 3 (acme) and 4 (bolt); a deploy's own stream is that of tenant 0.

/// One act of tampering.
pub(super) struct Tampering {
    /// What somebody does to the log.
    pub(super) act: &'static str,
    /// How, in SQL.
    pub(super) sql: &'static str,
    /// What must be found.
    pub(super) found: &'static [Found],
}

/// A finding: its code, the key of the deploy, the tenant, the event.
pub(super) type Found = (&'static str, usize, Option<&'static str>, Option<u64>);

pub(super) const EDIT_A_BODY: &str = "UPDATE events SET body = replace(body, '\"attempt\":1', '\"attempt\":7') WHERE deploy = 1 AND tenant = 1 AND seq = 4";
pub(super) const DELETE_AN_EVENT: &str = "DELETE FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 5";
pub(super) const SWAP_TWO_EVENTS: &str = "UPDATE events SET seq = 99 WHERE deploy = 1 AND tenant = 1 AND seq = 4; \
     UPDATE events SET seq = 4 WHERE deploy = 1 AND tenant = 1 AND seq = 6; \
     UPDATE events SET seq = 6 WHERE deploy = 1 AND tenant = 1 AND seq = 99";
pub(super) const CUT_THE_LAST_OFF: &str = "DELETE FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 10";

/// What is done, and nothing else.
pub(super) const TABLE: &[Tampering] = &[
    Tampering { act: "an event's body edited", sql: EDIT_A_BODY, found: &[("WL0701", 1, Some("acme"), Some(4))] },
    Tampering {
        act: "an event's time edited",
        sql: "UPDATE events SET body = json_set(body, '$.at', 1) WHERE deploy = 2 AND tenant = 0 AND seq = 4",
        found: &[("WL0701", 2, None, Some(4))],
    },
    Tampering {
        act: "who started a deploy edited",
        sql: "UPDATE events SET body = json_set(body, '$.event.actor.name', 'somebody') \
              WHERE deploy = 2 AND tenant = 0 AND seq = 1",
        found: &[("WL0701", 2, None, Some(1))],
    },
    Tampering {
        act: "an event made unreadable",
        sql: "UPDATE events SET body = '{' WHERE deploy = 1 AND tenant = 2 AND seq = 2",
        found: &[("WL0701", 1, Some("bolt"), Some(2))],
    },
    Tampering {
        act: "an event's hash edited",
        sql: "UPDATE events SET hash = zeroblob(32) WHERE deploy = 1 AND tenant = 1 AND seq = 3",
        found: &[("WL0701", 1, Some("acme"), Some(3))],
    },
    Tampering { act: "an event deleted", sql: DELETE_AN_EVENT, found: &[("WL0702", 1, Some("acme"), Some(5))] },
    Tampering {
        act: "the first event deleted",
        sql: "DELETE FROM events WHERE deploy = 2 AND tenant = 0 AND seq = 1",
        found: &[("WL0702", 2, None, Some(1))],
    },
    Tampering {
        act: "an event deleted and the gap closed",
        sql: "DELETE FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 5; \
              UPDATE events SET seq = seq - 1, body = json_set(body, '$.seq', seq - 1) \
                  WHERE deploy = 1 AND tenant = 1 AND seq > 5; \
              UPDATE tenants SET last_seq = last_seq - 1 WHERE key = 1",
        found: &[("WL0701", 1, Some("acme"), Some(5))],
    },
    Tampering {
        act: "two events of a stream swapped",
        sql: SWAP_TWO_EVENTS,
        found: &[("WL0701", 1, Some("acme"), Some(4)), ("WL0701", 1, Some("acme"), Some(6))],
    },
    Tampering {
        act: "two events of a stream swapped, and their numbers with them",
        sql: "UPDATE events SET seq = 99 WHERE deploy = 1 AND tenant = 1 AND seq = 4; \
              UPDATE events SET seq = 4, body = json_set(body, '$.seq', 4) WHERE deploy = 1 AND tenant = 1 AND seq = 6; \
              UPDATE events SET seq = 6, body = json_set(body, '$.seq', 6) WHERE deploy = 1 AND tenant = 1 AND seq = 99",
        found: &[("WL0701", 1, Some("acme"), Some(4)), ("WL0701", 1, Some("acme"), Some(6))],
    },
    Tampering { act: "the last event cut off", sql: CUT_THE_LAST_OFF, found: &[("WL0703", 1, Some("acme"), Some(10))] },
    Tampering {
        act: "the last event cut off, and the header's length put right",
        sql: "DELETE FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 10; \
              UPDATE tenants SET last_seq = 9 WHERE key = 1",
        found: &[("WL0701", 1, Some("acme"), Some(9))],
    },
    Tampering {
        act: "the last event cut off, and the header's length and head put right",
        sql: "DELETE FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 10; \
              UPDATE tenants SET last_seq = 9, \
                  head = (SELECT hash FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 9) WHERE key = 1",
        found: &[("WL0705", 1, Some("acme"), None), ("WL0704", 1, None, None)],
    },
    Tampering {
        act: "the last event cut off, and header and row made to fit",
        sql: "DELETE FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 10; \
              UPDATE tenants SET last_seq = 9, status = 'running', \
                  head = (SELECT hash FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 9) WHERE key = 1",
        found: &[("WL0704", 1, None, None)],
    },
    Tampering {
        act: "the seal cut off",
        sql: "DELETE FROM events WHERE deploy = 2 AND tenant = 0 AND seq = (SELECT last_seq FROM deploys WHERE key = 2); \
              UPDATE deploys SET last_seq = last_seq - 1, head = (SELECT hash FROM events WHERE deploy = 2 AND tenant = 0 \
                  ORDER BY seq DESC LIMIT 1) WHERE key = 2",
        found: &[("WL0705", 2, None, None), ("WL0704", 2, None, None)],
    },
    Tampering {
        act: "the seal cut off, and header and row made to fit",
        sql: "DELETE FROM events WHERE deploy = 2 AND tenant = 0 AND seq = (SELECT last_seq FROM deploys WHERE key = 2); \
              UPDATE deploys SET last_seq = last_seq - 1, summary = json_set(summary, '$.seal', NULL), \
                  head = (SELECT hash FROM events WHERE deploy = 2 AND tenant = 0 ORDER BY seq DESC LIMIT 1) WHERE key = 2",
        found: &[("WL0704", 2, None, None)],
    },
    Tampering {
        act: "the events of a tenant deleted",
        sql: "DELETE FROM events WHERE deploy = 1 AND tenant = 2",
        found: &[("WL0703", 1, Some("bolt"), Some(10))],
    },
    Tampering {
        act: "a tenant deleted with all its events",
        sql: "DELETE FROM events WHERE deploy = 1 AND tenant = 2; DELETE FROM tenants WHERE key = 2",
        found: &[("WL0704", 1, None, None), ("WL0705", 1, None, None)],
    },
    Tampering {
        act: "the events of two tenants swapped",
        sql: "UPDATE events SET tenant = 99 WHERE tenant = 1; UPDATE events SET tenant = 1 WHERE tenant = 2; \
              UPDATE events SET tenant = 2 WHERE tenant = 99",
        found: &[("WL0701", 1, Some("acme"), Some(1)), ("WL0701", 1, Some("bolt"), Some(1))],
    },
    Tampering {
        act: "one event of two tenants swapped",
        sql: "UPDATE events SET tenant = 99 WHERE tenant = 1 AND seq = 7; \
              UPDATE events SET tenant = 1 WHERE tenant = 2 AND seq = 7; \
              UPDATE events SET tenant = 2 WHERE tenant = 99",
        found: &[("WL0701", 1, Some("acme"), Some(7)), ("WL0701", 1, Some("bolt"), Some(7))],
    },
    Tampering {
        act: "the streams of two tenants swapped, headers and all",
        sql: "UPDATE tenants SET tenant = 'x' WHERE key = 1; UPDATE tenants SET tenant = 'acme' WHERE key = 2; \
              UPDATE tenants SET tenant = 'bolt' WHERE key = 1",
        found: &[("WL0701", 1, Some("acme"), Some(1)), ("WL0701", 1, Some("bolt"), Some(1))],
    },
    Tampering {
        act: "an event put at the end",
        sql: "INSERT INTO events (deploy, tenant, seq, body, hash) \
              SELECT deploy, tenant, 11, json_set(body, '$.seq', 11), hash FROM events WHERE tenant = 1 AND seq = 10",
        found: &[("WL0701", 1, Some("acme"), Some(11)), ("WL0703", 1, Some("acme"), Some(11))],
    },
    Tampering {
        act: "an event put between two others",
        sql: "UPDATE events SET seq = seq + 100 WHERE tenant = 1 AND seq > 6; \
              UPDATE events SET seq = seq - 99, body = json_set(body, '$.seq', seq - 99) WHERE tenant = 1 AND seq > 100; \
              INSERT INTO events (deploy, tenant, seq, body, hash) \
              SELECT deploy, tenant, 7, json_set(body, '$.seq', 7), hash FROM events WHERE tenant = 1 AND seq = 6; \
              UPDATE tenants SET last_seq = last_seq + 1 WHERE key = 1",
        found: &[("WL0701", 1, Some("acme"), Some(7))],
    },
    Tampering {
        act: "the root in the seal edited",
        sql: "UPDATE events SET body = json_set(body, '$.event.root', printf('%064d', 7)) \
              WHERE deploy = 1 AND tenant = 0 AND body LIKE '%\"sealed\"%'",
        found: &[("WL0701", 1, None, Some(5)), ("WL0704", 1, None, None)],
    },
    Tampering {
        act: "the seal of an older deploy replayed",
        sql: "UPDATE events SET body = json_set(body, '$.event.root', \
                  (SELECT body ->> '$.event.root' FROM events WHERE deploy = 1 AND body LIKE '%\"sealed\"%')) \
              WHERE deploy = 2 AND tenant = 0 AND body LIKE '%\"sealed\"%'",
        found: &[("WL0701", 2, None, Some(6)), ("WL0704", 2, None, None)],
    },
    Tampering {
        act: "where two tenants are reached exchanged",
        sql: "CREATE TEMP TABLE was AS SELECT key, spec FROM tenants WHERE deploy = 1; \
              UPDATE tenants SET ordinal = 99 - ordinal, spec = (SELECT spec FROM was WHERE was.key <> tenants.key) \
              WHERE deploy = 1",
        found: &[("WL0705", 1, Some("acme"), None), ("WL0705", 1, Some("bolt"), None)],
    },
    Tampering {
        act: "a release's file edited",
        sql: "UPDATE blobs SET bytes = CAST(replace(bytes, 'CREATE TABLE orders', 'CREATE TABLE orderz') AS BLOB) \
              WHERE digest = (SELECT unhex(body ->> '$.event.release') FROM events WHERE deploy = 1 AND tenant = 0 AND seq = 1)",
        found: &[("WL0706", 1, None, None)],
    },
    Tampering {
        act: "a workflow's file edited",
        sql: "UPDATE blobs SET bytes = CAST(bytes || ' ' AS BLOB) \
              WHERE digest = (SELECT unhex(body ->> '$.event.workflow') FROM events WHERE deploy = 2 AND tenant = 0 AND seq = 1)",
        found: &[("WL0706", 2, None, None)],
    },
    Tampering {
        act: "a tenant's frozen plan edited",
        sql: "UPDATE blobs SET bytes = CAST(replace(bytes, 'migrate:', 'migrate;') AS BLOB) \
              WHERE digest = (SELECT unhex(body ->> '$.event.plan') FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 1)",
        found: &[("WL0706", 1, None, None)],
    },
    Tampering {
        act: "a tenant's frozen plan exchanged for another's",
        sql: "UPDATE events SET body = json_set(body, '$.event.plan', \
                  (SELECT body ->> '$.event.plan' FROM events WHERE tenant = 3 AND seq = 1)) WHERE tenant = 1 AND seq = 1",
        found: &[("WL0701", 1, Some("acme"), Some(1))],
    },
    Tampering {
        act: "a plan deleted",
        sql: "DELETE FROM blobs \
              WHERE digest = (SELECT unhex(body ->> '$.event.plan') FROM events WHERE deploy = 1 AND tenant = 1 AND seq = 1)",
        found: &[("WL0507", 1, None, None)],
    },
    Tampering {
        act: "how a tenant is reached edited",
        sql: "UPDATE tenants SET spec = replace(spec, 'bolt.db', 'crow.db') WHERE key = 2",
        found: &[("WL0705", 1, None, None)],
    },
    Tampering {
        act: "where a tenant stands edited",
        sql: "UPDATE tenants SET status = 'untouched' WHERE key = 3",
        found: &[("WL0705", 2, Some("acme"), None)],
    },
    Tampering {
        act: "why a tenant failed edited",
        sql: "UPDATE tenants SET message = 'all is well' WHERE key = 4",
        found: &[("WL0705", 2, Some("bolt"), None)],
    },
    Tampering {
        act: "a tenant's head edited",
        sql: "UPDATE tenants SET head = zeroblob(32) WHERE key = 2",
        found: &[("WL0701", 1, Some("bolt"), Some(10))],
    },
    Tampering {
        act: "a deploy's direction edited",
        sql: "UPDATE deploys SET summary = json_set(summary, '$.direction', 'forward') WHERE key = 2",
        found: &[("WL0705", 2, None, None)],
    },
    Tampering {
        act: "a deploy's row moved to another fleet",
        sql: "UPDATE deploys SET fleet = 'other' WHERE key = 2",
        found: &[("WL0705", 2, None, None)],
    },
    Tampering {
        act: "a deploy's outcome edited",
        sql: "UPDATE deploys SET summary = json_set(summary, '$.outcome', 'completed') WHERE key = 2",
        found: &[("WL0705", 2, None, None)],
    },
    Tampering {
        act: "a deploy's seal edited in its row",
        sql: "UPDATE deploys SET summary = json_set(summary, '$.seal', printf('%064d', 7)) WHERE key = 1",
        found: &[("WL0705", 1, None, None)],
    },
    Tampering {
        act: "a tenant's record put on another release",
        sql: "UPDATE records SET release = zeroblob(32) WHERE tenant = 'bolt'",
        found: &[("WL0705", 2, Some("bolt"), None)],
    },
    Tampering {
        act: "a tenant's record deleted",
        sql: "DELETE FROM records WHERE tenant = 'acme'",
        found: &[("WL0705", 2, Some("acme"), None)],
    },
    Tampering {
        act: "a whole deploy deleted",
        sql: "DELETE FROM events WHERE deploy = 1; DELETE FROM tenants WHERE deploy = 1; DELETE FROM deploys WHERE key = 1",
        found: &[("WL0707", 2, None, None)],
    },
    Tampering {
        act: "two deploys exchanged",
        sql: "PRAGMA foreign_keys = OFF; UPDATE deploys SET key = 3 WHERE key = 1; UPDATE events SET deploy = 3 WHERE deploy = 1; \
              UPDATE tenants SET deploy = 3 WHERE deploy = 1",
        found: &[("WL0707", 1, None, None), ("WL0707", 2, None, None)],
    },
    Tampering {
        act: "a deploy made older",
        sql: "UPDATE deploys SET created_at = created_at - 1 WHERE key = 1",
        found: &[("WL0705", 1, None, None)],
    },
    Tampering {
        act: "a status that there is not",
        sql: "UPDATE tenants SET status = 'fine' WHERE key = 1",
        found: &[("WL0708", 1, None, None)],
    },
    Tampering {
        act: "an event moved to the end of time",
        sql: "UPDATE events SET seq = 1000000000000 WHERE deploy = 1 AND tenant = 1 AND seq = 10",
        found: &[("WL0702", 1, Some("acme"), Some(10))],
    },
    Tampering {
        act: "an event given to a tenant that there is not",
        sql: "INSERT INTO events (deploy, tenant, seq, body, hash) SELECT deploy, 77, 1, body, hash FROM events WHERE tenant = 1 AND seq = 1",
        found: &[("WL0708", 1, None, None)],
    },
    Tampering {
        act: "the places in the log of a deploy's events turned below zero",
        sql: "UPDATE events SET position = -position WHERE deploy = 2",
        found: &[("WL0712", 2, None, Some(1)), ("WL0712", 2, Some("acme"), Some(1))],
    },
    Tampering {
        act: "the place in the log of an event moved behind that of the next",
        sql: "UPDATE events SET position = position + 1000000 WHERE deploy = 1 AND tenant = 1 AND seq = 4",
        found: &[("WL0712", 1, Some("acme"), Some(5))],
    },
    Tampering {
        act: "the turn of a deploy moved before the start of a step",
        sql: "UPDATE events SET position = -10 * position; UPDATE events SET position = -position; \
              UPDATE events SET position = (SELECT max(position) FROM events WHERE tenant = 4 AND body LIKE '%\"step_started\"%') - 5 \
              WHERE deploy = 2 AND tenant = 0 AND body LIKE '%\"direction_set\"%'",
        found: &[("WL0712", 2, Some("bolt"), Some(4))],
    },
    Tampering {
        act: "the creation of a deploy moved behind its tenants' plans",
        sql: "UPDATE events SET position = -10 * position; UPDATE events SET position = -position; \
              UPDATE events SET position = (SELECT max(position) FROM events WHERE deploy = 1 AND body LIKE '%\"tenant_planned\"%') + 5 \
              WHERE deploy = 1 AND tenant = 0 AND seq = 1",
        found: &[("WL0712", 1, Some("acme"), Some(1)), ("WL0712", 1, Some("bolt"), Some(1))],
    },
    Tampering {
        act: "the events of a tenant moved behind the end of its deploy",
        sql: "UPDATE events SET position = position + 1000000 WHERE deploy = 1 AND tenant = 2",
        found: &[("WL0712", 1, Some("bolt"), Some(1))],
    },
    Tampering {
        act: "a record of a tenant that no deploy had",
        sql: "INSERT INTO records SELECT fleet, 'crow', target, release, epoch, seen_at FROM records WHERE tenant = 'bolt'",
        found: &[("WL0705", 2, Some("crow"), None)],
    },
    Tampering {
        act: "a tenant's record given to another database",
        sql: "UPDATE records SET target = zeroblob(32) WHERE tenant = 'acme'",
        found: &[("WL0705", 2, Some("acme"), None)],
    },
];

/// What is done before all chains and headers are made to fit again. The seals stay: nothing of this is under one.
pub(super) const CHAINED_ANEW: &[Tampering] = &[
    Tampering {
        act: "an event of a tenant put behind the seal, and the chain made to fit",
        sql: "INSERT INTO events (deploy, tenant, seq, body, hash) SELECT deploy, tenant, 7, json_set(body, '$.seq', 7, '$.event', \
                  json('{\"type\":\"tenant_resolved\",\"step\":\"switch\",\"resolution\":\"applied\",\
                        \"actor\":{\"name\":\"cfo\",\"host\":\"board\"},\"reason\":\"so it was decided\"}')), hash \
              FROM events WHERE deploy = 2 AND tenant = 0 AND seq = 6",
        found: &[("WL0404", 2, None, Some(7))],
    },
    Tampering {
        act: "an event of a deploy put behind the seal, and the chain made to fit",
        sql: "INSERT INTO events (deploy, tenant, seq, body, hash) SELECT deploy, tenant, 7, json_set(body, '$.seq', 7, '$.event', \
                  json('{\"type\":\"deploy_resumed\",\"actor\":{\"name\":\"cfo\",\"host\":\"board\"}}')), hash \
              FROM events WHERE deploy = 2 AND tenant = 0 AND seq = 6",
        found: &[("WL0404", 2, None, Some(7))],
    },
    Tampering {
        act: "an event of a deploy put into a tenant's stream, and the chain made to fit",
        sql: "INSERT INTO events (deploy, tenant, seq, body, hash) SELECT deploy, tenant, 11, json_set(body, '$.seq', 11, '$.event', \
                  json('{\"type\":\"deploy_resumed\",\"actor\":{\"name\":\"cfo\",\"host\":\"board\"}}')), hash \
              FROM events WHERE deploy = 1 AND tenant = 2 AND seq = 10",
        found: &[("WL0404", 1, Some("bolt"), Some(11))],
    },
    Tampering {
        act: "the end of a deploy said to be written under a lease, and the chain made to fit",
        sql: "UPDATE events SET body = json_set(body, '$.epoch', 7) WHERE deploy = 1 AND tenant = 0 AND seq = 4",
        found: &[("WL0404", 1, None, Some(4))],
    },
    Tampering {
        act: "more written beside the seal, and the chain made to fit",
        sql: "UPDATE events SET body = json_set(body, '$.note', 'approved by the board') WHERE deploy = 1 AND tenant = 0 AND seq = 5",
        found: &[("WL0701", 1, None, Some(5))],
    },
    Tampering {
        act: "a number written twice in the account, and the chain made to fit",
        sql: "UPDATE events SET body = replace(body, '\"account\":{', '\"account\":{\"completed\":9,') \
              WHERE deploy = 1 AND tenant = 0 AND seq = 4",
        found: &[("WL0701", 1, None, Some(4))],
    },
];

/// What no look at the log alone can find: nothing is left in it that says otherwise.
pub(super) const NOT_FOUND: &[Tampering] = &[
    Tampering {
        act: "the end and the seal of the newest deploy cut off, and header and row made to fit",
        sql: CUT_THE_END_OFF,
        found: &[],
    },
    Tampering {
        act: "the newest deploy deleted, and the records put where they were before",
        sql: "DELETE FROM events WHERE deploy = 2; DELETE FROM tenants WHERE deploy = 2; DELETE FROM deploys WHERE key = 2",
        found: &[],
    },
    Tampering {
        act: "two events of two streams exchanged in the order of the log, where both may stand",
        sql: "UPDATE events SET position = -1 WHERE deploy = 1 AND tenant = 1 AND seq = 1; \
              UPDATE events SET position = position - 1 WHERE deploy = 1 AND tenant = 2 AND seq = 1; \
              UPDATE events SET position = (SELECT position + 1 FROM events WHERE deploy = 1 AND tenant = 2 AND seq = 1) \
              WHERE position = -1",
        found: &[],
    },
];

/// A finished deploy looks as if it were under way.
pub const CUT_THE_END_OFF: &str = "DELETE FROM events WHERE deploy = 2 AND tenant = 0 AND seq > 4; \
     UPDATE deploys SET last_seq = 4, summary = json_set(summary, '$.outcome', NULL, '$.seal', NULL), \
         head = (SELECT hash FROM events WHERE deploy = 2 AND tenant = 0 AND seq = 4) WHERE key = 2";
