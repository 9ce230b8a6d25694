//! A log line of `key=value` pairs to the JSON object that mappings read.
//!
//! Words before the first pair are `head`; a first word that is a time is `time`. Values are texts; in quotes they may hold
//! spaces and escapes. Bare words behind a pair are the rest of its value, with the space between: producers write names as they
//! are, and who names a tool with a space in it must not get its line refused. Nothing of a line is left out.

use std::borrow::Cow;

use schemas::limits::{EVENT_KEYS_MAX, VALUE_BYTES_MAX};

use crate::normalise::time::from_text;

/// The line that starts at `start` of `body`, if that is where a line starts and it is one of pairs.
pub(crate) fn record(body: &[u8], start: usize) -> Option<String> {
    let is_start = start.checked_sub(1).is_none_or(|before| body.get(before) == Some(&b'\n'));
    let rest = body.get(start..).filter(|_| is_start)?;
    let line = rest.split(|byte| *byte == b'\n').next().filter(|line| line.len() <= VALUE_BYTES_MAX)?;
    if matches!(line.first(), None | Some(b'{' | b'[' | b'"')) || !line.contains(&b'=') {
        return None;
    }
    pairs(std::str::from_utf8(line).ok()?.trim_end())
}

fn pairs(line: &str) -> Option<String> {
    let (mut head, mut members, mut rest) = (Vec::new(), Vec::new(), line.trim_start());
    // Where the last value begins in the line, if it can go on.
    let mut open: Option<usize> = None;
    while !rest.is_empty() {
        let end = rest.find([' ', '\t']).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end)?;
        let pair = word.split_once('=').filter(|(key, _)| is_key(key));
        rest = after.trim_start();
        match pair {
            Some((key, value)) if value.starts_with('"') => {
                let from = line.len() - after.len() - value.len();
                let (value, length) = quoted(line.get(from..)?)?;
                rest = line.get(from + length..)?;
                if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
                    return None;
                }
                rest = rest.trim_start();
                open = None;
                members.push((key, value));
            }
            Some((key, value)) => {
                open = Some(line.len() - after.len() - value.len());
                members.push((key, Cow::Borrowed(value)));
            }
            None if members.is_empty() => head.push(word),
            None => {
                let whole = line.get(open?..line.len() - after.len())?;
                members.last_mut()?.1 = Cow::Borrowed(whole);
            }
        }
    }
    if members.is_empty() || members.len() + 2 > EVENT_KEYS_MAX {
        return None;
    }
    if head.first().is_some_and(|word| from_text(word).is_some()) {
        members.push(("time", Cow::Borrowed(head.remove(0))));
    }
    let joined = head.join(" ");
    if !joined.is_empty() {
        members.push(("head", Cow::Borrowed(&joined)));
    }
    let text = |text: &str| serde_json::to_string(text).ok();
    let members: Option<Vec<String>> =
        members.iter().map(|(key, value)| Some(format!("{}:{}", text(key)?, text(value)?))).collect();
    Some(format!("{{{}}}", members?.join(",")))
}

fn is_key(key: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !key.is_empty() && key.bytes().all(is_part)
}

/// The text in quotes at the start of `text`, and the bytes that it takes with them.
fn quoted(text: &str) -> Option<(Cow<'_, str>, usize)> {
    let inside = text.strip_prefix('"')?;
    let mut out = String::new();
    let mut chars = inside.char_indices();
    while let Some((at, character)) = chars.next() {
        match character {
            '"' => return Some((Cow::Owned(out), at + 2)),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                other @ ('"' | '\\') => out.push(other),
                other => out.extend(['\\', other]),
            },
            _ => out.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<serde_json::Value> {
        record(line.as_bytes(), 0).map(|json| serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn pairs_are_members_and_words_before_them_the_head() {
        let found =
            of("2026-02-12T16:09:55.675307Z\tinfo\trequest a.b=c d= e=\"x \\\"y\\\" z\" f=g=h\r\n").unwrap();
        let wanted = serde_json::json!({
            "a.b": "c", "d": "", "e": "x \"y\" z", "f": "g=h", "head": "info request",
            "time": "2026-02-12T16:09:55.675307Z",
        });
        assert_eq!(found, wanted);
        assert_eq!(of("INFO request ... p=mcp").unwrap()["head"], "INFO request ...");
        assert_eq!(
            of("i a=x  y z b=\"c d\" e= f").unwrap(),
            serde_json::json!({"head": "i", "a": "x  y z", "b": "c d", "e": " f"})
        );
    }

    #[test]
    fn other_lines_are_none() {
        for line in
            ["", "plain words", "a=\"b\" bare", "{\"a\":\"b=c\"}", "a=\"open", "a=\"b\"c", "=x", "[a=b]"]
        {
            assert_eq!(of(line), None, "{line}");
        }
        assert_eq!(record(b"x a=b", 2), None, "not where a line starts");
        assert!(record(b"x\na=b", 2).is_some());
        let many: String = (0..EVENT_KEYS_MAX).map(|key| format!("k{key}=v ")).collect();
        assert_eq!(of(&many), None);
    }
}
