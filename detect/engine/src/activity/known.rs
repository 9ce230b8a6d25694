//! What is remembered of one entity of a rule on what lasts.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{DAY_MINUTES, Expected, Level, Minutes, Peers};
use crate::bits;
use crate::detector::Context;
use crate::entity::{Entity, bounded};
use crate::filings::{Confirmed, Told};
use crate::kernel::ln_normal_sf;
use crate::record::Event;

/// Lengths of the windows, in minutes.
pub(super) const WINDOWS: [i64; 2] = [60, 240];
/// The windows, and days added up.
pub(super) const SCALES: usize = WINDOWS.len() + 1;
/// The scale of days.
pub(super) const DAYS: usize = WINDOWS.len();
/// Days that a figure waits before it is learnt: a campaign is over by then, and a ramp was seen.
const DELAY_DAYS: [i64; SCALES] = [3, 3, 10];
/// The same while a level has yet to find its place.
const DELAY_YOUNG_DAYS: i64 = 3;
/// Half-lives of what is usual, in days that had anything.
const HALF_LIFE: [f64; SCALES] = [30.0, 30.0, 60.0];
/// What a day must be above what is usual to add anything to the sum of days, and the most that it is taken for, in deviations.
const ALLOWANCE: f64 = 1.3;
const DEVIATIONS_TOP: f64 = 4.0;
/// Active days from which on an entity is one of the fleet.
const ESTABLISHED_DAYS: u32 = 7;
/// Days without anything after which an entity is forgotten, and the same for one that was there on one day.
const FORGET_DAYS: i64 = 28;
const FORGET_PASSING_DAYS: i64 = 2;
/// Active days after that of its opening, all of them with the episode open, from which on what is new is taken for what is usual.
const ANCHOR_ACTIVE_DAYS: usize = 3;

/// Active minutes by scale: the most of a day's windows, and all of the day.
pub(super) type Figures = [u32; SCALES];
/// Of each scale, what entities have in common.
pub(super) type AllPeers = [Option<Peers>; SCALES];

/// One entity.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    pub entity: Entity,
    pub minutes: Minutes,
    /// Minutes before are counted and final.
    settled: i64,
    /// Of the day that is going on, as far as it is settled.
    figures: Figures,
    /// Days that wait to be learnt by some scale, oldest first.
    pending: VecDeque<(i64, Figures)>,
    levels: [Level; SCALES],
    /// The sum of days as of the end of the last one.
    #[serde(with = "bits")]
    pub sum: f64,
    pub days_active: u32,
    /// The day of which an episode was opened last: its id is the day's, and is given once.
    told: i64,
    /// When each day was told of that has not ended, two at most.
    told_days: BTreeMap<i64, Told>,
    /// The same while that episode is open and what it tells of is not what is usual.
    since: Option<i64>,
    /// How many episodes people closed.
    pub closed: u32,
    /// Active minutes at which the day is looked at next by the scale of days.
    pub check_at: u32,
    /// Log indices of the last records that began a minute, and the greatest event time of such.
    pub evidence: VecDeque<i64>,
    pub last_us: i64,
    pub environment: Option<String>,
}

impl Known {
    pub fn new(entity: Entity) -> Known {
        Known {
            entity,
            minutes: Minutes::new(),
            settled: i64::MIN,
            figures: [0; SCALES],
            pending: VecDeque::new(),
            levels: [Level::new(); SCALES],
            sum: 0.0,
            days_active: 0,
            told: i64::MIN,
            told_days: BTreeMap::new(),
            since: None,
            closed: 0,
            check_at: 0,
            evidence: VecDeque::new(),
            last_us: i64::MIN,
            environment: None,
        }
    }

    /// Takes a record in whose minute is `placed`, where minutes before `until` are final; true where the minute had none before.
    pub fn note(&mut self, placed: i64, until: i64, event: &Event<'_>) -> bool {
        // Before the newest goes on, so that nothing falls out of the ring unseen.
        if placed > self.minutes.newest() {
            self.settle(until);
        }
        if !self.minutes.add(placed) {
            return false;
        }
        self.settle(until);
        if self.evidence.len() >= schemas::limits::ENGINE_EVIDENCE_MAX {
            self.evidence.pop_front();
        }
        self.evidence.push_back(event.record.index);
        self.last_us = self.last_us.max(event.event_us);
        if self.environment.is_none() {
            self.environment = event.record.environment.map(|name| bounded(name).into_owned());
        }
        true
    }

    /// Counts the minutes before `until` that are not counted yet. Days before are finished first, so that they are all of one.
    fn settle(&mut self, until: i64) {
        let first = self.settled.max(self.minutes.oldest());
        for at in first..until.min(self.minutes.newest().saturating_add(1)) {
            if !self.minutes.has(at) {
                continue;
            }
            for (most, window) in self.figures.iter_mut().zip(WINDOWS) {
                *most = (*most).max(self.minutes.count(at, window));
            }
            self.figures[DAYS] = self.figures[DAYS].saturating_add(1);
        }
        self.settled = self.settled.max(until);
    }

    /// Active minutes of a day so far, those that may still change included.
    pub fn of_day(&self, day: i64) -> u32 {
        let (newest, end) = (self.minutes.newest(), day.saturating_add(1).saturating_mul(DAY_MINUTES));
        let last = newest.min(end.saturating_sub(1));
        let first = self.settled.max(self.minutes.oldest()).max(day.saturating_mul(DAY_MINUTES));
        let length = last.saturating_sub(first).saturating_add(1).max(0);
        self.figures[DAYS].saturating_add(self.minutes.count(last, length))
    }

    /// Ends a day; its figures and what each is worth, where it had anything.
    pub fn finish(&mut self, day: i64, peers: &AllPeers) -> Option<[Option<(u32, f64)>; SCALES]> {
        self.settle(day.saturating_add(1).saturating_mul(DAY_MINUTES));
        (self.check_at, self.environment) = (0, None);
        let figures = std::mem::take(&mut self.figures);
        if figures[DAYS] == 0 {
            return None;
        }
        self.days_active = self.days_active.saturating_add(1);
        self.pending.push_back((day, figures));
        let worth: [_; SCALES] =
            std::array::from_fn(|at| Some((figures[at], self.score(at, figures[at], peers)?.0)));
        self.sum = worth[DAYS].map_or(self.sum, |(_, sum)| sum);
        Some(worth)
    }

    /// What a figure of a scale is worth, and what is expected: `-ln p`, were its square root normal; for days the sum that it makes.
    pub fn score(&self, scale: usize, figure: u32, peers: &AllPeers) -> Option<(f64, Expected)> {
        let expected = self.levels[scale].expected(peers[scale].as_ref())?;
        let deviations = expected.deviations(f64::from(figure));
        if scale != DAYS {
            return Some((-ln_normal_sf(deviations), expected));
        }
        // A newcomer has no level that could have changed.
        let added = deviations.clamp(-DEVIATIONS_TOP, DEVIATIONS_TOP) - ALLOWANCE;
        (!expected.is_peer).then_some(((self.sum + added).max(0.0), expected))
    }

    /// Whether an episode of that day may be opened. Closed by a person, the next has another id.
    pub fn may_be_told(&self, day: i64) -> bool {
        self.told != day
    }

    /// Whether what its open episode tells of goes on and has not become what is usual.
    pub fn is_told(&self) -> bool {
        self.since.is_some()
    }

    pub fn tell(&mut self, day: i64) {
        (self.told, self.since) = (day, Some(day));
    }

    /// An alert tells of what that day has so far.
    pub fn tell_of_day(&mut self, day: i64, key: &str, opens: bool, context: &Context<'_>) {
        self.told_days.entry(day).or_default().tell(key, opens, context);
    }

    /// What was told of a day that ends.
    pub fn told_on(&mut self, day: i64) -> Told {
        let later = self.told_days.split_off(&day.saturating_add(1));
        std::mem::replace(&mut self.told_days, later).remove(&day).unwrap_or_default()
    }

    pub fn called_true(&mut self, episode: &Confirmed<'_>) {
        self.told_days.values_mut().for_each(|told| told.called_true(episode));
    }

    /// A person closed its episode: what more comes is told as another.
    pub fn called_benign(&mut self) {
        self.closed = self.closed.saturating_add(1);
        (self.sum, self.told, self.since) = (0.0, i64::MIN, None);
    }

    /// After a day ended: what an episode tells of for days is what is usual from now on, and what was not told of is learnt.
    pub fn turn(&mut self, today: i64, is_open: bool, peers: &AllPeers) {
        self.since = self.since.filter(|_| is_open);
        let Some(since) = self.since else {
            self.commit(today, peers);
            return;
        };
        // Neither learnt nor forgotten before it is one or the other.
        let lasting = self.pending.iter().filter(|(day, _)| *day > since);
        let lasting: Vec<Figures> = lasting.map(|(_, figures)| *figures).collect();
        if lasting.len() < ANCHOR_ACTIVE_DAYS {
            return;
        }
        for (at, level) in self.levels.iter_mut().enumerate() {
            level.anchor(lasting.iter().map(|figures| f64::from(figures[at])));
        }
        self.pending.clear();
        (self.sum, self.since) = (0.0, None);
    }

    /// Learns the days that have waited long enough, each scale its own.
    fn commit(&mut self, today: i64, peers: &AllPeers) {
        for scale in 0..SCALES {
            let delay = if self.levels[scale].is_young() { DELAY_YOUNG_DAYS } else { DELAY_DAYS[scale] };
            let due = today.saturating_sub(delay).saturating_sub(1);
            for at in 0..self.pending.len() {
                let Some((day, figures)) = self.pending.get_mut(at) else { continue };
                // A figure that was learnt is none.
                if *day > due || figures[scale] == 0 {
                    continue;
                }
                let figure = std::mem::take(&mut figures[scale]);
                let level = &mut self.levels[scale];
                level.learn(f64::from(figure), level.expected(peers[scale].as_ref()), HALF_LIFE[scale]);
            }
        }
        while self.pending.front().is_some_and(|(_, figures)| figures.iter().all(|figure| *figure == 0)) {
            self.pending.pop_front();
        }
    }

    pub fn level(&self, scale: usize) -> &Level {
        &self.levels[scale]
    }

    pub fn is_established(&self) -> bool {
        self.days_active >= ESTABLISHED_DAYS
    }

    pub fn is_worth_keeping(&self, day: i64) -> bool {
        let days = if self.days_active > 1 { FORGET_DAYS } else { FORGET_PASSING_DAYS };
        self.minutes.newest().div_euclid(DAY_MINUTES) >= day.saturating_sub(days)
    }
}
