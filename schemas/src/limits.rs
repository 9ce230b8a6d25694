//! Every limit of the formats and the service, in one place, related by constant assertions.
//!
//! A limit is reached by a test (`tests/tidy.rs` lists which). Configurable ones carry their default here;
//! the others are part of the format and never change within a version.

/// Bytes in a SHA-256 or BLAKE3 digest.
pub const HASH_BYTES: usize = 32;
/// Hashes in a full tile and entries in a full entry bundle (C2SP tlog-tiles).
pub const TILE_WIDTH: u64 = 256;
/// Levels of the tree per tile level: 2^8 = [`TILE_WIDTH`].
pub const TILE_HEIGHT: u32 = 8;
/// Bytes in one entry: an entry bundle carries its length as u16.
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// Bytes in the entry header: version, log id, index.
pub const ENTRY_HEADER_BYTES: usize = 1 + 32 + 8;
/// Bytes before each field value in an entry: id and length.
pub const FIELD_HEADER_BYTES: usize = 2 + 2;
/// Characters in one part of an origin.
pub const ORIGIN_PART_BYTES_MAX: usize = 64;
/// Bytes of one field value on the payload side; a longer one is refused with its whole event.
pub const PAYLOAD_VALUE_BYTES_MAX: usize = VALUE_BYTES_MAX;
/// Items in one list or map.
pub const LIST_ITEMS_MAX: usize = 65_535;

/// Bytes of a signed note, as read; a checkpoint is under 500.
pub const NOTE_BYTES_MAX: usize = 64 << 20;
/// Signature lines on one note.
pub const NOTE_SIGNATURES_MAX: usize = 64;
/// Manifests between two that repeat the full file list.
pub const MANIFEST_SNAPSHOT_EVERY: u64 = 256;
/// Changed logs named by one round entry of the root log.
pub const ROUND_LOGS_MAX: usize = 48;

/// Bytes in the body of one write-ahead group.
pub const GROUP_BODY_BYTES_MAX: usize = 256 << 20;
/// Bytes of the entries and payload records of one append: with what a group may hold beside it, under
/// [`GROUP_BODY_BYTES_MAX`].
pub const RANGE_BYTES_MAX: u64 = 128 << 20;
/// Group starts in a write-ahead file are multiples of this.
pub const GROUP_ALIGN_BYTES: usize = 512;
/// Bytes of a write-ahead file, preallocated; a single larger group gets a file of its own size.
pub const WAL_FILE_BYTES: u64 = 64 << 20;
/// Write-ahead files kept for reuse.
pub const WAL_SPARE_FILES_MAX: usize = 4;

/// Rows at which a log is sealed.
pub const SEAL_ROWS: u64 = 65_536;
/// Bytes of entries and payloads at which a log is sealed.
pub const SEAL_BYTES: u64 = 64 << 20;
/// Rows in one segment file: what a busy log may have collected by the time its seal starts.
pub const SEGMENT_ROWS_MAX: u64 = 262_144;
/// Rows in one Parquet row group.
pub const ROW_GROUP_ROWS: usize = 65_536;
/// Age of the oldest unsealed entry at which a log is sealed, in microseconds.
pub const SEAL_AGE_US: i64 = 600 * 1_000_000;
/// The same for a log that has fewer than [`SMALL_LOG_ROWS`] unsealed.
pub const SEAL_AGE_SMALL_US: i64 = 3600 * 1_000_000;
/// A log with fewer unsealed rows waits for [`SEAL_AGE_SMALL_US`].
pub const SMALL_LOG_ROWS: u64 = 1024;
/// Shortest time between two checkpoint signatures of one log, in microseconds.
pub const SIGN_INTERVAL_US: i64 = 1_000_000;
/// Longest time between a change and its round entry in the root log, in microseconds.
pub const ROUND_INTERVAL_US: i64 = 10 * 1_000_000;
/// Time between two heartbeats of the root log, in microseconds.
pub const HEARTBEAT_INTERVAL_US: i64 = 60 * 1_000_000;
/// A wall clock that jumps this far ahead of the monotonic one opens a new clock run, in microseconds.
pub const CLOCK_JUMP_US: i64 = 300 * 1_000_000;

/// Idempotency: how long an event id is remembered, in microseconds.
pub const IDEMPOTENCY_WINDOW_US: i64 = 900 * 1_000_000;
/// Idempotency: how many event ids one log remembers.
pub const IDEMPOTENCY_IDS_MAX: usize = 2_000_000;

/// Bytes appended but not yet durable, over all logs, before an append is told to try later.
pub const QUEUED_BYTES_MAX: u64 = 256 << 20;
/// Bytes durable but not yet sealed, over all logs, before an append is told to try later.
pub const UNSEALED_BYTES_MAX: u64 = 1 << 30;
/// Free bytes below which new events are refused while there is still room to seal.
pub const DISK_FREE_BYTES_MIN: u64 = 1 << 30;

/// Bytes of one HTTP request body, as sent.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Bytes of one HTTP request body, decompressed.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;
/// Connections at once on one listener, where the limit of file descriptors allows four times as many.
pub const HTTP_CONNECTIONS_MAX: usize = 4096;
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
/// Seconds in the `Retry-After` of a 429 or 503.
pub const RETRY_AFTER_S: u64 = 1;
/// Idle time after which the same caller is in a new derived session, in microseconds.
pub const SESSION_IDLE_US: i64 = 1800 * 1_000_000;
/// Derived sessions remembered per tenant.
pub const SESSIONS_TRACKED_MAX: usize = 100_000;

/// Bytes of one SQL text.
pub const SQL_BYTES_MAX: usize = 64 << 10;
/// Nesting of one SQL text.
pub const SQL_DEPTH_MAX: usize = 64;
/// Items in one IN list.
pub const SQL_IN_LIST_MAX: usize = 10_000;
/// Milliseconds one query may run.
pub const QUERY_DEADLINE_MS: u64 = 60_000;
/// Bytes of memory one query may hold.
pub const QUERY_MEMORY_BYTES: usize = 1 << 30;
/// Bytes of memory all queries may hold together, where half the machine's memory is not known.
pub const QUERIES_MEMORY_BYTES: usize = 2 << 30;
/// Rows in one answer.
pub const QUERY_ROWS_MAX: u64 = 5_000_000;
/// Bytes in one answer.
pub const QUERY_OUTPUT_BYTES_MAX: u64 = 1 << 30;
/// Queries running at once.
pub const QUERIES_AT_ONCE: usize = 4;
/// Queries waiting for a place before one is told to try later.
pub const QUERIES_WAITING_MAX: usize = 32;

// Used in detect/engine/src/entity.rs.

/// Longest identifier kept as it is, in bytes.
pub const ENGINE_IDENTIFIER_BYTES_MAX: usize = 128;
/// How much of a longer one is kept in front of its hash, in bytes.
pub const ENGINE_PREFIX_BYTES_MAX: usize = 48;

// Used in detect/engine/src/episode.rs.

/// Log indices kept from the beginning and from the end of an episode, each.
pub const ENGINE_EVIDENCE_MAX: usize = 16;

// Used in detect/engine/src/rules/auth_failure_burst.rs.

/// Distinct users counted per source.
pub const ENGINE_USERS_MAX: usize = 64;

// Used in detect/engine/src/settings.rs.

/// See its user.
pub const ENGINE_COUNT_MAX: i64 = 10_000_000;

// Used in detect/engine/src/window.rs.

/// How many offending records a window remembers by index.
pub const ENGINE_RECENT_MAX: usize = 16;

// Used in ingest/redact/src/json/tape.rs.

/// Deepest nesting of arrays and objects in one JSON value.
pub const REDACT_DEPTH_MAX: usize = 1024;

// Used in ingest/redact/src/marker.rs.

/// Longest class name a marker may carry, in bytes.
pub const REDACT_CLASS_BYTES_MAX: usize = 32;
/// Longest word after the colon of a foreign mask, in bytes.
pub const REDACT_MASK_DETAIL_BYTES_MAX: usize = 32;

// Used in ingest/redact/src/names.rs.

/// Longest stretch of a name that is looked at, in bytes, from its end.
pub const REDACT_NAME_BYTES_MAX: usize = 64;

// Used in ingest/redact/src/text.rs.

/// Levels of JSON inside JSON strings that are parsed; deeper ones are treated as text.
pub const REDACT_NESTED_LEVELS_MAX: usize = 6;
/// Passes over a text until nothing more is found; two are the rule.
pub const REDACT_PASSES_MAX: usize = 8;

// Used in ingest/src/normalise/derive.rs.

/// Longest word of [`VERBS`], in bytes.
pub const INGEST_VERB_BYTES_MAX: usize = 12;

// Used in ingest/src/normalise/time.rs.

/// Microseconds of 0000-01-01T00:00:00Z.
pub const INGEST_US_MIN: i64 = -62_167_219_200_000_000;
/// Microseconds of 9999-12-31T23:59:59.999999Z.
pub const INGEST_US_MAX: i64 = 253_402_300_799_999_999;

// Used in query/src/core.rs.

/// Rows that a statement before the last one may give.
pub const QUERY_ROWS_BEFORE_MAX: usize = 10_000;
/// Milliseconds after its deadline within which the outcome of a query is on the access log.
pub const QUERY_GRACE_MS: u64 = 1_000;
/// Milliseconds that queries may still run once the process is going down; then they are cancelled.
pub const QUERY_FINISH_MS: u64 = 10_000;

// Used in query/src/file/verified.rs.

/// Files remembered as verified; about 200 bytes each.
pub const QUERY_REMEMBERED_MAX: usize = 65_536;

// Used in query/src/format/table.rs.

/// Characters of one cell.
pub const QUERY_WIDTH_MAX: usize = 60;

// Used in ingest/redact.

/// Characters of base64 by which a run is told from other words: its shortest length.
pub const REDACT_ENCODED_CHARACTERS_MIN: usize = 24;
/// Levels of base64 inside base64 that are decoded.
pub const REDACT_ENCODED_LEVELS_MAX: usize = 2;
/// Shortest key below a secret's name that may itself be the secret, in bytes.
pub const REDACT_OPAQUE_KEY_BYTES_MIN: usize = 16;
/// Most white space between two words of a line `login NAME password VALUE`, in bytes.
pub const REDACT_GAP_BYTES_MAX: usize = 8;

// Used in src/command/ingest/parts.rs.

/// Bytes of a file asked for at once.
pub const PROGRAM_READ_BYTES: usize = 1 << 20;
/// Of the rest of an array that breaks off, how much is shown to the service.
pub const PROGRAM_BROKEN_BYTES_MAX: usize = 4 << 10;

// Used in src/listen.rs.

/// Milliseconds to wait before the next connection where the process has no file descriptor left.
pub const HTTP_ACCEPT_PAUSE_MS: u64 = 100;

// Used in query/src/function/budget.rs.

/// Bytes of all constants that functions make while a statement is planned.
pub const QUERY_CONSTANTS_BYTES_MAX: u64 = 16 << 20;

// Used in query/src/function/capped.rs.

/// Bytes of one value that repeating or padding makes.
pub const QUERY_VALUE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a constant that a function makes: it is copied into every row of a batch.
pub const QUERY_CONSTANT_BYTES_MAX: u64 = 64 << 10;
/// Bytes of all values of one batch.
pub const QUERY_BATCH_BYTES_MAX: u64 = 256 << 20;
/// Bytes that replacing could make of one batch, if everything matched.
pub const QUERY_REPLACED_BYTES_MAX: u64 = 1 << 30;
/// Steps of one edit distance.
pub const QUERY_DISTANCE_STEPS_MAX: u64 = 100_000_000;

// Used in query/src/function/concatenation.rs.

/// Bytes of all values of one batch.
pub const QUERY_CONCATENATION_BATCH_BYTES_MAX: u64 = 256 << 20;

// Used in query/src/http.rs.

/// Bytes of a request body: an SQL text with its parameters.
pub const QUERY_BODY_BYTES_MAX: usize = 1 << 20;

// Used in query/src/replay.rs.

/// Steps of one page.
pub const QUERY_STEPS_MAX: u64 = 200_000;

// Used in query/src/replay/timeline.rs.

/// Characters shown of one payload value.
pub const QUERY_SHOWN_CHARS_MAX: usize = 2_000;

// Used in query/src/session.rs.

/// Parameters of one statement.
pub const QUERY_PARAMETERS_MAX: usize = 1_024;

// Used in query/src/postgres.

/// Connections at once on the PostgreSQL port, where the limit of file descriptors allows four times as many.
pub const POSTGRES_CONNECTIONS_MAX: usize = 1_024;
/// Milliseconds from the start of a connection to its password.
pub const POSTGRES_STARTUP_TIMEOUT_MS: u64 = 20_000;
/// Milliseconds that a connection may say nothing.
pub const POSTGRES_IDLE_TIMEOUT_MS: u64 = 3_600_000;
/// Milliseconds that a client may take to read a piece of what it is sent.
pub const POSTGRES_WRITE_TIMEOUT_MS: u64 = 30_000;
/// Milliseconds to wait before the next connection where none could be accepted.
pub const POSTGRES_ACCEPT_PAUSE_MS: u64 = 100;
/// Bytes of a message before the password was checked.
pub const POSTGRES_STARTUP_BYTES_MAX: usize = 8 << 10;
/// Bytes of a message after that: an SQL text with its parameters.
pub const POSTGRES_MESSAGE_BYTES_MAX: usize = QUERY_BODY_BYTES_MAX;
/// How often a connection may ask for encryption before it says who it is: once for each kind.
pub const POSTGRES_REQUESTS_MAX: usize = 2;
/// Bytes of answer gathered before they are sent.
pub const POSTGRES_OUTPUT_BYTES: usize = 64 << 10;
/// Statements in one text of the simple protocol.
pub const POSTGRES_STATEMENTS_MAX: usize = 32;
/// Prepared statements of one connection.
pub const POSTGRES_PREPARED_MAX: usize = 256;
/// Bytes of all prepared statements of one connection.
pub const POSTGRES_PREPARED_BYTES_MAX: usize = 1 << 20;
/// Portals and cursors of one connection.
pub const POSTGRES_PORTALS_MAX: usize = 64;
/// Bytes of the value of a setting.
pub const POSTGRES_SETTING_BYTES_MAX: usize = 256;

// Used in query/src/shape.rs.

/// Rows of one batch.
pub const QUERY_BATCH_ROWS_MAX: u64 = 8_192;
/// Rows of one batch, however large they are.
pub const QUERY_BATCH_ROWS_MIN: u64 = 16;

// Used in query/src/statement.rs.

/// Tables and subqueries in one statement.
pub const QUERY_RELATIONS_MAX: usize = 64;
/// Columns that one SELECT or one row of VALUES may list.
pub const QUERY_SELECT_ITEMS_MAX: usize = 1_024;
/// Sets that all CUBE, ROLLUP and GROUPING SETS of one statement may make together.
pub const QUERY_GROUPINGS_MAX: usize = 128;
/// Recursion of the parser: one level of nesting in the text takes it through several of its functions.
pub const QUERY_PARSER_DEPTH_MAX: usize = 8 * SQL_DEPTH_MAX;

// Used in query/src/statement/tokens.rs.

/// Operators between two commas, over all open parentheses.
pub const QUERY_OPERATORS_MAX: usize = 1_024;

// Used in query/src/statement/weight.rs.

/// Columns of all tables and queries of one statement, those of a WITH as often as they are named.
pub const QUERY_EXPANDED_COLUMNS_MAX: u64 = 8_192;
/// Expressions of one statement, those of a WITH as often as they are named.
pub const QUERY_EXPANDED_EXPRESSIONS_MAX: u64 = 65_536;

// Used in src/command/ingest.rs.

/// How often a body that was told "try later" is tried again.
pub const PROGRAM_TRIES_MAX: u32 = 60;

// Used in src/command/serve.rs.

/// Bytes in the path of a Unix socket.
pub const PROGRAM_SOCKET_PATH_BYTES_MAX: usize = 107;

// Used in store/src/commit.rs.

/// Write-ahead files before small logs are carried forward and others sealed.
pub const STORE_FILES_MAX: usize = 4;
/// A log with no more unsealed bytes than this is carried forward instead of sealed.
pub const STORE_CARRY_BYTES_MAX: u64 = 1 << 20;
/// Bytes that may wait for the signer's hashing before the commit waits for it.
pub const STORE_INBOX_BYTES_MAX: u64 = 64 << 20;

// Used in store/src/segment_file.rs.

/// Bytes to which statistics of byte arrays are truncated.
pub const STORE_STATISTICS_BYTES_MAX: usize = 64;

// Used in store/src/state.rs.

/// Rows up to which small unsealed batches are merged.
pub const STORE_MERGE_ROWS_MAX: usize = 8192;

// Used in store/verify/src/assembly.rs.

/// Wrong roots listed of one log; the rest are counted.
pub const VERIFY_WRONG_ROOTS_LISTED_MAX: usize = 8;

// Used in store/verify/src/data_file.rs.

/// Bytes of a file that is not of its declared length, at most, that are still looked into.
pub const VERIFY_ODD_FILE_BYTES_MAX: u64 = 1 << 30;

// Used in store/verify/src/listing.rs.

/// Directories below a log at most: `tile/<L>/x…/x…/….p/<W>` of the largest index is shallower.
pub const VERIFY_DEPTH_MAX: usize = 12;

// Used in store/verify/src/plan.rs.

/// Times a log is listed again because it grew while it was listed.
pub const VERIFY_ATTEMPTS_MAX: usize = 5;

// Used in store/verify/src/range.rs.

/// Rows of one range at most: bounds what a hostile manifest can make this allocate.
pub const VERIFY_RANGE_ROWS_MAX: u64 = 1 << 24;
/// Findings listed of one range; the rest are counted.
pub const VERIFY_LISTED_MAX: usize = 200;

// Used in store/verify/src/root.rs.

/// Bytes of a file in which entry 0 is looked for, at most.
pub const VERIFY_FIRST_FILE_BYTES_MAX: u64 = 1 << 30;

// Used in store/verify/src/statistics.rs.

/// Bytes of one decompressed column chunk at most: what 32-bit offsets of a string array can hold.
pub const VERIFY_UNCOMPRESSED_BYTES_MAX: i64 = i32::MAX as i64;

// Used in store/verify/src/store.rs.

/// Times a log is read again because a file went away while it was verified.
pub const VERIFY_RELOADS_MAX: usize = 3;

// Used in store/verify/src/thrift.rs.

/// Values inside values at most.
pub const VERIFY_THRIFT_DEPTH_MAX: usize = 16;
/// Elements of a Parquet schema at most: the widest stream has a quarter of this, and readers recurse over them.
pub const VERIFY_SCHEMA_ELEMENTS_MAX: u64 = 1024;

// Used in store/verify/src/tiles.rs.

/// Differing leaves remembered with their index; the rest are counted.
pub const VERIFY_DIFFERENT_MAX: usize = 200;

// Used in store/src/recover/replay.rs.

/// File and group numbers over this were not counted up to; the ones after a number must have room.
pub const STORE_NUMBER_MAX: u64 = u64::MAX / 2;

// Used in src/postgres.rs.

/// How long a connection to the PostgreSQL port may ask that was let in by an OpenID assertion, in microseconds.
pub const POSTGRES_ASSERTION_SESSION_US: i64 = 900 * 1_000_000;

// Used in query/src/catalogue/functions/made.rs.

/// Bytes of a name that a function of names takes: four times what PostgreSQL keeps of one.
pub const POSTGRES_NAME_BYTES_MAX: usize = 256;

// Used in src/gates.rs.

/// Bytes of an error answer that are read to say why a gate has no number.
pub const PROGRAM_PROBLEM_BYTES_MAX: usize = 64 << 10;

// Used in query/src/gate.rs.

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

// Used in src/tls.rs.

/// Milliseconds between two looks at the files of certificates and keys.
pub const TLS_CHECK_INTERVAL_MS: u64 = 2_000;
/// Bytes of one of these files.
pub const TLS_FILE_BYTES_MAX: u64 = 1 << 20;

// Used in src/identity.

/// Bytes of a credential; a longer one is refused unread.
pub const CREDENTIAL_BYTES_MAX: usize = 16 << 10;
/// Failed logins of one token from one network within [`LOGIN_FAILURE_WINDOW_US`], after which that pair is locked out.
pub const LOGIN_FAILURES_MAX: u32 = 10;
/// Failed logins from one network within the same time, whatever they name, after which strangers from there are locked out.
pub const LOGIN_NETWORK_FAILURES_MAX: u32 = 100;
/// See [`LOGIN_FAILURES_MAX`].
pub const LOGIN_FAILURE_WINDOW_US: i64 = 60 * 1_000_000;
/// How long a first lockout lasts, in microseconds; each further one twice as long.
pub const LOGIN_LOCKOUT_FIRST_US: i64 = 30 * 1_000_000;
/// How long the longest lockout lasts, in microseconds.
pub const LOGIN_LOCKOUT_LONGEST_US: i64 = 900 * 1_000_000;
/// How long after its last failure a network or token starts afresh, in microseconds.
pub const LOGIN_FORGET_US: i64 = 3600 * 1_000_000;
/// Networks, and pairs of network and token, whose failures are counted, each.
pub const LOGIN_TRACKED_MAX: usize = 8_192;
/// Pairs of network and principal remembered as having logged in.
pub const LOGIN_KNOWN_MAX: usize = 16_384;
/// Refusals of one kind from one network that are recorded one by one within [`LOGIN_RECORD_WINDOW_MS`].
pub const LOGIN_RECORDED_EACH_MAX: u64 = 5;
/// Refusals of one tenant that are recorded one by one within the same time.
pub const LOGIN_RECORDED_MAX: u64 = 64;
/// Kinds and networks whose further refusals are summed separately, for one tenant within the same time.
pub const LOGIN_SUMMED_MAX: usize = 128;
/// Milliseconds after which further refusals are recorded as sums.
pub const LOGIN_RECORD_WINDOW_MS: u64 = 60_000;
/// Characters of a name from outside that are kept in the id of a principal.
pub const PRINCIPAL_SHOWN_CHARS_MAX: usize = 64;
/// Entries about logins that wait for the access log; further ones are summed.
pub const LOGIN_QUEUE_MAX: usize = 256;

/// Seconds by which the clocks of an OpenID provider and of this machine may differ.
pub const OIDC_LEEWAY_S: i64 = 60;
/// Milliseconds an OpenID provider may take to answer.
pub const OIDC_TIMEOUT_MS: u64 = 5_000;
/// Time between two questions for an OpenID provider's keys, at least, in microseconds.
pub const OIDC_REFETCH_INTERVAL_US: i64 = 10 * 1_000_000;
/// Age at which keys are fetched again, in microseconds.
pub const OIDC_KEYS_AGE_US: i64 = 3600 * 1_000_000;
/// Age from which keys that could not be fetched again are worth nothing, in microseconds.
pub const OIDC_KEYS_AGE_LONGEST_US: i64 = 24 * 3600 * 1_000_000;
/// Bytes of an OpenID provider's answer.
pub const OIDC_BODY_BYTES_MAX: usize = 1 << 20;
/// Keys of an OpenID provider that are looked at.
pub const OIDC_KEYS_MAX: usize = 64;
/// Bytes of an RSA key's modulus, at least.
pub const OIDC_RSA_BYTES_MIN: usize = 256;

// Used in src/door.rs.

/// Bytes of a request body on the routes of tokens.
pub const TOKEN_BODY_BYTES_MAX: usize = 4 << 10;
/// Seconds until a token expires, at most: a hundred years.
pub const TOKEN_EXPIRES_S_MAX: u64 = 100 * 366 * 86_400;

const _: () = assert!(TILE_WIDTH == 1 << TILE_HEIGHT);
const _: () = assert!(ENTRY_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(VALUE_BYTES_MAX <= BODY_BYTES_MAX && BODY_BYTES_MAX <= DECOMPRESSED_BYTES_MAX);
const _: () = assert!(DECOMPRESSED_BYTES_MAX < GROUP_BODY_BYTES_MAX);
const _: () = assert!(ADMISSION_TENANT_BYTES <= ADMISSION_BYTES);
const _: () = assert!(BODY_BYTES_MAX <= ADMISSION_TENANT_BYTES);
const _: () = assert!(SEAL_ROWS <= SEGMENT_ROWS_MAX && SMALL_LOG_ROWS <= SEAL_ROWS);
const _: () = assert!(SEAL_AGE_US <= SEAL_AGE_SMALL_US);
const _: () = assert!(GROUP_BODY_BYTES_MAX as u64 <= u32::MAX as u64);
const _: () = assert!(QUEUED_BYTES_MAX < UNSEALED_BYTES_MAX);
const _: () = assert!(SQL_BYTES_MAX < POSTGRES_MESSAGE_BYTES_MAX);
const _: () = assert!(POSTGRES_STARTUP_BYTES_MAX < POSTGRES_MESSAGE_BYTES_MAX);
const _: () = assert!(LOGIN_FAILURES_MAX < LOGIN_NETWORK_FAILURES_MAX);
const _: () = assert!(LOGIN_LOCKOUT_FIRST_US <= LOGIN_LOCKOUT_LONGEST_US);
const _: () = assert!(LOGIN_LOCKOUT_LONGEST_US < LOGIN_FORGET_US);
const _: () =
    assert!(OIDC_REFETCH_INTERVAL_US < OIDC_KEYS_AGE_US && OIDC_KEYS_AGE_US < OIDC_KEYS_AGE_LONGEST_US);
