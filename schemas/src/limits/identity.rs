//! Who may come in: credentials, attempts, providers, TLS files.

/// Milliseconds between two looks at the files of certificates and keys.
pub const TLS_CHECK_INTERVAL_MS: u64 = 2_000;
/// Bytes of one of these files.
pub const TLS_FILE_BYTES_MAX: u64 = 1 << 20;
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
/// The same of those whose principal is established: strangers take no room from them.
pub const LOGIN_KNOWN_SUMMED_MAX: usize = 1_024;
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
/// Bytes of a request body on the routes of tokens.
pub const TOKEN_BODY_BYTES_MAX: usize = 4 << 10;
/// Seconds until a token expires, at most: a hundred years.
pub const TOKEN_EXPIRES_S_MAX: u64 = 100 * 366 * 86_400;
