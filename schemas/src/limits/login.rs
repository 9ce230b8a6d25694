//! Login of people by browser: begun logins, sessions.

/// Microseconds within which a begun login must be finished.
pub const LOGIN_BEGUN_US_MAX: i64 = 600 * 1_000_000;
/// Begun logins that are kept in all.
pub const LOGIN_BEGUN_MAX: usize = 8_192;
/// Begun logins that are kept of one network; behind a proxy all share one.
pub const LOGIN_BEGUN_NETWORK_MAX: usize = 256;
/// Microseconds between two looks through all begun logins for those that are too old.
pub const LOGIN_BEGUN_SWEEP_US: i64 = 1_000_000;
/// Bytes of each part of what a provider sends a browser back with.
pub const LOGIN_ANSWER_BYTES_MAX: usize = 8 << 10;
/// Bytes of the path that a browser is sent to after a login.
pub const LOGIN_RETURN_BYTES_MAX: usize = 2_048;
/// Microseconds that a session lasts, unless the configuration says otherwise.
pub const LOGIN_SESSION_US: i64 = 12 * 3600 * 1_000_000;
/// Microseconds after its last use at which a session ends, unless the configuration says otherwise.
pub const LOGIN_SESSION_IDLE_US: i64 = 1800 * 1_000_000;
/// Seconds that a session may be configured to last: thirty days.
pub const LOGIN_SESSION_S_MAX: u64 = 30 * 86_400;
/// Milliseconds between two looks for sessions that are over and not on record as such.
pub const LOGIN_SESSIONS_SWEEP_MS: u64 = 10_000;
/// Sessions that are kept in all.
pub const LOGIN_SESSIONS_MAX: usize = 8_192;
/// Sessions that are kept of one person.
pub const LOGIN_SESSIONS_PERSON_MAX: usize = 16;
/// Bytes of a client secret.
pub const CLIENT_SECRET_BYTES_MAX: u64 = 4 << 10;
/// Milliseconds that the login which finds a provider's keys old waits for new ones before it goes on with the old.
pub const OIDC_RENEWAL_WAIT_MS: u64 = 1_000;
