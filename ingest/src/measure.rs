//! Counters. For events `received = durable + duplicate + refused + not recorded` holds once every request is answered.

use metrics::counter;

/// What became of the events of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// In the log now.
    pub(crate) durable: u64,
    /// In the log before.
    pub(crate) duplicate: u64,
    /// Not taken: bad values, or good ones that the store did not take.
    pub(crate) refused: u64,
    /// Telemetry that is no tool activity: acknowledged, and meant to go no further.
    pub(crate) not_recorded: u64,
}

/// Counts the events of one request.
pub(crate) fn events(Outcome { durable, duplicate, refused, not_recorded }: Outcome) {
    counter!("tacho_ingest_events_received_total").increment(durable + duplicate + refused + not_recorded);
    counter!("tacho_ingest_events_durable_total").increment(durable);
    counter!("tacho_ingest_events_duplicate_total").increment(duplicate);
    counter!("tacho_ingest_events_refused_total").increment(refused);
    counter!("tacho_ingest_events_not_recorded_total", "reason" => "no_tool_activity")
        .increment(not_recorded);
}

/// Counts a body, as sent and unwrapped.
pub(crate) fn body(sent: usize, unwrapped: usize) {
    counter!("tacho_ingest_bytes_received_total").increment(sent as u64);
    counter!("tacho_ingest_bytes_unwrapped_total").increment(unwrapped as u64);
}

/// Counts a request by the code of its answer, `ok` for a good one.
pub(crate) fn request(code: &'static str) {
    counter!("tacho_ingest_requests_total", "code" => code).increment(1);
}
