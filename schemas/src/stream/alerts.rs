//! Stream `alerts`: what the detector said, one entry per opening, update and closing of an episode.

use super::common::{self, entry};
use crate::column::{Column, ColumnType};

/// The table.
pub(super) const COLUMNS: [Column; 48] = {
    let [c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15] = common::COLUMNS;
    use ColumnType::{Int64, ListInt64, ListUtf8, Timestamp, Utf8};
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
        entry(16, "alert_id", Utf8, 64, "The episode: the same on redelivery and replay."),
        entry(17, "sequence", Int64, 8, "0 when it opens, then 1, 2, ..."),
        entry(18, "state", Utf8, 16, "open, updated, closed."),
        entry(19, "rule_id", Utf8, 128, "The rule or detector."),
        entry(20, "title", Utf8, 512, "One line for people."),
        entry(21, "severity", Utf8, 16, "informational, low, medium, high, critical."),
        entry(22, "confidence", Utf8, 16, "low, medium, high."),
        entry(23, "entity_type", Utf8, 64, "Kind of entity the alert is about."),
        entry(24, "entity", Utf8, 512, "The entity."),
        entry(25, "environment", Utf8, 64, "Environment of the events."),
        entry(26, "first_seen", Timestamp, 8, "Time of the first event of the episode."),
        entry(27, "last_seen", Timestamp, 8, "Time of the last event of the episode."),
        entry(28, "count", Int64, 8, "Events in the episode so far."),
        entry(29, "statistic", Utf8, 256, "What was measured."),
        entry(30, "expected", Int64, 8, "The ceiling or expectation, in `unit`."),
        entry(31, "observed", Int64, 8, "What was observed, in `unit`."),
        entry(32, "unit", Utf8, 32, "ppm, us or count."),
        entry(33, "baseline", Utf8, 64, "Where the expectation came from: none, entity, peer, tenant."),
        entry(34, "window_us", Int64, 8, "Length of the window."),
        entry(35, "evidence", ListInt64, 4096, "Log indices of events in `evidence_log`."),
        entry(36, "evidence_log", Utf8, 320, "Origin of the log that `evidence` and `position` count in."),
        entry(37, "observables", ListUtf8, 8192, "name=value pairs to pivot on."),
        entry(38, "explanation", Utf8, 4096, "Why it fired, in sentences."),
        entry(39, "query", Utf8, 4096, "SQL that shows the evidence."),
        entry(40, "runbook", Utf8, 256, "What to do."),
        entry(41, "references", ListUtf8, 1024, "MITRE ATLAS and OWASP ids."),
        entry(42, "position", Int64, 8, "Log index of the event that caused this entry."),
        entry(43, "ordinal", Int64, 8, "Which of the entries that this event caused."),
        entry(44, "budget_verdict", Utf8, 16, "within, over: how the opening stands to the day's budget."),
        entry(45, "log10_p_milli", Int64, 8, "Thousandths of log10 of the p-value; null without one."),
        entry(46, "muted_by", Utf8, 256, "Who muted the entity under its rule; null where nobody has."),
        entry(47, "muted_until", Timestamp, 8, "When that mute ends."),
        entry(48, "mute_note", Utf8, 1024, "Why it is muted, as whoever muted it said."),
    ]
};
