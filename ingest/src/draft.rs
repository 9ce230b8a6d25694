//! Events to the rows of a draft: what only the recorder knows is added here, and what is too long is cut.

use std::borrow::Cow;

use schemas::limits::PAYLOAD_VALUE_BYTES_MAX;
use schemas::stream::COUNTRY_BY_ADDRESS;
use schemas::{Error, Stream};
use store::Draft;

use crate::columns::{Columns, place};
use crate::destinations;
use crate::normalise::{Cell, Event};
use crate::parse::Context;
use crate::rejected::{Code, Refusal};
use crate::scan;
use crate::session::Caller;
use crate::unescape::{unescape, unescape_into};

/// How far ahead of the recorder's clock a time may be before the row is tagged `clock_skew`, in microseconds.
const SKEW_US: i64 = 300 * 1_000_000;
/// How old an event may be before the row is tagged `late`, in microseconds.
const LATE_US: i64 = 86_400 * 1_000_000;
/// Bytes that canonical encoding may add per key of the record.
const KEY_OVERHEAD_BYTES: usize = 16;

/// Where in a body an event stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    /// Among the values, from 0.
    pub(crate) value: usize,
    /// Among the events of this value, from 0.
    pub(crate) part: usize,
}

/// Appends events.
#[derive(Debug)]
pub(crate) struct Drafter<'c> {
    context: &'c Context<'c>,
    columns: Columns,
    idempotent: Vec<bool>,
    /// Column `source` under each mapping that was met, by its number.
    sources: Vec<Option<String>>,
    scope: String,
    random: blake3::OutputReader,
    scratch: String,
    /// Columns cut in the current row, and their whole values.
    cuts: Vec<(&'static str, String)>,
    /// The id of the record at hand where it names none itself, but can be told again by all of it.
    known_id: Option<String>,
    /// Whether a key of the record at hand stood twice before it was read.
    is_doubtful: bool,
}

impl<'c> Drafter<'c> {
    /// With room for `rows` rows.
    pub(crate) fn new(context: &'c Context<'c>, rows: usize) -> Drafter<'c> {
        let scope = format!("{}/{}", context.collector, context.principal.id);
        Drafter {
            context,
            columns: Columns::new(rows),
            idempotent: Vec::with_capacity(rows),
            sources: Vec::new(),
            scope,
            random: blake3::Hasher::new_keyed(&context.seed).update(b"event ids").finalize_xof(),
            scratch: String::new(),
            cuts: Vec::new(),
            known_id: None,
            is_doubtful: false,
        }
    }

    /// Gives the events of the next record this id, where the record names none itself.
    pub(crate) fn know(&mut self, id: String) {
        self.known_id = Some(id);
    }

    /// Says whether a key of the next record stood twice, of which one value holds and the others are kept beside it.
    pub(crate) fn doubt(&mut self, is_doubtful: bool) {
        self.is_doubtful = is_doubtful;
    }

    /// Appends `event`, read from the record at `position` in the body.
    pub(crate) fn append(
        &mut self,
        event: &Event<'_>,
        redactions: &[String],
        position: Position,
    ) -> Result<(), Error> {
        self.cuts.clear();
        let mut time_us = 0;
        for at in event.places() {
            match event.cell(at) {
                Cell::Text(text) if at == place::EVENT_ID => self.event_id(text)?,
                Cell::Escaped(raw) if at == place::EVENT_ID => self.event_id(&unescape(raw))?,
                Cell::Made(made) if at == place::EVENT_ID => self.event_id(event.made(made))?,
                Cell::Made(made) => self.text(at, event.made(made))?,
                Cell::Text(text) => self.text(at, text)?,
                Cell::Escaped(raw) => {
                    let mut scratch = std::mem::take(&mut self.scratch);
                    scratch.clear();
                    unescape_into(raw, &mut scratch);
                    self.text(at, &scratch)?;
                    self.scratch = scratch;
                }
                Cell::Int(value) => {
                    self.columns.int(at, value)?;
                    if at == place::TIME {
                        time_us = value;
                    }
                }
                Cell::List(json) => self.list(at, json)?,
                Cell::Absent => {}
            }
        }
        let has_id = event.cell(place::EVENT_ID) != Cell::Absent;
        if !has_id {
            let id = self.made_id(position);
            self.columns.text(place::EVENT_ID, &id)?;
        }
        if event.cell(place::SESSION_ID) == Cell::Absent {
            let id = self.session_id(event, time_us);
            // What it was derived from is kept whole already.
            self.columns.text(place::SESSION_ID, &shortened(&id, bytes_max(place::SESSION_ID)))?;
        }
        self.destinations(event)?;
        let is_located = self.country(event)?;
        self.columns.text(place::TENANT, &self.context.principal.tenant)?;
        self.source(event)?;
        if !redactions.is_empty() {
            let bytes_max = bytes_max(place::REDACTIONS);
            let kept = fitting(redactions.iter().map(String::len), bytes_max);
            self.columns.list(place::REDACTIONS, redactions.iter().take(kept).map(String::as_str))?;
            if kept < redactions.len() {
                self.cuts.push((name(place::REDACTIONS), redactions.join(" ")));
            }
        }
        self.remarks(time_us, event, is_located)?;
        if !event.attributes.is_empty() {
            let attributes = event.attributes.iter().map(|(key, value)| (key.as_ref(), *value));
            self.columns.map(place::ATTRIBUTES, attributes)?;
        }
        self.columns.end_row();
        let is_told_again = self.known_id.is_some() || self.context.idempotency_key.is_some();
        self.idempotent.push(has_id || is_told_again);
        Ok(())
    }

    /// Collector, credential and mapping.
    fn source(&mut self, event: &Event<'_>) -> Result<(), Error> {
        let at = event.mapping.number();
        if self.sources.len() <= at {
            self.sources.resize(at + 1, None);
        }
        let Some(source) = self.sources.get_mut(at) else { return Ok(()) };
        let (scope, mappings) = (&self.scope, self.context.mappings);
        let source = source.get_or_insert_with(|| format!("{scope}/{}", mappings.name(event.mapping)));
        self.columns.text(place::SOURCE, source)
    }

    /// Where the call sends things, where the event does not say it itself.
    fn destinations(&mut self, event: &Event<'_>) -> Result<(), Error> {
        if event.has(place::DESTINATIONS) {
            return Ok(());
        }
        let (Some(tool), Some(arguments)) = (event.text(place::CAPABILITY), event.text(place::ARGUMENTS))
        else {
            return Ok(());
        };
        let items = destinations::of(&tool, &arguments, self.context.redactor);
        let kept = fitting(items.iter().map(String::len), bytes_max(place::DESTINATIONS));
        if kept == 0 {
            return Ok(());
        }
        if kept < items.len()
            && let Ok(whole) = serde_json::to_string(&items)
        {
            self.cuts.push((name(place::DESTINATIONS), whole));
        }
        self.columns.list(place::DESTINATIONS, items.iter().take(kept).map(String::as_str))
    }

    /// The country of the address, where the record does not name one itself; whether it was found.
    fn country(&mut self, event: &Event<'_>) -> Result<bool, Error> {
        let Some(countries) = self.context.countries.filter(|_| !event.has(place::COUNTRY)) else {
            return Ok(false);
        };
        let address = event.text(place::SOURCE_IP);
        let Some(country) = address.and_then(|address| countries.of(&address)) else { return Ok(false) };
        self.columns.text(place::COUNTRY, country)?;
        Ok(true)
    }

    /// Tags, and what was cut.
    fn remarks(&mut self, time_us: i64, event: &Event<'_>, is_located: bool) -> Result<(), Error> {
        let now_us = self.context.now_us;
        let skewed = time_us > now_us.saturating_add(SKEW_US);
        let late = time_us < now_us.saturating_sub(LATE_US);
        let tags = [(skewed, "clock_skew"), (late, "late"), (!self.cuts.is_empty(), "oversize")];
        let tags = tags.into_iter().chain([
            (event.is_arrival, "arrival_time"),
            (event.is_ambiguous || self.is_doubtful, "ambiguous"),
            (event.is_contradicted, "contradiction"),
            (is_located, COUNTRY_BY_ADDRESS),
        ]);
        let mut tags = tags.filter(|(holds, _)| *holds).map(|(_, tag)| tag).peekable();
        if tags.peek().is_some() {
            self.columns.list(place::TAGS, tags)?;
        }
        if !self.cuts.is_empty() {
            self.cuts.sort_unstable();
            self.columns.list(place::CUT, self.cuts.iter().map(|(column, _)| *column))?;
            self.columns
                .map(place::OVERSIZE, self.cuts.iter().map(|(column, whole)| (*column, whole.as_str())))?;
        }
        Ok(())
    }

    /// Sets a text, cut at a character where it is over the column's cap.
    #[inline]
    fn text(&mut self, at: usize, text: &str) -> Result<(), Error> {
        if text.len() <= bytes_max(at) {
            return self.columns.text(at, text);
        }
        self.cuts.push((name(at), text.to_string()));
        let kept = text.get(..text.floor_char_boundary(bytes_max(at))).unwrap_or_default();
        self.columns.text(at, kept)
    }

    /// Sets the source's event id. One over the cap is not only cut: a hash of the whole keeps two of them apart.
    fn event_id(&mut self, id: &str) -> Result<(), Error> {
        let short = shortened(id, bytes_max(place::EVENT_ID));
        if short.len() < id.len() {
            self.cuts.push((name(place::EVENT_ID), id.to_string()));
        }
        self.columns.text(place::EVENT_ID, &short)
    }

    /// Sets a list, without the items at its end that pass the column's cap.
    fn list(&mut self, at: usize, json: &str) -> Result<(), Error> {
        let mut items: Vec<Cow<'_, str>> = Vec::new();
        scan::strings(json, |raw, escaped| {
            items.push(if escaped { unescape(raw) } else { Cow::Borrowed(raw) });
        });
        let kept = fitting(items.iter().map(|item| item.len()), bytes_max(at));
        if kept < items.len() {
            self.cuts.push((name(at), json.to_string()));
        }
        self.columns.list(at, items.iter().take(kept).map(Cow::as_ref))
    }

    /// An id for a record that has none: the one that is known, or of the request's key, so that a retry has the same, else a
    /// new UUIDv7.
    fn made_id(&mut self, position: Position) -> String {
        if let Some(id) = &self.known_id {
            return if position.part == 0 { id.clone() } else { format!("{id}-{}", position.part) };
        }
        if let Some(key) = self.context.idempotency_key {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&(key.len() as u64).to_be_bytes()).update(key.as_bytes());
            hasher.update(&(position.value as u64).to_be_bytes());
            if position.part > 0 {
                hasher.update(&(position.part as u64).to_be_bytes());
            }
            let digits = hasher.finalize().to_hex();
            return format!("idem-{}", digits.get(..32).unwrap_or_default());
        }
        let mut random = [0; 10];
        self.random.fill(&mut random);
        let ms = u64::try_from(self.context.now_us.div_euclid(1000)).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid().to_string()
    }

    /// A session id for a record that has none.
    fn session_id(&self, event: &Event<'_>, time_us: i64) -> String {
        if let Some(conversation) = event.text(place::CONVERSATION_ID).filter(|text| !text.is_empty()) {
            return conversation.into_owned();
        }
        let part = |at| event.text(at).unwrap_or_default();
        let (user, agent) = (part(place::USER_ID), part(place::AGENT_ID));
        let (client, server) = (part(place::CLIENT), part(place::SERVER));
        let tenant = &self.context.principal.tenant;
        self.context
            .sessions
            .id(Caller { tenant, user: &user, agent: &agent, client: &client, server: &server }, time_us)
    }

    /// The draft, if it has rows.
    pub(crate) fn finish(self) -> Result<Option<Draft>, Error> {
        if self.columns.rows() == 0 {
            return Ok(None);
        }
        let (entries, payloads) = self.columns.finish()?;
        Ok(Some(Draft { entries, payloads, idempotent: self.idempotent, scope: self.scope }))
    }
}

/// Refuses a record so long that one of its payload values could pass the limit of a payload value.
pub(crate) fn check_size(text: &str, keys: usize) -> Result<(), Refusal> {
    let most = text.len().saturating_add(keys.saturating_add(8).saturating_mul(KEY_OVERHEAD_BYTES));
    if most > PAYLOAD_VALUE_BYTES_MAX {
        let detail = format!(
            "the record has {} bytes; with its keys framed that is over {PAYLOAD_VALUE_BYTES_MAX}",
            text.len()
        );
        return Err(Refusal::new(Code::TooLarge, detail));
    }
    Ok(())
}

/// An id of at most `bytes_max` bytes; of a longer one its beginning and a hash of the whole.
fn shortened(id: &str, bytes_max: usize) -> Cow<'_, str> {
    const HASH_DIGITS: usize = 32;
    if id.len() <= bytes_max {
        return Cow::Borrowed(id);
    }
    let digits = blake3::hash(id.as_bytes()).to_hex();
    let kept = id.get(..id.floor_char_boundary(bytes_max - HASH_DIGITS - 1)).unwrap_or_default();
    Cow::Owned(format!("{kept}~{}", digits.get(..HASH_DIGITS).unwrap_or_default()))
}

#[inline]
fn bytes_max(at: usize) -> usize {
    Stream::Events.columns().get(at).map_or(0, |column| column.bytes_max)
}

fn name(at: usize) -> &'static str {
    Stream::Events.columns().get(at).map_or("", |column| column.name)
}

/// How many items of these lengths fit into a list of `bytes_max` canonical bytes: a count, and each behind its length.
fn fitting(lengths: impl Iterator<Item = usize>, bytes_max: usize) -> usize {
    let mut left = bytes_max.saturating_sub(4);
    lengths
        .take_while(|length| {
            let fits = left.checked_sub(length + 4);
            left = fits.unwrap_or(0);
            fits.is_some()
        })
        .count()
}
