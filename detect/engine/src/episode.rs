//! Episodes: from many signals about an entity to few alerts.

mod emission;
mod evidence;
mod identity;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::alert::{BudgetVerdict, Confidence, Severity, State};
use crate::bounded::{Bounded, Rank, lowest};
use crate::detector::{Effect, Signal, Telling};
use crate::entity::{Entity, bounded};
use crate::keyed::Keyed;
use crate::record::{Event, Verdict};
pub(crate) use emission::Emission;
use identity::alert_id;

/// Log indices kept from the beginning and from the end of an episode, each.
const EVIDENCE_MAX: usize = schemas::limits::ENGINE_EVIDENCE_MAX;

/// Closed episodes of a rule that a verdict still finds, and entities that are muted under it.
const CLOSED_MAX: usize = schemas::limits::ENGINE_CLOSED_MAX;
/// How long an episode holds what would open one by itself, where its rule asks.
const OLD_US: i64 = schemas::limits::ENGINE_EPISODE_S_MAX * 1_000_000;
const MUTES_MAX: usize = schemas::limits::ENGINE_MUTES_MAX;
const MUTE_NOTE_BYTES_MAX: usize = schemas::limits::ALERT_VERDICT_NOTE_BYTES_MAX;

/// One open episode of one entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Episode {
    alert_id: String,
    entity: Entity,
    environment: Option<String>,
    /// Whose past the expectation came from.
    baseline: String,
    first_seen_us: i64,
    last_seen_us: i64,
    count: i64,
    /// The count at which the next update is due: a power of two.
    update_count: i64,
    sequence: i64,
    severity: Severity,
    confidence: Confidence,
    observed: Option<i64>,
    expected: Option<i64>,
    /// Of its opening.
    budget_verdict: Option<BudgetVerdict>,
    /// Of what opened it, or moved `observed` last.
    log10_p_milli: Option<i64>,
    detail: String,
    evidence_first: Vec<i64>,
    evidence_last: VecDeque<i64>,
    /// Watermark when it opened, and at the last signal that kept it open.
    opened_us: i64,
    active_us: i64,
    /// How many of its records turned out to be in order.
    explained: i64,
    /// Whether a person called it true.
    is_confirmed: bool,
    /// Its place in the order of deadlines; never later than the true deadline.
    scheduled_us: i64,
}

/// A person wants to hear no more of an entity under this rule for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mute {
    until_us: i64,
    by: String,
    note: String,
}

/// An episode that is over: from when to when it was open, by the watermark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Closed {
    alert_id: String,
    key: String,
    opened_us: i64,
    closed_us: i64,
}

/// What became of a verdict, for the detector of the episode that it was about.
#[derive(Debug)]
pub(crate) enum Judged {
    /// The open episode of that entity was closed.
    Benign { key: String },
    /// One of that entity was called true, which was open from then to then.
    True { key: String, since_us: i64, until_us: i64 },
}

/// The open episodes of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Episodes {
    open: Keyed<Episode>,
    closed_early: u64,
    /// What was closed lately, the oldest first: what a verdict may still be about.
    closed: VecDeque<Closed>,
    /// Last numbers of those that others closed, by alert id: what is named by a bucket can open again.
    numbers: Bounded<i64>,
    /// By the key of the entity.
    mutes: BTreeMap<String, Mute>,
    /// (`scheduled_us`, key) of every open episode; rebuilt after a restore.
    #[serde(skip)]
    deadlines: BTreeSet<(i64, String)>,
}

impl Episodes {
    pub fn new() -> Episodes {
        Episodes {
            open: Keyed::default(),
            closed_early: 0,
            closed: VecDeque::new(),
            numbers: Bounded::new(),
            mutes: BTreeMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    pub fn is_open(&self, key: &str) -> bool {
        self.open.contains_key(key)
    }

    /// Whether an episode is open and has been for a day: what would open one by itself is told as another ([`Effect::Renew`]).
    pub fn is_old(&self, key: &str, watermark_us: i64) -> bool {
        self.open.get(key).is_some_and(|episode| watermark_us.saturating_sub(episode.opened_us) >= OLD_US)
    }

    /// Whether an episode is open and a person called it true.
    pub fn is_confirmed(&self, key: &str) -> bool {
        self.open.get(key).is_some_and(|episode| episode.is_confirmed)
    }

    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    pub fn closed_early(&self) -> u64 {
        self.closed_early
    }

    /// When the next episode may close, on the engine's clock.
    pub fn awaits_us(&self) -> Option<i64> {
        self.deadlines.first().map(|(scheduled_us, _)| scheduled_us.saturating_add(1))
    }

    /// Every open episode has its one deadline, and nothing else has.
    #[cfg(test)]
    pub fn is_scheduled(&self) -> bool {
        let mut rebuilt = self.clone();
        rebuilt.rebuild_deadlines();
        rebuilt.deadlines == self.deadlines
    }

    pub fn rebuild_deadlines(&mut self) {
        self.deadlines =
            self.open.unordered().map(|(key, episode)| (episode.scheduled_us, key.clone())).collect();
    }

    /// Closes what has been quiet for long enough, in the order of deadlines.
    pub fn expire(&mut self, told: &dyn Telling, emission: &mut Emission<'_>) {
        // Asked before every record of every rule.
        if self.deadlines.first().is_none_or(|(scheduled_us, _)| *scheduled_us >= emission.watermark_us) {
            return;
        }
        while self.deadlines.first().is_some_and(|(scheduled_us, _)| *scheduled_us < emission.watermark_us) {
            let Some((_, key)) = self.deadlines.pop_first() else { return };
            let Some(episode) = self.open.get_mut(&key) else { continue };
            let quiet_us = told.stays_open_us(&key, emission.settings);
            let deadline_us = episode.active_us.saturating_add(quiet_us);
            if deadline_us < emission.watermark_us {
                self.close(&key, "closed after three quiet windows", told, emission);
            } else {
                // Signals only note the time; the order of deadlines catches up here.
                episode.scheduled_us = deadline_us;
                self.deadlines.insert((deadline_us, key));
            }
        }
    }

    /// Takes one signal in: opens, updates or silently extends the episode of its entity. `event` is the record that the signal is
    /// about; none at the close of a bucket.
    pub fn apply(
        &mut self,
        signal: Signal,
        event: Option<&Event<'_>>,
        told: &dyn Telling,
        emission: &mut Emission<'_>,
    ) {
        if signal.effect == Effect::Explain {
            self.explain(&signal, told, emission);
            return;
        }
        if signal.effect == Effect::Renew {
            self.close(&signal.entity.key, "closed after a day, what goes on is another", told, emission);
        }
        if let Some(episode) = self.open.get_mut(&signal.entity.key) {
            if episode.extend(signal, event, emission.watermark_us) {
                episode.sequence = episode.sequence.saturating_add(1);
                emission.emit(episode, &self.mutes, State::Updated, None, told);
            }
        } else if signal.effect != Effect::Follow {
            self.make_room(told, emission);
            let mut episode = Episode::new(signal, event, told, emission);
            episode.sequence = self.numbers.get(&episode.alert_id).map_or(0, |last| last.saturating_add(1));
            emission.emit(&episode, &self.mutes, State::Open, None, told);
            self.deadlines.insert((episode.scheduled_us, episode.entity.key.clone()));
            let key = episode.entity.key.clone();
            self.open.insert(&key, episode);
        }
    }

    /// A record of an open episode turned out to be in order. An episode of nothing else is over; any other says so.
    fn explain(&mut self, signal: &Signal, told: &dyn Telling, emission: &mut Emission<'_>) {
        let key = signal.entity.key.as_str();
        let Some(episode) = self.open.get_mut(key) else { return };
        // One of an earlier episode is over already.
        let named = signal.opening_evidence.first().zip(episode.evidence_first.first());
        if named.is_none_or(|(index, first)| index < first) {
            return;
        }
        episode.explained = episode.explained.saturating_add(1);
        if episode.explained >= episode.count {
            self.close(key, &format!("closed as explained, {}", signal.detail), told, emission);
            return;
        }
        episode.sequence = episode.sequence.saturating_add(1);
        let why = format!("explained in part, {}", signal.detail);
        emission.emit(episode, &self.mutes, State::Updated, Some(&why), told);
    }

    /// Takes what a person says, if it is about an episode of this rule that is open or was closed lately.
    pub fn judge(
        &mut self,
        verdict: &Verdict<'_>,
        told: &dyn Telling,
        emission: &mut Emission<'_>,
    ) -> Option<Judged> {
        let is_open = self.open.unordered().find(|(_, episode)| episode.alert_id == verdict.alert_id);
        let was_closed = || self.closed.iter().rev().find(|closed| closed.alert_id == verdict.alert_id);
        let (is_open, key, since_us, until_us) = match is_open {
            Some((key, episode)) => (true, key.clone(), episode.opened_us, emission.watermark_us),
            None => {
                let Closed { key, opened_us, closed_us, .. } = was_closed()?;
                (false, key.clone(), *opened_us, *closed_us)
            }
        };
        self.mutes.remove(&key);
        self.mutes.retain(|_, mute| mute.until_us > emission.received_us);
        if verdict.muted_until_us > emission.received_us && self.mutes.len() < MUTES_MAX {
            let (by, note) = (bounded(verdict.by).into_owned(), noted(verdict.note).to_owned());
            self.mutes.insert(key.clone(), Mute { until_us: verdict.muted_until_us, by, note });
        }
        let by = bounded(verdict.by);
        if verdict.is_true {
            if let Some(episode) = self.open.get_mut(&key).filter(|_| is_open) {
                episode.sequence = episode.sequence.saturating_add(1);
                episode.is_confirmed = true;
                let why = format!("confirmed by {by}");
                emission.emit(episode, &self.mutes, State::Updated, Some(&why), told);
            }
            return Some(Judged::True { key, since_us, until_us });
        }
        is_open.then(|| {
            self.close(&key, &format!("closed as benign by {by}"), told, emission);
            Judged::Benign { key }
        })
    }

    /// Every open episode as it would be told now, by its key; changes nothing.
    pub fn tell_open(&self, why: &str, told: &dyn Telling, emission: &mut Emission<'_>) {
        for (_, episode) in self.open.sorted() {
            emission.emit(episode, &self.mutes, State::Open, Some(why), told);
        }
    }

    /// Episodes go on from these numbers, by alert id, where they are not beyond; those that are closed, should they open again.
    pub fn number_on(&mut self, told: &BTreeMap<String, i64>) {
        for (_, episode) in self.open.unordered_mut() {
            let told = told.get(&episode.alert_id).copied().unwrap_or(episode.sequence);
            episode.sequence = episode.sequence.max(told);
        }
        for (id, number) in told {
            let last = self.numbers.entry(id, CLOSED_MAX, |_, at| (false, at.unsigned_abs(), 0), || *number);
            *last = (*last).max(*number);
        }
    }

    /// At the cap the episodes with the lowest count are closed, openly: a new entity is never left without
    /// its alert, and a flood of single offences pushes out itself before an episode with more evidence.
    fn make_room(&mut self, told: &dyn Telling, emission: &mut Emission<'_>) {
        let open_max = emission.settings.episodes_open_max.max(1);
        if self.open.len() < open_max {
            return;
        }
        for key in lowest(self.open.unordered(), (open_max / 16).max(1), |_, episode| episode.rank()) {
            self.closed_early = self.closed_early.saturating_add(1);
            self.close(&key, "closed early because too many episodes of this rule are open", told, emission);
        }
    }

    fn close(&mut self, key: &str, why: &str, told: &dyn Telling, emission: &mut Emission<'_>) {
        if let Some(mut episode) = self.open.remove(key) {
            self.deadlines.remove(&(episode.scheduled_us, key.to_owned()));
            episode.sequence = episode.sequence.saturating_add(1);
            emission.emit(&episode, &self.mutes, State::Closed, Some(why), told);
            self.numbers.get_mut(&episode.alert_id).into_iter().for_each(|last| *last = episode.sequence);
            if self.closed.len() >= CLOSED_MAX {
                self.closed.pop_front();
            }
            self.closed.push_back(Closed {
                alert_id: episode.alert_id,
                key: key.to_owned(),
                opened_us: episode.opened_us,
                closed_us: emission.watermark_us,
            });
        }
    }
}

/// As much of a note as is held for as long as its mute lasts.
fn noted(note: &str) -> &str {
    note.get(..note.floor_char_boundary(MUTE_NOTE_BYTES_MAX)).unwrap_or_default()
}

impl Episode {
    fn new(
        signal: Signal,
        event: Option<&Event<'_>>,
        told: &dyn Telling,
        emission: &Emission<'_>,
    ) -> Episode {
        let count = signal.opening_count.max(1);
        let watermark_us = emission.watermark_us;
        let of_record = event.and_then(|event| event.record.environment);
        let (anchor, environment, baseline) = match signal.bucket {
            Some(bucket) => (
                bucket.start_us.saturating_add(i64::from(bucket.closed)),
                bucket.environment,
                bucket.baseline,
            ),
            None => (emission.position, of_record.map(|name| bounded(name).into_owned()), "none"),
        };
        let mut episode = Episode {
            alert_id: alert_id(
                told.facts(&signal.entity.key).id,
                emission.tenant,
                &signal.entity.key,
                anchor,
            ),
            environment,
            baseline: baseline.to_owned(),
            first_seen_us: signal.opening_us.min(signal.seen_us),
            last_seen_us: signal.seen_us,
            count,
            update_count: power_of_two_above(count),
            sequence: 0,
            severity: signal.severity,
            confidence: signal.confidence,
            observed: signal.observed,
            expected: signal.expected,
            budget_verdict: signal.budget_verdict,
            log10_p_milli: signal.ln_p.map(log10_milli),
            detail: signal.detail,
            evidence_first: Vec::new(),
            evidence_last: VecDeque::new(),
            opened_us: watermark_us,
            active_us: watermark_us,
            explained: 0,
            is_confirmed: false,
            scheduled_us: watermark_us
                .saturating_add(told.stays_open_us(&signal.entity.key, emission.settings)),
            entity: signal.entity,
        };
        signal.opening_evidence.iter().for_each(|index| episode.add_evidence(*index));
        episode
    }

    /// True if the signal is worth an update.
    fn extend(&mut self, signal: Signal, event: Option<&Event<'_>>, watermark_us: i64) -> bool {
        if signal.effect == Effect::Open {
            self.active_us = watermark_us;
            self.confidence = self.confidence.max(signal.confidence);
        }
        if signal.effect == Effect::Open || (signal.bucket.is_some() && !signal.detail.is_empty()) {
            (self.observed, self.expected) = (signal.observed, signal.expected);
            self.log10_p_milli = signal.ln_p.map(log10_milli).or(self.log10_p_milli);
        }
        if !signal.detail.is_empty() {
            self.detail = signal.detail;
        }
        if let Some(event) = event.filter(|_| signal.offending) {
            self.count = self.count.saturating_add(1);
            self.first_seen_us = self.first_seen_us.min(signal.seen_us);
            self.last_seen_us = self.last_seen_us.max(signal.seen_us);
            self.add_evidence(event.record.index);
        }
        let worse = signal.severity > self.severity;
        self.severity = self.severity.max(signal.severity);
        let due = self.count >= self.update_count;
        if due {
            self.update_count = power_of_two_above(self.count);
        }
        worse || due
    }

    /// Indices arrive ascending.
    fn add_evidence(&mut self, index: i64) {
        if self.evidence_first.len() < EVIDENCE_MAX {
            self.evidence_first.push(index);
            return;
        }
        if self.evidence_last.len() >= EVIDENCE_MAX {
            self.evidence_last.pop_front();
        }
        self.evidence_last.push_back(index);
    }

    fn rank(&self) -> Rank {
        (self.severity >= Severity::Critical, self.count.unsigned_abs(), self.active_us)
    }
}

/// Thousandths of the logarithm to base 10.
fn log10_milli(ln_p: f64) -> i64 {
    libm::round(ln_p * 1_000.0 / std::f64::consts::LN_10) as i64
}

fn power_of_two_above(count: i64) -> i64 {
    let above = count.unsigned_abs().saturating_add(1).checked_next_power_of_two();
    above.and_then(|power| i64::try_from(power).ok()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_come_at_powers_of_two() {
        assert_eq!([0, 1, 2, 3, 4, 10, 16].map(power_of_two_above), [1, 2, 4, 4, 8, 16, 32]);
        assert_eq!(power_of_two_above(i64::MAX), i64::MAX);
    }
}
