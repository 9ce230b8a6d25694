//! What the functions of one query may make together.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::common::Result;

use super::capped::within;
use crate::guard::Stop;

/// Bytes of all constants that functions make while a statement is planned.
const CONSTANTS_BYTES_MAX: u64 = schemas::limits::QUERY_CONSTANTS_BYTES_MAX;

/// Shared by all functions of one query.
///
/// All values that the expressions of a plan make of one batch can be alive at once, and no operator has
/// accounted for them yet. A limit for a batch is therefore divided among the expressions.
#[derive(Debug)]
pub(crate) struct Budget {
    stop: Arc<Stop>,
    /// Expressions that make values; 0 while the statement is planned.
    expressions: AtomicU64,
    constants: AtomicU64,
}

impl Budget {
    pub(crate) fn new(stop: Arc<Stop>) -> Budget {
        Budget { stop, expressions: AtomicU64::new(0), constants: AtomicU64::new(0) }
    }

    /// The plan is known: it has this many expressions that make values.
    pub(crate) fn planned(&self, expressions: u64) {
        self.expressions.store(expressions.max(1), Ordering::Relaxed);
    }

    /// What of `limit` one expression has.
    pub(super) fn share(&self, limit: u64) -> u64 {
        limit / self.expressions.load(Ordering::Relaxed).max(1)
    }

    /// A constant was made: while the statement is planned, all of them are kept.
    pub(super) fn constant(&self, bytes: u64) -> Result<()> {
        if self.expressions.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        self.constants.fetch_add(bytes, Ordering::Relaxed);
        self.check_constants()
    }

    /// Whether the constants made so far are too large. The optimiser takes an error of a function for a reason
    /// to leave the call where it is, so this must be asked once more after it.
    pub(crate) fn check_constants(&self) -> Result<()> {
        let bytes = self.constants.load(Ordering::Relaxed);
        within("bytes of the constants of one statement", bytes, CONSTANTS_BYTES_MAX)
    }

    /// Whether the query must end: a batch with many calls takes longer than between two batches.
    pub(super) fn check(&self) -> Result<()> {
        Ok(self.stop.check()?)
    }
}

// Functions are compared to find equal expressions within one query, which has one budget.
impl PartialEq for Budget {
    fn eq(&self, _: &Budget) -> bool {
        true
    }
}

impl Eq for Budget {}

impl Hash for Budget {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
