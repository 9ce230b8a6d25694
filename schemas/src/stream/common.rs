//! Field ids 1 to 15, the same in every stream.

use crate::column::{Column, ColumnType, Side};
use crate::limits::HASH_BYTES;

/// Field id of `log_index`.
pub const LOG_INDEX: u16 = 1;
/// Field id of `ingest_time`.
pub const INGEST_TIME: u16 = 2;
/// Field id of `event_id`.
pub const EVENT_ID: u16 = 3;
/// Field id of `time`.
pub const TIME: u16 = 4;
/// Field id of `tenant`.
pub const TENANT: u16 = 5;
/// Field id of `source`.
pub const SOURCE: u16 = 7;
/// Field id of `session_id`.
pub const SESSION_ID: u16 = 8;
/// Field id of `control`.
pub const CONTROL: u16 = 11;
/// Field id of `cut`.
pub const CUT: u16 = 12;
/// Field id of `tags`.
pub const TAGS: u16 = 13;
/// Field id of `redactions`.
pub const REDACTIONS: u16 = 14;
/// Field id of `payload_commitment`.
pub const PAYLOAD_COMMITMENT: u16 = 15;
/// Field id of `salt`, in payload files alone.
pub const PAYLOAD_SALT: u16 = 255;
/// Bytes of a row salt and of a field salt.
pub const SALT_BYTES: usize = 16;

/// An entry-side column.
pub(super) const fn entry(
    id: u16,
    name: &'static str,
    kind: ColumnType,
    bytes_max: usize,
    doc: &'static str,
) -> Column {
    Column { id, name, kind, required: false, side: Side::Entry, bytes_max, doc }
}

/// An entry-side column that every row fills.
pub(super) const fn required(
    id: u16,
    name: &'static str,
    kind: ColumnType,
    bytes_max: usize,
    doc: &'static str,
) -> Column {
    Column { id, name, kind, required: true, side: Side::Entry, bytes_max, doc }
}

pub(super) const LOG_INDEX_COLUMN: Column = required(
    LOG_INDEX,
    "log_index",
    ColumnType::Int64,
    8,
    "Position in the log, from 0; with the log it names one entry.",
);

pub(super) const SALT_COLUMN: Column = Column {
    id: PAYLOAD_SALT,
    name: "salt",
    kind: ColumnType::Binary,
    required: true,
    side: Side::Payload,
    bytes_max: SALT_BYTES,
    doc: "16 random bytes from which the field salts of the commitment derive.",
};

/// The columns every stream has; all that the root log has.
pub(super) const COLUMNS: [Column; 15] = [
    LOG_INDEX_COLUMN,
    required(INGEST_TIME, "ingest_time", ColumnType::Timestamp, 8, "When the recorder sequenced the entry."),
    required(
        EVENT_ID,
        "event_id",
        ColumnType::Utf8,
        256,
        "Idempotency key: the source's id, else made here.",
    ),
    required(TIME, "time", ColumnType::Timestamp, 8, "When it happened, at the observer."),
    required(TENANT, "tenant", ColumnType::Utf8, 64, "The tenant whose log this is."),
    required(6, "kind", ColumnType::Utf8, 32, "What sort of record this is."),
    required(SOURCE, "source", ColumnType::Utf8, 256, "Collector, credential, mapping and its version."),
    required(
        SESSION_ID,
        "session_id",
        ColumnType::Utf8,
        256,
        "The session, as the source names it or derived.",
    ),
    required(9, "decision", ColumnType::Utf8, 32, "The policy decision; none where there was none to take."),
    required(10, "status", ColumnType::Utf8, 32, "The outcome."),
    entry(
        CONTROL,
        "control",
        ColumnType::Utf8,
        16_384,
        "Canonical JSON of a control entry; only the writer sets it.",
    ),
    entry(
        CUT,
        "cut",
        ColumnType::ListUtf8,
        2048,
        "Columns that were longer than their cap and are cut here.",
    ),
    entry(
        TAGS,
        "tags",
        ColumnType::ListUtf8,
        1024,
        "Remarks of the recorder: id_conflict, clock_skew, late, oversize.",
    ),
    entry(
        REDACTIONS,
        "redactions",
        ColumnType::ListUtf8,
        2048,
        "Classes of secrets that were removed, with counts.",
    ),
    entry(
        PAYLOAD_COMMITMENT,
        "payload_commitment",
        ColumnType::Binary,
        HASH_BYTES,
        "SHA-256 commitment to the payload side of the row.",
    ),
];
