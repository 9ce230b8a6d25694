//! Counters. For events `received = durable + duplicate + refused + not recorded` holds once every request is answered: what
//! is received is counted where a body is split, the others where it is known what became of them.

use std::collections::BTreeMap;

use metrics::counter;

use crate::error::Error;
use crate::http::answer;
use crate::rejected::Code;

/// How many events were refused, by the code of why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refusals(BTreeMap<&'static str, u64>);

impl Refusals {
    /// Counts `count` more that were refused for `code`.
    pub(crate) fn add(&mut self, code: &'static str, count: u64) {
        if count > 0 {
            *self.0.entry(code).or_default() += count;
        }
    }

    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

/// What a request holds, counted as it is split.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Events, good or bad: of a record of several calls each.
    pub(crate) received: u64,
    /// Those of them that are refused.
    pub(crate) refused: Refusals,
}

impl Tally {
    /// Counts a value that is refused.
    pub(crate) fn refuse(&mut self, code: Code) {
        self.refused.add(code.name(), 1);
    }
}

/// What became of the events of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// In the log now.
    pub(crate) durable: u64,
    /// In the log before.
    pub(crate) duplicate: u64,
    /// Not taken: bad values, or good ones that the store did not take.
    pub(crate) refused: Refusals,
    /// Telemetry that is no tool activity: acknowledged, and meant to go no further.
    pub(crate) not_recorded: u64,
}

/// Counts what a request holds; where it failed as a whole all of that is refused.
pub(crate) fn split<T>(parsed: Result<T, Error>, tally: &Tally) -> Result<T, Error> {
    received(tally.received);
    if let Err(error) = &parsed {
        let mut outcome = Outcome::default();
        outcome.refused.add(answer::code(error), tally.received);
        events(&outcome);
    }
    parsed
}

/// Counts events that came.
pub(crate) fn received(count: u64) {
    counter!("tacho_ingest_events_received_total").increment(count);
}

/// Counts what became of the events of one request.
pub(crate) fn events(Outcome { durable, duplicate, refused, not_recorded }: &Outcome) {
    counter!("tacho_ingest_events_durable_total").increment(*durable);
    counter!("tacho_ingest_events_duplicate_total").increment(*duplicate);
    // So that there is a sum before the first is refused.
    counter!("tacho_ingest_events_refused_total", "code" => Code::BadJson.name()).increment(0);
    for (code, count) in &refused.0 {
        counter!("tacho_ingest_events_refused_total", "code" => *code).increment(*count);
    }
    counter!("tacho_ingest_events_not_recorded_total", "reason" => "no_tool_activity")
        .increment(*not_recorded);
}

/// Counts a body, as sent and unwrapped, or as much of it as came.
pub(crate) fn body(sent: usize, unwrapped: usize) {
    counter!("tacho_ingest_bytes_received_total").increment(sent as u64);
    counter!("tacho_ingest_bytes_unwrapped_total").increment(unwrapped as u64);
}

/// Counts a request by the code of its answer, `ok` for a good one.
pub(crate) fn request(code: &'static str) {
    counter!("tacho_ingest_requests_total", "code" => code).increment(1);
}

#[cfg(test)]
mod tests;
