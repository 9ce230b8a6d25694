//! Evidence bundles: entries of one log, taken away in one zip with all that shows that they are in it.
//!
//! `FORMAT.md` section 13 is the normative text. Everything here is a pure function of bytes: who writes a bundle reads files and who
//! checks one reads it, by the same spelling and by no common code path beyond that.
//!
//! `bundle.json` is one line of canonical JSON, [`Manifest`]. It says what the bundle claims to be; nothing in it is believed.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::column::Column;
use crate::entry::EntryView;
use crate::entry::value;
use crate::limits::{EVIDENCE_ENTRIES_MAX, EVIDENCE_MANIFEST_BYTES_MAX};
use crate::origin::Origin;
use crate::stream::{INGEST_TIME, SESSION_ID, Stream, TIME};
use crate::{Error, Result};

pub mod archive;
pub mod csv;
pub mod page;
pub mod payload;
pub mod range;

/// What `format` says.
pub const FORMAT: &str = "tachograph/evidence/v1";
/// The file that says what the bundle is.
pub const MANIFEST: &str = "bundle.json";
/// The SQL text, where there was one.
pub const SQL: &str = "query.sql";
/// The root log's signed checkpoint, with every signature that the service had.
pub const ROOT_CHECKPOINT: &str = "root/checkpoint";
/// The root log's entry that opens the log, canonical bytes.
pub const OPENED_ENTRY: &str = "log/opened.entry";
/// Its C2SP tlog-proof, under the root log's key.
pub const OPENED_PROOF: &str = "log/opened.tlog-proof";
/// The root log's entry that says how far the log had come: its tree is the bundle's.
pub const ROUND_ENTRY: &str = "log/round.entry";
/// Its C2SP tlog-proof, under the same root checkpoint.
pub const ROUND_PROOF: &str = "log/round.tlog-proof";
/// The entries: u16 BE length and canonical bytes, ascending by index.
pub const ENTRIES: &str = "log/entries";
/// The hashes of what lies between the entries, one base64 line each.
pub const HASHES: &str = "log/hashes";
/// What is disclosed and what is withheld of payloads, one line of JSON an entry.
pub const PAYLOADS: &str = "log/payloads.ndjson";
/// The custody page.
pub const CUSTODY: &str = "CUSTODY.md";
/// What a bundle proves and what not.
pub const LIMITS: &str = "LIMITS.md";
/// How to check one.
pub const VERIFY: &str = "VERIFY.md";
/// SHA-256 of every other file, as `sha256sum -c` reads it.
pub const SUMS: &str = "SHA256SUMS";

/// Which question the bundle answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Entries that an SQL statement named.
    Sql,
    /// A session.
    Session,
    /// A range of indices or of time.
    Range,
}

impl Kind {
    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Sql => "sql",
            Kind::Session => "session",
            Kind::Range => "range",
        }
    }
}

/// Which of the entries are rows of the views; the others are there so that a range has no holes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum Filter {
    /// Every one.
    All {},
    /// Those of a session.
    Session {
        /// The session.
        session_id: String,
    },
    /// Those whose `time` is in `from..to` and whose `ingest_time` is in `from..to + lateness`.
    Time {
        /// From, in microseconds.
        from_us: i64,
        /// Up to, in microseconds, excluded.
        to_us: i64,
        /// How much later they may have been recorded.
        lateness_us: i64,
    },
}

impl Filter {
    /// Whether the entry is a row of the views.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an entry that cannot be read.
    pub fn admits(&self, entry: &EntryView<'_>) -> Result<bool> {
        Ok(match self {
            Filter::All {} => true,
            Filter::Session { session_id } => entry.field(SESSION_ID)? == Some(session_id.as_bytes()),
            Filter::Time { from_us, to_us, .. } => {
                let time = time_of(entry, TIME)?;
                *from_us <= time && time < *to_us && self.place(entry)? == Ordering::Equal
            }
        })
    }

    /// Whether the entry was recorded before one of the rows may have been, while, or after.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an entry that cannot be read.
    pub fn place(&self, entry: &EntryView<'_>) -> Result<Ordering> {
        let Filter::Time { from_us, to_us, lateness_us } = self else { return Ok(Ordering::Equal) };
        let recorded = time_of(entry, INGEST_TIME)?;
        Ok(if recorded < *from_us {
            Ordering::Less
        } else if recorded < to_us.saturating_add(*lateness_us) {
            Ordering::Equal
        } else {
            Ordering::Greater
        })
    }
}

fn time_of(entry: &EntryView<'_>, id: u16) -> Result<i64> {
    let value = entry.field(id)?.ok_or_else(|| Error::malformed("entry", format!("it has no field {id}")))?;
    value::int("time", value)
}

/// Sizes of the log when the question was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// S.
    pub sealed: u64,
    /// C.
    pub signed: u64,
    /// D.
    pub durable: u64,
}

/// `bundle.json`. Keys in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The question.
    pub kind: Kind,
    /// The root log's verifier key, as the service says it: the verifier is given it from elsewhere.
    pub root_key: String,
    /// The log.
    pub origin: String,
    /// Its verifier key.
    pub key: String,
    /// Size of the tree that the entries are proved to be in.
    pub size: u64,
    /// Index of the first entry.
    pub first: u64,
    /// One past the index of the last.
    pub last: u64,
    /// How many entries there are.
    pub entries: u64,
    /// Whether they are all of `first..last`: then nothing in between was left out.
    pub complete: bool,
    /// Which of them are rows of the views.
    pub filter: Filter,
    /// How many are.
    pub rows: u64,
    /// Columns of the views.
    pub columns: Vec<String>,
    /// Payload columns whose values are withheld.
    pub withheld: Vec<String>,
    /// The SQL text, without the secrets that the recorder's rules know.
    pub sql: Option<String>,
    /// The log when it was asked.
    pub snapshot: Sizes,
    /// Who: a token's id, a person, or a user of the operating system.
    pub exported_by: String,
    /// In which role.
    pub role: String,
    /// Through which door.
    pub door: String,
    /// When, in microseconds, by the recorder's clock.
    pub exported_at_us: i64,
    /// Joins the bundle with its entries in the access log.
    pub query_id: String,
}

impl Manifest {
    /// The text of the file: one line and a newline.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn to_text(&self) -> Result<String> {
        let text = serde_json::to_string(self)
            .map_err(|error| Error::malformed("bundle.json", error.to_string()))?;
        within(text.len() + 1)?;
        Ok(format!("{text}\n"))
    }

    /// Parses the file; it must be exactly what [`Manifest::to_text`] gives, and hold together.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::TooLarge`].
    pub fn parse(text: &[u8]) -> Result<Manifest> {
        let wrong = |detail: String| Error::malformed("bundle.json", detail);
        within(text.len())?;
        let parsed: Manifest = serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
        if parsed.format != FORMAT {
            return Err(wrong(format!("format {:?}, expected {FORMAT:?}", parsed.format)));
        }
        if parsed.to_text()?.as_bytes() != text {
            return Err(wrong("it is not spelled canonically".to_string()));
        }
        parsed.check()?;
        Ok(parsed)
    }

    /// Whether it holds together, whatever the rest of the bundle is.
    fn check(&self) -> Result<()> {
        let wrong = |detail: String| Err(Error::malformed("bundle.json", detail));
        let stream = self.stream()?;
        let span = self.last.checked_sub(self.first);
        if span.is_none_or(|span| span < self.entries) || self.last > self.size || self.rows > self.entries {
            return wrong(format!(
                "{} entries and {} rows of {}..{} in a log of {}",
                self.entries, self.rows, self.first, self.last, self.size
            ));
        }
        if self.complete && span != Some(self.entries) {
            return wrong(format!("{} entries are not all of {}..{}", self.entries, self.first, self.last));
        }
        if self.entries > EVIDENCE_ENTRIES_MAX {
            let (actual, limit) = (self.entries, EVIDENCE_ENTRIES_MAX);
            return Err(Error::TooLarge { what: "entries of a bundle", actual, limit });
        }
        let fits = match (self.kind, &self.filter) {
            (Kind::Sql, Filter::All {}) => self.sql.is_some() && !self.complete,
            (Kind::Session, Filter::Session { .. }) => self.sql.is_none(),
            (Kind::Range, Filter::All {}) => self.sql.is_none() && self.complete,
            (Kind::Range, Filter::Time { from_us, to_us, lateness_us }) => {
                self.sql.is_none() && self.complete && from_us < to_us && *lateness_us >= 0
            }
            _ => false,
        };
        if !fits {
            return wrong(format!("kind {} with another kind's filter, SQL or claim", self.kind.name()));
        }
        if matches!(self.filter, Filter::All {}) && self.rows != self.entries {
            return wrong("every entry is a row, and there are more entries than rows".to_string());
        }
        let columns = columns(stream).map(|column| column.name);
        if !self.columns.iter().map(String::as_str).eq(columns) {
            return wrong(format!("the columns are not those of {stream}"));
        }
        let payload = stream.payload_columns().map(|column| column.name);
        let withheld: Vec<&str> =
            payload.filter(|name| self.withheld.iter().any(|held| held == name)).collect();
        if !self.withheld.iter().map(String::as_str).eq(withheld) {
            return wrong("`withheld` is not of payload columns, each once and in order".to_string());
        }
        Ok(())
    }

    /// The stream of the log.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the origin is none, or the root log's.
    pub fn stream(&self) -> Result<Stream> {
        match self.origin.parse::<Origin>()?.stream() {
            Stream::Root => Err(Error::malformed("bundle.json", "a bundle is not of the root log")),
            stream => Ok(stream),
        }
    }

    /// Whether the payload field of this id is withheld.
    pub fn withholds(&self, column: &Column) -> bool {
        self.withheld.iter().any(|name| name == column.name)
    }

    /// The files of the bundle, in their order.
    ///
    /// # Errors
    /// As [`Manifest::stream`].
    pub fn files(&self) -> Result<Vec<String>> {
        let stream = self.stream()?;
        let sql = self.sql.as_ref().map(|_| SQL);
        let proofs = [ROOT_CHECKPOINT, OPENED_ENTRY, OPENED_PROOF, ROUND_ENTRY, ROUND_PROOF];
        let before = proofs.into_iter().chain([ENTRIES, HASHES, PAYLOADS]);
        let names = std::iter::once(MANIFEST).chain(sql).chain(before).map(str::to_string);
        let views = [csv_name(stream), parquet_name(stream)];
        let after = [CUSTODY, LIMITS, VERIFY, SUMS].map(str::to_string);
        Ok(names.chain(views).chain(after).collect())
    }
}

/// The view for spreadsheets.
pub fn csv_name(stream: Stream) -> String {
    format!("{stream}.csv")
}

/// The view for other programs.
pub fn parquet_name(stream: Stream) -> String {
    format!("{stream}.parquet")
}

/// The columns of the views: the entry side, then the payload side.
pub fn columns(stream: Stream) -> impl Iterator<Item = &'static Column> {
    stream.entry_columns().chain(stream.payload_columns())
}

/// The Arrow schema of the Parquet view.
pub fn view_schema(stream: Stream) -> SchemaRef {
    Arc::new(Schema::new(columns(stream).map(Column::field).collect::<Vec<_>>()))
}

/// The line of a file in [`SUMS`]; `digest` in lower-case hex.
pub fn sums_line(digest: &str, name: &str) -> String {
    format!("{digest}  {name}\n")
}

fn within(bytes: usize) -> Result<()> {
    if bytes <= EVIDENCE_MANIFEST_BYTES_MAX {
        return Ok(());
    }
    let (actual, limit) = (bytes as u64, EVIDENCE_MANIFEST_BYTES_MAX as u64);
    Err(Error::TooLarge { what: "bytes of bundle.json", actual, limit })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A manifest that holds together.
    pub fn manifest() -> Manifest {
        Manifest {
            format: FORMAT.to_string(),
            kind: Kind::Session,
            root_key: "root key".to_string(),
            origin: "i-1/default/events/w1".to_string(),
            key: "key".to_string(),
            size: 10,
            first: 2,
            last: 9,
            entries: 3,
            complete: false,
            filter: Filter::Session { session_id: "s-1".to_string() },
            rows: 3,
            columns: columns(Stream::Events).map(|column| column.name.to_string()).collect(),
            withheld: vec!["result".to_string()],
            sql: None,
            snapshot: Sizes { sealed: 5, signed: 10, durable: 11 },
            exported_by: "os:someone".to_string(),
            role: "admin".to_string(),
            door: "command".to_string(),
            exported_at_us: 1_795_219_200_000_000,
            query_id: "q-1".to_string(),
        }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written_and_in_no_other_spelling() {
        let good = manifest();
        let text = good.to_text().unwrap();
        assert_eq!(Manifest::parse(text.as_bytes()).unwrap(), good);
        for other in [
            text.trim_end().to_string(),
            format!(" {text}"),
            text.replacen("\"kind\":\"session\"", "\"kind\": \"session\"", 1),
            text.replacen("\"rows\":3", "\"rows\":3,\"rows\":3", 1),
            text.replacen("\"rows\":3", "\"rows\":03", 1),
            text.replacen("evidence/v1", "evidence/v2", 1),
            text.replacen("{\"by\":\"session\"", "{\"by\":\"session\",\"more\":1", 1),
        ] {
            assert_ne!(other, text);
            assert!(Manifest::parse(other.as_bytes()).is_err(), "{other}");
        }
        let long = Manifest { sql: Some("x".repeat(EVIDENCE_MANIFEST_BYTES_MAX)), ..good };
        assert!(matches!(long.to_text(), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn what_does_not_hold_together_is_refused() {
        type Edit = fn(&mut Manifest);
        let edits: [Edit; 15] = [
            |m| m.entries = 8,
            |m| m.last = 11,
            |m| m.last = 1,
            |m| m.rows = 4,
            |m| m.complete = true,
            |m| m.kind = Kind::Sql,
            |m| m.kind = Kind::Range,
            |m| m.filter = Filter::All {},
            |m| m.sql = Some("SELECT 1".to_string()),
            |m| m.columns.swap(3, 4),
            |m| drop(m.columns.pop()),
            |m| m.withheld.push("arguments".to_string()),
            |m| m.withheld.push("result".to_string()),
            |m| m.withheld.push("user_id".to_string()),
            |m| m.origin = "i-1/_root/root/w1".to_string(),
        ];
        for (at, edit) in edits.iter().enumerate() {
            let mut other = manifest();
            edit(&mut other);
            let text = other.to_text().unwrap();
            assert!(Manifest::parse(text.as_bytes()).is_err(), "edit {at}");
        }
        let mut many = manifest();
        (many.size, many.last) = (EVIDENCE_ENTRIES_MAX + 10, EVIDENCE_ENTRIES_MAX + 9);
        many.entries = EVIDENCE_ENTRIES_MAX + 1;
        let refused = Manifest::parse(many.to_text().unwrap().as_bytes());
        assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
        many.entries = EVIDENCE_ENTRIES_MAX;
        assert!(Manifest::parse(many.to_text().unwrap().as_bytes()).is_ok());
    }
}
