//! Gates.

/// What a gate says where it has no number: larger than any condition that a script can hold it against, and still a
/// number of 32 bits.
pub const GATE_NO_ANSWER: i64 = 2_147_483_647;
/// Seconds of the shortest window of a gate.
pub const GATE_WINDOW_S_MIN: i64 = 1;
/// Seconds of the longest window of a gate.
pub const GATE_WINDOW_S_MAX: i64 = 7 * 86_400;
/// Decided calls in an hour that make it count for the baseline of the denial gate.
pub const GATE_BASELINE_CALLS_MIN: i64 = 20;
/// Days with such an hour that make a baseline.
pub const GATE_BASELINE_DAYS_MIN: usize = 3;
/// Days after which an approval that nobody decided is forgotten by its gate.
pub const GATE_QUEUE_DAYS_MAX: i64 = 90;
/// Milliseconds that a gate waits for the detector to come to what is durable.
pub const GATE_DETECTOR_WAIT_MS: u64 = 5_000;
