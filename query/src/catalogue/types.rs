//! Names of types that PostgreSQL has and the engine does not know.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::DataType as SqlType;
use datafusion_pg_catalog::pg_catalog::oid_type_planner::PgOidTypePlanner;

/// Oids and their aliases, and texts by other names.
#[derive(Debug, Default)]
pub(super) struct Types {
    oids: PgOidTypePlanner,
}

impl TypePlanner for Types {
    fn plan_type_field(&self, kind: &SqlType) -> Result<Option<FieldRef>> {
        if let Some(field) = self.oids.plan_type_field(kind)? {
            return Ok(Some(field));
        }
        let SqlType::Custom(name, _) = kind else { return Ok(None) };
        let last = name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase());
        let is_text = last.is_some_and(|name| {
            matches!(
                name.as_str(),
                "name" | "char" | "sql_identifier" | "character_data" | "yes_or_no" | "unknown"
            )
        });
        Ok(is_text.then(|| Arc::new(Field::new("", DataType::Utf8, true))))
    }
}
