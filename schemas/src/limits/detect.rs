//! The detector.

/// Longest identifier kept as it is, in bytes.
pub const ENGINE_IDENTIFIER_BYTES_MAX: usize = 128;
/// How much of a longer one is kept in front of its hash, in bytes.
pub const ENGINE_PREFIX_BYTES_MAX: usize = 48;
/// Log indices kept from the beginning and from the end of an episode, each.
pub const ENGINE_EVIDENCE_MAX: usize = 16;
/// Closed episodes of a rule that a verdict still finds; beyond, the oldest are forgotten.
pub const ENGINE_CLOSED_MAX: usize = 4_096;
/// Entities muted under one rule at a time; beyond, no further mute is taken.
pub const ENGINE_MUTES_MAX: usize = 1_024;
/// A verdict over HTTP, in bytes.
pub const ALERT_VERDICT_BODY_BYTES_MAX: usize = 8 << 10;
/// How long an alert may be muted at once, in seconds: 90 days. What is wanted for ever is a setting, which is on record.
pub const ALERT_MUTE_S_MAX: u64 = 90 * 86_400;
/// Distinct users counted per source.
pub const ENGINE_USERS_MAX: usize = 64;
/// See its user.
pub const ENGINE_COUNT_MAX: i64 = 10_000_000;
/// How many offending records a window remembers by index.
pub const ENGINE_RECENT_MAX: usize = 16;

/// Peer groups that novelty keeps for a tenant; beyond, those with the fewest entities go.
pub const NOVELTY_GROUPS_MAX: usize = 256;
/// Entities of a peer group that count as peers; beyond, those seen in the fewest commits go. A multiple of 64.
pub const NOVELTY_ENTITIES_MAX: usize = 256;
/// Elements (tools, pairs of tools, destinations) that a peer group remembers; beyond, those of the fewest entities go.
pub const NOVELTY_ELEMENTS_MAX: usize = 2_048;
/// Distinct elements of a session; what comes after them is counted and not judged.
pub const NOVELTY_SESSION_ELEMENTS_MAX: usize = 256;
/// Sessions kept to rank others among; beyond, the entity with the most loses its oldest.
pub const NOVELTY_SESSIONS_MAX: usize = 1_024;
/// Values that one entity keeps to tell what is new to it.
pub const NOVELTY_VALUES_MAX: usize = 24;
/// Entities whose own values are kept; beyond, those with the fewest observations go.
pub const NOVELTY_OWNERS_MAX: usize = 4_096;
/// Default of how many denials or failed authentications in five minutes are told at least, however unusual fewer are.
pub const ENGINE_FAILURES_MIN: u64 = 5;
/// The same for calls.
pub const ENGINE_CALLS_MIN: u64 = 30;

/// Bytes of a file of Sigma rules.
pub const SIGMA_FILE_BYTES_MAX: u64 = 256 << 10;
/// Files of Sigma rules in a directory, and lists in another.
pub const SIGMA_FILES_MAX: usize = 1_000;
/// Rules of all files together.
pub const SIGMA_RULES_MAX: usize = 2_000;
/// Bytes of a list that a placeholder stands for.
pub const SIGMA_LIST_BYTES_MAX: u64 = 4 << 20;
/// Values of such a list.
pub const SIGMA_LIST_VALUES_MAX: usize = 100_000;
/// Bytes of one pattern or expression in a rule.
pub const SIGMA_PATTERN_BYTES_MAX: usize = 4_096;
/// Bytes of what the patterns of one line of a rule compile to.
pub const SIGMA_REGEX_BYTES_MAX: usize = 1 << 20;
/// Bytes of a value that a rule looks at: as many as any column of an entry can have.
pub const SIGMA_VALUE_BYTES_MAX: usize = 16_384;
/// Largest number that a correlation may count to.
pub const SIGMA_COUNT_MAX: u64 = 256;
/// How deep selections of a rule may nest.
pub const SIGMA_NESTING_MAX: usize = 8;
/// Rules that one correlation may join.
pub const SIGMA_STAGES_MAX: usize = 8;
/// Matches of each joined rule that a group of a temporal correlation keeps.
pub const SIGMA_STAGE_HITS_MAX: usize = 16;
/// Longest time span of a correlation, in seconds.
pub const SIGMA_TIMESPAN_S_MAX: u64 = 30 * 86_400;
/// Groups that a correlation keeps; beyond, those furthest from a match go.
pub const SIGMA_GROUPS_MAX: usize = 4_096;
/// How far before the clock an event of a correlation may be dated, in seconds; what is earlier counts as then.
pub const SIGMA_LATENESS_S: i64 = 600;
/// How often what time has passed by is looked for in all groups, in seconds.
pub const SIGMA_SWEEP_S: i64 = 60;
/// Lines of a file of events that are tried against rules.
pub const SIGMA_EVENTS_MAX: usize = 1_000_000;
