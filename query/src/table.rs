//! The tables of one query: what a role may see of one tenant at one moment.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use schemas::principal::Role;
use schemas::{Column, Stream};

use crate::file::{SnapshotFiles, Verified};
use crate::source::{STREAMS, Snapshot};
use crate::{Error, Result};

mod checkpoints;
mod columns;
mod log;
mod segments;

pub(crate) use log::{LogTable, Scans};

/// What the tables of a query share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) files: Arc<SnapshotFiles>,
    pub(crate) verified: Arc<Verified>,
    pub(crate) scans: Arc<Scans>,
    pub(crate) filters_in_decoder: bool,
}

/// A column with its sentence for people.
#[derive(Debug, Clone)]
pub(crate) struct Documented {
    pub(crate) name: &'static str,
    pub(crate) kind: DataType,
    pub(crate) nullable: bool,
    pub(crate) doc: &'static str,
}

impl Documented {
    /// A column of a derived table.
    pub(crate) const fn new(name: &'static str, kind: DataType, doc: &'static str) -> Documented {
        Documented { name, kind, nullable: true, doc }
    }

    /// A column of a stream. Field ids stay out: in a join they would meet those of another stream.
    fn of(column: &Column) -> Documented {
        Documented {
            name: column.name,
            kind: column.kind.data_type(),
            nullable: !column.required,
            doc: column.doc,
        }
    }
}

/// The Arrow schema of `columns`.
pub(crate) fn schema(columns: &[Documented]) -> SchemaRef {
    let fields: Vec<Field> =
        columns.iter().map(|column| Field::new(column.name, column.kind.clone(), column.nullable)).collect();
    Arc::new(Schema::new(fields))
}

/// The type of every time.
pub(crate) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The columns of the table of a stream.
pub(crate) fn entry_columns(stream: Stream) -> Vec<Documented> {
    stream.entry_columns().map(Documented::of).collect()
}

/// The columns of the table of payloads: never the salt, from which an erased value could be guessed.
pub(crate) fn payload_columns(stream: Stream) -> Vec<Documented> {
    let index = stream.column("log_index").into_iter();
    index.chain(stream.payload_columns()).map(Documented::of).collect()
}

/// The columns of every table that `role` sees, by name of the table.
pub(crate) fn documented(role: Role) -> Vec<(&'static str, Vec<Documented>)> {
    let mut documented: Vec<(&'static str, Vec<Documented>)> =
        STREAMS.map(|stream| (stream.name(), entry_columns(stream))).into();
    if role.reads_payloads() {
        documented.push(("payloads", payload_columns(Stream::Events)));
    }
    documented.push(("segments", segments::columns()));
    documented.push(("checkpoints", checkpoints::columns()));
    documented.push(("columns", columns::columns()));
    documented
}

/// The tables that `role` sees, by name.
///
/// # Errors
/// [`Error::Internal`] when a derived table cannot be built, which is a bug.
pub(crate) fn tables(shared: &Shared, role: Role) -> Result<Vec<(&'static str, Arc<dyn TableProvider>)>> {
    let mut tables: Vec<(&'static str, Arc<dyn TableProvider>)> = Vec::new();
    for stream in STREAMS {
        tables.push((stream.name(), Arc::new(LogTable::entries(shared, stream, &entry_columns(stream)))));
    }
    if role.reads_payloads() {
        let columns = payload_columns(Stream::Events);
        tables.push(("payloads", Arc::new(LogTable::payloads(shared, Stream::Events, &columns))));
    }
    tables.push(("segments", in_memory(segments::rows(&shared.snapshot))?));
    tables.push(("checkpoints", in_memory(checkpoints::rows(&shared.snapshot))?));
    tables.push(("columns", in_memory(columns::rows(&documented(role)))?));
    Ok(tables)
}

fn in_memory(rows: Result<RecordBatch, arrow::error::ArrowError>) -> Result<Arc<dyn TableProvider>> {
    let internal = |error: String| Error::Internal(format!("derived table: {error}"));
    let rows = rows.map_err(|error| internal(error.to_string()))?;
    let table =
        MemTable::try_new(rows.schema(), vec![vec![rows]]).map_err(|error| internal(error.to_string()))?;
    Ok(Arc::new(table))
}
