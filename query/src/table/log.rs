//! Tables over a log: sealed Parquet files that a filter cannot rule out, and what is not sealed yet.
//!
//! Log order is not promised: files are read in parallel. `ORDER BY log_index` gives it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, lit};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use schemas::Stream;
use schemas::layout::FileKind;
use store::{DataFile, LogSnapshot, Segment};

use super::{Documented, Shared, schema};
use crate::Error;
use crate::file::{Checked, SnapshotFiles};

/// How much of the sealed part the scans of one query looked at.
#[derive(Debug, Default)]
pub(crate) struct Scans {
    /// Files that manifests name.
    pub(crate) files: AtomicU64,
    /// Files that were opened.
    pub(crate) files_read: AtomicU64,
}

/// The entries of one log, or its payloads.
#[derive(Debug)]
pub(crate) struct LogTable {
    schema: SchemaRef,
    stream: Stream,
    kind: FileKind,
    log: Option<Arc<LogSnapshot>>,
    /// The logs before it, each with what its indices are less by.
    before: Vec<(Arc<LogSnapshot>, u64)>,
    shared: Shared,
}

/// A sealed file that may hold rows for the query.
struct Candidate<'a> {
    file: &'a DataFile,
    /// Of the file itself.
    statistics: Arc<Statistics>,
    /// Of its rows in answers.
    answered: Arc<Statistics>,
}

impl LogTable {
    /// The table of a stream; empty while there is no log.
    pub(super) fn entries(shared: &Shared, stream: Stream, columns: &[Documented]) -> LogTable {
        LogTable::new(shared, stream, FileKind::Segment, columns)
    }

    /// The payload side of a stream.
    pub(super) fn payloads(shared: &Shared, stream: Stream, columns: &[Documented]) -> LogTable {
        LogTable::new(shared, stream, FileKind::Payload, columns)
    }

    fn new(shared: &Shared, stream: Stream, kind: FileKind, columns: &[Documented]) -> LogTable {
        let log = shared.snapshot.log(stream).cloned();
        let before = shared.snapshot.before(stream);
        LogTable { schema: schema(columns), stream, kind, log, before, shared: shared.clone() }
    }

    /// What the manifest says of a file, as the engine wants it, its indices less by `less`.
    fn statistics(&self, segment: &Segment, file: &DataFile, less: u64) -> Statistics {
        let index = |value: u64| ScalarValue::Int64(shifted(value, less));
        let time = |us: i64| ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into()));
        let exact = |min: ScalarValue, max: ScalarValue| ColumnStatistics {
            null_count: Precision::Exact(0),
            min_value: Precision::Exact(min),
            max_value: Precision::Exact(max),
            ..ColumnStatistics::new_unknown()
        };
        let is_segment = self.kind == FileKind::Segment;
        let columns = self.schema.fields().iter().map(|field| match field.name().as_str() {
            "log_index" => exact(index(segment.first), index(segment.last.saturating_sub(1))),
            "time" if is_segment => exact(time(file.file.time_min_us), time(file.file.time_max_us)),
            _ => ColumnStatistics::new_unknown(),
        });
        Statistics {
            num_rows: usize::try_from(file.file.rows).map_or(Precision::Absent, Precision::Exact),
            total_byte_size: Precision::Absent,
            column_statistics: columns.collect(),
        }
    }

    /// The same for planning. A payload file has only the rows with a payload, so its ends may lie inside the
    /// range: good enough to rule a file out, not to answer `min(log_index)`.
    fn planning(&self, bounds: &Arc<Statistics>) -> Arc<Statistics> {
        if self.kind == FileKind::Segment {
            return Arc::clone(bounds);
        }
        let mut loose = bounds.as_ref().clone();
        loose.column_statistics =
            loose.column_statistics.into_iter().map(ColumnStatistics::to_inexact).collect();
        Arc::new(loose)
    }

    /// The sealed files that the filters do not rule out.
    fn candidates<'a>(
        &self,
        log: &'a LogSnapshot,
        less: u64,
        state: &dyn Session,
        filters: &[Expr],
    ) -> Result<Vec<Candidate<'a>>> {
        let files = log.segments.iter().filter_map(|segment| {
            let file = match self.kind {
                FileKind::Segment => Some(&segment.entries),
                FileKind::Payload => segment.payloads.as_ref(),
            }?;
            let statistics = Arc::new(self.statistics(segment, file, 0));
            let answered = match less {
                0 => Arc::clone(&statistics),
                less => Arc::new(self.statistics(segment, file, less)),
            };
            Some(Candidate { file, statistics, answered })
        });
        let files: Vec<Candidate<'_>> = files.collect();
        self.shared.scans.files.fetch_add(files.len() as u64, Ordering::Relaxed);
        let bounds = files.iter().map(|candidate| Arc::clone(&candidate.answered)).collect();
        let keep = self.may_hold(bounds, state, filters)?;
        Ok(files.into_iter().zip(keep).filter_map(|(candidate, keep)| keep.then_some(candidate)).collect())
    }

    /// Of each of these whether rows of it may pass the filters.
    fn may_hold(
        &self,
        bounds: Vec<Arc<Statistics>>,
        state: &dyn Session,
        filters: &[Expr],
    ) -> Result<Vec<bool>> {
        let all = vec![true; bounds.len()];
        let Some(filter) = conjunction(filters.to_vec()) else { return Ok(all) };
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let Ok(predicate) = state.create_physical_expr(filter, &schema).and_then(|filter| {
            PruningPredicateBuilder::new().with_file_schema(Arc::clone(&self.schema)).try_build(filter)
        }) else {
            // Not a predicate over minima and maxima: all may.
            return Ok(all);
        };
        predicate.prune(&PrunableStatistics::new(bounds, Arc::clone(&self.schema)))
    }

    /// Whether rows from before the present log are asked for.
    fn asks_before(&self, state: &dyn Session, filters: &[Expr]) -> Result<bool> {
        let mut any = Statistics::new_unknown(&self.schema);
        for (column, field) in any.column_statistics.iter_mut().zip(self.schema.fields()) {
            if field.name() == "log_index" {
                column.null_count = Precision::Exact(0);
                column.min_value = Precision::Exact(ScalarValue::Int64(Some(i64::MIN)));
                column.max_value = Precision::Exact(ScalarValue::Int64(Some(-1)));
            }
        }
        Ok(self.may_hold(vec![Arc::new(any)], state, filters)?.contains(&true))
    }

    /// Opens and checks the files, off the async threads.
    async fn check(&self, log: &LogSnapshot, candidates: &[Candidate<'_>]) -> Result<Vec<Checked>> {
        let files: Vec<DataFile> = candidates.iter().map(|candidate| candidate.file.clone()).collect();
        let (verified, origin) = (Arc::clone(&self.shared.verified), log.origin.to_string());
        let (stream, kind) = (self.stream, self.kind);
        let checked = tokio::task::spawn_blocking(move || {
            files
                .iter()
                .map(|file| verified.open(&origin, stream, kind, file))
                .collect::<crate::Result<Vec<_>>>()
        });
        let checked = checked.await.map_err(|error| Error::Internal(error.to_string()))?;
        Ok(checked?)
    }

    async fn sealed(
        &self,
        log: &LogSnapshot,
        less: u64,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let candidates = self.candidates(log, less, state, filters)?;
        if candidates.is_empty() {
            return Ok(None);
        }
        self.shared.scans.files_read.fetch_add(candidates.len() as u64, Ordering::Relaxed);
        let checked = self.check(log, &candidates).await?;
        let origin = log.origin.to_string();
        let mut files = Vec::with_capacity(checked.len());
        for (candidate, checked) in candidates.iter().zip(&checked) {
            let name = self.shared.files.admit(&origin, &candidate.file.file.path, checked)?;
            files.push(
                PartitionedFile::new(name.to_string(), checked.bytes)
                    .with_statistics(self.planning(&candidate.statistics)),
            );
        }
        let reader = CachedParquetFileReaderFactory::new(
            Arc::clone(&self.shared.files) as Arc<dyn object_store::ObjectStore>,
            state.runtime_env().cache_manager.get_file_metadata_cache(),
        );
        let source = ParquetSource::new(TableSchema::from(Arc::clone(&self.schema)))
            .with_parquet_file_reader_factory(Arc::new(reader))
            .with_pushdown_filters(self.shared.filters_in_decoder)
            .with_reorder_filters(self.shared.filters_in_decoder)
            .with_enable_page_index(true);
        let planning: Vec<Arc<Statistics>> =
            candidates.iter().map(|candidate| self.planning(&candidate.statistics)).collect();
        let statistics = Statistics::try_merge_iter(planning.iter().map(AsRef::as_ref), &self.schema)?;
        let partitions = state.config().target_partitions().max(1);
        let config = FileScanConfigBuilder::new(SnapshotFiles::url()?, Arc::new(source))
            .with_file_groups(groups(files, partitions))
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        let read: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
        Ok(Some(if less == 0 { read } else { with_indices_less(less, &read)? }))
    }

    fn unsealed(&self, projection: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>> {
        let runs = self.log.as_ref().map_or(&[][..], |log| log.unsealed.as_slice());
        let batches = runs
            .iter()
            .map(|run| match self.kind {
                FileKind::Segment => &run.entries,
                FileKind::Payload => &run.payloads,
            })
            .filter(|batch| batch.num_rows() > 0)
            .map(|batch| self.select(batch))
            .collect::<Result<Vec<RecordBatch>>>()?;
        let plan =
            MemorySourceConfig::try_new_exec(&[batches], Arc::clone(&self.schema), projection.cloned())?;
        Ok(plan)
    }

    /// The columns of the table out of a batch of the store, by name.
    fn select(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.schema.fields().iter().map(|field| {
            batch.column_by_name(field.name()).cloned().ok_or_else(|| {
                DataFusionError::from(Error::Internal(format!(
                    "unsealed rows have no column {}",
                    field.name()
                )))
            })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

fn shifted(index: u64, less: u64) -> Option<i64> {
    i64::try_from(index).ok()?.checked_sub_unsigned(less)
}

/// The same rows, their indices less by `less`.
fn with_indices_less(less: u64, rows: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = rows.schema();
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
        if field.name() != "log_index" {
            return (column, field.name().clone());
        }
        let less = lit(ScalarValue::Int64(i64::try_from(less).ok()));
        let answered: Arc<dyn PhysicalExpr> = Arc::new(BinaryExpr::new(column, Operator::Minus, less));
        (answered, field.name().clone())
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), Arc::clone(rows))?))
}

/// Spreads files over partitions by turns, so that each reads about as much.
fn groups(files: Vec<PartitionedFile>, partitions: usize) -> Vec<FileGroup> {
    let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new(); partitions.min(files.len())];
    let count = groups.len();
    for (at, file) in files.into_iter().enumerate() {
        if let Some(group) = groups.get_mut(at % count) {
            group.push(file);
        }
    }
    groups.into_iter().map(FileGroup::new).collect()
}

#[async_trait]
impl TableProvider for LogTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Err(damaged) = self.shared.snapshot.check_before(self.stream)
            && self.asks_before(state, filters)?
        {
            return Err(damaged.into());
        }
        let mut parts = Vec::new();
        for (log, less) in &self.before {
            parts.extend(self.sealed(log, *less, state, projection, filters, limit).await?);
        }
        if let Some(log) = &self.log {
            parts.extend(self.sealed(log, 0, state, projection, filters, limit).await?);
        }
        let unsealed = self.unsealed(projection)?;
        if parts.is_empty() {
            return Ok(unsealed);
        }
        parts.push(unsealed);
        UnionExec::try_new(parts)
    }
}
