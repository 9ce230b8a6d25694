//! The transports of sinks.

/// Bytes of a file, or of a variable, that holds a credential of a sink.
pub const SINK_CREDENTIAL_BYTES_MAX: u64 = 64 << 10;
/// Bytes of a certificate or key file of a sink.
pub const SINK_TLS_FILE_BYTES_MAX: u64 = 1 << 20;
/// Default of how long a sink waits for one answer, in milliseconds.
pub const SINK_TIMEOUT_MS: u64 = 15_000;
/// The shortest and longest that it may be told to.
pub const SINK_TIMEOUT_MS_MIN: u64 = 100;
/// See above.
pub const SINK_TIMEOUT_MS_MAX: u64 = 300_000;
/// Milliseconds that a connection may take to come about.
pub const SINK_CONNECT_TIMEOUT_MS: u64 = 5_000;
/// Milliseconds after which a connection over which nothing goes is given up.
pub const SINK_IDLE_MS: u64 = 30_000;
/// Bytes that are read of an answer.
pub const SINK_ANSWER_BYTES_MAX: usize = 64 << 10;
/// Milliseconds for which the rest of an answer is read whose status says everything, so that its connection can be used again.
pub const SINK_DRAIN_MS: u64 = 500;
/// Seconds that a receiver may ask to be left alone at most.
pub const SINK_RETRY_AFTER_S_MAX: u64 = 3_600;
/// Headers that a sink may be told to add.
pub const SINK_HEADERS_MAX: usize = 32;
/// Bytes of the bodies of one request of several messages; a single message may be larger.
pub const SINK_REQUEST_BYTES: usize = 4 << 20;
/// Messages that a transport asks for at once where one request carries several.
pub const SINK_BATCH_MAX: usize = 256;
/// The same where each has a request of its own.
pub const SINK_BATCH_SINGLE_MAX: usize = 16;
/// Bytes of one line of a file; also of what one `write` is for.
pub const SINK_FILE_LINE_BYTES_MAX: usize = 16 << 20;

/// Keys that a webhook is signed with at once.
pub const WEBHOOK_KEYS_MAX: usize = 8;
/// Bytes of a shared secret, as Standard Webhooks has them.
pub const WEBHOOK_SECRET_BYTES_MIN: usize = 24;
/// See above.
pub const WEBHOOK_SECRET_BYTES_MAX: usize = 64;

/// Bytes that are read of the answer to a bulk request.
pub const BULK_ANSWER_BYTES_MAX: usize = 4 << 20;
/// Bytes of the name of an index or data stream.
pub const BULK_INDEX_BYTES_MAX: usize = 255;
/// Bytes that are told of the type of an error.
pub const BULK_ERROR_TYPE_BYTES_MAX: usize = 64;

/// Milliseconds before an acknowledgement is asked for first, and between later times.
pub const HEC_ACK_POLL_FIRST_MS: u64 = 100;
/// See above.
pub const HEC_ACK_POLL_LONGEST_MS: u64 = 2_000;
/// Default of how long an acknowledgement is waited for before its events are sent again, in milliseconds.
pub const HEC_ACK_TIMEOUT_MS: u64 = 120_000;
/// The longest that it may be told to wait.
pub const HEC_ACK_TIMEOUT_MS_MAX: u64 = 1_800_000;

/// Default of how many bytes a syslog message has at most, framing aside.
pub const SYSLOG_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// The smallest that it may be told: what every receiver of syslog over TLS must take (RFC 5425, 4.3.1).
pub const SYSLOG_MESSAGE_BYTES_MIN: usize = 2_048;
/// Bytes that a receiver may say; the protocol has it say nothing.
pub const SYSLOG_PEER_BYTES_MAX: usize = 64 << 10;
/// Milliseconds between two looks at what the receiver's machine has acknowledged: the first, and the longest.
pub const SYSLOG_ACKNOWLEDGED_POLL_FIRST_MS: u64 = 1;
/// See above.
pub const SYSLOG_ACKNOWLEDGED_POLL_LONGEST_MS: u64 = 100;
/// Milliseconds for which what a receiver has said is waited to be whole.
pub const SYSLOG_READ_WAIT_MS: u64 = 10;
/// Milliseconds for which a receiver may take to say behind the handshake of TLS 1.3 that it lets us in, or does not.
pub const SYSLOG_TICKET_WAIT_MS: u64 = 500;
/// Sockets that are looked through for the one that is asked about.
pub const SYSLOG_SOCKETS_MAX: usize = 200_000;

const _: () = assert!(SINK_TIMEOUT_MS_MIN < SINK_TIMEOUT_MS && SINK_TIMEOUT_MS <= SINK_TIMEOUT_MS_MAX);
const _: () = assert!(WEBHOOK_SECRET_BYTES_MIN < WEBHOOK_SECRET_BYTES_MAX);
const _: () =
    assert!(HEC_ACK_POLL_FIRST_MS < HEC_ACK_POLL_LONGEST_MS && HEC_ACK_TIMEOUT_MS <= HEC_ACK_TIMEOUT_MS_MAX);
const _: () = assert!(SYSLOG_MESSAGE_BYTES_MIN < SYSLOG_MESSAGE_BYTES_MAX);
