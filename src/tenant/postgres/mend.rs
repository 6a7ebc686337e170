//! Known middles: what a statement that commits by itself leaves when its session or its server dies in it.
//!
//! Each is looked for anew should we die here: an index that is to go is dropped if it is there, and what is brought to its end is seen
//! to be at its end.

use super::print::{Index, Standing, Validity, Which, line_of};
use super::session::{LastAlone, PgSession};
use super::sql::{Access, literal};
use super::wire::Reply;
use crate::base::Code;
use crate::release::stepwise::{Middle, Object, ObjectKind};
use crate::saga::failure::ErrorClass;
use crate::tenant::error::SessionError;
use crate::tenant::stepwise::{Mend, Mended};

impl PgSession {
    /// Looks for a known middle, and clears it.
    pub(super) async fn mend_middle(
        &mut self,
        middle: &Middle,
        before: &str,
        when: Mend,
    ) -> Result<Mended, SessionError> {
        match (middle, when) {
            (Middle::InvalidIndex { index, table: Some(table) }, _) => {
                self.mend_build(index.as_ref(), table, before, when).await
            }
            (Middle::InvalidIndex { index: Some(index), table: None }, Mend::InDoubt) => {
                self.mend_drop(index, before).await
            }
            (Middle::DetachPending { parent, partition }, Mend::InDoubt) => {
                self.mend_detach(parent, partition, before).await
            }
            (Middle::ReindexTwin { object }, _) => self.mend_reindex(object.as_ref(), when).await,
            // What the server refused half-way through a drop or a detachment is not ours to bring to an end; the others are MySQL's.
            _ => Ok(Mended::Nothing),
        }
    }

    /// An index that was to be built: it is dropped where it is not valid, and was not there before.
    async fn mend_build(
        &mut self,
        index: Option<&Object>,
        table: &Object,
        before: &str,
        when: Mend,
    ) -> Result<Mended, SessionError> {
        let said_done = when == Mend::AfterError && *self.last_alone() == LastAlone::Done;
        let which = match index {
            Some(index) => Which::NamedOf(index, table),
            // One without a name is a new one: the server has said that it is valid.
            None if said_done => return Ok(Mended::Nothing),
            None => Which::AllOf(table),
        };
        let found = self.indexes(which).await?;
        // One that was there before and is not any more was cleared away by us, who then died: it was to be built anew.
        if when == Mend::InDoubt && index.is_some() && found.is_empty() {
            return Ok(Mended::ToRun);
        }
        let invalid = found.into_iter().filter(|index| index.validity == Validity::Invalid);
        // Where one was there before, the server has refused the statement, and it is somebody else's; or, by IF NOT EXISTS, has called
        // it done, and it is what the statement asks for.
        let left: Vec<Index> = invalid.filter(|index| said_done || !index.is_in(before)).collect();
        let Some(first) = left.first() else { return Ok(Mended::Nothing) };
        if index.is_none() || said_done {
            self.refuse_if_at_work(first).await?;
        }
        self.drop_indexes(left.iter().map(|index| index.name.as_str())).await?;
        Ok(Mended::ToRun)
    }

    /// An index that was to be dropped, and that queries do not use any more.
    async fn mend_drop(&mut self, index: &Object, before: &str) -> Result<Mended, SessionError> {
        let which = Which::Named(index);
        let found = self.indexes(which).await?;
        let Some(left) = found.first().filter(|index| index.validity == Validity::Invalid) else {
            return Ok(Mended::Nothing);
        };
        // It may have been invalid before: then nothing shows that the statement ran.
        if self.print_index(which).await? == before {
            return Ok(Mended::Nothing);
        }
        self.drop_indexes([left.name.as_str()]).await?;
        Ok(Mended::InEffect)
    }

    async fn mend_detach(&mut self, parent: &Object, partition: &Object, before: &str) -> Result<Mended, SessionError> {
        let found = self.partition(parent, partition).await?;
        // It may have been waiting before: then the server refuses the statement.
        if found.standing != Standing::Pending || line_of(parent, partition, &found) == before {
            return Ok(Mended::Nothing);
        }
        let Some((parent, partition)) = found.names else { return Ok(Mended::Nothing) };
        self.still_ours().await?;
        self.say_alone(format!("ALTER TABLE {parent} DETACH PARTITION {partition} FINALIZE")).await?;
        Ok(Mended::InEffect)
    }

    /// The twins that a concurrent REINDEX builds, or has replaced.
    async fn mend_reindex(&mut self, object: Option<&Object>, when: Mend) -> Result<Mended, SessionError> {
        let reply = self.twins(object).await?;
        if reply.rows.is_empty() {
            return Ok(Mended::Nothing);
        }
        self.drop_indexes(reply.rows.iter().map(|row| row.cell(0))).await?;
        Ok(match when {
            Mend::InDoubt => Mended::ToRun,
            Mend::AfterError => Mended::Nothing,
        })
    }

    /// The invalid indexes that are named as twins are, and that nobody is at work on; not those of tables' hidden parts, where our
    /// role may not drop them.
    async fn twins(&mut self, object: Option<&Object>) -> Result<Reply, SessionError> {
        const FOUND: &str = "nullif(current_setting('windlass.found_0'), '')::oid";
        let of_tree = format!("SELECT {FOUND} UNION SELECT relid FROM pg_partition_tree({FOUND}::regclass)");
        let objects: Vec<&Object> = object.into_iter().collect();
        let which = match object.map(|object| object.kind) {
            // The name is cut where it would be too long.
            Some(ObjectKind::Index) => format!(
                "EXISTS (SELECT FROM pg_index good JOIN pg_class g ON g.oid = good.indexrelid
                WHERE good.indexrelid IN ({of_tree}) AND good.indrelid = x.indrelid
                  AND (g.relname = twin.stem OR (octet_length(c.relname) > 58 AND starts_with(g.relname, twin.stem))))"
            ),
            Some(_) => format!(
                "x.indrelid IN (SELECT unnest(ARRAY[t.oid, t.reltoastrelid]) FROM pg_class t WHERE t.oid IN ({of_tree}))"
            ),
            // A whole schema or database: as much of it as is the tenant's.
            None => self
                .tenant_schema()
                .map_or_else(|| "true".to_owned(), |schema| format!("n.nspname = {}", literal(schema))),
        };
        let text = format!(
            "SELECT format('%I.%I', n.nspname, c.relname) AS windlass_twin
FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT regexp_replace(c.relname, '_cc(new|old)[0-9]*$', '') AS stem) twin
WHERE NOT x.indisvalid AND c.relkind = 'i' AND twin.stem <> c.relname AND {which}
  AND has_schema_privilege(n.oid, 'USAGE') AND pg_has_role(c.relowner, 'USAGE')
  AND NOT EXISTS ({at_work})
ORDER BY x.indexrelid",
            at_work = at_work("x.indrelid"),
        );
        self.look(&objects, &text).await
    }

    /// An index that is not valid may be one that somebody is building right now: then it is not what we have left.
    async fn refuse_if_at_work(&mut self, index: &Index) -> Result<(), SessionError> {
        let text = at_work(&format!("{}::oid", index.table));
        let reply = self.ask(Access::Read, &text).await.map_err(|said| self.error(&said))?;
        if reply.row("windlass_at_work").is_none() {
            return Ok(());
        }
        let message = format!(
            "index {} is not valid, and somebody else may be building it: another session holds its table; nothing was done",
            index.name
        );
        Err(SessionError::no_effect(&self.opening().tenant, ErrorClass::Transient, Code::StepFailed, message))
    }

    async fn drop_indexes<'a>(&mut self, names: impl IntoIterator<Item = &'a str> + Send) -> Result<(), SessionError> {
        let texts: Vec<String> =
            names.into_iter().map(|name| format!("DROP INDEX CONCURRENTLY IF EXISTS {name}")).collect();
        for text in texts {
            self.still_ours().await?;
            self.say_alone(text).await?;
        }
        Ok(())
    }
}

/// Whether a session of a person or a program, not the server's own, holds the lock on a table under which an index is built.
fn at_work(table: &str) -> String {
    format!(
        "SELECT 1 AS windlass_at_work FROM pg_locks l JOIN pg_stat_get_activity(NULL) a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.relation = {table} AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.pid <> pg_backend_pid() AND a.usesysid IS NOT NULL"
    )
}
