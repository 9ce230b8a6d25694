//! Queries of the catalogue that can have no rows, because what they read has none: constraints, indexes, triggers,
//! policies. Clients ask such things in ways that the engine cannot plan; that there is nothing is the whole answer.
//!
//! What stands in their place has the same columns by name, and asks for the same parameters.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArguments, GroupByExpr, JoinOperator, Query, Select, SelectItem, SetExpr,
    Statement as SqlStatement, TableFactor, TableWithJoins, Value, ValueWithSpan, Visit, VisitMut, Visitor,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::labels::{MARK, name};
use crate::catalogue::EMPTY;

/// The statement, or what stands for it.
pub(super) fn replace(statement: SqlStatement) -> SqlStatement {
    let SqlStatement::Query(mut query) = statement else { return statement };
    if query.visit(&mut Shadows).is_break() {
        return SqlStatement::Query(query);
    }
    if is_empty_query(&query)
        && let Some(instead) = columns(&query.body).and_then(|columns| none(&columns, &parameters(&query)))
    {
        return instead;
    }
    let flow = VisitMut::visit(query.as_mut(), &mut Lists);
    debug_assert!(flow.is_continue(), "replacing never stops early");
    SqlStatement::Query(query)
}

fn is_empty_query(query: &Query) -> bool {
    query.with.is_none() && is_empty_body(&query.body)
}

fn is_empty_body(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => is_empty_select(select),
        SetExpr::Query(query) => is_empty_query(query),
        SetExpr::SetOperation { left, right, .. } => is_empty_body(left) && is_empty_body(right),
        _ => false,
    }
}

/// A SELECT that aggregates without groups has one row of nothing.
fn is_empty_select(select: &Select) -> bool {
    let is_grouped = match &select.group_by {
        GroupByExpr::Expressions(all, modifiers) => {
            // ROLLUP and its like make a row of nothing, too.
            let is_set =
                |expr: &Expr| matches!(expr, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_));
            if all.iter().any(is_set) {
                return false;
            }
            !all.is_empty() && modifiers.is_empty()
        }
        GroupByExpr::All(_) => false,
    };
    let mut calls = Aggregates { depth: 0, found: false };
    let flow = select.projection.visit(&mut calls);
    debug_assert!(flow.is_continue(), "counting never stops early");
    let has_rows_of_nothing = !is_grouped && (calls.found || select.having.is_some());
    !has_rows_of_nothing && select.from.iter().any(is_empty_from)
}

fn is_empty_from(from: &TableWithJoins) -> bool {
    let mut is_empty = is_empty_factor(&from.relation);
    for join in &from.joins {
        is_empty = match &join.join_operator {
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => {
                is_empty || is_empty_factor(&join.relation)
            }
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => is_empty,
            _ => return false,
        };
    }
    is_empty
}

fn is_empty_factor(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Table { name, args: None, .. } => {
            let part =
                |at: usize| name.0.get(at).and_then(|part| part.as_ident()).map(|ident| ident.value.as_str());
            match name.0.len() {
                1 => part(0).is_some_and(|table| EMPTY.contains(&table)),
                2 => part(0) == Some("pg_catalog") && part(1).is_some_and(|table| EMPTY.contains(&table)),
                _ => false,
            }
        }
        TableFactor::Derived { subquery, .. } => is_empty_query(subquery),
        TableFactor::NestedJoin { table_with_joins, .. } => is_empty_from(table_with_joins),
        _ => false,
    }
}

/// Whether a list calls an aggregate, outside of its subqueries.
struct Aggregates {
    depth: usize,
    found: bool,
}

impl Visitor for Aggregates {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth = self.depth.saturating_sub(1);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(call) = expr
            && self.depth == 0
        {
            let name =
                call.name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase());
            self.found |= name.is_some_and(|name| {
                let known = ["count", "sum", "min", "max", "avg", "bool_or", "bool_and", "every"];
                known.contains(&name.as_str()) || name.contains("agg")
            });
        }
        ControlFlow::Continue(())
    }
}

/// Stops where a WITH gives one of these names to something else.
struct Shadows;

impl Visitor for Shadows {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let mut names = query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| &cte.alias.name.value);
        match names.any(|name| EMPTY.contains(&name.to_lowercase().as_str())) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// `ARRAY(SELECT ...)` and `(SELECT ...)` over nothing, and a CASE that has only such to give.
struct Lists;

impl VisitorMut for Lists {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let is_null = |expr: &Expr| matches!(expr, Expr::Value(value) if value.value == Value::Null);
        let is_nothing = match expr {
            Expr::Function(call) => match &call.args {
                FunctionArguments::Subquery(query) => {
                    call.name.to_string().eq_ignore_ascii_case("array") && is_empty_query(query)
                }
                _ => false,
            },
            Expr::Subquery(query) => is_empty_query(query),
            Expr::Case { conditions, else_result, .. } => {
                conditions.iter().all(|when| is_null(&when.result))
                    && else_result.as_ref().is_none_or(|result| is_null(result))
            }
            _ => false,
        };
        if is_nothing {
            *expr = Expr::value(Value::Null);
        }
        ControlFlow::Continue(())
    }
}

/// The names of the columns, where they can be told from the text.
fn columns(body: &SetExpr) -> Option<Vec<String>> {
    match body {
        SetExpr::Select(select) => select
            .projection
            .iter()
            .map(|item| match item {
                SelectItem::UnnamedExpr(expr) => Some(name(expr)),
                SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
                _ => None,
            })
            .collect(),
        SetExpr::SetOperation { left, .. } => columns(left),
        SetExpr::Query(query) => columns(&query.body),
        _ => None,
    }
}

/// The parameters of a query.
fn parameters(query: &Query) -> BTreeSet<String> {
    struct Found(BTreeSet<String>);
    impl Visitor for Found {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) = expr {
                self.0.insert(name.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut found = Found(BTreeSet::new());
    let flow = query.visit(&mut found);
    debug_assert!(flow.is_continue(), "looking never stops early");
    found.0
}

fn none(columns: &[String], parameters: &BTreeSet<String>) -> Option<SqlStatement> {
    let column = |(at, name): (usize, &String)| {
        format!("CAST(NULL AS TEXT) AS \"{}{MARK}{at}\"", name.replace('"', "\"\""))
    };
    let list: Vec<String> = columns.iter().enumerate().map(column).collect();
    let asked: String = parameters.iter().map(|name| format!(" AND {name} IS NULL")).collect();
    let sql = format!("SELECT {} WHERE false{asked}", list.join(", "));
    Parser::parse_sql(&PostgreSqlDialect {}, &sql).ok()?.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_empty(sql: &str) -> bool {
        let statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().pop().unwrap();
        let text = statement.to_string();
        let replaced = replace(statement).to_string();
        assert_eq!(replaced != text, replaced.contains("WHERE false"), "{replaced}");
        replaced != text
    }

    #[test]
    fn only_what_surely_has_no_rows_is_replaced() {
        for sql in [
            "SELECT conname, $1 FROM pg_catalog.pg_constraint WHERE conrelid = $2",
            "SELECT c.relname FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid",
            "SELECT y FROM (SELECT unnest(x) AS y FROM pg_constraint) z",
            "SELECT a FROM pg_policy UNION SELECT b FROM pg_trigger",
            "SELECT a, count(*) FROM pg_index GROUP BY a",
            "SELECT (SELECT count(*) FROM pg_class) FROM pg_index LEFT JOIN pg_class ON true",
        ] {
            assert!(is_empty(sql), "{sql}");
        }
        for sql in [
            "SELECT count(*) FROM pg_constraint",
            "SELECT c.relname FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid",
            "SELECT c.relname FROM pg_index i RIGHT JOIN pg_class c ON i.indrelid = c.oid",
            "SELECT a FROM pg_policy UNION SELECT relname FROM pg_class",
            "SELECT event_id FROM events",
            "SELECT a FROM public.pg_index",
            "WITH pg_index AS (SELECT 1 AS a) SELECT a FROM pg_index",
        ] {
            assert!(!is_empty(sql), "{sql}");
        }
    }
}
