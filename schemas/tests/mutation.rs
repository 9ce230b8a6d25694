//! Seeded, structure-aware mutation of everything that is parsed from bytes: no input panics, whatever is accepted is
//! spelled in the one way, and the branches that were reached are counted and printed.
//!
//! One second a parser by default, twenty with `TACHO_FULL=1`; `TACHO_SEED` sets the seed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "a budget of time")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ed25519_dalek::{Signer as _, SigningKey};
use schemas::checkpoint::Checkpoint;
use schemas::entry::{Encoder, EntryView};
use schemas::group::{
    FileHeader, GROUP_HEADER_BYTES, GroupBuilder, GroupHeader, Position, Section, sections,
};
use schemas::manifest::{self, File, Manifest};
use schemas::note::{Note, SignatureLine, VerifierKey, assemble};
use schemas::payload::{Committer, RecordView, record_field, record_header};
use schemas::rows::{Row, RowsBuilder};
use schemas::stream::{CONTROL, EVENT_ID, LOG_INDEX, SESSION_ID, SOURCE, TAGS, TENANT, TIME};
use schemas::{Error, LogId, Stream};

struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

/// Cases at least, however slow the machine: what must be reached is reached in these.
const CASES_MIN: u64 = 20_000;

/// Numbers that lengths and counts break at.
const NUMBERS: [u64; 9] = [0, 1, 2, 255, 256, 65_535, 65_536, 0x7fff_ffff, u64::MAX];

/// One to four changes: bits, bytes, numbers of every width, cuts, repeats, swaps, splices with another seed.
fn mutate(seeded: &mut Seeded, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[seeded.below(seeds.len())].clone();
    for _ in 0..1 + seeded.below(4) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = seeded.below(bytes.len());
        let to = at + seeded.below((bytes.len() - at).min(64)) + 1;
        match seeded.below(9) {
            0 => bytes[at] ^= 1 << seeded.below(8),
            1 => bytes[at] = seeded.next() as u8,
            2 => {
                let number = NUMBERS[seeded.below(NUMBERS.len())].to_be_bytes();
                let width = [1, 2, 4, 8][seeded.below(4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&number[8 - width..]);
            }
            3 => bytes.truncate(at),
            4 => {
                bytes.drain(at..to.min(bytes.len()));
            }
            5 => {
                let part = bytes[at..to.min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            6 => {
                let other = seeded.below(bytes.len());
                bytes.swap(at, other);
            }
            7 => {
                let other = &seeds[seeded.below(seeds.len())];
                let from = seeded.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => bytes.insert(at, b"\"{}[]:,\\\n\0 "[seeded.below(11)]),
        }
    }
    bytes
}

/// Every branch a parser may end in, by a part of its message; `!` before those that a second of mutation must reach. A
/// message belongs to the first that fits, and one that fits none is a branch that this list forgot.
type Branches = &'static [&'static str];

const CANONICAL_BYTES: Branches = &[
    "!bytes, shorter than its header",
    "!malformed entry: version",
    "!malformed entry: it ends inside a field",
    "!malformed entry: field id",
    "!is unknown or out of order",
    "!malformed row: required column",
    "!bytes where an integer has 8",
    "!utf-8",
    "!a list that ends inside an item",
    "a list shorter than its count",
    "bytes after the last item",
    "map keys do not strictly ascend",
    "a key without a value",
    "malformed log_index",
    "!over the limit of",
];
const PAYLOAD_RECORD: Branches =
    &["!bytes, too short", "!it ends inside a field", "!malformed payload record: field id"];
const GROUP: Branches = &[
    "!write-ahead group header: digest",
    "!write-ahead group header: too short",
    "!write-ahead group does not match: body of group",
    // Behind the header's digest.
    "write-ahead group header: magic or reserved bytes",
    "bytes of a group body",
];
const GROUP_BODY: Branches = &[
    "!write-ahead group: cut off",
    "!write-ahead group: a section is cut off",
    "!write-ahead group: entries section",
    "!write-ahead group: cursor section",
    "!write-ahead group: unknown section tag",
    "!write-ahead group: another number of sections",
    "!the bundle does not hold what it says",
    "!a payload record is cut off",
];
const FILE_HEADER: Branches =
    &["!shorter than 512 bytes", "!no magic", "!digest or padding", "!unknown version"];
const NOTE: Branches = &[
    "!malformed note: not UTF-8",
    "!malformed note: a control character",
    "!malformed note: no blank line before signatures",
    "!malformed note: the last line does not end",
    "!malformed note: a signature line is not",
    "!note signature does not match: not exactly one by",
    "!note signature does not match: wrong signature by",
    "bytes where Ed25519 has 64",
    "bytes of a note",
    "signatures of a note",
];
const CHECKPOINT: Branches = &[
    "!malformed checkpoint: not UTF-8",
    "!malformed checkpoint: expected three lines",
    "!malformed checkpoint: size",
    "!malformed checkpoint: a number in another spelling",
    "!malformed hash",
    "!malformed origin: expected",
    "!malformed origin",
    "!malformed stream",
    "over the limit of",
];
const MANIFEST: Branches = &[
    "!malformed manifest: not UTF-8",
    "!malformed manifest: no newline at its end",
    "malformed manifest: version",
    "!not in canonical spelling",
    "malformed manifest: number",
    "!does not fit size",
    "!data file name does not match",
    "!malformed data file path",
    // Those of the JSON parser, the finest first.
    "!malformed manifest: unknown field",
    "!malformed manifest: duplicate field",
    "!malformed manifest: missing field",
    "!malformed manifest: invalid type",
    "malformed manifest: invalid value",
    "malformed manifest: invalid length",
    "!malformed manifest: control character",
    "!malformed manifest: key must be a string",
    "malformed manifest: invalid escape",
    "malformed manifest: invalid number",
    "malformed manifest: number out of range",
    "!malformed manifest: trailing",
    "!malformed manifest: EOF while parsing",
    "malformed manifest: lone leading surrogate",
    "malformed manifest: unexpected end of hex escape",
    "malformed manifest: invalid unicode code point",
    "malformed manifest: recursion limit exceeded",
    "!malformed manifest: expected",
];

/// The branch an outcome stands for, as it is listed; its own message where it is not.
fn branch(outcome: &Result<(), Error>, branches: Branches) -> String {
    let Err(error) = outcome else { return "accepted".to_string() };
    let message = error.to_string();
    let listed = branches.iter().find(|branch| message.contains(branch.trim_start_matches('!')));
    listed.map_or_else(|| format!("not listed: {message}"), |branch| refused(branch))
}

fn refused(branch: &str) -> String {
    format!("refused: {}", branch.trim_start_matches('!'))
}

fn run(name: &str, seeds: &[Vec<u8>], branches: Branches, mut parse: impl FnMut(&[u8]) -> Result<(), Error>) {
    for seed in seeds {
        parse(seed).unwrap_or_else(|error| panic!("{name}: a seed is refused: {error}"));
    }
    let seed = std::env::var("TACHO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let seconds = if std::env::var_os("TACHO_FULL").is_some() { 20 } else { 1 };
    let (mut seeded, started) = (Seeded(seed), Instant::now());
    // What is never reached is printed as 0.
    let mut reached: BTreeMap<String, u64> = branches.iter().map(|branch| (refused(branch), 0)).collect();
    let mut cases = 0u64;
    while started.elapsed() < Duration::from_secs(seconds) || cases < CASES_MIN {
        for _ in 0..64 {
            let outcome = parse(&mutate(&mut seeded, seeds));
            *reached.entry(branch(&outcome, branches)).or_default() += 1;
            cases += 1;
        }
    }
    println!("{name}: {cases} cases, seed {seed}");
    for (branch, count) in &reached {
        println!("  {count:>9}  {branch}");
    }
    let not_listed: Vec<_> = reached.keys().filter(|branch| branch.starts_with("not listed")).collect();
    assert!(not_listed.is_empty(), "{name}: {not_listed:#?}");
    assert!(reached.get("accepted").is_some_and(|count| *count > 0), "{name}: nothing was accepted");
    for main in branches.iter().filter(|branch| branch.starts_with('!')) {
        assert!(reached[&refused(main)] > 0, "{name}: never reached: {main}");
    }
}

fn entries() -> Vec<Vec<u8>> {
    let row = |stream: Stream| {
        let mut builder = RowsBuilder::entries(stream);
        for index in 0..3 {
            let row = Row::new()
                .int(LOG_INDEX, index)
                .int(2, 7)
                .text(EVENT_ID, "e")
                .int(TIME, -1)
                .text(TENANT, "t")
                .text(6, "call")
                .text(SOURCE, "http/t-1/canonical/1")
                .text(SESSION_ID, "ü")
                .text(9, "allow")
                .text(10, "ok")
                .text_option(CONTROL, (index == 1).then_some("{}"))
                .texts(TAGS, &["a", "", "b"]);
            builder.push(&row).unwrap();
        }
        let batch = builder.finish().unwrap();
        let encoder = Encoder::entries(stream, &batch).unwrap();
        (0..3)
            .map(|row| {
                let mut out = Vec::new();
                encoder.entry(&LogId([1; 32]), row, &mut out).unwrap();
                out
            })
            .collect::<Vec<_>>()
    };
    Stream::ALL.iter().flat_map(|stream| row(*stream)).collect()
}

#[test]
fn canonical_bytes() {
    run("canonical bytes", &entries(), CANONICAL_BYTES, |bytes| {
        let view = EntryView::parse(bytes)?;
        let Ok(index) = i64::try_from(view.index) else { return Ok(()) };
        let mut builder = RowsBuilder::entries(Stream::Root);
        builder.push_fields(index, view.fields())?;
        let batch = builder.finish()?;
        let mut again = Vec::new();
        Encoder::entries(Stream::Root, &batch)?.entry(&view.log_id, 0, &mut again)?;
        assert_eq!(again, bytes, "two spellings of one entry");
        Ok(())
    });
}

#[test]
fn payload_records() {
    let mut record = Vec::new();
    record_header(5, &[3; 16], &mut record);
    record_field(200, b"{\"a\":1}", &mut record);
    record_field(203, b"", &mut record);
    run("payload record", &[record], PAYLOAD_RECORD, |bytes| {
        let view = RecordView::parse(bytes)?;
        let mut again = Vec::new();
        record_header(view.index, &view.salt, &mut again);
        for field in view.fields() {
            let (id, value) = field?;
            record_field(id, value, &mut again);
        }
        assert_eq!(again, bytes, "two spellings of one record");
        view.commitment(&mut Committer::new()).map(|_| ())
    });
}

#[test]
fn write_ahead_groups() {
    let group = |sections: usize| {
        let mut builder = GroupBuilder::new();
        for at in 0..sections {
            builder.entries(
                &"i/t/events/w1".parse().unwrap(),
                at as u64,
                2,
                b"\0\x03abc\0\x01d",
                b"\0\0\0\x02xy",
            );
            builder.checkpoint(b"note");
            builder.cursor(&"i/t/events/w1".parse().unwrap(), at as u64 + 2, "source", "value");
        }
        builder.finish(9, [7; 16], Position { file: 1, offset: 512 }).unwrap()
    };
    run("write-ahead group", &[group(0), group(1), group(3)], GROUP, |bytes| {
        let header = GroupHeader::parse(bytes)?;
        let body = bytes.get(GROUP_HEADER_BYTES..GROUP_HEADER_BYTES + header.body_bytes).unwrap_or_default();
        header.check_body(body)
    });
    // Behind the digests, where only a writer's own mistake or a forged digest leads.
    let body = |group: Vec<u8>| {
        let header = GroupHeader::parse(&group).unwrap();
        group[GROUP_HEADER_BYTES..GROUP_HEADER_BYTES + header.body_bytes].to_vec()
    };
    run("write-ahead group body", &[body(group(1)), body(group(3))], GROUP_BODY, |bytes| {
        let count = if bytes.len() > 200 { 9 } else { 3 };
        for section in sections(bytes, count)? {
            if let Section::Entries(entries) = section {
                entries.entries()?;
                entries.payloads()?;
            }
        }
        Ok(())
    });
    run(
        "write-ahead file header",
        &[FileHeader { number: 3, nonce: [9; 16] }.encode()],
        FILE_HEADER,
        |bytes| {
            let header = FileHeader::parse(bytes)?;
            assert_eq!(header.encode(), bytes[..512], "two spellings of one header");
            Ok(())
        },
    );
}

fn signer(name: &str) -> (SigningKey, VerifierKey) {
    let signing = SigningKey::from_bytes(&[5; 32]);
    let key = VerifierKey::new(name, &signing.verifying_key().to_bytes()).unwrap();
    (signing, key)
}

fn signed(name: &str, text: &str) -> Vec<u8> {
    let (signing, key) = signer(name);
    let line = SignatureLine::new(&key, &signing.sign(text.as_bytes()).to_bytes());
    assemble(text, &[line]).into_bytes()
}

fn manifest_text() -> String {
    let digest = manifest::digest(b"x");
    let file = |kind: &str| File {
        path: format!("{kind}/date=2026-11-21/{:020}-{:020}-{}.parquet", 0, 10, &digest[..16]),
        rows: 10,
        bytes: 100,
        blake3: digest.clone(),
        time_min_us: -5,
        time_max_us: 5,
    };
    Manifest {
        version: manifest::VERSION,
        origin: "i/t/events/w1".into(),
        number: 1,
        previous: manifest::NO_PREVIOUS.into(),
        size: 10,
        checkpoint: "note\n".into(),
        snapshot: true,
        add: vec![file("segments"), file("payloads")],
        remove: vec!["x".into()],
        cursors: BTreeMap::from([("kafka/0".into(), "17".into())]),
    }
    .to_text()
    .unwrap()
}

#[test]
fn notes() {
    let name = "i/t/events/w1";
    let key = signer(name).1;
    let text = format!("{name}\n20\n{}\n", schemas::tree::empty_root().to_base64());
    run("note", &[signed(name, &text), signed(name, "hello\n\nworld\n")], NOTE, |bytes| {
        let note = Note::parse(bytes)?;
        let again = assemble(note.unverified_text(), note.signatures());
        assert_eq!(again.as_bytes(), bytes, "two spellings of one note");
        note.verify(&key).map(|_| ())
    });
    run("checkpoint", &[text.into_bytes()], CHECKPOINT, |bytes| {
        let text = std::str::from_utf8(bytes).map_err(|_| Error::malformed("checkpoint", "not UTF-8"))?;
        assert_eq!(Checkpoint::parse(text)?.to_string(), text, "two spellings of one checkpoint");
        Ok(())
    });
}

#[test]
fn manifests() {
    run("manifest", &[manifest_text().into_bytes()], MANIFEST, |bytes| {
        let text = std::str::from_utf8(bytes).map_err(|_| Error::malformed("manifest", "not UTF-8"))?;
        assert_eq!(Manifest::parse(text)?.to_text()?, text, "two spellings of one manifest");
        Ok(())
    });
    let key = signer("i/t/events/w1/manifest").1;
    run("signed manifest", &[signed("i/t/events/w1/manifest", &manifest_text())], NOTE, |bytes| {
        Manifest::open(bytes, &key).map(|_| ())
    });
}
