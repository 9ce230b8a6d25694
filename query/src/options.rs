//! What the owner of a [`Query`](crate::Query) decides.

use std::sync::Arc;

use futures::future::BoxFuture;
use redact::Redactor;
use schemas::limits;

use crate::gate::GateSettings;
use crate::memory;
use crate::policy::{ColumnKey, Policies};
use crate::spill::SpillOptions;

/// The present time in microseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;
/// A new identifier that was never given before, at most 48 bytes: a UUIDv7.
pub type Identifiers = Arc<dyn Fn() -> String + Send + Sync>;

/// Why no gate may answer for a tenant now, such as a detector that is behind; `None` where nothing is in the way.
pub type GatesBlocked = Arc<dyn Fn(&str) -> BoxFuture<'static, Option<String>> + Send + Sync>;

/// Options of the query core.
#[derive(Clone)]
pub struct Options {
    /// The wall clock, for entries of the access log.
    pub clock: Clock,
    /// Where query ids come from.
    pub identifiers: Identifiers,
    /// Removes secrets from what the access log says.
    pub redactor: Arc<Redactor>,
    /// Threads that queries run on.
    pub threads: usize,
    /// Partitions of one query.
    pub partitions: usize,
    /// Milliseconds one query may run.
    pub deadline_ms: u64,
    /// Bytes of memory one query may hold.
    pub memory_bytes: usize,
    /// Bytes of memory all queries may hold together.
    pub memory_total_bytes: usize,
    /// Where queries put what does not fit their memory; `None`: they fail instead.
    pub spill: Option<SpillOptions>,
    /// Rows in one answer.
    pub rows_max: u64,
    /// Bytes in one answer.
    pub output_bytes_max: u64,
    /// Queries running at once.
    pub at_once: usize,
    /// Queries waiting for a place.
    pub waiting_max: usize,
    /// Milliseconds that queries may still run once the process is going down.
    pub finish_ms: u64,
    /// Whether the Parquet reader filters rows while it decodes.
    pub filters_in_decoder: bool,
    /// What roles may see, where that is not everything of their tables.
    pub policies: Policies,
    /// Keys of tenants that columns are hashed under.
    pub column_key: ColumnKey,
    /// Windows, targets and block conditions of the gates.
    pub gates: GateSettings,
    /// What else must be well before a gate answers.
    pub gates_blocked: GatesBlocked,
}

impl Options {
    /// The defaults of `schemas::limits`, and half the memory of this machine.
    pub fn new(clock: Clock, identifiers: Identifiers, redactor: Arc<Redactor>) -> Options {
        Options {
            clock,
            identifiers,
            redactor,
            threads: 2,
            partitions: 2,
            deadline_ms: limits::QUERY_DEADLINE_MS,
            memory_bytes: limits::QUERY_MEMORY_BYTES,
            memory_total_bytes: memory::half_of_machine(),
            spill: None,
            rows_max: limits::QUERY_ROWS_MAX,
            output_bytes_max: limits::QUERY_OUTPUT_BYTES_MAX,
            at_once: limits::QUERIES_AT_ONCE,
            waiting_max: limits::QUERIES_WAITING_MAX,
            finish_ms: limits::QUERY_FINISH_MS,
            filters_in_decoder: true,
            policies: Policies::default(),
            column_key: Arc::new(|_tenant| [0; 32]),
            gates: GateSettings::default(),
            gates_blocked: Arc::new(|_tenant| Box::pin(std::future::ready(None))),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("threads", &self.threads)
            .field("partitions", &self.partitions)
            .field("deadline_ms", &self.deadline_ms)
            .field("memory_bytes", &self.memory_bytes)
            .field("memory_total_bytes", &self.memory_total_bytes)
            .field("spill", &self.spill)
            .field("rows_max", &self.rows_max)
            .field("output_bytes_max", &self.output_bytes_max)
            .field("at_once", &self.at_once)
            .field("waiting_max", &self.waiting_max)
            .field("finish_ms", &self.finish_ms)
            .field("filters_in_decoder", &self.filters_in_decoder)
            .finish_non_exhaustive()
    }
}
