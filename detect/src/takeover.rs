//! Where other rules or settings take effect: what the alerts log has open is held against what the fold has open.
//!
//! A state that was folded under others is not gone on with: the log is folded from its start, and what that finds of the past up to the
//! last alert on record is not told. So there an episode can be open that nobody was told of, and one on record that nothing will
//! ever close. Behind the last alert on record, at the event that caused it, the one is told and the other closed.
//!
//! Nothing remembers under what the log was folded before, and nothing need: under the same rules both sides are the same, and there is
//! nothing to say. So this runs wherever a fold begins before the last alert on record, and what was cut off in the middle
//! of it goes on with the rest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use arrow::array::Array as _;
use engine::{Alert, Engine, RULE_IDS, Setup, Severity, State};
use schemas::Stream;
use store::LogSnapshot;

use crate::columns::text;
use crate::draft::clipped;
use crate::entries::Entries;
use crate::error::Result;
use crate::fold::Found;
use crate::recorded::{self, Recorded};

/// `session_id` of what is told because other rules or settings took effect. Persisted.
pub(crate) const SESSION: &str = "_refold";
/// Ends the explanation of an episode that goes on.
const GOES_ON: &str =
    "was open when the rules and settings now in force took effect; found by folding the log again";

const COLUMNS: [&str; 7] =
    ["log_index", "evidence_log", "position", "alert_id", "sequence", "state", "severity"];

/// Where the alerts log ends for the fold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Last {
    /// How many of its entries count. What a run that was cut off had appended may still come after them, and this one tells it again.
    pub end: u64,
    /// The event of the last alert among them.
    pub position: i64,
}

/// What the alerts log says of each episode last.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// By alert id; those that are closed only where somebody asked for them.
    last: BTreeMap<String, Said>,
    /// Alerts of the event at which others take effect, by id and number.
    there: BTreeSet<(String, i64)>,
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
    /// [`crate::Error::Read`], [`crate::Error::Damaged`].
    fn read(
        alerts: &LogSnapshot,
        Last { end, position }: Last,
        evidence_log: &str,
        asked: &BTreeMap<&str, &Alert>,
    ) -> Result<Standing> {
        let mut standing = Standing::default();
        each(alerts, 0, end, evidence_log, &COLUMNS, |entry, row| {
            let last = Said {
                entry: Some(entry),
                sequence: row.int("sequence")?,
                is_closed: row.state()? == State::Closed,
                severity: row.severity()?,
            };
            let alert_id = row.text("alert_id")?;
            if row.int("position")? == position {
                standing.there.insert((alert_id.clone(), last.sequence));
            }
            let is_asked = asked.contains_key(alert_id.as_str());
            standing.note(alert_id, last, is_asked);
            Ok(())
        })?;
        Ok(standing)
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
}

/// What to tell where the fold stands right behind the event of the last alert on record. `found` are the alerts of that event that the
/// fold gives beyond those on record; those that are on record under another number are taken out.
///
/// # Errors
/// [`crate::Error::Read`], [`crate::Error::Damaged`].
pub(crate) fn told(
    alerts: &LogSnapshot,
    at: Last,
    evidence_log: &str,
    engine: &mut Engine,
    setup: &Setup,
    found: &mut Vec<Found>,
) -> Result<Vec<Found>> {
    let open = engine.open_episodes(GOES_ON);
    let by_id: BTreeMap<&str, &Alert> = open.iter().map(|alert| (alert.alert_id.as_str(), alert)).collect();
    let mut standing = Standing::read(alerts, at, evidence_log, &by_id)?;
    found.retain(|Found { alert, .. }| !standing.there.contains(&(alert.alert_id.clone(), alert.sequence)));
    for Found { alert, .. } in found.iter() {
        let Alert { sequence, severity, .. } = *alert;
        let last = Said { entry: None, sequence, is_closed: alert.state == State::Closed, severity };
        standing.note(alert.alert_id.clone(), last, by_id.contains_key(alert.alert_id.as_str()));
    }
    let is_left = |(id, last): &(&String, &Said)| !last.is_closed && !by_id.contains_key(id.as_str());
    let left = standing.last.iter().filter(is_left).filter_map(|(_, last)| last.entry);
    let worse = by_id.iter().filter_map(|(id, alert)| {
        let last = standing.last.get(*id).filter(|last| !last.is_closed && alert.severity > last.severity)?;
        last.entry
    });
    let recorded = entries(alerts, evidence_log, &left.chain(worse).collect())?;
    let mut out = Vec::new();
    for alert in recorded.iter().filter(|alert| !by_id.contains_key(alert.alert_id.as_str())) {
        let sequence = standing.last.get(&alert.alert_id).map_or(alert.sequence, |last| last.sequence);
        out.push(closed(alert, sequence.saturating_add(1), setup));
    }
    let muted: BTreeSet<&str> =
        recorded.iter().filter(|alert| is_muted(alert)).map(|alert| alert.alert_id.as_str()).collect();
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
    let on_record = standing.last.iter().filter(|(_, last)| !last.is_closed);
    let mut numbers: BTreeMap<String, i64> =
        on_record.map(|(alert_id, last)| (alert_id.clone(), last.sequence)).collect();
    numbers.extend(out.iter().map(|alert| (alert.alert_id.clone(), alert.sequence)));
    engine.number_on(&numbers);
    let session_id = || Some(SESSION.to_owned());
    let found = |alert| Found { alert: Alert { position: at.position, ..alert }, session_id: session_id() };
    Ok(out.into_iter().map(found).collect())
}

/// Where the alerts log tells that others took effect: how it ended before, and from which ordinal on it does.
///
/// # Errors
/// [`crate::Error::Read`], [`crate::Error::Damaged`].
pub(crate) fn places(alerts: &LogSnapshot, evidence_log: &str) -> Result<VecDeque<(Last, i64)>> {
    const COLUMNS: [&str; 5] = ["log_index", "evidence_log", "position", "ordinal", "session_id"];
    let mut places: VecDeque<(Last, i64)> = VecDeque::new();
    let mut before = None;
    each(alerts, 0, u64::MAX, evidence_log, &COLUMNS, |entry, row| {
        let (position, ordinal) = (row.int("position")?, row.int("ordinal")?);
        if row.text("session_id")? != SESSION {
            before = Some((position, ordinal));
        } else if places.back().is_none_or(|(last, _)| last.position != position) {
            let ordinal =
                before.filter(|(at, _)| *at == position).map_or(0, |(_, last)| last.saturating_add(1));
            places.push_back((Last { end: entry, position }, ordinal));
        }
        Ok(())
    })?;
    Ok(places)
}

/// Numbers them on from `ordinal`.
pub(crate) fn numbered(told: &mut [Found], ordinal: i64) {
    for (found, ordinal) in told.iter_mut().zip(ordinal..) {
        found.alert.ordinal = ordinal;
    }
}

/// The alert as it was told last, and that it is closed, and why.
fn closed(last: &Alert, sequence: i64, setup: &Setup) -> Alert {
    let ending = format!(" Episode closed because {}.", reason(&last.rule_id, setup));
    let bytes_max = Stream::Alerts.column("explanation").map_or(0, |column| column.bytes_max);
    let before = clipped(&last.explanation, bytes_max.saturating_sub(ending.len()));
    Alert { state: State::Closed, sequence, explanation: format!("{before}{ending}"), ..last.clone() }
}

fn reason(rule_id: &str, setup: &Setup) -> &'static str {
    let in_sigma = setup.rules.as_ref().and_then(|rules| rules.rule(rule_id));
    match in_sigma {
        Some(rule) if rule.is_disabled => "its rule is switched off",
        Some(rule) if !rule.is_active() => "its rule waits for a list",
        Some(rule) if !rule.alerts => "its rule tells nothing by itself, a correlation joins it",
        None if setup.settings.disabled.contains(rule_id) => "its rule is switched off",
        None if !RULE_IDS.contains(&rule_id) => "its rule is no longer loaded",
        _ => "it is not open under the rules and settings now in force",
    }
}

/// Whether it was told as less than it is because its entity is muted.
fn is_muted(alert: &Alert) -> bool {
    alert.severity == Severity::Informational && alert.explanation.contains(". Muted by ")
}

/// The alerts of these entries, in their order.
fn entries(alerts: &LogSnapshot, evidence_log: &str, wanted: &BTreeSet<u64>) -> Result<Vec<Alert>> {
    let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    each(alerts, *first, last.saturating_add(1), evidence_log, &recorded::COLUMNS, |entry, row| {
        if wanted.contains(&entry) {
            found.push(row.alert()?);
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
