//! What is asked: one statement of a principal's own, or several of ours that belong together.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use tokio_util::sync::CancellationToken;

use crate::catalogue::Client;
use crate::{AsOf, Error, Result};

/// One question.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The SQL text: one statement.
    pub sql: String,
    /// Values of `$1`, `$2`, ...
    pub params: Vec<ScalarValue>,
    /// Name of the answer format, for the access log.
    pub format: Option<&'static str>,
    /// Rows over which the answer is refused, if fewer than the service's own limit.
    pub rows_max: Option<u64>,
    /// An earlier moment that the question is about.
    pub as_of: Option<AsOf>,
}

/// A value of a part of a [`Job`].
#[derive(Debug, Clone)]
pub(crate) enum Param {
    Value(ScalarValue),
    /// From the first row of an earlier part.
    Before {
        part: usize,
        column: usize,
    },
}

impl Param {
    /// A text.
    pub(crate) fn text(text: &str) -> Param {
        Param::Value(ScalarValue::Utf8(Some(text.to_string())))
    }

    pub(super) fn resolve(self, before: &[Vec<RecordBatch>]) -> Result<ScalarValue> {
        let (part, column) = match self {
            Param::Value(value) => return Ok(value),
            Param::Before { part, column } => (part, column),
        };
        let batch = before.get(part).and_then(|batches| batches.first()).filter(|batch| batch.num_rows() > 0);
        match batch.and_then(|batch| batch.columns().get(column)) {
            Some(array) => ScalarValue::try_from_array(array, 0).map_err(|error| super::run_error(&error)),
            None => Err(Error::Internal(format!("part {part} gave no column {column}"))),
        }
    }
}

/// What runs as one query: statements of which all but the last are collected, over one snapshot.
#[derive(Default)]
pub(crate) struct Job {
    pub(crate) action: &'static str,
    /// What the access log shows.
    pub(crate) statement: String,
    pub(crate) parts: Vec<(String, Vec<Param>)>,
    pub(crate) format: Option<&'static str>,
    pub(crate) rows_max: Option<u64>,
    /// Whether it is a gate: texts of ours whose answer is a few numbers about the whole tenant, for roles that may not
    /// ask SQL.
    pub(crate) is_gate: bool,
    /// An earlier moment that the question is about.
    pub(crate) as_of: Option<AsOf>,
    /// Milliseconds it may run, if fewer than the service's own limit.
    pub(crate) deadline_ms: Option<u64>,
    /// Cancelled when whoever asked no longer wants it; of this query alone.
    pub(crate) gone: CancellationToken,
    /// A client that speaks PostgreSQL's SQL and sees its catalogue, and not the plain door.
    pub(crate) client: Option<Arc<Client>>,
}
