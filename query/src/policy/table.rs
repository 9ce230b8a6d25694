//! A stored table as a role, or a question about the past, sees it.
//!
//! ```text
//! the query's own filters, projections, joins
//!   Barrier        columns masked, hashed, left out; nothing looks through
//!     semi join    payloads alone: only those whose event the role sees
//!       Filter     the role's row filter, entries before `as_of`, and comparisons that cannot fail
//!         scan
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, JoinType, NullEquality, Result, ScalarValue};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, col, lit};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};

use super::barrier::{Barrier, Output};
use super::simple::is_simple;
use super::{KEY, Treatment, rows};
use crate::Error;

/// A stored table with what it lets out.
#[derive(Debug)]
pub(crate) struct PolicyTable {
    inner: Arc<dyn TableProvider>,
    /// What there is for the role.
    schema: SchemaRef,
    columns: Vec<(&'static str, Treatment)>,
    filter: Option<Expr>,
    /// Only rows that this table has too, by their key.
    of: Option<Arc<PolicyTable>>,
    key: [u8; 32],
}

/// What stands between a stored table and whoever asks.
#[derive(Debug)]
pub(crate) struct Behind {
    /// Every column that there is, and what becomes of it.
    pub(crate) columns: Vec<(&'static str, Treatment)>,
    /// The schema of these.
    pub(crate) schema: SchemaRef,
    /// Which rows there are, over the columns of the stored table.
    pub(crate) filter: Option<Expr>,
    /// Only entries before this one: those of an earlier moment.
    pub(crate) until: Option<u64>,
    /// Only rows whose entry this table has.
    pub(crate) of: Option<Arc<PolicyTable>>,
    /// The key that columns are hashed under.
    pub(crate) key: [u8; 32],
}

impl PolicyTable {
    /// `inner` behind the wall.
    pub(crate) fn new(inner: Arc<dyn TableProvider>, behind: Behind) -> PolicyTable {
        let Behind { columns, schema, filter, until, of, key } = behind;
        let before = until.map(|until| {
            let until = i64::try_from(until).unwrap_or(i64::MAX);
            col(KEY).lt(lit(ScalarValue::Int64(Some(until))))
        });
        let filter = conjunction(filter.into_iter().chain(before));
        PolicyTable { inner, schema, columns, filter, of, key }
    }

    fn is_kept(&self, name: &str) -> bool {
        self.columns.iter().any(|(kept, treatment)| *kept == name && *treatment == Treatment::Keep)
    }

    fn is_simple(&self, filter: &Expr) -> bool {
        is_simple(filter, &self.schema, &|name| self.is_kept(name))
    }

    /// The allowed rows, with the columns of the stored table that `names` and the filters name.
    async fn allowed(
        &self,
        state: &dyn Session,
        names: &BTreeSet<&str>,
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let simple = filters.iter().filter(|filter| self.is_simple(filter)).cloned();
        let filter = conjunction(self.filter.clone().into_iter().chain(simple));
        let whole = self.inner.schema();
        let mut wanted: BTreeSet<usize> = BTreeSet::new();
        let by_filter = filter.iter().flat_map(Expr::column_refs).map(|column| column.name.as_str());
        let by_join = self.of.iter().map(|_| KEY);
        for name in names.iter().copied().chain(by_filter).chain(by_join) {
            wanted.insert(whole.index_of(name)?);
        }
        let wanted: Vec<usize> = wanted.into_iter().collect();
        let pruning: Vec<Expr> = filter.iter().cloned().collect();
        let mut plan = self.inner.scan(state, Some(&wanted), &pruning, None).await?;
        if let Some(filter) = filter {
            let schema = DFSchema::try_from(Schema::clone(&plan.schema()))?;
            let predicate = rows::coerced(&filter, &schema)?;
            plan = Arc::new(FilterExec::try_new(predicate, plan)?);
        }
        match &self.of {
            Some(of) => {
                // What rules out a row of this table by its key rules out its event as well.
                let by_key: Vec<Expr> =
                    filters.iter().filter(|filter| names_only_the_key(filter)).cloned().collect();
                let events = Box::pin(of.allowed(state, &BTreeSet::from([KEY]), &by_key)).await?;
                semi_join(events, plan)
            }
            None => Ok(plan),
        }
    }
}

fn names_only_the_key(filter: &Expr) -> bool {
    filter.column_refs().iter().all(|column| column.name == KEY)
}

/// The rows of `rows` whose key is among those of `events`.
fn semi_join(events: Arc<dyn ExecutionPlan>, rows: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let key = |plan: &Arc<dyn ExecutionPlan>| -> Result<_> {
        Ok(Arc::new(Column::new_with_schema(KEY, &plan.schema())?) as _)
    };
    let on = vec![(key(&events)?, key(&rows)?)];
    let events = Arc::new(CoalescePartitionsExec::new(events));
    let join = HashJoinExec::try_new(
        events,
        rows,
        on,
        None,
        &JoinType::RightSemi,
        None,
        PartitionMode::CollectLeft,
        NullEquality::NullEqualsNothing,
        false,
    )?;
    Ok(Arc::new(join))
}

#[async_trait]
impl TableProvider for PolicyTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let below = filters.iter().map(|filter| match self.is_simple(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        });
        Ok(below.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let projection = projection.unwrap_or(&all);
        let mut columns = Vec::with_capacity(projection.len());
        for at in projection {
            let column = self.columns.get(*at).ok_or_else(|| {
                Error::Internal(format!("a scan asks for column {at} of {}", self.columns.len()))
            })?;
            columns.push(*column);
        }
        let names: BTreeSet<&str> = columns.iter().map(|(name, _)| *name).collect();
        let allowed = self.allowed(state, &names, filters).await?;
        let input = allowed.schema();
        let outputs = columns
            .iter()
            .map(|(name, treatment)| Ok(Output { input: input.index_of(name)?, name, treatment: *treatment }))
            .collect::<Result<Vec<Output>>>()?;
        let schema = Arc::new(self.schema.project(projection)?);
        Ok(Arc::new(Barrier::new(allowed, schema, outputs, self.key)))
    }
}
