//! The functions that SQL may call: DataFusion's own, less those that reach outside the tables or make
//! values out of nothing, and with a lid on those that can make a small value large.

use std::sync::Arc;

use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};

mod capped;
mod concatenation;

use capped::{Bound, Capped};

/// Not registered: they show file names or versions, make 64-bit strings or unbounded lists.
const ABSENT: [&str; 15] = [
    "input_file_name",
    "file_row_index",
    "version",
    "arrow_cast",
    "arrow_try_cast",
    "cast_to_type",
    "try_cast_to_type",
    "with_metadata",
    "arrow_metadata",
    "range",
    "generate_series",
    "array_repeat",
    "array_resize",
    "list_repeat",
    "list_resize",
];

/// Every function of a session, made once and shared.
#[derive(Debug)]
pub(crate) struct Functions {
    scalar: Vec<Arc<ScalarUDF>>,
    higher_order: Vec<Arc<HigherOrderUDF>>,
    aggregate: Vec<Arc<AggregateUDF>>,
    window: Vec<Arc<WindowUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

impl Functions {
    /// The set.
    pub(crate) fn new() -> Functions {
        let scalar = SessionStateDefaults::default_scalar_functions()
            .into_iter()
            .filter(|function| {
                !ABSENT.contains(&function.name())
                    && !function.aliases().iter().any(|alias| ABSENT.contains(&alias.as_str()))
            })
            .map(|function| match Bound::of(function.name()) {
                Some(bound) => Arc::new(ScalarUDF::new_from_impl(Capped::new(function, bound))),
                None => function,
            })
            .collect();
        let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(concatenation::Planner::new())];
        planners.extend(SessionStateDefaults::default_expr_planners());
        Functions {
            scalar,
            higher_order: SessionStateDefaults::default_higher_order_functions(),
            aggregate: SessionStateDefaults::default_aggregate_functions(),
            window: SessionStateDefaults::default_window_functions(),
            planners,
        }
    }

    /// Registers the set, and nothing else: no table functions, file formats or table factories.
    pub(crate) fn register(&self, builder: SessionStateBuilder) -> SessionStateBuilder {
        builder
            .with_expr_planners(self.planners.clone())
            .with_scalar_functions(self.scalar.clone())
            .with_higher_order_functions(self.higher_order.clone())
            .with_aggregate_functions(self.aggregate.clone())
            .with_window_functions(self.window.clone())
    }
}
