//! `||` on texts as a function with a lid: as an operator it doubles a value at every level of a query.

use std::sync::Arc;

use arrow::array::{AsArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::capped::{check_result, within};

/// Bytes of all values of one batch.
const BATCH_BYTES_MAX: u64 = 256 << 20;

/// Puts the function in the place of the operator; arrays keep theirs, which is a capped function already.
#[derive(Debug)]
pub(super) struct Planner {
    function: Arc<ScalarUDF>,
}

impl Planner {
    pub(super) fn new() -> Planner {
        Planner { function: Arc::new(ScalarUDF::new_from_impl(Concatenation::new())) }
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

impl ExprPlanner for Planner {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op != BinaryOperator::StringConcat {
            return Ok(PlannerResult::Original(expr));
        }
        let lists = |side: &Expr| side.get_type(schema).is_ok_and(|kind| is_list(&kind));
        if lists(&expr.left) || lists(&expr.right) {
            return Ok(PlannerResult::Original(expr));
        }
        let args = vec![expr.left, expr.right];
        Ok(PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(
            Arc::clone(&self.function),
            args,
        ))))
    }
}

/// The two texts one after the other; null where either is null.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Concatenation {
    signature: Signature,
}

impl Concatenation {
    fn new() -> Concatenation {
        Concatenation { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Concatenation {
    fn name(&self) -> &str {
        "||"
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
        let rows = args.number_rows;
        if let [ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)] = args.args.as_slice() {
            let value = match (text(left)?, text(right)?) {
                (Some(left), Some(right)) => Some(left + &right),
                _ => None,
            };
            let value = ColumnarValue::Scalar(ScalarValue::Utf8(value));
            check_result(&value)?;
            return Ok(value);
        }
        let constant: usize = args
            .args
            .iter()
            .map(|arg| if let ColumnarValue::Scalar(value) = arg { value.size() } else { 0 })
            .sum();
        within("bytes of constants in one batch", (constant * rows) as u64, BATCH_BYTES_MAX)?;
        let arrays = args
            .args
            .iter()
            .map(|arg| Ok(cast(&arg.to_array(rows)?, &DataType::Utf8)?))
            .collect::<Result<Vec<_>>>()?;
        let [left, right] = arrays.as_slice() else {
            return Err(datafusion::common::DataFusionError::Plan("|| takes two operands".to_string()));
        };
        let bytes: usize =
            [left, right].iter().flat_map(|side| side.as_string::<i32>().iter().flatten()).map(str::len).sum();
        within("bytes of the values of one batch", bytes as u64, BATCH_BYTES_MAX)?;
        let mut out = StringBuilder::with_capacity(rows, bytes);
        for (left, right) in left.as_string::<i32>().iter().zip(right.as_string::<i32>().iter()) {
            match (left, right) {
                (Some(left), Some(right)) => out.append_value([left, right].concat()),
                _ => out.append_null(),
            }
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}

fn text(value: &ScalarValue) -> Result<Option<String>> {
    match value.cast_to(&DataType::Utf8)? {
        ScalarValue::Utf8(text) => Ok(text),
        other => Ok(Some(other.to_string())),
    }
}
