//! The functions of the catalogue. What is not here is not registered, and only a session of a PostgreSQL client has
//! them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::StringArray;
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::logical_expr::ScalarUDF;
use datafusion_pg_catalog::pg_catalog::{
    array_bounds_udf, create_pg_get_partition_ancestors_udf, create_pg_table_is_visible, format_type,
    quote_ident_udf,
};

use super::Sight;
use super::objects::comments;

mod made;

use made::{Comment, OfNames, Privilege, Setting, TypeNamed, any, constant};

/// What `version()` says: clients choose their queries by it.
pub(crate) const VERSION: &str = "15.0";

/// Functions that give the same for everybody.
pub(super) fn shared() -> Vec<Arc<ScalarUDF>> {
    let none = || ScalarValue::Utf8(None);
    let mut functions = vec![
        format_type::create_format_type_udf(),
        ScalarUDF::new_from_impl(OfNames(quote_ident_udf::create_quote_ident_udf())),
        ScalarUDF::new_from_impl(OfNames(quote_ident_udf::create_parse_ident_udf())),
        array_bounds_udf::create_array_upper_udf(),
        array_bounds_udf::create_array_lower_udf(),
        create_pg_table_is_visible(),
        create_pg_get_partition_ancestors_udf(),
        constant(
            "version",
            ScalarValue::from(format!("PostgreSQL {VERSION} (Tachograph {})", env!("CARGO_PKG_VERSION"))),
        ),
        constant("current_schema", ScalarValue::from("public")),
        ScalarUDF::new_from_impl(TypeNamed { signature: any() }),
        constant("pg_encoding_to_char", ScalarValue::from("UTF8")),
        constant("pg_my_temp_schema", ScalarValue::Int32(Some(0))),
        constant("current_schemas", schemas()),
    ];
    // What these would tell of, there is none of.
    let nothing = [
        "pg_get_constraintdef",
        "pg_get_expr",
        "pg_get_function_arguments",
        "pg_get_function_identity_arguments",
        "pg_get_function_result",
        "pg_get_functiondef",
        "pg_get_indexdef",
        "pg_get_partkeydef",
        "pg_get_ruledef",
        "pg_get_serial_sequence",
        "pg_get_statisticsobjdef_columns",
        "pg_get_triggerdef",
        "pg_get_viewdef",
        "pg_tablespace_location",
        "shobj_description",
    ];
    functions.extend(nothing.map(|name| constant(name, none())));
    for name in ["pg_type_is_visible", "pg_function_is_visible", "pg_collation_is_visible"] {
        functions.push(constant(name, ScalarValue::Boolean(Some(true))));
    }
    for name in ["pg_is_in_recovery", "pg_relation_is_publishable", "pg_is_other_temp_schema"] {
        functions.push(constant(name, ScalarValue::Boolean(Some(false))));
    }
    let sizes = [
        "pg_relation_size",
        "pg_total_relation_size",
        "pg_table_size",
        "pg_indexes_size",
        "pg_database_size",
        "pg_stat_get_numscans",
    ];
    functions.extend(sizes.map(|name| constant(name, ScalarValue::Int64(Some(0)))));
    for name in [
        "has_table_privilege",
        "has_schema_privilege",
        "has_database_privilege",
        "has_any_column_privilege",
        "has_column_privilege",
        "has_function_privilege",
    ] {
        functions.push(ScalarUDF::new_from_impl(Privilege { name, signature: any() }));
    }
    functions.into_iter().map(Arc::new).collect()
}

/// Functions that answer for one client.
pub(super) fn of(sight: &Sight) -> Vec<Arc<ScalarUDF>> {
    let client = &sight.client;
    let user = || ScalarValue::from(client.user.as_str());
    let mut functions = vec![
        constant("current_database", ScalarValue::from(client.database.as_str())),
        constant("current_catalog", ScalarValue::from(client.database.as_str())),
        constant("pg_backend_pid", ScalarValue::Int32(Some(client.pid))),
        ScalarUDF::new_from_impl(Setting { client: Arc::clone(client), signature: any() }),
    ];
    for name in ["session_user", "current_user", "user", "current_role", "pg_get_userbyid"] {
        functions.push(constant(name, user()));
    }
    let found: HashMap<(i64, i64), &'static str> =
        comments(sight).map(|(table, column, comment)| ((table, column), comment)).collect();
    let found = Arc::new(found);
    for name in ["col_description", "obj_description"] {
        functions.push(ScalarUDF::new_from_impl(Comment {
            name,
            found: Arc::clone(&found),
            signature: any(),
        }));
    }
    functions.into_iter().map(Arc::new).collect()
}

fn schemas() -> ScalarValue {
    let names = Arc::new(StringArray::from(vec!["pg_catalog", "public"]));
    ScalarValue::List(Arc::new(
        SingleRowListArrayBuilder::new(names)
            .with_field(&Field::new_list_field(DataType::Utf8, true))
            .build_list_array(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_of_them_writes_or_waits() {
        let all = shared().into_iter().chain(of(&Sight::default()));
        for function in all {
            let name = function.name();
            for banned in
                ["sleep", "read_", "write", "set_config", "terminate", "cancel", "ls_dir", "lo_", "advisory"]
            {
                assert!(!name.contains(banned), "{name}");
            }
        }
    }
}
