//! The view for spreadsheets, as bytes that anybody can make again from the entries.
//!
//! RFC 4180 with a header row and CRLF. Null is empty. Numbers in decimal; times as RFC 3339 with six digits of a second; bytes in
//! lower-case hex; texts always in quotes; lists and maps as JSON in quotes. What is withheld is `(withheld)` without quotes.
//! A text that a spreadsheet would take for a formula (it begins with `=`, `+`, `-`, `@`, a tab or a carriage return) has an apostrophe
//! before it: rows are other people's words, and people open this file with a double click.

use std::fmt::Write as _;

use crate::column::{Column, ColumnType};
use crate::entry::{EntryView, value};
use crate::stream::{LOG_INDEX, Stream};
use crate::{Result, layout};

use super::payload::Shown;

/// What stands for a value that is withheld.
pub const WITHHELD: &str = "(withheld)";

/// The header row.
pub fn header(stream: Stream) -> String {
    let names: Vec<&str> = super::columns(stream).map(|column| column.name).collect();
    format!("{}\r\n", names.join(","))
}

/// The row of an entry and what is shown of its payload, ascending by id.
///
/// # Errors
/// [`crate::Error::Malformed`] for values that are not of their column's type.
pub fn row(stream: Stream, entry: &EntryView<'_>, payload: &[(u16, Shown)]) -> Result<String> {
    let mut fields = entry.fields().peekable();
    let mut shown = payload.iter().peekable();
    let mut out = String::new();
    for (at, column) in super::columns(stream).enumerate() {
        if at > 0 {
            out.push(',');
        }
        if column.id == LOG_INDEX {
            out.push_str(&entry.index.to_string());
        } else if let Some(field) =
            fields.next_if(|field| field.as_ref().map_or(true, |(id, _)| *id == column.id))
        {
            cell(column, field?.1, &mut out)?;
        } else if let Some((_, shown)) = shown.next_if(|(id, _)| *id == column.id) {
            match shown {
                Shown::Value(value) => cell(column, value, &mut out)?,
                Shown::Withheld => out.push_str(WITHHELD),
            }
        }
    }
    out.push_str("\r\n");
    Ok(out)
}

fn cell(column: &Column, bytes: &[u8], out: &mut String) -> Result<()> {
    match column.kind {
        ColumnType::Int64 => out.push_str(&value::int(column.name, bytes)?.to_string()),
        ColumnType::Timestamp => out.push_str(&layout::timestamp(value::int(column.name, bytes)?)),
        ColumnType::Utf8 => quoted(value::text(column.name, bytes)?, out),
        ColumnType::Binary => bytes.iter().for_each(|byte| {
            // Writing to a string cannot fail.
            write!(out, "{byte:02x}").unwrap_or_default();
        }),
        ColumnType::ListUtf8 => {
            let items = value::items(column.name, bytes)?;
            let items = items.map(|item| Ok(json(value::text(column.name, item?)?)));
            quoted(&format!("[{}]", items.collect::<Result<Vec<_>>>()?.join(",")), out);
        }
        ColumnType::ListInt64 => {
            let items = value::items(column.name, bytes)?;
            let items = items.map(|item| Ok(value::int(column.name, item?)?.to_string()));
            quoted(&format!("[{}]", items.collect::<Result<Vec<_>>>()?.join(",")), out);
        }
        ColumnType::MapUtf8 => {
            let pairs = value::pairs(column.name, bytes)?;
            let pairs: Vec<String> =
                pairs.iter().map(|(key, value)| format!("{}:{}", json(key), json(value))).collect();
            quoted(&format!("{{{}}}", pairs.join(",")), out);
        }
    }
    Ok(())
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        out.push('\'');
    }
    out.push_str(&text.replace('"', "\"\""));
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogId;

    fn field(id: u16, value: &[u8]) -> Vec<u8> {
        [&id.to_be_bytes()[..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
    }

    #[test]
    fn cells_are_spelled_in_one_way() {
        let mut entry = Vec::new();
        crate::entry::header(&LogId([0; 32]), 7, 951_782_400_000_001, &mut entry);
        let mut list = Vec::new();
        value::list([&b"a\"b"[..], "ü\n".as_bytes()].into_iter(), &mut list);
        for (id, value) in [(3, &b"=1+1"[..]), (8, b"say \"hi\", twice\r\n"), (13, &list), (15, &[0, 255])] {
            entry.extend(field(id, value));
        }
        let mut map = Vec::new();
        value::map("attributes", [("k", "-1")].into_iter(), &mut map).unwrap();
        let payload = [(200, Shown::Withheld), (201, Shown::Value(b"-x".to_vec())), (202, Shown::Value(map))];
        let row = row(Stream::Events, &EntryView::parse(&entry).unwrap(), &payload).unwrap();
        assert!(
            row.starts_with(
                "7,2000-02-29T00:00:00.000001Z,\"'=1+1\",,,,,\"say \"\"hi\"\", twice\r\n\",,,,,\"[\"\"a\\\"\"b\"\",\"\"ü\\n\"\"]\",,00ff,"
            ),
            "{row}"
        );
        assert!(row.ends_with(",(withheld),\"'-x\",\"{\"\"k\"\":\"\"-1\"\"}\",,,,,\r\n"), "{row}");
        let columns = header(Stream::Events).trim_end().split(',').count();
        assert_eq!(columns, Stream::Events.columns().len());
        assert!(header(Stream::Alerts).starts_with("log_index,ingest_time,event_id,"));
    }
}
