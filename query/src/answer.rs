//! The rows of an answer as they come, and how the one who asked took them.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use crate::guard::Stop;
use crate::{Error, Result, Snapshot};

/// How an answer ended, as its reader saw it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Read to the end.
    pub(crate) complete: bool,
    pub(crate) error: Option<Error>,
}

/// A running query. Dropping it cancels the query; either way the access log is told how it ended.
#[derive(Debug)]
pub struct Answer {
    pub(crate) query_id: String,
    pub(crate) schema: SchemaRef,
    pub(crate) snapshot: Arc<Snapshot>,
    /// What the statements before the last one gave, collected.
    pub(crate) before: Vec<Vec<RecordBatch>>,
    pub(crate) batches: mpsc::Receiver<Result<RecordBatch>>,
    pub(crate) stop: Arc<Stop>,
    pub(crate) rows_max: u64,
    pub(crate) output_bytes_max: u64,
    pub(crate) ending: Ending,
    pub(crate) ended: Option<oneshot::Sender<Ending>>,
}

impl Answer {
    /// Joins this answer with its entries of the access log.
    pub fn query_id(&self) -> &str {
        &self.query_id
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What the answer is computed over.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Rows given out so far.
    pub fn rows(&self) -> u64 {
        self.ending.rows
    }

    /// The next rows; `None` once the answer is complete. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<RecordBatch>> {
        if self.ending.complete || self.ending.error.is_some() {
            return None;
        }
        let next = match timeout_at(self.stop.deadline(), self.batches.recv()).await {
            Ok(next) => next,
            Err(_elapsed) => Some(Err(self.stop.deadline_error())),
        };
        match next {
            None => {
                self.ending.complete = true;
                None
            }
            Some(Ok(batch)) => {
                self.ending.rows += batch.num_rows() as u64;
                if self.ending.rows > self.rows_max {
                    let error = Error::AnswerTooLarge { what: "rows of the answer", limit: self.rows_max };
                    return Some(Err(self.fail(error)));
                }
                Some(Ok(batch))
            }
            Some(Err(error)) => Some(Err(self.fail(error))),
        }
    }

    /// Notes that `bytes` of this answer leave.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`] once they are too many; they must then not leave.
    pub fn count_bytes(&mut self, bytes: usize) -> Result<()> {
        let sum = self.ending.bytes + bytes as u64;
        if sum > self.output_bytes_max {
            let error = Error::AnswerTooLarge { what: "bytes of the answer", limit: self.output_bytes_max };
            return Err(self.fail(error));
        }
        self.ending.bytes = sum;
        Ok(())
    }

    /// Ends the answer with `error`, which is returned.
    pub(crate) fn fail(&mut self, error: Error) -> Error {
        self.stop.cancel();
        self.batches.close();
        self.ending.error.get_or_insert(error).clone()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(ended) = self.ended.take() {
            // Nobody listens only when the process is going down.
            drop(ended.send(std::mem::take(&mut self.ending)));
        }
    }
}
