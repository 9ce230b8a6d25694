//! Assignments in text: `password=...`, `pwd: ...`, `"token": "..."`, `--secret ...`, `&sig=...`, `Authorization: Bearer ...`.

use crate::bytes::{at, before, follows_escape};
use crate::marker::inert_len;
use crate::names::{self, Name, Place};
use crate::random;
use crate::text::quotes::{Quotes, Within, backslashes_before, closing, end_of_line, is_quote, trimmed};
use crate::text::unseparated;

/// Shortest password that prose can tell, in bytes.
const PASSWORD_BYTES: usize = schemas::limits::REDACT_SAID_PASSWORD_BYTES_MIN;

/// Schemes of an `Authorization` header of which one word follows.
const ONE_WORD_SCHEMES: &[&str] = &["bearer", "basic", "token", "bot", "apikey", "api-key", "negotiate"];
/// Schemes of which anything may follow, and that say nothing themselves. After a word that is none of these either, the
/// word goes with the line: it may be the credential.
const OTHER_SCHEMES: &[&str] = &[
    "digest",
    "ssws",
    "geniekey",
    "hawk",
    "sso-key",
    "oauth",
    "signature",
    "sharedkey",
    "sharedkeylite",
    "sharedaccesssignature",
    "ntlm",
    "kerberos",
    "mac",
    "splunk",
    "key",
    "jwt",
    "dpop",
    "hmac",
    "vapid",
    "zoho-oauthtoken",
];

/// What a document says of the header instead of a value.
const REMARKS: &[&str] = &["required", "optional", "missing", "none", "yes", "no"];

/// The value that belongs to `name`, which ends at `name_end`: start, end and class.
pub(crate) fn value(
    bytes: &[u8],
    quotes: &Quotes<'_>,
    name: &Name,
    name_end: usize,
) -> Option<(usize, usize, &'static str)> {
    let next = skip_closers(bytes, name_end);
    let (start, end) = match after_separator(bytes, next) {
        Some(_) if !counts_before(bytes, name, name_end, next) => return None,
        Some(start) => {
            let is_colon = at(bytes, next) == Some(b':') && !takes_the_line(name);
            let below = if is_colon { unseparated::below(bytes, quotes, start) } else { None };
            below.or_else(|| extent(bytes, quotes, start, name_end, name))?
        }
        None => without_separator(bytes, quotes, name, name_end)?,
    };
    let (start, end) =
        if name.place == Place::Opaque { random_part(bytes, start, end)? } else { (start, end) };
    (start < end).then_some((start, end, name.class))
}

/// Whether the name counts before the separator at `next`.
fn counts_before(bytes: &[u8], name: &Name, name_end: usize, next: usize) -> bool {
    let is_colon = at(bytes, next) == Some(b':');
    match name.place {
        Place::Everywhere | Place::Opaque => true,
        Place::Parameter => !is_colon,
        Place::BesideUser => !is_colon && names::stands_after(bytes, name, name_end, b"?&"),
    }
}

fn without_separator(
    bytes: &[u8],
    quotes: &Quotes<'_>,
    name: &Name,
    name_end: usize,
) -> Option<(usize, usize)> {
    if let Some(inside) = unseparated::element(bytes, name_end) {
        return Some(inside);
    }
    let start = skip_blanks(bytes, name_end);
    if start == name_end || name.place == Place::BesideUser {
        return None;
    }
    if let Some(said) = unseparated::is_said(bytes, name_end) {
        return said_value(bytes, quotes, name, said);
    }
    if let Some(inside) = unseparated::sql(bytes, quotes, name, start) {
        return Some(inside);
    }
    // The next flag is not this one's value.
    let is_flag = flag_start(bytes, name_end).is_some() && at(bytes, start) != Some(b'-');
    if is_flag || unseparated::follows_login(bytes, name, name_end) {
        return extent(bytes, quotes, start, name_end, name);
    }
    None
}

/// As much of a value as looks random; of one over several lines, all of them as one.
fn random_part(bytes: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    let value = bytes.get(start..end)?;
    let has_lines = value.contains(&b'\n');
    let is_part = |byte: &&u8| {
        random::is_random_byte(**byte) || has_lines && matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
    };
    let len = value.iter().take_while(is_part).count();
    let joined: Vec<u8> =
        value.get(..len)?.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    random::looks_random(&joined).then_some((start, start + len))
}

/// The value in `the password is VALUE`: of prose it is told by a digit among letters, or by looking random.
fn said_value(bytes: &[u8], quotes: &Quotes<'_>, name: &Name, start: usize) -> Option<(usize, usize)> {
    let (start, end) = quotes.value(start).unwrap_or_else(|| (start, end_of_word(bytes, start)));
    let value = bytes.get(start..end)?;
    let is_password = name.class == "password"
        && value.len() >= PASSWORD_BYTES
        && value.iter().any(u8::is_ascii_digit)
        && value.iter().any(u8::is_ascii_alphabetic)
        && !value.iter().any(u8::is_ascii_whitespace);
    (is_password || random::looks_random(value)).then_some((start, end))
}

/// Where the name that ends at `end` begins as a flag: after one or two dashes that follow no word.
pub(crate) fn flag_start(bytes: &[u8], end: usize) -> Option<usize> {
    let run = names::name_start(bytes, end);
    let name = bytes.get(run..end)?;
    let mut start = run + name.iter().rposition(|byte| *byte == b' ').map_or(0, |space| space + 1);
    if follows_escape(bytes, start + 1) {
        start += 1;
    }
    bytes.get(start..end)?.starts_with(b"-").then_some(start)
}

/// Where the value begins when `next` is a separator: `=`, `:`, `==`, `:=`, `=>`, `%3D` or `%3A`. `://` separates nothing.
pub(crate) fn after_separator(bytes: &[u8], next: usize) -> Option<usize> {
    let rest = bytes.get(next..)?;
    let len = match rest {
        [b':', b'/', b'/', ..] => return None,
        [b'=', b'=' | b'>', ..] | [b':', b'=', ..] => 2,
        [b'=' | b':', ..] => 1,
        [b'%', b'3', b'D' | b'd' | b'A' | b'a', ..] => 3,
        _ => return None,
    };
    Some(skip_blanks(bytes, next + len))
}

/// The value of these goes on after its first word.
fn takes_the_line(name: &Name) -> bool {
    matches!(name.class, "cookie" | "authorization")
}

/// The length of a bare `true`, `false`, `null` or `none` at the start: there is nothing to hide in it.
pub(crate) fn literal_len(bytes: &[u8], name: &Name) -> Option<usize> {
    if takes_the_line(name) {
        return None;
    }
    let len = bytes.iter().take(6).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let known = bytes.get(..len).is_some_and(|word| {
        [&b"true"[..], b"false", b"null", b"none"].iter().any(|known| word.eq_ignore_ascii_case(known))
    });
    (known
        && bytes
            .get(len)
            .is_none_or(|byte| matches!(byte, b',' | b'}' | b']' | b')' | b' ' | b'\t' | b'\n' | b'\r')))
    .then_some(len)
}

/// Quotes, brackets and blanks between a name and its separator, plain or URL-encoded.
fn skip_closers(bytes: &[u8], mut position: usize) -> usize {
    loop {
        match at(bytes, position) {
            Some(b'\\' | b'"' | b'\'' | b']' | b'`' | b' ' | b'\t') => position += 1,
            Some(b'%') if encoded_closer(bytes, position) => position += 3,
            _ => return position,
        }
    }
}

/// True for a quote, a closing bracket or a space in URL encoding at `position`.
pub(crate) fn encoded_closer(bytes: &[u8], position: usize) -> bool {
    matches!(
        bytes.get(position..),
        Some([b'%', b'2', b'0' | b'2' | b'7', ..] | [b'%', b'5', b'D' | b'd', ..])
    )
}

fn skip_blanks(bytes: &[u8], mut position: usize) -> usize {
    while at(bytes, position).is_some_and(is_blank) {
        position += 1;
    }
    position
}

/// White space within a line.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn extent(
    bytes: &[u8],
    quotes: &Quotes<'_>,
    start: usize,
    name_end: usize,
    name: &Name,
) -> Option<(usize, usize)> {
    if literal_len(bytes.get(start..)?, name).is_some() {
        return None;
    }
    if let Some((start, end)) = quotes.value(start) {
        // What is left of a call is no value: `input("Password: ")`.
        let is_rest = bytes.get(start..end)?.iter().all(|byte| b")]};, ".contains(byte));
        return (!is_rest).then_some((start, end));
    }
    match name.class {
        "cookie" => Some((start, end_of_header(bytes, start, name_end))),
        "authorization" => {
            let word = bytes.get(start..end_of_word(bytes, start))?;
            let is_said = REMARKS.iter().any(|remark| word.eq_ignore_ascii_case(remark.as_bytes()));
            (!is_said).then(|| authorization(bytes, start, name_end))
        }
        _ => {
            if let Some(inside) = encoded_quoted(bytes, start) {
                return Some(inside);
            }
            let end = end_of_word(bytes, start);
            let word = bytes.get(start..end)?;
            let is_code = before(bytes, start) == Some(b' ') && is_code(word);
            (!is_code && !is_placeholder(word)).then_some((start, end))
        }
    }
}

/// The inside of a value in URL-encoded quotes, to the next or to what ends a word.
fn encoded_quoted(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    let quote = bytes.get(start..start + 3).filter(|quote| matches!(quote, [b'%', b'2', b'2' | b'7']))?;
    let inside = bytes.get(start + 3..)?;
    let ends = |(offset, byte): (usize, &u8)| {
        byte.is_ascii_whitespace()
            || matches!(byte, b'"' | b'\'' | b'`' | b'&' | b';')
            || inside[offset..].starts_with(quote)
    };
    let len = inside.iter().enumerate().position(ends).unwrap_or(inside.len());
    Some((start + 3, start + 3 + len))
}

/// After a scheme of one word, that word; after any other, the line; without a scheme that is known, the line with its
/// first word, or that word if there is no other.
fn authorization(bytes: &[u8], start: usize, name_end: usize) -> (usize, usize) {
    let scheme_end = end_of_word(bytes, start);
    let credential = skip_blanks(bytes, scheme_end);
    let scheme = &bytes[start..scheme_end];
    if credential == scheme_end || inert_len(scheme) == Some(scheme.len()) {
        return (start, scheme_end);
    }
    let is_one_of = |known: &[&str]| known.iter().any(|known| scheme.eq_ignore_ascii_case(known.as_bytes()));
    let one_word = is_one_of(ONE_WORD_SCHEMES);
    let word_end = end_of_word(bytes, credential);
    if one_word && credential < word_end && !is_parameter(&bytes[credential..word_end], at(bytes, word_end)) {
        return (credential, word_end);
    }
    let line_end = trimmed(bytes, start, end_of_header(bytes, start, name_end));
    if line_end <= credential {
        return (start, scheme_end);
    }
    let is_scheme = one_word || is_one_of(OTHER_SCHEMES) || scheme.starts_with(b"AWS4-");
    (if is_scheme { credential } else { start }, line_end)
}

/// True for `token=abc` and for the `token=` of `token="abc"`; the equals signs that end base64 give no name a value.
fn is_parameter(word: &[u8], next: Option<u8>) -> bool {
    let padding = word.iter().rev().take_while(|byte| **byte == b'=').count();
    word[..word.len() - padding].contains(&b'=') || padding > 0 && next.is_some_and(is_quote)
}

/// A bare value ends at white space, a quote, `&` or `;`; at a comma or closing bracket only where more of the sentence
/// follows, since either may be part of a password.
fn end_of_word(bytes: &[u8], start: usize) -> usize {
    let mut position = start;
    while let Some(byte) = at(bytes, position) {
        let ends = match byte {
            b'"' | b'\'' | b'`' | b'&' | b';' => true,
            b',' | b')' | b']' | b'}' => closes_sentence(bytes, position, start),
            byte => byte.is_ascii_whitespace(),
        };
        if ends {
            break;
        }
        position += 1;
    }
    // A backslash before the quote belongs to the quote.
    while position > start && before(bytes, position) == Some(b'\\') && at(bytes, position).is_some() {
        position -= 1;
    }
    position
}

fn closes_sentence(bytes: &[u8], position: usize, start: usize) -> bool {
    let ends = at(bytes, position + 1).is_none_or(|next| {
        next.is_ascii_whitespace() || matches!(next, b',' | b')' | b']' | b'}' | b'"' | b'\'' | b';')
    });
    // The mask comes last: it can be as long as the value, and few commas and brackets get this far.
    ends && inert_len(&bytes[start..]).is_none_or(|len| start + len != position + 1)
}

/// The line's end, or the quote that closes a header quoted as a whole: `-H 'Cookie: a=b'`.
fn end_of_header(bytes: &[u8], start: usize, name_end: usize) -> usize {
    let name_start = names::name_start(bytes, name_end);
    let closed = before(bytes, name_start).filter(|byte| is_quote(*byte)).and_then(|quote| {
        let escapes = backslashes_before(bytes, name_start - 1);
        closing(bytes, start, quote, escapes, Within::Line)
    });
    closed.unwrap_or_else(|| end_of_line(bytes, start))
}

/// A stand-in for a value: `$1`, `?`, `%s`, `${NAME}`, `{{name}}`, or the opening of something larger.
fn is_placeholder(value: &[u8]) -> bool {
    match value {
        [b'?'] | [b'%', b's'] | [b'{' | b'[' | b'(' | b'|' | b'>'] | b"{}" | b"[]" | b"()" => true,
        [b'$', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => true,
        // A variable of a shell, a stand-in of a manual.
        [b'$', name @ ..]
            if name.len() > 2 && name.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_') =>
        {
            true
        }
        [b'<', name @ .., b'>'] => {
            name.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b' '))
        }
        b"{{" | b"${{" => true,
        [b'$', b'{', inner @ ..] | [b'{', b'{', inner @ .., b'}', b'}'] => {
            let inner = inner.strip_suffix(b"}").unwrap_or(inner);
            inner.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b' '))
        }
        _ => false,
    }
}

/// A call or a look-up, after a blank as code has it: `getToken(request)`, `os.environ[`, `input(`; a reference: `&str`.
fn is_code(word: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.' | b':');
    if let Some(kind) = word.strip_prefix(b"&") {
        return kind.first().is_some_and(u8::is_ascii_alphabetic) && kind.iter().all(is_name);
    }
    let len = word.iter().take_while(|byte| is_name(byte)).count();
    let Some((open, inside)) = word.get(len..).and_then(<[u8]>::split_first) else { return false };
    len > 0
        && matches!(open, b'(' | b'[')
        && inside.iter().all(|byte| is_name(byte) || matches!(byte, b')' | b']' | b'(' | b'[' | b','))
}
