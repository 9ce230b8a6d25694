//! The functions that SQL may call: DataFusion's own, less those that reach outside the tables or make
//! values out of nothing, and with a lid on those that can make a small value large.

use std::sync::Arc;

use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};

mod allowed;
mod budget;
mod capped;
mod concatenation;

pub(crate) use budget::Budget;
use capped::{Bound, Capped};

/// Every function of a session, found once and shared.
#[derive(Debug)]
pub(crate) struct Functions {
    scalar: Vec<Arc<ScalarUDF>>,
    /// These get their lid with the budget of the query.
    bounded: Vec<(Arc<ScalarUDF>, Bound)>,
    higher_order: Vec<Arc<HigherOrderUDF>>,
    aggregate: Vec<Arc<AggregateUDF>>,
    window: Vec<Arc<WindowUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

impl Functions {
    /// The set.
    pub(crate) fn new() -> Functions {
        let present = SessionStateDefaults::default_scalar_functions()
            .into_iter()
            .filter(|function| allowed::SCALAR.contains(&function.name()));
        let (mut scalar, mut bounded) = (Vec::new(), Vec::new());
        for function in present {
            match Bound::of(function.name()) {
                Some(bound) => bounded.push((function, bound)),
                None => scalar.push(function),
            }
        }
        Functions {
            scalar,
            bounded,
            higher_order: SessionStateDefaults::default_higher_order_functions()
                .into_iter()
                .filter(|function| allowed::HIGHER_ORDER.contains(&function.name()))
                .collect(),
            aggregate: SessionStateDefaults::default_aggregate_functions()
                .into_iter()
                .filter(|function| allowed::AGGREGATE.contains(&function.name()))
                .collect(),
            window: SessionStateDefaults::default_window_functions()
                .into_iter()
                .filter(|function| allowed::WINDOW.contains(&function.name()))
                .collect(),
            planners: SessionStateDefaults::default_expr_planners(),
        }
    }

    /// Registers the set, and nothing else: no table functions, file formats or table factories.
    pub(crate) fn register(&self, builder: SessionStateBuilder, budget: &Arc<Budget>) -> SessionStateBuilder {
        let bounded = self.bounded.iter().map(|(function, bound)| {
            let capped = Capped::new(Arc::clone(function), *bound, Arc::clone(budget));
            Arc::new(ScalarUDF::new_from_impl(capped))
        });
        let concatenation = Arc::new(concatenation::Planner::new(budget)) as Arc<dyn ExprPlanner>;
        builder
            .with_expr_planners([concatenation].into_iter().chain(self.planners.clone()).collect())
            .with_scalar_functions(self.scalar.iter().cloned().chain(bounded).collect())
            .with_higher_order_functions(self.higher_order.clone())
            .with_aggregate_functions(self.aggregate.clone())
            .with_window_functions(self.window.clone())
    }
}

/// Whether the function called `name` can make much of little.
pub(crate) fn makes_much(name: &str) -> bool {
    name == concatenation::NAME || Bound::of(name).is_some()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn budget() -> Arc<Budget> {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
        Arc::new(Budget::new(Arc::new(crate::guard::Stop::new(deadline, 60_000))))
    }

    fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        names.into_iter().collect()
    }

    /// A function that a new DataFusion brings, or no longer has, is decided on here.
    #[test]
    fn every_function_of_the_engine_is_listed_or_left_out() {
        let theirs = SessionStateDefaults::default_scalar_functions();
        let listed = set(allowed::SCALAR.into_iter().chain(allowed::LEFT_OUT));
        assert_eq!(set(theirs.iter().map(|function| function.name())), listed);
        let theirs = SessionStateDefaults::default_higher_order_functions();
        assert_eq!(set(theirs.iter().map(|function| function.name())), set(allowed::HIGHER_ORDER));
        let theirs = SessionStateDefaults::default_aggregate_functions();
        assert_eq!(set(theirs.iter().map(|function| function.name())), set(allowed::AGGREGATE));
        let theirs = SessionStateDefaults::default_window_functions();
        assert_eq!(set(theirs.iter().map(|function| function.name())), set(allowed::WINDOW));
    }

    #[test]
    fn a_session_has_the_listed_functions_and_no_other() {
        let state = Functions::new().register(SessionStateBuilder::new(), &budget()).build();
        let names = |functions: BTreeSet<String>, listed: &[&str]| {
            assert_eq!(functions, listed.iter().map(|name| (*name).to_string()).collect());
        };
        names(
            state.scalar_functions().values().map(|function| function.name().to_string()).collect(),
            &allowed::SCALAR,
        );
        names(
            state.higher_order_functions().values().map(|function| function.name().to_string()).collect(),
            &allowed::HIGHER_ORDER,
        );
        names(
            state.aggregate_functions().values().map(|function| function.name().to_string()).collect(),
            &allowed::AGGREGATE,
        );
        names(
            state.window_functions().values().map(|function| function.name().to_string()).collect(),
            &allowed::WINDOW,
        );
        assert!(state.table_functions().is_empty());
        for name in allowed::LEFT_OUT {
            assert!(!state.scalar_functions().contains_key(name), "{name}");
        }
    }
}
