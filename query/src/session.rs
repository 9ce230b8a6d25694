//! A session of the engine for one query: its tables, its functions, its memory, and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::config::{ConfigNonZeroUsize, Dialect};
use datafusion::datasource::ViewTable;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement;
use schemas::limits;
use schemas::principal::Role;

use crate::catalogue::{Catalogue, Client, Sight};
use crate::core::Described;
use crate::error::Stage;
use crate::function::{Budget, Functions};
use crate::guard::{Stop, guard};
use crate::memory::{Bytes, Quota};
use crate::shape::Shape;
use crate::spill::Spill;
use crate::table::{SOURCES, SOURCES_SQL, Shared, documented, names_sources, tables};
use crate::{Error, Options, Result};

const CATALOG: &str = "tacho";
const SCHEMA: &str = "public";
/// Parameters of one statement.
const PARAMETERS_MAX: usize = limits::QUERY_PARAMETERS_MAX;

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Engine {
    functions: Functions,
    catalogue: Catalogue,
    /// Holds the cache of Parquet footers.
    runtime: RuntimeEnv,
    partitions: usize,
    memory_bytes: usize,
    /// Of all queries.
    memory: Arc<Bytes>,
    spill: Option<Arc<Spill>>,
}

/// A session of the engine, and what its functions may make.
pub(crate) struct Session {
    pub(crate) state: SessionState,
    /// Where its tables are, and whether `sources` is one of them once it is asked for.
    schema: Arc<MemorySchemaProvider>,
    has_sources: bool,
    budget: Arc<Budget>,
    stop: Arc<Stop>,
}

impl Engine {
    /// # Errors
    /// [`Error::Internal`].
    pub(crate) fn new(options: &Options) -> Result<Engine> {
        let runtime = RuntimeEnvBuilder::new().build().map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Engine {
            functions: Functions::new(),
            catalogue: Catalogue::default(),
            runtime,
            partitions: options.partitions,
            memory_bytes: options.memory_bytes,
            memory: Arc::new(Bytes::new(options.memory_total_bytes)),
            spill: options.spill.clone().map(Spill::new),
        })
    }

    /// A session that sees the tables of `shared` that `role` may see, until `stop`; for a client of PostgreSQL with
    /// a catalogue that lists these.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub(crate) fn session(
        &self,
        shared: &Shared,
        role: Role,
        stop: &Arc<Stop>,
        client: Option<&Arc<Client>>,
    ) -> Result<Session> {
        let internal = |error: datafusion::common::DataFusionError| Error::Internal(error.to_string());
        let schema = Arc::new(MemorySchemaProvider::new());
        let seen = documented(role, shared.policy.as_deref(), shared.snapshot.is_of_the_past());
        for (name, table) in tables(shared, &seen)? {
            schema.register_table(name.to_string(), table).map_err(internal)?;
        }
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(SCHEMA, Arc::<MemorySchemaProvider>::clone(&schema)).map_err(internal)?;
        let has_sources = seen.iter().any(|(name, _)| *name == SOURCES);
        let disk = match &self.spill {
            Some(spill) => spill.of_a_query(shared.snapshot.tenant(), stop),
            None => DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        };
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.runtime)
            .with_memory_pool(Arc::new(Quota::new(
                self.memory_bytes,
                &self.memory,
                self.spill.is_some(),
                stop,
            )))
            .with_disk_manager_builder(disk)
            .with_object_store_registry(shared.files.registry()?)
            .build_arc()
            .map_err(internal)?;
        let builder = SessionStateBuilder::new()
            .with_config(self.config(client.map_or(CATALOG, |client| &client.database)))
            .with_runtime_env(runtime);
        let budget = Arc::new(Budget::new(Arc::clone(stop)));
        let builder = self.functions.register(builder, &budget);
        let mut state = match client {
            Some(client) => {
                let sight = Sight::new(seen, client);
                for (name, schema) in self.catalogue.schemas(&sight)? {
                    catalog.register_schema(name, schema).map_err(internal)?;
                }
                self.catalogue.register(builder, &sight).build()
            }
            None => builder.build(),
        };
        let name = client.map_or(CATALOG, |client| &client.database);
        state.catalog_list().register_catalog(name.to_string(), Arc::new(catalog));
        // What now() is while the statement is planned; without it no plan with now() can be run.
        state.mark_start_execution();
        Ok(Session { state, schema, has_sources, budget, stop: Arc::clone(stop) })
    }

    fn config(&self, catalog: &str) -> SessionConfig {
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(catalog, SCHEMA)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(false)
            .with_target_partitions(self.partitions);
        let options = config.options_mut();
        options.sql_parser.dialect = Dialect::Generic;
        options.sql_parser.collect_spans = true;
        // Views hold a value of up to 4 GiB and are not what the tables have.
        options.sql_parser.map_string_types_to_utf8view = false;
        options.execution.parquet.schema_force_view_types = false;
        options.execution.time_zone = Some("+00:00".to_string());
        options.execution.enable_recursive_ctes = false;
        // What a sort keeps back to merge what it has put on disk: each partition of it, so a small part of the quota.
        options.execution.sort_spill_reservation_bytes =
            limits::QUERY_SPILL_MERGE_BYTES.min(self.memory_bytes / limits::QUERY_SPILL_MERGE_PARTS);
        config
    }
}

impl Session {
    async fn read_only(&self, statement: Statement) -> Result<LogicalPlan> {
        let failed = |error: datafusion::common::DataFusionError| Error::engine(&error, Stage::Plan);
        let names = self.state.resolve_table_references(&statement).map_err(failed)?;
        if self.has_sources && names_sources(&names) && !self.schema.table_exist(SOURCES) {
            let sources = self.state.create_logical_plan(SOURCES_SQL).await.map_err(failed)?;
            let sources = Arc::new(ViewTable::new(sources, None));
            self.schema.register_table(SOURCES.to_string(), sources).map_err(failed)?;
        }
        let plan = self.state.statement_to_plan(statement).await.map_err(failed)?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)
            .map_err(|error| Error::Refused {
                code: "statement_not_allowed",
                detail: error.strip_backtrace(),
            })?;
        Ok(plan)
    }
}

/// Plans a checked statement.
///
/// # Errors
/// [`Error::Plan`], [`Error::Tampered`], [`Error::EarlierLogDamaged`], [`Error::Execution`] where folding a constant fails.
pub(crate) async fn plan(
    session: &mut Session,
    statement: Statement,
    params: Vec<ScalarValue>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let failed = |error: datafusion::common::DataFusionError| Error::engine(&error, Stage::Plan);
    let mut plan = session.read_only(statement).await?;
    let Session { state, budget, stop, .. } = session;
    if !params.is_empty() {
        plan = plan.with_param_values(ParamValues::from(params)).map_err(failed)?;
    }
    stop.check()?;
    let plan = state.optimize(&plan).map_err(failed)?;
    stop.check()?;
    budget.check_constants().map_err(failed)?;
    let shape = Shape::of(&plan).map_err(failed)?;
    state.config_mut().options_mut().execution.batch_size =
        ConfigNonZeroUsize::try_new(shape.rows()?).map_err(failed)?;
    budget.planned(shape.expressions);
    let physical = state.query_planner().create_physical_plan(&plan, state).await.map_err(failed)?;
    guard(physical, stop).map_err(failed)
}

/// What `statement` would give, with nulls for its parameters. `declared` are the types that the client says they have.
///
/// # Errors
/// As [`plan`].
pub(crate) async fn describe(
    session: &mut Session,
    statement: Statement,
    declared: &[Option<DataType>],
) -> Result<Described> {
    let failed = |error: datafusion::common::DataFusionError| Error::engine(&error, Stage::Plan);
    let mut plan = session.read_only(statement).await?;
    let Session { state, stop, .. } = session;
    let params = parameters(&plan, declared)?;
    if !params.is_empty() {
        let nulls = params.iter().map(ScalarValue::try_new_null).collect::<Result<Vec<_>, _>>();
        plan = plan.with_param_values(ParamValues::from(nulls.map_err(failed)?)).map_err(failed)?;
    }
    stop.check()?;
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}).map_err(failed)?;
    Ok(Described { params, schema: Arc::clone(plan.schema().inner()) })
}

/// Types of `$1`, `$2`, ...: where the client does not say, what they are compared with, else text.
fn parameters(plan: &LogicalPlan, declared: &[Option<DataType>]) -> Result<Vec<DataType>> {
    let failed = |error: datafusion::common::DataFusionError| Error::engine(&error, Stage::Plan);
    let mut found = plan.get_parameter_types().map_err(failed)?;
    plan.apply_with_subqueries(|node| node.apply_expressions(|expr| cast_parameters(expr, &mut found)))
        .map_err(failed)?;
    let number = |id: &str| id.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
    let last = found.keys().filter_map(|id| number(id)).max().unwrap_or(0);
    let count = last.max(declared.len());
    if count > PARAMETERS_MAX {
        return Err(Error::TooLarge { what: "the number of parameters", limit: PARAMETERS_MAX as u64 });
    }
    let kind = |at: usize| {
        let declared = declared.get(at).cloned().flatten();
        let inferred = found.get(&format!("${}", at + 1)).cloned().flatten();
        match (declared, inferred.filter(|kind| *kind != DataType::Null)) {
            // Which unit and zone, the client cannot say.
            (Some(DataType::Timestamp(..)) | None, Some(kind)) => kind,
            (Some(kind), _) => kind,
            (None, None) => DataType::Utf8,
        }
    };
    Ok((0..count).map(kind).collect())
}

/// A parameter that is cast has the type that it is cast to, where nothing else says.
fn cast_parameters(
    expr: &Expr,
    found: &mut HashMap<String, Option<DataType>>,
) -> datafusion::common::Result<TreeNodeRecursion> {
    expr.apply(|expr| {
        if let Expr::Cast(cast) = expr
            && let Expr::Placeholder(parameter) = cast.expr.as_ref()
            && let Some(kind @ None) = found.get_mut(&parameter.id)
        {
            *kind = Some(cast.field.data_type().clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })
}
