//! The tables of one query: what a role may see of one tenant at one moment.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use schemas::principal::Role;
use schemas::{Column, Stream};

use crate::file::{SnapshotFiles, Verified};
use crate::policy::{Behind, Policy, PolicyTable, Treatment};
use crate::source::{STREAMS, Snapshot};
use crate::{Error, Result};

mod checkpoints;
mod columns;
mod log;
mod segments;
mod sources;

pub(crate) use log::{LogTable, Scans};
pub(crate) use sources::{NAME as SOURCES, SQL as SOURCES_SQL, is_among as names_sources};

/// What the tables of a query share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) files: Arc<SnapshotFiles>,
    pub(crate) verified: Arc<Verified>,
    pub(crate) scans: Arc<Scans>,
    pub(crate) filters_in_decoder: bool,
    /// What the role may see, where that is not everything.
    pub(crate) policy: Option<Arc<Policy>>,
    /// The key of the tenant that columns are hashed under.
    pub(crate) column_key: [u8; 32],
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

/// The columns of a stored table.
pub(crate) fn columns_of(table: &str) -> Vec<Documented> {
    let stream = STREAMS.into_iter().find(|stream| stream.name() == table);
    stream.map_or_else(|| payload_columns(Stream::Events), entry_columns)
}

/// The stored tables that `role` sees, with all their columns.
pub(crate) fn stored(role: Role) -> Vec<(&'static str, Vec<Documented>)> {
    let payloads = role.reads_payloads().then_some("payloads");
    let names = STREAMS.iter().map(|stream| stream.name()).chain(payloads);
    names.map(|name| (name, columns_of(name))).collect()
}

/// The columns of every table that `role` sees under `policy`, by name of the table.
pub(crate) fn documented(
    role: Role,
    policy: Option<&Policy>,
    of_the_past: bool,
) -> Vec<(&'static str, Vec<Documented>)> {
    let mut documented = stored(role);
    if let Some(policy) = policy {
        documented =
            documented.into_iter().map(|(name, columns)| (name, policy.visible(name, columns))).collect();
    }
    // They tell of rows that the role does not see, or of what came later.
    if !of_the_past {
        if !policy.is_some_and(Policy::filters_rows) {
            documented.push(("segments", segments::columns()));
        }
        documented.push(("checkpoints", checkpoints::columns()));
        if sources::is_there(policy) {
            documented.push((SOURCES, sources::columns()));
        }
    }
    documented.push(("columns", columns::columns()));
    documented
}

/// The tables of `documented`, by name; not `sources`, which is a question over others of them.
///
/// # Errors
/// [`Error::Internal`] when a derived table cannot be built, which is a bug.
pub(crate) fn tables(
    shared: &Shared,
    documented: &[(&'static str, Vec<Documented>)],
) -> Result<Vec<(&'static str, Arc<dyn TableProvider>)>> {
    let mut tables: Vec<(&'static str, Arc<dyn TableProvider>)> = Vec::new();
    for (name, seen) in documented.iter().filter(|(name, _)| *name != SOURCES) {
        let table = match *name {
            "segments" => in_memory(segments::rows(&shared.snapshot))?,
            "checkpoints" => in_memory(checkpoints::rows(&shared.snapshot))?,
            "columns" => in_memory(columns::rows(documented))?,
            name => stored_table(shared, name, seen),
        };
        tables.push((name, table));
    }
    Ok(tables)
}

/// A stored table, behind a wall where the role has a policy or the question is about the past.
fn stored_table(shared: &Shared, name: &'static str, seen: &[Documented]) -> Arc<dyn TableProvider> {
    let stream = STREAMS.into_iter().find(|stream| stream.name() == name);
    let columns = columns_of(name);
    let table: Arc<dyn TableProvider> = match stream {
        Some(stream) => Arc::new(LogTable::entries(shared, stream, &columns)),
        None => Arc::new(LogTable::payloads(shared, Stream::Events, &columns)),
    };
    let policy = shared.policy.as_deref();
    let until = shared.snapshot.until(stream.unwrap_or(Stream::Events));
    if policy.is_none() && until.is_none() {
        return table;
    }
    let filters_events = policy.is_some_and(|policy| policy.rows_of(Stream::Events.name()).is_some());
    let of = (stream.is_none() && filters_events).then(|| {
        let events = columns_of(Stream::Events.name());
        wall(
            shared,
            Stream::Events.name(),
            &events,
            until,
            None,
            Arc::new(LogTable::entries(shared, Stream::Events, &events)),
        )
    });
    wall(shared, name, seen, until, of, table)
}

fn wall(
    shared: &Shared,
    name: &'static str,
    seen: &[Documented],
    until: Option<u64>,
    of: Option<Arc<PolicyTable>>,
    table: Arc<dyn TableProvider>,
) -> Arc<PolicyTable> {
    let policy = shared.policy.as_deref();
    let treatment = |column| policy.map_or(Treatment::Keep, |policy| policy.treatment(name, column));
    let behind = Behind {
        columns: seen.iter().map(|column| (column.name, treatment(column.name))).collect(),
        schema: schema(seen),
        filter: policy.and_then(|policy| policy.rows_of(name)).cloned(),
        until,
        of,
        key: shared.column_key,
    };
    Arc::new(PolicyTable::new(table, behind))
}

fn in_memory(rows: Result<RecordBatch, arrow::error::ArrowError>) -> Result<Arc<dyn TableProvider>> {
    let internal = |error: String| Error::Internal(format!("derived table: {error}"));
    let rows = rows.map_err(|error| internal(error.to_string()))?;
    let table =
        MemTable::try_new(rows.schema(), vec![vec![rows]]).map_err(|error| internal(error.to_string()))?;
    Ok(Arc::new(table))
}
