//! `status`: how a deploy stands, and which there were.

use crate::base::count;
use serde::Serialize;
use serde_json::json;

use super::context::{Context, Creates};
use super::output::{Exit, Failure, table};
use super::progress::account_text;
use crate::audit::{Account, account};
use crate::log::{Desk as _, Log as _, TenantQuery};
use crate::saga::event::{Direction, Trigger};
use crate::serve::Standing;

/// Deploys listed.
pub(super) const DEPLOYS_LISTED: usize = 50;

pub(super) enum What {
    One { deploy: Option<String>, tenants: bool },
    Deploys,
}

pub(super) async fn status(context: &Context, asked: What) -> Result<Exit, Failure> {
    let log = context.project().log(Creates::No).await?;
    let (named, tenants) = match asked {
        What::One { deploy, tenants } => (deploy, tenants),
        What::Deploys => return deploys(context).await,
    };
    let row = context.which(&*log, named.as_deref()).await?;
    let account = account(&*log, row.id).await?;
    // A log of an older format that cannot be written has no desk: nobody is told of its deploys, and they can be looked at all the same.
    let told: Vec<Standing> = log.reports(row.id).await.unwrap_or_default().iter().map(Standing::of).collect();
    let text = || account_text(&account) + &told_text(&told);
    if !tenants {
        context.output.answer(&Stands { account: &account, reports: &told }, text);
        return Ok(Exit::Done);
    }
    let rows = log.tenants(row.id, &TenantQuery { statuses: Vec::new(), after: None, limit: usize::MAX }).await?;
    let listed: Vec<_> = rows.iter().map(|row| json!({ "tenant": row.tenant, "summary": row.summary })).collect();
    context.output.answer(&json!({ "account": account, "reports": told, "tenants": listed }), || {
        let cells = rows.iter().map(|row| {
            let step = row.summary.step.as_ref().map(ToString::to_string).unwrap_or_default();
            let message = row.summary.message.clone().unwrap_or_default();
            [row.tenant.to_string(), row.summary.status.to_string(), step, message]
        });
        format!("{}{}", text(), table(&cells.collect::<Vec<_>>()))
    });
    Ok(Exit::Done)
}

/// How a deploy stands, and who has been told.
#[derive(Serialize)]
pub(super) struct Stands<'a> {
    #[serde(flatten)]
    pub(super) account: &'a Account,
    /// Those whom a server tells of it.
    #[serde(skip_serializing_if = "<[Standing]>::is_empty")]
    pub(super) reports: &'a [Standing],
}

/// Who has not been told, a line each.
pub(super) fn told_text(told: &[Standing]) -> String {
    told.iter().filter_map(Standing::worry).flat_map(|line| [line, "\n".to_owned()]).collect()
}

async fn deploys(context: &Context) -> Result<Exit, Failure> {
    let log = context.log(Creates::No).await?;
    let mut accounts = Vec::new();
    for row in log.deploys(Some(&context.config.name), DEPLOYS_LISTED).await? {
        accounts.push(account(&*log, row.id).await?);
    }
    context.output.answer(&accounts, || {
        if accounts.is_empty() {
            return format!("fleet {} has had no deploy yet", context.config.name);
        }
        table(&accounts.iter().map(account_row).collect::<Vec<_>>())
    });
    Ok(Exit::Done)
}

/// A deploy in a line: its id, when it was made, of what, over how many tenants, and how it stands.
pub(super) fn account_row(account: &Account) -> [String; 5] {
    let state = match (account.outcome, account.direction) {
        (Some(outcome), _) => {
            let json = serde_json::to_value(outcome).unwrap_or_default();
            json.as_str().unwrap_or_default().replace('_', " ")
        }
        (None, _) if account.paused.is_some() => "paused".to_owned(),
        (None, Direction::Unwind) => "unwinding".to_owned(),
        (None, _) => "under way".to_owned(),
    };
    let what = match &account.trigger {
        Trigger::Rollback { .. } => format!("rollback of {}", account.release),
        _ => account.release.clone(),
    };
    [account.deploy.to_string(), account.created_at.to_string(), what, count(account.tenants, "tenant"), state]
}
