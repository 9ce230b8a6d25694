//! Renders items in every format into a directory, for readers of others (`tests/interop/sinks/`): the ordinary ones of the golden files, and
//! `hostile` alerts and events of seeded texts. Beside `<format>.ndjson` (JSON formats, one message a line), `cef.txt` and `leef.txt`, it writes
//! `expected.ndjson`: for each message, in the same order, what was put in.
//!
//! `cargo run -p tachograph-sinks --example render -- DIRECTORY [HOSTILE [SEED]]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use serde_json::{Value, json};
use sinks::{Alert, Context, Event, Format, Item, render};

#[path = "../tests/formats/fixture.rs"]
#[allow(dead_code)]
mod fixture;
#[path = "../tests/formats/pieces.rs"]
#[allow(dead_code)]
mod pieces;

/// SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Mostly short, at times longer than any bound of a line.
    fn text(&mut self) -> String {
        let any =
            |numbers: &mut Numbers| pieces::PIECES[(numbers.next() % pieces::PIECES.len() as u64) as usize];
        if self.next().is_multiple_of(40) {
            let times = 300 + self.next() % 3_000;
            return any(self).repeat(times as usize);
        }
        let count = self.next() % 7;
        (0..count).map(|_| any(self)).collect()
    }

    /// Of a size that every reader of JSON holds exactly.
    fn number(&mut self) -> i64 {
        let number = self.next();
        let bits = number % 53;
        let value = (self.next() >> 11) as i64 & ((1 << bits) - 1);
        if number >> 63 == 1 { -value } else { value }
    }
}

enum Owned {
    Alert(Box<Alert>),
    Event(Box<Event>),
    Digest(Box<sinks::Digest>),
}

impl Owned {
    fn item(&self) -> Item<'_> {
        match self {
            Owned::Alert(alert) => Item::Alert(alert),
            Owned::Event(event) => Item::Event(event),
            Owned::Digest(digest) => Item::Digest(digest),
        }
    }
}

fn items(hostile: u64, seed: u64) -> Vec<Owned> {
    let mut items: Vec<Owned> = Vec::new();
    items.extend(fixture::alerts().into_iter().map(|(_, alert)| Owned::Alert(Box::new(alert))));
    items.extend(fixture::events().into_iter().map(|(_, event)| Owned::Event(Box::new(event))));
    items.push(Owned::Digest(Box::new(fixture::digest())));
    for number in 0..hostile {
        let mut texts = Numbers(seed.wrapping_add(number).wrapping_mul(0x1000_0001));
        let mut numbers = Numbers(texts.next());
        let (mut text, mut number_of) = (|| texts.text(), || numbers.number());
        items.push(if number % 2 == 0 {
            Owned::Alert(Box::new(fixture::hostile_alert(&mut text, &mut number_of)))
        } else {
            Owned::Event(Box::new(fixture::hostile_event(&mut text, &mut number_of)))
        });
    }
    items
}

/// What was put in, named by column, for the texts that more than one format carries.
fn expected(item: Item<'_>, context: &Context) -> Value {
    let id = render(Format::Json, item, context).id;
    match item {
        Item::Alert(alert) => json!({
            "type": "alert", "id": id, "alert_id": alert.alert_id, "sequence": alert.sequence, "state": alert.state.word(),
            "severity": alert.severity.word(), "confidence": alert.confidence.word(), "rule_id": alert.rule_id,
            "title": alert.title, "entity_type": alert.entity_type, "entity": alert.entity, "tenant": alert.tenant,
            "explanation": alert.explanation, "query": alert.query, "statistic": alert.statistic, "unit": alert.unit,
            "baseline": alert.baseline, "expected": alert.expected, "observed": alert.observed, "count": alert.count,
            "evidence": alert.evidence, "evidence_log": alert.evidence_log, "observables": alert.observables,
            "references": alert.references, "runbook": alert.runbook, "source": alert.source,
            "session_id": alert.session_id, "time_us": alert.time_us, "ingest_time_us": alert.ingest_time_us,
            "first_seen_us": alert.first_seen_us, "last_seen_us": alert.last_seen_us, "tags": alert.tags,
            "test": alert.is_test, "log": alert.log, "log_index": alert.log_index, "muted_by": alert.muted_by,
            "muted_until_us": alert.muted_until_us, "mute_note": alert.mute_note,
        }),
        Item::Event(event) => {
            let mut columns: serde_json::Map<String, Value> = serde_json::Map::new();
            for (name, value) in event.columns() {
                let value = match value {
                    sinks::Value::Int(int) => json!(int),
                    // Times are compared by the fields of their own.
                    sinks::Value::Time(_) => continue,
                    sinks::Value::Text(text) => json!(text),
                    sinks::Value::Texts(texts) => json!(texts),
                };
                columns.insert(name.to_owned(), value);
            }
            json!({
                "type": "event", "id": id, "event_id": event.event_id, "kind": event.kind, "tenant": event.tenant,
                "source": event.source, "session_id": event.session_id, "decision": event.decision,
                "status": event.status, "time_us": event.time_us, "ingest_time_us": event.ingest_time_us,
                "log": event.log, "log_index": event.log_index, "columns": columns,
            })
        }
        Item::Digest(digest) => json!({
            "type": "digest", "id": id, "tenant": digest.tenant, "total": digest.total(), "over_budget": digest.over_budget(),
            "log": digest.log, "log_index": digest.log_index,
        }),
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().expect("a directory"));
    let hostile = arguments.next().map_or(400, |number| number.parse().expect("a number of hostile items"));
    let seed = arguments.next().map_or(1, |number| number.parse().expect("a seed"));
    std::fs::create_dir_all(&directory).unwrap();
    let (context, items) = (fixture::context(), items(hostile, seed));
    let attested = Context { record_integrity: true, ..context.clone() };
    let open = |name: &str| BufWriter::new(File::create(directory.join(name)).unwrap());
    let mut expectations = open("expected.ndjson");
    for item in &items {
        writeln!(expectations, "{}", expected(item.item(), &context)).unwrap();
    }
    for format in Format::ALL {
        let ending = if matches!(format, Format::Cef | Format::Leef) { "txt" } else { "ndjson" };
        let mut out = open(&format!("{}.{ending}", format.name()));
        for item in &items {
            out.write_all(&render(format, item.item(), &context).body).unwrap();
            out.write_all(b"\n").unwrap();
        }
        out.flush().unwrap();
    }
    let mut out = open("ocsf-attested.ndjson");
    for item in &items {
        out.write_all(&render(Format::Ocsf, item.item(), &attested).body).unwrap();
        out.write_all(b"\n").unwrap();
    }
    out.flush().unwrap();
    expectations.flush().unwrap();
    println!("{} items, seed {seed}", items.len());
}
