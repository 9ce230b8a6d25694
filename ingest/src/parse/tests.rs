//! A body in, rows out: what columns hold, what is refused and why. Kept together because each test needs the whole path.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use schemas::principal::Role;
use serde_json::Value;

use super::*;

mod bad;
mod countries;
mod derived;
pub(crate) mod inverse;
mod judged;
mod lossless;
mod mappings;
mod mutations;
mod redacted;
mod samples;
mod secrets;
mod shapes;

/// 2026-06-09T13:00:00Z.
pub(crate) const NOW_US: i64 = 1_781_010_000_000_000;

pub(crate) fn principal() -> Principal {
    Principal {
        id: "t-0123456789ab".to_string(),
        role: Role::Collector,
        tenant: "acme".to_string(),
        source_ip: None,
        door: "http",
    }
}

/// Rows by column name, and what was refused.
pub(crate) struct Rows {
    draft: Option<Draft>,
    rejected: Vec<Rejected>,
    rejected_count: u64,
}

fn read(body: impl AsRef<[u8]>) -> Rows {
    read_with(body, |_| {})
}

fn read_with(body: impl AsRef<[u8]>, change: impl FnOnce(&mut Context<'_>)) -> Rows {
    let principal = principal();
    // Compiled once: it has many rules.
    static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| Redactor::new([7; 32]));
    let sessions = Sessions::new();
    let mut context = Context {
        collector: "http",
        principal: &principal,
        mappings: Mappings::built_in(),
        mapping: None,
        idempotency_key: None,
        line_first: 1,
        now_us: NOW_US,
        seed: [1; 32],
        redactor: &REDACTOR,
        sessions: &sessions,
        countries: None,
    };
    change(&mut context);
    let mut tally = Tally::default();
    let Parsed { draft, rejected, rejected_count } =
        parse_noting(body.as_ref(), &context, None, &mut tally).unwrap();
    let rows = draft.as_ref().map_or(0, |draft| draft.entries.num_rows() as u64);
    assert_eq!((tally.received, tally.refused.total()), (rows + rejected_count, rejected_count));
    if let Some(draft) = &draft {
        check_draft(draft);
    }
    Rows { draft, rejected, rejected_count }
}

/// The same with these mappings, which are not those built in.
fn read_by(mappings: &Mappings, body: &str) -> Rows {
    let principal = principal();
    let (redactor, sessions) = (Redactor::new([7; 32]), Sessions::new());
    let context = Context {
        collector: "http",
        principal: &principal,
        mappings,
        mapping: None,
        idempotency_key: None,
        line_first: 1,
        now_us: NOW_US,
        seed: [1; 32],
        redactor: &redactor,
        sessions: &sessions,
        countries: None,
    };
    let Parsed { draft, rejected, rejected_count } = parse(body.as_bytes(), &context).unwrap();
    Rows { draft, rejected, rejected_count }
}

/// A draft is what the store will encode: schemas, caps and order of map keys hold.
fn check_draft(draft: &Draft) {
    use schemas::entry::Encoder;
    use schemas::rows::RowsBuilder;
    let stream = schemas::Stream::Events;
    assert_eq!(draft.entries.schema(), RowsBuilder::drafts(stream).finish().unwrap().schema());
    assert_eq!(draft.payloads.schema(), RowsBuilder::payloads(stream).finish().unwrap().schema());
    assert_eq!(draft.entries.num_rows(), draft.payloads.num_rows());
    assert_eq!(draft.entries.num_rows(), draft.idempotent.len());
    let entries = Encoder::entries(stream, &draft.entries).unwrap();
    let payloads = Encoder::payloads(stream, &draft.payloads).unwrap();
    let mut out = Vec::new();
    for row in 0..draft.entries.num_rows() {
        out.clear();
        entries.fields(row, &mut out).unwrap();
        payloads.values(row, &mut out, |_, _| {}).unwrap();
    }
}

impl Rows {
    /// Of another reader than [`read`].
    pub(crate) fn of(draft: Option<Draft>) -> Rows {
        if let Some(draft) = &draft {
            check_draft(draft);
        }
        Rows { draft, rejected: Vec::new(), rejected_count: 0 }
    }

    pub(crate) fn count(&self) -> usize {
        self.draft.as_ref().map_or(0, |draft| draft.entries.num_rows())
    }

    /// The cell as JSON; null where there is none.
    pub(crate) fn cell(&self, row: usize, column: &str) -> Value {
        let draft = self.draft.as_ref().expect("no row was taken");
        let batch: &RecordBatch =
            if draft.entries.column_by_name(column).is_some() { &draft.entries } else { &draft.payloads };
        let array = batch.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
        if array.is_null(row) {
            return Value::Null;
        }
        match array.data_type() {
            DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
            DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(row).into(),
            DataType::Utf8 => array.as_string::<i32>().value(row).into(),
            DataType::List(_) => {
                let items = array.as_list::<i32>().value(row);
                items.as_string::<i32>().iter().map(|item| Value::from(item.unwrap())).collect()
            }
            DataType::Map(..) => {
                let pairs = array.as_map().value(row);
                let texts = |at: usize| pairs.column(at).as_string::<i32>().clone();
                let (keys, values) = (texts(0), texts(1));
                keys.iter()
                    .zip(values.iter())
                    .map(|(key, value)| (key.unwrap().to_string(), Value::from(value.unwrap())))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            }
            other => panic!("unexpected type {other}"),
        }
    }

    pub(crate) fn text(&self, row: usize, column: &str) -> String {
        self.cell(row, column).as_str().unwrap_or_default().to_string()
    }

    pub(crate) fn attributes(&self, row: usize) -> BTreeMap<String, String> {
        match self.cell(row, "attributes") {
            Value::Object(map) => {
                map.into_iter().map(|(k, v)| (k, v.as_str().unwrap().to_string())).collect()
            }
            _ => BTreeMap::new(),
        }
    }

    fn codes(&self) -> Vec<(u64, &'static str)> {
        self.rejected.iter().map(|rejected| (rejected.line, rejected.code.name())).collect()
    }

    /// The only refusal's text.
    fn detail(&self) -> &str {
        assert_eq!(self.rejected.len(), 1, "{:?}", self.rejected);
        &self.rejected[0].detail
    }
}

/// A good event with these further members.
fn event(more: &str) -> String {
    let comma = if more.is_empty() { "" } else { "," };
    format!("{{\"time\":\"2026-06-09T12:45:31Z\",\"kind\":\"call\"{comma}{more}}}")
}

/// A file of the sample folder beside the project, if it is there.
pub(crate) fn shared(path: &str) -> Option<Vec<u8>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(path);
    std::fs::read(path).ok()
}
