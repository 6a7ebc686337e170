//! One row per event, for a spreadsheet: RFC 4180.

use std::io::Write;

use super::{ExportError, Exported};
use crate::audit::timeline::{Line, PAGE, actor_words};
use crate::base::{Code, DeployId, StepId};
use crate::log::Log;
use crate::saga::event::{Actor, Cause, DeployEvent, Event, Found, TenantEvent};

const HEAD: [&str; 10] = ["time", "deploy", "tenant", "seq", "event", "step", "what", "actor", "by", "code"];

/// Writes the events of deploys, each deploy's in the order of the log. No more than a page of them is in memory.
pub async fn write_csv(
    log: &dyn Log,
    deploys: &[DeployId],
    out: &mut (dyn Write + Send),
) -> Result<Exported, ExportError> {
    let mut exported = Exported { deploys: deploys.len() as u64, events: 0 };
    row(out, &HEAD.map(str::to_owned))?;
    for deploy in deploys {
        let mut after = 0;
        loop {
            let page = log.tail(*deploy, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.position;
            for event in page {
                exported.events += 1;
                let seq = event.recorded.seq;
                let line = Line::of(event);
                let cells = [
                    line.at.to_string(),
                    deploy.to_string(),
                    line.tenant.map(|tenant| tenant.to_string()).unwrap_or_default(),
                    seq.to_string(),
                    kind(&line.event),
                    step(&line.event).map(ToString::to_string).unwrap_or_default(),
                    line.what,
                    actor(&line.event).map(actor_words).unwrap_or_default(),
                    line.by.to_string(),
                    code(&line.event).map(|code| code.to_string()).unwrap_or_default(),
                ];
                row(out, &cells)?;
            }
        }
    }
    out.flush()?;
    Ok(exported)
}

fn row(out: &mut (dyn Write + Send), cells: &[String; HEAD.len()]) -> Result<(), ExportError> {
    let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
    Ok(write!(out, "{}\r\n", cells.join(","))?)
}

/// A cell, in quotes where it needs them. Text that a spreadsheet would run as a formula is led by an apostrophe, which makes it text
/// again: tenants' names and servers' messages are not ours. Semicolons and tabs separate cells in some of them, so they are quoted too.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains(['"', ',', ';', '\t', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

/// The event's written name.
fn kind(event: &Event) -> String {
    let json = serde_json::to_value(event).unwrap_or_default();
    json.get("type").and_then(|kind| kind.as_str()).unwrap_or_default().to_owned()
}

/// Who said so, where the event is somebody's word.
fn actor(event: &Event) -> Option<&Actor> {
    let cause = match event {
        Event::Deploy(
            DeployEvent::DeployCreated { actor, .. }
            | DeployEvent::DeployResumed { actor }
            | DeployEvent::DeployPaused { actor, .. },
        )
        | Event::Tenant(TenantEvent::TenantResolved { actor, .. }) => return Some(actor),
        Event::Deploy(DeployEvent::DirectionSet { cause, .. }) | Event::Tenant(TenantEvent::TenantTurned { cause }) => {
            cause
        }
        _ => return None,
    };
    match cause {
        Cause::Operator { actor, .. } => Some(actor),
        Cause::TenantFailed { .. } | Cause::DeployTurned => None,
    }
}

fn step(event: &Event) -> Option<&StepId> {
    let Event::Tenant(event) = event else { return None };
    match event {
        TenantEvent::TenantPlanned { .. } | TenantEvent::TenantTurned { .. } | TenantEvent::TenantFinished { .. } => {
            None
        }
        TenantEvent::StepStarted { step, .. }
        | TenantEvent::StepProbed { step, .. }
        | TenantEvent::StepSucceeded { step, .. }
        | TenantEvent::StepFailed { step, .. }
        | TenantEvent::StepSkipped { step, .. }
        | TenantEvent::UndoStarted { step, .. }
        | TenantEvent::UndoSucceeded { step, .. }
        | TenantEvent::UndoFailed { step, .. }
        | TenantEvent::UndoSkipped { step, .. }
        | TenantEvent::TenantResolved { step, .. } => Some(step),
    }
}

fn code(event: &Event) -> Option<Code> {
    let failure = match event {
        Event::Deploy(DeployEvent::DirectionSet { cause: Cause::TenantFailed { failure, .. }, .. })
        | Event::Tenant(
            TenantEvent::StepProbed { found: Found::Unknown { failure, .. }, .. }
            | TenantEvent::StepFailed { failure, .. }
            | TenantEvent::UndoFailed { failure, .. },
        ) => failure,
        Event::Tenant(TenantEvent::TenantFinished { code, .. }) => return *code,
        _ => return None,
    };
    Some(failure.code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::event::Direction;
    use crate::saga::testing::{created, operator, paused, resumed, set};

    #[test]
    fn a_cell_is_quoted_where_it_would_end_or_be_two() {
        assert_eq!(quoted("plain text"), "plain text");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"so\"\nnow"), "\"say \"\"so\"\"\nnow\"");
        assert_eq!(quoted("a;b"), "\"a;b\"");
    }

    #[test]
    fn whoever_said_so_is_named() {
        let who = operator();
        let turned = Event::Tenant(TenantEvent::TenantTurned { cause: Cause::DeployTurned });
        for event in [created(&[1], 1), paused(), resumed(), set(Direction::Unwind)] {
            assert_eq!(actor(&Event::Deploy(event)), Some(&who));
        }
        assert_eq!(actor(&turned), None);
    }

    #[test]
    fn no_cell_is_a_formula() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=HYPERLINK(\"x\",\"y\")"] {
            let written = quoted(cell);
            assert!(written.trim_start_matches('"').starts_with('\''), "{written}");
        }
    }
}
