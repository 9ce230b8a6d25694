//! How programs, configuration and agents write a secret down: with a prefix or a wrapper, in lists, over folded lines, beside
//! the name of a form's field, under names with a number, in encodings of text that is not UTF-8.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::kinds::{Carry, Kind};
use super::places::{Text, hex, sentence, spelled};
use super::random::Random;

/// What stands before a value and after it; a `Q` is a quote that the value does not hold.
const WRAPPERS: [(&str, &str); 20] = [
    (" = NQ", "Q"),
    ("Q: uQ", "Q, 'n': 1}"),
    ("=bQ", "Q"),
    (" = rQ", "Q"),
    (" = @Q", "Q;"),
    (": fQ", "Q"),
    (": Some(Q", "Q), n: 1 }"),
    (": String(Q", "Q)"),
    (" = String::from(Q", "Q);"),
    (": Some(String(Q", "Q))"),
    ("=QQQ", "QQQ"),
    (" = QQQ", "QQQ\n"),
    (" = (Q", "Q)"),
    (" = [Q", "Q]"),
    (": [Q", "Q]"),
    (" = {Q", "Q}"),
    (": !!str Q", "Q"),
    (" = <<EOF\n", "\nEOF\n"),
    (" := Q", "Q"),
    ("<- Q", "Q"),
];

/// A quote that is not in the secret.
fn quote(secret: &str, random: &mut Random) -> Option<&'static str> {
    let first = random.below(2);
    let quotes = ["\"", "'"];
    [quotes[first], quotes[1 - first]].into_iter().find(|quote| !secret.contains(*quote))
}

fn name_of(kind: &Kind, random: &mut Random) -> String {
    let spelling = random.below(4);
    spelled(random.word(kind.names), spelling)
}

/// With a prefix, in a wrapper, in a list of two of which it is either.
pub fn wrapped(kind: &Kind, secret: &str, random: &mut Random) -> Text {
    let quote = quote(secret, random);
    let (Carry::Bare | Carry::Named, Some(quote)) = (kind.carry, quote) else {
        return sentence(kind, secret, random);
    };
    let name = name_of(kind, random);
    let other = kind.secret(random).replace(['"', '\''], "x");
    let which = random.below(WRAPPERS.len() + 4);
    let (before, after) = match which.checked_sub(WRAPPERS.len()) {
        None => WRAPPERS[which],
        Some(0) => (" = [Q{other}Q, Q", "Q]"),
        Some(1) => ("s = [Q", "Q, Q{other}Q]"),
        Some(2) => ("s: [Q{other}Q,Q", "Q], n: 1"),
        Some(_) => ("s:\n  - {other}\n  - ", "\nn: 1\n"),
    };
    let filled = |text: &str| text.replace('Q', quote).replace("{other}", &other);
    let opens = if before.starts_with('Q') { quote } else { "" };
    Text::new(&format!("{opens}{name}{}", filled(before)), secret, &filled(after))
}

/// Over lines that belong together: a header's, a YAML block's, a list's entry.
pub fn folded(kind: &Kind, secret: &str, random: &mut Random) -> Text {
    if let Carry::Form(form) = kind.carry {
        let (before, after) = form.split_once("{}").expect("a form has a place for the secret");
        // The line ends after the last word before the secret.
        let before = match before.strip_suffix(' ') {
            Some(before) if before.contains(": ") => format!("{before}\r\n {}", ""),
            _ => before.to_owned(),
        };
        return Text::new(&before, secret, after);
    }
    let name = name_of(kind, random);
    let header = spelled(random.word(kind.names), 4);
    let one_line = !secret.contains('\n');
    match random.below(6) {
        0 if one_line => Text::new("GET / HTTP/1.1\r\nAuthorization: Bearer\r\n ", secret, "\r\nHost: h\r\n"),
        1 if one_line => Text::new("Cookie: theme=dark;\r\n sid=", secret, "\r\nHost: h\r\n"),
        2 if one_line => Text::new(&format!("X-{header}:\r\n "), secret, "\r\nHost: h\r\n"),
        3 if one_line => {
            let middle = secret.len() / 2;
            let folded = format!("{}\n    {}", &secret[..middle], &secret[middle..]);
            Text::new(&format!("db:\n  {name}: >-\n    "), &folded, "\n  port: 5432\n")
        }
        4 if one_line => Text::new(
            &format!("env:\n  - name: {name}\n    value: "),
            secret,
            "\n  - name: PORT\n    value: 1\n",
        ),
        _ => {
            let quote = quote(secret, random).unwrap_or_default();
            let before = format!("env:\n  - name: {name}\n    value: {quote}");
            Text::new(&before, secret, &format!("{quote}\n  - name: PORT\n"))
        }
    }
}

/// A name as a person reads it in a form: `Db Password`.
fn label(name: &str) -> String {
    name.split('_')
        .map(|word| format!("{}{}", word[..1].to_ascii_uppercase(), &word[1..]))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A form's field that an agent fills in, under the name that its tool gives it.
pub fn filled_in(kind: &Kind, secret: &str, random: &mut Random) -> Value {
    if matches!(kind.carry, Carry::Form(_)) {
        return json!({ "element": "Notes", "ref": "e7", "text": sentence(kind, secret, random).text });
    }
    let name = random.word(kind.names);
    let label = label(name);
    match random.below(8) {
        0 => json!({ "selector": format!("#{name}"), "value": secret }),
        1 => json!({ "selector": format!("input[name='{name}']"), "value": secret }),
        2 => json!({ "element": format!("{label} field"), "ref": "e12", "text": secret }),
        3 => json!({ "element": format!("{label} input"), "ref": "e12", "text": secret, "submit": true }),
        4 => json!({ "fields": [{ "name": format!("{label} *"), "type": "textbox", "value": secret }] }),
        5 => json!({ "fields": [{ "label": format!("{label}:"), "value": secret }] }),
        6 => json!({ "id": name, "input": secret }),
        _ => json!({ format!("{label}:"): secret }),
    }
}

/// Under a name with a number or an environment at its end, in its plural.
pub fn numbered(kind: &Kind, secret: &str, random: &mut Random) -> Value {
    if matches!(kind.carry, Carry::Form(_)) {
        return json!([sentence(kind, secret, random).text]);
    }
    let (name, camel) = (random.word(kind.names), spelled(random.word(kind.names), 2));
    match random.below(8) {
        0 => json!({ format!("{name}_1"): secret }),
        1 => json!({ format!("{camel}2"): secret }),
        2 => json!({ format!("{camel}Prod"): secret }),
        3 => json!({ format!("{name}s"): [secret] }),
        4 => json!({ format!("{camel}s"): ["", secret] }),
        5 => json!(format!("export {}_2={secret}\n", name.to_ascii_uppercase())),
        6 => json!(format!("{name}_1: {secret}\nport: 1\n")),
        _ => json!(format!("old_{name} = {secret}\n")),
    }
}

/// Base64 or hexadecimal digits of a text with a byte in it that is no UTF-8, and the part that the secret lies in.
pub fn in_bytes(kind: &Kind, secret: &str, random: &mut Random) -> (Value, String) {
    const STRANGERS: [&[u8]; 4] = [b"\xfc", b"\xff\xfe", b"\x00", b"\xe2\x82"];
    let text = sentence(kind, secret, random);
    let stranger = *random.pick(&STRANGERS);
    let lead = [b"A file of Gr".as_slice(), stranger, b"nwald, some settings:\n"].concat();
    let bytes = [&lead, text.text.as_bytes()].concat();
    let (start, end) = (lead.len() + text.before().len(), lead.len() + text.before().len() + secret.len());
    if random.below(2) == 0 {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        return (json!({ "blob": digits }), hex(secret));
    }
    let encoded = if random.below(2) == 0 { STANDARD.encode(&bytes) } else { URL_SAFE_NO_PAD.encode(&bytes) };
    let spelling = encoded[start / 3 * 4..(end.div_ceil(3) * 4).min(encoded.len())].to_owned();
    (json!({ "data": encoded }), spelling)
}
