//! Makes a running plan stop: a node that asks, before each batch, whether it still may go on.
//!
//! Operators with several inputs and those without any are where work can go on for long between two rows of
//! the answer; each gets a guard above it. A plan that never waits for anything is stopped the same way.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, RecordBatchStream,
};
use futures::{Stream, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Error;

/// When a query must end: at its deadline, or once nobody waits for it.
#[derive(Debug)]
pub(crate) struct Stop {
    gone: CancellationToken,
    killed: CancellationToken,
    deadline: Instant,
    deadline_ms: u64,
}

impl Stop {
    /// For tests of what asks it.
    #[cfg(test)]
    pub(crate) fn new(deadline: Instant, deadline_ms: u64) -> Stop {
        Stop::with(CancellationToken::new(), deadline, deadline_ms)
    }

    /// For tests of what never has to end.
    #[cfg(test)]
    pub(crate) fn endless() -> Arc<Stop> {
        Arc::new(Stop::new(Instant::now() + std::time::Duration::from_secs(3600), 3_600_000))
    }

    /// Ends also when `gone` is cancelled, which is this query's own.
    pub(crate) fn with(gone: CancellationToken, deadline: Instant, deadline_ms: u64) -> Stop {
        Stop { gone, killed: CancellationToken::new(), deadline, deadline_ms }
    }

    /// Nobody waits any more.
    pub(crate) fn cancel(&self) {
        self.gone.cancel();
    }

    /// Somebody else ends it, whether or not whoever asked still reads.
    pub(crate) fn kill(&self) {
        self.gone.cancel();
        self.killed.cancel();
    }

    /// Until somebody else ends it.
    pub(crate) async fn killed(&self) {
        self.killed.cancelled().await;
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The error for a passed deadline.
    pub(crate) fn deadline_error(&self) -> Error {
        Error::Deadline(self.deadline_ms)
    }

    /// # Errors
    /// [`Error::Deadline`] or [`Error::Cancelled`] once it must end.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if Instant::now() >= self.deadline {
            return Err(self.deadline_error());
        }
        if self.gone.is_cancelled() {
            return Err(Error::Cancelled);
        }
        Ok(())
    }
}

/// Puts guards into a finished physical plan.
///
/// # Errors
/// As the nodes refuse new children, which is a bug.
pub(crate) fn guard(plan: Arc<dyn ExecutionPlan>, stop: &Arc<Stop>) -> Result<Arc<dyn ExecutionPlan>> {
    let guarded = plan.transform_up(|node| {
        if node.children().len() == 1 {
            return Ok(Transformed::no(node));
        }
        let guard = Guard { input: node, stop: Arc::clone(stop) };
        Ok(Transformed::yes(Arc::new(guard) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(guarded.data)
}

#[derive(Debug)]
struct Guard {
    input: Arc<dyn ExecutionPlan>,
    stop: Arc<Stop>,
}

impl DisplayAs for Guard {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

impl ExecutionPlan for Guard {
    fn name(&self) -> &str {
        "Guard"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Guard { input, stop: Arc::clone(&self.stop) })),
            _ => Err(Error::Internal("a guard has one input".to_string()).into()),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.stop.check()?;
        let input = self.input.execute(partition, context)?;
        Ok(Box::pin(GuardStream { input, stop: Arc::clone(&self.stop) }))
    }
}

struct GuardStream {
    input: SendableRecordBatchStream,
    stop: Arc<Stop>,
}

impl Stream for GuardStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Err(error) = self.stop.check() {
            return Poll::Ready(Some(Err(error.into())));
        }
        self.input.poll_next_unpin(context)
    }
}

impl RecordBatchStream for GuardStream {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
