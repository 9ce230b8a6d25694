//! What comes in: bodies, values, admission, connections.

/// Bytes of one HTTP request body, as sent.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Bytes of one HTTP request body, decompressed.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;
/// Connections at once on one port, where half the limit of file descriptors allows twice as many.
pub const HTTP_CONNECTIONS_MAX: usize = 4096;
/// Connections at once on the local socket: strangers on the network do not shut it out.
pub const SOCKET_CONNECTIONS_MAX: usize = 64;
/// Milliseconds from one request, or the connection's start, to the end of the next request's head.
pub const HTTP_HEAD_TIMEOUT_MS: u64 = 30_000;
/// Bytes of one JSON value in a body.
pub const VALUE_BYTES_MAX: usize = 16 << 20;
/// Depth of one JSON value.
pub const JSON_DEPTH_MAX: usize = 64;
/// Keys in one event object.
pub const EVENT_KEYS_MAX: usize = 1024;
/// Values in one body.
pub const BODY_VALUES_MAX: usize = 200_000;
/// Rejected values described in one answer; the count is not capped.
pub const REJECTED_LISTED_MAX: usize = 100;
/// Characters of a source's text quoted in an error message.
pub const QUOTED_CHARS_MAX: usize = 80;
/// Bytes of request bodies in flight, for the whole process.
pub const ADMISSION_BYTES: usize = 256 << 20;
/// Bytes of request bodies in flight, for one tenant.
pub const ADMISSION_TENANT_BYTES: usize = 192 << 20;
/// Bytes that a body's declared length reserves before anything of it is here; the rest is reserved as it comes.
pub const ADMISSION_AHEAD_BYTES: usize = 64 << 10;
/// Seconds in the `Retry-After` of a 429 or 503.
pub const RETRY_AFTER_S: u64 = 1;
/// Bytes of a database of countries, which is held in memory.
pub const INGEST_COUNTRY_DATABASE_BYTES_MAX: u64 = 1 << 30;
/// Idle time after which the same caller is in a new derived session, in microseconds.
pub const SESSION_IDLE_US: i64 = 1800 * 1_000_000;
/// Derived sessions remembered per tenant.
pub const SESSIONS_TRACKED_MAX: usize = 100_000;
/// Longest word of [`VERBS`], in bytes.
pub const INGEST_VERB_BYTES_MAX: usize = 12;
/// Microseconds of 0000-01-01T00:00:00Z.
pub const INGEST_US_MIN: i64 = -62_167_219_200_000_000;
/// Microseconds of 9999-12-31T23:59:59.999999Z.
pub const INGEST_US_MAX: i64 = 253_402_300_799_999_999;
/// Milliseconds to wait before the next connection where the process has no file descriptor left.
pub const HTTP_ACCEPT_PAUSE_MS: u64 = 100;
/// Seconds' worth of its rate that a credential may send at once.
pub const INGEST_RATE_BURST_S: i64 = 10;
/// The highest rate that can be set, in bytes a second; above it no limit is meant.
pub const INGEST_RATE_BYTES_S_MAX: u64 = 1 << 40;
/// Credentials whose rates are kept apart; those that owe nothing are forgotten past it.
pub const INGEST_RATED_CREDENTIALS_MAX: usize = 65_536;
/// How long an answer waits for the checkpoint that covers it, where one is asked for: signing comes once a second.
pub const INGEST_RECEIPT_WAIT_MS: u64 = 3_000;
