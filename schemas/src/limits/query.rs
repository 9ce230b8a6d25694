//! Queries: statements, budgets, answers.

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
/// Rows that a statement before the last one may give.
pub const QUERY_ROWS_BEFORE_MAX: usize = 10_000;
/// Milliseconds after its deadline within which the outcome of a query is on the access log.
pub const QUERY_GRACE_MS: u64 = 1_000;
/// Milliseconds that queries may still run once the process is going down; then they are cancelled.
pub const QUERY_FINISH_MS: u64 = 10_000;
/// Files remembered as verified; about 200 bytes each.
pub const QUERY_REMEMBERED_MAX: usize = 65_536;
/// Characters of one cell.
pub const QUERY_WIDTH_MAX: usize = 60;
/// Bytes of all constants that functions make while a statement is planned.
pub const QUERY_CONSTANTS_BYTES_MAX: u64 = 16 << 20;
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
/// Bytes of all values of one batch.
pub const QUERY_CONCATENATION_BATCH_BYTES_MAX: u64 = 256 << 20;
/// Bytes of a request body: an SQL text with its parameters.
pub const QUERY_BODY_BYTES_MAX: usize = 1 << 20;
/// Steps of one page.
pub const QUERY_STEPS_MAX: u64 = 200_000;
/// Characters shown of one payload value.
pub const QUERY_SHOWN_CHARS_MAX: usize = 2_000;
/// Parameters of one statement.
pub const QUERY_PARAMETERS_MAX: usize = 1_024;
/// Rows of one batch.
pub const QUERY_BATCH_ROWS_MAX: u64 = 8_192;
/// Rows of one batch, however large they are.
pub const QUERY_BATCH_ROWS_MIN: u64 = 16;
/// Tables and subqueries in one statement.
pub const QUERY_RELATIONS_MAX: usize = 64;
/// Columns that one SELECT or one row of VALUES may list.
pub const QUERY_SELECT_ITEMS_MAX: usize = 1_024;
/// Sets that all CUBE, ROLLUP and GROUPING SETS of one statement may make together.
pub const QUERY_GROUPINGS_MAX: usize = 128;
/// Recursion of the parser: one level of nesting in the text takes it through several of its functions.
pub const QUERY_PARSER_DEPTH_MAX: usize = 8 * SQL_DEPTH_MAX;
/// Operators between two commas, over all open parentheses.
pub const QUERY_OPERATORS_MAX: usize = 1_024;
/// Columns of all tables and queries of one statement, those of a WITH as often as they are named.
pub const QUERY_EXPANDED_COLUMNS_MAX: u64 = 8_192;
/// Expressions of one statement, those of a WITH as often as they are named.
pub const QUERY_EXPANDED_EXPRESSIONS_MAX: u64 = 65_536;
/// Bytes on disk that all queries together may hold for what does not fit their memory; one tenant may hold half of them.
pub const QUERY_SPILL_BYTES: usize = 2 << 30;
/// Files on disk that all queries together may hold for the same; each is an open file descriptor.
pub const QUERY_SPILL_FILES_ALL_MAX: usize = 256;
/// Such files of one query.
pub const QUERY_SPILL_FILES_MAX: usize = 64;
/// Bytes of spilled rows that are read at a time.
pub const QUERY_SPILL_READ_BYTES: usize = 128 << 10;
/// Bytes that all queries spill between two looks at the free space of the disk.
pub const QUERY_SPILL_LOOK_BYTES: u64 = 16 << 20;
/// Bytes that each partition of a sort keeps back for merging what it spilled ...
pub const QUERY_SPILL_MERGE_BYTES: usize = 10 << 20;
/// ... or this part of its query's memory, where that is less.
pub const QUERY_SPILL_MERGE_PARTS: usize = 32;
/// Refused queries of one principal that are recorded one by one within [`QUERY_REFUSED_WINDOW_MS`].
pub const QUERY_REFUSED_RECORDED_MAX: u64 = 20;
/// Principals of one tenant whose refused queries are counted apart within the same time.
pub const QUERY_REFUSED_PRINCIPALS_MAX: usize = 1_024;
/// Milliseconds after which further refusals are recorded as sums.
pub const QUERY_REFUSED_WINDOW_MS: u64 = 60_000;
