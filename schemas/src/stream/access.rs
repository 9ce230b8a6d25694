//! Stream `access`: who asked what of the record, and what they were given.

use super::common::{self, entry};
use crate::column::{Column, ColumnType};

/// The table.
pub(super) const COLUMNS: [Column; 30] = {
    let [c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15] = common::COLUMNS;
    use ColumnType::{Int64, Utf8};
    [
        c1,
        c2,
        c3,
        c4,
        c5,
        c6,
        c7,
        c8,
        c9,
        c10,
        c11,
        c12,
        c13,
        c14,
        c15,
        entry(16, "query_id", Utf8, 64, "Joins intent and outcome of one request."),
        entry(17, "phase", Utf8, 16, "intent, written before the first row leaves, or outcome."),
        entry(
            18,
            "action",
            Utf8,
            64,
            "sql, replay, verify, token_create, token_revoke, config, login, ingest_refused.",
        ),
        entry(19, "principal", Utf8, 256, "Who asked: token id or operating-system user."),
        entry(20, "role", Utf8, 64, "With which role."),
        entry(21, "source_ip", Utf8, 64, "From where."),
        entry(22, "door", Utf8, 32, "http, command or pg."),
        entry(23, "statement", Utf8, 16384, "SQL text or request, redacted."),
        entry(24, "snapshot", Utf8, 4096, "Log sizes the answer was computed over."),
        entry(25, "rows", Int64, 8, "Rows that left."),
        entry(26, "bytes", Int64, 8, "Bytes that left."),
        entry(27, "duration_us", Int64, 8, "How long it took."),
        entry(28, "error_code", Utf8, 64, "Stable code of the refusal or failure."),
        entry(29, "detail", Utf8, 2048, "What was refused and why, redacted."),
        entry(30, "format", Utf8, 32, "Answer format."),
    ]
};
