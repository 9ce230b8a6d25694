//! Names that say "what follows is a secret": of JSON members, headers, assignments, URL parameters and command flags.
//!
//! A name counts by how it ends, so `db_password`, `X-Api-Key`, `clientSecret` and `user[password]` need no entry of their
//! own, and `token_count` or `credential_id` are none.

mod list;

use std::sync::LazyLock;

use crate::bytes::{at, before, follows_escape};
use Place::{BesideUser, Everywhere, Opaque};
use Start::{Anywhere, Word};
use list::{HARMLESS_BEFORE_KEY, HARMLESS_BEFORE_TOKEN, SUFFIXED};
pub(crate) use list::{NAMES, NUMBERED, SUFFIXES};

/// Longest stretch of a name that is looked at, in bytes, from its end.
pub(crate) const NAME_BYTES_MAX: usize = schemas::limits::REDACT_NAME_BYTES_MAX;

/// One secret's name.
#[derive(Debug)]
pub(crate) struct Name {
    /// Words in lower case; between two of them any one of `_`, `-`, `.`, a space, or nothing. Never inside the last.
    pub words: &'static [&'static str],
    /// The class of what it names.
    pub class: &'static str,
    /// Where it may begin.
    pub start: Start,
    /// Where it counts.
    pub place: Place,
}

/// Where a name may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Anywhere: `mypassword`.
    Anywhere,
    /// At a word of its own: `my_token`, `myToken`, not `mytoken`.
    Word,
}

/// Where a name counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// As a member, an assignment or a flag.
    Everywhere,
    /// Only before an equals sign, as in a URL's query.
    Parameter,
    /// Only as the whole name of a parameter, or of a member of an object that also names a user.
    BesideUser,
    /// Everywhere, but only before a value that looks random.
    Opaque,
}

/// What a name says of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Given {
    pub class: &'static str,
    /// Only if the value looks random.
    pub opaque: bool,
}

impl Given {
    pub(crate) fn surely(class: &'static str) -> Given {
        Given { class, opaque: false }
    }

    fn by(name: &Name) -> Option<Given> {
        let opaque = name.place == Opaque;
        (opaque || name.place == Everywhere).then_some(Given { class: name.class, opaque })
    }
}

/// Bytes that may follow a name at once, when it stands where a name counts.
pub(crate) const TERMINATORS: &[u8] = b"\"'\\=: \t\n\r%]`><*";

/// Shortest key below a secret's name that may itself be the secret, in bytes.
const OPAQUE_KEY_BYTES: usize = schemas::limits::REDACT_OPAQUE_KEY_BYTES_MIN;

/// From this length a value under `token` is no word, in bytes.
const PIECE_BYTES: usize = schemas::limits::REDACT_PIECE_BYTES_MAX;

/// Names of the member that holds a header's or a parameter's name.
const NAME_KEYS: &[&str] = &[
    "name",
    "key",
    "header",
    "header_name",
    "headerName",
    "field",
    "k",
    "element",
    "label",
    "selector",
    "id",
];
/// Names of the member that holds its value.
const VALUE_KEYS: &[&str] = &["value", "values", "val", "v", "header_value", "headerValue"];
/// The same of what is typed into a form's field; they hold prose as often.
const TYPED_KEYS: &[&str] = &["text", "input"];
/// What an agent calls the field of a form beside its name.
const FIELD_WORDS: &[&str] = &["field", "input", "box", "textbox"];

/// Names of the member that says whose the secret is.
const USER_KEYS: &[&str] = &["user", "username", "user_name", "login", "email", "account", "usr", "uid"];

/// True for a member such as `user` in `{"user": "u", "pass": "..."}`.
pub(crate) fn is_user_key(key: &str) -> bool {
    USER_KEYS.iter().any(|known| key.eq_ignore_ascii_case(known))
}

/// What stands before a name that counts only beside such a member: a member's quote, or the sign before a parameter.
pub(crate) const USER_LEADS: [u8; 3] = *b"\"?&";

/// The class of a key that counts only beside such a member.
pub(crate) fn class_beside_user(key: &str) -> Option<&'static str> {
    let is_whole = |name: &&Name| matches!(name.words, [word] if key.eq_ignore_ascii_case(word));
    NAMES.iter().filter(|name| name.place == BesideUser).find(is_whole).map(|name| name.class)
}

/// True when `name`, of one word, ends at `end` and follows one of `leads`.
pub(crate) fn stands_after(bytes: &[u8], name: &Name, end: usize, leads: &[u8]) -> bool {
    let len = name.words.iter().map(|word| word.len()).sum();
    end.checked_sub(len).and_then(|begin| before(bytes, begin)).is_some_and(|byte| leads.contains(&byte))
}

/// True for a member such as `name` in `{"name": "Authorization", "value": "..."}`.
pub(crate) fn is_name_key(key: &[u8]) -> bool {
    NAME_KEYS.iter().any(|known| key.eq_ignore_ascii_case(known.as_bytes()))
}

/// True for a member such as `value` beside it.
pub(crate) fn is_value_key(key: &[u8]) -> bool {
    VALUE_KEYS.iter().any(|known| key.eq_ignore_ascii_case(known.as_bytes()))
}

/// True for a member such as `text` beside it.
pub(crate) fn is_typed_key(key: &[u8]) -> bool {
    TYPED_KEYS.iter().any(|known| key.eq_ignore_ascii_case(known.as_bytes()))
}

/// True when `name`, which is the whole string `spelled`, also counts as an array element before its value:
/// `["Authorization", "Bearer x"]`, `["X-Auth-Token", "x"]`, `["--password", "x"]`; not in a list of columns.
pub(crate) fn counts_as_element(name: &Name, spelled: &[u8]) -> bool {
    matches!(name.class, "authorization" | "cookie") || spelled.contains(&b'-')
}

/// A byte of which names are made.
pub(crate) const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || is_separator(byte)
}

/// Bytes between the words of a name.
pub(crate) const SEPARATORS: [u8; 4] = *b"_-. ";

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b'_' | b'-' | b'.' | b' ')
}

/// Where the name that ends at `end` begins (at most [`NAME_BYTES_MAX`] before it).
pub(crate) fn name_start(bytes: &[u8], end: usize) -> usize {
    let floor = end.saturating_sub(NAME_BYTES_MAX);
    let mut start = end;
    while start > floor && before(bytes, start).is_some_and(is_name_byte) {
        start -= 1;
    }
    start
}

/// The secret's name that ends exactly at `end`. It reads the same in raw JSON and in decoded text, or, where an escape
/// stands before it, finds no less in the raw.
pub(crate) fn name_ending_at(bytes: &[u8], end: usize) -> Option<&'static Name> {
    let start = name_start(bytes, end);
    plain_name(bytes, start, end)
        .or_else(|| {
            let stem = number_start(bytes, end)?;
            let is_numbered = |name: &&Name| name.words.last().is_some_and(|word| NUMBERED.contains(word));
            plain_name(bytes, start, stem).filter(is_numbered)
        })
        .or_else(|| {
            let stem = stem_end(bytes, start, end)?;
            plain_name(bytes, start, stem).filter(|name| name.place == Everywhere).map(|_| &SUFFIXED)
        })
}

/// Where the number of one or two digits at the end of a name begins, with the sign before it.
fn number_start(bytes: &[u8], end: usize) -> Option<usize> {
    let digits = bytes.get(..end)?.iter().rev().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    let start = end - digits;
    let sign = before(bytes, start).is_some_and(|byte| matches!(byte, b'_' | b'-' | b'.'));
    (1..=2).contains(&digits).then(|| start - usize::from(sign))
}

/// The length of the number that may follow a name's last word, with the sign before it; none where there is none.
pub(crate) fn number_len(rest: &[u8]) -> usize {
    let sign = usize::from(rest.first().is_some_and(|byte| matches!(byte, b'_' | b'-' | b'.')));
    let digits = rest.iter().skip(sign).take(3).take_while(|byte| byte.is_ascii_digit()).count();
    if (1..=2).contains(&digits) { sign + digits } else { 0 }
}

/// Where the name before one of [`SUFFIXES`] ends.
fn stem_end(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    let name = bytes.get(start..end)?;
    // In camel case the word begins with a capital.
    let is_start = |byte: &u8| is_separator(*byte) || byte.is_ascii_uppercase();
    let last = name.iter().rposition(is_start)?;
    let is_camel = last.checked_sub(1).and_then(|index| name.get(index)).is_some_and(u8::is_ascii_lowercase);
    if is_camel && name.get(last).is_some_and(u8::is_ascii_uppercase) {
        let word = name.get(last..)?;
        let is_suffix = SUFFIXES.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()));
        return is_suffix.then_some(start + last);
    }
    let separator = name.iter().rposition(|byte| is_separator(*byte))?;
    let last = name.get(separator + 1..)?;
    let is_suffix = SUFFIXES.iter().any(|word| last.eq_ignore_ascii_case(word.as_bytes()));
    is_suffix.then_some(start + separator)
}

/// [`NAMES`] by their last two bytes, in their order.
static BY_LAST_BYTES: LazyLock<[Vec<&'static Name>; 1024]> = LazyLock::new(|| {
    std::array::from_fn(|index| {
        let ends = |name: &&Name| {
            name.words.last().and_then(|word| last_bytes(word.as_bytes(), word.len())) == Some(index)
        };
        NAMES.iter().filter(ends).collect()
    })
});

/// The last two bytes before `end`, in either case, as an index.
fn last_bytes(bytes: &[u8], end: usize) -> Option<usize> {
    let [first, second] = bytes.get(end.checked_sub(2)?..end)?.first_chunk::<2>()?;
    Some(usize::from(first & 31) << 5 | usize::from(second & 31))
}

fn plain_name(bytes: &[u8], start: usize, end: usize) -> Option<&'static Name> {
    let candidates = BY_LAST_BYTES.get(last_bytes(bytes, end)?)?;
    candidates.iter().copied().find(|name| match match_backwards(bytes, start, end, name.words) {
        None => false,
        Some(begin) => begins(bytes, start, begin, name.start) && !is_harmless(bytes, start, begin, name),
    })
}

/// Where `words` begins when the text ends with it.
fn match_backwards(bytes: &[u8], floor: usize, end: usize, words: &[&str]) -> Option<usize> {
    let mut position = end;
    for (index, word) in words.iter().rev().enumerate() {
        if index > 0 && position > floor && before(bytes, position).is_some_and(is_separator) {
            position -= 1;
        }
        let begin = position.checked_sub(word.len()).filter(|begin| *begin >= floor)?;
        if !bytes.get(begin..position)?.eq_ignore_ascii_case(word.as_bytes()) {
            return None;
        }
        position = begin;
    }
    Some(position)
}

fn begins(bytes: &[u8], floor: usize, begin: usize, start: Start) -> bool {
    if start == Anywhere || begin == floor || follows_escape(bytes, begin) {
        return true;
    }
    let Some(previous) = before(bytes, begin) else { return true };
    let camel =
        at(bytes, begin).is_some_and(|byte| byte.is_ascii_uppercase()) && !previous.is_ascii_uppercase();
    !previous.is_ascii_alphabetic() || camel
}

/// `next_page_token` and its like. A word that follows an escape is not excused: its first letter may belong to the escape.
fn is_harmless(bytes: &[u8], floor: usize, begin: usize, name: &Name) -> bool {
    let harmless = match name.words {
        ["token"] | ["tokens"] => HARMLESS_BEFORE_TOKEN,
        ["key"] => HARMLESS_BEFORE_KEY,
        _ => return false,
    };
    let end = if before(bytes, begin).is_some_and(is_separator) && begin > floor { begin - 1 } else { begin };
    harmless.iter().any(|word| {
        end.checked_sub(word.len()).filter(|start| *start >= floor).is_some_and(|start| {
            bytes.get(start..end).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()))
                && before(bytes, start) != Some(b'\\')
                && (start == floor || begins(bytes, floor, start, Word))
                && !follows_escape(bytes, start)
        })
    })
}

/// What a JSON member's key, decoded, says. Closing brackets and quotes at its end are passed over.
pub(crate) fn given_by_key(key: &str) -> Option<Given> {
    let end = key.trim_end_matches(['"', '\'', ']', '`', '\\', ' ', '\t', '\n', '\r', ':', '*']).len();
    name_ending_at(key.as_bytes(), end).and_then(Given::by)
}

/// What a form's field says that is called so: `Password field`, `Password *`, `#password`, `input[name='password']`.
pub(crate) fn given_by_label(label: &str) -> Option<Given> {
    // Of a label with a marker in it nothing is said: it was another before.
    if label.len() > NAME_BYTES_MAX || label.contains(['<', '\n']) {
        return None;
    }
    let trimmed = |text: &str| {
        text.trim_end_matches([':', '*', '#', '.', '[', ']', '(', ')', '\'', '"', ' ', '\\']).len()
    };
    let mut end = trimmed(label);
    let word = label.get(..end)?.rsplit(' ').next()?;
    if FIELD_WORDS.iter().any(|known| word.eq_ignore_ascii_case(known)) {
        end = trimmed(label.get(..end - word.len())?);
    }
    // What the prefilter looks for: a name and one of the signs that may end one.
    let is_ended = at(label.as_bytes(), end).is_none_or(|byte| TERMINATORS.contains(&byte));
    let given = name_ending_at(label.as_bytes(), end).filter(|_| is_ended).and_then(Given::by)?;
    // A sentence that ends with a name is none.
    let words = label.get(..end)?.split(' ').count();
    (words <= LABEL_WORDS).then_some(given)
}

/// Most words of a field's name.
const LABEL_WORDS: usize = 4;

/// True for a key that is no word but a value: long, without blanks, a good part of it digits.
pub(crate) fn is_opaque(key: &str) -> bool {
    let digits = key.bytes().filter(u8::is_ascii_digit).count();
    key.len() >= OPAQUE_KEY_BYTES
        && digits * 8 >= key.len()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=_.~-:".contains(&byte))
}

/// The name that a whole string value is, when it is nothing else: the `Authorization` of a header pair.
pub(crate) fn name_of_value(value: &str) -> Option<&'static Name> {
    let bytes = value.as_bytes();
    if bytes.len() > NAME_BYTES_MAX || !bytes.iter().copied().all(is_name_byte) {
        return None;
    }
    name_ending_at(bytes, bytes.len()).filter(|name| matches!(name.place, Everywhere | Opaque))
}

/// What such a string says of the value beside it.
pub(crate) fn given_by_value(value: &str) -> Option<Given> {
    name_of_value(value).and_then(Given::by)
}

/// Values of these names that are no secrets: how a browser sends credentials.
pub(crate) fn is_harmless_value(class: &str, value: &[u8]) -> bool {
    let modes: [&[u8]; 3] = [b"same-origin", b"include", b"omit"];
    class == "credential" && modes.contains(&value)
}

/// A member that is called `token` and nothing else: of language models it is a word or a number as well.
pub(crate) fn is_bare_token(key: &str) -> bool {
    key.eq_ignore_ascii_case("token")
}

/// True for the value of such a member that is a word or a piece of one.
pub(crate) fn is_piece_of_text(value: &str) -> bool {
    value.len() < PIECE_BYTES && !value.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
