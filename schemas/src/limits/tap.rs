//! The tap: what it copies, what it holds while the service is away, how long it waits.

/// Bytes of one read on the copying path.
pub const TAP_READ_BYTES: usize = 64 << 10;
/// How long the observer naps between looks while messages pass: longer than a call, and short enough for its queue.
pub const TAP_NAP_MS: u64 = 5;
/// How long it naps so after the last one before it sleeps until it is woken.
pub const TAP_WAKEFUL_MS: u64 = 1_000;
/// Bytes copied for the observer and not yet seen by it. Beyond them it misses messages, and says how many.
pub const TAP_QUEUED_BYTES_MAX: usize = 32 << 20;
/// Pieces copied for the observer and not yet seen by it.
pub const TAP_QUEUED_PIECES_MAX: usize = 16 << 10;
/// Bytes of one message that is read; a longer one passes through and is counted.
pub const TAP_MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes of arguments, and of a result, that are recorded; longer ones are left out, and the event says so.
pub const TAP_VALUE_BYTES_MAX: usize = 4 << 20;
/// Requests that wait for their reply; beyond them the oldest is recorded as unanswered.
pub const TAP_PENDING_MAX: usize = 4096;
/// Bytes that such requests may hold.
pub const TAP_PENDING_BYTES_MAX: usize = 16 << 20;
/// Bytes of one event; over them its largest values are left out, and the event says so.
pub const TAP_EVENT_BYTES_MAX: usize = 12 << 20;
/// Bytes of a field at which it is among those that may be left out for that.
pub const TAP_LARGE_FIELD_BYTES: usize = 64 << 10;
/// Bytes of a name or a version of either end, as JSON; of a longer one the beginning is recorded, and the event says so.
pub const TAP_IDENTITY_BYTES_MAX: usize = 1 << 10;
/// Bytes of an id, a token or a name that is held to be found again; a longer one is held as its hash.
pub const TAP_KEY_BYTES_MAX: usize = 256;
/// Bytes of the last progress of a request, held while it waits; longer ones are left out, and the event says so.
pub const TAP_PROGRESS_BYTES_MAX: usize = 64 << 10;
/// Bytes of a tool's annotations that are held; longer ones are left out, and the event says so.
pub const TAP_ANNOTATIONS_BYTES_MAX: usize = 4 << 10;
/// Messages of one batch that are read; those beyond are counted.
pub const TAP_BATCH_MESSAGES_MAX: usize = 4096;
/// Tools of one list that are read; those beyond are counted.
pub const TAP_LISTED_TOOLS_MAX: usize = 4096;
/// Tool definitions known at once, and states of calls in several rounds.
pub const TAP_KNOWN_MAX: usize = 4096;
/// Bytes of a spool directory, all taps in it together.
pub const TAP_SPOOL_BYTES_MAX: u64 = 256 << 20;
/// Bytes beyond them that are kept for saying what was dropped.
pub const TAP_SPOOL_RESERVE_BYTES: u64 = 64 << 10;
/// Names that a run tries for its directory.
pub const TAP_SPOOL_NAMES_MAX: u32 = 4;
/// Bytes at which a file of the spool is followed by the next.
pub const TAP_SPOOL_FILE_BYTES: u64 = 1 << 20;
/// Bytes after which a request to the service is full.
pub const TAP_BATCH_BYTES: usize = 1 << 20;
/// Events in one request to the service.
pub const TAP_BATCH_EVENTS_MAX: usize = 1000;
/// Milliseconds until a request that failed is tried again, at first.
pub const TAP_RETRY_FIRST_MS: u64 = 100;
/// Milliseconds until it is tried again, at most.
pub const TAP_RETRY_LONGEST_MS: u64 = 15_000;
/// Milliseconds that one request may take.
pub const TAP_SEND_TIMEOUT_MS: u64 = 30_000;
/// Bytes of an answer of the service that are read.
pub const TAP_ANSWER_BYTES_MAX: usize = 4 << 20;
/// Milliseconds that the tap goes on sending once the server has ended.
pub const TAP_DRAIN_MS: u64 = 10_000;
/// Milliseconds that the server's start waits for the relay; then it runs unobserved.
pub const TAP_START_TIMEOUT_MS: u64 = 5_000;
/// Milliseconds between looks for what ended taps left behind.
pub const TAP_ADOPT_INTERVAL_MS: u64 = 30_000;
/// Milliseconds that the observer lets copies gather, so that it wakes seldom while messages flow.
pub const TAP_GATHER_MS: u64 = 2;
/// Microseconds between notices of what was missed.
pub const TAP_NOTICE_INTERVAL_US: i64 = 10 * 1_000_000;
/// Seconds between heartbeats, unless the tap is told otherwise.
pub const TAP_HEARTBEAT_S: u32 = 60;
/// Milliseconds between syncs of the spool while the service is away.
pub const TAP_SYNC_INTERVAL_MS: u64 = 1_000;
/// How often a tap asks for the checkpoint that covers what was taken: the answer to that request waits for it.
pub const TAP_RECEIPT_INTERVAL_MS: u64 = 30_000;
