//! `tenants list`, `release show`, `workflow list|show|graph`.

use std::collections::BTreeMap;

use serde_json::json;

use super::Selection;
use super::context::{Context, Creates, carried_out};
use super::output::{Exit, Failure, table};
use super::plan::undo_words;
use crate::base::{Code, Coded as _, count};
use crate::config::workflows::Found;
use crate::release::{Dialect, Release, Reviewed, review};
use crate::saga::workflow::Workflow;
use crate::step::Kinds;

pub(super) async fn tenants(context: &Context, select: Option<&str>) -> Result<Exit, Failure> {
    let selection = Selection { select: select.map(str::to_owned), ..Selection::default() };
    let tenants = context.tenants(&(&selection).into()).await?;
    let mut releases: BTreeMap<_, String> = BTreeMap::new();
    let mut known = BTreeMap::new();
    if context.log_path().await?.exists() {
        let log = context.log(Creates::No).await?;
        known = log.records(&context.config.name).await?;
        for digest in known.values().filter_map(|record| record.release) {
            if let std::collections::btree_map::Entry::Vacant(vacant) = releases.entry(digest) {
                vacant.insert(Release::from_bytes(&log.blob(&digest).await?)?.name);
            }
        }
    }
    let on = |tenant: &crate::fleet::Tenant| {
        known.get(&tenant.id).and_then(|record| record.release).and_then(|digest| releases.get(&digest)).cloned()
    };
    let answer: Vec<_> = tenants
        .iter()
        .map(|of| {
            json!({
                "id": of.id, "engine": of.target.engine, "url": of.target.url, "schema": of.target.schema,
                "labels": of.labels, "release": on(of), "seen_at": known.get(&of.id).map(|record| record.seen_at),
            })
        })
        .collect();
    context.output.answer(&answer, || {
        let rows = tenants.iter().map(|of| {
            let labels: Vec<String> = of.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let release = on(of).unwrap_or_else(|| "not known".to_owned());
            [of.id.to_string(), of.target.engine.to_string(), release, labels.join(" ")]
        });
        let rows: Vec<[String; 4]> = rows.collect();
        format!("{}{}", table(&rows), count(rows.len() as u64, "tenant"))
    });
    Ok(Exit::Done)
}

/// How much of a release is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    Migrations,
    Statements,
}

pub(super) async fn release(context: &Context, depth: Depth, dialect: Option<&str>) -> Result<Exit, Failure> {
    let release = context.release()?;
    let dialect = match dialect {
        Some("postgres") => Dialect::Postgres,
        Some("mysql" | "mariadb") => Dialect::Mysql,
        Some("sqlite") => Dialect::Sqlite,
        Some(other) => {
            let message = format!("{other:?} is not a dialect: postgres, mysql or sqlite");
            return Err(Failure::new(Code::BadArgument, message, "windlass release show --help"));
        }
        None => context.project().dialect().await?,
    };
    let reviewed = review(&release, dialect)?;
    let answer = json!({
        "release": release.name, "digest": release.digest(), "dialect": dialect,
        "migrations": reviewed.iter().map(|of| match depth {
            Depth::Statements => json!(of),
            Depth::Migrations => json!({ "version": of.version, "label": of.label, "statements": of.up.len(), "undo": of.undo.quality }),
        }).collect::<Vec<_>>(),
    });
    context.output.answer(&answer, || {
        let head = format!("release {} ({}), {dialect}\n", release.name, release.digest());
        let body = match depth {
            Depth::Migrations => migrations_text(&release, &reviewed),
            Depth::Statements => reviewed.iter().map(statements_text).collect(),
        };
        head + &body
    });
    Ok(Exit::Done)
}

fn migrations_text(release: &Release, reviewed: &[Reviewed]) -> String {
    let rows: Vec<[String; 4]> = release
        .migrations
        .iter()
        .zip(reviewed)
        .map(|(migration, of)| {
            let statements = count(of.up.len() as u64, "statement");
            [of.label.clone(), migration.digest().short(), statements, undo_words(of)]
        })
        .collect();
    table(&rows)
}

fn statements_text(of: &Reviewed) -> String {
    let mut text = format!("\n{}\n", of.label);
    for (way, statements) in [("up", &of.up), ("undo", &of.undo.statements)] {
        for (statement, number) in statements.iter().zip(1..) {
            let body = statement.text.replace('\n', "\n      ");
            text.push_str(&format!("  {way} {number} (line {}):\n      {body}\n", statement.line));
        }
    }
    text
}

pub(super) fn workflows(context: &Context) -> Exit {
    let mut rows = Vec::new();
    for name in context.config.workflow_names() {
        rows.push(match context.ready_workflow(Some(&name)) {
            Ok(found) => [name, found.origin, found.workflow.summary],
            // One that is not valid is no reason to be silent about the others.
            Err(failure) => [name, format!("BAD [{}]", failure.code()), failure.to_string()],
        });
    }
    let answer: Vec<_> = rows
        .iter()
        .map(|[name, origin, summary]| json!({ "name": name, "origin": origin, "summary": summary }))
        .collect();
    context.output.answer(&answer, || table(&rows));
    Exit::Done
}

pub(super) fn workflow(context: &Context, name: &str) -> Result<Exit, Failure> {
    let found = context.workflow(Some(name))?;
    let carried_out = carried_out(&context.kinds, &found);
    let exit = if carried_out.is_ok() { Exit::Done } else { Exit::Refused };
    let Found { workflow, text, origin, .. } = found;
    let steps: Vec<_> = workflow
        .steps()
        .map(|(stage, step)| json!({ "id": step.id, "stage": stage, "uses": step.uses, "needs": step.needs }))
        .collect();
    let answer = json!({
        "name": workflow.name, "summary": workflow.summary, "origin": origin, "on_failure": workflow.on_failure.then.to_string(),
        "steps": steps, "carried_out": carried_out.is_ok(), "text": text,
    });
    context.output.answer(&answer, || {
        workflow_text(&context.kinds, &workflow, &origin, carried_out.err().map(|error| error.to_string()).as_deref())
    });
    Ok(exit)
}

fn workflow_text(kinds: &Kinds, workflow: &Workflow, origin: &str, missing: Option<&str>) -> String {
    let mut text = format!(
        "{} ({origin})\n{}\nwhen a tenant fails: {}\n",
        workflow.name, workflow.summary, workflow.on_failure.then
    );
    for stage in &workflow.stages {
        text.push_str(&format!("\nstage {}, {}\n", stage.name, count(stage.waves.len() as u64, "wave")));
        let rows: Vec<[String; 4]> = stage
            .steps
            .iter()
            .map(|step| {
                let needs: Vec<&str> = step.needs.iter().map(crate::base::StepId::as_str).collect();
                let after = if needs.is_empty() { String::new() } else { format!("after {}", needs.join(", ")) };
                let what = kinds.get(&step.uses).map_or("NO SUCH KIND", |kind| kind.summary());
                [step.id.to_string(), step.uses.clone(), after, what.to_owned()]
            })
            .collect();
        text.push_str(&table(&rows));
    }
    if let Some(missing) = missing {
        text.push_str(&format!("\nnot carried out: {missing}\n"));
    }
    text
}

pub(super) fn graph(context: &Context, name: &str) -> Result<Exit, Failure> {
    let Found { workflow, .. } = context.workflow(Some(name))?;
    let mut text = format!("digraph {:?} {{\n  rankdir = LR;\n", workflow.name);
    for (index, stage) in workflow.stages.iter().enumerate() {
        text.push_str(&format!("  subgraph cluster_{index} {{\n    label = {:?};\n", stage.name));
        for step in &stage.steps {
            text.push_str(&format!("    {:?} [label = \"{}\\n{}\"];\n", step.id.as_str(), step.id, step.uses));
        }
        text.push_str("  }\n");
    }
    for (_, step) in workflow.steps() {
        for needs in &step.needs {
            text.push_str(&format!("  {:?} -> {:?};\n", needs.as_str(), step.id.as_str()));
        }
    }
    text.push_str("}\n");
    context.output.answer(&json!({ "name": workflow.name, "dot": text }), || text.clone());
    Ok(Exit::Done)
}
