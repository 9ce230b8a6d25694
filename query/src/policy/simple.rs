//! Predicates that cannot fail on a row: what may act on rows that a principal must not see.

use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// Whether `predicate` only compares columns with literals of their own types. `may` says which columns.
pub(super) fn is_simple(predicate: &Expr, schema: &SchemaRef, may: &dyn Fn(&str) -> bool) -> bool {
    let mut at = vec![predicate];
    while let Some(predicate) = at.pop() {
        let simple = match predicate {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
                at.push(left);
                at.push(right);
                true
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                is_comparison(*op)
                    && (compares(left, right, schema, may) || compares(right, left, schema, may))
            }
            Expr::Between(between) => {
                compares(&between.expr, &between.low, schema, may)
                    && compares(&between.expr, &between.high, schema, may)
            }
            Expr::InList(list) => list.list.iter().all(|item| compares(&list.expr, item, schema, may)),
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => column(inner, may).is_some(),
            Expr::Literal(ScalarValue::Boolean(_), _) => true,
            _ => false,
        };
        if !simple {
            return false;
        }
    }
    true
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
    )
}

fn column<'a>(expr: &'a Expr, may: &dyn Fn(&str) -> bool) -> Option<&'a str> {
    match expr {
        Expr::Column(column) if may(&column.name) => Some(&column.name),
        _ => None,
    }
}

/// Whether `expr` is a column and `literal` a value of its type.
fn compares(expr: &Expr, literal: &Expr, schema: &SchemaRef, may: &dyn Fn(&str) -> bool) -> bool {
    let (Some(name), Expr::Literal(value, _)) = (column(expr, may), literal) else { return false };
    schema.field_with_name(name).is_ok_and(|field| field.data_type() == &value.data_type())
}
