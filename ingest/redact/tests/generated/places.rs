//! Where a secret can stand in an event, and in which spelling.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::kinds::{Carry, Kind};
use super::random::Random;
use super::written;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Plain,
    Nested,
    Url,
    Header,
    Base64,
    Truncated,
    MultiLine,
    OtherCase,
    Percent,
    Hex,
    Combined,
    Wrapped,
    Folded,
    FilledIn,
    Numbered,
    Bytes,
}

impl Place {
    pub const ALL: [Place; 16] = [
        Place::Plain,
        Place::Nested,
        Place::Url,
        Place::Header,
        Place::Base64,
        Place::Truncated,
        Place::MultiLine,
        Place::OtherCase,
        Place::Percent,
        Place::Hex,
        Place::Combined,
        Place::Wrapped,
        Place::Folded,
        Place::FilledIn,
        Place::Numbered,
        Place::Bytes,
    ];
}

/// A secret in an event.
#[derive(Debug, Clone)]
pub struct Planted {
    pub kind: &'static str,
    pub place: Place,
    /// The event, as JSON.
    pub event: String,
    /// What must not be found in what is left: the secret, and the spelling it was planted in.
    pub spellings: Vec<String>,
    /// The letters of their maker's that all of its kind begin with, and the names it goes by: these tell nothing.
    pub public: String,
}

/// Bytes of a spelling that may not be found on end.
const TELLING: usize = 4;
/// The same of one with percent-encoding in it, of which a byte is three.
const TELLING_ENCODED: usize = 8;

impl Planted {
    /// The first piece of the secret that is still there.
    pub fn leak<'a>(&'a self, left: &str) -> Option<&'a str> {
        let left = unmarked(left);
        let tells = |piece: &&str| {
            let piece = piece.to_ascii_lowercase();
            !self.public.contains(&piece) && piece.matches('%').count() < 2
        };
        self.spellings
            .iter()
            .flat_map(|spelling| pieces(spelling))
            .filter(tells)
            .find(|piece| left.contains(piece))
    }
}

/// The stretches of a spelling by which it would be known: of a key of several lines, each line is one for itself, and the
/// lines that say what it is are none.
pub fn pieces(spelling: &str) -> impl Iterator<Item = &str> {
    let lines = spelling.split(['\n', '\r']).filter(|line| !line.contains("-----") && !line.contains(": "));
    lines.map(str::trim).flat_map(|line| {
        let telling = if line.contains('%') { TELLING_ENCODED } else { TELLING };
        let len = telling.min(line.len());
        let last = line.len() - len;
        (0..=last)
            .filter_map(move |start| line.get(start..start + len))
            .filter(|piece| piece.len() >= TELLING)
    })
}

/// What is left without the markers, whose digits are some secret's by chance.
fn unmarked(left: &str) -> String {
    let mut rest = left;
    let mut out = String::new();
    while let Some((before, marker)) = rest.split_once("<redacted:") {
        out.push_str(before);
        out.push(' ');
        rest = marker.split_once('>').map_or("", |(_, after)| after);
    }
    out + rest
}

/// A text with a secret in it, as offsets.
#[derive(Debug, Clone)]
pub struct Text {
    pub text: String,
    start: usize,
    end: usize,
}

impl Text {
    pub fn new(before: &str, secret: &str, after: &str) -> Text {
        let start = before.len();
        Text { text: format!("{before}{secret}{after}"), start, end: start + secret.len() }
    }

    pub fn secret(&self) -> &str {
        &self.text[self.start..self.end]
    }

    pub fn before(&self) -> &str {
        &self.text[..self.start]
    }

    pub fn after(&self) -> &str {
        &self.text[self.end..]
    }
}

/// Plants one secret of `kind` at `place`.
pub fn plant(kind: &Kind, place: Place, random: &mut Random) -> Planted {
    let secret = kind.secret(random);
    // The frame of every event, and the text that a form has around its secret, tell nothing either.
    let frame = event(Value::Null, &mut Random::new(0));
    let mut spellings = vec![secret.clone()];
    let event = match place {
        Place::Plain => event(plain(kind, &secret, random), random),
        Place::Nested => event(nested(kind, &secret, random), random),
        Place::Url => {
            let text = url(kind, &secret, random);
            spellings.push(text.secret().to_owned());
            event(json!(text.text), random)
        }
        Place::Header => event(header(kind, &secret, random), random),
        Place::Base64 => {
            let (value, spelling) = in_base64(kind, &secret, random);
            spellings.push(spelling);
            event(value, random)
        }
        Place::Truncated => {
            let text = truncated(kind, &secret, random);
            spellings = vec![text.secret().to_owned()];
            event(json!(text.text), random)
        }
        Place::MultiLine => event(json!(multi_line(kind, &secret, random)), random),
        Place::OtherCase => {
            let text = other_case(kind, &secret, random);
            spellings = vec![text.secret().to_owned()];
            event(json!(text.text), random)
        }
        Place::Percent => {
            let text = sentence(kind, &secret, random);
            let spelled = percent(text.secret());
            spellings.push(spelled.clone());
            let before = format!("{}?q={}", random.word(&ADDRESSES), percent(text.before()));
            event(json!(format!("{before}{spelled}{}&lang=en", percent(text.after()))), random)
        }
        Place::Hex => {
            let text = sentence(kind, &secret, random);
            spellings.push(hex(text.secret()));
            event(json!({ "blob": hex(&text.text) }), random)
        }
        Place::Combined => {
            let (value, spelling) = combined(kind, &secret, random);
            spellings.push(spelling);
            event(value, random)
        }
        Place::Wrapped | Place::Folded => {
            let write = if place == Place::Wrapped { written::wrapped } else { written::folded };
            let text = write(kind, &secret, random);
            spellings.push(text.secret().to_owned());
            event(json!(text.text), random)
        }
        Place::FilledIn => event(written::filled_in(kind, &secret, random), random),
        Place::Numbered => event(written::numbered(kind, &secret, random), random),
        Place::Bytes => {
            let (value, spelling) = written::in_bytes(kind, &secret, random);
            spellings.push(spelling);
            event(value, random)
        }
    };
    let form = if let Carry::Form(form) = kind.carry { form } else { "" };
    let public = format!("{} {} {frame} {form}", kind.head(), kind.names.join(" ")).to_ascii_lowercase();
    Planted { kind: kind.name, place, event, spellings, public }
}

/// An event with the value in one of the places where payload comes.
fn event(value: Value, random: &mut Random) -> String {
    let mut event = json!({
        "time": "2026-11-21T10:00:00Z", "kind": "call", "user_id": "u-0214", "server": "github",
        "capability": "get_issue", "decision": "allow", "status": "ok", "latency_us": 1200,
    });
    match random.below(5) {
        0 => event["arguments"] = json!({ "body": value, "limit": 20 }),
        1 => event["arguments"] = json!({ "items": [{ "note": value }, 7] }),
        2 => event["result"] = json!({ "content": [{ "type": "text", "text": value }], "isError": false }),
        3 if value.is_string() => event["error_message"] = value,
        _ => event["x_source"] = json!({ "deep": [value] }),
    }
    event.to_string()
}

const SENTENCES: [(&str, &str); 7] = [
    ("", ""),
    ("use ", " for the deploy"),
    ("found ", " in the log, please rotate it"),
    ("the agent answered with ", "."),
    ("(", ")"),
    ("see `", "` in the notes"),
    ("value=", ", next=2"),
];

const ASSIGNMENTS: [(&str, &str); 8] = [
    ("=", ""),
    (": ", ""),
    (" = ", ""),
    ("=\"", "\""),
    (": \"", "\""),
    (": '", "'"),
    ("=", " and go on"),
    (": ", "\nnext: 1"),
];

/// Text that holds the secret as its kind has it.
pub fn sentence(kind: &Kind, secret: &str, random: &mut Random) -> Text {
    match kind.carry {
        Carry::Form(form) => {
            let (before, after) = form.split_once("{}").expect("a form has a place for the secret");
            Text::new(before, secret, after)
        }
        Carry::Bare if random.below(3) > 0 => {
            let (before, after) = random.pick(&SENTENCES);
            Text::new(before, secret, after)
        }
        _ => assigned(kind, secret, random),
    }
}

fn assigned(kind: &Kind, secret: &str, random: &mut Random) -> Text {
    let spelling = random.below(5);
    let name = spelled(random.word(kind.names), spelling);
    let (sign, after) = random.pick(&ASSIGNMENTS);
    // Nobody puts a value into quotes that it holds itself.
    let (sign, after) = if !after.is_empty() && secret.contains(after) && sign.ends_with(after) {
        ("=", "")
    } else {
        (*sign, *after)
    };
    Text::new(&format!("{name}{sign}"), secret, after)
}

/// A name in snake case in another spelling: as it is, upper case, camel case, with dashes, as a header has it.
pub fn spelled(name: &str, spelling: usize) -> String {
    let title = |word: &str| format!("{}{}", word[..1].to_ascii_uppercase(), &word[1..]);
    match spelling {
        0 => name.to_owned(),
        1 => name.to_ascii_uppercase(),
        2 => {
            let mut words = name.split('_');
            let first = words.next().unwrap_or_default().to_owned();
            words.fold(first, |camel, word| camel + &title(word))
        }
        3 => name.replace('_', "-"),
        _ => name.split('_').map(title).collect::<Vec<_>>().join("-"),
    }
}

fn plain(kind: &Kind, secret: &str, random: &mut Random) -> Value {
    if matches!(kind.carry, Carry::Form(_)) || random.below(2) == 0 {
        return json!(sentence(kind, secret, random).text);
    }
    let spelling = random.below(5);
    let name = spelled(random.word(kind.names), spelling);
    match (kind.carry, random.below(4)) {
        (Carry::Bare, 0) => json!({ "ref": secret }),
        (_, 1) => json!({ "name": name, "value": secret }),
        (_, 2) => json!([format!("--{}", name.replace('_', "-")), secret]),
        _ => json!({ name: secret, "n": 1 }),
    }
}

fn nested(kind: &Kind, secret: &str, random: &mut Random) -> Value {
    let mut value = plain(kind, secret, random);
    for _ in 0..1 + random.below(3) {
        value = json!(json!({ "inner": value, "n": 1 }).to_string());
    }
    value
}

const ADDRESSES: [&str; 3] =
    ["https://api.example.com/v1/items", "http://localhost:8080/hook", "https://h.example/a/b"];

fn url(kind: &Kind, secret: &str, random: &mut Random) -> Text {
    let address = random.word(&ADDRESSES);
    match kind.carry {
        Carry::Form(form) if form.contains("://") => sentence(kind, secret, random),
        Carry::Form(_) => {
            let text = sentence(kind, secret, random);
            let after = format!("{}&page=2", percent(text.after()));
            Text::new(&format!("{address}?note={}", percent(text.before())), &percent(secret), &after)
        }
        Carry::Bare if random.below(2) == 0 => match random.below(3) {
            0 => Text::new(&format!("{address}?id=7&ref="), &percent(secret), ""),
            1 => Text::new(&format!("{address}/"), &percent(secret), "/items"),
            _ => Text::new("https://bot:", &percent(secret), "@git.example.com/team/app.git"),
        },
        _ => {
            let name = random.word(kind.names);
            Text::new(&format!("GET {address}?id=7&{name}="), &percent(secret), "&page=2 200")
        }
    }
}

fn header(kind: &Kind, secret: &str, random: &mut Random) -> Value {
    let one_line = secret.replace('\n', " ");
    let (name, value) = match kind.carry {
        Carry::Form(form) => match form.split_once(": ") {
            Some((name, value)) if !name.contains(' ') => (name.to_owned(), value.replace("{}", &one_line)),
            _ => ("X-Note".to_owned(), form.replace("{}", &one_line)),
        },
        Carry::Bare if random.below(2) == 0 => {
            (random.word(&["X-Request-Ref", "X-Custom", "Private-Token"]).to_owned(), one_line)
        }
        _ if random.below(3) == 0 => ("Authorization".to_owned(), format!("Bearer {one_line}")),
        _ => (format!("X-{}", spelled(random.word(kind.names), 4)), one_line),
    };
    match random.below(3) {
        0 => {
            json!(format!("POST /v1/items HTTP/1.1\r\nHost: h\r\n{name}: {value}\r\nAccept: */*\r\n\r\n{{}}"))
        }
        1 => json!({ "headers": { "Host": "h", name: value } }),
        _ => json!([{ "name": "Host", "value": "h" }, { "name": name, "value": value }]),
    }
}

/// Base64 of a text, and the part of it that the secret lies in.
fn base64_of(text: &Text, url_safe: bool) -> (String, String) {
    let encoded = if url_safe { URL_SAFE_NO_PAD.encode(&text.text) } else { STANDARD.encode(&text.text) };
    let spelling = encoded[text.start / 3 * 4..(text.end.div_ceil(3) * 4).min(encoded.len())].to_owned();
    (encoded, spelling)
}

fn in_base64(kind: &Kind, secret: &str, random: &mut Random) -> (Value, String) {
    let text = sentence(kind, secret, random);
    let (encoded, spelling) = base64_of(&text, random.below(2) == 0);
    let value = match random.below(4) {
        0 => json!({ "data": encoded }),
        1 => json!(format!("data:text/plain;base64,{encoded}")),
        2 => json!(format!("the file is\n{encoded}\n-- end")),
        _ => json!([{ "type": "blob", "blob": encoded }]),
    };
    (value, spelling)
}

/// The text as it is when its end was cut off by whoever sent it.
fn truncated(kind: &Kind, secret: &str, random: &mut Random) -> Text {
    let text = sentence(kind, secret, random);
    let share = 55 + random.below(40);
    let kept = (secret.len() * share / 100).max(secret.len().min(10));
    let mut kept = kept.min(secret.len().saturating_sub(1)).max(1);
    while !secret.is_char_boundary(kept) {
        kept -= 1;
    }
    let end = random.word(&["", "...", "…", " [truncated]", "... (412 more bytes)"]);
    Text::new(text.before(), &secret[..kept], end)
}

fn multi_line(kind: &Kind, secret: &str, random: &mut Random) -> String {
    let (before, after) = ("# settings of the service\nhost: db\nport: 5432\n", "\nretries: 3\n# end\n");
    if matches!(kind.carry, Carry::Named) {
        let spelling = random.below(2);
        let name = spelled(random.word(kind.names), spelling);
        let middle = secret.len() / 2;
        return match random.below(5) {
            0 => format!("{before}{name}: |\n  {secret}{after}"),
            1 => format!("{before}{name}:\n  {secret}{after}"),
            2 if secret.len() > 30 => {
                format!("{before}{name}: >-\n  {}\n  {}{after}", &secret[..middle], &secret[middle..])
            }
            3 if !secret.contains('\'') => format!("{before}export {name}='{secret}'{after}"),
            _ => format!("[default]\n{name} = {secret}{after}"),
        };
    }
    let text = sentence(kind, secret, random);
    match random.below(3) {
        0 => format!("{before}{}{after}", text.text),
        1 => format!("{}{after}", text.text),
        _ => format!("first line\r\n{}\r\nlast line", text.text.replace('\n', "\r\n")),
    }
}

/// Names, schemes and prefixes in another case; of a secret that is known by its form alone, all of it.
fn other_case(kind: &Kind, secret: &str, random: &mut Random) -> Text {
    let upper = random.below(2) == 0;
    let cased = |text: &str| if upper { text.to_ascii_uppercase() } else { text.to_ascii_lowercase() };
    match kind.carry {
        Carry::Bare => {
            let text = sentence(kind, &cased(secret), random);
            Text::new(text.before(), text.secret(), &text.text[text.end..])
        }
        Carry::Form(form) => {
            let (before, after) = form.split_once("{}").expect("a form has a place for the secret");
            Text::new(&cased(before), secret, &cased(after))
        }
        Carry::Named => {
            let text = assigned(kind, secret, random);
            Text::new(&cased(text.before()), secret, &text.text[text.end..])
        }
    }
}

/// One encoding inside another.
fn combined(kind: &Kind, secret: &str, random: &mut Random) -> (Value, String) {
    let text = sentence(kind, secret, random);
    match random.below(5) {
        // Base64 in a URL's query, percent-encoded.
        0 => {
            let (encoded, spelling) = base64_of(&text, false);
            let address = random.word(&ADDRESSES);
            (json!(format!("{address}?state={}&page=2", percent(&encoded))), percent(&spelling))
        }
        // JSON in base64.
        1 => {
            let inside = json!({ "note": text.text, "n": 1 }).to_string();
            let start = inside.find(text.secret().lines().next().unwrap_or_default()).unwrap_or_default();
            let len = json!(text.secret()).to_string().len() - 2;
            let (encoded, spelling) = base64_of(&Text { text: inside, start, end: start + len }, true);
            (json!({ "data": encoded }), spelling)
        }
        // Percent-encoding twice.
        2 => {
            let once = percent(text.secret());
            let twice = percent(&once);
            let before = percent(&percent(text.before()));
            let after = percent(&percent(text.after()));
            let text =
                format!("https://h.example/login?next=%252F%253F{before}{twice}{after}%2526page%253D2");
            (json!(text), twice)
        }
        // Hexadecimal in a JSON string.
        3 => (json!(json!({ "blob": hex(&text.text) }).to_string()), hex(text.secret())),
        // Base64 in base64.
        _ => {
            let (inner, spelling) = base64_of(&text, false);
            let lead = "{\"payload\":\"";
            let start = lead.len() + inner.find(&spelling).unwrap_or_default();
            let outer = Text { text: format!("{lead}{inner}\"}}"), start, end: start + spelling.len() };
            let (encoded, spelling) = base64_of(&outer, false);
            (json!({ "data": encoded }), spelling)
        }
    }
}

/// Everything but letters, digits and `-_.~` as `%XX`.
pub fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().fold(String::new(), |out, byte| {
        if plain(byte) {
            out + char::from(byte).encode_utf8(&mut [0; 4])
        } else {
            out + &format!("%{byte:02X}")
        }
    })
}

pub fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}
