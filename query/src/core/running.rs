//! The queries that run now: who may see them, and who may end them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemas::principal::Principal;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::Progress;
use crate::guard::Stop;

/// All of one core.
#[derive(Debug, Default)]
pub(super) struct Running {
    queries: Mutex<BTreeMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    principal: Principal,
    action: &'static str,
    statement: String,
    started_us: i64,
    stop: Arc<Stop>,
    progress: Progress,
}

/// A query that runs, as its principal or an admin of its tenant sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RunningQuery {
    /// Joins it with its entries of the access log.
    pub query_id: String,
    /// Who asked.
    pub principal: String,
    /// Through which door.
    pub door: &'static str,
    /// `sql`, `replay`, `gate` and so on.
    pub action: &'static str,
    /// What was asked; secrets are removed.
    pub statement: String,
    /// When it began, microseconds since 1970.
    #[serde(skip)]
    pub started_us: i64,
    /// Rows that have left.
    pub rows: u64,
    /// Bytes that have left.
    pub bytes: u64,
}

/// Takes a query off the list when it is over, however that comes.
#[derive(Debug)]
pub(super) struct Listed {
    running: Arc<Running>,
    query_id: String,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.running.lock().remove(&self.query_id);
    }
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a query on the list until what is returned is dropped.
    pub(super) fn begin(
        self: &Arc<Self>,
        query_id: &str,
        started_us: i64,
        (principal, action, statement): (&Principal, &'static str, String),
        (stop, progress): (&Arc<Stop>, &Progress),
    ) -> Listed {
        let entry = Entry {
            principal: principal.clone(),
            action,
            statement,
            started_us,
            stop: Arc::clone(stop),
            progress: progress.clone(),
        };
        self.lock().insert(query_id.to_string(), entry);
        Listed { running: Arc::clone(self), query_id: query_id.to_string() }
    }

    /// Those that `principal` may see, oldest first.
    pub(super) fn seen_by(&self, principal: &Principal) -> Vec<RunningQuery> {
        let queries = self.lock();
        let seen = queries.iter().filter(|(_, entry)| entry.is_seen_by(principal));
        let mut seen: Vec<RunningQuery> = seen
            .map(|(query_id, entry)| {
                let progress = entry.progress.lock();
                RunningQuery {
                    query_id: query_id.clone(),
                    principal: entry.principal.id.clone(),
                    door: entry.principal.door,
                    action: entry.action,
                    statement: entry.statement.clone(),
                    started_us: entry.started_us,
                    rows: progress.rows,
                    bytes: progress.bytes,
                }
            })
            .collect();
        seen.sort_by_key(|query| query.started_us);
        seen
    }

    /// Ends one; false where there is none that `principal` may see.
    pub(super) fn cancel(&self, principal: &Principal, query_id: &str) -> bool {
        let queries = self.lock();
        let entry = queries.get(query_id).filter(|entry| entry.is_seen_by(principal));
        entry.inspect(|entry| entry.stop.kill()).is_some()
    }
}

impl Entry {
    /// One's own, and for an admin all of the tenant.
    fn is_seen_by(&self, principal: &Principal) -> bool {
        self.principal.tenant == principal.tenant
            && (self.principal.id == principal.id || principal.role.administers())
    }
}
