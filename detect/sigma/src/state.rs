//! What correlations remember: for each group a few matches of what they join, in event time.

mod group;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use schemas::limits::{ENGINE_EVIDENCE_MAX, SIGMA_GROUPS_MAX, SIGMA_LATENESS_S, SIGMA_SWEEP_S};
use serde::{Deserialize, Serialize};

use crate::cidr;
use crate::column::{Field, Fields, Value, bounded};
use crate::correlation::{Correlation, Kind};
use crate::error::Error;
use crate::matcher::lowered;
use crate::rule::Rule;
use crate::rules::Rules;
use group::{Found, Group, Hit, Mark};

/// How often groups that time has passed by are looked for, on the caller's clock.
const SWEEP_US: i64 = SIGMA_SWEEP_S * SECOND_US;
/// How far back an event may be dated.
const LATENESS_US: i64 = SIGMA_LATENESS_S * SECOND_US;
const SECOND_US: i64 = 1_000_000;

/// A rule that an event made match.
#[derive(Debug, Clone)]
pub struct Match<'a> {
    pub rule: &'a Rule,
    /// Log indices of the events that the match stands on, ascending: the first 16 and the last 16.
    pub evidence: Vec<i64>,
    /// Event time of the earliest of them.
    pub first_us: i64,
    /// Whether one of them is dated outside the ten minutes before the clock and was counted elsewhere: the match may join what was
    /// never within one time span.
    pub is_moved: bool,
    /// What was counted: events, values or joined rules; 1 for a rule on single events.
    pub count: u64,
    /// How many events the match stands on, those that `evidence` leaves out included.
    pub events: u64,
    /// For correlations the names they group by, with the values of this event.
    pub group: Vec<(&'a str, Option<String>)>,
    /// One text for each group of a correlation, the same for every spelling of its values; empty for a rule on single events.
    pub key: String,
}

/// The groups of one correlation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lane {
    /// Digest of the correlation: state is only good for what it was folded under.
    digest: String,
    groups: BTreeMap<String, Group>,
}

/// The state of all correlations of a set of rules. It is plain data in ordered maps: serialised and read back it goes on bit for
/// bit, and equal events make equal states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correlations {
    rules: String,
    watermark_us: i64,
    next_sweep_us: i64,
    lanes: BTreeMap<String, Lane>,
    evicted: u64,
}

impl Correlations {
    /// State that has seen nothing, for this set.
    pub fn new(rules: &Rules) -> Correlations {
        let rules = rules.digest().to_owned();
        Correlations {
            rules,
            watermark_us: i64::MIN,
            next_sweep_us: i64::MIN,
            lanes: BTreeMap::new(),
            evicted: 0,
        }
    }

    /// Sees that the state belongs to this set; call it on what was read back.
    pub fn check(&self, rules: &Rules) -> Result<(), Error> {
        if self.rules == rules.digest() {
            return Ok(());
        }
        Err(Error::RulesChanged { expected: rules.digest().to_owned(), found: self.rules.clone() })
    }

    /// The state for another set: correlations that mean the same go on, the others begin anew. Whoever swaps sets must do it at
    /// a place that the log names, or nobody can fold it again.
    #[must_use]
    pub fn carried(mut self, rules: &Rules) -> Correlations {
        let same: BTreeMap<&str, &str> =
            rules.correlations().map(|(_, rule, _)| (rule.id.as_str(), rule.digest.as_str())).collect();
        self.lanes.retain(|id, lane| same.get(id.as_str()) == Some(&lane.digest.as_str()));
        rules.digest().clone_into(&mut self.rules);
        self
    }

    /// Groups forgotten at the cap since the beginning.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Groups now held.
    pub fn groups(&self) -> usize {
        self.lanes.values().map(|lane| lane.groups.len()).sum()
    }

    /// Takes in the next event and gives what it makes match: rules on single events by id, then correlations. `rules` must be the
    /// set that this state belongs to.
    ///
    /// `event_us` is the event's time, `watermark_us` the caller's clock. Correlations take the event as of its own time, but within
    /// the last ten minutes before the clock: what is dated earlier counts where it arrives, or a source that dates everything back
    /// would be out of sight, and nothing is dated ahead of the clock.
    pub fn observe<'a>(
        &mut self,
        rules: &'a Rules,
        event: &dyn Fields,
        index: i64,
        event_us: i64,
        watermark_us: i64,
    ) -> Vec<Match<'a>> {
        self.watermark_us = self.watermark_us.max(watermark_us);
        let watermark_us = self.watermark_us;
        self.sweep(rules);
        let placed_us = event_us.clamp(watermark_us.saturating_sub(LATENESS_US), watermark_us);
        let mut fired = rules.matching(event);
        let mut out = Vec::new();
        for rule in fired.iter().filter_map(|at| rules.rules().get(*at)).filter(|rule| rule.alerts) {
            out.push(Match {
                rule,
                evidence: vec![index],
                first_us: event_us,
                is_moved: event_us != placed_us,
                count: 1,
                events: 1,
                group: Vec::new(),
                key: String::new(),
            });
        }
        if fired.is_empty() {
            return out;
        }
        for (at, rule, correlation) in rules.correlations() {
            let joined: Vec<usize> = correlation
                .stages
                .iter()
                .enumerate()
                .filter(|(_, stage)| fired.contains(stage))
                .map(|(at, _)| at)
                .collect();
            let hits = hits(correlation, &joined, event, index, [placed_us, event_us]);
            let Some(stage) = hits.first().map(|hit| hit.stage) else { continue };
            let group = values(correlation, stage, event);
            let key = key(correlation, stage, &group);
            let (evicted, held) = place(
                self.lanes.entry(rule.id.clone()),
                rule,
                key.clone(),
                correlation,
                [watermark_us, index],
            );
            self.evicted = self.evicted.saturating_add(evicted);
            held.forget(reach_us(correlation, watermark_us));
            let Some(found) = held.add(correlation, hits) else { continue };
            fired.push(at);
            if rule.alerts {
                let Found { mut evidence, first_us, is_moved, count } = found;
                evidence.sort_unstable();
                evidence.dedup();
                let events = evidence.len() as u64;
                out.push(Match {
                    rule,
                    evidence: ends(evidence),
                    first_us,
                    is_moved,
                    count,
                    events,
                    group,
                    key,
                });
            }
        }
        out
    }

    /// Forgets what no window can reach any more.
    fn sweep(&mut self, rules: &Rules) {
        if self.watermark_us < self.next_sweep_us {
            return;
        }
        self.next_sweep_us = self.watermark_us.saturating_add(SWEEP_US);
        for (_, rule, correlation) in rules.correlations() {
            if let Some(lane) = self.lanes.get_mut(&rule.id) {
                let before_us = reach_us(correlation, self.watermark_us);
                lane.groups.values_mut().for_each(|group| group.forget(before_us));
                lane.groups.retain(|_, group| !group.is_empty());
            }
        }
    }
}

/// The group of that key in its lane, made if it is new, and how many others had to go for it.
fn place<'l>(
    lane: Entry<'l, String, Lane>,
    rule: &Rule,
    key: String,
    correlation: &Correlation,
    [watermark_us, index]: [i64; 2],
) -> (u64, &'l mut Group) {
    let lane = lane.or_insert_with(|| Lane { digest: rule.digest.clone(), groups: BTreeMap::new() });
    let is_full = lane.groups.len() >= SIGMA_GROUPS_MAX && !lane.groups.contains_key(&key);
    let evicted = if is_full { make_room(&mut lane.groups, correlation, [watermark_us, index]) } else { 0 };
    (evicted, lane.groups.entry(key).or_insert_with(Group::new))
}

/// At the cap a sixteenth goes: what time has passed by, then what is furthest from a match. Among equals the hash of name and log
/// index decides: by age, whoever floods before or after would be sure to push out the one between, and where two are counted to a
/// victim's one hit is as little as a flood's.
fn make_room(
    groups: &mut BTreeMap<String, Group>,
    correlation: &Correlation,
    [watermark_us, index]: [i64; 2],
) -> u64 {
    let mut ranked: Vec<_> = groups
        .iter()
        .map(|(key, group)| {
            let is_alive = group.latest_us() >= reach_us(correlation, watermark_us);
            (is_alive, group.progress(correlation), Mark::of(format!("{index} {key}").as_bytes()), key)
        })
        .collect();
    // The order is total, so that which go does not depend on how they are chosen.
    let count = (SIGMA_GROUPS_MAX / 16).min(ranked.len());
    if count < ranked.len() {
        ranked.select_nth_unstable(count);
    }
    let lowest: Vec<String> = ranked.into_iter().take(count).map(|(.., key)| key.clone()).collect();
    lowest.iter().for_each(|key| drop(groups.remove(key)));
    lowest.len() as u64
}

/// The earliest time that a window of this correlation can still reach: the latest event may be dated back by the lateness, and its
/// window reaches back from there.
fn reach_us(correlation: &Correlation, watermark_us: i64) -> i64 {
    watermark_us.saturating_sub(LATENESS_US).saturating_sub(correlation.timespan_us)
}

/// What the event adds to its group: one hit for each joined rule that matters to the kind.
fn hits(
    correlation: &Correlation,
    joined: &[usize],
    event: &dyn Fields,
    index: i64,
    [time_us, event_us]: [i64; 2],
) -> Vec<Hit> {
    let hit = |stage: usize, mark: Option<Mark>| Hit { time_us, event_us, index, stage, mark };
    match correlation.kind {
        Kind::EventCount => joined.first().map(|stage| hit(*stage, None)).into_iter().collect(),
        Kind::ValueCount(field) => {
            let Some(stage) = joined.first() else { return Vec::new() };
            marks(field, event).into_iter().map(|mark| hit(*stage, Some(mark))).collect()
        }
        Kind::Temporal | Kind::TemporalOrdered => joined.iter().map(|stage| hit(*stage, None)).collect(),
    }
}

/// The values of a field, hashed; a null is no value.
fn marks(field: Field, event: &dyn Fields) -> Vec<Mark> {
    match field.read(event) {
        Value::Null => Vec::new(),
        Value::Text(text) => vec![Mark::of(folded(field, text).as_bytes())],
        Value::Number(number) => vec![Mark::of(&number.to_le_bytes())],
        Value::List(items) => items.iter().map(|item| Mark::of(folded(field, item).as_bytes())).collect(),
    }
}

/// The values that the event is grouped by. Null is one of them: who leaves a name out is grouped with others who do.
fn values<'a>(
    correlation: &'a Correlation,
    stage: usize,
    event: &dyn Fields,
) -> Vec<(&'a str, Option<String>)> {
    let value = |field: &Field| match field.read(event) {
        Value::Null | Value::List(_) => None,
        Value::Text(text) => Some(bounded(text).to_owned()),
        Value::Number(number) => Some(number.to_string()),
    };
    let groups = correlation.groups.iter();
    groups.map(|(name, fields)| (name.as_str(), fields.get(stage).and_then(value))).collect()
}

/// One key for equal values and no other: 32 hex digits of BLAKE3 over each value with its length, a null apart from an empty text.
fn key(correlation: &Correlation, stage: usize, group: &[(&str, Option<String>)]) -> String {
    let mut bytes = Vec::with_capacity(128);
    for ((_, value), (_, fields)) in group.iter().zip(&correlation.groups) {
        bytes.push(u8::from(value.is_some()));
        let value = value.as_deref().unwrap_or_default();
        let value = fields.get(stage).map_or(Cow::Borrowed(value), |field| folded(*field, value));
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        bytes.extend_from_slice(value.as_bytes());
    }
    blake3::hash(&bytes).to_hex().as_str().get(..32).unwrap_or_default().to_owned()
}

/// The text by which values are told apart, as matching does: without regard to case, an address without regard to its spelling.
/// Otherwise whoever chooses the spelling would choose the group.
fn folded(field: Field, text: &str) -> Cow<'_, str> {
    let text = bounded(text).trim();
    let address = if field.name() == "source_ip" { cidr::address(text) } else { None };
    address.map_or_else(|| lowered(text), |address| Cow::Owned(address.to_string()))
}

/// The first and the last of many, in their order.
fn ends(mut indices: Vec<i64>) -> Vec<i64> {
    if indices.len() > 2 * ENGINE_EVIDENCE_MAX {
        let last = indices.split_off(indices.len() - ENGINE_EVIDENCE_MAX);
        indices.truncate(ENGINE_EVIDENCE_MAX);
        indices.extend(last);
    }
    indices
}
