//! How large a statement is once every name of a WITH stands for its query.
//!
//! The planner puts a copy of the query where its name is. Thirty queries of which each names the one before
//! twice are a short text and a plan of a thousand million leaves, and nothing on the way there asks whether
//! to go on. What a name stands for is therefore weighed before the planner sees it.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Query, Select, SelectItem, SetExpr, Statement as SqlStatement, TableFactor, Visit, Visitor,
};

use super::refused;
use crate::{Error, Result};

/// Columns, with every use of a name counted.
const COLUMNS_MAX: u64 = schemas::limits::QUERY_EXPANDED_COLUMNS_MAX;
/// Expressions, with every use of a name counted.
const EXPRESSIONS_MAX: u64 = schemas::limits::QUERY_EXPANDED_EXPRESSIONS_MAX;
/// What a table of the record counts for: about the columns that it has.
const TABLE_COLUMNS: u64 = 64;
/// What a query counts for beside its columns: the nodes of a plan that it becomes.
const QUERY_COLUMNS: u64 = 8;

/// An upper bound of what the planner makes of a query.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    /// No node of its plan is wider than this, and there are no more nodes than that.
    columns: u64,
    expressions: u64,
    /// About how many columns come out: a query over it is at least as wide.
    width: u64,
}

impl Weight {
    fn add(&mut self, other: Weight) {
        self.columns = self.columns.saturating_add(other.columns);
        self.expressions = self.expressions.saturating_add(other.expressions);
    }

    fn check(self) -> Result<()> {
        if self.columns > COLUMNS_MAX {
            return Err(refused(
                "too_many_tables",
                format!(
                    "tables and queries in WITH, counted as often as they are named, have more than \
                     {COLUMNS_MAX} columns; name them less often"
                ),
            ));
        }
        if self.expressions > EXPRESSIONS_MAX {
            return Err(refused(
                "too_many_expressions",
                format!(
                    "queries in WITH, counted as often as they are named, have more than \
                     {EXPRESSIONS_MAX} expressions; name them less often"
                ),
            ));
        }
        Ok(())
    }
}

/// A query that the walk is in.
struct Open {
    /// Names of its WITH that are still to come, the next one last: they are walked before its body.
    names: Vec<String>,
    weight: Weight,
    /// Columns of what it reads, of what it lists, and whether it takes all that it reads.
    inputs: u64,
    listed: u64,
    has_wildcard: bool,
}

impl Open {
    /// About how many columns come out.
    fn width(&self) -> u64 {
        if self.has_wildcard { self.inputs.saturating_add(self.listed) } else { self.listed }
    }
}

/// Scopes are not kept apart: of two queries with one name, in whatever scope or spelling, the heavier one is
/// taken. A name is walked before it can be used, so what is not known yet is a table.
#[derive(Default)]
struct Weigher {
    open: Vec<Open>,
    known: HashMap<String, Weight>,
}

/// Refuses a statement that would be planned as something very large.
///
/// # Errors
/// [`Error::Refused`].
pub(super) fn check(statement: &SqlStatement) -> Result<()> {
    match statement.visit(&mut Weigher::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

impl Weigher {
    fn add(&mut self, weight: Weight) {
        if let Some(open) = self.open.last_mut() {
            open.weight.add(weight);
        }
    }

    /// The query that the walk is in reads this.
    fn read(&mut self, weight: Weight) {
        self.add(weight);
        if let Some(open) = self.open.last_mut() {
            open.inputs = open.inputs.saturating_add(weight.width);
        }
    }

    /// A query is over: it is what a name stands for, or a part of the query around it.
    fn close(&mut self) -> Result<()> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let width = open.width();
        let mut weight = Weight { width, ..open.weight };
        weight.columns = weight.columns.saturating_add(width);
        weight.check()?;
        match self.open.last_mut().and_then(|around| around.names.pop()) {
            Some(name) => {
                let known = self.known.entry(name).or_default();
                known.columns = known.columns.max(weight.columns);
                known.expressions = known.expressions.max(weight.expressions);
                known.width = known.width.max(weight.width);
            }
            None => self.read(weight),
        }
        Ok(())
    }
}

/// Columns of the VALUES of a query.
pub(super) fn values_columns(query: &Query) -> usize {
    let (mut columns, mut at) = (0, vec![query.body.as_ref()]);
    while let Some(body) = at.pop() {
        match body {
            SetExpr::Values(values) => columns += values.rows.iter().map(|row| row.len()).max().unwrap_or(0),
            SetExpr::SetOperation { left, right, .. } => at.extend([left.as_ref(), right.as_ref()]),
            _ => {}
        }
    }
    columns
}

impl Visitor for Weigher {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        let mut names: Vec<String> = with.map(|cte| cte.alias.name.value.to_lowercase()).collect();
        names.reverse();
        let typed = query.with.iter().flat_map(|with| &with.cte_tables).flat_map(|cte| &cte.alias.columns);
        if typed.into_iter().any(|column| column.data_type.is_some()) {
            // A type may hold queries, which the planner never looks at.
            let what = "a column of a WITH has a type; leave it out, and CAST in the query".to_string();
            return ControlFlow::Break(refused("statement_not_allowed", what));
        }
        let listed = values_columns(query) as u64;
        let weight = Weight { columns: QUERY_COLUMNS, expressions: 0, width: 0 };
        self.open.push(Open { names, weight, inputs: 0, listed, has_wildcard: false });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<Error> {
        match self.close() {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        if let Some(open) = self.open.last_mut() {
            open.listed = open.listed.saturating_add(select.projection.len() as u64);
            open.has_wildcard |= select
                .projection
                .iter()
                .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        // A subquery is added when it is over.
        if let TableFactor::Table { name, .. } = factor {
            let name = match name.0.as_slice() {
                [part] => part.as_ident().map(|ident| ident.value.to_lowercase()),
                _ => None,
            };
            let known = name.and_then(|name| self.known.get(&name).copied());
            self.read(known.unwrap_or(Weight {
                columns: TABLE_COLUMNS,
                expressions: 0,
                width: TABLE_COLUMNS,
            }));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<Error> {
        self.add(Weight { columns: 0, expressions: 1, width: 0 });
        ControlFlow::Continue(())
    }
}
