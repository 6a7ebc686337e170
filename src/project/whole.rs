//! The configuration, and what it leads to.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::{ProjectError, signing_key};
use crate::base::limits::TENANTS_PAGE;
use crate::base::{Code, Coded as _, DeployId, SigningKey, SystemClock, TenantId};
use crate::config::workflows::Found;
use crate::config::{Config, OutOfOrder, Survey};
use crate::engine::{self, RealGateway, Request, SurveyMode};
use crate::fleet::{Engine as Database, Selector, Subject, Tenant};
use crate::log::{DeployRow, Log, LogError, Selection, SqliteLog, TenantQuery};
use crate::release::{Dialect, Release, load};
use crate::saga::event::{Direction, StreamId};
use crate::saga::summary::TenantStatus;
use crate::saga::workflow::WorkflowError;
use crate::step::{self, Kinds};

/// Deploys that are looked through for a part of an id.
const DEPLOYS_SEARCHED: usize = 1_000;

/// A project: one fleet, with all that it takes to deploy to it.
pub struct Project {
    /// What its `windlass.toml` says.
    pub config: Config,
    /// The kinds of step that workflows may use.
    pub kinds: Kinds,
    /// The signing key once it has been read: what was found good before anything was touched is what signs in the end.
    signer: OnceLock<Option<Arc<SigningKey>>>,
}

/// Whether a log that is not there is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creates {
    /// It is.
    Yes,
    /// It is refused.
    No,
}

impl Project {
    /// Finds and reads the configuration ([`Config::find`]).
    ///
    /// # Errors
    /// WL0001, WL0002.
    pub fn find(explicit: Option<&Path>, kinds: Kinds) -> Result<Self, ProjectError> {
        Ok(Self { config: Config::find(explicit)?, kinds, signer: OnceLock::new() })
    }

    /// The log's file.
    pub async fn log_path(&self) -> Result<PathBuf, ProjectError> {
        let url = self.config.log_url.resolve(&Subject::Log, &self.config.base_dir, &self.config.resolver()).await?;
        if url.engine() != Database::Sqlite {
            let reason = format!("a log in {} is not supported by this version; use sqlite://PATH", url.engine());
            return Err(LogError::Unavailable { url: "in [log]".to_owned(), reason }.into());
        }
        let options = url.sqlite_options().map_err(|error| {
            let reason = url.redact(&error.to_string());
            ProjectError::from(LogError::Unavailable { url: "in [log]".to_owned(), reason })
        })?;
        Ok(options.get_filename().to_owned())
    }

    /// The log; `Creates::No` for whoever only reads one.
    pub async fn log(&self, creates: Creates) -> Result<Arc<SqliteLog>, ProjectError> {
        let path = self.log_path().await?;
        let clock = Arc::new(SystemClock);
        Ok(match creates {
            Creates::Yes => Arc::new(SqliteLog::open(&path, clock).await?),
            Creates::No => Arc::new(SqliteLog::open_existing(&path, clock).await?),
        })
    }

    /// The way to the tenants, within the configured budgets of their servers.
    #[must_use]
    pub fn gateway(&self) -> Arc<RealGateway> {
        let budgets = Arc::new(self.config.budgets());
        Arc::new(RealGateway::new(self.config.resolver(), budgets))
    }

    /// The release in the migration folder.
    pub fn release(&self) -> Result<Release, ProjectError> {
        Ok(load(&self.config.release_dir, None)?)
    }

    /// A workflow by its name; the configured one where none is named.
    pub fn workflow(&self, name: Option<&str>) -> Result<Found, ProjectError> {
        Ok(self.config.workflow(name.unwrap_or(&self.config.deploy.workflow))?)
    }

    /// The workflow, once it is known that it can be carried out.
    pub fn ready_workflow(&self, name: Option<&str>) -> Result<Found, ProjectError> {
        let found = self.workflow(name)?;
        carried_out(&self.kinds, &found)?;
        Ok(found)
    }

    /// All tenants of the fleet.
    pub async fn fleet(&self) -> Result<Vec<Tenant>, ProjectError> {
        let mut tenants = self.config.source.read(&self.config.resolver(), &self.config.base_dir).await?;
        for tenant in tenants.iter_mut().filter(|tenant| tenant.target.engine == Database::Postgres) {
            tenant.target.ledger_schema.clone_from(&self.config.deploy.ledger_schema);
        }
        Ok(tenants)
    }

    /// The SQL that a release is read as where nobody says: what all tenants speak, and `PostgreSQL`'s where they speak several.
    pub async fn dialect(&self) -> Result<Dialect, ProjectError> {
        let fleet = self.fleet().await?;
        let all = |engine| fleet.iter().all(|tenant| tenant.target.engine == engine);
        Ok(if all(Database::Sqlite) {
            Dialect::Sqlite
        } else if all(Database::Mysql) {
            Dialect::Mysql
        } else {
            Dialect::Postgres
        })
    }

    /// The tenants that were asked for.
    pub async fn tenants(&self, selection: &Selection) -> Result<Vec<Tenant>, ProjectError> {
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
            return Err(ProjectError::new(Code::FleetEmpty, message, "windlass tenants list"));
        }
        Ok(chosen)
    }

    /// A deploy to be prepared: of the release in the migration folder.
    pub async fn request(&self, selection: &Selection, disowned: &[DeployId]) -> Result<Request, ProjectError> {
        // Whatever is wrong with the project comes before what is wrong with its release.
        self.ready_workflow(selection.workflow.as_deref())?;
        self.request_of(self.release()?, selection, disowned).await
    }

    /// A deploy of this release to be prepared.
    pub async fn request_of(
        &self,
        release: Release,
        selection: &Selection,
        disowned: &[DeployId],
    ) -> Result<Request, ProjectError> {
        let Found { workflow, text, .. } = self.ready_workflow(selection.workflow.as_deref())?;
        Ok(Request {
            fleet: self.config.name.clone(),
            release,
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
            new_databases: selection.new_databases.iter().map(|id| tenant_id(id)).collect::<Result<_, _>>()?,
            concurrency: self.concurrency(),
            kinds: self.kinds.clone(),
        })
    }

    /// The key that ends of deploys are signed with, where the configuration names one. Read once.
    pub fn signer(&self) -> Result<Option<Arc<SigningKey>>, ProjectError> {
        if let Some(signer) = self.signer.get() {
            return Ok(signer.clone());
        }
        let next = "mend sign_with under [audit] in windlass.toml, or the file, then: windlass doctor";
        let read = |path| signing_key(path, next).map(Arc::new);
        let signer = self.config.sign_with.as_deref().map(read).transpose()?;
        Ok(self.signer.get_or_init(|| signer).clone())
    }

    /// How many tenants are worked on at a time.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        usize::try_from(self.config.deploy.concurrency).unwrap_or(1)
    }

    /// A deploy that another machine began must not fail, tenant by tenant, because this one lacks a variable or a file: refused
    /// before anything is driven, or said to the deploy.
    pub async fn refuse_unresolved(
        &self,
        log: &dyn Log,
        deploy: DeployId,
        statuses: &[TenantStatus],
    ) -> Result<(), ProjectError> {
        self.signer()?;
        engine::refuse_foreign(log, deploy, &self.kinds).await?;
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
    pub async fn which(&self, log: &dyn Log, named: Option<&str>) -> Result<DeployRow, ProjectError> {
        let rows = log.deploys(Some(&self.config.name), DEPLOYS_SEARCHED).await?;
        let unknown = |text: &str| ProjectError::from(LogError::DeployUnknown { text: text.to_owned() });
        let Some(named) = named else {
            let under_way = rows.iter().find(|row| row.summary.outcome.is_none()).or(rows.first()).cloned();
            return under_way.ok_or_else(|| {
                let message = format!("fleet {} has had no deploy yet", self.config.name);
                ProjectError::new(Code::DeployUnknown, message, "windlass deploy")
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
            return Err(ProjectError::new(Code::BadArgument, message, "the same command in that fleet's project"));
        }
        let part = named.to_ascii_lowercase();
        let matching: Vec<&DeployRow> = rows.iter().filter(|row| row.id.to_string().contains(&part)).collect();
        match matching.as_slice() {
            [] => Err(unknown(named)),
            [one] => Ok((*one).clone()),
            several => {
                let message = format!("{} deploys have {named:?} in their id", several.len());
                Err(ProjectError::new(Code::BadArgument, message, "windlass status --all"))
            }
        }
    }
}

/// The statuses of the tenants that a deploy which goes this way still connects to.
#[must_use]
pub fn claimable(direction: Direction) -> Vec<TenantStatus> {
    TenantStatus::ALL.iter().copied().filter(|status| status.is_claimable(direction)).collect()
}

/// Refuses what a workflow asks for and this version cannot do, naming its file: a copy often keeps the name that it was copied with.
pub fn carried_out(kinds: &Kinds, found: &Found) -> Result<(), ProjectError> {
    let file = &found.origin;
    found.workflow.supported().map_err(|error| WorkflowError { file: file.clone(), ..error })?;
    step::check(kinds, &found.workflow).map_err(|error| {
        let next = format!("mend {file}, then: windlass workflow show {}", found.name);
        ProjectError::new(error.code(), format!("workflow {file}: {error}"), next)
    })
}

/// A tenant's id, as typed.
pub fn tenant_id(text: &str) -> Result<TenantId, ProjectError> {
    TenantId::new(text)
        .map_err(|error| ProjectError::new(Code::BadArgument, error.to_string(), "windlass tenants list"))
}
