//! The Kafka consumer.

/// Milliseconds that records may wait for others before they are recorded.
pub const KAFKA_LINGER_MS: u64 = 50;
/// Milliseconds for which a batch may wait for room before the partitions are paused.
pub const KAFKA_PAUSE_AFTER_MS: u64 = 500;
/// Kilobytes that librdkafka fetches ahead.
pub const KAFKA_AHEAD_KB: u64 = 16 << 10;
/// Milliseconds between two statements of how far behind each partition is.
pub const KAFKA_LAG_INTERVAL_MS: u64 = 5_000;
/// Milliseconds that the cluster has to answer about a partition's bounds.
pub const KAFKA_ANSWER_TIMEOUT_MS: u64 = 5_000;
/// Milliseconds after which a dead letter that was not taken is sent again.
pub const KAFKA_DEAD_LETTER_RETRY_MS: u64 = 1_000;
/// Times that a dead letter is sent where its topic is what refuses it, before the notice alone tells of the record.
pub const KAFKA_DEAD_LETTER_TRIES_MAX: u32 = 5;
/// Milliseconds before a consumer that lost its place begins again.
pub const KAFKA_RESTART_MS: u64 = 1_000;
/// Milliseconds within which the records that a partition is known by have to come.
pub const KAFKA_MARKS_TIMEOUT_MS: u64 = 10_000;
/// Records of a partition whose digests its cursor has.
pub const KAFKA_MARKS_MAX: usize = 8;
/// Topics of one consumer.
pub const KAFKA_TOPICS_MAX: usize = 64;
/// Milliseconds without a sign of life after which the group gives a recorder's partitions to others.
pub const KAFKA_SESSION_TIMEOUT_MS: u64 = 10_000;
