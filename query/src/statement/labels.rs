//! The names that PostgreSQL gives to columns that have none, such as `count` for `count(*)`.
//!
//! The engine wants every column of a SELECT named differently, and a name that PostgreSQL would give could be
//! that of a column. So a label has a mark behind it that no client writes, and a number; whoever shows columns
//! cuts both off.

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, SelectItem, SetExpr, Statement as SqlStatement, Value,
};

/// Ends the part of a name that is shown.
pub(super) const MARK: char = '\u{1}';

/// Labels the columns of the query that have no name.
pub(super) fn label(statement: &mut SqlStatement) {
    if let SqlStatement::Query(query) = statement {
        label_query(query);
    }
}

fn label_query(query: &mut Query) {
    let mut body = query.body.as_mut();
    loop {
        match body {
            SetExpr::Select(select) => {
                for (at, item) in select.projection.iter_mut().enumerate() {
                    if let SelectItem::UnnamedExpr(expr) = item
                        && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
                    {
                        let alias = Ident::with_quote('"', format!("{}{MARK}{at}", name(expr)));
                        let expr = std::mem::replace(expr, Expr::value(Value::Null));
                        *item = SelectItem::ExprWithAlias { expr, alias };
                    }
                }
                return;
            }
            // The first of them names the columns.
            SetExpr::SetOperation { left, .. } => body = left.as_mut(),
            SetExpr::Query(query) => body = query.body.as_mut(),
            _ => return,
        }
    }
}

/// The name for `expr`: of its function, of what it casts, or none.
pub(super) fn name(expr: &Expr) -> String {
    let mut expr = expr;
    loop {
        match expr {
            Expr::Identifier(ident) => return ident.value.clone(),
            Expr::CompoundIdentifier(parts) => {
                return parts.last().map(|part| part.value.clone()).unwrap_or_default();
            }
            Expr::Function(call) => {
                let last = call.name.0.last().and_then(|part| part.as_ident());
                return last.map_or_else(|| "?column?".to_string(), |ident| ident.value.to_lowercase());
            }
            Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => expr = inner,
            Expr::Case { .. } => return "case".to_string(),
            Expr::Extract { .. } => return "extract".to_string(),
            Expr::Substring { .. } => return "substring".to_string(),
            Expr::Trim { .. } => return "btrim".to_string(),
            Expr::Position { .. } => return "position".to_string(),
            Expr::Ceil { .. } => return "ceil".to_string(),
            Expr::Floor { .. } => return "floor".to_string(),
            Expr::Array(_) => return "array".to_string(),
            Expr::Exists { .. } => return "exists".to_string(),
            _ => return "?column?".to_string(),
        }
    }
}

/// What is shown of the name of a column.
pub(crate) fn shown(name: &str) -> &str {
    name.split(MARK).next().unwrap_or(name)
}
