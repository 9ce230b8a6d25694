//! The functions of the catalogue. What is not here is not registered, and only a session of a PostgreSQL client has
//! them.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, Int32Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion_pg_catalog::pg_catalog::{
    array_bounds_udf, create_pg_get_partition_ancestors_udf, create_pg_table_is_visible, format_type,
    quote_ident_udf,
};
use pgwire::api::Type;

use super::objects::comments;
use super::{Client, Sight};

/// What `version()` says: clients choose their queries by it.
pub(crate) const VERSION: &str = "15.0";

/// Functions that give the same for everybody.
pub(super) fn shared() -> Vec<Arc<ScalarUDF>> {
    let none = || ScalarValue::Utf8(None);
    let mut functions = vec![
        format_type::create_format_type_udf(),
        quote_ident_udf::create_quote_ident_udf(),
        quote_ident_udf::create_parse_ident_udf(),
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

/// Any arguments, or none.
fn any() -> Signature {
    Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], Volatility::Immutable)
}

fn constant(name: &'static str, value: ScalarValue) -> ScalarUDF {
    ScalarUDF::new_from_impl(Constant { name, value, signature: any() })
}

/// Gives one value, whatever its arguments.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    value: ScalarValue,
    signature: Signature,
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}

/// Whether a privilege, the last argument, is one to read.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Privilege {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Privilege {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let asked = args.args.last().cloned().unwrap_or(ColumnarValue::Scalar(ScalarValue::Utf8(None)));
        each(&asked, args.number_rows, |asked| {
            let asked = asked.to_lowercase();
            let reads = ["select", "usage", "connect", "execute"];
            Ok(reads.iter().any(|privilege| asked.contains(privilege)))
        })
    }
}

/// `f` of every text of `value`; null of null.
fn each(value: &ColumnarValue, rows: usize, f: impl Fn(&str) -> Result<bool>) -> Result<ColumnarValue> {
    let texts = cast(value.to_array(rows)?.as_ref(), &DataType::Utf8)?;
    let all = texts.as_string::<i32>().iter().map(|text| text.map(&f).transpose());
    Ok(ColumnarValue::Array(Arc::new(all.collect::<Result<BooleanArray>>()?)))
}

/// `to_regtype(name)`: the oid of a type, null where there is none.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeNamed {
    signature: Signature,
}

impl ScalarUDFImpl for TypeNamed {
    fn name(&self) -> &str {
        "to_regtype"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let known = [
            Type::BOOL,
            Type::BYTEA,
            Type::DATE,
            Type::FLOAT4,
            Type::FLOAT8,
            Type::INT2,
            Type::INT4,
            Type::INT8,
            Type::JSON,
            Type::NUMERIC,
            Type::TEXT,
            Type::TIMESTAMP,
            Type::TIMESTAMPTZ,
            Type::VARCHAR,
        ];
        let Some(names) = args.args.first() else {
            return Err(DataFusionError::Plan("to_regtype needs the name of a type".to_string()));
        };
        let names = cast(names.to_array(args.number_rows)?.as_ref(), &DataType::Utf8)?;
        let oid = |name: &str| known.iter().find(|kind| kind.name() == name).map(|kind| kind.oid() as i32);
        let oids = names.as_string::<i32>().iter().map(|name| name.and_then(oid));
        Ok(ColumnarValue::Array(Arc::new(oids.collect::<Int32Array>())))
    }
}

/// The comment on a column or a table.
#[derive(Debug)]
struct Comment {
    name: &'static str,
    found: Arc<HashMap<(i64, i64), &'static str>>,
    signature: Signature,
}

impl PartialEq for Comment {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Comment {}

impl Hash for Comment {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Comment {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let numbers = |at: usize| match args.args.get(at) {
            Some(value) => {
                cast(value.to_array(args.number_rows)?.as_ref(), &DataType::Int32).map_err(Into::into)
            }
            None => ScalarValue::Int32(Some(0)).to_array_of_size(args.number_rows),
        };
        let tables = numbers(0)?;
        // The second argument of the other is the name of a catalogue, and only one has comments.
        let columns = match self.name {
            "col_description" => numbers(1)?,
            _ => ScalarValue::Int32(Some(0)).to_array_of_size(args.number_rows)?,
        };
        let (tables, columns) = (tables.as_primitive::<Int32Type>(), columns.as_primitive::<Int32Type>());
        let found = tables
            .iter()
            .zip(columns.iter())
            .map(|(table, column)| self.found.get(&(i64::from(table?), i64::from(column?))).copied());
        Ok(ColumnarValue::Array(Arc::new(found.collect::<StringArray>())))
    }
}

/// `current_setting(name [, missing_ok])`.
#[derive(Debug)]
struct Setting {
    client: Arc<Client>,
    signature: Signature,
}

impl PartialEq for Setting {
    fn eq(&self, _: &Self) -> bool {
        // Within one session there is one client.
        true
    }
}

impl Eq for Setting {}

impl Hash for Setting {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl ScalarUDFImpl for Setting {
    fn name(&self) -> &str {
        "current_setting"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let missing_ok =
            matches!(args.args.get(1), Some(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true)))));
        let Some(names) = args.args.first() else {
            return Err(DataFusionError::Plan("current_setting needs the name of a setting".to_string()));
        };
        let names = cast(names.to_array(args.number_rows)?.as_ref(), &DataType::Utf8)?;
        let value = |name: &str| {
            let found = self.client.settings.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            match found {
                Some((_, value)) => Ok(Some(value.as_str())),
                None if missing_ok => Ok(None),
                None => {
                    Err(DataFusionError::Execution(format!("unrecognized configuration parameter {name:?}")))
                }
            }
        };
        let all = names.as_string::<i32>().iter().map(|name| name.map_or(Ok(None), value));
        Ok(ColumnarValue::Array(Arc::new(all.collect::<Result<StringArray>>()?)))
    }
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
