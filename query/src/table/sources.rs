//! Table `sources`: from where events come, whether they still do, and what is missing of them.
//!
//! It is a question over `events` as the role sees them, planned when a statement names the table: it says no more than
//! the role could ask itself. A role that does not see the columns it is made of has no such table.
//!
//! What is missing is known from `source_seq`, the number that a source gives its events, one after the other without
//! holes: within a session where a tap or a host numbers them, else within the source. Of the numbers between the least and
//! the greatest on record those that never came are missing. What a source lost before its first or after its last
//! number is not seen, which is what heartbeats are for, as they are numbered too.
//!
//! It must not know: how events are stored.

use arrow::datatypes::DataType;
use datafusion::common::TableReference;

use super::{Documented, time_type};
use crate::policy::{Policy, Treatment};

/// Its name.
pub(crate) const NAME: &str = "sources";

/// The columns of `events` that it is made of.
const MADE_OF: [&str; 9] =
    ["source", "observer", "kind", "method", "time", "ingest_time", "session_id", "source_seq", "log_index"];

/// The question. Numbers are a source's own word: those below nought are none, and a hole counts for at most 10^12.
pub(crate) const SQL: &str = "\
    WITH told AS (\
        SELECT source, observer, kind, method, time, ingest_time, session_id, source_seq, log_index \
        FROM events WHERE kind <> 'control'\
    ), runs AS (\
        SELECT source, \
            least(max(source_seq) - min(source_seq), 1000000000000) + 1 - count(DISTINCT source_seq) AS missing \
        FROM told WHERE source_seq >= 0 \
        GROUP BY source, CASE WHEN observer IN ('gateway', 'server') THEN '' ELSE session_id END\
    ), holes AS (\
        SELECT source, count(*) AS runs, sum(greatest(missing, 0)) AS missing FROM runs GROUP BY source\
    ), seen AS (\
        SELECT source, max(observer) AS observer, count(*) AS events, min(ingest_time) AS first_seen, \
            max(ingest_time) AS last_seen, max(time) AS last_event, \
            sum(CASE WHEN ingest_time > now() - INTERVAL '5 minutes' THEN 1 ELSE 0 END) AS recent, \
            last_value(CAST(to_timestamp_micros(ingest_time) AS BIGINT) - CAST(to_timestamp_micros(time) AS BIGINT) \
                ORDER BY log_index) AS lag_us, \
            sum(CASE WHEN kind = 'integrity' AND method = 'drop_notice' THEN 1 ELSE 0 END) AS drop_notices, \
            max(CASE WHEN kind = 'integrity' AND method = 'heartbeat' THEN ingest_time END) AS last_heartbeat \
        FROM told GROUP BY source\
    ) \
    SELECT seen.source AS source, seen.observer AS observer, seen.events AS events, seen.first_seen AS first_seen, \
        seen.last_seen AS last_seen, seen.last_event AS last_event, \
        CAST(to_timestamp_micros(now()) AS BIGINT) - CAST(to_timestamp_micros(seen.last_seen) AS BIGINT) AS silent_us, \
        seen.lag_us AS lag_us, CAST(seen.recent AS DOUBLE) / 300 AS events_per_s, \
        coalesce(holes.runs, 0) AS numbered_runs, holes.missing AS missing, \
        seen.drop_notices AS drop_notices, seen.last_heartbeat AS last_heartbeat \
    FROM seen LEFT JOIN holes ON holes.source = seen.source";

/// The columns.
pub(super) fn columns() -> Vec<Documented> {
    use DataType::{Float64, Int64, Utf8};
    vec![
        Documented::new("source", Utf8, "Collector, credential, mapping and its version, as in events."),
        Documented::new("observer", Utf8, "Where it observes."),
        Documented::new("events", Int64, "Events of it on record."),
        Documented::new("first_seen", time_type(), "When its first event was received."),
        Documented::new("last_seen", time_type(), "When its last event was received."),
        Documented::new("last_event", time_type(), "The latest time that an event of it bears."),
        Documented::new("silent_us", Int64, "Microseconds since its last event was received."),
        Documented::new("lag_us", Int64, "Microseconds from time to receipt of its last event."),
        Documented::new("events_per_s", Float64, "Events a second, over the last five minutes."),
        Documented::new(
            "numbered_runs",
            Int64,
            "Runs of numbers that its events bear, one a session or one.",
        ),
        Documented::new(
            "missing",
            Int64,
            "Numbers within these that never came; null where none is numbered.",
        ),
        Documented::new("drop_notices", Int64, "Notices in which it says what it did not record."),
        Documented::new("last_heartbeat", time_type(), "When it last said that it is alive."),
    ]
}

/// Whether a role under `policy` has it.
pub(super) fn is_there(policy: Option<&Policy>) -> bool {
    policy.is_none_or(|policy| {
        MADE_OF.iter().all(|column| policy.treatment("events", column) == Treatment::Keep)
    })
}

/// Whether a statement that names these tables asks for it.
pub(crate) fn is_among(tables: &[TableReference]) -> bool {
    tables.iter().any(|table| table.table() == NAME)
}
