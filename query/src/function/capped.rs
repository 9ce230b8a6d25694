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

use super::budget::Budget;
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

/// Bytes of a number, a time or the place of a text.
const FIXED_BYTES: usize = 16;
const VALUES_OF_BATCH: &str = "bytes of the values of one batch";

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
    /// Every item of a list may become the third argument, or is followed by it.
    Items { text: usize },
    /// The first argument comes between all others.
    Separated,
    /// Linear in its arguments.
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
            "array_to_string" => Bound::Items { text: 1 },
            "array_replace" | "array_replace_n" | "array_replace_all" => Bound::Items { text: 2 },
            "concat_ws" => Bound::Separated,
            "concat" | "overlay" | "translate" | "encode" | "make_array" | "array_concat"
            | "array_append" | "array_prepend" | "string_to_array" | "to_char" => Bound::Linear,
            _ => return None,
        })
    }

    /// Refuses arguments whose result would be too large.
    fn check(self, args: &[ColumnarValue], rows: usize, budget: &Budget) -> Result<()> {
        let batch = budget.share(BATCH_BYTES_MAX);
        let length = |at: usize| args.get(at).map_or(Sizes::Each(Vec::new()), text_bytes);
        let count = |at: usize| args.get(at).map_or(Ok(Sizes::Each(Vec::new())), integers);
        match self {
            Bound::Repeat => {
                largest(rows, VALUE_BYTES_MAX, batch, &length(0), &count(1)?, |a, b| a.saturating_mul(b))
            }
            Bound::Pad => {
                let width = Sizes::Same(4);
                largest(rows, VALUE_BYTES_MAX, batch, &count(1)?, &width, |a, b| a.saturating_mul(b))
            }
            Bound::Replace { replacement } => {
                let (text, new) = (length(0), length(replacement));
                let total = (0..rows).fold(0u64, |sum, row| {
                    let (text, new) = (text.at(row), new.at(row));
                    sum.saturating_add(text.saturating_add(1).saturating_mul(new.max(1)))
                });
                let limit = budget.share(REPLACED_BYTES_MAX);
                within("bytes that this replacement could make", total, limit)
            }
            Bound::Distance => {
                // Steps take time and no memory: the deadline is looked at before each call.
                let limit = BATCH_BYTES_MAX;
                largest(rows, DISTANCE_STEPS_MAX, limit, &length(0), &length(1), |a, b| a.saturating_mul(b))
            }
            Bound::Items { text } => {
                let (items, text) = (args.first().map_or(0, items), length(text));
                let longest = (0..rows.max(1)).map(|row| text.at(row)).max().unwrap_or(0);
                let total = all_bytes(args, rows).saturating_add(items.saturating_mul(longest));
                within(VALUES_OF_BATCH, total, batch)
            }
            Bound::Separated => {
                let separator = args.first().map_or(0, |arg| bytes_in_rows(arg, rows));
                let total = separator.saturating_mul(args.len() as u64).saturating_add(all_bytes(args, rows));
                within(VALUES_OF_BATCH, total, batch)
            }
            Bound::Linear => within(VALUES_OF_BATCH, all_bytes(args, rows), batch),
        }
    }
}

/// What the arguments have together; a constant is copied into every row.
fn all_bytes(args: &[ColumnarValue], rows: usize) -> u64 {
    args.iter().map(|arg| bytes_in_rows(arg, rows)).fold(0, u64::saturating_add)
}

fn bytes_in_rows(arg: &ColumnarValue, rows: usize) -> u64 {
    let sizes = text_bytes(arg);
    match sizes {
        Sizes::Same(size) if matches!(arg, ColumnarValue::Scalar(_)) => size.saturating_mul(rows as u64),
        Sizes::Same(size) => size,
        Sizes::Each(sizes) => sizes.iter().sum(),
    }
}

/// Bytes of the rows of an array: it may be a slice of a much larger one.
fn array_bytes(array: &dyn Array) -> usize {
    if let Some(list) = array.as_list_opt::<i32>() {
        let offsets = list.value_offsets();
        let first = offsets.first().and_then(|at| usize::try_from(*at).ok()).unwrap_or(0);
        let last = offsets.last().and_then(|at| usize::try_from(*at).ok()).unwrap_or(0);
        return array_bytes(&list.values().slice(first, last - first)) + size_of_val(offsets);
    }
    array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
}

/// Items of all lists of a batch.
fn items(lists: &ColumnarValue) -> u64 {
    let count = |array: &dyn Array| match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().iter().flatten().map(|list| list.len()).sum(),
        DataType::LargeList(_) => array.as_list::<i64>().iter().flatten().map(|list| list.len()).sum(),
        DataType::FixedSizeList(_, size) => array.len() * usize::try_from(*size).unwrap_or(0),
        // Of no list that is known here, but an item has a byte.
        _ => array.get_array_memory_size(),
    };
    match lists {
        ColumnarValue::Array(array) => count(array.as_ref()) as u64,
        // One list for all rows.
        ColumnarValue::Scalar(value) => value.size() as u64,
    }
}

fn largest(
    rows: usize,
    limit: u64,
    batch: u64,
    a: &Sizes,
    b: &Sizes,
    of: impl Fn(u64, u64) -> u64,
) -> Result<()> {
    let mut total = 0u64;
    for row in 0..rows {
        let size = of(a.at(row), b.at(row));
        within("bytes of one value", size, limit)?;
        total = total.saturating_add(size);
    }
    within(VALUES_OF_BATCH, total, batch)
}

/// Refuses `size` over `limit`.
pub(super) fn within(what: &'static str, size: u64, limit: u64) -> Result<()> {
    if size > limit {
        return Err(Error::AnswerTooLarge { what, limit }.into());
    }
    Ok(())
}

/// Refuses a result that is too large.
pub(super) fn check_result(value: &ColumnarValue, budget: &Budget) -> Result<()> {
    match value {
        ColumnarValue::Scalar(value) => {
            let bytes = value.size() as u64;
            within("bytes of a constant that a function makes", bytes, CONSTANT_BYTES_MAX + 512)?;
            budget.constant(bytes)
        }
        // What a builder has set aside and not filled is at most once more what is there, and never written to.
        ColumnarValue::Array(array) => {
            within(VALUES_OF_BATCH, array.get_array_memory_size() as u64, 2 * budget.share(BATCH_BYTES_MAX))
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
        ColumnarValue::Scalar(other) => {
            Sizes::Same((other.size().saturating_sub(size_of::<ScalarValue>()) + FIXED_BYTES) as u64)
        }
        ColumnarValue::Array(array) => match array.data_type() {
            DataType::Utf8 => each(array.as_string::<i32>().iter()),
            DataType::LargeUtf8 => each(array.as_string::<i64>().iter()),
            DataType::Utf8View => each(array.as_string_view().iter()),
            _ => Sizes::Same(array_bytes(array.as_ref()) as u64),
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
    budget: Arc<Budget>,
}

impl Capped {
    pub(super) fn new(inner: Arc<ScalarUDF>, bound: Bound, budget: Arc<Budget>) -> Capped {
        Capped { inner, bound, budget }
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
        Some(ScalarUDF::new_from_impl(Capped::new(Arc::new(inner), self.bound, Arc::clone(&self.budget))))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.budget.check()?;
        self.bound.check(&args.args, args.number_rows, &self.budget)?;
        let value = self.inner.invoke_with_args(args)?;
        check_result(&value, &self.budget)?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arrow::array::StringArray;
    use arrow::datatypes::Field;
    use datafusion::logical_expr::{Volatility, create_udf};
    use tokio::time::{Duration, Instant};

    use super::*;
    use crate::guard::Stop;

    const ROWS: usize = 1_000;

    /// Calls a function that counts its calls and returns its first argument.
    fn call(bound: Bound, budget: &Arc<Budget>, args: Vec<ColumnarValue>) -> (Result<ColumnarValue>, usize) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let inner = create_udf(
            "f",
            vec![DataType::Utf8; args.len()],
            DataType::Utf8,
            Volatility::Immutable,
            Arc::new(move |args: &[ColumnarValue]| {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok(args[0].clone())
            }),
        );
        let field = |arg: &ColumnarValue| Arc::new(Field::new("a", arg.data_type(), true));
        let args = ScalarFunctionArgs {
            arg_fields: args.iter().map(field).collect(),
            args,
            number_rows: ROWS,
            return_field: Arc::new(Field::new("f", DataType::Utf8, true)),
            config_options: Arc::new(ConfigOptions::default()),
        };
        let result = Capped::new(Arc::new(inner), bound, Arc::clone(budget)).invoke_with_args(args);
        (result, calls.load(Ordering::Relaxed))
    }

    fn budget() -> (Arc<Budget>, Arc<Stop>) {
        let stop = Arc::new(Stop::new(Instant::now() + Duration::from_secs(60), 60_000));
        (Arc::new(Budget::new(Arc::clone(&stop))), stop)
    }

    fn column(bytes: usize) -> ColumnarValue {
        ColumnarValue::Array(Arc::new(StringArray::from(vec!["x".repeat(bytes); ROWS])))
    }

    fn constant(bytes: usize) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::Utf8(Some("x".repeat(bytes))))
    }

    #[test]
    fn a_result_is_refused_before_it_is_made() {
        let list = |items: usize| {
            let mut builder = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
            for _ in 0..ROWS {
                builder.append_value((0..items).map(|_| Some("y")));
            }
            ColumnarValue::Array(Arc::new(builder.finish()))
        };
        for (bound, args, calls) in [
            (Bound::Linear, vec![column(1_000); 250], 1),
            (Bound::Linear, vec![column(1_000); 300], 0),
            (Bound::Linear, vec![column(1), constant(300_000)], 0),
            (Bound::Separated, [vec![constant(1_000)], vec![column(10); 250]].concat(), 1),
            (Bound::Separated, [vec![constant(1_000)], vec![column(10); 300]].concat(), 0),
            (Bound::Items { text: 1 }, vec![list(20), constant(10_000)], 1),
            (Bound::Items { text: 1 }, vec![list(30), constant(10_000)], 0),
        ] {
            let (budget, _stop) = budget();
            let (result, called) = call(bound, &budget, args);
            assert_eq!((result.is_ok(), called), (calls == 1, calls), "{bound:?}");
        }
    }

    #[test]
    fn expressions_of_one_plan_divide_what_a_batch_may_hold() {
        let (budget, _stop) = budget();
        let repeat = || vec![column(100), ColumnarValue::Scalar(ScalarValue::Int64(Some(100)))];
        assert!(call(Bound::Repeat, &budget, repeat()).0.is_ok());
        budget.planned(26);
        assert!(call(Bound::Repeat, &budget, repeat()).0.is_ok());
        budget.planned(27);
        assert_eq!(call(Bound::Repeat, &budget, repeat()).1, 0);
    }

    #[test]
    fn constants_of_one_statement_are_summed_until_it_is_planned() {
        let (budget, _stop) = budget();
        let mut made = 0;
        while made < 1_000 && call(Bound::Linear, &budget, vec![constant(60_000)]).0.is_ok() {
            made += 1;
        }
        assert_eq!(made, 279);
        budget.planned(1);
        assert!(call(Bound::Linear, &budget, vec![constant(60_000)]).0.is_ok());
    }

    #[test]
    fn nothing_is_called_once_the_query_must_end() {
        let (budget, stop) = budget();
        stop.cancel();
        let (result, calls) = call(Bound::Linear, &budget, vec![column(1)]);
        assert_eq!(calls, 0);
        assert_eq!(Error::engine(&result.unwrap_err(), crate::error::Stage::Run).code(), "cancelled");
    }
}
