//! A lid on functions whose result can be much larger than what they are given.
//!
//! The memory pool does not see the bytes of a value until an operator keeps it, so one
//! `repeat('x', 500000000)` would pass under it.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::Error;

/// Bytes of one value that repeating or padding makes.
const VALUE_BYTES_MAX: u64 = schemas::limits::QUERY_VALUE_BYTES_MAX;
/// Bytes of a constant that a function makes: it is copied into every row of a batch.
const CONSTANT_BYTES_MAX: u64 = schemas::limits::QUERY_CONSTANT_BYTES_MAX;
/// Bytes of all values of one batch.
const BATCH_BYTES_MAX: u64 = schemas::limits::QUERY_BATCH_BYTES_MAX;
/// Bytes that replacing could make of one batch, if everything matched.
const REPLACED_BYTES_MAX: u64 = schemas::limits::QUERY_REPLACED_BYTES_MAX;
/// Steps of one edit distance.
const DISTANCE_STEPS_MAX: u64 = schemas::limits::QUERY_DISTANCE_STEPS_MAX;

/// How large a result can be, and so what is checked before the function runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Bound {
    /// First argument times the second.
    Repeat,
    /// As long as the second argument says.
    Pad,
    /// Every byte of the first may become the last argument.
    Replace { replacement: usize },
    /// No large result, but first times second steps.
    Distance,
    /// Linear in its arguments: only the result is checked.
    Linear,
}

impl Bound {
    /// The bound of the function called `name`, if it needs one.
    pub(super) fn of(name: &str) -> Option<Bound> {
        Some(match name {
            "repeat" => Bound::Repeat,
            "lpad" | "rpad" => Bound::Pad,
            "replace" | "regexp_replace" => Bound::Replace { replacement: 2 },
            "levenshtein" => Bound::Distance,
            "concat" | "concat_ws" | "overlay" | "translate" | "encode" | "array_to_string"
            | "make_array" | "array_concat" | "array_append" | "array_prepend" | "string_to_array"
            | "array_replace" | "array_replace_n" | "array_replace_all" | "to_char" => Bound::Linear,
            _ => return None,
        })
    }

    /// Refuses arguments whose result would be too large.
    fn check(self, args: &[ColumnarValue], rows: usize) -> Result<()> {
        let length = |at: usize| args.get(at).map_or(Sizes::Each(Vec::new()), text_bytes);
        let count = |at: usize| args.get(at).map_or(Ok(Sizes::Each(Vec::new())), integers);
        match self {
            Bound::Repeat => {
                largest(rows, VALUE_BYTES_MAX, &length(0), &count(1)?, |a, b| a.saturating_mul(b))
            }
            Bound::Pad => {
                largest(rows, VALUE_BYTES_MAX, &count(1)?, &Sizes::Same(4), |a, b| a.saturating_mul(b))
            }
            Bound::Replace { replacement } => {
                let (text, new) = (length(0), length(replacement));
                let total = (0..rows).fold(0u64, |sum, row| {
                    let (text, new) = (text.at(row), new.at(row));
                    sum.saturating_add(text.saturating_add(1).saturating_mul(new.max(1)))
                });
                within("bytes that this replacement could make", total, REPLACED_BYTES_MAX)
            }
            Bound::Distance => {
                largest(rows, DISTANCE_STEPS_MAX, &length(0), &length(1), |a, b| a.saturating_mul(b))
            }
            Bound::Linear => {
                // A constant argument is copied into every row.
                let constant: u64 = args
                    .iter()
                    .map(|arg| match arg {
                        ColumnarValue::Scalar(value) => value.size() as u64,
                        ColumnarValue::Array(_) => 0,
                    })
                    .sum();
                let total = constant.saturating_mul(rows as u64).saturating_sub(512 * rows as u64);
                within("bytes of constants in one batch", total, BATCH_BYTES_MAX)
            }
        }
    }
}

fn largest(rows: usize, limit: u64, a: &Sizes, b: &Sizes, of: impl Fn(u64, u64) -> u64) -> Result<()> {
    let mut total = 0u64;
    for row in 0..rows {
        let size = of(a.at(row), b.at(row));
        within("bytes of one value", size, limit)?;
        total = total.saturating_add(size);
    }
    within("bytes of the values of one batch", total, BATCH_BYTES_MAX.max(limit))
}

/// Refuses `size` over `limit`.
pub(super) fn within(what: &'static str, size: u64, limit: u64) -> Result<()> {
    if size > limit {
        return Err(Error::AnswerTooLarge { what, limit }.into());
    }
    Ok(())
}

/// Refuses a result that is too large.
pub(super) fn check_result(value: &ColumnarValue) -> Result<()> {
    match value {
        ColumnarValue::Scalar(value) => {
            within("bytes of a constant that a function makes", value.size() as u64, CONSTANT_BYTES_MAX + 512)
        }
        ColumnarValue::Array(array) => {
            within("bytes of the values of one batch", array.get_array_memory_size() as u64, BATCH_BYTES_MAX)
        }
    }
}

/// A size for each row.
enum Sizes {
    Same(u64),
    Each(Vec<u64>),
}

impl Sizes {
    fn at(&self, row: usize) -> u64 {
        match self {
            Sizes::Same(size) => *size,
            Sizes::Each(sizes) => sizes.get(row).copied().unwrap_or(0),
        }
    }
}

fn text_bytes(value: &ColumnarValue) -> Sizes {
    fn each<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Sizes {
        Sizes::Each(texts.map(|text| text.map_or(0, |text| text.len() as u64)).collect())
    }
    match value {
        ColumnarValue::Scalar(
            ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text),
        ) => Sizes::Same(text.as_ref().map_or(0, |text| text.len() as u64)),
        ColumnarValue::Scalar(other) => Sizes::Same(other.size() as u64),
        ColumnarValue::Array(array) => match array.data_type() {
            DataType::Utf8 => each(array.as_string::<i32>().iter()),
            DataType::LargeUtf8 => each(array.as_string::<i64>().iter()),
            DataType::Utf8View => each(array.as_string_view().iter()),
            _ => Sizes::Same(array.get_array_memory_size() as u64),
        },
    }
}

fn integers(value: &ColumnarValue) -> Result<Sizes> {
    let positive = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(match value {
        ColumnarValue::Scalar(scalar) => match scalar.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(number) => Sizes::Same(positive(number.unwrap_or(0))),
            _ => Sizes::Same(u64::MAX),
        },
        ColumnarValue::Array(array) => {
            let numbers = cast(array, &DataType::Int64)?;
            Sizes::Each(
                numbers
                    .as_primitive::<Int64Type>()
                    .iter()
                    .map(|number| positive(number.unwrap_or(0)))
                    .collect(),
            )
        }
    })
}

/// A function with its bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Capped {
    inner: Arc<ScalarUDF>,
    bound: Bound,
}

impl Capped {
    pub(super) fn new(inner: Arc<ScalarUDF>, bound: Bound) -> Capped {
        Capped { inner, bound }
    }
}

// `simplify` is not passed on: it would put the function without its lid into the plan.
impl ScalarUDFImpl for Capped {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let inner = self.inner.inner().with_updated_config(config)?;
        Some(ScalarUDF::new_from_impl(Capped::new(Arc::new(inner), self.bound)))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.bound.check(&args.args, args.number_rows)?;
        let value = self.inner.invoke_with_args(args)?;
        check_result(&value)?;
        Ok(value)
    }
}
