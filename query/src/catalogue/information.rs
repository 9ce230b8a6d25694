//! `information_schema`: the tables and columns of a role in the words of the SQL standard.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::Result;

use super::Sight;
use super::fill::{self, Row, int, text};
use super::kind::standard_name;
use super::objects::column_type;

/// What is there. All others that the standard names would be empty, and nobody asks for them.
pub(super) const NAMES: [&str; 9] = [
    "schemata",
    "tables",
    "columns",
    "views",
    "table_constraints",
    "key_column_usage",
    "referential_constraints",
    "constraint_column_usage",
    "routines",
];

/// A column of numbers begins with `#`.
fn columns(name: &str) -> &'static [&'static str] {
    match name {
        "schemata" => &["catalog_name", "schema_name", "schema_owner", "default_character_set_name"],
        "tables" => {
            &["table_catalog", "table_schema", "table_name", "table_type", "is_insertable_into", "is_typed"]
        }
        "columns" => &[
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "#ordinal_position",
            "column_default",
            "is_nullable",
            "data_type",
            "#character_maximum_length",
            "#character_octet_length",
            "#numeric_precision",
            "#numeric_precision_radix",
            "#numeric_scale",
            "#datetime_precision",
            "collation_name",
            "domain_name",
            "udt_catalog",
            "udt_schema",
            "udt_name",
            "is_identity",
            "is_generated",
            "generation_expression",
            "is_updatable",
        ],
        "views" => &["table_catalog", "table_schema", "table_name", "view_definition"],
        "table_constraints" => &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "constraint_type",
        ],
        "key_column_usage" => &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "#ordinal_position",
            "#position_in_unique_constraint",
        ],
        "referential_constraints" => &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "unique_constraint_catalog",
            "unique_constraint_schema",
            "unique_constraint_name",
            "update_rule",
            "delete_rule",
        ],
        "constraint_column_usage" => &[
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "constraint_schema",
            "constraint_name",
        ],
        "routines" => &["specific_schema", "specific_name", "routine_schema", "routine_name", "routine_type"],
        _ => &[],
    }
}

fn rows(name: &str, sight: &Sight) -> Vec<Row> {
    let database = || text(&sight.client.database);
    match name {
        "schemata" => ["public", "pg_catalog", "information_schema"]
            .map(|schema| {
                vec![
                    ("catalog_name", database()),
                    ("schema_name", text(schema)),
                    ("schema_owner", text(&sight.client.user)),
                ]
            })
            .into(),
        "tables" => sight
            .tables
            .iter()
            .map(|(table, _)| {
                vec![
                    ("table_catalog", database()),
                    ("table_schema", text("public")),
                    ("table_name", text(*table)),
                    ("table_type", text("BASE TABLE")),
                    ("is_insertable_into", text("NO")),
                    ("is_typed", text("NO")),
                ]
            })
            .collect(),
        "columns" => column_rows(sight),
        _ => Vec::new(),
    }
}

fn column_rows(sight: &Sight) -> Vec<Row> {
    let columns = sight
        .tables
        .iter()
        .flat_map(|(table, columns)| (1..).zip(columns).map(|(place, column)| (*table, place, column)));
    columns
        .map(|(table, place, column)| {
            let kind = column_type(column);
            let mut row = vec![
                ("table_catalog", text(&sight.client.database)),
                ("table_schema", text("public")),
                ("table_name", text(table)),
                ("column_name", text(column.name)),
                ("ordinal_position", int(place)),
                ("is_nullable", text(if column.nullable { "YES" } else { "NO" })),
                ("data_type", text(standard_name(&kind))),
                ("udt_catalog", text(&sight.client.database)),
                ("udt_schema", text("pg_catalog")),
                ("udt_name", text(kind.name())),
                ("is_identity", text("NO")),
                ("is_generated", text("NEVER")),
                ("is_updatable", text("NO")),
            ];
            match standard_name(&kind) {
                "bigint" => row.extend([
                    ("numeric_precision", int(64)),
                    ("numeric_precision_radix", int(2)),
                    ("numeric_scale", int(0)),
                ]),
                "timestamp with time zone" => row.push(("datetime_precision", int(6))),
                _ => {}
            }
            row
        })
        .collect()
}

/// The table called `name`.
///
/// # Errors
/// Where it cannot be built, which is a bug.
pub(super) fn table(name: &str, sight: &Sight) -> Result<Option<Arc<dyn TableProvider>>> {
    if !NAMES.contains(&name) {
        return Ok(None);
    }
    let field = |column: &&str| match column.strip_prefix('#') {
        Some(number) => Field::new(number, DataType::Int32, true),
        None => Field::new(*column, DataType::Utf8, true),
    };
    let schema = Arc::new(Schema::new(columns(name).iter().map(field).collect::<Vec<_>>()));
    fill::table(&schema, &rows(name, sight)).map(Some)
}
