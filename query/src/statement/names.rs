//! A name for every subquery that has none.
//!
//! The optimiser of DataFusion 55 drops one of two directly nested projections that read the same
//! (<https://github.com/apache/datafusion/pull/24686>): `SELECT i + 1 AS i FROM (SELECT i + 1 AS i FROM ...)` added one
//! and not two. With a name between them they are not directly nested.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{Ident, TableAlias, TableFactor, VisitMut, VisitorMut};

struct Names {
    given: usize,
}

impl VisitorMut for Names {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Derived { alias: alias @ None, .. } = factor {
            self.given += 1;
            let name = Ident::new(format!("__subquery_{}", self.given));
            *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
        }
        ControlFlow::Continue(())
    }
}

/// Names the subqueries in FROM that have no name.
pub(super) fn name_subqueries(statement: &mut Parsed) {
    let mut names = Names { given: 0 };
    let flow = match statement {
        Parsed::Statement(sql) => VisitMut::visit(sql.as_mut(), &mut names),
        Parsed::Explain(explain) => match explain.statement.as_mut() {
            Parsed::Statement(sql) => VisitMut::visit(sql.as_mut(), &mut names),
            _ => ControlFlow::Continue(()),
        },
        _ => ControlFlow::Continue(()),
    };
    debug_assert!(flow.is_continue(), "naming never stops early");
}
