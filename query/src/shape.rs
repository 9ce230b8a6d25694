//! What a plan makes of one batch, and so how many rows a batch may have.
//!
//! A constant is copied into every row, and what an expression makes of a batch is whole in memory before an
//! operator accounts for it. Many rows at a time are only faster while rows are small.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::Error;
use crate::function::makes_much;

/// Rows of one batch.
const ROWS_MAX: u64 = schemas::limits::QUERY_BATCH_ROWS_MAX;
/// Rows of one batch, however large they are.
const ROWS_MIN: u64 = schemas::limits::QUERY_BATCH_ROWS_MIN;
/// Bytes of all values of one batch.
const BATCH_BYTES_MAX: u64 = schemas::limits::QUERY_BATCH_BYTES_MAX;
/// Expressions up to which a batch is not made shorter.
const EXPRESSIONS_FREE: u64 = 8;

/// The expressions of a plan.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Calls, casts and CASE: what makes new values out of those of a batch.
    pub(crate) expressions: u64,
    /// Whether one of them can make much of little.
    makes_much: bool,
    /// Bytes of the constants, but for the items of IN, which are not copied into rows.
    constant_bytes: u64,
}

impl Shape {
    /// Reads `plan`, which must be optimised: until then functions of constants are calls.
    pub(crate) fn of(plan: &LogicalPlan) -> Result<Shape> {
        let mut shape = Shape::default();
        plan.apply_with_subqueries(|node| node.apply_expressions(|expr| shape.see(expr)))?;
        Ok(shape)
    }

    fn see(&mut self, expr: &Expr) -> Result<TreeNodeRecursion> {
        expr.apply(|expr| {
            match expr {
                Expr::ScalarFunction(call) => {
                    self.expressions += 1;
                    self.makes_much |= makes_much(call.name());
                }
                Expr::Case(_) | Expr::Cast(_) | Expr::TryCast(_) => self.expressions += 1,
                Expr::Literal(value, _) => self.constant_bytes += heap_bytes(value),
                Expr::InList(list) => {
                    self.see(&list.expr)?;
                    for item in list.list.iter().filter(|item| !matches!(item, Expr::Literal(..))) {
                        self.see(item)?;
                    }
                    return Ok(TreeNodeRecursion::Jump);
                }
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })
    }

    /// Rows of one batch.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`] when the constants are too large for a batch of any use.
    pub(crate) fn rows(&self) -> Result<usize, Error> {
        let by_constants = BATCH_BYTES_MAX / self.constant_bytes.max(1);
        if by_constants < ROWS_MIN {
            return Err(Error::AnswerTooLarge {
                what: "bytes of the constants of one statement",
                limit: BATCH_BYTES_MAX / ROWS_MIN,
            });
        }
        let by_expressions = match self.makes_much {
            true => ROWS_MAX * EXPRESSIONS_FREE / self.expressions.max(EXPRESSIONS_FREE),
            false => ROWS_MAX,
        };
        Ok(by_constants.min(by_expressions).clamp(ROWS_MIN, ROWS_MAX) as usize)
    }
}

/// Bytes of a value beside its place.
fn heap_bytes(value: &ScalarValue) -> u64 {
    value.size().saturating_sub(size_of::<ScalarValue>()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_rows_make_short_batches() {
        let rows = |expressions, makes_much, constant_bytes| {
            Shape { expressions, makes_much, constant_bytes }.rows().map_err(|error| error.code())
        };
        assert_eq!(rows(0, false, 0), Ok(8_192));
        assert_eq!(rows(500, false, 10_000), Ok(8_192));
        assert_eq!(rows(8, true, 0), Ok(8_192));
        assert_eq!(rows(500, true, 0), Ok(131));
        assert_eq!(rows(1_000_000, true, 0), Ok(16));
        assert_eq!(rows(0, false, 64 << 10), Ok(4_096));
        assert_eq!(rows(0, false, 16 << 20), Ok(16));
        assert_eq!(rows(0, false, (16 << 20) + 1), Ok(16).and(Err("answer_too_large")));
    }
}
