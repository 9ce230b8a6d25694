//! A sink as the configuration has it: what every sink can be told, and what its transport is.

use schemas::limits::{SINK_HOLD_S, SINK_HOLD_S_MAX, SINK_NAME_BYTES_MAX, SINKS_MAX};
use schemas::principal::Role;
use serde::{Deserialize, Serialize};

use crate::alert::{Severity, State};
use crate::error::{Error, Result};
use crate::format::{Format, KillSwitch};
use crate::transport::TransportSettings;

/// One `[[sinks]]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// What every sink has.
    pub delivery: Delivery,
    /// Where it leads.
    pub transport: TransportSettings,
}

/// What is delivered, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Names the sink in commands and metrics, and what is kept of it: a new name is a new sink.
    pub name: String,
    /// The format; none for a kill switch, which has one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// `alerts`, or `events`, which needs a `role`.
    #[serde(default)]
    pub stream: Source,
    /// The role that the receiver has: what its policy hides or leaves out is hidden from the sink too. Without one all columns of alerts are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Receiver>,
    /// Tenants; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<String>,
    /// Alerts of at least this severity.
    #[serde(default = "informational")]
    pub severity: Severity,
    /// Only these rules; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// All but these rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except_rules: Vec<String>,
    /// Only alerts in these states; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<State>,
    /// Whether what is over a day's budget is sent.
    pub over_budget: bool,
    /// Whether a day's counts are sent, once the day is over.
    #[serde(default)]
    pub digest: bool,
    /// Whether OCSF says how an entry can be proven, as OCSF 1.9 has it.
    #[serde(default)]
    pub record_integrity: bool,
    /// Where a sink that is new begins in a log that has entries already.
    #[serde(default)]
    pub from: Beginning,
    /// Of a kill switch: seconds for which its request holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds_s: Option<u32>,
    /// Of a kill switch: say what would be stopped, and stop nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// Which log is followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// What the detector said.
    #[default]
    Alerts,
    /// What agents did.
    Events,
}

/// Whose eyes a receiver has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receiver {
    /// As an auditor.
    Auditor,
    /// As a responder.
    Responder,
    /// As an admin: everything but payloads.
    Admin,
}

/// Where a sink begins that was never there before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beginning {
    /// With what is recorded from now on. Of a log that begins later, everything.
    #[default]
    Now,
    /// With the first entry there is.
    Start,
}

impl Source {
    /// The stream.
    pub fn stream(self) -> schemas::Stream {
        match self {
            Source::Alerts => schemas::Stream::Alerts,
            Source::Events => schemas::Stream::Events,
        }
    }
}

impl Receiver {
    /// The role.
    pub fn role(self) -> Role {
        match self {
            Receiver::Auditor => Role::Auditor,
            Receiver::Responder => Role::Responder,
            Receiver::Admin => Role::Admin,
        }
    }
}

fn informational() -> Severity {
    Severity::Informational
}

/// Keys of a table that are not its transport's.
const DELIVERY_KEYS: [&str; 15] = [
    "name",
    "format",
    "stream",
    "role",
    "tenants",
    "severity",
    "rules",
    "except_rules",
    "states",
    "over_budget",
    "digest",
    "record_integrity",
    "from",
    "holds_s",
    "dry_run",
];

impl Sink {
    /// Reads all tables `[[sinks]]`.
    ///
    /// # Errors
    /// [`Error::Settings`] for the first that is wrong.
    pub fn from_tables(tables: &[toml::Table]) -> Result<Vec<Sink>> {
        if tables.len() > SINKS_MAX {
            let detail = format!("{} sinks, at most {SINKS_MAX}", tables.len());
            return Err(Error::Settings { sink: "*".to_owned(), detail });
        }
        let mut sinks: Vec<Sink> = Vec::new();
        for table in tables {
            let sink = Sink::from_table(table.clone())?;
            if sinks.iter().any(|other| other.delivery.name == sink.delivery.name) {
                return Err(wrong(&sink.delivery.name, "there are two of this name: rename one"));
            }
            sinks.push(sink);
        }
        Ok(sinks)
    }

    /// Reads one table.
    ///
    /// # Errors
    /// [`Error::Settings`] naming the key that is unknown, wrong or missing.
    pub fn from_table(mut table: toml::Table) -> Result<Sink> {
        let name = table.get("name").and_then(toml::Value::as_str).unwrap_or("(without a name)").to_owned();
        check_name(&name)?;
        let kind = match table.remove("type") {
            Some(toml::Value::String(kind)) => kind,
            _ => return Err(wrong(&name, "it has no type: give one, such as type = \"file\"")),
        };
        let (mut delivery, transport): (toml::Table, toml::Table) =
            table.into_iter().partition(|(key, _)| DELIVERY_KEYS.contains(&key.as_str()));
        let transport = TransportSettings::from_table(&name, &kind, transport)?;
        let tells_people = matches!(kind.as_str(), "chat" | "kill_switch");
        delivery.entry("over_budget").or_insert(toml::Value::Boolean(!tells_people));
        if kind == "kill_switch" {
            delivery.entry("severity").or_insert(toml::Value::String(Severity::High.word().to_owned()));
        }
        let delivery: Delivery =
            delivery.try_into().map_err(|error: toml::de::Error| wrong(&name, error.message()))?;
        let mut sink = Sink { delivery, transport };
        sink.check(&kind)?;
        sink.delivery.format = match (sink.delivery.format, kind.as_str()) {
            (_, "kill_switch") => None,
            (None, "bulk") => Some(Format::Ecs),
            (None, "chat") => Some(Format::Chat),
            (format, _) => Some(format.unwrap_or(Format::Json)),
        };
        Ok(sink)
    }

    fn check(&self, kind: &str) -> Result<()> {
        let Delivery { name, format, stream, role, digest, holds_s, dry_run, .. } = &self.delivery;
        let refused = |detail: &str| Err(wrong(name, detail));
        if *stream == Source::Events && role.is_none() {
            return refused(
                "events are sent as a role sees them: give role = \"auditor\", \"responder\" or \"admin\"",
            );
        }
        let is_kill_switch = kind == "kill_switch";
        if is_kill_switch && (format.is_some() || *stream == Source::Events || *digest) {
            return refused("a kill switch has a format of its own, and sends alerts alone");
        }
        if !is_kill_switch && (holds_s.is_some() || dry_run.is_some()) {
            return refused("holds_s and dry_run are a kill switch's");
        }
        if holds_s.is_some_and(|holds_s| holds_s == 0 || holds_s > SINK_HOLD_S_MAX) {
            return refused(&format!("holds_s is 1 to {SINK_HOLD_S_MAX}"));
        }
        if *digest && *stream == Source::Events {
            return refused("a digest is of alerts");
        }
        if kind == "chat" && !matches!(format, None | Some(Format::Chat)) {
            return refused("a chat takes the format chat alone; a webhook takes any");
        }
        let is_json = !matches!(format, Some(Format::Cef | Format::Leef));
        if self.transport.needs_json() && !is_json {
            return refused("this transport takes JSON: ocsf, ecs, cloudevents or json");
        }
        Ok(())
    }

    /// The table again, with every default: what is in force. It holds no credential, only where each comes from.
    ///
    /// # Errors
    /// [`Error::Settings`] for what TOML cannot say.
    pub fn to_table(&self) -> Result<toml::Table> {
        let name = &self.delivery.name;
        let mut table =
            toml::Table::try_from(&self.delivery).map_err(|error| wrong(name, error.to_string()))?;
        table.insert("type".to_owned(), toml::Value::String(self.transport.kind().to_owned()));
        table.extend(self.transport.to_table(name)?);
        Ok(table)
    }

    /// How the kill switch is set, where it is one.
    pub fn kill_switch(&self) -> Option<KillSwitch> {
        matches!(self.transport, TransportSettings::KillSwitch(_)).then(|| KillSwitch {
            holds_s: self.delivery.holds_s.unwrap_or(SINK_HOLD_S),
            is_dry_run: self.delivery.dry_run.unwrap_or(false),
        })
    }
}

/// A name is a directory, a label of a metric and a part of a path of a URL.
fn check_name(name: &str) -> Result<()> {
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter);
    if name.is_empty()
        || name.len() > SINK_NAME_BYTES_MAX
        || !name.chars().all(fits)
        || name.starts_with(['-', '_'])
    {
        let detail = format!(
            "give it a name of lower-case letters, digits, `-` and `_`, at most {SINK_NAME_BYTES_MAX}, that begins with a letter or a digit"
        );
        return Err(wrong(name, detail));
    }
    Ok(())
}

fn wrong(sink: &str, detail: impl Into<String>) -> Error {
    Error::Settings { sink: sink.to_owned(), detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(text: &str) -> Result<Sink> {
        Sink::from_table(text.parse().unwrap())
    }

    #[test]
    fn what_is_not_said_is_what_fits_the_transport() {
        let file = sink("name = \"archive\"\ntype = \"file\"\npath = \"a.jsonl\"").unwrap().delivery;
        assert_eq!(
            (file.format, file.over_budget, file.severity),
            (Some(Format::Json), true, Severity::Informational)
        );
        assert_eq!((file.stream, file.from, file.digest), (Source::Alerts, Beginning::Now, false));
        let kill = "name = \"stop\"\ntype = \"kill_switch\"\nurl = \"https://gateway.example/stop\"\nkey_file = \"k\"";
        match sink(kill) {
            Ok(kill) => {
                assert_eq!((kill.delivery.severity, kill.delivery.over_budget), (Severity::High, false));
                assert_eq!(kill.kill_switch().map(|switch| switch.is_dry_run), Some(false));
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_is_wrong_names_the_sink_and_the_key() {
        let file = "type = \"file\"\npath = \"a\"\n";
        for (text, told) in [
            (format!("name = \"a/b\"\n{file}"), "lower-case"),
            (format!("name = \"\"\n{file}"), "lower-case"),
            (format!("name = \"a\"\n{file}unheard = 1"), "unheard"),
            (format!("name = \"a\"\n{file}severity = \"bad\""), "bad"),
            (format!("name = \"a\"\n{file}stream = \"events\""), "role"),
            (format!("name = \"a\"\n{file}holds_s = 1"), "kill switch"),
            (format!("name = \"a\"\n{file}format = \"xml\""), "xml"),
            ("name = \"a\"".to_owned(), "type"),
            ("name = \"a\"\ntype = \"fax\"".to_owned(), "fax"),
        ] {
            let error = sink(&text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        let twice: toml::Table = format!("name = \"a\"\n{file}").parse().unwrap();
        assert!(
            Sink::from_tables(&[twice.clone(), twice]).unwrap_err().to_string().contains("two of this name")
        );
    }
}
