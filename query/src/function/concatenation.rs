//! `||` on texts as a function with a lid: as an operator it doubles a value at every level of a query.

use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::budget::Budget;
use super::capped::{check_result, within};

/// The name of the function.
pub(super) const NAME: &str = "||";

/// Bytes of all values of one batch.
const BATCH_BYTES_MAX: u64 = schemas::limits::QUERY_CONCATENATION_BATCH_BYTES_MAX;

/// Puts the function in the place of the operator; arrays keep theirs, which is a capped function already.
#[derive(Debug)]
pub(super) struct Planner {
    function: Arc<ScalarUDF>,
}

impl Planner {
    pub(super) fn new(budget: &Arc<Budget>) -> Planner {
        Planner { function: Arc::new(ScalarUDF::new_from_impl(Concatenation::new(Arc::clone(budget)))) }
    }
}

fn is_list(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
    )
}

impl Planner {
    fn call(&self, args: Vec<Expr>) -> PlannerResult<RawBinaryExpr> {
        PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(
            Arc::clone(&self.function),
            args,
        )))
    }

    fn plan(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let lists = |side: &Expr| side.get_type(schema).is_ok_and(|kind| is_list(&kind));
        if lists(&expr.left) || lists(&expr.right) {
            return Ok(PlannerResult::Original(expr));
        }
        Ok(self.call(vec![expr.left, expr.right]))
    }
}

impl ExprPlanner for Planner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op != BinaryOperator::StringConcat {
            return Ok(PlannerResult::Original(expr));
        }
        // A chain becomes one call: nested calls would be walked once more for each of their levels.
        if let Expr::ScalarFunction(ScalarFunction { func, mut args }) = expr.left {
            if *func == *self.function {
                args.push(expr.right);
                return Ok(self.call(args));
            }
            let left = Expr::ScalarFunction(ScalarFunction { func, args });
            return self.plan(RawBinaryExpr { left, ..expr }, schema);
        }
        self.plan(expr, schema)
    }
}

/// The texts one after the other; null where any is null.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Concatenation {
    signature: Signature,
    budget: Arc<Budget>,
}

impl Concatenation {
    fn new(budget: Arc<Budget>) -> Concatenation {
        Concatenation { signature: Signature::user_defined(Volatility::Immutable), budget }
    }
}

impl ScalarUDFImpl for Concatenation {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Utf8; arg_types.len()])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.budget.check()?;
        let rows = args.number_rows;
        let limit = self.budget.share(BATCH_BYTES_MAX);
        if let Some(scalars) = args.args.iter().map(as_scalar).collect::<Option<Vec<_>>>() {
            let texts = scalars.into_iter().map(text).collect::<Result<Option<Vec<String>>>>()?;
            let value = ColumnarValue::Scalar(ScalarValue::Utf8(texts.map(|texts| texts.concat())));
            check_result(&value, &self.budget)?;
            return Ok(value);
        }
        let constant: usize = args.args.iter().filter_map(as_scalar).map(ScalarValue::size).sum();
        within("bytes of constants in one batch", constant.saturating_mul(rows) as u64, limit)?;
        let arrays = args
            .args
            .iter()
            .map(|arg| Ok(cast(&arg.to_array(rows)?, &DataType::Utf8)?))
            .collect::<Result<Vec<_>>>()?;
        let columns: Vec<&StringArray> = arrays.iter().map(|array| array.as_string::<i32>()).collect();
        let bytes: usize = columns.iter().flat_map(|column| column.iter().flatten()).map(str::len).sum();
        within("bytes of the values of one batch", bytes as u64, limit)?;
        let mut out = StringBuilder::with_capacity(rows, bytes);
        let mut joined = String::new();
        for row in 0..rows {
            joined.clear();
            if columns.iter().all(|column| column.is_valid(row)) {
                columns.iter().for_each(|column| joined.push_str(column.value(row)));
                out.append_value(&joined);
            } else {
                out.append_null();
            }
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}

fn as_scalar(value: &ColumnarValue) -> Option<&ScalarValue> {
    match value {
        ColumnarValue::Scalar(value) => Some(value),
        ColumnarValue::Array(_) => None,
    }
}

fn text(value: &ScalarValue) -> Result<Option<String>> {
    match value.cast_to(&DataType::Utf8)? {
        ScalarValue::Utf8(text) => Ok(text),
        other => Ok(Some(other.to_string())),
    }
}
