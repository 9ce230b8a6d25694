use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::limits::ENTRY_BYTES_MAX;
use crate::rows::{Row, RowsBuilder};
use crate::stream::{CONTROL, EVENT_ID, TAGS};

const LOG: LogId = LogId([3; 32]);

/// A row of any stream with any subset of its optional columns, values from `seed`.
fn row(stream: Stream, present: u64, text: &str, number: i64) -> Row {
    let mut row = Row::new();
    for (at, column) in stream.entry_columns().enumerate() {
        if column.id == LOG_INDEX || (!column.required && present >> (at % 64) & 1 == 0) {
            continue;
        }
        let text: String = text.chars().take(column.bytes_max / 4 / 8).collect();
        row = match column.kind {
            ColumnType::Int64 | ColumnType::Timestamp => row.int(column.id, number),
            ColumnType::Utf8 => row.text(column.id, &text),
            ColumnType::Binary => row.bytes(column.id, &[number as u8; 32]),
            ColumnType::ListUtf8 => row.texts(column.id, &[text.clone(), String::new(), text]),
            ColumnType::ListInt64 => row.ints(column.id, &[number, i64::MIN, i64::MAX]),
            ColumnType::MapUtf8 => row,
        };
    }
    row
}

fn encode(stream: Stream, batch: &RecordBatch) -> Vec<Vec<u8>> {
    let encoder = Encoder::entries(stream, batch).unwrap();
    (0..batch.num_rows())
        .map(|row| {
            let mut out = Vec::new();
            encoder.entry(&LOG, row, &mut out).unwrap();
            out
        })
        .collect()
}

fn decode(stream: Stream, entries: &[Vec<u8>]) -> Result<RecordBatch> {
    let mut builder = RowsBuilder::entries(stream);
    for entry in entries {
        let view = EntryView::parse(entry)?;
        builder.push_fields(view.index as i64, view.fields())?;
    }
    builder.finish()
}

proptest! {
    #[test]
    fn entries_round_trip_through_arrow(
        stream in prop::sample::select(Stream::ALL.to_vec()),
        rows in prop::collection::vec((any::<u64>(), ".{0,40}", any::<i64>()), 1..8),
    ) {
        let mut builder = RowsBuilder::entries(stream);
        for (at, (present, text, number)) in rows.iter().enumerate() {
            builder.push(&row(stream, *present, text, *number).int(LOG_INDEX, at as i64)).unwrap();
        }
        let batch = builder.finish().unwrap();
        let entries = encode(stream, &batch);
        prop_assert!(entries.iter().all(|entry| entry.len() <= ENTRY_BYTES_MAX));
        let again = decode(stream, &entries).unwrap();
        prop_assert_eq!(&again, &batch);
        prop_assert_eq!(encode(stream, &again), entries);
    }

    /// Whatever decodes, encodes to the same bytes: there is one spelling of an entry.
    #[test]
    fn a_changed_entry_decodes_to_itself_or_not_at_all(
        stream in prop::sample::select(Stream::ALL.to_vec()),
        present in any::<u64>(), at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut builder = RowsBuilder::entries(stream);
        builder.push(&row(stream, present, "value", 77).int(LOG_INDEX, 4)).unwrap();
        let mut entry = encode(stream, &builder.finish().unwrap()).remove(0);
        let at = at.index(entry.len());
        if cut { entry.truncate(at) } else { entry[at] = to };
        if let Ok(view) = EntryView::parse(&entry)
            && i64::try_from(view.index).is_ok()
            && let Ok(batch) = decode(stream, std::slice::from_ref(&entry))
        {
            let encoder = Encoder::entries(stream, &batch).unwrap();
            let mut again = Vec::new();
            encoder.entry(&view.log_id, 0, &mut again).unwrap();
            prop_assert_eq!(again, entry);
        }
    }
}

#[test]
fn a_value_over_its_cap_is_refused_not_cut() {
    let mut builder = RowsBuilder::entries(Stream::Root);
    let over = "x".repeat(257);
    let result = builder.push(&row(Stream::Root, 0, "v", 1).int(LOG_INDEX, 0).text(EVENT_ID, &over));
    assert!(
        matches!(result, Err(Error::TooLarge { what: "event_id", actual: 257, limit: 256 })),
        "{result:?}"
    );
}

#[test]
fn a_missing_required_value_and_a_null_item_are_refused() {
    let mut builder = RowsBuilder::entries(Stream::Root);
    let missing = builder.push(&Row::new().int(LOG_INDEX, 0).text(EVENT_ID, "e"));
    assert!(missing.unwrap_err().to_string().contains("ingest_time"));

    let mut items = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
    items.values().append_null();
    items.append(true);
    let field = Stream::Events.column_by_id(TAGS).unwrap().field();
    let schema = arrow::datatypes::Schema::new(vec![field]);
    let column: arrow::array::ArrayRef = Arc::new(items.finish());
    assert!(
        RecordBatch::try_new(Arc::new(schema), vec![column]).is_err(),
        "arrow itself knows the item type"
    );
}

#[test]
fn fields_out_of_order_twice_or_unknown_are_refused() {
    let mut builder = RowsBuilder::entries(Stream::Root);
    builder.push(&row(Stream::Root, u64::MAX, "v", 1).int(LOG_INDEX, 0).text(CONTROL, "{}")).unwrap();
    let entry = encode(Stream::Root, &builder.finish().unwrap()).remove(0);
    let field = |id: u16| [&id.to_be_bytes()[..], &[0, 0]].concat();
    for id in [LOG_INDEX, CONTROL, 15, 16, 999] {
        let longer = [entry.as_slice(), &field(id)].concat();
        assert!(decode(Stream::Root, &[longer]).is_err(), "field {id}");
    }
}
