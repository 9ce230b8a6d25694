//! What of `pg_catalog` says what there is here: one database, three schemas, one role, the tables, their columns and
//! the sentences that explain them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_pg_catalog::pg_catalog::PG_CATALOG_TABLES;
use pgwire::api::Type;

use super::Sight;
use super::fill::{Row, bool, int, text};
use super::kind::{type_length, type_of};
use crate::table::Documented;

/// Tables that have no rows here, whatever a PostgreSQL would have in them: there are no constraints, indexes, triggers,
/// collations but one, extensions or servers, and nobody else's comments.
pub(crate) const EMPTY: [&str; 38] = [
    "pg_attrdef",
    "pg_auth_members",
    "pg_authid",
    "pg_collation",
    "pg_constraint",
    "pg_db_role_setting",
    "pg_default_acl",
    "pg_depend",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_index",
    "pg_inherits",
    "pg_init_privs",
    "pg_largeobject",
    "pg_largeobject_metadata",
    "pg_matviews",
    "pg_partitioned_table",
    "pg_policy",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_replication_slots",
    "pg_rewrite",
    "pg_seclabel",
    "pg_sequence",
    "pg_shdepend",
    "pg_shdescription",
    "pg_statistic",
    "pg_statistic_ext",
    "pg_subscription",
    "pg_subscription_rel",
    "pg_statistic_ext_data",
    "pg_trigger",
    "pg_user_mapping",
    "pg_views",
];

/// Oids of schemas, as every PostgreSQL has them.
const CATALOGUE: i64 = 11;
const PUBLIC: i64 = 2200;
const INFORMATION: i64 = 13_000;
/// Oid of the one role and owner.
const OWNER: i64 = 10;
const DATABASE: i64 = 16_383;
/// Oid of `pg_class`, to which comments on tables and columns belong.
const CLASSES: i64 = 1259;
/// Oid of the first of the record's tables.
const FIRST_TABLE: i64 = 16_384;
/// Oid of the first table of the catalogue that has none of its own here.
const FIRST_SYSTEM_TABLE: i64 = 12_000;
/// Every table of the record in the order of their oids. New ones go to the end.
const TABLES: [&str; 8] =
    ["events", "alerts", "access", "payloads", "segments", "checkpoints", "columns", "sources"];

/// Oids of catalogue tables that clients ask for by name.
const SYSTEM: [(&str, i64); 14] = [
    ("pg_class", CLASSES),
    ("pg_type", 1247),
    ("pg_attribute", 1249),
    ("pg_proc", 1255),
    ("pg_database", 1262),
    ("pg_authid", 1260),
    ("pg_attrdef", 2604),
    ("pg_constraint", 2606),
    ("pg_description", 2609),
    ("pg_index", 2610),
    ("pg_namespace", 2615),
    ("pg_rewrite", 2618),
    ("pg_trigger", 2620),
    ("pg_extension", 3079),
];

/// The oid of a table of the record.
fn table_oid(name: &str) -> i64 {
    let place = TABLES.iter().position(|table| *table == name).unwrap_or(TABLES.len());
    FIRST_TABLE + place as i64
}

/// The columns of a filled table, with those that clients ask for and `datafusion-pg-catalog` leaves out.
pub(super) fn complete(name: &str, schema: &SchemaRef) -> SchemaRef {
    if name != "pg_class" {
        return Arc::clone(schema);
    }
    let texts = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let more = ["reloptions", "relacl"].map(|name| Arc::new(Field::new(name, texts.clone(), true)));
    Arc::new(Schema::new(schema.fields().iter().cloned().chain(more).collect::<Vec<_>>()))
}

/// The rows of table `name` of the catalogue.
pub(super) fn rows(name: &str, sight: &Sight) -> Vec<Row> {
    match name {
        "pg_class" => classes(sight),
        "pg_attribute" => attributes(sight),
        "pg_namespace" => {
            [("pg_catalog", CATALOGUE), ("public", PUBLIC), ("information_schema", INFORMATION)]
                .map(|(name, oid)| vec![("oid", int(oid)), ("nspname", text(name)), ("nspowner", int(OWNER))])
                .into()
        }
        "pg_database" => vec![database(sight)],
        "pg_roles" => vec![vec![
            ("oid", int(OWNER)),
            ("rolname", text(&sight.client.user)),
            ("rolsuper", bool(false)),
            ("rolinherit", bool(true)),
            ("rolcreaterole", bool(false)),
            ("rolcreatedb", bool(false)),
            ("rolcanlogin", bool(true)),
            ("rolreplication", bool(false)),
            ("rolconnlimit", int(-1)),
            ("rolbypassrls", bool(false)),
        ]],
        "pg_tables" => sight
            .tables
            .iter()
            .map(|(table, _)| {
                vec![
                    ("schemaname", text("public")),
                    ("tablename", text(*table)),
                    ("tableowner", text(&sight.client.user)),
                ]
            })
            .collect(),
        "pg_settings" => sight
            .client
            .settings
            .iter()
            .map(|(name, value)| {
                let value = text(value);
                vec![("name", text(*name)), ("setting", value.clone()), ("reset_val", value)]
            })
            .collect(),
        "pg_description" => comments(sight)
            .map(|(table, column, comment)| {
                vec![
                    ("objoid", int(table)),
                    ("classoid", int(CLASSES)),
                    ("objsubid", int(column)),
                    ("description", text(comment)),
                ]
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn classes(sight: &Sight) -> Vec<Row> {
    let class = |oid: i64, name: &str, schema: i64, columns: usize| -> Row {
        vec![
            ("oid", int(oid)),
            ("relname", text(name)),
            ("relnamespace", int(schema)),
            ("relowner", int(OWNER)),
            // `heap`, the only access method of tables.
            ("relam", int(2)),
            ("relfilenode", int(oid)),
            ("reltuples", int(-1)),
            ("relpersistence", text("p")),
            ("relkind", text("r")),
            ("relnatts", int(columns as i64)),
            ("relispopulated", bool(true)),
            ("relreplident", text("n")),
            ("reloftype", int(0)),
        ]
    };
    let own = sight.tables.iter().map(|(name, columns)| class(table_oid(name), name, PUBLIC, columns.len()));
    let system = (FIRST_SYSTEM_TABLE..).zip(PG_CATALOG_TABLES).map(|(place, name)| {
        let own = SYSTEM.iter().find(|(known, _)| known == name);
        class(own.map_or(place, |(_, oid)| *oid), name, CATALOGUE, 0)
    });
    own.chain(system).collect()
}

/// The type of a column.
pub(super) fn column_type(column: &Documented) -> Type {
    type_of(&Field::new(column.name, column.kind.clone(), column.nullable)).0
}

fn attributes(sight: &Sight) -> Vec<Row> {
    let columns = sight
        .tables
        .iter()
        .flat_map(|(table, columns)| (1..).zip(columns).map(|(place, column)| (*table, place, column)));
    columns
        .map(|(table, place, column)| {
            let kind = column_type(column);
            let length = type_length(&kind);
            let is_array = kind.name().starts_with('_');
            vec![
                ("attrelid", int(table_oid(table))),
                ("attname", text(column.name)),
                ("atttypid", int(i64::from(kind.oid()))),
                ("attstattarget", int(-1)),
                ("attlen", int(length)),
                ("attnum", int(place)),
                ("attndims", int(i64::from(is_array))),
                ("attcacheoff", int(-1)),
                ("atttypmod", int(-1)),
                ("attbyval", bool(length > 0)),
                ("attalign", text(if length == 8 { "d" } else { "i" })),
                ("attstorage", text(if length > 0 { "p" } else { "x" })),
                ("attnotnull", bool(!column.nullable)),
                ("attislocal", bool(true)),
                // The default collation, of types that have one.
                ("attcollation", int(if kind == Type::TEXT || kind == Type::TEXT_ARRAY { 100 } else { 0 })),
            ]
        })
        .collect()
}

fn database(sight: &Sight) -> Row {
    vec![
        ("oid", int(DATABASE)),
        ("datname", text(&sight.client.database)),
        ("datdba", int(OWNER)),
        // UTF8.
        ("encoding", int(6)),
        ("datlocprovider", text("c")),
        ("datcollate", text("C.UTF-8")),
        ("datctype", text("C.UTF-8")),
        ("datallowconn", bool(true)),
        ("datconnlimit", int(-1)),
        ("dattablespace", int(1663)),
    ]
}

/// Table, column (0 for the table itself) and what is said of it.
pub(super) fn comments(sight: &Sight) -> impl Iterator<Item = (i64, i64, &'static str)> {
    sight.tables.iter().flat_map(|(table, columns)| {
        let oid = table_oid(table);
        (1..).zip(columns).map(move |(place, column)| (oid, place, column.doc))
    })
}

#[cfg(test)]
mod tests {
    use schemas::principal::Role;

    use super::*;
    use crate::table::documented;

    #[test]
    fn every_table_has_an_oid_of_its_own() {
        let tables: Vec<&str> = documented(Role::Admin, None, false).iter().map(|(name, _)| *name).collect();
        for table in &tables {
            assert!(TABLES.contains(table), "{table} goes to the end of TABLES");
        }
    }
}
