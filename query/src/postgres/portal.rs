//! Portals and cursors: a statement with its values, and as much of its answer as was asked for so far.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::ScalarValue;
use pgwire::api::Type;
use pgwire::messages::PgWireBackendMessage as Back;
use tokio_util::sync::CancellationToken;

use super::command::Command;
use super::fault::Fault;
use super::row::Columns;
use super::session::Session;
use super::wire::Wire;
use crate::core::Described;
use crate::{Answer, Error, Position};

/// A statement that was parsed once and may be asked often.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The text of the one statement, and the whole text with where it begins there.
    pub(super) sql: String,
    pub(super) whole: String,
    pub(super) start: Position,
    pub(super) command: Option<Command>,
    /// Types that the client gave for its parameters.
    pub(super) declared: Vec<Option<Type>>,
    /// Of a query.
    pub(super) described: Option<Described>,
}

impl Prepared {
    /// Bytes that it holds of what the client sent.
    pub(super) fn bytes(&self) -> usize {
        self.sql.len() + self.whole.len() + self.declared.len() * size_of::<Option<Type>>()
    }
}

/// A statement with its values.
#[derive(Debug)]
pub(super) struct Portal {
    pub(super) prepared: Arc<Prepared>,
    pub(super) values: Vec<ScalarValue>,
    /// Formats that the client wants its columns in.
    pub(super) formats: Vec<i16>,
    pub(super) state: State,
    /// Outlives its transaction.
    pub(super) hold: bool,
}

#[derive(Debug)]
pub(super) enum State {
    Ready,
    Open(Box<Rows>),
    Done,
}

/// An answer on its way.
pub(super) struct Rows {
    answer: Answer,
    gone: CancellationToken,
    columns: Arc<Columns>,
    encoder: pgwire::api::results::DataRowEncoder,
    batch: Option<(Vec<ArrayRef>, usize, usize)>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("answer", &self.answer).finish_non_exhaustive()
    }
}

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) rows: u64,
    /// There is nothing more.
    pub(super) is_all: bool,
}

impl Rows {
    pub(super) fn new(answer: Answer, gone: CancellationToken, formats: &[i16]) -> Rows {
        let columns = Arc::new(Columns::new(answer.schema(), formats));
        let encoder = columns.encoder();
        Rows { answer, gone, columns, encoder, batch: None }
    }

    /// For a description that was given before: rows come in these columns.
    pub(super) fn with_columns(mut self, columns: Columns) -> Rows {
        self.columns = Arc::new(columns);
        self.encoder = self.columns.encoder();
        self
    }

    pub(super) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Ends the query when this is cancelled.
    pub(super) fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    /// The next batch, unless the query was cancelled meanwhile.
    async fn next(&mut self) -> Option<Result<RecordBatch, Error>> {
        let gone = self.gone.clone();
        tokio::select! {
            biased;
            () = gone.cancelled() => Some(Err(self.answer.fail(Error::Cancelled))),
            batch = self.answer.next() => batch,
        }
    }

    /// Sends up to `rows_max` rows, or all. When it fails, there is nothing more.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn send(&mut self, wire: &mut Wire, rows_max: Option<u64>) -> Result<Sent, Fault> {
        let mut sent = 0;
        loop {
            if rows_max.is_some_and(|max| sent >= max) {
                return Ok(Sent { rows: sent, is_all: false });
            }
            let Some((columns, at, rows)) = &mut self.batch else {
                match self.next().await {
                    None => return Ok(Sent { rows: sent, is_all: true }),
                    Some(batch) => {
                        let batch = batch?;
                        let prepared =
                            self.columns.prepare(&batch).map_err(|error| self.answer.fail(error))?;
                        self.batch = Some((prepared, 0, batch.num_rows()));
                    }
                }
                continue;
            };
            let row = self.columns.row(columns, *at, &mut self.encoder);
            let row = row.map_err(|error| self.answer.fail(error))?;
            *at += 1;
            if at == rows {
                self.batch = None;
            }
            self.answer.count_bytes(row.data.len())?;
            wire.put(Back::DataRow(row)).await?;
            sent += 1;
        }
    }
}

impl Session {
    /// Starts the query of a portal that was not asked yet.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn open(&self, portal: &Portal) -> Result<Rows, Fault> {
        let prepared = &portal.prepared;
        let declared = super::parameter::declared_kinds(&prepared.declared);
        let rows = self.ask(&prepared.sql, portal.values.clone(), declared, &portal.formats).await?;
        // What was told before is what is sent.
        Ok(match &prepared.described {
            Some(described) => rows.with_columns(Columns::new(&described.schema, &portal.formats)),
            None => rows,
        })
    }
}
