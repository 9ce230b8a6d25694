//! What is let through: the statements, the moment they are about, and what their principal may see of it.

use std::sync::Arc;

use datafusion::sql::parser::Statement;

use super::Run;
use crate::access::Access;
use crate::policy::Policy;
use crate::{Error, Result, Snapshot, statement};

impl super::Query {
    /// Whether a role sees every row and column of what it may ask as it is: no policy stands before it.
    pub fn sees_all(&self, role: schemas::principal::Role) -> bool {
        self.shared.options.policies.of(role).is_none()
    }
}

impl Run {
    /// Checks the statements and puts the intent, or the refusal, on the access log.
    pub(super) async fn admit(&self, query_id: &str) -> Result<(Vec<Statement>, Arc<Snapshot>)> {
        let (principal, job) = (&self.principal, &self.job);
        let (statements, snapshot) = self.checked(query_id).await?;
        let snapshot = Arc::new(snapshot);
        let intent = Access {
            statement: Some(&job.statement),
            snapshot: Some(snapshot.to_json()),
            format: job.format,
            ..Access::intent(principal, query_id, job.action)
        };
        self.core.access.record(intent).await?;
        Ok((statements, snapshot))
    }

    /// The statements, if they are ones that may be answered, and the logs that they are about.
    pub(super) async fn checked(&self, query_id: &str) -> Result<(Vec<Statement>, Snapshot)> {
        let checked = match self.check().await {
            Ok(statements) => self.snapshot().map(|snapshot| (statements, snapshot)),
            Err(error) => Err(error),
        };
        // Whatever the reason: that it was asked is on the log.
        if let Err(error) = &checked {
            let refusal = Access {
                statement: Some(&self.job.statement),
                format: self.job.format,
                ..Access::refusal(&self.principal, query_id, self.job.action, error)
            };
            self.core.refusals.record(refusal).await?;
        }
        checked
    }

    /// The logs that the question is about.
    fn snapshot(&self) -> Result<Snapshot> {
        let now = Snapshot::take(self.core.snapshots.as_ref(), &self.principal.tenant);
        match &self.job.as_of {
            Some(as_of) => now.at(as_of.clone()),
            None => Ok(now),
        }
    }

    /// What the principal may see. A gate is about the whole tenant.
    pub(super) fn policy(&self) -> Option<&Arc<Policy>> {
        let policy = self.core.options.policies.of(self.principal.role);
        policy.filter(|_| !self.job.is_gate)
    }

    async fn check(&self) -> Result<Vec<Statement>> {
        let role = self.principal.role;
        let filtered = self.core.options.policies.of(role).is_some_and(|policy| policy.filters_rows());
        if self.job.is_gate && (filtered || !role.reads_gates()) {
            return Err(Error::Forbidden(format!("role {role} may not read gates")));
        }
        if !self.job.is_gate && !role.asks() {
            return Err(Error::Forbidden(format!(
                "role {role} may not ask; an auditor, responder or admin may"
            )));
        }
        let texts: Vec<String> = self.job.parts.iter().map(|(sql, _)| sql.clone()).collect();
        let client = self.job.client.clone();
        let parse = async move {
            let parse = |sql: &String| match &client {
                Some(client) => statement::parse_postgres(sql, role, &client.types),
                None => statement::parse(sql, role),
            };
            texts.iter().map(parse).collect()
        };
        self.core.on_query_threads(parse).await
    }
}
