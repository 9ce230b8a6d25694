//! The wall in a physical plan: what comes out of it is all that there is.
//!
//! It keeps every default of [`ExecutionPlan`] that says "nothing": no filter, limit or projection moves below it, it
//! has no statistics, and it promises no order.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PhysicalExpr,
    PlanProperties, RecordBatchStream,
};
use futures::{Stream, StreamExt};

use super::Treatment;
use crate::Error;

/// A column that comes out.
#[derive(Debug, Clone)]
pub(super) struct Output {
    /// Its place in the input.
    pub(super) input: usize,
    pub(super) name: &'static str,
    pub(super) treatment: Treatment,
}

#[derive(Debug)]
pub(super) struct Barrier {
    input: Arc<dyn ExecutionPlan>,
    shared: Arc<Shared>,
    properties: Arc<PlanProperties>,
}

#[derive(Debug)]
struct Shared {
    schema: SchemaRef,
    outputs: Vec<Output>,
    key: [u8; 32],
}

impl Barrier {
    /// The columns of `schema`, which `outputs` make of those of `input`.
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        outputs: Vec<Output>,
        key: [u8; 32],
    ) -> Barrier {
        Barrier::over(input, Arc::new(Shared { schema, outputs, key }))
    }

    fn over(input: Arc<dyn ExecutionPlan>, shared: Arc<Shared>) -> Barrier {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&shared.schema)),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Barrier { input, shared, properties: Arc::new(properties) }
    }
}

impl DisplayAs for Barrier {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Barrier")
    }
}

impl ExecutionPlan for Barrier {
    fn name(&self) -> &str {
        "Barrier"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
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
            (Some(input), true) => Ok(Arc::new(Barrier::over(input, Arc::clone(&self.shared)))),
            _ => Err(Error::Internal("a barrier has one input".to_string()).into()),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        Ok(Box::pin(Behind { input, shared: Arc::clone(&self.shared) }))
    }
}

struct Behind {
    input: SendableRecordBatchStream,
    shared: Arc<Shared>,
}

impl Shared {
    fn treated(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.outputs.iter().map(|output| {
            let values = batch.columns().get(output.input).ok_or_else(|| {
                Error::Internal(format!("column {} is not in the input of its barrier", output.name))
            })?;
            Ok(output.treatment.apply(output.name, values, &self.key)?)
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

impl Stream for Behind {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.input.poll_next_unpin(context);
        next.map(|next| next.map(|batch| batch.and_then(|batch| self.shared.treated(&batch))))
    }
}

impl RecordBatchStream for Behind {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shared.schema)
    }
}
