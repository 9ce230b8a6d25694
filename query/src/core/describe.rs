//! What an answer would look like, without one: for clients that ask before they ask.

use std::net::IpAddr;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use schemas::principal::Principal;
use tokio::time::timeout_at;

use super::{Core, Job, Query, Run, count};
use crate::access::{Access, Status};
use crate::session::describe;
use crate::{Error, Result};

/// Parameters and columns of a statement.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    /// Types of `$1`, `$2`, ...
    pub(crate) params: Vec<DataType>,
    pub(crate) schema: SchemaRef,
}

impl Query {
    /// Plans the one statement of `job` and runs nothing. No row leaves, so only what is refused or cannot be
    /// planned is put on the access log.
    ///
    /// # Errors
    /// Every [`Error`].
    pub(crate) async fn describe(&self, principal: &Principal, job: Job) -> Result<Described> {
        let core = Arc::clone(&self.shared);
        let place = core.place(principal).await.inspect_err(|error| count(job.action, error.code()))?;
        let stop = core.stop(&job);
        let deadline = stop.deadline();
        let late = stop.deadline_error();
        let run = Run { core, principal: principal.clone(), job, stop };
        // To its end even if nobody waits: a refusal is on the log.
        let described = self.shared.unfinished.spawn(async move {
            let described = run.describe().await;
            drop(place);
            described
        });
        match timeout_at(deadline, described).await {
            Ok(Ok(described)) => described,
            Ok(Err(error)) => Err(Error::Internal(format!("the statement was not planned: {error}"))),
            Err(_elapsed) => Err(late),
        }
    }

    /// Puts on the access log that `error` is why `statement` was not asked at all.
    ///
    /// # Errors
    /// [`Error::Unaudited`].
    pub(crate) async fn refused(&self, principal: &Principal, statement: &str, error: &Error) -> Result<()> {
        count("sql", error.code());
        let query_id = self.shared.access.new_query_id();
        let refusal =
            Access { statement: Some(statement), ..Access::refusal(principal, &query_id, "sql", error) };
        self.shared.refusals.record(refusal).await
    }

    /// Puts on the access log that somebody at `address` who has not shown who it is was turned away by `door`; nobody waits
    /// for it.
    pub(crate) fn turned_away(
        &self,
        door: &'static str,
        address: IpAddr,
        action: &'static str,
        error: Error,
    ) {
        let Core { refusals, unfinished, .. } = self.shared.as_ref();
        refusals.note((door, address), action, error, unfinished);
    }
}

impl Run {
    async fn describe(self) -> Result<Described> {
        let query_id = self.core.access.new_query_id();
        let (mut statements, snapshot) =
            self.checked(&query_id).await.inspect_err(|error| count(self.job.action, error.code()))?;
        let statement =
            statements.pop().ok_or_else(|| Error::Internal("a query without a statement".to_string()))?;
        let (core, stop, role) = (Arc::clone(&self.core), Arc::clone(&self.stop), self.principal.role);
        let (tenant, policy) = (self.principal.tenant.clone(), self.policy().cloned());
        let client = self.job.client.clone();
        let work = async move {
            let shared = core.tables(Arc::new(snapshot), &tenant, policy);
            let mut session = core.engine.session(&shared, role, &stop, client.as_ref())?;
            let declared = client.as_ref().map_or(&[][..], |client| &client.types);
            describe(&mut session, statement, declared).await
        };
        let described = self.core.on_query_threads(work).await;
        if let Err(error) = &described {
            count(self.job.action, error.code());
            let outcome = Access {
                statement: Some(&self.job.statement),
                error_code: Some(error.code()),
                detail: Some(error.to_string()),
                ..Access::outcome(&self.principal, &query_id, self.job.action, Status::Error)
            };
            self.core.access.record(outcome).await?;
        }
        described
    }
}
