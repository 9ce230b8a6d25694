//! Control entries: what the recorder itself has to say, as canonical JSON in the column `control`.
//!
//! Canonical means: exactly what serialising the parsed value gives, so that one fact has one spelling. Only
//! the writer sets the column; `verify` reads nothing else for these facts. Kinds that are reserved but not
//! written yet are listed in `FORMAT.md`.

use serde::{Deserialize, Serialize};

use crate::entry::EntryView;
use crate::stream::Stream;
use crate::{Error, Result};

/// A fact about the log itself. Tags are persisted: keep them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "control", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Control {
    /// Root log: a log exists, with its keys. Entry 0 of a log is the same of itself.
    LogOpened(LogOpened),
    /// Root log: how far the changed logs have come.
    Round(Round),
    /// Root log: nothing changed, the recorder lives.
    Heartbeat(Heartbeat),
    /// The last entry of a log that is no longer written: which log goes on in its place, under which key.
    Succession(Succession),
    /// Root log: another log has had its last entry.
    LogClosed(LogClosed),
    /// Root log: a log that was given up and that no log goes on from.
    LogLost(Predecessor),
    /// Root log: who began to write it, on which machine and why.
    Adopted(Adopted),
    /// In the log it concerns: what recovery found and set aside.
    Recovery(Recovery),
    /// A new run of the clock: `ingest_time` may step back here and nowhere else.
    ClockRun(ClockRun),
    /// In `access`: an API token was made.
    TokenCreated(TokenChange),
    /// In `access`: an API token was revoked.
    TokenRevoked(TokenChange),
    /// In `access`: the service started with this configuration.
    Configuration(Configuration),
    /// In `events`: what time it is, because nothing came and something was due.
    ClockRead(ClockRead),
    /// In `events`: what a person says of an alert.
    Verdict(Verdict),
}

impl Control {
    /// What an entry of the root log says, in its canonical bytes; none where it says nothing.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn of_root_entry(entry: &[u8]) -> Result<Option<Control>> {
        let id = Stream::Root.column("control").map(|column| column.id);
        let Some(id) = id else { return Ok(None) };
        let Some(text) = EntryView::parse(entry)?.field(id)? else { return Ok(None) };
        let text = std::str::from_utf8(text).map_err(|_| Error::malformed("control", "not UTF-8"))?;
        Control::parse(text).map(Some)
    }
}

/// A log and its verifier keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogOpened {
    /// Number of the log in this installation: 0 is the root log itself.
    pub number: u64,
    /// Its origin.
    pub origin: String,
    /// Verifier key of its checkpoints.
    pub key: String,
    /// Verifier key of its manifests.
    pub manifest_key: String,
    /// The log that it goes on from, where it is a successor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<Predecessor>,
}

/// The log before a successor, as it was last known. What is known of it and not kept, `kept..size`, is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predecessor {
    /// Its origin.
    pub origin: String,
    /// Verifier key of its checkpoints.
    pub key: String,
    /// The greatest size that it is known to have been signed at.
    pub size: u64,
    /// Root at that size, base64.
    pub root: String,
    /// How many of its entries are sealed here, at most `size`.
    pub kept: u64,
    /// How many entries that it had and that are not kept were recorded again in the successor.
    pub carried: u64,
    /// Root of the kept ones, base64, where some are kept and some are lost. Not in what older versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_root: Option<String>,
}

impl Predecessor {
    /// Whether entries of it are lost.
    pub fn has_lost(&self) -> bool {
        self.kept < self.size
    }
}

/// Which log goes on in place of this one, and that this one is at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Succession {
    /// Origin of the successor.
    pub origin: String,
    /// Verifier key of its checkpoints.
    pub key: String,
}

/// A log at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogClosed {
    /// Number of the log.
    pub number: u64,
    /// Its size, the last entry among it.
    pub size: u64,
    /// Root at that size, base64.
    pub root: String,
    /// Origin of its successor.
    pub successor: String,
}

/// Who took a store into service, where and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adopted {
    /// A digest of the machine's id, hex; empty where it has none.
    pub machine: String,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// One round: every log that changed since the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// Ascending by log number.
    pub logs: Vec<RoundLog>,
}

/// How far one log has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundLog {
    /// Number of the log.
    pub number: u64,
    /// Signed size C.
    pub size: u64,
    /// Root at that size, base64.
    pub root: String,
    /// Newest manifest, 0 for none.
    pub manifest: u64,
    /// BLAKE3 of that manifest file, hex; empty for none.
    pub manifest_digest: String,
    /// Sealed size S.
    pub sealed: u64,
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// Logs open.
    pub logs: u64,
}

/// What recovery found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// Durable size found when the log was opened.
    pub size: u64,
    /// Bytes set aside from the newest write-ahead file: a group that was never acknowledged.
    pub quarantined_bytes: u64,
    /// BLAKE3 of those bytes, hex; empty for none.
    pub quarantined_digest: String,
}

/// A step of the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockRun {
    /// Last `ingest_time` of the run before, in microseconds.
    pub last_us: i64,
    /// First `ingest_time` of the new run, in microseconds.
    pub first_us: i64,
}

/// A reading of the clock for those who fold the log: its `ingest_time`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockRead {
    /// When something was due, in microseconds.
    pub due_us: i64,
}

/// What a person says of an alert. It is of use to whoever folds the log from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Id of the alert.
    pub alert_id: String,
    /// What it is.
    pub verdict: Judgement,
    /// Until when its entity is muted under its rule, in microseconds; 0 without a mute.
    pub muted_until_us: i64,
    /// Who says so.
    pub by: String,
    /// Why, without secrets; empty where nothing was said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// What an alert turned out to be. Names are persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// What it says happened, and should not have.
    True,
    /// Nothing is wrong.
    Benign,
}

/// A token that was made or revoked; never the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenChange {
    /// Public id of the token.
    pub id: String,
    /// Its role.
    pub role: String,
    /// Its tenant.
    pub tenant: String,
    /// Who did it.
    pub by: String,
}

/// The configuration a service started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Program version.
    pub version: String,
    /// BLAKE3 of the effective configuration, hex.
    pub digest: String,
}

impl Control {
    /// The canonical text.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it cannot be serialised, which no value of this type causes.
    pub fn to_text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::malformed("control entry", error.to_string()))
    }

    /// Parses canonical text.
    ///
    /// # Errors
    /// [`Error::Malformed`] for unknown kinds and fields, and for another spelling of a known one.
    pub fn parse(text: &str) -> Result<Control> {
        let parsed: Control = serde_json::from_str(text)
            .map_err(|error| Error::malformed("control entry", error.to_string()))?;
        if parsed.to_text()? != text {
            return Err(Error::malformed("control entry", "not in canonical spelling"));
        }
        Ok(parsed)
    }

    /// The value of column `kind` in the control entry's row.
    pub const KIND: &'static str = "control";
    /// The value of column `session_id` in the control entry's row.
    pub const SESSION: &'static str = "_control";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_text_has_one_spelling() {
        let opened = Control::LogOpened(LogOpened {
            number: 1,
            origin: "i/t/events/w1".into(),
            key: "k".into(),
            manifest_key: "m".into(),
            predecessor: None,
        });
        let text = opened.to_text().unwrap();
        assert_eq!(
            text,
            r#"{"control":"log_opened","number":1,"origin":"i/t/events/w1","key":"k","manifest_key":"m"}"#
        );
        assert_eq!(Control::parse(&text).unwrap(), opened);
        assert!(Control::parse(&text.replace(":1", ": 1")).is_err());
        assert!(Control::parse(&text.replace("number", "nummer")).is_err());
        assert!(Control::parse(r#"{"control":"heartbeat","logs":1,"logs":1}"#).is_err());
    }

    #[test]
    fn a_successor_names_what_it_goes_on_from() {
        let predecessor = Predecessor {
            origin: "i/t/events/w1".into(),
            key: "k".into(),
            size: 9,
            root: "r".into(),
            kept: 7,
            carried: 1,
            kept_root: None,
        };
        let bound = LogOpened {
            number: 1,
            origin: "i/t/events/w2".into(),
            key: "l".into(),
            manifest_key: "m".into(),
            predecessor: Some(Predecessor { kept_root: Some("s".into()), ..predecessor.clone() }),
        };
        let opened = Control::LogOpened(LogOpened {
            number: 1,
            origin: "i/t/events/w2".into(),
            key: "l".into(),
            manifest_key: "m".into(),
            predecessor: Some(predecessor.clone()),
        });
        let lost = Predecessor { origin: "i/t/events/w2".into(), kept: 0, carried: 0, ..predecessor };
        let closed = LogClosed { number: 1, size: 7, root: "r".into(), successor: "i/t/events/w2".into() };
        let adopted = Adopted { machine: String::new(), by: "ops".into(), reason: "moved".into() };
        for (control, text) in [
            (
                Control::LogOpened(bound),
                r#"{"control":"log_opened","number":1,"origin":"i/t/events/w2","key":"l","manifest_key":"m","predecessor":{"origin":"i/t/events/w1","key":"k","size":9,"root":"r","kept":7,"carried":1,"kept_root":"s"}}"#,
            ),
            (
                opened,
                r#"{"control":"log_opened","number":1,"origin":"i/t/events/w2","key":"l","manifest_key":"m","predecessor":{"origin":"i/t/events/w1","key":"k","size":9,"root":"r","kept":7,"carried":1}}"#,
            ),
            (
                Control::Succession(Succession { origin: "i/t/events/w2".into(), key: "l".into() }),
                r#"{"control":"succession","origin":"i/t/events/w2","key":"l"}"#,
            ),
            (
                Control::LogClosed(closed),
                r#"{"control":"log_closed","number":1,"size":7,"root":"r","successor":"i/t/events/w2"}"#,
            ),
            (
                Control::LogLost(lost),
                r#"{"control":"log_lost","origin":"i/t/events/w2","key":"k","size":9,"root":"r","kept":0,"carried":0}"#,
            ),
            (Control::Adopted(adopted), r#"{"control":"adopted","machine":"","by":"ops","reason":"moved"}"#),
        ] {
            assert_eq!(control.to_text().unwrap(), text);
            assert_eq!(Control::parse(text).unwrap(), control);
        }
        // Nothing has two spellings.
        let none = r#"{"control":"log_opened","number":1,"origin":"o","key":"l","manifest_key":"m","predecessor":null}"#;
        assert!(Control::parse(none).is_err());
    }
}
