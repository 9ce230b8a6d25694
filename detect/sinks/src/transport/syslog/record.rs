//! A message as RFC 5424 writes it.
//!
//! ```text
//! <PRI>1 TIMESTAMP HOSTNAME tachograph - MSGID [tachograph@PEN id="…" tenant="…" log="…" log_index="…"] BOM MSG
//! ```

use super::Settings;
use crate::message::{Importance, Message};

const BYTE_ORDER_MARK: &str = "\u{feff}";
/// Longest HOSTNAME and MSGID (RFC 5424, 6).
const HOSTNAME_CHARACTERS: usize = 255;
const MSGID_CHARACTERS: usize = 32;

/// What every record has in common.
#[derive(Debug)]
pub(super) struct Header {
    facility: u8,
    hostname: String,
    element: String,
    byte_order_mark: bool,
}

impl Header {
    pub(super) fn new(settings: &Settings, machine: &str) -> Header {
        let hostname = settings.hostname.as_deref().unwrap_or(machine);
        Header {
            facility: settings.facility,
            hostname: printable(hostname, HOSTNAME_CHARACTERS),
            element: format!("tachograph@{}", settings.enterprise_number),
            byte_order_mark: settings.byte_order_mark,
        }
    }

    /// The record, without its frame.
    pub(super) fn record(&self, message: &Message) -> Vec<u8> {
        let priority = u16::from(self.facility) * 8 + severity(message.importance);
        let parameters: String = [
            ("id", message.id.as_str()),
            ("tenant", &message.tenant),
            ("log", &message.log),
            ("log_index", &message.log_index.to_string()),
        ]
        .iter()
        .map(|(name, value)| format!(" {name}=\"{}\"", escaped(value)))
        .collect();
        let head = format!(
            "<{priority}>1 {} {} tachograph - {} [{}{parameters}] {}",
            timestamp(message.time_us),
            self.hostname,
            printable(message.kind, MSGID_CHARACTERS),
            self.element,
            if self.byte_order_mark { BYTE_ORDER_MARK } else { "" },
        );
        let mut record = Vec::with_capacity(head.len() + message.body.len());
        record.extend_from_slice(head.as_bytes());
        record.extend_from_slice(&message.body);
        record
    }
}

/// RFC 5424, table 2: critical, error, warning, notice, informational.
fn severity(importance: Importance) -> u16 {
    match importance {
        Importance::Critical => 2,
        Importance::High => 3,
        Importance::Medium => 4,
        Importance::Low => 5,
        Importance::Informational => 6,
    }
}

/// RFC 3339 with microseconds; `-` for a time that it has no year of four digits for.
fn timestamp(time_us: i64) -> String {
    let text = jiff::Timestamp::from_microsecond(time_us).map(|time| format!("{time:.6}"));
    text.ok()
        .filter(|text| text.len() == "2026-11-30T16:00:00.000000Z".len())
        .unwrap_or_else(|| "-".to_string())
}

/// PRINTUSASCII of at most `characters`, with `-` for nothing.
fn printable(text: &str, characters: usize) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(characters).collect();
    if kept.is_empty() { "-".to_string() } else { kept }
}

/// A PARAM-VALUE (RFC 5424, 6.3.3). Control characters are allowed there and break receivers that read lines: they are written as `\u`
/// with four digits, which is a backslash and what follows it to a reader of the standard.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '"' | '\\' | ']' => text.extend(['\\', letter]),
            letter if letter.is_control() => text.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn message() -> Message {
        Message {
            id: "a\"]\\ü\n-1".to_string(),
            tenant: "acme".to_string(),
            log: "i/acme/alerts/w".to_string(),
            log_index: 7,
            time_us: 1_796_054_400_000_001,
            importance: Importance::Critical,
            kind: "alert",
            key: "k".to_string(),
            content_type: "application/json",
            body: Bytes::from_static(b"{}"),
        }
    }

    fn header(settings: &str) -> Header {
        let settings: Settings = toml::from_str(&format!("address = \"h:1\"\n{settings}")).unwrap();
        Header::new(&settings, "machine")
    }

    #[test]
    fn a_record_is_as_the_standard_writes_it() {
        let record = String::from_utf8(header("").record(&message())).unwrap();
        assert_eq!(
            record,
            "<106>1 2026-11-30T16:00:00.000001Z machine tachograph - alert \
             [tachograph@32473 id=\"a\\\"\\]\\\\ü\\u000a-1\" tenant=\"acme\" log=\"i/acme/alerts/w\" log_index=\"7\"] \u{feff}{}"
        );
        let header =
            header("facility = 1\nhostname = \"ä b\"\nenterprise_number = 5\nbyte_order_mark = false");
        let record =
            String::from_utf8(header.record(&Message { importance: Importance::Low, ..message() })).unwrap();
        assert!(
            record.starts_with("<13>1 2026-11-30T16:00:00.000001Z b tachograph - alert [tachograph@5 "),
            "{record}"
        );
        assert!(record.ends_with("] {}"), "{record}");
    }

    #[test]
    fn a_time_without_four_digits_of_a_year_is_none() {
        assert_eq!(timestamp(i64::MAX), "-");
        assert_eq!(timestamp(-62_167_219_200_000_001), "-");
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000000Z");
    }

    /// PARAM-VALUEs and what follows the element, as a reader of the standard takes them apart.
    fn read(record: &str) -> (Vec<String>, &str) {
        let mut rest = record.split_once(" [tachograph@32473").unwrap().1;
        let mut values = Vec::new();
        while let Some(after) = rest.strip_prefix(' ') {
            let (_, after) = after.split_once("=\"").unwrap();
            let (mut value, mut letters) = (String::new(), after.char_indices());
            let end = loop {
                match letters.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => match letters.next().unwrap().1 {
                        letter @ ('"' | '\\' | ']') => value.push(letter),
                        other => value.extend(['\\', other]),
                    },
                    (_, ']') => panic!("{record} has a bare ]"),
                    (_, letter) => value.push(letter),
                }
            };
            values.push(value);
            rest = &after[end + 1..];
        }
        (values, rest.strip_prefix("] \u{feff}").unwrap())
    }

    proptest! {
        #[test]
        fn no_value_forges_a_field(id: String, tenant: String, log: String, body: String) {
            let message = Message { id, tenant, log, body: body.clone().into(), ..message() };
            let record = String::from_utf8(header("").record(&message)).unwrap();
            let (values, rest) = read(&record);
            let shown = |text: &str| -> String {
                let letter = |letter: char| match letter.is_control() {
                    true => format!("\\u{:04x}", u32::from(letter)),
                    false => letter.to_string(),
                };
                text.chars().map(letter).collect()
            };
            let expected = [shown(&message.id), shown(&message.tenant), shown(&message.log), "7".to_string()];
            prop_assert_eq!(values, expected);
            prop_assert_eq!(rest, body);
        }
    }
}
