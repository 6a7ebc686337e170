//! `plan`: what each tenant would get, and how it would be undone. Touches nothing: not even the log is created.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::Selection;
use super::context::{Context, Creates};
use super::output::{Exit, Failure, prepared, table};
use crate::base::{SystemClock, count};
use crate::engine::{self, Prepared, PreparedTenant};
use crate::log::{Log, MemoryLog};
use crate::release::{Dialect, FromTheMiddle, Reviewed, UndoQuality, review};
use crate::tenant::dialect;

/// Tenants named per group; the rest are counted.
const NAMED_MAX: usize = 8;

pub(super) async fn plan(context: &Context, selection: &Selection) -> Result<Exit, Failure> {
    let request = context.request(&selection.into(), &[]).await?;
    // A project that has never deployed has no log, and a plan is no reason to make one.
    let log: Arc<dyn Log> = if context.log_path().await?.exists() {
        context.log(Creates::No).await?
    } else {
        Arc::new(MemoryLog::new(Arc::new(SystemClock)))
    };
    let found = engine::prepare(&*log, &*context.gateway(), request).await.map_err(prepared)?;
    let reviews = reviews(&found)?;
    let groups = groups(&found);
    let answer = json!({
        "release": found.release.name,
        "digest": found.release.digest(),
        "workflow": found.workflow.name,
        "tenants": found.tenants.len(),
        "changing": found.changing(),
        "groups": groups.iter().map(|(pending, tenants)| json!({
            "pending": pending,
            "tenants": tenants.iter().map(|of| &of.tenant.id).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "migrations": pending_reviews(&found, &reviews).into_iter().map(|(dialect, of)| json!({
            "migration": of.label, "dialect": dialect, "statements": of.up.len(), "mode": of.mode, "undo": of.undo.quality,
            "from_the_middle": of.from_the_middle,
        })).collect::<Vec<_>>(),
    });
    context.output.answer(&answer, || plan_text(&found, &groups, &reviews));
    Ok(Exit::Done)
}

type Reviews = BTreeMap<Dialect, Vec<Reviewed>>;
type Groups<'a> = Vec<(Vec<&'a str>, Vec<&'a PreparedTenant>)>;

fn reviews(found: &Prepared) -> Result<Reviews, Failure> {
    let mut reviews = Reviews::new();
    for tenant in &found.tenants {
        let dialect = dialect(tenant.tenant.target.engine);
        if let std::collections::btree_map::Entry::Vacant(vacant) = reviews.entry(dialect) {
            vacant.insert(review(&found.release, dialect)?);
        }
    }
    Ok(reviews)
}

/// Tenants that would get the same, the largest group first.
fn groups(found: &Prepared) -> Groups<'_> {
    let mut groups: BTreeMap<Vec<&str>, Vec<&PreparedTenant>> = BTreeMap::new();
    for tenant in &found.tenants {
        let pending = tenant.pending.iter().map(|of| of.label.as_str()).collect();
        groups.entry(pending).or_default().push(tenant);
    }
    let mut groups: Groups<'_> = groups.into_iter().collect();
    groups.sort_by_key(|(pending, tenants)| (pending.is_empty(), std::cmp::Reverse(tenants.len())));
    groups
}

/// The migrations that are pending anywhere, as each dialect reads them.
fn pending_reviews<'a>(found: &Prepared, reviews: &'a Reviews) -> Vec<(Dialect, &'a Reviewed)> {
    let pending: std::collections::BTreeSet<&str> =
        found.tenants.iter().flat_map(|of| &of.pending).map(|of| of.version.as_str()).collect();
    let of_dialect = |(dialect, of): (&Dialect, &'a Vec<Reviewed>)| {
        let dialect = *dialect;
        of.iter().map(move |reviewed| (dialect, reviewed)).collect::<Vec<_>>()
    };
    reviews.iter().flat_map(of_dialect).filter(|(_, of)| pending.contains(of.version.as_str())).collect()
}

fn plan_text(found: &Prepared, groups: &Groups<'_>, reviews: &Reviews) -> String {
    let mut text = format!(
        "release {} ({}), workflow {}: {} of {} would change\n",
        found.release.name,
        found.release.digest().short(),
        found.workflow.name,
        found.changing(),
        count(found.tenants.len() as u64, "tenant"),
    );
    for (pending, tenants) in groups {
        let names: Vec<&str> = tenants.iter().take(NAMED_MAX).map(|of| of.tenant.id.as_str()).collect();
        let more = tenants.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let what = if pending.is_empty() { "nothing: already there".to_owned() } else { pending.join(", ") };
        text.push_str(&format!(
            "\n{} {} {what}\n  {}{more}\n",
            count(tenants.len() as u64, "tenant"),
            if tenants.len() == 1 { "gets" } else { "get" },
            names.join(", ")
        ));
    }
    let several = reviews.len() > 1;
    let rows: Vec<[String; 3]> = pending_reviews(found, reviews)
        .into_iter()
        .map(|(dialect, of)| {
            let label = if several { format!("{} ({dialect})", of.label) } else { of.label.clone() };
            [label, count(of.up.len() as u64, "statement"), undo_words(of)]
        })
        .collect();
    if !rows.is_empty() {
        text.push_str("\nhow each would be undone\n");
        text.push_str(&table(&rows));
    }
    text.push_str(if found.changing() > 0 {
        "\nnothing was touched. next: windlass deploy\n"
    } else {
        "\nnothing to do\n"
    });
    text
}

/// How good an undo is, in words.
pub(super) fn undo_words(of: &Reviewed) -> String {
    let whole = match &of.undo.quality {
        UndoQuality::Lossless => "undo: lossless".to_owned(),
        UndoQuality::Lossy { because } => format!("undo: LOSSY, {because}"),
        UndoQuality::Irreversible => {
            "undo: IRREVERSIBLE, as its author says; a deploy that has applied it cannot be unwound".to_owned()
        }
        UndoQuality::Missing => "undo: MISSING".to_owned(),
    };
    match &of.from_the_middle {
        None => whole,
        Some(FromTheMiddle::Yes) => format!("{whole}; can be undone from the middle: yes"),
        Some(FromTheMiddle::No { because }) => format!("{whole}; can be undone from the middle: NO, {because}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Version;
    use crate::release::stepwise::Mode;

    #[test]
    fn a_stepwise_migration_says_whether_it_can_be_undone_from_the_middle() {
        let undo = crate::release::ReviewedUndo {
            statements: Vec::new(),
            mode: Mode::Transactional,
            undos: Vec::new(),
            quality: UndoQuality::Lossless,
        };
        let of = |from_the_middle| Reviewed {
            version: "7".parse::<Version>().unwrap(),
            label: "7_a".to_owned(),
            up: Vec::new(),
            mode: Mode::Stepwise,
            from_the_middle,
            undos: Vec::new(),
            undo: undo.clone(),
        };
        assert_eq!(undo_words(&of(None)), "undo: lossless");
        assert_eq!(undo_words(&of(Some(FromTheMiddle::Yes))), "undo: lossless; can be undone from the middle: yes");
        let because = "statement 2 (`UPDATE t`) has no undo of its own".to_owned();
        assert_eq!(
            undo_words(&of(Some(FromTheMiddle::No { because }))),
            "undo: lossless; can be undone from the middle: NO, statement 2 (`UPDATE t`) has no undo of its own"
        );
    }
}
