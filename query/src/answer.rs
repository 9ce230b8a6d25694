//! The rows of an answer as they come, and how the one who asked took them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
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

/// How an answer is going, seen by its reader and by the query core.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<Ending>>);

impl Progress {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Ending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Batches made ahead of the reader. The query core empties it under a reader that no longer reads.
#[derive(Debug, Clone)]
pub(crate) struct Batches(Arc<AsyncMutex<mpsc::Receiver<Result<RecordBatch>>>>);

impl Batches {
    pub(crate) fn new(receiver: mpsc::Receiver<Result<RecordBatch>>) -> Batches {
        Batches(Arc::new(AsyncMutex::new(receiver)))
    }

    async fn next(&self) -> Option<Result<RecordBatch>> {
        self.0.lock().await.recv().await
    }

    /// Takes no more, and lets go of what is there. While a reader waits there is nothing.
    pub(crate) fn close(&self) {
        if let Ok(mut batches) = self.0.try_lock() {
            batches.close();
            while batches.try_recv().is_ok() {}
        }
    }
}

/// A running query. Dropping it cancels the query; either way the access log is told how it ended.
#[derive(Debug)]
pub struct Answer {
    pub(crate) query_id: String,
    pub(crate) schema: SchemaRef,
    pub(crate) snapshot: Arc<Snapshot>,
    /// What the statements before the last one gave, collected.
    pub(crate) before: Vec<Vec<RecordBatch>>,
    pub(crate) batches: Batches,
    pub(crate) stop: Arc<Stop>,
    pub(crate) rows_max: u64,
    pub(crate) output_bytes_max: u64,
    pub(crate) progress: Progress,
    pub(crate) ended: Option<oneshot::Sender<()>>,
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
        self.progress.lock().rows
    }

    /// The next rows; `None` once the answer is complete. After an error there is nothing more, and after the
    /// deadline only the error: the access log has said by then how much has left.
    pub async fn next(&mut self) -> Option<Result<RecordBatch>> {
        {
            let ending = self.progress.lock();
            if ending.complete || ending.error.is_some() {
                return None;
            }
        }
        if let Err(error) = self.stop.check() {
            return Some(Err(self.fail(error)));
        }
        let next = match timeout_at(self.stop.deadline(), self.batches.next()).await {
            Ok(next) => next,
            Err(_elapsed) => Some(Err(self.stop.deadline_error())),
        };
        match next {
            None => {
                // Batches also end where the query core let go of them, and that is not the whole answer.
                if let Err(error) = self.stop.check() {
                    return Some(Err(self.fail(error)));
                }
                self.progress.lock().complete = true;
                None
            }
            Some(Ok(batch)) => {
                let rows = self.rows() + batch.num_rows() as u64;
                self.progress.lock().rows = rows;
                if rows > self.rows_max {
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
        let sum = self.progress.lock().bytes + bytes as u64;
        if sum > self.output_bytes_max {
            let error = Error::AnswerTooLarge { what: "bytes of the answer", limit: self.output_bytes_max };
            return Err(self.fail(error));
        }
        self.progress.lock().bytes = sum;
        Ok(())
    }

    /// Ends the answer with `error`, which is returned.
    pub(crate) fn fail(&mut self, error: Error) -> Error {
        self.stop.cancel();
        self.batches.close();
        self.progress.lock().error.get_or_insert(error).clone()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(ended) = self.ended.take() {
            // Nobody listens only when the process is going down.
            ended.send(()).ok();
        }
    }
}
