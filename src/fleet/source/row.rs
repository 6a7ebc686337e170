//! One tenant, as its source gives it.

use std::collections::{BTreeMap, BTreeSet};

use super::Entry;
use crate::base::TenantId;
use crate::fleet::url::{SourceUrl, names_a_password};

/// One tenant, as its source gives it.
pub(super) struct Row {
    /// Where it stands, for a person: `row 3`, `tenants/acme.db`.
    pub(super) origin: String,
    pub(super) id: TenantId,
    pub(super) url: SourceUrl,
    pub(super) schema: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
}

impl Row {
    pub(super) fn listed(at: usize, entry: &Entry) -> Self {
        Self {
            origin: format!("entry {}", at + 1),
            id: entry.id.clone(),
            url: entry.url.clone(),
            schema: entry.schema.clone(),
            labels: entry.labels.clone(),
        }
    }
}

/// What a query gave: text, by column.
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Option<String>>>,
}

impl Table {
    /// Makes tenants of the rows. `template` replaces the column `url`.
    pub(super) fn read(self, template: Option<&SourceUrl>) -> Result<Vec<Row>, String> {
        if self.rows.is_empty() {
            return Ok(Vec::new());
        }
        self.check_columns(template)?;
        let secret = template.map(SourceUrl::secret_columns).transpose()?.unwrap_or_default();
        let Self { columns, rows } = self;
        rows.into_iter()
            .enumerate()
            .map(|(at, cells)| {
                let origin = format!("row {}", at + 1);
                let cells = columns.iter().cloned().zip(cells);
                let cells: BTreeMap<String, String> = cells.filter_map(|(name, cell)| Some((name, cell?))).collect();
                read_row(&origin, cells, template, &secret).map_err(|reason| format!("{origin}: {reason}"))
            })
            .collect()
    }

    fn check_columns(&self, template: Option<&SourceUrl>) -> Result<(), String> {
        let given = || self.columns.join(", ");
        let unique: BTreeSet<_> = self.columns.iter().collect();
        if unique.len() != self.columns.len() {
            return Err(format!("the query gives two columns of one name: {}", given()));
        }
        let needed: &[&str] = if template.is_some() { &["id"] } else { &["id", "url"] };
        match needed.iter().find(|name| !self.columns.iter().any(|column| column == *name)) {
            Some(missing) => Err(format!("the query gives no column {missing:?}; it gives {}", given())),
            None => Ok(()),
        }
    }
}

fn read_row(
    origin: &str,
    mut cells: BTreeMap<String, String>,
    template: Option<&SourceUrl>,
    secret: &BTreeSet<String>,
) -> Result<Row, String> {
    let id = cells.get("id").cloned().ok_or("its id is NULL")?;
    let id = TenantId::new(id).map_err(|error| error.to_string())?;
    let url = match template {
        Some(template) => template.with_columns(&cells)?,
        None => cells.get("url").cloned().ok_or_else(|| format!("the url of tenant {id} is NULL"))?.into(),
    };
    let schema = cells.remove("schema");
    cells.retain(|name, _| !matches!(name.as_str(), "id" | "url") && !secret.contains(name) && !names_a_password(name));
    Ok(Row { origin: origin.to_owned(), id, url, schema, labels: cells })
}
