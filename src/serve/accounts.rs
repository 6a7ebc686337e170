//! Accounts of deploys, for those who ask again and again.
//!
//! An account counts and groups all tenants of a deploy. While a large one is under way every commit changes it, and a page, a pipeline and
//! a dashboard ask for it at once: it is made again only when something has happened, and then not more often than anybody can read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::audit::{Account, account};
use crate::base::{DeployId, Seq};
use crate::log::{Log, LogError};
use crate::saga::summary::stands_still;

/// Deploys whose accounts are kept. The rest are made anew each time.
const KEPT_MAX: usize = 64;

/// How old an account may be, as long as nothing has happened in the deploy's own stream: a pause, a turn and the end are seen at once.
/// One that says that a human is waited for is never older than the deploy: whoever has settled what was stuck, and looks, is not to be told
/// that nothing moves. Nothing happens in such a deploy, so it is not made anew more often for that.
const FRESH: Duration = Duration::from_millis(200);

struct Kept {
    made: Instant,
    /// The deploy's own stream, when it was made.
    seq: Seq,
    /// The deploy's last event, when it was made.
    end: u64,
    account: Arc<Account>,
}

/// Accounts that were made a moment ago.
#[derive(Default)]
pub struct Accounts(Mutex<HashMap<DeployId, Kept>>);

impl Accounts {
    /// The account of a deploy.
    ///
    /// # Errors
    /// As [`account`].
    pub async fn of(&self, log: &dyn Log, deploy: DeployId) -> Result<Arc<Account>, LogError> {
        // Before the account is made: what happens meanwhile makes the next one anew.
        let (seq, end) = (log.deploy(deploy).await?.last_seq, log.end(deploy).await?);
        if let Some(kept) = self.kept(deploy, seq, end) {
            return Ok(kept);
        }
        let account = Arc::new(account(log, deploy).await?);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT_MAX
            && !all.contains_key(&deploy)
            && let Some(oldest) = all.iter().min_by_key(|(_, kept)| kept.made).map(|(id, _)| *id)
        {
            all.remove(&oldest);
        }
        all.insert(deploy, Kept { made: Instant::now(), seq, end, account: Arc::clone(&account) });
        Ok(account)
    }

    fn kept(&self, deploy: DeployId, seq: Seq, end: u64) -> Option<Arc<Account>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.get(&deploy)?;
        let Account { census, direction, .. } = &*kept.account;
        let still = stands_still(census.keys().copied(), *direction);
        let good = kept.end == end || (kept.seq == seq && !still && kept.made.elapsed() < FRESH);
        good.then(|| Arc::clone(&kept.account))
    }
}
