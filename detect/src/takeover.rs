//! Where other rules or settings take effect: what the alerts log has open is held against what the fold has open.
//!
//! A state that was folded under others is not gone on with: the log is folded from its start, and what that finds of the past up to the
//! last alert on record is not told. So there an episode can be open that nobody was told of, and one on record that nothing will
//! ever close. Behind the last alert on record, at the event that caused it, the one is told and the other closed.
//!
//! Nothing remembers under what the log was folded before, and nothing need: under the same rules both sides are the same, and there is
//! nothing to say. So this runs wherever a fold begins before the last alert on record, and what was cut off in the middle
//! of it goes on with the rest.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::Array as _;
use engine::{Alert, Engine, RULE_IDS, Setup, Severity, State};
use schemas::Stream;
use sigma::Rules;
use store::{Entries, LogSnapshot};

use crate::columns::text;
use crate::draft::{clipped, source, state_name};
use crate::error::Result;
use crate::fold::Found;
use crate::recorded::{self, Recorded};

/// What the `session_id` of what is told because others took effect begins with; behind it, which ones. Persisted.
const SESSION: &str = "_refold-";
/// Hex digits behind it.
const DIGEST_LENGTH: usize = 16;
/// Ends the explanation of an episode that goes on.
const GOES_ON: &str =
    "was open when the rules and settings now in force took effect; found by folding the log again";

const COLUMNS: [&str; 10] = [
    "log_index",
    "evidence_log",
    "position",
    "ordinal",
    "alert_id",
    "sequence",
    "state",
    "severity",
    "count",
    "session_id",
];

/// Where the alerts log ends for the fold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Last {
    /// How many of its entries count. What a run that was cut off had appended may still come after them, and this one tells it again.
    pub end: u64,
    /// The event of the last alert among them.
    pub position: i64,
    /// Which of that event's alerts it is.
    pub ordinal: i64,
}

/// What there is to record of the event of the last alert on record.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// What the fold gives and the log has.
    pub recorded: Vec<Found>,
    /// What the fold gives and the log does not have yet, as the fold gives it.
    pub fresh: Vec<Found>,
    /// What is told because others took effect, behind those.
    pub told: Vec<Found>,
}

/// What the alerts log says of each episode last.
#[derive(Debug, Default)]
struct Standing {
    /// By alert id; those that are closed only where somebody asked for them.
    last: BTreeMap<String, Said>,
    /// Alerts of the event at which others take effect, by id, state and count, and their ordinals. Not by number: it may have been told under
    /// another one.
    there: BTreeMap<(String, &'static str, i64), i64>,
    /// Episodes that were opened there because others took effect, with their counts: what the event itself adds to such a one is in it.
    opened: BTreeSet<(String, i64)>,
    /// The last numbers of those that were closed where others took effect.
    retired: BTreeMap<String, i64>,
    /// Whether what is to be told here is on record in part.
    is_begun: bool,
}

#[derive(Debug, Clone, Copy)]
struct Said {
    /// Log index of its entry; none where it is not recorded yet.
    entry: Option<u64>,
    /// The greatest so far.
    sequence: i64,
    is_closed: bool,
    severity: Severity,
}

impl Standing {
    /// Reads what there is; what is closed of those that are asked for alone.
    ///
    /// # Errors
    /// [`crate::Error::Entries`], [`crate::Error::Damaged`].
    fn read(
        alerts: &LogSnapshot,
        Last { end, position, .. }: Last,
        evidence_log: &str,
        session: &str,
        asked: &BTreeSet<String>,
    ) -> Result<Standing> {
        let mut standing = Standing::default();
        each(alerts, 0, end, evidence_log, &COLUMNS, |entry, row| {
            let state = row.state()?;
            let last = Said {
                entry: Some(entry),
                sequence: row.int("sequence")?,
                is_closed: state == State::Closed,
                severity: row.severity()?,
            };
            let (alert_id, told_in) = (row.text("alert_id")?, row.text("session_id")?);
            let (is_there, count) = (row.int("position")? == position, row.int("count")?);
            if is_there {
                let said = (alert_id.clone(), state_name(state), count);
                standing.there.insert(said, row.int("ordinal")?);
            }
            if is_there && state == State::Open && is_session(&told_in) {
                standing.opened.insert((alert_id.clone(), count));
            }
            standing.is_begun = is_there && told_in == session;
            let was_retired = standing.retired.get(&alert_id).copied();
            if was_retired.is_some() || last.is_closed && is_session(&told_in) {
                standing.retired.insert(alert_id.clone(), last.sequence.max(was_retired.unwrap_or(0)));
            }
            let is_asked = asked.contains(&alert_id);
            standing.note(alert_id, last, is_asked);
            Ok(())
        })?;
        Ok(standing)
    }

    /// Its ordinal on record, if it is there.
    fn ordinal(&self, alert: &Alert) -> Option<i64> {
        self.there.get(&(alert.alert_id.clone(), state_name(alert.state), alert.count)).copied()
    }

    fn note(&mut self, alert_id: String, last: Said, is_asked: bool) {
        if last.is_closed && !is_asked {
            self.last.remove(&alert_id);
            return;
        }
        let sequence =
            self.last.get(&alert_id).map_or(last.sequence, |before| before.sequence.max(last.sequence));
        self.last.insert(alert_id, Said { sequence, ..last });
    }

    /// Parts what the fold gives of the event into what the log has, what it lacks, and what it lacks and must be told under another number or
    /// place than the fold gives. What neither opens what is closed on record nor goes on with what is open there is dropped: the
    /// comparison of what is open says it.
    fn split(&mut self, found: Vec<Found>, at: Last, all: &mut Told) -> Vec<Alert> {
        let (mut out, mut anew) = (Vec::new(), BTreeSet::new());
        for found in found {
            if let Some(ordinal) = self.ordinal(&found.alert) {
                // Which of the event's it is was said by the rules that told it.
                all.recorded.push(Found { alert: Alert { ordinal, ..found.alert }, ..found });
                continue;
            }
            let Alert { sequence, severity, state, ordinal, count, .. } = found.alert;
            let alert_id = found.alert.alert_id.clone();
            if state == State::Updated && self.opened.contains(&(alert_id.clone(), count)) {
                continue;
            }
            let last = self.last.get(&alert_id).copied();
            if last.is_some_and(|last| !last.is_closed) == (state == State::Open) {
                continue;
            }
            let next = last.map_or(0, |last| last.sequence.saturating_add(1));
            // Once part of what is told under others is on record, all that the fold itself gives is.
            let is_fresh = !self.is_begun && ordinal > at.ordinal && sequence >= next;
            let said = Said {
                entry: None,
                sequence: sequence.max(next),
                is_closed: state == State::Closed,
                severity,
            };
            self.note(alert_id.clone(), said, true);
            if is_fresh && !anew.contains(&alert_id) {
                all.fresh.push(found);
            } else {
                // What follows of it must not come before.
                anew.insert(alert_id);
                out.push(Alert { sequence: said.sequence, ..found.alert });
            }
        }
        out
    }
}

/// What to tell where the fold stands right behind the event of the last alert on record. `found` are all alerts that the fold gives of that
/// event.
///
/// # Errors
/// [`crate::Error::Entries`], [`crate::Error::Damaged`].
pub(crate) fn told(
    alerts: &LogSnapshot,
    at: Last,
    evidence_log: &str,
    engine: &mut Engine,
    setup: &Setup,
    found: Vec<Found>,
) -> Result<Told> {
    let session = session(setup);
    let open = engine.open_episodes(GOES_ON);
    let by_id: BTreeMap<&str, &Alert> = open.iter().map(|alert| (alert.alert_id.as_str(), alert)).collect();
    let of_event = found.iter().map(|found| found.alert.alert_id.clone());
    let asked: BTreeSet<String> = of_event.chain(by_id.keys().map(|id| (*id).to_owned())).collect();
    let mut standing = Standing::read(alerts, at, evidence_log, &session, &asked)?;
    let mut all = Told::default();
    let mut out = standing.split(found, at, &mut all);
    let is_left = |(id, last): &(&String, &Said)| !last.is_closed && !by_id.contains_key(id.as_str());
    let left = standing.last.iter().filter(is_left).filter_map(|(_, last)| last.entry);
    let worse = by_id.iter().filter_map(|(id, alert)| {
        let last = standing.last.get(*id).filter(|last| !last.is_closed && alert.severity > last.severity)?;
        last.entry
    });
    let recorded = entries(alerts, evidence_log, &left.chain(worse).collect())?;
    for (alert, source) in recorded.iter().filter(|(alert, _)| !by_id.contains_key(alert.alert_id.as_str())) {
        let sequence = standing.last.get(&alert.alert_id).map_or(alert.sequence, |last| last.sequence);
        out.push(closed(alert, sequence.saturating_add(1), reason(&alert.rule_id, source, setup)));
    }
    let muted = recorded.iter().filter(|(alert, _)| alert.muted_by.is_some());
    let muted: BTreeSet<&str> = muted.map(|(alert, _)| alert.alert_id.as_str()).collect();
    for alert in &open {
        let last = standing.last.get(&alert.alert_id);
        let state = match last.filter(|last| !last.is_closed) {
            None => State::Open,
            // A mute that is over is not told either: the next update says how bad it is.
            Some(last) if alert.severity > last.severity && !muted.contains(alert.alert_id.as_str()) => {
                State::Updated
            }
            Some(_) => continue,
        };
        // No number twice, or the log could take it for one that it has.
        let sequence =
            last.map_or(alert.sequence, |last| alert.sequence.max(last.sequence.saturating_add(1)));
        out.push(Alert { state, sequence, ..alert.clone() });
    }
    // What is told from here on has numbers of its own. After the loss of a state file they are found again in the alerts log.
    // What was closed here or at an earlier change can open again, under the same id where that names a bucket.
    let on_record = standing.last.iter().filter(|(id, last)| {
        by_id.get(id.as_str()).is_some_and(|alert| !last.is_closed && last.sequence > alert.sequence)
    });
    let mut numbers = std::mem::take(&mut standing.retired);
    numbers.extend(on_record.map(|(alert_id, last)| (alert_id.clone(), last.sequence)));
    numbers.extend(out.iter().map(|alert| (alert.alert_id.clone(), alert.sequence)));
    engine.number_on(&numbers);
    let before = all.fresh.last().map_or(at.ordinal, |found| found.alert.ordinal.max(at.ordinal));
    for (alert, ordinal) in out.into_iter().zip(before.saturating_add(1)..) {
        let alert = Alert { position: at.position, ordinal, ..alert };
        all.told.push(Found { alert, session_id: Some(session.clone()) });
    }
    Ok(all)
}

/// Where the alerts log tells last that these took effect, and how it ended before.
///
/// # Errors
/// [`crate::Error::Entries`], [`crate::Error::Damaged`].
pub(crate) fn place(alerts: &LogSnapshot, evidence_log: &str, setup: &Setup) -> Result<Option<Last>> {
    const COLUMNS: [&str; 5] = ["log_index", "evidence_log", "position", "ordinal", "session_id"];
    let session = session(setup);
    let mut place: Option<Last> = None;
    // Position and ordinal of the row before, and whether it is one of these.
    let mut before: Option<(i64, i64, bool)> = None;
    each(alerts, 0, u64::MAX, evidence_log, &COLUMNS, |entry, row| {
        let (position, ordinal) = (row.int("position")?, row.int("ordinal")?);
        let is_told = row.text("session_id")? == session;
        let here = before.filter(|(at, ..)| *at == position);
        // What others told at the same event is of another change.
        if is_told && here.is_none_or(|(.., was_told)| !was_told) {
            let ordinal = here.map_or(-1, |(_, last, _)| last);
            place = Some(Last { end: entry, position, ordinal });
        }
        before = Some((position, ordinal, is_told));
        Ok(())
    })?;
    Ok(place)
}

/// Names what took effect: settings, rules, model. Otherwise two changes at one event, with no alert between them, would be one.
fn session(setup: &Setup) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("tachograph detect takeover v1");
    let (settings, model) = (setup.settings.digest(), source());
    for text in [settings.as_str(), setup.rules.as_deref().map_or("", Rules::digest), model.as_str()] {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    let digest = hasher.finalize().to_hex();
    format!("{SESSION}{}", digest.as_str().get(..DIGEST_LENGTH).unwrap_or_default())
}

fn is_session(text: &str) -> bool {
    let digest = text.strip_prefix(SESSION).filter(|digest| digest.len() == DIGEST_LENGTH);
    digest.is_some_and(|digest| digest.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// The alert as it was told last, and that it is closed, and why.
fn closed(last: &Alert, sequence: i64, reason: &str) -> Alert {
    let ending = format!(" Episode closed because {reason}.");
    let before = clipped(&last.explanation, explanation_max().saturating_sub(ending.len()));
    Alert { state: State::Closed, sequence, explanation: format!("{before}{ending}"), ..last.clone() }
}

fn explanation_max() -> usize {
    Stream::Alerts.column("explanation").map_or(0, |column| column.bytes_max)
}

fn reason(rule_id: &str, told_by: &str, setup: &Setup) -> &'static str {
    let in_sigma = setup.rules.as_ref().and_then(|rules| rules.rule(rule_id));
    match in_sigma {
        Some(rule) if rule.is_disabled => "its rule is switched off",
        Some(rule) if !rule.is_active() => "its rule waits for a list",
        Some(rule) if !rule.alerts => "its rule tells nothing by itself, a correlation joins it",
        None if setup.settings.disabled.contains(rule_id) => "its rule is switched off",
        None if !RULE_IDS.contains(&rule_id) => "its rule is no longer loaded",
        _ if told_by != source() => "it was told by an earlier model; what goes on has another id",
        _ => "it is not open under the rules and settings now in force",
    }
}

/// The alerts of these entries and who told them, in their order.
fn entries(alerts: &LogSnapshot, evidence_log: &str, wanted: &BTreeSet<u64>) -> Result<Vec<(Alert, String)>> {
    let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    each(alerts, *first, last.saturating_add(1), evidence_log, &recorded::COLUMNS, |entry, row| {
        if wanted.contains(&entry) {
            found.push((row.alert()?, row.text("source")?));
        }
        Ok(())
    })?;
    Ok(found)
}

/// Calls `then` with the index and the row of every alert over that events log among the entries `first..end`.
fn each(
    alerts: &LogSnapshot,
    first: u64,
    end: u64,
    evidence_log: &str,
    columns: &'static [&'static str],
    mut then: impl FnMut(u64, Recorded<'_>) -> Result<()>,
) -> Result<()> {
    let log = alerts.origin.to_string();
    let mut entries = Entries::new(alerts.clone(), first, columns);
    let mut index = first;
    while index < end {
        let Some(batch) = entries.next_batch()? else { break };
        let logs = text(&log, &batch, "evidence_log")?;
        for row in 0..batch.num_rows() {
            // Entries of the recorder's own are of no log.
            if index < end && logs.is_valid(row) && logs.value(row) == evidence_log {
                then(index, Recorded { log: &log, batch: &batch, row })?;
            }
            index = index.saturating_add(1);
        }
    }
    Ok(())
}
