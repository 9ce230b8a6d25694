//! Canonical bytes of single values.

use crate::limits::LIST_ITEMS_MAX;
use crate::{Error, Result};

/// Reads an integer.
///
/// # Errors
/// [`Error::Malformed`] when `bytes` are not 8.
pub fn int(what: &'static str, bytes: &[u8]) -> Result<i64> {
    let bytes: [u8; 8] = bytes
        .try_into()
        .map_err(|_| Error::malformed(what, format!("{} bytes where an integer has 8", bytes.len())))?;
    Ok(i64::from_be_bytes(bytes))
}

/// Reads a text.
///
/// # Errors
/// [`Error::Malformed`] when `bytes` are not UTF-8.
pub fn text<'a>(what: &'static str, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|error| Error::malformed(what, error.to_string()))
}

/// Writes a list of byte strings.
pub fn list<'a>(items: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    let count_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut count = 0u32;
    for item in items {
        frame(item, out);
        count = count.saturating_add(1);
    }
    if let Some(place) = out.get_mut(count_at..count_at + 4) {
        place.copy_from_slice(&count.to_be_bytes());
    }
}

/// Writes a map.
///
/// # Errors
/// [`Error::Malformed`] when the keys do not strictly ascend in byte order.
pub fn map<'a>(
    what: &'static str,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let count_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut count = 0u32;
    let mut last: Option<&str> = None;
    for (key, value) in pairs {
        check_ascending(what, last, key)?;
        last = Some(key);
        frame(key.as_bytes(), out);
        frame(value.as_bytes(), out);
        count = count.saturating_add(1);
    }
    if let Some(place) = out.get_mut(count_at..count_at + 4) {
        place.copy_from_slice(&count.to_be_bytes());
    }
    Ok(())
}

fn check_ascending(what: &'static str, last: Option<&str>, key: &str) -> Result<()> {
    if last.is_some_and(|last| last.as_bytes() >= key.as_bytes()) {
        return Err(Error::malformed(what, "map keys do not strictly ascend in byte order"));
    }
    Ok(())
}

fn frame(item: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(item.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(item);
}

/// Reads the items of a list.
///
/// # Errors
/// [`Error::Malformed`] when the count is over [`LIST_ITEMS_MAX`]; the iterator yields it when the items do not
/// fill `bytes` exactly.
pub fn items<'a>(
    what: &'static str,
    bytes: &'a [u8],
) -> Result<impl Iterator<Item = Result<&'a [u8]>> + use<'a>> {
    framed(what, bytes, 1)
}

/// Reads the pairs of a map.
///
/// # Errors
/// As [`items`], and when keys do not strictly ascend or are not UTF-8.
pub fn pairs<'a>(what: &'static str, bytes: &'a [u8]) -> Result<Vec<(&'a str, &'a str)>> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    let mut framed = framed(what, bytes, 2)?;
    while let Some(key) = framed.next() {
        let key = text(what, key?)?;
        let value = framed.next().ok_or_else(|| Error::malformed(what, "a key without a value"))?;
        check_ascending(what, pairs.last().map(|(last, _)| *last), key)?;
        pairs.push((key, text(what, value?)?));
    }
    Ok(pairs)
}

fn framed<'a>(
    what: &'static str,
    bytes: &'a [u8],
    per_item: usize,
) -> Result<impl Iterator<Item = Result<&'a [u8]>> + use<'a>> {
    let (count, mut rest) = bytes
        .split_first_chunk::<4>()
        .ok_or_else(|| Error::malformed(what, "a list shorter than its count"))?;
    let count = u32::from_be_bytes(*count) as usize;
    if count > LIST_ITEMS_MAX {
        return Err(Error::TooLarge { what, actual: count as u64, limit: LIST_ITEMS_MAX as u64 });
    }
    let mut left = count * per_item;
    let mut done = false;
    Ok(std::iter::from_fn(move || {
        if done {
            return None;
        }
        if left == 0 {
            done = true;
            return (!rest.is_empty()).then(|| Err(Error::malformed(what, "bytes after the last item")));
        }
        let item = rest.split_first_chunk::<4>().and_then(|(length, rest)| {
            rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
        });
        let Some((item, after)) = item else {
            done = true;
            return Some(Err(Error::malformed(what, "a list that ends inside an item")));
        };
        rest = after;
        left -= 1;
        Some(Ok(item))
    }))
}
