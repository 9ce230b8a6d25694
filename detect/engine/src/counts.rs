//! Counts of an entity in five minutes, held against what is usual for it: the machinery under every rule on a count.
//!
//! - **Idle** entities learn that nothing came when they are next asked about, a twelfth of them at every close and all at the end of a day: it comes
//!   out as if each had learnt each bucket at its close, but for what is forgotten at the cap, whose last hour is lost.
//! - **Buckets** are by event time. One closes once the engine's clock is `lateness_s` past its end; a record that comes later than that counts in
//!   the oldest bucket that is open, and the alert says so: a source that dates its records back must not be out of sight. Each close
//!   judges and teaches every known entity, with 0 where nothing came, in the order of keys. After a day in which no record came
//!   nobody knows what was, and nothing is learnt of it.
//! - **A score** is `-ln p` of the count under the entity's [`CountBaseline`]. What it is worth says the past of scores
//!   ([`Pools`]); without that there is no verdict, and the configured ceilings are what there is.
//! - **Opening**: `p <= budget / tests a day`, the tests of the last seven days averaged, or today's where there are more: by chance at most `budget`
//!   episodes open a day, whatever depends on what, as far as p is calibrated. An open bucket is looked at when its count has grown by
//!   a quarter, so that a burst is told while it lasts; its close looks at every one. An episode beyond the budget of its day says so and is
//!   no less severe, or one burst of a throw-away name would be a cover for all others.
//! - **Extending**: an open episode lives while the count has `p < 0.05` by what is usual, whatever the last half hour was like.
//! - **Forgetting**: an entity without a record for 28 days, or with fewer than [`FEW_RECORDS`] and none for a day. Only those with records on
//!   seven days speak for others.
//!
//! State: 3 kB an entity (its baseline), at most 5 kB in a snapshot, up to 60 kB more for each of `OWN_POOLS` that have a pool of their own. Beyond
//! `entities_max` those with the fewest records go first, so that a flood of new identities pushes out itself.
//!
//! It cannot see: what grows by less than what is unusual from hour to hour (the baseline follows within its bounds), what stays below
//! `count_min`, an entity's first week where its peers have none either, events that never came, differences above a million in a
//! bucket.

mod known;
mod pools;
mod telling;

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::alert::Severity;
use crate::baseline::{CountBaseline, Parent, Prediction};
use crate::bounded::Bounded;
use crate::detector::{Context, Detector, Rule, Signal};
use crate::entity::{Entity, Level, entity_key};
use crate::filings::{Confirmed, Filings};
use crate::keyed::Keyed;
use crate::opening::{LN_ALPHA_TOP, Opening, TEST_DAYS};
use crate::recalibration::Recalibration;
use crate::record::Event;
use crate::settings::{Settings, microseconds};
use known::{Known, PHASES, Tally};
use pools::{OWN_POOLS, Pools, Size};

/// Length of a bucket.
pub(crate) const BUCKET_S: i64 = 300;
const BUCKET_US: i64 = BUCKET_S * 1_000_000;
const BUCKETS_OF_DAY: i64 = 86_400 / BUCKET_S;
/// Days without a record after which an entity is forgotten.
const FORGET_DAYS: i64 = 28;
/// Records below which it is forgotten after a day.
const FEW_RECORDS: u64 = 5;
/// p below which a bucket keeps an episode open.
const LN_EXTENDS: f64 = LN_ALPHA_TOP;
/// How many times what is expected makes an episode severe.
const SEVERE_TIMES: f64 = 20.0;

/// One record in the scope of a rule: whom it is about and whether it counts.
#[derive(Debug)]
pub(crate) struct Occurrence<'a> {
    pub level: Level,
    /// A column of `events` and its value.
    pub of: (&'static str, &'a str),
    pub counts: bool,
}

/// What makes a rule on a count out of the machinery.
pub(crate) trait Counted: std::fmt::Debug + Send {
    const RULE: Rule;
    const WORDING: Wording;
    /// SQL condition over `events` for the records that count.
    const SCOPE: &'static str;

    /// `count_min` and `budget_milli`.
    fn limits(settings: &Settings) -> (u64, i64);

    fn occurrence<'a>(event: &Event<'a>) -> Option<Occurrence<'a>>;
}

/// A rule on a count.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct CountRule<C> {
    counts: Counts,
    #[serde(skip)]
    counted: PhantomData<C>,
}

impl<C: Counted> CountRule<C> {
    pub fn new() -> CountRule<C> {
        CountRule { counts: Counts::new(), counted: PhantomData }
    }

    fn judging(settings: &Settings) -> Judging {
        let (count_min, budget_milli) = C::limits(settings);
        Judging { wording: C::WORDING, count_min, budget_milli }
    }
}

impl<C: Counted> Detector for CountRule<C> {
    fn rule(&self) -> &'static Rule {
        &C::RULE
    }

    fn window_us(&self, _settings: &Settings) -> Option<i64> {
        Some(BUCKET_US)
    }

    fn scope(&self, _settings: &Settings) -> String {
        C::SCOPE.to_owned()
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        if let Some(of) = C::occurrence(event) {
            signals.extend(self.counts.add(event, &of, &Self::judging(context.settings), context));
        }
    }

    fn due_us(&self, settings: &Settings) -> Option<i64> {
        self.counts.due_us(settings.lateness_s)
    }

    fn awaits_us(&self, settings: &Settings) -> Option<i64> {
        // A bucket in which nothing came has nothing to tell.
        close_us(*self.counts.open.keys().next()?, settings.lateness_s)
    }

    fn close(&mut self, now_us: i64, context: &Context<'_>, signals: &mut Vec<Signal>) {
        self.counts.close(now_us, &Self::judging(context.settings), context, signals);
    }

    fn called_benign(&mut self, key: &str) {
        let of_entity = self.counts.open.values_mut().filter_map(|tallies| tallies.get_mut(key));
        of_entity.for_each(Tally::called_benign);
    }

    fn called_true(&mut self, episode: &Confirmed<'_>) {
        self.counts.called_true(episode);
    }

    fn restored(&mut self) {
        self.counts.restored();
    }

    fn evicted(&self) -> u64 {
        self.counts.known.evicted()
    }
}

/// How a rule on a count speaks and how severe it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wording {
    /// What is counted, in the plural.
    pub noun: &'static str,
    pub severity: Severity,
    /// From [`SEVERE_TIMES`] of what is expected on.
    pub severe: Severity,
}

/// What the counts of a rule are judged by.
#[derive(Debug, Clone, Copy)]
struct Judging {
    wording: Wording,
    count_min: u64,
    budget_milli: i64,
}

/// What is known and open of one rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    /// The oldest bucket that is still open, in buckets since 1970; none before the first record.
    next: Option<i64>,
    /// Buckets that have counts and are open.
    open: BTreeMap<i64, Keyed<Tally>>,
    known: Bounded<Known>,
    /// How many of them a bucket asks: those with a record in the last seven days that have something to be held against.
    asked: u64,
    parent: Parent,
    pools: Pools,
    /// Scores of told buckets, while they wait.
    told: Filings<Size>,
    /// Its day is that of the last bucket that closed; an entity judged is a test.
    opening: Opening,
}

/// When a bucket closes, on the engine's clock.
fn close_us(bucket: i64, lateness_s: i64) -> Option<i64> {
    let end_us = (i128::from(bucket) + 1) * i128::from(BUCKET_US);
    let due_us = end_us + i128::from(microseconds(lateness_s));
    i64::try_from(due_us.max(i128::from(i64::MIN))).ok()
}

/// What a signal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    Opens,
    /// Keeps an episode open; its records were counted as they came.
    Extends,
    /// A record of an open episode.
    Follows,
}

/// What a bucket of one entity is worth.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    prediction: Prediction,
    ln_p: f64,
    /// Whether it keeps an episode open; asked of open ones at the close.
    extends: bool,
}

/// What a bucket that closes is worth, where there is something to hold it against, and the score that is to be filed in the pool of that size.
#[derive(Debug)]
struct Worth {
    verdict: Option<Verdict>,
    score: Option<(Size, f64)>,
}

impl Counts {
    fn new() -> Counts {
        Counts {
            next: None,
            open: BTreeMap::new(),
            known: Bounded::new(),
            asked: 0,
            parent: Parent::unknown(),
            pools: Pools::new(),
            told: Filings::new(),
            opening: Opening::new(),
        }
    }

    /// After a snapshot was read: what follows from the rest.
    fn restored(&mut self) {
        let day = self.opening.day();
        self.pools.turn(day);
        self.known.each().for_each(|(_, known)| known.turn(day));
    }

    /// When the oldest open bucket closes, on the engine's clock; one that ends after the last moment that has a number never does.
    fn due_us(&self, lateness_s: i64) -> Option<i64> {
        close_us(self.next?, lateness_s)
    }

    /// Takes a record in; a signal where its open bucket is unusual already, or where its entity's episode is open.
    fn add(
        &mut self,
        event: &Event<'_>,
        of: &Occurrence<'_>,
        rule: &Judging,
        context: &Context<'_>,
    ) -> Option<Signal> {
        let own = event.placed_us.div_euclid(BUCKET_US);
        let reach = microseconds(context.settings.lateness_s).div_euclid(BUCKET_US).saturating_add(1);
        let next = *self.next.get_or_insert(own.saturating_sub(reach));
        let bucket = own.max(next);
        let parts = [(of.of.0, Some(of.of.1))];
        let made;
        let key = match of.level {
            Level::Principal => event.principal_key(),
            _ => {
                made = entity_key(&parts);
                &made
            }
        };
        let rank = |key: &str, known: &Known| (context.episodes.is_open(key), known.records, known.last);
        let make = || Known::new(Entity::new(of.level, &parts), next);
        let forgotten = self.known.make_room(key, context.settings.entities_max, rank);
        self.asked -= forgotten.iter().filter(|known| known.is_asked).count() as u64;
        let known = self.known.entry_there_is_room_for(key, make);
        known.touch(bucket);
        self.asked += u64::from(known.begins_to_be_asked(&self.parent));
        if !of.counts {
            return None;
        }
        self.make_room(bucket, key, context.settings.entities_max);
        let tally = self.open.entry(bucket).or_default().entry(key, Tally::default);
        tally.add(event, own < bucket);
        let signal = self.look(key, bucket, rule, context)?;
        if let Some(tally) = self.open.get_mut(&bucket).and_then(|tallies| tallies.get_mut(key)) {
            tally.told_in.tell(key, !context.episodes.is_open(key), context);
        }
        Some(signal)
    }

    /// A look at an open bucket after one more record.
    fn look(&mut self, key: &str, bucket: i64, rule: &Judging, context: &Context<'_>) -> Option<Signal> {
        let tally = self.open.get_mut(&bucket)?.get_mut(key)?;
        let is_open = context.episodes.is_open(key);
        if !tally.is_due(rule.count_min) {
            return is_open.then(|| self.follow(key, bucket)).flatten();
        }
        let Some(verdict) = self.provisional(key, bucket) else {
            return is_open.then(|| self.follow(key, bucket)).flatten();
        };
        if !is_open && self.opening.ln_alpha(rule.budget_milli).is_none_or(|ln_alpha| verdict.ln_p > ln_alpha)
        {
            return None;
        }
        let tally = self.open.get_mut(&bucket)?.get_mut(key)?;
        if !is_open && std::mem::replace(&mut tally.told, true) {
            return None;
        }
        let tally = tally.clone();
        let telling = if is_open { Telling::Follows } else { Telling::Opens };
        self.signal(key, bucket, &tally, &verdict, telling, rule)
    }

    /// Closes the oldest open bucket: signals in the order of their surprise.
    fn close(&mut self, now_us: i64, rule: &Judging, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some(bucket) = self.next else { return };
        let bucket = self.go_on(bucket, self.after_gap(bucket, now_us));
        self.next = Some(bucket.saturating_add(1));
        let tallies = self.open.remove(&bucket).unwrap_or_default().into_sorted();
        self.catch_some_up(bucket);
        let ln_alpha = self.opening.ln_alpha(rule.budget_milli);
        let open = |key: &str| context.episodes.is_open(key);
        let mut found: Vec<(f64, &String, &Tally, Verdict)> = Vec::new();
        for (key, tally) in &tallies {
            let Some(Worth { verdict, score }) = self.judge(bucket, key, tally.count, open(key)) else {
                continue;
            };
            let mut told = tally.told_in;
            if let Some(verdict) = verdict {
                let is_unusual =
                    tally.count >= rule.count_min && ln_alpha.is_some_and(|alpha| verdict.ln_p <= alpha);
                let holds = if open(key) { verdict.extends } else { is_unusual && !tally.told };
                if holds {
                    told.tell(key, !open(key), context);
                    found.push((verdict.ln_p, key, tally, verdict));
                }
            }
            if let Some((size, score)) = score.filter(|_| !told.is_true()) {
                let (day, own) = (self.opening.day(), self.known.get_mut(key));
                self.pools.observe(day, own.and_then(|known| known.own.as_mut()), size, score, 1);
                self.told.file(key, told, day, score, size);
            }
        }
        self.opening.tested(self.asked);
        found.sort_by(|one, other| one.0.total_cmp(&other.0).then_with(|| one.1.cmp(other.1)));
        for (_, key, tally, verdict) in found {
            let telling = if open(key) { Telling::Extends } else { Telling::Opens };
            signals.extend(self.signal(key, bucket, tally, &verdict, telling, rule));
        }
    }

    /// What a bucket that closes is worth; the entity learns it.
    fn judge(&mut self, bucket: i64, key: &str, count: u64, is_open: bool) -> Option<Worth> {
        let Counts { known, parent, pools, opening, asked, .. } = self;
        let (known, day) = (known.get_mut(key)?, opening.day());
        known.catch_up(bucket, day, parent, pools);
        *asked += u64::from(known.begins_to_be_asked(parent));
        let prediction = known.baseline.predict(bucket, parent);
        let score = -prediction.ln_p(count);
        let is_judged = prediction.is_settled || parent.is_known();
        let ln_p = is_judged.then(|| pools.ln_p(known.own.as_ref(), &prediction, score)).flatten();
        let verdict = ln_p.map(|ln_p| {
            let extends = is_open && known.baseline.predict_usual(bucket, parent).ln_p(count) <= LN_EXTENDS;
            Verdict { prediction, ln_p, extends }
        });
        known.learn(bucket, count, &prediction, parent);
        Some(Worth { verdict, score: prediction.is_settled.then(|| (Size::of(&prediction), score)) })
    }

    /// What an open bucket is worth so far. The buckets before it that are open as well are learnt first, in a copy.
    fn provisional(&mut self, key: &str, bucket: i64) -> Option<Verdict> {
        let Counts { next, open, known, parent, pools, opening, .. } = self;
        let (known, next) = (known.get_mut(key)?, (*next)?);
        let count_in = |bucket: i64| Some(open.get(&bucket)?.get(key)?.count);
        known.catch_up(next, opening.day(), parent, pools);
        let mut baseline: CountBaseline = known.baseline.clone();
        for before in next..bucket {
            let prediction = baseline.predict(before, parent);
            baseline.learn(before, count_in(before).unwrap_or(0), &prediction, parent);
        }
        let prediction = baseline.predict(bucket, parent);
        if !(prediction.is_settled || parent.is_known()) {
            return None;
        }
        let score = -prediction.ln_p(count_in(bucket)?);
        let ln_p = pools.ln_p(known.own.as_ref(), &prediction, score)?;
        Some(Verdict { prediction, ln_p, extends: false })
    }

    /// A twelfth of all learn what they have not, so that the end of a day does not wait for what a whole one left behind.
    fn catch_some_up(&mut self, bucket: i64) {
        let Counts { known, parent, pools, opening, .. } = self;
        let phase = bucket.rem_euclid(i64::from(PHASES));
        for (_, known) in known.each_unordered().filter(|(_, known)| i64::from(known.phase) == phase) {
            known.catch_up(bucket, opening.day(), parent, pools);
        }
    }

    /// Goes on from the bucket after the last that closed to the one that closes now, and through the end of a day if one lies between. Of what is
    /// between the two nobody knows what was, and nothing is learnt.
    fn go_on(&mut self, next: i64, bucket: i64) -> i64 {
        let day = bucket.div_euclid(BUCKETS_OF_DAY);
        if day > self.opening.day() || bucket > next {
            let Counts { known, parent, pools, opening, .. } = self;
            for (_, known) in known.each_unordered() {
                known.catch_up(next, opening.day(), parent, pools);
                known.unlearnt = bucket;
            }
            self.turn(day);
        }
        bucket
    }

    fn turn(&mut self, day: i64) {
        if !self.opening.turn(day) {
            return;
        }
        self.pools.turn(day);
        self.told.turn(day);
        self.known.retain(|_, known| {
            let is_passing = known.records < FEW_RECORDS && !known.is_recent(day, 1);
            !is_passing && known.is_recent(day, FORGET_DAYS)
        });
        let established = self.known.values().filter(|known| known.is_established());
        self.parent = Parent::of(established.map(|known| &known.baseline), &Parent::unknown());
        let granted = self.known.each_unordered().filter(|(_, known)| known.own.is_some()).count();
        let mut left = OWN_POOLS.saturating_sub(granted);
        self.asked = 0;
        for (_, known) in self.known.each() {
            if left > 0 && known.own.is_none() && known.is_established() {
                left -= 1;
                known.own = Some(Recalibration::new());
            }
            known.turn(day);
        }
        for (_, known) in self.known.each_unordered() {
            known.is_asked = false;
            self.asked +=
                u64::from(known.is_recent(day, TEST_DAYS) && known.begins_to_be_asked(&self.parent));
        }
    }

    /// The bucket to be closed: where the clock went on for more than a day and nothing came, the last one.
    fn after_gap(&self, bucket: i64, now_us: i64) -> i64 {
        let now = now_us.div_euclid(BUCKET_US);
        if now.saturating_sub(bucket) <= BUCKETS_OF_DAY {
            return bucket;
        }
        let counted = self.open.keys().next().copied().unwrap_or(i64::MAX);
        bucket.max(now.saturating_sub(1).min(counted))
    }

    /// A flood of identities fills a bucket with entities that are forgotten again: these make room.
    fn make_room(&mut self, bucket: i64, key: &str, entities_max: usize) {
        let Some(tallies) = self.open.get_mut(&bucket) else { return };
        if tallies.len() >= entities_max.saturating_mul(2) && !tallies.contains_key(key) {
            tallies.retain(|key, _| self.known.get(key).is_some());
        }
    }
}
