//! The entries of a bundle: each of the log and at its index, all of them under the root that the root log knows, and the rows that they are of.

use std::cmp::Ordering;
use std::ops::Range;

use schemas::control::Control;
use schemas::entry::{EntryView, value};
use schemas::evidence::range::Walk;
use schemas::evidence::{Filter, Manifest};
use schemas::limits::EVIDENCE_HASHES_MAX;
use schemas::rows::RowsBuilder;
use schemas::stream::{CONTROL, INGEST_TIME, TENANT};
use schemas::{Error, Hash, LogId, Result};

use super::Signed;

/// Rows that are decoded before the builder is emptied.
const EMPTY_EVERY: usize = schemas::limits::EVIDENCE_VIEW_ROWS;

/// The entries, and which of them are rows.
#[derive(Debug)]
pub(super) struct Entries {
    bytes: Vec<u8>,
    /// Where in `bytes` each row's entry is.
    rows: Vec<Range<usize>>,
}

/// What is told of an entry.
pub(super) type Say<'a> = &'a mut dyn FnMut(Option<u64>, String);

impl Entries {
    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The entry of a row.
    pub(super) fn row(&self, at: usize) -> Option<&[u8]> {
        self.rows.get(at).and_then(|range| self.bytes.get(range.clone()))
    }
}

/// The hashes between the entries, each used once.
pub(super) struct Hashes {
    hashes: std::vec::IntoIter<Hash>,
}

impl Hashes {
    /// Parses `log/hashes`: a line each.
    pub(super) fn parse(bytes: &[u8]) -> Result<Hashes> {
        let text = value::text("hashes", bytes)?;
        let mut hashes = Vec::new();
        for line in text.split_inclusive('\n') {
            let line = line
                .strip_suffix('\n')
                .ok_or_else(|| Error::malformed("hashes", "a last line without its end"))?;
            if hashes.len() == EVIDENCE_HASHES_MAX {
                let (actual, limit) = (EVIDENCE_HASHES_MAX as u64 + 1, EVIDENCE_HASHES_MAX as u64);
                return Err(Error::TooLarge { what: "hashes between the entries", actual, limit });
            }
            hashes.push(Hash::from_base64(line)?);
        }
        Ok(Hashes { hashes: hashes.into_iter() })
    }

    fn next(&mut self) -> Result<Hash> {
        self.hashes.next().ok_or_else(|| {
            Error::malformed("hashes", "too few: something between the entries is covered by none")
        })
    }
}

/// Goes over `log/entries`. Sentences about what is wrong go to `say`; what can be read of it comes back.
pub(super) fn check(
    bytes: Vec<u8>,
    mut hashes: Hashes,
    manifest: &Manifest,
    signed: &Signed,
    say: Say<'_>,
) -> Entries {
    let mut reading = Reading {
        manifest,
        log_id: signed.log_id,
        tenant: signed.origin.tenant().to_string(),
        walk: Walk::new(signed.size),
        decoded: RowsBuilder::entries(signed.origin.stream()),
        span: None,
        count: 0,
        ingest_before: None,
        ends: [Ordering::Equal; 2],
        rows: Vec::new(),
    };
    let mut at = 0;
    while at < bytes.len() {
        let length =
            bytes.get(at..at + 2).and_then(|length| Some(u16::from_be_bytes(length.try_into().ok()?)));
        let range = length.map(|length| at + 2..at + 2 + usize::from(length));
        let Some((range, entry)) = range.and_then(|range| Some((range.clone(), bytes.get(range)?))) else {
            say(None, "an entry that ends early".to_string());
            return Entries { rows: reading.rows, bytes };
        };
        if let Err(error) = reading.entry(entry, range.clone(), &mut hashes, say) {
            let index = EntryView::parse(entry).ok().map(|view| view.index);
            say(index, error.to_string());
            return Entries { rows: reading.rows, bytes };
        }
        at = range.end;
    }
    reading.finish(hashes, signed, say);
    Entries { rows: reading.rows, bytes }
}

struct Reading<'a> {
    manifest: &'a Manifest,
    log_id: LogId,
    tenant: String,
    walk: Walk,
    decoded: RowsBuilder,
    span: Option<(u64, u64)>,
    count: u64,
    ingest_before: Option<(u64, i64)>,
    /// Where the first and the last entry so far lie to the time.
    ends: [Ordering; 2],
    rows: Vec<Range<usize>>,
}

impl Reading<'_> {
    fn entry(&mut self, entry: &[u8], range: Range<usize>, hashes: &mut Hashes, say: Say<'_>) -> Result<()> {
        let view = EntryView::parse(entry)?;
        let index = view.index;
        if view.log_id != self.log_id {
            return Err(Error::mismatch("entry", "its header names another log".to_string()));
        }
        self.walk.entry(index, entry, &mut |_, _| hashes.next())?;
        let place = value::int("log_index", &index.to_be_bytes())?;
        self.decoded.push_fields(place, view.fields())?;
        if self.decoded.rows() >= EMPTY_EVERY {
            self.decoded.finish()?;
        }
        if view.field(TENANT)? != Some(self.tenant.as_bytes()) {
            say(Some(index), format!("its tenant is not {:?}, whose log this is", self.tenant));
        }
        self.check_time(&view, say)?;
        let place = self.manifest.filter.place(&view)?;
        self.ends = [if self.count == 0 { place } else { self.ends[0] }, place];
        self.span = Some((self.span.map_or(index, |(first, _)| first), index + 1));
        self.count += 1;
        if self.manifest.filter.admits(&view)? {
            self.rows.push(range);
        }
        Ok(())
    }

    /// `ingest_time` steps back at a `clock_run` and nowhere else.
    fn check_time(&mut self, view: &EntryView<'_>, say: Say<'_>) -> Result<()> {
        let time = value::int("ingest_time", view.field(INGEST_TIME)?.unwrap_or_default())?;
        if let Some((before, time_before)) = self.ingest_before.replace((view.index, time))
            && time < time_before
            && before + 1 == view.index
        {
            let control = view.field(CONTROL)?.and_then(|text| std::str::from_utf8(text).ok());
            let is_step = matches!(control.map(Control::parse), Some(Ok(Control::ClockRun(_))));
            if !is_step {
                say(Some(view.index), "ingest_time steps back, and it is no clock_run".to_string());
            }
        }
        Ok(())
    }

    fn finish(&mut self, mut hashes: Hashes, signed: &Signed, say: Say<'_>) {
        match self.walk.clone().finish(&mut |_, _| hashes.next()) {
            Err(error) => say(None, error.to_string()),
            Ok(_) if hashes.hashes.len() > 0 => {
                say(None, "log/hashes has more hashes than lie between the entries".to_string());
            }
            Ok(root) if root != signed.root => {
                say(
                    None,
                    "entries and hashes do not make the root that the root log knows: one of them was changed".to_string(),
                );
            }
            Ok(_) => {}
        }
        let manifest = self.manifest;
        let said = (manifest.first, manifest.last, manifest.entries, manifest.rows);
        let (first, last) = self.span.unwrap_or_default();
        let found = (first, last, self.count, self.rows.len() as u64);
        if said != found {
            say(None, format!("bundle.json says first, last, entries and rows {said:?}, here are {found:?}"));
        }
        let is_whole = last.saturating_sub(first) == self.count;
        if manifest.complete && !is_whole {
            say(None, format!("{} entries are not all of {first}..{last}", self.count));
        }
        if let Filter::Time { .. } = manifest.filter {
            self.check_ends(first, last, signed.size, say);
        }
    }

    /// A range of time goes up to entries that were recorded before and after it, or to the ends of the log.
    fn check_ends(&self, first: u64, last: u64, size: u64, say: Say<'_>) {
        if first > 0 && self.ends[0] != Ordering::Less {
            say(
                Some(first),
                "not recorded before the time, and what came before it is not in the bundle".to_string(),
            );
        }
        if last < size && self.ends[1] != Ordering::Greater {
            let index = Some(last.saturating_sub(1));
            say(
                index,
                "not recorded after the time, and what came after it is not in the bundle".to_string(),
            );
        }
    }
}
