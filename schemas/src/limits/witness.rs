//! Witnesses: what is asked of them, what they answer, how often.

/// Hashes of a consistency proof in one request (C2SP tlog-witness).
pub const WITNESS_PROOF_HASHES_MAX: usize = 63;
/// Bytes of a request: a checkpoint may carry 16 signatures of 5 kB each, as C2SP signed-note has it.
pub const WITNESS_REQUEST_BYTES_MAX: usize = 128 << 10;
/// Bytes that are read of a witness's answer.
pub const WITNESS_ANSWER_BYTES_MAX: usize = 64 << 10;
/// Bytes of a policy file.
pub const WITNESS_POLICY_BYTES_MAX: usize = 1 << 20;
/// Logs of a policy; C2SP tlog-policy recommends 32 at least. A witness's list of logs is one too.
pub const WITNESS_POLICY_LOGS_MAX: usize = 4_096;
/// Witnesses of a policy: a note that all of them cosigned has the log's line too.
pub const WITNESS_POLICY_WITNESSES_MAX: usize = 63;
const _: () = assert!(WITNESS_POLICY_WITNESSES_MAX < super::NOTE_SIGNATURES_MAX);
/// Groups of a policy.
pub const WITNESS_POLICY_GROUPS_MAX: usize = 64;
/// Seconds that a cosignature may be ahead of our clock.
pub const WITNESS_AHEAD_S_MAX: u64 = 300;
/// The largest time of a cosignature, seconds (C2SP tlog-cosignature).
pub const WITNESS_TIME_S_MAX: u64 = i64::MAX as u64;

/// Seconds between two checkpoints that are handed to witnesses.
pub const WITNESS_INTERVAL_S: u64 = 10;
/// The longest that it may be told.
pub const WITNESS_INTERVAL_S_MAX: u64 = 86_400;
/// Milliseconds that one answer may take.
pub const WITNESS_TIMEOUT_MS: u64 = 15_000;
/// Milliseconds that a connection may take to come about.
pub const WITNESS_CONNECT_TIMEOUT_MS: u64 = 5_000;
/// Milliseconds after which a connection over which nothing goes is given up.
pub const WITNESS_IDLE_MS: u64 = 60_000;
/// Requests of one hand-over at most: a witness that says another size each time is left alone for a while.
pub const WITNESS_REQUESTS_MAX: u32 = 8;
/// First and longest wait before a witness that is away is tried again, milliseconds.
pub const WITNESS_RETRY_FIRST_MS: u64 = 1_000;
/// See [`WITNESS_RETRY_FIRST_MS`].
pub const WITNESS_RETRY_LONGEST_MS: u64 = 300_000;
/// The longest that a witness may ask for, seconds.
pub const WITNESS_RETRY_AFTER_S_MAX: u64 = 3_600;
/// Checkpoints that wait for more cosignatures; older ones are forgotten.
pub const WITNESS_PENDING_MAX: usize = 16;
/// Characters that are kept of why a witness did not cosign.
pub const WITNESS_REASON_CHARS_MAX: usize = 400;

/// Milliseconds within which a request has come and an answer gone.
pub const WITNESS_REQUEST_MS_MAX: u64 = 15_000;
/// Milliseconds that requests in flight may take once a witness is told to end.
pub const WITNESS_END_MS_MAX: u64 = 10_000;
/// Bytes of a key file of a witness.
pub const WITNESS_KEY_BYTES_MAX: usize = 4_096;

const _: () = assert!(WITNESS_RETRY_FIRST_MS <= WITNESS_RETRY_LONGEST_MS);
const _: () = assert!(WITNESS_INTERVAL_S <= WITNESS_INTERVAL_S_MAX);
const _: () = assert!(WITNESS_CONNECT_TIMEOUT_MS < WITNESS_TIMEOUT_MS);
