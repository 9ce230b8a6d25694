//! The statements of a job: all but the last are collected, the last gives rows.

use arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::execute_stream;
use datafusion::sql::parser::Statement;
use futures::StreamExt;

use super::{Param, Planned, ROWS_BEFORE_MAX, run_error};
use crate::session::{Session, plan};
use crate::{Error, Result};

/// Plans all statements, collects all but the last and starts the last.
pub(super) async fn start(
    session: &mut Session,
    parts: impl Iterator<Item = (Statement, Vec<Param>)>,
) -> Result<Planned> {
    let mut before: Vec<Vec<RecordBatch>> = Vec::new();
    let mut last: Option<SendableRecordBatchStream> = None;
    for (statement, params) in parts {
        if let Some(rows) = last.take() {
            before.push(collect(rows).await?);
        }
        let params = params.into_iter().map(|param| param.resolve(&before)).collect::<Result<Vec<_>>>()?;
        let plan = plan(session, statement, params).await?;
        last = Some(execute_stream(plan, session.state.task_ctx()).map_err(|error| run_error(&error))?);
    }
    let rows = last.ok_or_else(|| Error::Internal("a query without a statement".to_string()))?;
    Ok(Planned { schema: rows.schema(), before, rows })
}

async fn collect(mut rows: SendableRecordBatchStream) -> Result<Vec<RecordBatch>> {
    let mut all = Vec::new();
    let mut count = 0;
    while let Some(batch) = rows.next().await.transpose().map_err(|error| run_error(&error))? {
        count += batch.num_rows();
        if count > ROWS_BEFORE_MAX {
            return Err(Error::AnswerTooLarge {
                what: "rows that belong to the answer",
                limit: ROWS_BEFORE_MAX as u64,
            });
        }
        all.push(batch);
    }
    Ok(all)
}
