//! Row filters: SQL predicates that an administrator writes, held to what cannot fail on any row.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use datafusion::physical_expr::expressions::{CastExpr, Literal, TryCastExpr};
use datafusion::physical_plan::PhysicalExpr;

use crate::table::Documented;

/// Functions of a row filter, none of which can fail or make much of little.
const FUNCTIONS: [&str; 7] = ["array_has", "btrim", "coalesce", "ends_with", "lower", "starts_with", "upper"];

/// The predicate that `text` is over `columns`.
///
/// # Errors
/// A sentence for whoever wrote it.
pub(super) fn predicate(text: &str, columns: &[Documented]) -> Result<Expr, String> {
    let schema: Schema = crate::table::schema(columns).as_ref().clone();
    let schema = DFSchema::try_from(schema).map_err(|error| one_line(&error))?;
    let predicate = session().create_logical_expr(text, &schema).map_err(|error| one_line(&error))?;
    check(&predicate)?;
    let predicate = with_typed_times(predicate, &schema).map_err(|error| one_line(&error))?;
    // The engine brings both sides of a comparison to one type, and a cast of a column could fail on a row.
    let physical = coerced(&predicate, &schema).map_err(|error| one_line(&error))?;
    if casts_a_column(&physical) {
        return Err("it compares a column with a value of another type, and the cast could fail on a row: write the value \
                    in the column's type"
            .to_string());
    }
    match predicate.get_type(&schema) {
        Ok(DataType::Boolean) => Ok(predicate),
        Ok(other) => Err(format!("it is {other} and not true or false")),
        Err(error) => Err(one_line(&error)),
    }
}

/// Parses and plans expressions, and knows no function but these.
fn session() -> SessionState {
    let functions = SessionStateDefaults::default_scalar_functions();
    SessionStateBuilder::new()
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .with_scalar_functions(
            functions.into_iter().filter(|function| FUNCTIONS.contains(&function.name())).collect(),
        )
        .build()
}

fn one_line(error: &DataFusionError) -> String {
    error.strip_backtrace().lines().next().unwrap_or("it is no predicate").to_string()
}

fn check(predicate: &Expr) -> Result<(), String> {
    let mut found = None;
    let walked = predicate.apply(|expr| {
        let allowed = match expr {
            Expr::Column(_)
            | Expr::Literal(..)
            | Expr::Not(_)
            | Expr::Between(_)
            | Expr::InList(_)
            | Expr::Like(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_) => true,
            Expr::BinaryExpr(BinaryExpr { op, .. }) => {
                matches!(
                    op,
                    Operator::And
                        | Operator::Or
                        | Operator::Eq
                        | Operator::NotEq
                        | Operator::Lt
                        | Operator::LtEq
                        | Operator::Gt
                        | Operator::GtEq
                        | Operator::IsDistinctFrom
                        | Operator::IsNotDistinctFrom
                )
            }
            // A literal is cast once, before any row.
            Expr::Cast(cast) => matches!(cast.expr.as_ref(), Expr::Literal(..)),
            Expr::ScalarFunction(call) => FUNCTIONS.contains(&call.name()),
            _ => false,
        };
        if allowed {
            return Ok(TreeNodeRecursion::Continue);
        }
        found = Some(expr.to_string());
        Ok(TreeNodeRecursion::Stop)
    });
    walked.map_err(|error| one_line(&error))?;
    match found {
        None => Ok(()),
        Some(expr) => Err(format!(
            "{expr} could fail on a row: use columns, literals, comparisons, IN, BETWEEN, LIKE, AND, OR, NOT and {}",
            FUNCTIONS.join(", ")
        )),
    }
}

/// A time is written as text. The engine would bring both sides to nanoseconds, where a column's year 9999 does not fit; so
/// the text is brought to the column's type, here and once.
fn with_typed_times(predicate: Expr, schema: &DFSchema) -> Result<Expr, DataFusionError> {
    let typed = predicate.transform(|expr| match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (new_left, new_right) = (typed(&right, &left, schema)?, typed(&left, &right, schema)?);
            let left = new_left.map_or(left, Box::new);
            let right = new_right.map_or(right, Box::new);
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })))
        }
        Expr::Between(mut between) => {
            if let Some(low) = typed(&between.expr, &between.low, schema)? {
                between.low = Box::new(low);
            }
            if let Some(high) = typed(&between.expr, &between.high, schema)? {
                between.high = Box::new(high);
            }
            Ok(Transformed::yes(Expr::Between(between)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(typed.data)
}

/// `value` in the type of `column`, if the one is a literal and the other a column of times.
fn typed(column: &Expr, value: &Expr, schema: &DFSchema) -> Result<Option<Expr>, DataFusionError> {
    let literal = match value {
        Expr::Literal(literal, _) => literal,
        Expr::Cast(cast) => match cast.expr.as_ref() {
            Expr::Literal(literal, _) => literal,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    if !matches!(column, Expr::Column(_)) {
        return Ok(None);
    }
    let kind = column.get_type(schema)?;
    match kind {
        DataType::Timestamp(..) => Ok(Some(Expr::Literal(literal.cast_to(&kind)?, None))),
        _ => Ok(None),
    }
}

fn casts_a_column(predicate: &Arc<dyn PhysicalExpr>) -> bool {
    let is_cast =
        predicate.downcast_ref::<CastExpr>().is_some() || predicate.downcast_ref::<TryCastExpr>().is_some();
    let children = predicate.children();
    let of_literals = children.iter().all(|child| child.downcast_ref::<Literal>().is_some());
    (is_cast && !of_literals) || children.into_iter().any(casts_a_column)
}

/// The predicate with its literals in the types of their columns, for a scan.
pub(super) fn coerced(predicate: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    session().create_physical_expr(predicate.clone(), schema)
}
