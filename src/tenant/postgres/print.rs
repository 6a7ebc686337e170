//! Prints: what shows whether a statement that commits by itself has taken effect.
//!
//! Each is of the one thing by which it shows, and of nothing beside it: another index of the same table, or another partition, may
//! come and go by other hands while a statement is in doubt.

use super::session::PgSession;
use super::sql::{Access, identifier, literal};
use super::wire::Reply;
use crate::base::Digest;
use crate::release::stepwise::{Facts, Middle, Object};
use crate::tenant::error::SessionError;
use crate::tenant::reply::Tagged;
use crate::tenant::stepwise::Print;

/// Which indexes are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which<'a> {
    /// The one of this name, by the search path where no schema is named.
    Named(&'a Object),
    /// The one of this name that a table has.
    NamedOf(&'a Object, &'a Object),
    /// All of a table.
    AllOf(&'a Object),
}

/// An index.
#[derive(Debug, Clone)]
pub(super) struct Index {
    pub(super) oid: u32,
    /// Of its table.
    pub(super) table: u32,
    /// Its name with its schema, quoted.
    pub(super) name: String,
    pub(super) validity: Validity,
    /// `valid`, or all that it is not.
    state: String,
    definition: String,
}

/// Whether queries may use an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    Valid,
    Invalid,
}

impl Index {
    fn read(row: &Tagged) -> Option<Self> {
        Some(Self {
            oid: row.cell(0).parse().ok()?,
            table: row.cell(1).parse().ok()?,
            name: row.cell(2).to_owned(),
            validity: if row.cell(3) == "valid" { Validity::Valid } else { Validity::Invalid },
            state: row.cell(3).to_owned(),
            definition: row.cell(4).to_owned(),
        })
    }

    /// Whether a print shows it; by its number, since another may be made under the name of one that was dropped.
    pub(super) fn is_in(&self, print: &str) -> bool {
        print.contains(&mark(self.oid))
    }
}

/// How a print names an object for good.
fn mark(oid: impl std::fmt::Display) -> String {
    format!("[{oid}]")
}

/// How a partition stands to its parent.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    pub(super) standing: Standing,
    /// The names of the parent and of itself with their schemas, quoted; none where one of them is not there.
    pub(super) names: Option<(String, String)>,
    oid: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Attached,
    /// Waiting to be detached: queries of the parent leave it out already.
    Pending,
    Apart,
}

/// How a text of ours asks for the number of a relation that [`PgSession::look`] has found.
fn found(at: usize) -> String {
    format!("nullif(current_setting('windlass.found_{at}'), '')::oid")
}

fn quoted(object: &Object) -> String {
    let schema = object.schema.as_deref().map(|schema| format!("{}.", identifier(schema))).unwrap_or_default();
    format!("{schema}{}", identifier(&object.name))
}

fn plain(object: &Object) -> String {
    let schema = object.schema.as_deref().map(|schema| format!("{schema}.")).unwrap_or_default();
    format!("{schema}{}", object.name)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl PgSession {
    /// The print of what shows whether a statement took effect.
    pub(super) async fn print_of(&mut self, facts: &Facts) -> Result<Print, SessionError> {
        let text = match &facts.middle {
            Middle::InvalidIndex { index: Some(index), table: Some(table) } => {
                self.print_index(Which::NamedOf(index, table)).await?
            }
            Middle::InvalidIndex { index: Some(index), table: None } => self.print_index(Which::Named(index)).await?,
            Middle::InvalidIndex { index: None, table: Some(table) } => self.print_indexes(table).await?,
            Middle::DetachPending { parent, partition } => self.print_partition(parent, partition).await?,
            // Of nothing else is the effect shown by a definition: what commits by itself here is one of these, or shows nowhere.
            _ => return Ok(Print { text: String::new(), proves: false }),
        };
        Ok(Print { text, proves: true })
    }

    /// The print of one index.
    pub(super) async fn print_index(&mut self, which: Which<'_>) -> Result<String, SessionError> {
        let name = match which {
            Which::Named(index) => format!("index {}", plain(index)),
            Which::NamedOf(index, table) => format!("index {} of {}", index.name, plain(table)),
            Which::AllOf(table) => return self.print_indexes(table).await,
        };
        Ok(match self.indexes(which).await?.first() {
            None => format!("{name}: absent"),
            Some(Index { oid, state, definition, .. }) => format!("{name}: {} {state}, {definition}", mark(oid)),
        })
    }

    async fn print_indexes(&mut self, table: &Object) -> Result<String, SessionError> {
        let indexes = self.indexes(Which::AllOf(table)).await?;
        let shown = indexes.iter().map(|Index { oid, name, state, definition, .. }| {
            let definition = Digest::of(definition.as_bytes()).short();
            format!("{} {name} {state} {definition}", mark(oid))
        });
        let shown: Vec<String> = shown.collect();
        let shown = if shown.is_empty() { "none".to_owned() } else { shown.join(", ") };
        Ok(format!("indexes of {}: {}", plain(table), one_line(&shown)))
    }

    async fn print_partition(&mut self, parent: &Object, partition: &Object) -> Result<String, SessionError> {
        let found = self.partition(parent, partition).await?;
        Ok(line_of(parent, partition, &found))
    }

    /// The indexes as they are now, in order of number.
    pub(super) async fn indexes(&mut self, which: Which<'_>) -> Result<Vec<Index>, SessionError> {
        let (object, condition) = match which {
            Which::Named(index) => (index, format!("x.indexrelid = {}", found(0))),
            Which::NamedOf(index, table) => {
                (table, format!("x.indrelid = {} AND c.relname = {}", found(0), literal(&index.name)))
            }
            Which::AllOf(table) => (table, format!("x.indrelid = {}", found(0))),
        };
        let text = format!(
            "SELECT x.indexrelid::text AS windlass_index, x.indrelid::text, format('%I.%I', n.nspname, c.relname),
       concat(CASE WHEN x.indisvalid THEN 'valid' ELSE 'invalid' END, CASE WHEN NOT x.indisready THEN ' not-ready' END,
              CASE WHEN NOT x.indislive THEN ' dead' END),
       pg_get_indexdef(x.indexrelid)
FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {condition} ORDER BY x.indexrelid"
        );
        let reply = self.look(&[object], &text).await?;
        Ok(reply.rows.iter().filter_map(Index::read).collect())
    }

    /// How a partition stands to its parent now.
    pub(super) async fn partition(&mut self, parent: &Object, partition: &Object) -> Result<Partition, SessionError> {
        let name = |at: usize| {
            format!(
                "(SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = {})",
                found(at)
            )
        };
        let text = format!(
            "SELECT (SELECT i.inhdetachpending::text FROM pg_inherits i WHERE i.inhparent = {parent} AND i.inhrelid = {partition})
       AS windlass_partition, {parent_name}, {partition_name}, {partition}::text",
            parent = found(0),
            partition = found(1),
            parent_name = name(0),
            partition_name = name(1),
        );
        let reply = self.look(&[parent, partition], &text).await?;
        let row = reply.row("windlass_partition");
        let cell = |at: usize| row.and_then(|row| row.cells.get(at)).cloned().flatten();
        let standing = match cell(0).as_deref() {
            None => Standing::Apart,
            Some("true") => Standing::Pending,
            Some(_) => Standing::Attached,
        };
        Ok(Partition { standing, names: cell(1).zip(cell(2)), oid: cell(3).unwrap_or_default() })
    }

    /// Reads the catalog. The names are resolved as the step's own statements resolve theirs, and everything else is read under one
    /// search path, since a definition is written with the schemas that are not on it.
    pub(super) async fn look(&mut self, objects: &[&Object], text: &str) -> Result<Reply, SessionError> {
        let mut asked = String::new();
        for (at, object) in objects.iter().enumerate() {
            let name = literal(&quoted(object));
            asked.push_str(&format!(
                "SELECT pg_catalog.set_config('windlass.found_{at}', coalesce(pg_catalog.to_regclass({name})::oid::text, ''), true);\n"
            ));
        }
        let text = format!("SET LOCAL quote_all_identifiers = off;\n{text}");
        self.ask_after(Access::Read, &asked, &text).await.map_err(|said| self.error(&said))
    }
}

/// The line of a print about a partition.
pub(super) fn line_of(parent: &Object, partition: &Object, found: &Partition) -> String {
    let standing = match found.standing {
        Standing::Attached => "attached",
        Standing::Pending => "waiting to be detached",
        Standing::Apart => "not attached",
    };
    format!("partition {} of {}: {} {standing}", plain(partition), plain(parent), mark(&found.oid))
}
