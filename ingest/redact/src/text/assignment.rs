//! Assignments in text: `password=...`, `pwd: ...`, `"token": "..."`, `--secret ...`, `&sig=...`, `Authorization: Bearer ...`.

use crate::bytes::{at, before, follows_escape};
use crate::marker::inert_len;
use crate::names::{self, Name, Place};
use crate::random;
use crate::text::opaque::{JUDGED_REACH, Lines, opaque, random_part};
use crate::text::quotes::{Quotes, Within, backslashes_before, closing, end_of_line, is_quote, trimmed};
use crate::text::{unseparated, wrapper};

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
    let (start, end) = match value_start(bytes, name, name_end)? {
        Begin::Opaque(start, is_colon) => opaque(bytes, quotes, start, is_colon)?,
        Begin::At(start, is_colon) => {
            let below = if is_colon && !takes_the_line(name) {
                unseparated::below(bytes, quotes, start)
            } else {
                None
            };
            below.or_else(|| extent(bytes, quotes, start, name_end, name))?
        }
        Begin::Unseparated => without_separator(bytes, quotes, name, name_end)?,
    };
    (start < end).then_some((start, end, name.class))
}

/// Where a value begins, and whether a colon stands before it.
enum Begin {
    /// It must look random.
    Opaque(usize, bool),
    At(usize, bool),
    /// Nothing separates it from its name.
    Unseparated,
}

fn value_start(bytes: &[u8], name: &Name, name_end: usize) -> Option<Begin> {
    let next = skip_closers(bytes, name_end);
    let (start, is_colon) = match after_separator(bytes, next) {
        Some(_) if !counts_before(bytes, name, name_end, next) => return None,
        Some(start) => (start, at(bytes, next) == Some(b':')),
        None => match unseparated::paired(bytes, name_end) {
            Some(start) if name.place != Place::Parameter && name.place != Place::BesideUser => {
                (start, false)
            }
            _ => return Some(Begin::Unseparated),
        },
    };
    Some(if name.place == Place::Opaque {
        Begin::Opaque(start, is_colon)
    } else {
        Begin::At(start, is_colon)
    })
}

pub(super) fn past_line(bytes: &[u8], end: usize) -> usize {
    end + bytes
        .get(end..)
        .map_or(0, |rest| rest.iter().take(2).take_while(|byte| matches!(byte, b'\r' | b'\n')).count())
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
        return if name.place == Place::Opaque {
            let (start, end) = random_part(bytes, inside.0, Lines::Any)?;
            Some((start, end.min(inside.1)))
        } else {
            Some(inside)
        };
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
    if name.place == Place::Opaque {
        return if is_flag { opaque(bytes, quotes, start, false) } else { None };
    }
    if is_flag || unseparated::follows_login(bytes, name, name_end) {
        return extent(bytes, quotes, start, name_end, name);
    }
    None
}

/// The value in `the password is VALUE`: of prose it is told by a digit among letters, or by looking random.
fn said_value(bytes: &[u8], quotes: &Quotes<'_>, name: &Name, start: usize) -> Option<(usize, usize)> {
    // A sentence is no longer than this; what is refused must not be searched to its end.
    let near = bytes.get(..bytes.len().min(start + JUDGED_REACH))?;
    let (start, end) =
        quotes.value_within(start, near.len()).unwrap_or_else(|| (start, end_of_word(near, start)));
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
        [b'=', b'=' | b'>', ..] | [b':', b'=', ..] | [b'<', b'-', ..] => 2,
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

pub(super) fn skip_blanks(bytes: &[u8], mut position: usize) -> usize {
    while at(bytes, position).is_some_and(is_blank) {
        position += 1;
    }
    position
}

/// The same, and past the ends of lines after which a header goes on: RFC 9112, section 5.2.
fn skip_folds(bytes: &[u8], position: usize) -> usize {
    let mut next = skip_blanks(bytes, position);
    while let Some(line) = fold(bytes, next) {
        next = line;
    }
    next
}

/// Where a header goes on after the line that ends at `line_end`. What looks like another header is one.
fn fold(bytes: &[u8], line_end: usize) -> Option<usize> {
    let line = past_line(bytes, line_end);
    let next = skip_blanks(bytes, line);
    let rest = bytes.get(next..)?;
    let name = rest
        .iter()
        .take(names::NAME_BYTES_MAX)
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-')
        .count();
    let is_header = rest.get(name) == Some(&b':') && rest.get(name + 1).is_none_or(u8::is_ascii_whitespace);
    (line > line_end && next > line && !rest.is_empty() && !is_header && !matches!(rest, [b'\r' | b'\n', ..]))
        .then_some(next)
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
    if let Some(opened) = wrapper::open(bytes, start)
        && !takes_the_line(name)
        && let Some(inside) = wrapper::value(bytes, quotes, opened)
    {
        return Some((inside.start, inside.end));
    }
    if let Some(inside) = wrapper::here_document(bytes, start) {
        return Some((inside.start, inside.end));
    }
    if let Some(wrapper::Quoted { start, end }) = wrapper::quoted(bytes, quotes, start) {
        if names::is_harmless_value(name.class, bytes.get(start..end)?) {
            return None;
        }
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
            let reference = usize::from(at(bytes, start) == Some(b'&'));
            let word = bytes.get(start..end_of_word(bytes, start + reference))?;
            let next = at(bytes, start + word.len());
            if is_placeholder(word) || before(bytes, start) == Some(b' ') && is_code(word, next) {
                return None;
            }
            let end = end_of_bare(bytes, start, name_end);
            let whole = bytes.get(start..end)?;
            let is_harmless = is_placeholder(whole) || names::is_harmless_value(name.class, whole);
            (!is_harmless).then_some((start, end))
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
    let credential = skip_folds(bytes, scheme_end);
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
    without_backslashes(bytes, start, position)
}

/// A bare value that nobody put in quotes may hold any sign. It ends at white space; at `&` of a URL's parameters or before the
/// next of them; at `;` before what is no more of it; at a quote that was opened before it or closes something.
fn end_of_bare(bytes: &[u8], start: usize, name_end: usize) -> usize {
    let line = start.saturating_sub(BACK_BYTES);
    let head = bytes.get(line..start).unwrap_or_default();
    let head = head.rsplit(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let is_open = |quote: u8| head.iter().filter(|byte| **byte == quote).count() % 2 == 1;
    let name = bytes.get(line.min(name_end)..name_end).unwrap_or_default();
    let word = name.rsplit(|byte| byte.is_ascii_whitespace() || is_quote(*byte)).next().unwrap_or_default();
    let is_parameter = word.iter().any(|byte| matches!(byte, b'?' | b'&'));
    let goes_on = |position: usize| {
        at(bytes, position).is_some_and(|byte| {
            !(byte.is_ascii_whitespace() || is_quote(byte) || b",;:.)]}>\\".contains(&byte))
        })
    };
    let mut position = start;
    while let Some(byte) = at(bytes, position) {
        let ends = match byte {
            quote if is_quote(quote) => is_open(quote) || !goes_on(position + 1) || position == start,
            b'&' => is_parameter || ends_pair(bytes, position),
            b';' => ends_pair(bytes, position),
            b',' | b')' | b']' | b'}' => closes_sentence(bytes, position, start),
            byte => byte.is_ascii_whitespace(),
        };
        if ends {
            break;
        }
        position += 1;
    }
    without_backslashes(bytes, start, position)
}

/// Where a value from `start` to `end` ends: backslashes before the quote that follows belong to the quote.
fn without_backslashes(bytes: &[u8], start: usize, mut end: usize) -> usize {
    while end > start && before(bytes, end) == Some(b'\\') && at(bytes, end).is_some() {
        end -= 1;
    }
    end
}

/// How far back on a line an opened quote and a parameter's sign are looked for, in bytes.
const BACK_BYTES: usize = schemas::limits::REDACT_BACK_BYTES_MAX;

/// True for a `&` or `;` at `position` with which a value ends: nothing follows, or another name and its value.
fn ends_pair(bytes: &[u8], position: usize) -> bool {
    let rest = bytes.get(position + 1..).unwrap_or_default();
    let is_part =
        |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b' ' | b'[' | b']');
    let next = rest.iter().take(names::NAME_BYTES_MAX).take_while(is_part).count();
    let is_name = rest.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        && next > 1
        && rest.get(next) == Some(&b'=');
    is_name
        || rest.first().is_none_or(|byte| {
            byte.is_ascii_whitespace() || is_quote(*byte) || matches!(byte, b'&' | b';' | b')' | b'}' | b'\\')
        })
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
    closed.unwrap_or_else(|| {
        let mut end = end_of_line(bytes, start);
        while let Some(line) = fold(bytes, end) {
            end = end_of_line(bytes, line);
        }
        end
    })
}

/// A stand-in for a value: `$1`, `?`, `%s`, `${NAME}`, `{{name}}`, or the opening of something larger.
fn is_placeholder(value: &[u8]) -> bool {
    match value {
        [b'{' | b'[' | b'(', quote, ..] if is_quote(*quote) || *quote == b'\\' => true,
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

/// A call or a look-up, after a blank as code has it: `getToken(request)`, `os.environ[`, `input(`; a reference: `&str`. `next`
/// follows the word.
fn is_code(word: &[u8], next: Option<u8>) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.' | b':');
    if let Some(kind) = word.strip_prefix(b"&") {
        // A type stands among others, a password at the end of its line.
        let is_among = next.is_some_and(|byte| matches!(byte, b',' | b')' | b';' | b'\'' | b' ' | b'}'));
        return is_among && kind.iter().all(is_name);
    }
    // The first of several names in brackets.
    if let [b'(' | b'[', names @ ..] = word {
        let is_variable = |byte: &u8| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.');
        return !names.is_empty() && next == Some(b',') && names.iter().all(is_variable);
    }
    let len = word.iter().take_while(|byte| is_name(byte)).count();
    let Some((open, inside)) = word.get(len..).and_then(<[u8]>::split_first) else { return false };
    let is_inside = |byte: &u8| is_name(byte) || matches!(byte, b')' | b']' | b'(' | b'[' | b',');
    // Variables of which something is looked up begin with a small letter.
    let is_look_up = word.first().is_some_and(u8::is_ascii_lowercase) || inside.is_empty();
    len > 1
        && (*open == b'(' || *open == b'[' && is_look_up || *open == b'<')
        && inside.iter().all(|byte| is_inside(byte) || matches!(byte, b'<' | b'>' | b'&'))
}
