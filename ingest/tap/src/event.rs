//! Canonical events as JSON text, written so that the service takes whatever an agent sent.

use std::fmt::Write as _;

use schemas::limits::{
    JSON_DEPTH_MAX, TAP_EVENT_BYTES_MAX, TAP_IDENTITY_BYTES_MAX, TAP_LARGE_FIELD_BYTES, TAP_VALUE_BYTES_MAX,
};

/// An event under construction: one JSON object. Every key is set once.
#[derive(Debug)]
pub struct Event {
    json: String,
    /// Fields that may be left out of an event that is too long.
    large: Vec<Large>,
}

/// A field: its key, and where it stands.
#[derive(Debug)]
struct Large {
    key: String,
    from: usize,
    to: usize,
}

/// A text of somebody else's that goes into every event: the beginning of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Short {
    text: String,
    /// Bytes of the whole, if this is not the whole.
    cut_from_bytes: Option<usize>,
}

impl Short {
    /// Of `text`; at most so long that it takes [`TAP_IDENTITY_BYTES_MAX`] bytes as JSON.
    pub fn new(text: &str) -> Short {
        let mut bytes = 0;
        let is_over = |letter: char| {
            bytes += quoted_bytes(letter);
            bytes > TAP_IDENTITY_BYTES_MAX
        };
        match text.find(is_over) {
            None => Short { text: text.to_string(), cut_from_bytes: None },
            Some(end) => Short {
                text: text.get(..end).unwrap_or_default().to_string(),
                cut_from_bytes: Some(text.len()),
            },
        }
    }

    /// The beginning.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Event {
    /// With this id, seen at this time.
    pub fn new(id: &str, time_us: i64) -> Event {
        let mut event = Event { json: String::with_capacity(512), large: Vec::new() };
        event.json.push('{');
        event.text("event_id", id).text("time", &rfc3339(time_us));
        event
    }

    /// Writes a key; where it begins.
    fn key(&mut self, key: &str) -> usize {
        if self.json.len() > 1 {
            self.json.push(',');
        }
        let from = self.json.len();
        quote(&mut self.json, key);
        self.json.push(':');
        from
    }

    fn note_large(&mut self, key: &str, from: usize) -> &mut Event {
        let to = self.json.len();
        if to - from >= TAP_LARGE_FIELD_BYTES {
            self.large.push(Large { key: key.to_string(), from, to });
        }
        self
    }

    /// Sets a text.
    pub fn text(&mut self, key: &str, value: &str) -> &mut Event {
        if value.len() > TAP_VALUE_BYTES_MAX {
            return self.left_out(key, value.len());
        }
        let from = self.key(key);
        quote(&mut self.json, value);
        self.note_large(key, from)
    }

    /// Sets a text of which the beginning is enough, and says beside it if it is no more than that.
    pub fn short(&mut self, key: &str, value: &Short) -> &mut Event {
        self.text(key, &value.text);
        match value.cut_from_bytes {
            Some(bytes) => self.count(&format!("{key}_cut_from_bytes"), bytes as u64),
            None => self,
        }
    }

    /// Sets a text, if there is one.
    pub fn optional(&mut self, key: &str, value: Option<&str>) -> &mut Event {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    /// Sets a number.
    pub fn number(&mut self, key: &str, value: i64) -> &mut Event {
        self.key(key);
        // Writing to a string does not fail.
        write!(self.json, "{value}").ok();
        self
    }

    /// Sets a number, unless it is nought.
    pub fn count(&mut self, key: &str, value: u64) -> &mut Event {
        if value == 0 { self } else { self.number(key, i64::try_from(value).unwrap_or(i64::MAX)) }
    }

    /// Sets `true`.
    pub fn flag(&mut self, key: &str, holds: bool) -> &mut Event {
        if holds {
            self.key(key);
            self.json.push_str("true");
        }
        self
    }

    /// Sets a JSON value. One that the service would refuse, too deep or with half a surrogate pair, is kept as the text
    /// that it is; one over the limit is left out; both are said beside it.
    pub fn value(&mut self, key: &str, json: &str) -> &mut Event {
        if json.len() > TAP_VALUE_BYTES_MAX {
            return self.left_out(key, json.len());
        }
        let from = self.key(key);
        if is_plain(json) {
            // A value on several lines would break the lines of what is sent.
            self.json.extend(
                json.chars().map(|letter| if letter == '\n' || letter == '\r' { ' ' } else { letter }),
            );
            return self.note_large(key, from);
        }
        quote(&mut self.json, json);
        self.note_large(key, from);
        self.flag(&format!("{key}_kept_as_text"), true)
    }

    fn left_out(&mut self, key: &str, bytes: usize) -> &mut Event {
        self.left_out_over(key, bytes, TAP_VALUE_BYTES_MAX)
    }

    /// Says that something of so many bytes is over a limit.
    pub fn left_out_over(&mut self, key: &str, bytes: usize, bytes_max: usize) -> &mut Event {
        self.key(&format!("{key}_left_out"));
        quote(&mut self.json, &format!("{bytes} bytes, over the tap's limit of {bytes_max}"));
        self
    }

    /// The text. The service refuses events that are too long, so the largest fields of such a one are left out, which is said
    /// in their place.
    pub fn finish(mut self) -> String {
        self.json.push('}');
        let mut bytes = self.json.len();
        self.large.sort_by_key(|field| std::cmp::Reverse(field.to - field.from));
        let mut gone = Vec::new();
        for field in self.large {
            if bytes <= TAP_EVENT_BYTES_MAX {
                break;
            }
            bytes = bytes.saturating_sub(field.to - field.from);
            gone.push(field);
        }
        // From the last to the first, so that what is before stays where it is.
        gone.sort_by_key(|field: &Large| std::cmp::Reverse(field.from));
        for Large { key, from, to } in gone {
            let mut note = String::new();
            quote(&mut note, &format!("{key}_left_out"));
            note.push(':');
            let why =
                format!("{} bytes; the event was over the tap's limit of {TAP_EVENT_BYTES_MAX}", to - from);
            quote(&mut note, &why);
            self.json.replace_range(from..to, &note);
        }
        self.json
    }
}

/// Bytes of a letter in a quoted text.
fn quoted_bytes(letter: char) -> usize {
    match letter {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        control if control < ' ' => 6,
        letter => letter.len_utf8(),
    }
}

/// Whether a JSON text nests so little that it may stand in an event, and every escaped surrogate has its other half.
fn is_plain(json: &str) -> bool {
    let (mut depth, mut in_string) = (0usize, false);
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => match surrogate(bytes, at) {
                None => at += 1,
                Some(true) if surrogate(bytes, at + 6) == Some(false) => at += 11,
                Some(_) => return false,
            },
            b'{' | b'[' if !in_string => {
                depth += 1;
                // The event itself is one level.
                if depth >= JSON_DEPTH_MAX {
                    return false;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    true
}

/// Of an escape at `at`: whether it is the first half of a surrogate pair or the second; none if it is neither.
fn surrogate(bytes: &[u8], at: usize) -> Option<bool> {
    let [b'\\', b'u', first, second, ..] = bytes.get(at..at + 6)? else { return None };
    if !first.eq_ignore_ascii_case(&b'd') {
        return None;
    }
    match second.to_ascii_lowercase() {
        b'8' | b'9' | b'a' | b'b' => Some(true),
        b'c'..=b'f' => Some(false),
        _ => None,
    }
}

/// Appends `text` as JSON.
pub fn quote(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                // Writing to a string does not fail.
                write!(out, "\\u{:04x}", u32::from(control)).ok();
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// A time as the recorder prints it: with no, three or six digits.
fn rfc3339(us: i64) -> String {
    let Ok(time) = jiff::Timestamp::from_microsecond(us) else { return us.to_string() };
    match us {
        _ if us.rem_euclid(1_000_000) == 0 => format!("{time:.0}"),
        _ if us.rem_euclid(1000) == 0 => format!("{time:.3}"),
        _ => format!("{time:.6}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_the_recorder_prints_them() {
        assert_eq!(rfc3339(1_795_203_659_373_193), "2026-11-20T19:40:59.373193Z");
        assert_eq!(rfc3339(1_795_203_659_373_000), "2026-11-20T19:40:59.373Z");
        assert_eq!(rfc3339(1_795_203_659_000_000), "2026-11-20T19:40:59Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn what_the_service_would_refuse_is_kept_as_text() {
        for (json, is_kept) in [
            (r#"{"a":"\ud83d\ude00","b":"\\ud800"}"#, true),
            (r#"{"a":"\ud83d"}"#, false),
            (r#"{"a":"\ude00"}"#, false),
            (r#"{"a":"\uD83D\u0041"}"#, false),
            ("{\"a\":\n1}", true),
        ] {
            let mut event = Event::new("1", 0);
            event.value("arguments", json);
            let text = event.finish();
            let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(parsed["arguments"].is_object(), is_kept, "{text}");
            assert_eq!(parsed["arguments_kept_as_text"] == true, !is_kept);
            assert!(!text.contains('\n'));
            if !is_kept {
                assert_eq!(parsed["arguments"], json);
            }
        }
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(is_plain(&deep(JSON_DEPTH_MAX - 1)) && !is_plain(&deep(JSON_DEPTH_MAX)));
    }

    #[test]
    fn an_event_that_is_too_long_loses_its_largest_fields_and_says_so() {
        let mut event = Event::new("1", 0);
        // Written as six bytes each.
        event.text("first", &"\u{1}".repeat(TAP_EVENT_BYTES_MAX / 6));
        event.text("second", &"x".repeat(TAP_LARGE_FIELD_BYTES * 2));
        event.value("third", &format!("\"{}\"", "y".repeat(TAP_VALUE_BYTES_MAX / 2)));
        event.text("fourth", &"\u{1}".repeat(TAP_EVENT_BYTES_MAX / 5)).text("last", "z");
        let text = event.finish();
        assert!(text.len() <= TAP_EVENT_BYTES_MAX, "{}", text.len());
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (key, is_kept) in
            [("first", false), ("second", true), ("third", true), ("fourth", false), ("last", true)]
        {
            assert_eq!(parsed[key].is_string(), is_kept, "{key}");
            assert_eq!(parsed[format!("{key}_left_out")].is_string(), !is_kept, "{key}");
        }
    }

    #[test]
    fn a_short_text_is_bounded_as_it_is_written() {
        for letter in ["x", "\u{1}", "\"", "\u{1f600}", "\u{e9}"] {
            let whole = letter.repeat(TAP_IDENTITY_BYTES_MAX + 1);
            let short = Short::new(&whole);
            let mut event = Event::new("1", 0);
            event.short("server", &short);
            let text = event.finish();
            assert!(text.len() < TAP_IDENTITY_BYTES_MAX + 200, "{letter:?}: {}", text.len());
            assert!(text.contains(&format!("\"server_cut_from_bytes\":{}", whole.len())), "{text}");
            assert!(
                short.as_str().len() * 6 >= TAP_IDENTITY_BYTES_MAX - 6 && whole.starts_with(short.as_str())
            );
        }
        assert_eq!(Short::new(&"x".repeat(TAP_IDENTITY_BYTES_MAX)).cut_from_bytes, None);
    }

    #[test]
    fn what_is_too_long_is_left_out_and_said() {
        let mut event = Event::new("1", 0);
        event.value("result", &format!("\"{}\"", "x".repeat(TAP_VALUE_BYTES_MAX - 1)));
        event.value("arguments", &format!("\"{}\"", "x".repeat(TAP_VALUE_BYTES_MAX - 2)));
        let text = event.finish();
        assert!(
            text.contains("result_left_out")
                && !text.contains("\"result\"")
                && text.contains("\"arguments\":")
        );
    }
}
