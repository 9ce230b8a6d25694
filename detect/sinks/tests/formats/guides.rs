//! Strict readers of CEF and LEEF, written from their guides and from nothing of ours.

use std::collections::BTreeMap;

/// Header fields in their order, and the pairs.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    pub header: Vec<String>,
    pub pairs: BTreeMap<String, String>,
}

fn fail<T>(why: &str, line: &str) -> Result<T, String> {
    Err(format!("{why}: {line:?}"))
}

/// `CEF:0|vendor|product|version|class|name|severity|extension`: a backslash escapes a pipe or itself in the header; a backslash, an
/// equals sign, `n` and `r` in a value of the extension. A key is letters and digits behind the beginning or a space.
pub fn cef(line: &str) -> Result<Read, String> {
    if line.contains(['\n', '\r']) {
        return fail("more than one line", line);
    }
    let mut rest = line.strip_prefix("CEF:").ok_or("no CEF")?.chars();
    let (mut header, mut field) = (Vec::new(), String::new());
    while header.len() < 7 {
        match rest.next() {
            None => return fail("the header ends early", line),
            Some('|') => header.push(std::mem::take(&mut field)),
            Some('\\') => match rest.next() {
                Some(escaped @ ('|' | '\\')) => field.push(escaped),
                _ => return fail("an escape that the header does not have", line),
            },
            Some(character) => field.push(character),
        }
    }
    let mut pairs = BTreeMap::new();
    let (mut key, mut text): (Option<String>, String) = (None, String::new());
    let mut rest = rest.peekable();
    while let Some(character) = rest.next() {
        match character {
            '\\' => match (rest.next(), &key) {
                (Some(escaped @ ('=' | '\\')), Some(_)) => text.push(escaped),
                (Some('n'), Some(_)) => text.push('\n'),
                (Some('r'), Some(_)) => text.push('\r'),
                _ => return fail("an escape that the extension does not have", line),
            },
            '=' => {
                // The word before it is the next key; what stands before the space in front of that is the last value. Escaped characters that were
                // undone already cannot be in a key.
                let (value, next) = match text.rsplit_once(' ') {
                    Some((value, next)) => (value.to_owned(), next.to_owned()),
                    None => (String::new(), text.clone()),
                };
                if next.is_empty() || !next.chars().all(|c| c.is_ascii_alphanumeric()) {
                    return fail("a key that is none", line);
                }
                match key.take() {
                    Some(key) => {
                        if pairs.insert(key, value).is_some() {
                            return fail("a key twice", line);
                        }
                    }
                    None if value.is_empty() => {}
                    None => return fail("text before the first key", line),
                }
                key = Some(next);
                text.clear();
            }
            _ => text.push(character),
        }
    }
    if let Some(key) = key
        && pairs.insert(key, text).is_some()
    {
        return fail("a key twice", line);
    }
    Ok(Read { header, pairs })
}

/// `LEEF:2.0|vendor|product|version|event id|delimiter|attributes`: no escapes; the delimiter is a character or `x` and its hex digits; the first
/// equals sign of an attribute ends its key.
pub fn leef(line: &str) -> Result<Read, String> {
    if line.contains(['\n', '\r']) {
        return fail("more than one line", line);
    }
    let rest = line.strip_prefix("LEEF:").ok_or("no LEEF")?;
    let fields: Vec<&str> = rest.splitn(7, '|').collect();
    let [header @ .., attributes] = fields.as_slice() else { return fail("no header", line) };
    if header.len() != 6 || header[0] != "2.0" {
        return fail("not the header of 2.0", line);
    }
    let delimiter = match header[5].strip_prefix('x') {
        Some(hex) => u8::from_str_radix(hex, 16).map(char::from).map_err(|error| error.to_string())?,
        None => header[5].chars().next().ok_or("no delimiter")?,
    };
    let mut pairs = BTreeMap::new();
    for attribute in attributes.split(delimiter) {
        let (key, value) = attribute.split_once('=').ok_or(format!("no pair: {attribute:?}"))?;
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric()) {
            return fail("a key that is none", line);
        }
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return fail("a key twice", line);
        }
    }
    Ok(Read { header: header.iter().map(|field| (*field).to_owned()).collect(), pairs })
}
