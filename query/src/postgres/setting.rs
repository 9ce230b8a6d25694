//! Settings of a connection. All but two are what they are, and setting them to that is all that is taken: a client that
//! asks for anything else must learn that it will not get it. The two: its name, and a shorter time for its queries.

use super::fault::Report;

/// Bytes of a value.
const VALUE_BYTES_MAX: usize = schemas::limits::POSTGRES_SETTING_BYTES_MAX;

/// What a setting may be set to.
#[derive(Debug, Clone, Copy)]
enum Takes {
    /// Nothing.
    Nothing,
    /// Any of these, which all mean what is in force.
    These(&'static [&'static str]),
    /// Any whole number: there is nothing that it would change.
    Number,
    /// Anything, which is kept and shown.
    Label,
    /// A time, which is kept and acted on.
    Time,
}

const YES: Takes = Takes::These(&["on", "true", "yes", "1"]);
const NO: Takes = Takes::These(&["off", "false", "no", "0"]);
const ISOLATION: Takes =
    Takes::These(&["read committed", "read uncommitted", "repeatable read", "serializable"]);

/// Name, value, what it takes, and whether a client is told of it when it connects.
const SETTINGS: [(&str, &str, Takes, bool); 39] = [
    ("application_name", "", Takes::Label, true),
    ("bytea_output", "hex", Takes::These(&["hex"]), false),
    ("client_encoding", "UTF8", Takes::These(&["utf8", "utf-8", "unicode"]), true),
    ("client_min_messages", "notice", Takes::Label, false),
    (
        "DateStyle",
        "ISO, MDY",
        Takes::These(&["iso", "iso, mdy", "iso, ymd", "iso, dmy", "mdy", "ymd", "dmy"]),
        true,
    ),
    ("default_table_access_method", "heap", Takes::Nothing, false),
    ("default_tablespace", "", Takes::Nothing, false),
    ("default_transaction_deferrable", "off", NO, false),
    ("default_transaction_isolation", "read committed", ISOLATION, false),
    ("default_transaction_read_only", "on", YES, true),
    ("escape_string_warning", "on", YES, false),
    ("extra_float_digits", "1", Takes::Number, false),
    ("idle_in_transaction_session_timeout", "0", Takes::Number, false),
    ("idle_session_timeout", "0", Takes::Number, false),
    ("in_hot_standby", "off", Takes::Nothing, true),
    ("integer_datetimes", "on", Takes::Nothing, true),
    ("IntervalStyle", "postgres", Takes::These(&["postgres"]), true),
    ("is_superuser", "off", Takes::Nothing, true),
    ("jit", "off", Takes::Label, false),
    ("lc_collate", "C.UTF-8", Takes::Nothing, false),
    ("lc_ctype", "C.UTF-8", Takes::Nothing, false),
    ("lc_messages", "C.UTF-8", Takes::Label, false),
    ("lc_monetary", "C.UTF-8", Takes::Label, false),
    ("lock_timeout", "0", Takes::Number, false),
    ("max_identifier_length", "63", Takes::Nothing, false),
    ("max_index_keys", "32", Takes::Nothing, false),
    ("row_security", "on", YES, false),
    (
        "search_path",
        "public",
        Takes::These(&[
            "public",
            "\"$user\", public",
            "$user, public",
            "public, pg_catalog",
            "pg_catalog, public",
            "",
        ]),
        true,
    ),
    ("server_encoding", "UTF8", Takes::Nothing, true),
    ("server_version", crate::catalogue::VERSION, Takes::Nothing, true),
    ("server_version_num", "150000", Takes::Nothing, false),
    ("session_authorization", "", Takes::Nothing, true),
    ("standard_conforming_strings", "on", YES, true),
    ("statement_timeout", "0", Takes::Time, false),
    ("synchronous_commit", "on", Takes::Label, false),
    (
        "TimeZone",
        "UTC",
        Takes::These(&["utc", "etc/utc", "gmt", "etc/gmt", "z", "zulu", "0", "+00", "+00:00", "universal"]),
        true,
    ),
    ("transaction_deferrable", "off", NO, false),
    ("transaction_isolation", "read committed", ISOLATION, false),
    ("transaction_read_only", "on", YES, false),
];

/// The settings of one connection.
#[derive(Debug, Clone)]
pub(super) struct Settings(Vec<(&'static str, String)>);

fn known(name: &str) -> Option<(usize, Takes)> {
    // What the word of `SET NAMES` and `SET TIME ZONE` stands for.
    let name = match name.to_lowercase().as_str() {
        "names" => "client_encoding".to_string(),
        "time zone" => "timezone".to_string(),
        "transaction isolation level" => "transaction_isolation".to_string(),
        "session authorization" => "session_authorization".to_string(),
        other => other.to_string(),
    };
    let place = SETTINGS.iter().position(|(known, ..)| known.eq_ignore_ascii_case(&name))?;
    SETTINGS.get(place).map(|(_, _, takes, _)| (place, *takes))
}

fn unknown(name: &str) -> Report {
    Report::new("42704", "unknown_setting", format!("there is no setting {name:?} here"))
}

/// Milliseconds of `5000`, `5s`, `'2 min'`.
fn milliseconds(value: &str) -> Option<u64> {
    let digits = value.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

impl Settings {
    /// What is in force for a new connection of `user`.
    pub(super) fn new(user: &str) -> Settings {
        let value = |name: &str, value: &str| match name {
            "session_authorization" => user.to_string(),
            _ => value.to_string(),
        };
        Settings(SETTINGS.iter().map(|(name, own, ..)| (*name, value(name, own))).collect())
    }

    /// All of them.
    pub(super) fn all(&self) -> &[(&'static str, String)] {
        &self.0
    }

    /// Those that a client is told when it connects.
    pub(super) fn reported(&self) -> impl Iterator<Item = &(&'static str, String)> {
        self.0.iter().zip(SETTINGS).filter(|(_, (_, _, _, is_reported))| *is_reported).map(|(value, _)| value)
    }

    /// The name and value of a setting.
    ///
    /// # Errors
    /// When there is none of that name.
    pub(super) fn get(&self, name: &str) -> Result<(&'static str, &str), Report> {
        let found = known(name).and_then(|(place, _)| self.0.get(place));
        found.map(|(name, value)| (*name, value.as_str())).ok_or_else(|| unknown(name))
    }

    /// Sets `name`; `None` sets it to what a new connection has. The name and value in force if they have changed.
    ///
    /// # Errors
    /// When it does not take this value.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) -> Result<(&'static str, String), Report> {
        let (place, takes) = known(name).ok_or_else(|| unknown(name))?;
        let (Some((name, own, ..)), Some(slot)) = (SETTINGS.get(place), self.0.get_mut(place)) else {
            return Err(unknown(name));
        };
        let value = value.unwrap_or(own);
        let refused = |sqlstate| {
            let what = format!("{name} cannot be set to {value:?} here: it is {:?}", slot.1);
            Err(Report::new(sqlstate, "setting_refused", what))
        };
        if value.len() > VALUE_BYTES_MAX {
            return refused("22023");
        }
        match takes {
            Takes::Nothing if value != slot.1 => return refused("55P02"),
            Takes::These(all) if !all.contains(&value.trim().to_lowercase().as_str()) && value != *own => {
                return match *name {
                    "default_transaction_read_only" | "transaction_read_only" => refused("25006"),
                    _ => refused("22023"),
                };
            }
            Takes::Number if value.parse::<f64>().is_err() && milliseconds(value).is_none() => {
                return refused("22023");
            }
            Takes::Nothing | Takes::These(_) => {}
            Takes::Number | Takes::Label => slot.1 = value.to_string(),
            Takes::Time => match milliseconds(value.trim()) {
                Some(ms) => slot.1 = if ms == 0 { "0".to_string() } else { format!("{ms}ms") },
                None => return refused("22023"),
            },
        }
        Ok((name, slot.1.clone()))
    }

    /// Takes a setting of the start of a connection. A driver tells the zone of its machine there without being
    /// asked to: it is told UTC in return.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub(super) fn start(&mut self, name: &str, value: &str) -> Result<(), Report> {
        match name.eq_ignore_ascii_case("timezone") {
            true => Ok(()),
            false => self.set(name, Some(value)).map(|_| ()),
        }
    }

    /// Milliseconds that the client gives its queries.
    pub(super) fn statement_timeout_ms(&self) -> Option<u64> {
        let (_, value) = self.get("statement_timeout").ok()?;
        milliseconds(value).filter(|ms| *ms > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_can_be_set_and_nothing_else() {
        let mut settings = Settings::new("t-1");
        for (name, value) in [
            ("client_encoding", "'utf-8'"),
            ("names", "UTF8"),
            ("timezone", "UTC"),
            ("DATESTYLE", "ISO"),
            ("extra_float_digits", "3"),
            ("application_name", "x"),
            ("transaction_isolation", "serializable"),
            ("server_version", "15.0"),
        ] {
            settings
                .set(name, Some(value.trim_matches('\'')))
                .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        for (name, value, code) in [
            ("client_encoding", "LATIN1", "22023"),
            ("TimeZone", "Europe/Paris", "22023"),
            ("default_transaction_read_only", "off", "25006"),
            ("is_superuser", "on", "55P02"),
            ("search_path", "pg_temp", "22023"),
            ("datafusion.execution.batch_size", "1", "42704"),
            ("role", "admin", "42704"),
        ] {
            assert_eq!(settings.set(name, Some(value)).unwrap_err().sqlstate, code, "{name}");
        }
        assert!(settings.start("TimeZone", "Europe/Paris").is_ok());
        assert_eq!(settings.get("timezone").unwrap(), ("TimeZone", "UTC"));
    }

    #[test]
    fn times_have_units() {
        let mut settings = Settings::new("t-1");
        assert_eq!(settings.statement_timeout_ms(), None);
        for (value, ms) in [("1500", Some(1500)), ("2s", Some(2000)), ("1 min", Some(60_000)), ("0", None)] {
            settings.set("statement_timeout", Some(value)).unwrap();
            assert_eq!(settings.statement_timeout_ms(), ms, "{value}");
        }
        assert!(settings.set("statement_timeout", Some("soon")).is_err());
    }
}
