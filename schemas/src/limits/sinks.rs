//! Sinks: what is delivered to others.

/// Sinks of one service.
pub const SINKS_MAX: usize = 64;
/// Bytes of a sink's name: it is a directory and a label of metrics.
pub const SINK_NAME_BYTES_MAX: usize = 64;
/// Bytes of messages handed to a transport at once.
pub const SINK_BATCH_BYTES_MAX: usize = 4 << 20;
/// Entries that are looked at at once.
pub const SINK_ENTRIES_AT_ONCE: usize = 512;
/// Entries that are looked at in one step, where none of them is the sink's.
pub const SINK_ENTRIES_A_STEP: usize = 65_536;
/// Batches of one tenant in a row before another has its turn.
pub const SINK_BATCHES_A_TURN: usize = 64;
/// Tenants whose files a sink holds open between two turns.
pub const SINK_LANES_OPEN_MAX: usize = 16;
/// Hand-overs in a row that a tenant's message may keep the whole sink waiting for; after that it keeps its tenant waiting.
pub const SINK_AWAY_TOGETHER: u32 = 8;
/// Ranges that one tenant may have asked to be sent again at a time.
pub const SINK_RANGES_MAX: usize = 16;
/// Seconds after which a digest that was not taken is sent again.
pub const SINK_DIGEST_RETRY_S: i64 = 60;
/// Seconds after which a sink that could not be made is tried again.
pub const SINK_REMAKE_S: u64 = 10;
/// Runs of dead letters that a sink remembers of one tenant. When they are full it stops there: nothing is thrown away.
pub const SINK_DEAD_RUNS_MAX: usize = 4_096;
/// Replays that wait in a sink, of one tenant.
pub const SINK_REPLAYS_MAX: usize = SINK_DEAD_RUNS_MAX + SINK_RANGES_MAX;
/// Bytes of a reason that is kept of what the other side said.
pub const SINK_REASON_BYTES_MAX: usize = 512;
/// First and longest wait before a sink that is away is tried again, milliseconds.
pub const SINK_RETRY_FIRST_MS: u64 = 500;
/// See [`SINK_RETRY_FIRST_MS`].
pub const SINK_RETRY_LONGEST_MS: u64 = 30_000;
/// The longest that the other side may ask for, milliseconds.
pub const SINK_RETRY_AFTER_LONGEST_MS: u64 = 600_000;
/// Seconds for which one message may be answered with a failure of its own before it is a dead letter.
pub const SINK_DEAD_LETTER_AFTER_S: u64 = 900;
/// And times, at least.
pub const SINK_DEAD_LETTER_ATTEMPTS_MIN: u32 = 8;
/// Milliseconds that one hand-over may take; a transport bounds what it waits for by less.
pub const SINK_DELIVER_MS_MAX: u64 = 900_000;
/// Milliseconds that a hand-over may still take when the service ends.
pub const SINK_END_MS_MAX: u64 = 5_000;

/// Seconds after a day's end at which its digest is made: what was recorded in it is in the log by then.
pub const SINK_DIGEST_AFTER_S: u64 = 60;
/// Bytes of a request that changes a sink.
pub const SINK_BODY_BYTES_MAX: usize = 4_096;
/// Milliseconds after which a sink that has nothing to do looks for new tenants.
pub const SINK_DISCOVER_EVERY_MS: u64 = 250;
/// Milliseconds after which what could not be read or written is tried again.
pub const SINK_TROUBLE_MS: u64 = 1_000;
/// Commands that wait for one sink.
pub const SINK_ASKS_MAX: usize = 16;
/// Seconds for which a kill switch's request holds.
pub const SINK_HOLD_S: u32 = 3_600;
/// And at most.
pub const SINK_HOLD_S_MAX: u32 = 7 * 86_400;

const _: () = assert!(SINK_REPLAYS_MAX > SINK_DEAD_RUNS_MAX, "all dead letters can be sent again at once");
const _: () = assert!(SINK_RETRY_FIRST_MS <= SINK_RETRY_LONGEST_MS);
