//! `vectors/refused.json`: malformed things of every kind, each with the reason why it must be refused.

use schemas::checkpoint::Checkpoint;
use schemas::control::Control;
use schemas::entry::EntryView;
use schemas::group::{FileHeader, GROUP_HEADER_BYTES, GroupHeader, sections};
use schemas::manifest::Manifest;
use schemas::note::VerifierKey;
use schemas::rows::RowsBuilder;
use schemas::{Error, Origin, Result, Stream, layout};
use serde_json::{Value, json};

use crate::entries::{encode, row};
use crate::notes::{Keys, checkpoint, manifest, sign};
use crate::{groups, hex};

/// All of them; the code is seen to refuse each, and to take what it was made from.
pub fn document() -> Value {
    json!({
        "entries": entries(),
        "checkpoints": checkpoints(),
        "manifests": manifests(),
        "controls": controls(),
        "verifier_keys": verifier_keys(),
        "origins": origins(),
        "tile_paths": tile_paths(),
        "file_headers": file_headers(),
        "groups": group_list(),
    })
}

/// Sees `read` take `whole` and refuse every other.
fn refused<T: AsRef<[u8]> + ?Sized>(
    whole: &T,
    others: Vec<(&str, Box<T>)>,
    read: impl Fn(&T) -> Result<()>,
    write: impl Fn(&T) -> Value,
) -> Vec<Value> {
    read(whole).unwrap();
    let one = |(reason, other): (&str, Box<T>)| {
        assert!(read(&other).is_err(), "taken: {reason}");
        json!({ "reason": reason, "input": write(&other) })
    };
    others.into_iter().map(one).collect()
}

fn bytes_refused(
    whole: &[u8],
    others: Vec<(&str, Vec<u8>)>,
    read: impl Fn(&[u8]) -> Result<()>,
) -> Vec<Value> {
    let others = others.into_iter().map(|(reason, other)| (reason, other.into_boxed_slice())).collect();
    refused(whole, others, read, |bytes| hex(bytes).into())
}

fn texts_refused(whole: &str, others: Vec<(&str, String)>, read: impl Fn(&str) -> Result<()>) -> Vec<Value> {
    let others = others.into_iter().map(|(reason, other)| (reason, other.into_boxed_str())).collect();
    refused(whole, others, read, |text| text.into())
}

/// `whole` with one change.
fn with<T: ?Sized + ToOwned>(whole: &T, change: impl FnOnce(&mut T::Owned)) -> T::Owned {
    let mut other = whole.to_owned();
    change(&mut other);
    other
}

fn field(id: u16, value: &[u8]) -> Vec<u8> {
    [&id.to_be_bytes()[..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

fn entries() -> Vec<Value> {
    let whole = encode(Stream::Events, 1, &row("acme", &json!({ "scopes": ["a"] })));
    let required = encode(Stream::Events, 1, &row("acme", &json!({})));
    let plus = |value: Vec<u8>| [required.as_slice(), &value].concat();
    let list = |value: &[u8]| plus(field(28, value));
    // The two first fields, ingest_time and event_id, have 12 and 7 bytes after the 41 of the header.
    let others = vec![
        ("shorter than the header", whole[..40].to_vec()),
        ("entry version 0", with(whole.as_slice(), |e| e[0] = 0)),
        ("entry version 2", with(whole.as_slice(), |e| e[0] = 2)),
        ("ends inside a field header", whole[..whole.len() - 12].to_vec()),
        ("ends inside a value", whole[..whole.len() - 1].to_vec()),
        ("a byte after the last field", plus(vec![0])),
        ("fields in another order", [&whole[..41], &whole[53..60], &whole[41..53], &whole[60..]].concat()),
        ("a field twice", [&whole[..53], &whole[41..]].concat()),
        ("field id 1: the index is in the header", [&whole[..41], &field(1, &[0; 8]), &whole[41..]].concat()),
        ("a required column is absent", [&whole[..53], &whole[60..]].concat()),
        ("a field id that is not in the table", plus(field(19, b""))),
        ("a payload field in an entry", plus(field(200, b"{}"))),
        ("an integer of 7 bytes", plus(field(18, &[0; 7]))),
        ("an integer of 9 bytes", plus(field(18, &[0; 9]))),
        ("text that is not UTF-8", plus(field(16, b"\xc3"))),
        ("text with a surrogate", plus(field(16, b"\xed\xa0\x80"))),
        ("a value over its cap", plus(field(16, &[b'x'; 65]))),
        ("a list shorter than its count", list(&[0, 0, 0])),
        ("a list without the item it counts", list(&[0, 0, 0, 1])),
        ("a list that ends inside an item", list(b"\0\0\0\x01\0\0\0\x02a")),
        ("bytes after the last item of a list", list(b"\0\0\0\x01\0\0\0\x01ab")),
        ("a list whose count is past all bytes", list(b"\xff\xff\xff\xff\0\0\0\x01a")),
    ];
    bytes_refused(&whole, others, |entry| {
        let view = EntryView::parse(entry)?;
        let index =
            i64::try_from(view.index).map_err(|error| Error::malformed("index", error.to_string()))?;
        RowsBuilder::entries(Stream::Events).push_fields(index, view.fields())
    })
}

fn keys() -> Keys {
    let seed: [u8; 32] = std::array::from_fn(|at| at as u8);
    Keys::derive(&seed, Origin::new("fleet-1", "acme", Stream::Events, "w0").unwrap())
}

fn checkpoints() -> Value {
    let keys = keys();
    let key = keys.verifier();
    let whole = checkpoint(&keys, 3);
    let (text, line) = whole.split_once("\n\n").unwrap();
    let text = format!("{text}\n");
    let signed = |text: &str| sign(text, &keys.checkpoint, &key);
    let others = vec![
        ("no signature line", format!("{text}\n")),
        ("no blank line", format!("{text}{line}")),
        ("no newline at the end", whole.trim_end().to_string()),
        ("two hyphens for the em dash", whole.replace("— ", "-- ")),
        ("a tab", signed(&text.replace("\n3\n", "\n3\t\n"))),
        ("a carriage return", whole.replace('\n', "\r\n")),
        ("a signature of another text", whole.replace("\n3\n", "\n4\n")),
        ("signed by the manifest key", sign(&text, &keys.manifest, &keys.manifest_verifier())),
        ("the name of another key", whole.replace("— fleet-1/acme", "— fleet-2/acme")),
        ("base64 without padding", whole.replace('=', "")),
        ("signed twice by the same key", format!("{whole}{line}")),
        ("a signature cut to 63 bytes", {
            let (name, _) = line.rsplit_once(' ').unwrap();
            let id = key.id().to_be_bytes();
            format!("{text}\n{name} {}\n", base64(&[&id[..], &[1; 63]].concat()))
        }),
        ("a size with a leading zero", signed(&text.replace("\n3\n", "\n03\n"))),
        ("a size with a sign", signed(&text.replace("\n3\n", "\n+3\n"))),
        ("a size below zero", signed(&text.replace("\n3\n", "\n-3\n"))),
        ("a size past 64 bits", signed(&text.replace("\n3\n", "\n18446744073709551616\n"))),
        ("a fourth line", signed(&format!("{text}extension\n"))),
        (
            "two lines",
            signed(text.rsplit_once("\n3\n").unwrap().0.to_owned().as_str()).replace("w0\n— ", "w0\n\n— "),
        ),
        ("a root of 31 bytes", signed(&format!("{}\n3\n{}\n", keys.origin, base64(&[1; 31])))),
        (
            "a root whose base64 has set bits in its padding",
            signed(&format!("{}\n3\n{}B=\n", keys.origin, "A".repeat(42))),
        ),
        ("another origin than the key's", signed(&text.replace("acme/events", "acme/alerts"))),
    ];
    let list = texts_refused(&whole, others, |note| Checkpoint::open(note.as_bytes(), &key).map(drop));
    json!({ "key": key.to_string(), "refused": list })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn manifests() -> Value {
    let keys = keys();
    let (text, whole) = manifest(&keys, &checkpoint(&keys, 3));
    let signed = |from: &str, to: &str| {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text, "{from}");
        sign(&other, &keys.manifest, &keys.manifest_verifier())
    };
    let others = vec![
        ("white space", signed("\"version\":1", "\"version\": 1")),
        ("version 2", signed("\"version\":1", "\"version\":2")),
        ("a key missing", signed("\"remove\":[],", "")),
        ("a key more", signed("\"remove\":[]", "\"remove\":[],\"more\":1")),
        ("a key twice", signed("\"remove\":[]", "\"remove\":[],\"remove\":[]")),
        (
            "keys in another order",
            signed("\"version\":1,", "").replacen(",\"number\"", ",\"version\":1,\"number\"", 1),
        ),
        ("a number as text", signed("\"number\":1", "\"number\":\"1\"")),
        ("a number with a fraction", signed("\"size\":3", "\"size\":3.0")),
        ("a number with an exponent", signed("\"size\":3", "\"size\":3e0")),
        ("a negative size", signed("\"size\":3", "\"size\":-3")),
        ("number 0", signed("\"number\":1", "\"number\":0")),
        ("snapshot false in the first", signed("\"snapshot\":true", "\"snapshot\":false")),
        ("snapshot true in the second", signed("\"number\":1", "\"number\":2")),
        ("an escape that is not needed", signed("kafka", "k\\u0061fka")),
        ("a slash escaped", signed("a/kafka", "a\\/kafka")),
        ("a control character in upper case hex", signed("\\u0001", "\\u000B")),
        ("a short escape spelled long", signed("\\u0001", "\\u000a")),
        ("text that is not closed", signed("\"17\"", "\"17")),
        ("cursors in another order", signed("\"a/kafka\"", "\"c/kafka\"")),
        ("a path that leaves the log", signed("segments/", "../segments/")),
        ("a path of another directory", signed("segments/", "tile/")),
        ("a date of another spelling", signed("date=2026-11-21", "date=2026-1-21")),
        ("an empty range", signed("-00000000000000000003-", "-00000000000000000000-")),
        ("a range past the size", signed("-00000000000000000003-", "-00000000000000000004-")),
        ("rows that are not the range", signed("\"rows\":3", "\"rows\":2")),
        (
            "a name with another digest",
            signed("\"blake3\":\"", "\"blake3\":\"0").replacen("0\",\"time_min", "\",\"time_min", 1),
        ),
        ("two lines", signed("}\n", "}\n\n")),
        ("text after the JSON", signed("}\n", "} \n")),
        ("signed by the checkpoint key", sign(&text, &keys.checkpoint, &keys.verifier())),
        ("another origin than the key's", signed("\"origin\":\"fleet-1", "\"origin\":\"fleet-2")),
    ];
    let key = keys.manifest_verifier();
    let list = texts_refused(&whole, others, |note| Manifest::open(note.as_bytes(), &key).map(drop));
    json!({ "key": key.to_string(), "refused": list })
}

fn controls() -> Vec<Value> {
    let whole = r#"{"control":"recovery","size":5,"quarantined_bytes":512,"quarantined_digest":"ab"}"#;
    let others = vec![
        ("white space", whole.replace(":5", ": 5")),
        ("a kind that is not known", whole.replace("recovery", "recovered")),
        ("a reserved kind", r#"{"control":"erasure_done"}"#.to_string()),
        (
            "control is not first",
            whole.replace(r#""control":"recovery","size":5"#, r#""size":5,"control":"recovery""#),
        ),
        ("a key missing", whole.replace(r#""size":5,"#, "")),
        ("a key more", whole.replace('}', r#","more":1}"#)),
        ("a key twice", whole.replace('}', r#","size":5}"#)),
        ("a negative number", whole.replace(":5,", ":-5,")),
        ("text for a number", whole.replace(":5,", ":\"5\",")),
        ("not an object", "[]".to_string()),
        ("nothing", String::new()),
    ];
    texts_refused(whole, others, |text| Control::parse(text).map(drop))
}

fn verifier_keys() -> Vec<Value> {
    let whole = keys().verifier().to_string();
    let (name, rest) = whole.split_once('+').unwrap();
    let (id, key) = rest.split_once('+').unwrap();
    let made = |name: &str, kind: u8, key: &[u8]| {
        let id = if key.len() == 32 { schemas::note::key_id(name, key.try_into().unwrap()) } else { 0 };
        format!("{name}+{id:08x}+{}", base64(&[&[kind], key].concat()))
    };
    let raw = keys().verifier().key_bytes();
    let identity: [u8; 32] = std::array::from_fn(|at| u8::from(at == 0));
    let order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let order_8: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&order_8[2 * at..2 * at + 2], 16).unwrap()).collect();
    let others = vec![
        ("no name", format!("+{id}+{key}")),
        ("two parts", format!("{name}+{key}")),
        ("another name", format!("x{name}+{id}+{key}")),
        ("a key id in upper case", format!("{name}+{}+{key}", id.to_uppercase())),
        ("a key id without its zeros, or with one more", format!("{name}+0{id}+{key}")),
        ("another type than Ed25519", made(name, 2, &raw)),
        ("a key of 31 bytes", made(name, 1, &raw[..31])),
        ("a name with a space", made("a b", 1, &raw)),
        ("a key of order 1", made(name, 1, &identity)),
        ("a key of order 8", made(name, 1, &order_8)),
        ("a newline at the end", format!("{whole}\n")),
    ];
    texts_refused(&whole, others, |text| text.parse::<VerifierKey>().map(drop))
}

fn origins() -> Vec<Value> {
    let others = vec![
        ("three parts", "fleet-1/acme/events".to_string()),
        ("five parts", "fleet-1/acme/events/w0/x".to_string()),
        ("an empty part", "fleet-1//events/w0".to_string()),
        ("upper case", "fleet-1/Acme/events/w0".to_string()),
        ("a part that leaves the tree", "fleet-1/../events/w0".to_string()),
        ("a part that is the directory itself", "fleet-1/acme/events/.".to_string()),
        ("a part of 65 characters", format!("fleet-1/{}/events/w0", "x".repeat(65))),
        ("a letter past ASCII", "fleet-1/größe/events/w0".to_string()),
        ("a stream that is not known", "fleet-1/acme/metrics/w0".to_string()),
        ("the stream root in a tenant", "fleet-1/acme/root/w0".to_string()),
        ("another stream in _root", "fleet-1/_root/events/w0".to_string()),
        ("a newline at the end", "fleet-1/acme/events/w0\n".to_string()),
    ];
    texts_refused("fleet-1/acme/events/w0", others, |text| text.parse::<Origin>().map(drop))
}

fn tile_paths() -> Vec<Value> {
    let others = [
        ("one digit", "tile/0/1"),
        ("a group too many", "tile/0/x000/001"),
        ("no x before the first group", "tile/0/001/067"),
        ("an x before the last group", "tile/0/x001"),
        ("a full tile spelled as a partial one", "tile/0/001.p/256"),
        ("a partial tile of nothing", "tile/0/001.p/0"),
        ("a width with a leading zero", "tile/0/001.p/07"),
        ("a level with a leading zero", "tile/00/001"),
        ("more after the width", "tile/0/001.p/7/8"),
        ("a level below zero", "tile/-1/001"),
    ];
    let others = others.map(|(reason, path)| (reason, path.to_string())).into();
    texts_refused("tile/1/x001/067.p/8", others, |path| layout::parse_tile(path).map(drop))
}

fn file_headers() -> Vec<Value> {
    let whole = FileHeader { number: 2, nonce: [0xa5; 16] }.encode();
    let digested = |change: fn(&mut Vec<u8>)| {
        let mut other = with(whole.as_slice(), change);
        let digest = blake3::hash(&other[..40]);
        other[40..72].copy_from_slice(digest.as_bytes());
        other
    };
    let others = vec![
        ("511 bytes", whole[..511].to_vec()),
        ("another magic", digested(|header| header[0] = b't')),
        ("version 2", digested(|header| header[11] = 2)),
        ("reserved bytes that are not zero", digested(|header| header[15] = 1)),
        ("a changed number", with(whole.as_slice(), |header| header[23] ^= 1)),
        ("padding that is not zero", with(whole.as_slice(), |header| header[511] = 1)),
    ];
    bytes_refused(&whole, others, |bytes| FileHeader::parse(bytes).map(drop))
}

fn group_list() -> Vec<Value> {
    let whole = groups::group();
    let body_bytes = GroupHeader::parse(&whole).unwrap().body_bytes;
    let end = GROUP_HEADER_BYTES + body_bytes;
    // Changed, and digested anew, so that only the change is wrong.
    let digested = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut other = with(whole.as_slice(), change);
        let body = *blake3::hash(&other[GROUP_HEADER_BYTES..end]).as_bytes();
        other[64..96].copy_from_slice(&body);
        let header = *blake3::hash(&other[..96]).as_bytes();
        other[96..128].copy_from_slice(&header);
        other
    };
    let bundle_at = GROUP_HEADER_BYTES + 5 + 2 + "fleet-1/acme/events/w0".len() + 8;
    let others = vec![
        ("shorter than the header", whole[..127].to_vec()),
        ("shorter than its body", whole[..end - 1].to_vec()),
        ("another magic", digested(&|group| group[0] = b't')),
        ("reserved bytes that are not zero", digested(&|group| group[63] = 1)),
        ("a body of another digest", with(whole.as_slice(), |group| group[end - 1] ^= 1)),
        ("a header of another digest", with(whole.as_slice(), |group| group[15] ^= 1)),
        ("another number of sections", digested(&|group| group[55] = 4)),
        ("an unknown section tag", digested(&|group| group[GROUP_HEADER_BYTES] = 4)),
        ("a section past the body", digested(&|group| group[GROUP_HEADER_BYTES + 1] = 1)),
        ("another number of entries", digested(&|group| group[bundle_at + 3] = 3)),
        ("a bundle past the section", digested(&|group| group[bundle_at + 4] = 1)),
        ("an entry past the bundle", digested(&|group| group[bundle_at + 8] = 0xff)),
    ];
    bytes_refused(&whole, others, |bytes| {
        let header = GroupHeader::parse(bytes)?;
        let body = bytes
            .get(GROUP_HEADER_BYTES..GROUP_HEADER_BYTES + header.body_bytes)
            .ok_or_else(|| Error::malformed("group", "shorter than its body"))?;
        header.check_body(body)?;
        for section in sections(body, header.sections)? {
            if let schemas::group::Section::Entries(entries) = section {
                entries.entries()?;
                entries.payloads()?;
            }
        }
        Ok(())
    })
}
