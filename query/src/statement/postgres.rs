//! The same wall for a client that speaks PostgreSQL's SQL: its dialect, and what its catalogue queries need to be
//! planned here.
//!
//! The rewriting is that of `datafusion-pg-catalog`. Some of its rules let a query mean a little less than it says
//! (a COLLATE is dropped, a subquery takes its first row): these are for queries of the catalogue alone, never for
//! those of the record. The walls stand before and after it.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CastKind, DataType as SqlType, ExactNumberInfo, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName, Statement as SqlStatement,
    Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion_pg_catalog::pg_catalog::PG_CATALOG_TABLES;
use datafusion_pg_catalog::sql::rules::{
    AliasDuplicatedProjectionRewrite, CurrentUserVariableToSessionUserFunctionCall, FixArrayLiteral,
    PrependUnqualifiedPgTableName, RemoveSubqueryFromProjection, ResolveUnqualifiedIdentifier,
    RewriteArrayAnyAllOperation, RewritePgCatalogOperator, RewriteRegCastToSubquery, SqlStatementRewriteRule,
    StripCallableQualifier, StripCollate,
};
use schemas::limits::SQL_BYTES_MAX;
use schemas::principal::Role;

use super::{Schemas, check, known, labels, names, nothing, one, tokens};
use crate::{Error, Result};

/// For every query: what they make means the same.
static RULES: LazyLock<Vec<Arc<dyn SqlStatementRewriteRule>>> = LazyLock::new(|| {
    vec![
        Arc::new(RewriteArrayAnyAllOperation),
        Arc::new(PrependUnqualifiedPgTableName),
        Arc::new(StripCallableQualifier),
        Arc::new(CurrentUserVariableToSessionUserFunctionCall),
        Arc::new(RewritePgCatalogOperator),
    ]
});

/// For queries of the catalogue, in the order that their authors give them.
static CATALOGUE_RULES: LazyLock<Vec<Arc<dyn SqlStatementRewriteRule>>> = LazyLock::new(|| {
    vec![
        Arc::new(AliasDuplicatedProjectionRewrite),
        Arc::new(ResolveUnqualifiedIdentifier),
        Arc::new(RewriteArrayAnyAllOperation),
        Arc::new(PrependUnqualifiedPgTableName),
        Arc::new(StripCallableQualifier),
        Arc::new(FixArrayLiteral),
        Arc::new(CurrentUserVariableToSessionUserFunctionCall),
        Arc::new(StripCollate),
        Arc::new(RewritePgCatalogOperator),
        Arc::new(RewriteRegCastToSubquery::new()),
        Arc::new(RemoveSubqueryFromProjection),
    ]
});

/// Parses `sql` and checks that it is one query that `role` may ask. `declared` are the types that the client says
/// its parameters have.
///
/// Must run on a thread with a large stack: see [`crate::core::STACK_BYTES`].
///
/// # Errors
/// [`Error::Syntax`], [`Error::TooLarge`], [`Error::Refused`], [`Error::Forbidden`].
pub(crate) fn parse_postgres(sql: &str, role: Role, declared: &[Option<DataType>]) -> Result<Parsed> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(Error::TooLarge { what: "the SQL text in bytes", limit: SQL_BYTES_MAX as u64 });
    }
    let dialect = PostgreSqlDialect {};
    let tokens = tokens::tokenize(sql, &dialect)?;
    let mut statement = one(known::replace(tokens), &dialect)?;
    if let Parsed::Statement(sql) = statement {
        statement = Parsed::Statement(Box::new(nothing::replace(*sql)));
    }
    check(&statement, role, Schemas::Several)?;
    if let Parsed::Statement(sql) = statement {
        let mut sql = *sql;
        // Before the rewriting, which turns ANY into a function.
        let flow = VisitMut::visit(&mut sql, &mut Declared(declared));
        debug_assert!(flow.is_continue(), "casting never stops early");
        let mut sql = rewrite(sql);
        labels::label(&mut sql);
        statement = Parsed::Statement(Box::new(sql));
        check(&statement, role, Schemas::Several)?;
    }
    names::name_subqueries(&mut statement);
    Ok(statement)
}

fn rewrite(statement: SqlStatement) -> SqlStatement {
    let mut tables = Tables { of_record: 0, of_catalogue: 0 };
    let flow = Visit::visit(&statement, &mut tables);
    debug_assert!(flow.is_continue(), "counting never stops early");
    if tables.of_record > 0 && tables.of_catalogue == 0 {
        return RULES.iter().fold(statement, |statement, rule| rule.rewrite(statement));
    }
    let mut statement = CATALOGUE_RULES.iter().fold(statement, |statement, rule| rule.rewrite(statement));
    let flow = VisitMut::visit(&mut statement, &mut Escapes);
    debug_assert!(flow.is_continue(), "escaping never stops early");
    statement
}

/// What a statement reads. A name of a WITH counts as a table of the record: fewer rules, not more.
struct Tables {
    of_record: usize,
    of_catalogue: usize,
}

impl Visitor for Tables {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let part = |at: usize| relation.0.get(at).and_then(|part| part.as_ident());
        let is_schema = |name: &str| {
            name.eq_ignore_ascii_case("pg_catalog") || name.eq_ignore_ascii_case("information_schema")
        };
        let schema = relation.0.len().checked_sub(2).and_then(part);
        let is_catalogue = match (schema, part(0)) {
            (Some(schema), _) => is_schema(&schema.value),
            (None, Some(table)) => PG_CATALOG_TABLES.contains(&table.value.to_lowercase().as_str()),
            (None, None) => false,
        };
        if is_catalogue {
            self.of_catalogue += 1;
        } else {
            self.of_record += 1;
        }
        ControlFlow::Continue(())
    }
}

/// The engine knows one escape in patterns, the backslash: another becomes it.
struct Escapes;

impl VisitorMut for Escapes {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } = expr
            && let Some(Value::SingleQuotedString(escape)) = escape_char.as_ref().map(|escape| &escape.value)
            && escape != "\\"
        {
            let replace = |text: Expr, from: &str, to: &str| {
                let texts = [from, to].map(|text| Expr::value(Value::SingleQuotedString(text.to_string())));
                call("replace", [text].into_iter().chain(texts))
            };
            let escape = escape.clone();
            let own = std::mem::replace(pattern.as_mut(), Expr::value(Value::Null));
            **pattern = replace(replace(own, "\\", "\\\\"), &escape, "\\");
            *escape_char = None;
        }
        ControlFlow::Continue(())
    }
}

fn call(name: &str, arguments: impl IntoIterator<Item = Expr>) -> Expr {
    let arguments = arguments.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Casts parameters to the types that they were declared to have, so that the plan has them before it has values.
struct Declared<'a>(&'a [Option<DataType>]);

impl Declared<'_> {
    fn kind(&self, expr: &Expr) -> Option<SqlType> {
        let number = parameter(expr)?;
        match self.0.get(number.checked_sub(1)?)?.as_ref()? {
            DataType::Boolean => Some(SqlType::Boolean),
            DataType::Int16 => Some(SqlType::SmallInt(None)),
            DataType::Int32 => Some(SqlType::Integer(None)),
            DataType::Int64 => Some(SqlType::BigInt(None)),
            DataType::Float32 => Some(SqlType::Real),
            DataType::Float64 => Some(SqlType::Double(ExactNumberInfo::None)),
            DataType::Utf8 => Some(SqlType::Text),
            DataType::Binary => Some(SqlType::Bytea),
            DataType::List(item) => match item.data_type() {
                DataType::Utf8 => Some(list(SqlType::Text)),
                DataType::Int64 => Some(list(SqlType::BigInt(None))),
                DataType::Int32 => Some(list(SqlType::Integer(None))),
                DataType::Int16 => Some(list(SqlType::SmallInt(None))),
                _ => None,
            },
            _ => None,
        }
    }

    fn cast(&self, expr: &mut Expr, data_type: SqlType) {
        let inner = std::mem::replace(expr, Expr::value(Value::Null));
        let expr_inner = Box::new(inner);
        *expr = Expr::Cast { kind: CastKind::Cast, expr: expr_inner, data_type, array: false, format: None };
    }
}

/// The number of a parameter.
fn parameter(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) => {
            name.strip_prefix('$')?.parse().ok()
        }
        _ => None,
    }
}

fn list(item: SqlType) -> SqlType {
    SqlType::Array(ArrayElemTypeDef::SquareBracket(Box::new(item), None))
}

impl VisitorMut for Declared<'_> {
    type Break = ();

    // After its children: a parameter inside a cast is not looked at again.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(data_type) = self.kind(expr) {
            self.cast(expr, data_type);
        }
        // A list that a client gives no type is one of texts.
        if let Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } = expr
            && parameter(right).is_some()
        {
            self.cast(right, list(SqlType::Text));
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(sql: &str, declared: &[Option<DataType>]) -> Result<String> {
        parse_postgres(sql, Role::Auditor, declared).map(|statement| statement.to_string())
    }

    #[test]
    fn declared_parameters_are_cast_once() {
        let text = parsed("SELECT a FROM events WHERE b = $1 AND c = $2", &[Some(DataType::Int64), None]);
        assert_eq!(text.unwrap(), "SELECT a FROM events WHERE b = CAST($1 AS BIGINT) AND c = $2");
    }

    #[test]
    fn a_query_of_the_record_means_what_it_says() {
        let record = "SELECT (SELECT x FROM events) AS x FROM events";
        assert_eq!(parsed(record, &[]).unwrap(), record);
        let catalogue = parsed("SELECT (SELECT relname FROM pg_class) AS x FROM pg_class", &[]).unwrap();
        assert!(catalogue.contains("LIMIT 1") && catalogue.contains("pg_catalog.pg_class"), "{catalogue}");
    }

    #[test]
    fn the_walls_stand() {
        for (sql, code) in [
            ("COPY events TO 'x'", "statement_not_allowed"),
            ("COPY (SELECT 1) TO STDOUT", "statement_not_allowed"),
            ("INSERT INTO events VALUES (1)", "statement_not_allowed"),
            ("WITH RECURSIVE a AS (SELECT 1) SELECT * FROM a", "recursion_not_allowed"),
            ("SELECT * FROM generate_series(1, 1000000000)", "function_not_allowed"),
            ("SELECT * FROM pg_catalog.generate_series(1, 1000000000)", "function_not_allowed"),
            ("SELECT * INTO x FROM events", "statement_not_allowed"),
            ("SELECT * FROM a.b.c.d", "plan"),
            ("SELECT 1; SELECT 2", "statement_count"),
            ("SELECT * FROM events FOR UPDATE", "statement_not_allowed"),
            ("EXPLAIN SELECT 1", "forbidden"),
            ("DO $$ x $$", "statement_not_allowed"),
        ] {
            assert_eq!(parsed(sql, &[]).unwrap_err().code(), code, "{sql}");
        }
    }
}
