//! The four streams and their schema tables.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Schema, SchemaRef};

use crate::column::{Column, Side};
use crate::limits::{ENTRY_BYTES_MAX, ENTRY_HEADER_BYTES, FIELD_HEADER_BYTES};
use crate::{Error, Result};

mod access;
mod alerts;
mod common;
mod events;

pub use common::{
    CONTROL, CUT, EVENT_ID, INGEST_TIME, LOG_INDEX, PAYLOAD_COMMITMENT, PAYLOAD_SALT, REDACTIONS, SALT_BYTES,
    SESSION_ID, SOURCE, TAGS, TENANT, TIME,
};
pub use events::{COUNTRY, COUNTRY_BY_ADDRESS, payload_ids};

/// The schema table that a log follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// What agents did.
    Events,
    /// What the detector said of it.
    Alerts,
    /// Who asked what of the record.
    Access,
    /// The log of logs.
    Root,
}

impl Stream {
    /// All streams, in the order of their names in documents.
    pub const ALL: [Stream; 4] = [Stream::Events, Stream::Alerts, Stream::Access, Stream::Root];

    /// The name in origins, paths and SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Stream::Events => "events",
            Stream::Alerts => "alerts",
            Stream::Access => "access",
            Stream::Root => "root",
        }
    }

    /// Every column, ascending by field id, entry side first.
    pub fn columns(self) -> &'static [Column] {
        match self {
            Stream::Events => &events::COLUMNS,
            Stream::Alerts => &alerts::COLUMNS,
            Stream::Access => &access::COLUMNS,
            Stream::Root => &common::COLUMNS,
        }
    }

    /// The columns of the segment file, ascending by field id.
    pub fn entry_columns(self) -> impl Iterator<Item = &'static Column> {
        self.columns().iter().filter(|column| column.side == Side::Entry)
    }

    /// The columns of the payload file without `log_index` and `salt`, ascending by field id.
    pub fn payload_columns(self) -> impl Iterator<Item = &'static Column> {
        self.columns().iter().filter(|column| column.side == Side::Payload)
    }

    /// The column called `name`.
    pub fn column(self, name: &str) -> Option<&'static Column> {
        self.columns().iter().find(|column| column.name == name)
    }

    /// The column with field id `id`.
    pub fn column_by_id(self, id: u16) -> Option<&'static Column> {
        let columns = self.columns();
        columns.binary_search_by_key(&id, |column| column.id).ok().and_then(|at| columns.get(at))
    }

    /// The Arrow schema of a segment file and of sealed or unsealed entry batches.
    pub fn entry_schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; 4]> = LazyLock::new(|| {
            Stream::ALL.map(|stream| {
                Arc::new(Schema::new(stream.entry_columns().map(Column::field).collect::<Vec<_>>()))
            })
        });
        Arc::clone(self.pick(&SCHEMAS))
    }

    /// The Arrow schema of a payload file: `log_index`, the payload columns, `salt`.
    pub fn payload_schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; 4]> = LazyLock::new(|| {
            Stream::ALL.map(|stream| {
                let columns = std::iter::once(&common::LOG_INDEX_COLUMN)
                    .chain(stream.payload_columns())
                    .chain(std::iter::once(&common::SALT_COLUMN));
                Arc::new(Schema::new(columns.map(Column::field).collect::<Vec<_>>()))
            })
        });
        Arc::clone(self.pick(&SCHEMAS))
    }

    fn pick<T>(self, of: &[T; 4]) -> &T {
        let [events, alerts, access, root] = of;
        match self {
            Stream::Events => events,
            Stream::Alerts => alerts,
            Stream::Access => access,
            Stream::Root => root,
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Stream {
    type Err = Error;

    fn from_str(text: &str) -> Result<Stream> {
        Stream::ALL.into_iter().find(|stream| stream.name() == text).ok_or_else(|| {
            Error::malformed("stream", format!("{text:?} is not events, alerts, access or root"))
        })
    }
}

/// Bytes of the largest entry that `columns` can make: each cap reached at once.
const fn entry_bytes_max(columns: &[Column]) -> usize {
    let mut sum = ENTRY_HEADER_BYTES;
    let mut at = 0;
    while at < columns.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated at compile time, bounded by the loop")]
        let column = &columns[at];
        if matches!(column.side, Side::Entry) && column.id != LOG_INDEX {
            sum += FIELD_HEADER_BYTES + column.bytes_max;
        }
        at += 1;
    }
    sum
}

/// Whether ids strictly ascend and the entry side comes first.
const fn is_ordered(columns: &[Column]) -> bool {
    let mut at = 1;
    while at < columns.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated at compile time, bounded by the loop")]
        let (before, here) = (&columns[at - 1], &columns[at]);
        if before.id >= here.id || (matches!(before.side, Side::Payload) && matches!(here.side, Side::Entry))
        {
            return false;
        }
        at += 1;
    }
    true
}

const _: () = assert!(entry_bytes_max(&events::COLUMNS) <= ENTRY_BYTES_MAX);
const _: () = assert!(entry_bytes_max(&alerts::COLUMNS) <= ENTRY_BYTES_MAX);
const _: () = assert!(entry_bytes_max(&access::COLUMNS) <= ENTRY_BYTES_MAX);
const _: () = assert!(entry_bytes_max(&common::COLUMNS) <= ENTRY_BYTES_MAX);
const _: () = assert!(is_ordered(&events::COLUMNS) && is_ordered(&alerts::COLUMNS));
const _: () = assert!(is_ordered(&access::COLUMNS) && is_ordered(&common::COLUMNS));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_columns_are_the_same_in_every_stream() {
        for stream in Stream::ALL {
            let common: Vec<_> = stream.columns().iter().take(common::COLUMNS.len()).collect();
            assert_eq!(common, common::COLUMNS.iter().collect::<Vec<_>>(), "{stream}");
            assert_eq!(stream.name().parse::<Stream>().unwrap(), stream);
        }
    }

    #[test]
    fn names_are_unique_and_ids_are_found() {
        for stream in Stream::ALL {
            let mut names: Vec<_> = stream.columns().iter().map(|column| column.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), stream.columns().len(), "{stream}");
            for column in stream.columns() {
                assert_eq!(stream.column_by_id(column.id), Some(column));
                assert!(!column.doc.is_empty() && column.bytes_max > 0, "{}", column.name);
            }
        }
    }
}
