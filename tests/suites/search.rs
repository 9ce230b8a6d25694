//! A search for generated secrets in everything that a process leaves behind: as bytes, and with compression, columns and
//! encodings undone. It looks for a word that is no secret as well: where it does not find that, it is wrong.

use std::collections::{BTreeMap, HashSet};
use std::io::{Cursor, Read as _};
use std::path::Path;

use arrow::array::{Array as _, RecordBatch};
use arrow::ipc::reader::{FileReader, StreamReader};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::main_job::files_below;
use super::tamper;

/// What is planted.
#[allow(dead_code, reason = "shared with the tests of the rules")]
#[path = "../../ingest/redact/tests/generated/kinds.rs"]
pub(super) mod kinds;
/// Where.
#[allow(dead_code, reason = "shared with the tests of the rules")]
#[path = "../../ingest/redact/tests/generated/places.rs"]
pub(super) mod places;
/// From which seed.
#[allow(dead_code, reason = "shared with the tests of the rules")]
#[path = "../../ingest/redact/tests/generated/random.rs"]
pub(super) mod random;
/// As programs and agents write it.
#[allow(dead_code, reason = "shared with the tests of the rules")]
#[path = "../../ingest/redact/tests/generated/written.rs"]
mod written;

use kinds::KINDS;
use places::{Place, Planted, hex, percent, plant};
use random::Random;

/// Words that are no secret and stand in the same places and encodings: where a search does not find them, it is wrong.
pub(super) const CANARY: &str = "visible canary of the searches";
/// Bytes of a secret that are looked for on end.
const PROBE: usize = 12;
/// Levels of encodings that the search undoes.
const LEVELS: usize = 3;
/// Bytes that one packed piece may unpack to.
const UNPACKED_BYTES_MAX: u64 = 256 << 20;
/// What of a thousand secrets may be missed by the rules, and is then not looked for: see the tests of the rules.
pub(super) const MISSED_MAX: usize = 5;

/// Pieces of secrets, all of one length, by hash.
pub(super) struct Probes {
    wanted: BTreeMap<[u8; PROBE], String>,
    quick: HashSet<u64>,
}

impl Probes {
    pub(super) fn of(planted: &[Planted]) -> Probes {
        let mut wanted = BTreeMap::new();
        for planted in planted {
            // The spelling it was sent in and the secret itself: their last bytes, and some of the middle.
            for line in planted.spellings.iter().flat_map(|spelling| spelling.split(['\n', '\r'])) {
                if line.len() < PROBE + 4 || line.contains("-----") || line.contains(": ") {
                    continue;
                }
                for start in [line.len() / 2, line.len() - PROBE] {
                    if let Some(piece) = line.as_bytes().get(start..).and_then(|rest| rest.first_chunk()) {
                        wanted.insert(*piece, format!("{} {:?}", planted.kind, planted.place));
                    }
                }
            }
        }
        let quick = wanted.keys().map(|piece| head(piece)).collect();
        Probes { wanted, quick }
    }

    /// How many pieces are looked for.
    pub(super) fn len(&self) -> usize {
        self.wanted.len()
    }

    fn search<'a>(&'a self, bytes: &[u8], found: &mut HashSet<&'a str>) {
        for window in bytes.windows(PROBE) {
            if self.quick.contains(&head(window))
                && let Some(what) =
                    window.first_chunk().and_then(|piece| self.wanted.get::<[u8; PROBE]>(piece))
            {
                found.insert(what);
            }
        }
    }
}

fn head(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

/// The bytes of a file without the zeros at its end: write-ahead files are made longer than what is in them.
pub(super) fn contents(file: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(file).unwrap();
    let len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(len);
    bytes
}

/// What is packed in the bytes: the columns of Parquet and of Arrow's formats, and frames of zstd and gzip wherever one begins.
pub(super) fn unpacked(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    if bytes.starts_with(b"PAR1") {
        let batches = tamper::rows(bytes.to_vec());
        found.extend(batches.map(|batches| columns(&batches)));
        // Their pages are the frames.
        return found;
    }
    if bytes.starts_with(&[0xFF; 4])
        && let Ok(reader) = StreamReader::try_new(Cursor::new(bytes), None)
    {
        found.push(columns(&reader.map_while(Result::ok).collect::<Vec<_>>()));
    }
    if bytes.starts_with(b"ARROW1")
        && let Ok(reader) = FileReader::try_new(Cursor::new(bytes), None)
    {
        found.push(columns(&reader.map_while(Result::ok).collect::<Vec<_>>()));
    }
    for (at, window) in bytes.windows(4).enumerate() {
        let rest = &bytes[at..];
        let mut frame = Vec::new();
        // What breaks off has told what it could.
        if window == [0x28, 0xB5, 0x2F, 0xFD] {
            let reader = zstd::stream::read::Decoder::with_buffer(rest).unwrap().single_frame();
            reader.take(UNPACKED_BYTES_MAX).read_to_end(&mut frame).ok();
        } else if window[..3] == [0x1F, 0x8B, 0x08] {
            flate2::read::GzDecoder::new(rest).take(UNPACKED_BYTES_MAX).read_to_end(&mut frame).ok();
        }
        if !frame.is_empty() {
            found.push(frame);
        }
    }
    found
}

fn columns(batches: &[RecordBatch]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for column in batches.iter().flat_map(RecordBatch::columns) {
        push_buffers(&column.to_data(), &mut bytes);
    }
    bytes
}

/// What a column holds, lists and maps too.
fn push_buffers(data: &arrow::array::ArrayData, bytes: &mut Vec<u8>) {
    for buffer in data.buffers() {
        bytes.extend_from_slice(buffer.as_slice());
    }
    for child in data.child_data() {
        push_buffers(child, bytes);
    }
}

/// Everything that the bytes say: they themselves and what is packed in them, and behind those, from which place on is said,
/// what comes of undoing encodings level by level.
fn decodings(bytes: Vec<u8>) -> (usize, Vec<Vec<u8>>) {
    let mut all = unpacked(&bytes);
    all.push(bytes);
    let (plain, mut from) = (all.len(), 0);
    for _ in 0..LEVELS {
        let level: Vec<Vec<u8>> = all[from..].iter().flat_map(|bytes| decoded(bytes)).collect();
        from = all.len();
        all.extend(level);
    }
    (plain, all)
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn decoded(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    let (mut in_base64, mut in_hex) = (Vec::new(), Vec::new());
    for run in bytes.split(|byte| !is_base64(byte)).filter(|run| run.len() >= 16) {
        let run: Vec<u8> = run.to_vec();
        let whole = &run[..run.len() - usize::from(run.len() % 4 == 1)];
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            if let Ok(text) = engine.decode(&whole[..whole.len() / 4 * 4]) {
                in_base64.extend(text);
                in_base64.push(b'\n');
            }
        }
    }
    for run in bytes.split(|byte| !byte.is_ascii_hexdigit()).filter(|run| run.len() >= 16) {
        for shift in 0..2 {
            let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
            in_hex.extend(run[shift..].chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])));
            in_hex.push(b'\n');
        }
    }
    found.push(in_base64);
    found.push(in_hex);
    if bytes.contains(&b'%') {
        let mut plain = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some((first, more)) = rest.split_first() {
            let pair =
                more.get(..2).filter(|_| *first == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
            match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
                Some(byte) => {
                    plain.push(byte);
                    rest = &more[2..];
                }
                None => {
                    plain.push(*first);
                    rest = more;
                }
            }
        }
        found.push(plain);
    }
    found.retain(|bytes| bytes.len() >= PROBE);
    found
}

/// Searches every file below `home` and what else there is to read; gives how many of them hold the canary in each encoding.
pub(super) fn search(home: &Path, beside: &[(&str, Vec<u8>)], probes: &Probes, when: &str) -> [usize; 4] {
    let mut seen = [0; 4];
    let mut leaks = Vec::new();
    let spellings = [CANARY.to_owned(), STANDARD_NO_PAD.encode(CANARY), hex(CANARY), percent(CANARY)];
    let files = files_below(home).into_iter().map(|file| (file.display().to_string(), contents(&file)));
    for (name, bytes) in files.chain(beside.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone()))) {
        let mut found = HashSet::new();
        let (plain, all) = decodings(bytes);
        let (plain, decoded) = all.split_at(plain);
        for (seen, spelling) in seen.iter_mut().zip(&spellings) {
            *seen += usize::from(plain.iter().any(|bytes| has(bytes, spelling)));
        }
        if plain.iter().any(|bytes| spellings[1..].iter().all(|spelling| has(bytes, spelling))) {
            let decoded = decoded.iter().filter(|bytes| has(bytes, CANARY));
            assert!(decoded.count() >= 3, "{name}: the search decodes less than it should");
        }
        for bytes in &all {
            probes.search(bytes, &mut found);
        }
        if !found.is_empty() {
            leaks.push(format!("{name}: {found:?}"));
        }
    }
    assert!(leaks.is_empty(), "{when}: {leaks:#?}");
    seen
}

/// A secret of every kind in every place, from this seed.
pub(super) fn planted(seed: u64) -> Vec<Planted> {
    let mut random = Random::new(seed);
    KINDS.iter().flat_map(|kind| Place::ALL.map(|place| plant(kind, place, &mut random))).collect()
}

/// What the rules find of what is planted, in the record that `wrap` makes of its event; what they do not find is counted, may be
/// so many of a thousand, and is left out.
pub(super) fn known(planted: Vec<Planted>, missed_max: usize, wrap: impl Fn(&str) -> String) -> Vec<Planted> {
    let redactor = redact::Redactor::new([7; 32]);
    let all = planted.len();
    let known: Vec<Planted> = planted
        .into_iter()
        .filter(|planted| planted.leak(&redactor.redact_json(&wrap(&planted.event)).unwrap().text).is_none())
        .collect();
    println!("{} of {all} secrets are missed by the rules and not looked for", all - known.len());
    assert!((all - known.len()) * 1000 <= all * missed_max, "{} of {all} are missed", all - known.len());
    known
}

/// The canary in every spelling that a search must see.
pub(super) fn canary() -> serde_json::Value {
    json!({ "a": CANARY, "b": STANDARD_NO_PAD.encode(CANARY), "c": hex(CANARY), "d": percent(CANARY) })
}

#[test]
fn the_search_sees_through_compression_columns_and_encodings() {
    use std::io::Write as _;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};
    use arrow::ipc::writer::{FileWriter, StreamWriter};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::{Compression, ZstdLevel};
    use parquet::file::properties::WriterProperties;

    let text = format!("before {} behind", STANDARD_NO_PAD.encode(format!("inside {CANARY} inside")));
    let column: ArrayRef = Arc::new(StringArray::from_iter_values((0..100).map(|_| text.as_str())));
    let batch = RecordBatch::try_from_iter([("text", column)]).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(b"in front of it".to_vec(), flate2::Compression::best());
    gzip.write_all(text.as_bytes()).unwrap();
    let framed =
        [b"in front of it", zstd::stream::encode_all(text.as_bytes(), 3).unwrap().as_slice(), b"behind"]
            .concat();
    let mut stream = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    stream.write(&batch).unwrap();
    let mut file = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    file.write(&batch).unwrap();
    let level = Compression::ZSTD(ZstdLevel::try_new(3).unwrap());
    let properties = WriterProperties::builder().set_compression(level).build();
    let mut parquet = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    parquet.write(&batch).unwrap();
    for (name, bytes) in [
        ("text", text.clone().into_bytes()),
        ("gzip", gzip.finish().unwrap()),
        ("zstd", framed),
        ("Arrow stream", stream.into_inner().unwrap()),
        ("Arrow file", file.into_inner().unwrap()),
        ("Parquet", parquet.into_inner().unwrap()),
    ] {
        let (_, all) = decodings(bytes);
        assert!(all.iter().any(|bytes| has(bytes, CANARY)), "{name}");
    }
}
