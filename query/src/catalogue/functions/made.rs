//! How the functions of the catalogue are made.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, Int32Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use pgwire::api::Type;

use crate::catalogue::Client;

/// Any arguments, or none.
pub(super) fn any() -> Signature {
    Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], Volatility::Immutable)
}

pub(super) fn constant(name: &'static str, value: ScalarValue) -> ScalarUDF {
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

/// A function of names: what is longer than any name could be is refused, because it doubles what it is given.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct OfNames(pub(super) ScalarUDF);

/// Bytes of a name.
const NAME_BYTES_MAX: usize = schemas::limits::POSTGRES_NAME_BYTES_MAX;

impl ScalarUDFImpl for OfNames {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        for argument in &args.args {
            let array = argument.to_array(1)?;
            let texts = cast(&array, &DataType::Utf8)?;
            if texts.as_string::<i32>().iter().flatten().any(|text| text.len() > NAME_BYTES_MAX) {
                let what = format!("{} takes names of up to {NAME_BYTES_MAX} bytes", self.name());
                return Err(DataFusionError::Execution(what));
            }
        }
        self.0.invoke_with_args(args)
    }
}

/// Whether a privilege, the last argument, is one to read.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Privilege {
    pub(super) name: &'static str,
    pub(super) signature: Signature,
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
pub(super) struct TypeNamed {
    pub(super) signature: Signature,
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
pub(super) struct Comment {
    pub(super) name: &'static str,
    pub(super) found: Arc<HashMap<(i64, i64), &'static str>>,
    pub(super) signature: Signature,
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
pub(super) struct Setting {
    pub(super) client: Arc<Client>,
    pub(super) signature: Signature,
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
