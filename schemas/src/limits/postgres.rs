//! The PostgreSQL door.

use super::QUERY_BODY_BYTES_MAX;

/// Connections at once on the PostgreSQL port, where half the limit of file descriptors allows twice as many.
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
/// How long a connection to the PostgreSQL port may ask that was let in by an OpenID assertion, in microseconds.
pub const POSTGRES_ASSERTION_SESSION_US: i64 = 900 * 1_000_000;
/// Bytes of a name that a function of names takes: four times what PostgreSQL keeps of one.
pub const POSTGRES_NAME_BYTES_MAX: usize = 256;
