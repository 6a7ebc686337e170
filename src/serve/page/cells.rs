//! The tenants as cells: one each, or where there are more than a screen holds, so many to a cell.

use std::collections::BTreeMap;

use crate::base::DeployId;
use crate::base::limits::CELLS_MAX;
use crate::log::{LogError, TenantQuery};
use crate::saga::summary::TenantStatus;
use crate::serve::app::App;

use super::text::number;

/// From the one that somebody must look at to the one that nobody must: a cell of several tenants shows the first of these that is in it.
const WORST_FIRST: [TenantStatus; 10] = [
    TenantStatus::Stuck,
    TenantStatus::Failed,
    TenantStatus::Unwinding,
    TenantStatus::Quarantined,
    TenantStatus::Abandoned,
    TenantStatus::Running,
    TenantStatus::Pending,
    TenantStatus::Unwound,
    TenantStatus::Untouched,
    TenantStatus::Completed,
];

/// A cell.
pub(super) struct Cell {
    /// Its state: a class of the style.
    pub(super) class: &'static str,
    /// Who is in it, and how many stand how.
    pub(super) title: String,
}

/// How many tenants are in one cell of a deploy with so many.
pub(super) const fn per_cell(tenants: u64) -> u64 {
    let per = tenants.div_ceil(CELLS_MAX);
    if per == 0 { 1 } else { per }
}

/// The cells of a deploy with so many tenants, in its order.
pub(super) async fn cells(app: &App, deploy: DeployId, tenants: u64) -> Result<Vec<Cell>, LogError> {
    let per_cell = per_cell(tenants);
    if per_cell == 1 {
        let limit = usize::try_from(CELLS_MAX).unwrap_or(usize::MAX);
        let rows = app.log.tenants(deploy, &TenantQuery { limit, ..TenantQuery::default() }).await?;
        let cell = |row: &crate::log::TenantRow| {
            let class = row.summary.status.as_str();
            Cell { class, title: format!("{}: {class}", row.tenant) }
        };
        return Ok(rows.iter().map(cell).collect());
    }
    let mut all: BTreeMap<u64, Vec<(TenantStatus, u64)>> = BTreeMap::new();
    for (cell, status, count) in app.desk.cells(deploy, per_cell).await? {
        all.entry(cell).or_default().push((status, count));
    }
    Ok(all.into_iter().map(|(at, counts)| several(at, per_cell, &counts)).collect())
}

fn several(at: u64, per_cell: u64, counts: &[(TenantStatus, u64)]) -> Cell {
    let count = |status: TenantStatus| counts.iter().find(|(of, _)| *of == status).map_or(0, |(_, count)| *count);
    let there: Vec<TenantStatus> = WORST_FIRST.into_iter().filter(|status| count(*status) > 0).collect();
    let words: Vec<String> = there.iter().map(|status| format!("{} {status}", number(count(*status)))).collect();
    let first = at * per_cell;
    let last = first + counts.iter().map(|(_, count)| count).sum::<u64>();
    let class = there.first().map_or(TenantStatus::Pending, |worst| *worst).as_str();
    Cell { class, title: format!("tenants {} to {}: {}", number(first + 1), number(last), words.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_tenants_are_two_thousand_cells() {
        assert_eq!([0, 1, 2_000, 2_001, 1_000_000].map(per_cell), [1, 1, 1, 2, 500]);
    }

    #[test]
    fn every_state_has_a_place_in_the_order() {
        assert!(TenantStatus::ALL.iter().all(|status| WORST_FIRST.contains(status)));
    }

    #[test]
    fn a_cell_of_several_shows_the_worst_of_them() {
        let cell =
            several(2, 500, &[(TenantStatus::Completed, 498), (TenantStatus::Stuck, 1), (TenantStatus::Running, 1)]);
        assert_eq!(cell.class, "stuck");
        assert_eq!(cell.title, "tenants 1\u{202f}001 to 1\u{202f}500: 1 stuck, 1 running, 498 completed");
    }
}
