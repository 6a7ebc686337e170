//! What every command starts from: the configuration, and what it leads to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Selection;
use super::keys::signing_key;
use super::output::{Failure, Output};
use crate::base::limits::TENANTS_PAGE;
use crate::base::{Code, Coded as _, DeployId, SigningKey, SystemClock, TenantId};
use crate::config::workflows::Found;
use crate::config::{Config, OutOfOrder, Survey};
use crate::engine::{self, RealGateway, Request, SurveyMode, Word, host, this_worker};
use crate::fleet::{Engine as Database, Selector, Subject, Tenant};
use crate::log::{DeployRow, Log, LogError, SqliteLog, TenantQuery};
use crate::release::{Release, load};
use crate::saga::event::{Actor, Direction, StreamId};
use crate::saga::summary::TenantStatus;
use crate::saga::workflow::WorkflowError;
use crate::step::{self, Kinds};

/// Deploys that are looked through for a part of an id.
const DEPLOYS_SEARCHED: usize = 1_000;

/// What every command starts from.
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) output: Output,
    /// The kinds of step that workflows may use.
    pub(super) kinds: Kinds,
}

/// Whether a command may create the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Creates {
    Yes,
    No,
}

impl Context {
    pub(super) fn find(explicit: Option<&Path>, output: Output, kinds: Kinds) -> Result<Self, Failure> {
        Ok(Self { config: Config::find(explicit)?, output, kinds })
    }

    /// The log's file.
    pub(super) async fn log_path(&self) -> Result<PathBuf, Failure> {
        let url = self.config.log_url.resolve(&Subject::Log, &self.config.base_dir, &self.config.resolver()).await?;
        if url.engine() != Database::Sqlite {
            let reason = format!("a log in {} is not supported by this version; use sqlite://PATH", url.engine());
            return Err(LogError::Unavailable { url: "in [log]".to_owned(), reason }.into());
        }
        let options = url.sqlite_options().map_err(|error| {
            let reason = url.redact(&error.to_string());
            Failure::from(LogError::Unavailable { url: "in [log]".to_owned(), reason })
        })?;
        Ok(options.get_filename().to_owned())
    }

    /// The log; `Creates::No` for commands that only read one.
    pub(super) async fn log(&self, creates: Creates) -> Result<Arc<dyn Log>, Failure> {
        let path = self.log_path().await?;
        let clock = Arc::new(SystemClock);
        Ok(match creates {
            Creates::Yes => Arc::new(SqliteLog::open(&path, clock).await?),
            Creates::No => Arc::new(SqliteLog::open_existing(&path, clock).await?),
        })
    }

    pub(super) fn gateway(&self) -> Arc<RealGateway> {
        let budgets = Arc::new(self.config.budgets());
        Arc::new(RealGateway::new(self.config.resolver(), budgets))
    }

    pub(super) fn release(&self) -> Result<Release, Failure> {
        Ok(load(&self.config.release_dir, None)?)
    }

    pub(super) fn workflow(&self, name: Option<&str>) -> Result<Found, Failure> {
        Ok(self.config.workflow(name.unwrap_or(&self.config.deploy.workflow))?)
    }

    /// The workflow, once it is known that it can be carried out.
    pub(super) fn ready_workflow(&self, name: Option<&str>) -> Result<Found, Failure> {
        let found = self.workflow(name)?;
        carried_out(&self.kinds, &found)?;
        Ok(found)
    }

    /// All tenants of the fleet.
    pub(super) async fn fleet(&self) -> Result<Vec<Tenant>, Failure> {
        let mut tenants = self.config.source.read(&self.config.resolver(), &self.config.base_dir).await?;
        for tenant in tenants.iter_mut().filter(|tenant| tenant.target.engine == Database::Postgres) {
            tenant.target.ledger_schema.clone_from(&self.config.deploy.ledger_schema);
        }
        Ok(tenants)
    }

    /// The tenants that were asked for.
    pub(super) async fn tenants(&self, selection: &Selection) -> Result<Vec<Tenant>, Failure> {
        let tenants = self.fleet().await?;
        let selector = match (&selection.only, &selection.select) {
            (Some(only), _) => Selector::only(only, &tenants)?,
            (None, Some(select)) => Selector::parse(select)?,
            (None, None) => return Ok(tenants),
        };
        let chosen: Vec<Tenant> =
            tenants.into_iter().filter(|tenant| selector.matches(&tenant.id, &tenant.labels)).collect();
        if chosen.is_empty() {
            let message = format!("no tenant matches {}; nothing was touched", selector.as_str());
            return Err(Failure::new(Code::FleetEmpty, message, "windlass tenants list"));
        }
        Ok(chosen)
    }

    /// A deploy to be prepared.
    pub(super) async fn request(&self, selection: &Selection, disowned: &[DeployId]) -> Result<Request, Failure> {
        let Found { workflow, text, .. } = self.ready_workflow(selection.workflow.as_deref())?;
        Ok(Request {
            fleet: self.config.name.clone(),
            release: self.release()?,
            workflow,
            workflow_text: text,
            tenants: self.tenants(selection).await?,
            whole_fleet: selection.only.is_none() && selection.select.is_none(),
            survey: match self.config.deploy.survey {
                Survey::All => SurveyMode::All,
                Survey::Unknown => SurveyMode::Unknown,
            },
            out_of_order: match self.config.deploy.out_of_order {
                OutOfOrder::Refuse => engine::OutOfOrder::Refuse,
                OutOfOrder::Allow => engine::OutOfOrder::Allow,
            },
            disowned: disowned.iter().copied().collect(),
            new_databases: selection.new_database.iter().map(|id| tenant_id(id)).collect::<Result<_, _>>()?,
            concurrency: self.concurrency(),
            kinds: self.kinds.clone(),
        })
    }

    /// The key that ends of deploys are signed with, where the configuration names one.
    pub(super) fn signer(&self) -> Result<Option<Arc<SigningKey>>, Failure> {
        Ok(self.config.sign_with.as_deref().map(signing_key).transpose()?.map(Arc::new))
    }

    pub(super) fn concurrency(&self) -> usize {
        usize::try_from(self.config.deploy.concurrency).unwrap_or(1)
    }

    /// A deploy that another machine began must not fail, tenant by tenant, because this one lacks a variable or a file: refused
    /// before anything is driven, or said to the deploy.
    pub(super) async fn refuse_unresolved(
        &self,
        log: &dyn Log,
        deploy: DeployId,
        statuses: &[TenantStatus],
    ) -> Result<(), Failure> {
        self.signer()?;
        let (resolver, mut after) = (self.config.resolver(), None);
        loop {
            let query = TenantQuery { statuses: statuses.to_vec(), after, limit: TENANTS_PAGE };
            let page = log.tenants(deploy, &query).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.ordinal);
            for of in &page {
                let tenant: Tenant = serde_json::from_str(&of.spec).map_err(|error| LogError::Corrupt {
                    place: StreamId::tenant(deploy, of.tenant.clone()).to_string(),
                    reason: error.to_string(),
                })?;
                resolver.resolve(&tenant).await?;
            }
        }
    }

    /// The deploy that was meant: by its id, by a part of it, the latest; unnamed, the one under way, else the latest.
    pub(super) async fn which(&self, log: &dyn Log, named: Option<&str>) -> Result<DeployRow, Failure> {
        let rows = log.deploys(Some(&self.config.name), DEPLOYS_SEARCHED).await?;
        let unknown = |text: &str| Failure::from(LogError::DeployUnknown { text: text.to_owned() });
        let Some(named) = named else {
            let under_way = rows.iter().find(|row| row.summary.outcome.is_none()).or(rows.first()).cloned();
            return under_way.ok_or_else(|| {
                let message = format!("fleet {} has had no deploy yet", self.config.name);
                Failure::new(Code::DeployUnknown, message, "windlass deploy")
            });
        };
        if named == "latest" {
            return rows.into_iter().next().ok_or_else(|| unknown(named));
        }
        if let Ok(id) = named.parse::<DeployId>() {
            let row = log.deploy(id).await?;
            if row.fleet == self.config.name {
                return Ok(row);
            }
            // Its tenants are reached with the secrets and limits of its own project; those of this one may lead elsewhere.
            let message = format!(
                "deploy {id} is one of fleet {}, and this project is fleet {}: nothing was touched",
                row.fleet, self.config.name
            );
            return Err(Failure::new(Code::BadArgument, message, "the same command in that fleet's project"));
        }
        let part = named.to_ascii_lowercase();
        let matching: Vec<&DeployRow> = rows.iter().filter(|row| row.id.to_string().contains(&part)).collect();
        match matching.as_slice() {
            [] => Err(unknown(named)),
            [one] => Ok((*one).clone()),
            several => {
                let message = format!("{} deploys have {named:?} in their id", several.len());
                Err(Failure::new(Code::BadArgument, message, "windlass status --all"))
            }
        }
    }
}

/// The statuses of the tenants that a deploy which goes this way still connects to.
pub(super) fn claimable(direction: Direction) -> Vec<TenantStatus> {
    TenantStatus::ALL.iter().copied().filter(|status| status.is_claimable(direction)).collect()
}

/// Refuses what a workflow asks for and this version cannot do, naming its file: a copy often keeps the name that it was copied with.
pub(super) fn carried_out(kinds: &Kinds, found: &Found) -> Result<(), Failure> {
    let file = &found.origin;
    found.workflow.supported().map_err(|error| WorkflowError { file: file.clone(), ..error })?;
    step::check(kinds, &found.workflow).map_err(|error| {
        let next = format!("mend {file}, then: windlass workflow show {}", found.name);
        Failure::new(error.code(), format!("workflow {file}: {error}"), next)
    })
}

/// A tenant's id, as typed.
pub(super) fn tenant_id(text: &str) -> Result<TenantId, Failure> {
    TenantId::new(text).map_err(|error| Failure::new(Code::BadArgument, error.to_string(), "windlass tenants list"))
}

/// Who is at the keyboard.
pub(super) fn actor() -> Actor {
    let name = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    Actor { name: name.or_else(user_number).unwrap_or_else(|| "unknown".to_owned()), host: host() }
}

/// Services and containers often have no `USER`; the owner of a process's own folder is who it runs as.
fn user_number() -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").ok().map(|own| format!("uid-{}", own.uid()))
}

/// What is said to a deploy, by whom, through this process.
pub(super) fn word(reason: &str) -> Word {
    Word { actor: actor(), by: this_worker(), reason: reason.to_owned() }
}
