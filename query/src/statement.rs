//! From a text to one statement that may be planned: the first wall of the sandbox.
//!
//! Caps are held against the tokens before the parser sees them, because the parser recurses; the tree that
//! it makes is then held against an allow-list. What this lets through only reads.

use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement as Parsed};
use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, SetExpr, Statement as SqlStatement, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use schemas::limits::{SQL_BYTES_MAX, SQL_IN_LIST_MAX};
use schemas::principal::Role;

use crate::{Error, Result};

mod known;
mod labels;
mod names;
mod nothing;
mod postgres;
mod tokens;
mod weight;

pub(crate) use labels::shown;
pub(crate) use postgres::parse_postgres;
pub(crate) use tokens::{Piece, split};

/// Tables and subqueries in one statement.
const RELATIONS_MAX: usize = schemas::limits::QUERY_RELATIONS_MAX;
/// Columns that one SELECT or one row of VALUES may list.
const ITEMS_MAX: usize = schemas::limits::QUERY_SELECT_ITEMS_MAX;
/// Sets that all CUBE, ROLLUP and GROUPING SETS of one statement may make together.
const GROUPINGS_MAX: usize = schemas::limits::QUERY_GROUPINGS_MAX;
/// Recursion of the parser: one level of nesting in the text takes it through several of its functions.
const PARSER_DEPTH_MAX: usize = schemas::limits::QUERY_PARSER_DEPTH_MAX;

/// Parses `sql` and checks that it is one query that `role` may ask.
///
/// Must run on a thread with a large stack: see [`crate::core::STACK_BYTES`].
///
/// # Errors
/// [`Error::Syntax`], [`Error::TooLarge`], [`Error::Refused`], [`Error::Forbidden`].
pub(crate) fn parse(sql: &str, role: Role) -> Result<Parsed> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(Error::TooLarge { what: "the SQL text in bytes", limit: SQL_BYTES_MAX as u64 });
    }
    let dialect = GenericDialect {};
    let tokens = tokens::tokenize(sql, &dialect)?;
    let mut statement = one(tokens, &dialect)?;
    check(&statement, role, Schemas::One)?;
    names::name_subqueries(&mut statement);
    Ok(statement)
}

/// The one statement that `tokens` are.
fn one(tokens: Vec<TokenWithSpan>, dialect: &dyn Dialect) -> Result<Parsed> {
    let mut statements = DFParserBuilder::new(tokens)
        .with_dialect(dialect)
        .with_recursion_limit(PARSER_DEPTH_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| Error::engine(&error, crate::error::Stage::Plan))?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        _ => Err(refused("statement_count", "exactly one statement is answered at a time")),
    }
}

/// Which names a table may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Schemas {
    /// One plain name: there is one schema.
    One,
    /// Also with a schema, and with a database before it: a client of PostgreSQL has three schemas, and nothing
    /// else is registered in its session.
    Several,
}

fn check(statement: &Parsed, role: Role, schemas: Schemas) -> Result<()> {
    match statement {
        Parsed::Statement(sql) => check_query(sql, schemas),
        // EXPLAIN shows paths and the predicates of views.
        Parsed::Explain(explain) if role.administers() => match explain.statement.as_ref() {
            Parsed::Statement(sql) => check_query(sql, schemas),
            _ => Err(not_allowed("EXPLAIN of this")),
        },
        Parsed::Explain(_) => Err(Error::Forbidden("EXPLAIN is for role admin".to_string())),
        Parsed::CopyTo(_) => Err(not_allowed("COPY")),
        Parsed::CreateExternalTable(_) => Err(not_allowed("CREATE EXTERNAL TABLE")),
        Parsed::Reset(_) => Err(not_allowed("RESET")),
    }
}

fn check_query(statement: &SqlStatement, schemas: Schemas) -> Result<()> {
    if !matches!(statement, SqlStatement::Query(_)) {
        return Err(not_allowed("this statement"));
    }
    let mut walls = Walls { relations: 0, groupings: 1, schemas };
    match statement.visit(&mut walls) {
        ControlFlow::Continue(()) => weight::check(statement),
        ControlFlow::Break(error) => Err(error),
    }
}

fn refused(code: &'static str, detail: impl Into<String>) -> Error {
    Error::Refused { code, detail: detail.into() }
}

fn not_allowed(what: &str) -> Error {
    refused("statement_not_allowed", format!("{what} is not answered here: ask with SELECT, WITH or VALUES"))
}

/// Walks the tree and stops at the first thing that is not on the list.
struct Walls {
    relations: usize,
    groupings: usize,
    schemas: Schemas,
}

impl Walls {
    fn body(&self, body: &SetExpr) -> Result<()> {
        let mut at = vec![body];
        while let Some(body) = at.pop() {
            match body {
                SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => {}
                // It would be a use of a table that nobody counts.
                SetExpr::Table(_) => return Err(not_allowed("TABLE")),
                SetExpr::SetOperation { left, right, .. } => {
                    at.push(left);
                    at.push(right);
                }
                SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                    return Err(not_allowed("a change inside a query"));
                }
            }
        }
        Ok(())
    }

    fn query(&self, query: &Query) -> Result<()> {
        if query.with.as_ref().is_some_and(|with| with.recursive) {
            return Err(refused("recursion_not_allowed", "WITH RECURSIVE is not answered here"));
        }
        if !query.locks.is_empty() || query.for_clause.is_some() {
            return Err(not_allowed("a FOR clause"));
        }
        if query.settings.is_some() || query.format_clause.is_some() || !query.pipe_operators.is_empty() {
            return Err(not_allowed("SETTINGS, FORMAT or |>"));
        }
        items(weight::values_columns(query))?;
        self.body(&query.body)
    }

    /// Every row of a batch is counted once for each set.
    fn grouping(&mut self, sets: usize) -> Result<()> {
        self.groupings = self.groupings.saturating_mul(sets.max(1));
        if self.groupings > GROUPINGS_MAX {
            return Err(refused("too_many_groupings", format!("more than {GROUPINGS_MAX} sets to group by")));
        }
        Ok(())
    }

    fn expr(&mut self, expr: &Expr) -> Result<()> {
        match expr {
            Expr::InList { list, .. } if list.len() > SQL_IN_LIST_MAX => {
                Err(refused("too_many_items", format!("more than {SQL_IN_LIST_MAX} items in IN")))
            }
            Expr::Cube(sets) => {
                let sets = u32::try_from(sets.len()).ok().and_then(|sets| 1usize.checked_shl(sets));
                self.grouping(sets.unwrap_or(usize::MAX))
            }
            Expr::Rollup(sets) => self.grouping(sets.len() + 1),
            Expr::GroupingSets(sets) => self.grouping(sets.len()),
            _ => Ok(()),
        }
    }

    fn factor(&mut self, factor: &TableFactor) -> Result<()> {
        self.relations += 1;
        if self.relations > RELATIONS_MAX {
            return Err(refused(
                "too_many_tables",
                format!("more than {RELATIONS_MAX} tables and subqueries"),
            ));
        }
        match factor {
            TableFactor::Table { name, args: None, version: None, json_path: None, .. } => {
                one_name(name, self.schemas)
            }
            TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } | TableFactor::UNNEST { .. } => {
                Ok(())
            }
            _ => Err(refused("function_not_allowed", "table functions are not answered here")),
        }
    }
}

/// A longer name than there are schemas for is looked for elsewhere.
fn one_name(name: &ObjectName, schemas: Schemas) -> Result<()> {
    match (name.0.as_slice(), schemas) {
        ([_], _) | ([_, _] | [_, _, _], Schemas::Several) => Ok(()),
        _ => Err(Error::Plan { detail: format!("table {name} not found"), position: None }),
    }
}

fn items(columns: usize) -> Result<()> {
    if columns > ITEMS_MAX {
        return Err(refused("too_many_columns", format!("more than {ITEMS_MAX} columns in one list")));
    }
    Ok(())
}

fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl Visitor for Walls {
    type Break = Error;

    fn pre_visit_statement(&mut self, statement: &SqlStatement) -> ControlFlow<Error> {
        match statement {
            SqlStatement::Query(_) => ControlFlow::Continue(()),
            _ => ControlFlow::Break(not_allowed("a statement inside a query")),
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        flow(self.query(query))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        match &select.into {
            Some(_) => ControlFlow::Break(not_allowed("SELECT INTO")),
            None => flow(items(select.projection.len())),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        flow(self.factor(factor))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        flow(self.expr(expr))
    }
}
