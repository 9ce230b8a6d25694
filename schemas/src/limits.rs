//! Every limit of the formats and the service, in one place, a file a subject, related by constant assertions.
//!
//! A limit is reached by a test (`tests/tidy.rs` lists which). Configurable ones carry their default here;
//! the others are part of the format and never change within a version.

mod cursor;
mod detect;
mod evidence;
mod format;
mod formats;
mod gate;
mod identity;
mod ingest;
mod kafka;
mod login;
mod mapping;
mod otlp;
mod postgres;
mod program;
mod proof;
mod query;
mod redact;
mod sinks;
mod store;
mod tail;
mod tap;
mod transport;
mod verify;
mod witness;

pub use cursor::*;
pub use detect::*;
pub use evidence::*;
pub use format::*;
pub use formats::*;
pub use gate::*;
pub use identity::*;
pub use ingest::*;
pub use kafka::*;
pub use login::*;
pub use mapping::*;
pub use otlp::*;
pub use postgres::*;
pub use program::*;
pub use proof::*;
pub use query::*;
pub use redact::*;
pub use sinks::*;
pub use store::*;
pub use tail::*;
pub use tap::*;
pub use transport::*;
pub use verify::*;
pub use witness::*;

const _: () = assert!(TILE_WIDTH == 1 << TILE_HEIGHT);
const _: () = assert!(TREE_ENTRIES_READ_MAX >= TILE_WIDTH);
const _: () = assert!(PROOF_EXTRA_BYTES_MAX / 3 * 4 + PROOF_HASHES_MAX * 45 < PROOF_BYTES_MAX);
const _: () = assert!(3 * PROOF_BYTES_MAX < PROOF_DOCUMENT_BYTES_MAX);
const _: () = assert!(EVIDENCE_BUNDLE_BYTES_MAX < u32::MAX as u64);
const _: () = assert!(EVIDENCE_LATENESS_US <= EVIDENCE_LATENESS_LONGEST_US);
const _: () = assert!(SQL_BYTES_MAX * 6 + 4096 < EVIDENCE_MANIFEST_BYTES_MAX);
const _: () = assert!(SQL_BYTES_MAX < EVIDENCE_REQUEST_BYTES_MAX);
const _: () = assert!(ENTRY_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(VALUE_BYTES_MAX <= BODY_BYTES_MAX && BODY_BYTES_MAX <= DECOMPRESSED_BYTES_MAX);
const _: () = assert!(DECOMPRESSED_BYTES_MAX < GROUP_BODY_BYTES_MAX);
const _: () = assert!(ADMISSION_TENANT_BYTES <= ADMISSION_BYTES);
const _: () = assert!(BODY_BYTES_MAX <= ADMISSION_TENANT_BYTES);
const _: () = assert!(SEAL_ROWS <= SEGMENT_ROWS_MAX && SMALL_LOG_ROWS <= SEAL_ROWS);
const _: () = assert!(SEAL_AGE_US <= SEAL_AGE_SMALL_US);
const _: () = assert!(GROUP_BODY_BYTES_MAX as u64 <= u32::MAX as u64);
const _: () = assert!(QUEUED_BYTES_MAX < UNSEALED_BYTES_MAX);
const _: () = assert!(CURSORS_APPEND_MAX <= CURSORS_LOG_MAX);
const _: () = assert!(TAIL_FILES_MAX <= CURSORS_LOG_MAX);
const _: () = assert!(PULL_BATCH_BYTES <= ADMISSION_TENANT_BYTES && TAIL_LINE_BYTES_MAX <= VALUE_BYTES_MAX);
const _: () =
    assert!(CURSORS_LOG_MAX * (3 * CURSOR_PART_BYTES_MAX + CURSOR_VALUE_BYTES_MAX) < NOTE_BYTES_MAX / 2);
const _: () = assert!(QUERY_SPILL_FILES_MAX * 2 <= QUERY_SPILL_FILES_ALL_MAX);
const _: () = assert!(OTLP_TEXT_BYTES_MAX < GROUP_BODY_BYTES_MAX);
const _: () = assert!(OTLP_VALUE_DEPTH_MAX + 8 < JSON_DEPTH_MAX);
const _: () = assert!(SQL_BYTES_MAX < POSTGRES_MESSAGE_BYTES_MAX);
const _: () = assert!(POSTGRES_STARTUP_BYTES_MAX < POSTGRES_MESSAGE_BYTES_MAX);
const _: () = assert!(LOGIN_FAILURES_MAX < LOGIN_NETWORK_FAILURES_MAX);
const _: () = assert!(LOGIN_LOCKOUT_FIRST_US <= LOGIN_LOCKOUT_LONGEST_US);
const _: () = assert!(LOGIN_LOCKOUT_LONGEST_US < LOGIN_FORGET_US);
const _: () =
    assert!(OIDC_REFETCH_INTERVAL_US < OIDC_KEYS_AGE_US && OIDC_KEYS_AGE_US < OIDC_KEYS_AGE_LONGEST_US);
const _: () =
    assert!(LOGIN_BEGUN_NETWORK_MAX < LOGIN_BEGUN_MAX && LOGIN_SESSIONS_PERSON_MAX < LOGIN_SESSIONS_MAX);
const _: () = assert!(LOGIN_SESSION_IDLE_US <= LOGIN_SESSION_US && OIDC_RENEWAL_WAIT_MS < OIDC_TIMEOUT_MS);
const _: () = assert!(TAP_MESSAGE_BYTES_MAX < TAP_QUEUED_BYTES_MAX && TAP_READ_BYTES < TAP_QUEUED_BYTES_MAX);
const _: () =
    assert!(TAP_EVENT_BYTES_MAX + TAP_BATCH_BYTES < BODY_BYTES_MAX && TAP_EVENT_BYTES_MAX < VALUE_BYTES_MAX);
const _: () = assert!(4 * TAP_VALUE_BYTES_MAX <= VALUE_BYTES_MAX && TAP_BATCH_BYTES < BODY_BYTES_MAX);
const _: () = assert!(TAP_BATCH_EVENTS_MAX < BODY_VALUES_MAX && TAP_RETRY_FIRST_MS < TAP_RETRY_LONGEST_MS);
