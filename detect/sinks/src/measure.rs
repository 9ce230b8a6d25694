//! What sinks count, a label a sink. No tenant is named: whoever may read metrics need not be allowed to know them.

use metrics::{counter, gauge};

pub(crate) fn settled(sink: &str, taken: usize, refused: usize) {
    let count = |fate: &'static str, messages: usize| {
        counter!("tacho_sink_messages_total", "sink" => sink.to_owned(), "fate" => fate)
            .increment(messages as u64);
    };
    count("taken", taken);
    count("refused", refused);
}

pub(crate) fn retried(sink: &str) {
    counter!("tacho_sink_retries_total", "sink" => sink.to_owned()).increment(1);
}

/// Whether the last hand-over went well, entries not yet settled, seconds since the first of them was recorded, and dead letters.
pub(crate) fn standing(sink: &str, is_up: bool, lag: u64, oldest_s: f64, dead: u64) {
    gauge!("tacho_sink_up", "sink" => sink.to_owned()).set(f64::from(u8::from(is_up)));
    gauge!("tacho_sink_lag_entries", "sink" => sink.to_owned()).set(lag as f64);
    gauge!("tacho_sink_oldest_seconds", "sink" => sink.to_owned()).set(oldest_s);
    gauge!("tacho_sink_dead_letters", "sink" => sink.to_owned()).set(dead as f64);
}
