//! One deploy as a page to be read, printed and kept: no script, nothing from elsewhere.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;

use super::scripts::{Run, Texts};
use super::{ExportError, Exported, not_text};
use crate::audit::timeline::{actor_words, by_words, cause_words, overrides_words, pause_words, what, word};
use crate::audit::{Account, Report, account, verify};
use crate::base::limits::TENANTS_PAGE;
use crate::base::{DeployId, Digest};
use crate::fleet::Tenant;
use crate::log::{Log, LogError, TenantQuery, TenantRow};
use crate::release::sql::split;
use crate::release::{Dialect, StatementUndo};
use crate::saga::event::{DeployEvent, Event, Found, Half, Recorded, StreamId, TenantEvent, Trigger};
use crate::tenant::dialect;

const STYLE: &str = include_str!("report.css");

type Out<'a> = &'a mut (dyn Write + Send);

/// Writes the report of a deploy. Its tenants are read one after the other; a stream that does not read back as it was written makes no
/// report.
pub async fn write_html(log: &dyn Log, deploy: DeployId, out: Out<'_>) -> Result<Exported, ExportError> {
    let account = account(log, deploy).await?;
    let report = verify(log, deploy, &[]).await?;
    let own = log.read(&StreamId::deploy(deploy)).await?;
    let mut texts = Texts::default();
    head(out, log, &account, &report, &own)?;
    story(out, &own)?;
    index(out, log, deploy, account.tenants).await?;
    let mut workflow_text = None;
    if let Some(Event::Deploy(DeployEvent::DeployCreated { release, workflow, .. })) = own.first().map(|of| &of.event) {
        texts.release(log, release).await?;
        let text = String::from_utf8(log.blob(workflow).await?).map_err(|_| not_text(*workflow))?;
        workflow_text = Some((*workflow, text));
    }
    let mut events = own.len() as u64;
    let mut run = Run::default();
    let mut after = None;
    loop {
        let query = TenantQuery { statuses: Vec::new(), after, limit: TENANTS_PAGE };
        let page = log.tenants(deploy, &query).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.ordinal);
        for row in &page {
            let stream = log.read(&StreamId::tenant(deploy, row.tenant.clone())).await?;
            events += stream.len() as u64;
            if let Some(Event::Tenant(TenantEvent::TenantPlanned { plan, .. })) =
                stream.first().map(|first| &first.event)
            {
                texts.plan(log, plan).await?;
            }
            tenant(out, row, &stream, &texts, &mut run)?;
        }
    }
    if let Some((workflow, text)) = workflow_text {
        scripts(out, &texts, &run, (workflow, &text))?;
    }
    foot(out, &account)?;
    out.flush()?;
    Ok(Exported { deploys: 1, events })
}

/// Text as it stands in a page. Nothing in it is taken for markup, and what no page may hold is shown as the sign for it.
struct Plain<T>(T);

impl<T: Display> Display for Plain<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write as _;
        self.0.to_string().chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            '\n' | '\t' => f.write_char(c),
            c if c.is_control() => f.write_char('\u{fffd}'),
            c => f.write_char(c),
        })
    }
}

fn head(out: Out<'_>, log: &dyn Log, account: &Account, report: &Report, own: &[Recorded]) -> Result<(), ExportError> {
    let stands = if account.paused.is_some() { "paused" } else { "under way" };
    let ended = account.outcome.map_or_else(|| stands.to_owned(), |outcome| word(&outcome));
    let title = format!("Deploy of {} to {}: {ended}", account.release, account.fleet);
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<h1>{title}</h1>\n",
        title = Plain(title)
    )?;
    verdict(out, report)?;
    writeln!(out, "<table class=\"facts\">")?;
    let mut fact = |name: &str, value: String| writeln!(out, "<tr><th>{name}</th><td>{}</td></tr>", Plain(value));
    fact("deploy", account.deploy.to_string())?;
    fact("fleet", account.fleet.clone())?;
    if let Some(Event::Deploy(DeployEvent::DeployCreated { release, workflow, overrides, .. })) =
        own.first().map(|first| &first.event)
    {
        fact("release", format!("{} ({release})", account.release))?;
        fact("workflow", format!("{} ({workflow})", account.workflow))?;
        if let Some(overrides) = overrides {
            fact("answered for", overrides_words(overrides))?;
        }
    }
    match &account.trigger {
        Trigger::Command => {}
        Trigger::Rollback { of } => fact("rollback of", of.to_string())?,
        Trigger::Webhook { .. } | Trigger::Api { .. } => fact("set off", by_words(&account.trigger))?,
    }
    fact("by", actor_words(&account.actor))?;
    fact("created", account.created_at.to_string())?;
    if let Some(end) = account.finished_at {
        fact("ended", end.to_string())?;
    }
    if let Some(pause) = &account.paused {
        fact("paused", pause_words(pause))?;
    }
    if let Some(cause) = &account.cause {
        fact("turned because", cause_words(cause))?;
    }
    let census: Vec<String> = account.census.iter().map(|(status, count)| format!("{count} {status}")).collect();
    fact("tenants", format!("{} ({}), {} to change", account.tenants, census.join(", "), account.changing))?;
    fact("seal", account.seal.map_or_else(|| "none: it is under way".to_owned(), |seal| seal.to_string()))?;
    for key in &report.signed_by {
        fact("signed by", key.to_string())?;
    }
    fact("log", log.id().to_string())?;
    Ok(writeln!(out, "</table>")?)
}

/// Whether the log was as it was written when the report was made.
fn verdict(out: Out<'_>, report: &Report) -> Result<(), ExportError> {
    let Report { streams, events, blobs, findings, unlisted, .. } = report;
    if report.holds() {
        return Ok(writeln!(
            out,
            "<p class=\"good\">When this report was made, the log said what was written: {streams} streams, {events} events and \
             {blobs} files were checked.</p>"
        )?);
    }
    writeln!(
        out,
        "<p class=\"bad\">When this report was made, the log was NOT as it was written:</p>\n<ul class=\"bad\">"
    )?;
    for finding in findings {
        let line = format!("{} {}: {}", finding.code, finding.place(), finding.message);
        writeln!(out, "<li>{}</li>", Plain(line))?;
    }
    if *unlisted > 0 {
        writeln!(out, "<li>… and {unlisted} more</li>")?;
    }
    Ok(writeln!(out, "</ul>")?)
}

/// The deploy's own stream.
fn story(out: Out<'_>, own: &[Recorded]) -> Result<(), ExportError> {
    writeln!(out, "<h2>The deploy</h2>\n<table>\n<tr><th>time</th><th>what</th><th>by</th></tr>")?;
    for recorded in own {
        let Recorded { at, by, event, .. } = recorded;
        writeln!(out, "<tr><td>{at}</td><td>{}</td><td>{}</td></tr>", Plain(what(event)), Plain(by))?;
    }
    Ok(writeln!(out, "</table>")?)
}

/// Every tenant in a line.
async fn index(out: Out<'_>, log: &dyn Log, deploy: DeployId, tenants: u64) -> Result<(), ExportError> {
    writeln!(out, "<h2>Tenants: {tenants}</h2>\n<table>\n<tr><th>tenant</th><th>stands</th><th>code</th></tr>")?;
    let mut after = None;
    loop {
        let query = TenantQuery { statuses: Vec::new(), after, limit: TENANTS_PAGE };
        let page = log.tenants(deploy, &query).await?;
        let Some(last) = page.last() else { return Ok(writeln!(out, "</table>")?) };
        after = Some(last.ordinal);
        for TenantRow { tenant, ordinal, summary, .. } in &page {
            let code = summary.code.map(|code| code.to_string()).unwrap_or_default();
            let (tenant, status) = (Plain(tenant), summary.status);
            writeln!(out, "<tr><td><a href=\"#t{ordinal}\">{tenant}</a></td><td>{status}</td><td>{code}</td></tr>")?;
        }
    }
}

/// What happened to one tenant, and why.
fn tenant(out: Out<'_>, row: &TenantRow, stream: &[Recorded], texts: &Texts, run: &mut Run) -> Result<(), ExportError> {
    let TenantRow { tenant, ordinal, summary, spec, .. } = row;
    let place: Tenant = serde_json::from_str(spec)
        .map_err(|error| LogError::Corrupt { place: format!("tenant {tenant}"), reason: error.to_string() })?;
    let dialect = dialect(place.target.engine);
    let reason = stream.iter().rev().find_map(|recorded| match &recorded.event {
        Event::Tenant(TenantEvent::TenantFinished { reason, .. }) => Some(reason.clone()),
        _ => None,
    });
    let reason = reason.or_else(|| summary.message.clone()).unwrap_or_default();
    writeln!(
        out,
        "<section id=\"t{ordinal}\">\n<h3>{}: {}</h3>\n<p>{}</p>\n<table>\n\
         <tr><th>time</th><th>what</th><th>statements</th><th>script</th><th>by</th></tr>",
        Plain(tenant),
        summary.status,
        Plain(reason)
    )?;
    for Recorded { at, by, event, .. } in stream {
        let (statements, digest) = match event {
            Event::Tenant(
                TenantEvent::StepSucceeded { evidence, .. } | TenantEvent::UndoSucceeded { evidence, .. },
            ) => (evidence.statements.to_string(), evidence.digest),
            Event::Tenant(TenantEvent::StepFailed { step, in_effect, .. }) => {
                (part(*in_effect), texts.digest(stream, step))
            }
            Event::Tenant(TenantEvent::StepProbed { step, half: Half::Act, found }) => match found {
                Found::Applied => (String::new(), texts.digest(stream, step)),
                Found::Partial { statements } => (part(*statements), texts.digest(stream, step)),
                Found::NotApplied | Found::Unknown { .. } => (String::new(), None),
            },
            _ => (String::new(), None),
        };
        // A human's word that something was done ran nothing, and has no text.
        let digest = digest.filter(|digest| texts.get(digest).is_some());
        let script = digest.map(|of| format!("<a href=\"#s{of}\">{}</a>", of.short())).unwrap_or_default();
        if let Some(digest) = digest {
            run.entry(digest).or_default().insert(dialect);
        }
        writeln!(
            out,
            "<tr><td>{at}</td><td>{}</td><td>{statements}</td><td>{script}</td><td>{}</td></tr>",
            Plain(what(event)),
            Plain(by)
        )?;
    }
    Ok(writeln!(out, "</table>\n</section>")?)
}

/// How many statements took effect of those that commit one by one.
fn part(statements: u32) -> String {
    if statements == 0 { String::new() } else { statements.to_string() }
}

/// What was run, word for word, and each statement of it with the digest of its text.
fn scripts(out: Out<'_>, texts: &Texts, run: &Run, (workflow, text): (Digest, &str)) -> Result<(), ExportError> {
    writeln!(out, "<h2>What was run</h2>")?;
    let mut undos = BTreeMap::new();
    for (digest, dialects) in run {
        let Some((name, text)) = texts.get(digest) else { continue };
        write!(
            out,
            "<section id=\"s{digest}\">\n<h3>{}</h3>\n<p>SHA-256 <code>{digest}</code></p>\n<pre>{}</pre>\n",
            Plain(name),
            Plain(text)
        )?;
        for dialect in dialects {
            let undos = undos.entry(*dialect).or_insert_with(|| texts.undos(*dialect));
            statements(out, *dialect, text, undos.get(digest).map_or(&[][..], Vec::as_slice))?;
        }
        writeln!(out, "</section>")?;
    }
    if run.is_empty() {
        writeln!(out, "<p>Nothing.</p>")?;
    }
    let text = Plain(text);
    Ok(writeln!(out, "<h2>The workflow</h2>\n<p>SHA-256 <code>{workflow}</code></p>\n<pre>{text}</pre>")?)
}

/// The statements of a script, as its dialect tells them apart, and after each of those that commit by themselves what takes back it
/// alone: that is what is run where a script stops in its middle. A script that was run could be split.
fn statements(out: Out<'_>, dialect: Dialect, text: &str, undos: &[Option<StatementUndo>]) -> Result<(), ExportError> {
    let Ok(of) = split(dialect, text) else { return Ok(()) };
    writeln!(out, "<table>\n<tr><th>{dialect}</th><th>line</th><th>statement</th><th>SHA-256</th></tr>")?;
    for (number, statement) in (1..).zip(&of) {
        let (line, beginning) = (statement.line, Plain(statement.beginning()));
        let digest = Digest::of(statement.text.as_bytes());
        writeln!(out, "<tr><td>{number}</td><td>{line}</td><td>{beginning}</td><td><code>{digest}</code></td></tr>")?;
        for undo in undos.get(number - 1).into_iter().flatten().flat_map(|undo| &undo.statements) {
            let (beginning, digest) = (Plain(undo.beginning()), Digest::of(undo.text.as_bytes()));
            writeln!(
                out,
                "<tr><td></td><td></td><td>taken back by {beginning}</td><td><code>{digest}</code></td></tr>"
            )?;
        }
    }
    Ok(writeln!(out, "</table>")?)
}

fn foot(out: Out<'_>, account: &Account) -> Result<(), ExportError> {
    let deploy = account.deploy;
    Ok(writeln!(
        out,
        "<h2>How to verify</h2>\n\
         <p>This page proves nothing by itself. The log does, and so does an export of it as JSON Lines, which can be checked anywhere \
         without the log and without a configuration:</p>\n\
         <pre>windlass audit verify {deploy}\nwindlass audit export {deploy} --format jsonl --output deploy.jsonl\n\
         windlass audit verify --export deploy.jsonl --key ed25519:…</pre>\n\
         <p>The seal that is printed there must be the one above. A script's SHA-256 is that of its text as UTF-8, with line feeds alone \
         at the ends of lines.</p>\n</body>\n</html>"
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let text = "<script>alert('x')</script> & \"y\"\u{0}\n";
        let page = Plain(text).to_string();
        assert_eq!(page, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;\u{fffd}\n");
    }
}
