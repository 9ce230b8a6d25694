//! The detector.

/// Longest identifier kept as it is, in bytes.
pub const ENGINE_IDENTIFIER_BYTES_MAX: usize = 128;
/// How much of a longer one is kept in front of its hash, in bytes.
pub const ENGINE_PREFIX_BYTES_MAX: usize = 48;
/// Log indices kept from the beginning and from the end of an episode, each.
pub const ENGINE_EVIDENCE_MAX: usize = 16;
/// How long an episode holds what would open one by itself, in seconds, where its rule asks; after that it is another.
pub const ENGINE_EPISODE_S_MAX: i64 = 86_400;
/// Closed episodes of a rule that a verdict still finds; beyond, the oldest are forgotten.
pub const ENGINE_CLOSED_MAX: usize = 4_096;
/// Scores of told things of a rule that a verdict may still take out of their pools; beyond, the oldest stay in.
pub const ENGINE_FILINGS_MAX: usize = 16_384;
/// Calls told of as unapproved whose approval may yet come; beyond, the oldest stay told.
pub const ENGINE_UNPROVEN_MAX: usize = 1_024;
/// Markers that are remembered; beyond, the oldest are forgotten.
pub const ENGINE_MARKERS_MAX: usize = 32;
/// How long before an alert's first event a marker is still told, in seconds.
pub const ENGINE_MARKER_REACH_S: i64 = 4 * 3_600;
/// Policies whose versions are remembered; beyond, those that decided least go.
pub const ENGINE_MARKER_POLICIES_MAX: usize = 256;
/// Versions remembered of a policy: one that comes back is no change.
pub const ENGINE_MARKER_VERSIONS_MAX: usize = 8;
/// Entities muted under one rule at a time; beyond, no further mute is taken.
pub const ENGINE_MUTES_MAX: usize = 1_024;
/// A verdict over HTTP, in bytes.
pub const ALERT_VERDICT_BODY_BYTES_MAX: usize = 8 << 10;
/// Bytes of the note of a verdict at most: it stands in the log, and in every alert that is told under its mute.
pub const ALERT_VERDICT_NOTE_BYTES_MAX: usize = 1 << 10;
/// How long an alert may be muted at once, in seconds: 90 days. What is wanted for ever is a setting, which is on record.
pub const ALERT_MUTE_S_MAX: u64 = 90 * 86_400;
/// Distinct users counted per source.
pub const ENGINE_USERS_MAX: usize = 64;
/// Windows of failed authentications that a source keeps, where late records are waited for longer than that.
pub const ENGINE_BURST_WINDOWS_MAX: i64 = 16;
/// See its user.
pub const ENGINE_COUNT_MAX: i64 = 10_000_000;
/// How many offending records a window remembers by index.
pub const ENGINE_RECENT_MAX: usize = 16;

/// Peer groups that novelty keeps for a tenant; beyond, those with the fewest entities go.
pub const NOVELTY_GROUPS_MAX: usize = 256;
/// Entities of a peer group that count as peers; beyond, those seen in the fewest commits go. A multiple of 64.
pub const NOVELTY_ENTITIES_MAX: usize = 512;
/// Elements (tools, pairs of tools, destinations) that a peer group remembers; beyond, those of the fewest entities go.
pub const NOVELTY_ELEMENTS_MAX: usize = 4_096;
/// Distinct elements of a session; what comes after them is counted and not judged.
pub const NOVELTY_SESSION_ELEMENTS_MAX: usize = 256;
/// Sessions kept to rank others among; beyond, the entity with the most loses its oldest.
pub const NOVELTY_SESSIONS_MAX: usize = 4_096;
/// Values that one entity keeps to tell what is new to it.
pub const NOVELTY_VALUES_MAX: usize = 24;
/// Entities whose own values are kept; beyond, those with the fewest observations go.
pub const NOVELTY_OWNERS_MAX: usize = 4_096;
/// Default of how many denials or failed authentications in five minutes are told at least, however unusual fewer are.
pub const ENGINE_FAILURES_MIN: u64 = 5;
/// The same for calls.
pub const ENGINE_CALLS_MIN: u64 = 30;
/// Default of how many minutes must have had a call for what lasts to be told.
pub const ENGINE_SUSTAINED_MINUTES_MIN: i64 = 12;
/// The same for denials and failed authentications.
pub const ENGINE_SUSTAINED_FAILURES_MIN: i64 = 4;
/// Length of a window of the rules on ratios, in seconds; a day is a whole number of them, and a block of four hours too.
pub const ENGINE_RATIO_WINDOW_S: i64 = 900;
/// Buckets of a sketch of sizes or times; beyond, neighbours are merged.
pub const SKETCH_BUCKETS_MAX: usize = 256;
/// Default of how many outputs a window has at least to have a ratio, and how many of them were quarantined.
pub const ENGINE_OUTPUTS_MIN: u64 = 20;
/// See above.
pub const ENGINE_QUARANTINED_MIN: u64 = 3;
/// Default of how many outputs, and quarantined ones, the ceiling of their ratio is asked of at least.
pub const ENGINE_CEILING_OUTPUTS_MIN: u64 = 100;
/// See above.
pub const ENGINE_CEILING_QUARANTINED_MIN: u64 = 2;
/// Default of how many calls a window has at least to have a 95th percentile.
pub const ENGINE_TIMED_MIN: u64 = 20;
/// Default of how many bytes an output has at least to be too large.
pub const ENGINE_OVERSIZED_BYTES_MIN: i64 = 65_536;
/// Default of how long a silence of a source is at least to be told, in seconds, and how many records were expected in it.
pub const ENGINE_SILENCE_MIN_S: i64 = 900;
/// See above.
pub const ENGINE_SILENCE_RECORDS_MIN: i64 = 20;
/// Sources of which the engine knows how often they speak; beyond, those with the fewest records go.
pub const ENGINE_SOURCES_MAX: usize = 1_024;
/// Runs of sequence numbers that the engine follows; beyond, those with the fewest numbers go, and what they miss is told.
pub const ENGINE_RUNS_MAX: usize = 16_384;
/// Default of how many sequence numbers must be missing.
pub const ENGINE_MISSING_MIN: u64 = 1;
/// Default of how long a number is waited for, in seconds.
pub const ENGINE_NUMBER_WAIT_S: i64 = 14_400;
/// Holes of one run that may still be filled; beyond, the oldest is told.
pub const ENGINE_HOLES_MAX: usize = 32;
/// How long holes of a source are added up that are too few to be told, in seconds.
pub const ENGINE_HOLES_ADDED_S: i64 = 86_400;
/// Numberings of one run that began anew and are followed at a time; beyond, the least proven is forgotten.
pub const ENGINE_PASSES_MAX: usize = 4;
/// What a hole counts for at most, as in the table `sources`.
pub const ENGINE_MISSING_MAX: u64 = 1_000_000_000_000;
/// Approvals that the engine waits for at a time; beyond, those of whoever has the most are forgotten. And for how many days.
pub const ENGINE_PENDING_MAX: usize = 16_384;
/// See above.
pub const ENGINE_APPROVAL_DAYS_MAX: i64 = 7;
/// Waits of decided approvals that a window keeps, the last ones.
pub const ENGINE_WAITS_MAX: usize = 4_096;
/// Default of how many approvals a median is of at least.
pub const ENGINE_WAITS_MIN: u64 = 3;
/// Default of how many approvals that were too fast are told at least.
pub const ENGINE_STAMPS_MIN: u64 = 5;
/// Default of how many approvals have ended at least, and how many of them unanswered, for a ratio of those.
pub const ENGINE_ENDED_MIN: u64 = 5;
/// See above.
pub const ENGINE_ABANDONED_MIN: u64 = 3;

/// Seconds without a record after which a principal's session is over, as ingest derives sessions.
pub const ENGINE_SESSION_GAP_S: i64 = 1_800;
/// Seconds after which a session is over however busy it is.
pub const ENGINE_SESSION_LENGTH_S: i64 = 28_800;
/// Tools and destinations of an open session whose names are kept, the most surprising ones.
pub const ENGINE_SESSION_NAMES_MAX: usize = 8;
/// Sessions of one principal and day that count; those after them are judged by a stricter measure, and teach nobody.
pub const ENGINE_SESSIONS_COUNTED_MAX: usize = 16;
/// Sessions of a day that wait to be learnt; beyond, those of principals that nobody knows yet go first, and of those that are known of
/// whoever has the most.
pub const ENGINE_SESSIONS_WAITING_MAX: usize = 2_048;
/// How many of them a principal that nobody knows yet may have.
pub const ENGINE_NEWCOMER_SESSIONS_MAX: usize = 2;
/// Starts of a principal's sessions that wait to be learnt; beyond, they are judged only.
pub const ENGINE_STARTS_WAITING_MAX: usize = 256;
/// Latest starts of a principal, for whether a clock makes them.
pub const ENGINE_STARTS_RECENT_MAX: usize = 16;
/// Values of a principal's session (networks, countries, clients) that are told apart; beyond, each is judged again.
pub const ENGINE_SESSION_VALUES_MAX: usize = 64;
/// Values of a principal that wait to be learnt; beyond, those that came last are judged again and again.
pub const ENGINE_VALUES_WAITING_MAX: usize = 32;
/// Longest name of a country, or of a family of clients, in bytes.
pub const ENGINE_FAMILY_BYTES_MAX: usize = 64;

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
