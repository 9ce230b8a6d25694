//! What became of a record, for whoever writes a mapping: each column with where its value came from.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use schemas::Stream;
use schemas::column::Column;

use crate::error::Error;
use crate::mapping::Mapping;
use crate::mapping::read::Origin;
use crate::measure::Tally;
use crate::parse::{Context, Parsed, parse_noting};
use crate::rejected::Rejected;

/// Which mapping read an event, and which of its rules filled columns.
#[derive(Debug, Clone)]
pub(crate) struct Noted {
    pub(crate) mapping: Mapping,
    pub(crate) origins: Vec<Origin>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The mapping that read it.
    pub mapping: String,
    /// Column, value as text, and where that came from, in the order of the columns.
    pub columns: Vec<(&'static str, String, String)>,
    /// Name and JSON text of what no column took over.
    pub attributes: Vec<(String, String)>,
    /// Classes of what was removed as secret, with counts.
    pub redactions: Vec<String>,
}

/// Says of every record of `body` what came of it.
///
/// # Errors
/// As of [`crate::parse`].
pub fn explain(body: &[u8], context: &Context<'_>) -> Result<(Vec<Explained>, Vec<Rejected>), Error> {
    let mut noted = Vec::new();
    let Parsed { draft, rejected, .. } =
        parse_noting(body, context, Some(&mut noted), &mut Tally::default())?;
    let Some(draft) = draft else { return Ok((Vec::new(), rejected)) };
    let explained = noted.iter().enumerate().map(|(row, noted)| {
        let mut explained = Explained {
            mapping: context.mappings.name(noted.mapping).to_string(),
            columns: Vec::new(),
            attributes: Vec::new(),
            redactions: Vec::new(),
        };
        for (place, column) in Stream::Events.columns().iter().enumerate() {
            let Some(cell) = cell(&draft.entries, column, row).or_else(|| cell(&draft.payloads, column, row))
            else {
                continue;
            };
            match (column.name, cell) {
                ("attributes", Cell::Pairs(pairs)) => explained.attributes = pairs,
                ("redactions", Cell::Items(items)) => explained.redactions = items,
                (name, cell) => {
                    explained.columns.push((name, cell.text(), origin(context, noted, place, name)));
                }
            }
        }
        explained
    });
    Ok((explained.collect(), rejected))
}

fn origin(context: &Context<'_>, noted: &Noted, place: usize, name: &str) -> String {
    let rule = noted.origins.iter().find(|(filled, _)| *filled == place).map(|(_, rule)| *rule);
    let Some(plan) = context.mappings.plan(noted.mapping) else {
        return "the key of this name, or derived".to_string();
    };
    let filling = plan.columns.iter().find(|filling| filling.place == place);
    let text = rule.zip(filling).and_then(|(rule, filling)| Some(filling.rules.get(rule)?.text.clone()));
    match (text, name) {
        (Some(text), _) => text,
        (None, "tenant" | "source" | "event_id" | "tags" | "cut" | "oversize") => "the recorder".to_string(),
        // No rule derives it.
        (None, "country") => "the database of countries".to_string(),
        (None, _) => "derived from the other columns".to_string(),
    }
}

enum Cell {
    Text(String),
    Items(Vec<String>),
    Pairs(Vec<(String, String)>),
}

impl Cell {
    fn text(self) -> String {
        match self {
            Cell::Text(text) => text,
            Cell::Items(items) => items.join(", "),
            Cell::Pairs(pairs) => {
                pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// The cell of `column`; none where the batch does not have it or it is null.
fn cell(batch: &RecordBatch, column: &Column, row: usize) -> Option<Cell> {
    let array = batch.column_by_name(column.name).filter(|array| row < array.len() && array.is_valid(row))?;
    let texts = |array: &dyn Array| -> Vec<String> {
        array.as_string::<i32>().iter().flatten().map(str::to_string).collect()
    };
    Some(match array.data_type() {
        DataType::Int64 => Cell::Text(array.as_primitive::<Int64Type>().value(row).to_string()),
        DataType::Timestamp(..) => {
            let us = array.as_primitive::<TimestampMicrosecondType>().value(row);
            Cell::Text(crate::normalise::time::shown(us))
        }
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).to_string()),
        DataType::List(_) => Cell::Items(texts(&array.as_list::<i32>().value(row))),
        DataType::Map(..) => {
            let pairs = array.as_map().value(row);
            let (keys, values) = (texts(pairs.column(0)), texts(pairs.column(1)));
            Cell::Pairs(keys.into_iter().zip(values).collect())
        }
        _ => return None,
    })
}
