//! The catalogue that clients of PostgreSQL expect: `pg_catalog`, `information_schema`, and the functions that go with
//! them.
//!
//! What is the same in every PostgreSQL (types, functions, keywords) comes from `datafusion-pg-catalog`; what is here
//! (tables, columns, comments, one database, one role) is made from the same list of columns as the tables
//! themselves.
//!
//! Invariants
//! - A role finds its own tables and nothing else: no other tenant, role, session or setting of the service.
//! - A table has the same oid in every session.
//! - Functions are an explicit list, and no session but one of a PostgreSQL client has them.
//!
//! It must not know: the wire, the record's rows.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::DataType;
use async_trait::async_trait;
use datafusion::catalog::{MemoryCatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::ScalarUDF;
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::pg_catalog::{
    PG_CATALOG_TABLES, PgCatalogSchemaProvider, PgCatalogStaticTables, PgCatalogTable,
};

use crate::table::Documented;
use crate::{Error, Result};

mod fill;
mod functions;
mod information;
mod kind;
mod objects;
mod types;

pub(crate) use functions::VERSION;
pub(crate) use kind::{Kind, type_of};
pub(crate) use objects::EMPTY;

/// A client of PostgreSQL, as its catalogue and its functions name it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    /// The principal.
    pub(crate) user: String,
    /// The database that it is connected to.
    pub(crate) database: String,
    /// Number of its connection.
    pub(crate) pid: i32,
    /// What `SHOW` says.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Types of the parameters of the statement at hand, where it says them.
    pub(crate) types: Vec<Option<DataType>>,
}

/// A table that is filled for each session, or one that is the same for all.
enum Stock {
    Same(Arc<dyn TableProvider>),
    Filled(arrow::datatypes::SchemaRef),
}

/// What all sessions share.
#[derive(Default)]
pub(crate) struct Catalogue {
    stock: OnceLock<Result<Arc<HashMap<String, Stock>>>>,
    functions: OnceLock<Vec<Arc<ScalarUDF>>>,
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalogue").finish_non_exhaustive()
    }
}

fn internal(error: &DataFusionError) -> Error {
    Error::Internal(format!("catalogue: {}", error.strip_backtrace()))
}

impl Catalogue {
    /// The schemas beside that of the record, by name.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub(crate) fn schemas(&self, sight: &Sight) -> Result<[(&'static str, Arc<dyn SchemaProvider>); 2]> {
        let stock = self.stock.get_or_init(|| stock().map(Arc::new)).clone()?;
        let information = Arc::new(Information(sight.clone()));
        let system = Arc::new(System { stock, sight: sight.clone() });
        Ok([("pg_catalog", system), ("information_schema", information)])
    }

    /// Adds the functions and types of the catalogue to a session.
    pub(crate) fn register(&self, mut builder: SessionStateBuilder, sight: &Sight) -> SessionStateBuilder {
        let shared = self.functions.get_or_init(functions::shared);
        let own = functions::of(sight);
        builder.scalar_functions().get_or_insert_default().extend(shared.iter().cloned().chain(own));
        builder.with_type_planner(Arc::new(types::Types::default()))
    }
}

/// What there is to see for one client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sight {
    tables: Arc<Vec<(&'static str, Vec<Documented>)>>,
    client: Arc<Client>,
}

impl Sight {
    /// The tables that the principal sees, for its client.
    pub(crate) fn new(tables: Vec<(&'static str, Vec<Documented>)>, client: &Arc<Client>) -> Sight {
        Sight { tables: Arc::new(tables), client: Arc::clone(client) }
    }
}

fn stock() -> Result<HashMap<String, Stock>> {
    let fixed = Arc::new(PgCatalogStaticTables::try_new().map_err(|error| internal(&error))?);
    let nothing: Arc<dyn datafusion::catalog::CatalogProviderList> =
        Arc::new(MemoryCatalogProviderList::new());
    let provider = PgCatalogSchemaProvider::try_new(nothing, Arc::clone(&fixed), EmptyContextProvider)
        .map_err(|error| internal(&error))?;
    let mut stock = HashMap::new();
    for name in PG_CATALOG_TABLES {
        let Some(table) = provider.build_table_by_name(name).map_err(|error| internal(&error))? else {
            continue;
        };
        let table = match table {
            PgCatalogTable::Static(_) if *name != "pg_description" && !EMPTY.contains(name) => {
                let table = table.try_into_table_provider().map_err(|error| internal(&error))?;
                Stock::Same(table)
            }
            // Rows of objects that are not here, or none: these are filled.
            other => Stock::Filled(objects::complete(name, &other.schema())),
        };
        stock.insert((*name).to_string(), table);
    }
    let keywords = fixed.pg_get_keywords.try_into_memtable().map_err(|error| internal(&error))?;
    stock.insert("pg_get_keywords".to_string(), Stock::Same(keywords));
    Ok(stock)
}

/// `pg_catalog`.
struct System {
    stock: Arc<HashMap<String, Stock>>,
    sight: Sight,
}

impl std::fmt::Debug for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("System").finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for System {
    fn table_names(&self) -> Vec<String> {
        self.stock.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        match self.stock.get(name) {
            Some(Stock::Same(table)) => Ok(Some(Arc::clone(table))),
            Some(Stock::Filled(schema)) => {
                let rows = objects::rows(name, &self.sight);
                Ok(Some(fill::table(schema, &rows)?))
            }
            None => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.stock.contains_key(name)
    }
}

/// `information_schema`.
#[derive(Debug)]
struct Information(Sight);

#[async_trait]
impl SchemaProvider for Information {
    fn table_names(&self) -> Vec<String> {
        information::NAMES.iter().map(ToString::to_string).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        information::table(name, &self.0)
    }

    fn table_exist(&self, name: &str) -> bool {
        information::NAMES.contains(&name)
    }
}
