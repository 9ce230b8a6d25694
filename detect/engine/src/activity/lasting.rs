//! What lasts: minutes with something of a principal in an hour, in four, and in its days. The machinery under the rules whose ids end
//! in `_sustained`.
//!
//! - **Windows**: the square root of the most active minutes that a window had in a day, in deviations from what is usual of the
//!   entity's days, ranked among those of all entities of the last four weeks. A window is looked at with every minute that begins to have
//!   something, so that it is told while it lasts.
//! - **Days**: a cumulative sum (CUSUM), `S = max(0, S + z - 1.3)` over active days, z the deviations of the square root of a day's active
//!   minutes, at most four a day, so that it takes two days. S is ranked in the same way. What is usual follows ten days behind with a half-life
//!   of sixty active days: what grows by a few percent a day moves it too late.
//! - **Opening**: an entity is asked three times a day, whatever it does, so that few tests share the budget; newcomers have one of their own.
//!   An episode lives through a weekend. What one tells of for three active days more is taken for usual from then on; only what was told is.
//!
//! State: 800 bytes a principal. It cannot see: much within a few minutes; what hides in minutes that are active anyway; what is not more than
//! the busiest hour of a usual day, at whatever time; what grows by less than a tenth a day; what falls; windows where records may come more
//! than four hours late. An entity without peers and without five days is not judged before the log is a week old, and its days not before it has five of its own.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::known::{AllPeers, DAYS, Known, SCALES, WINDOWS};
use super::{DAY_MINUTES, Expected, MINUTES_KEPT, Peers, minute, start_us};
use crate::alert::{BudgetVerdict, Confidence, Severity};
use crate::bounded::Bounded;
use crate::detector::{Bucket, Context, Detector, Effect, Rule, Signal, probability, used_up};
use crate::entity::{Entity, Level as Of, entity_key};
use crate::filings::{Confirmed, Filings};
use crate::opening::{LN_ALPHA_DAY, LN_ALPHA_TOP, Opening};
use crate::recalibration::Recalibration;
use crate::record::Event;
use crate::settings::{Settings, microseconds};

/// How long an episode lives without what it is about: from Friday afternoon to Monday morning.
const QUIET_US: i64 = 66 * 3_600_000_000;
/// Days of a log after which what nobody had in them is unusual.
const SEASONED_DAYS: i64 = 7;
/// Scores from which on a pool is asked. An entity has one a day, and alpha is about one in as many as four days of all.
const SCORES: u64 = 200;
/// How many times what is expected makes an episode severe.
const SEVERE_TIMES: f64 = 4.0;
/// How the budget is shared: each is the logarithm of a scale's share over what it would be were all alike. A ramp is against the clock.
const LN_SHARES: [f64; SCALES] =
    [-0.287_682_072_451_780_9, -0.287_682_072_451_780_9, 0.405_465_108_108_164_4];
/// How much less likely each unit of a sum of days is, at least, where there is no past to rank it in.
const RATE_UNKNOWN: f64 = 1.3;

/// What a scale of an entity is worth now.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    scale: usize,
    active: u32,
    score: f64,
    expected: Expected,
    ln_p: f64,
}

impl Verdict {
    /// What is held against the alpha of a test.
    fn against(&self) -> f64 {
        self.ln_p - LN_SHARES[self.scale]
    }
}

/// What makes a rule out of the machinery.
pub(crate) trait Lasting: std::fmt::Debug + Send {
    const RULE: Rule;
    /// What minutes are counted that have one, in the plural.
    const NOUN: &'static str;
    /// From [`SEVERE_TIMES`] of what is expected on, the second.
    const SEVERITY: (Severity, Severity);
    /// SQL condition over `events` for the records that count.
    const SCOPE: &'static str;

    /// `minutes_min` and `budget_milli`.
    fn limits(settings: &Settings) -> (i64, i64);

    /// Whom a record that counts is about.
    fn of<'a>(event: &Event<'a>) -> [Option<Whom<'a>>; 2];
}

/// One whom a record is about: a column of `events` and its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whom<'a> {
    level: Of,
    column: &'static str,
    name: &'a str,
}

impl<'a> Whom<'a> {
    /// The agent, else the user.
    pub fn principal(event: &Event<'a>) -> Option<Whom<'a>> {
        event.principal().map(|(column, name)| Whom { level: Of::Principal, column, name })
    }

    pub fn address(event: &Event<'a>) -> Option<Whom<'a>> {
        event.record.source_ip.map(|name| Whom { level: Of::Source, column: "source_ip", name })
    }

    fn parts(&self) -> [(&'static str, Option<&'a str>); 1] {
        [(self.column, Some(self.name))]
    }

    fn key<'b>(&self, event: &'b Event<'_>, made: &'b mut String) -> &'b str {
        if self.level == Of::Principal {
            return event.principal_key();
        }
        *made = entity_key(&self.parts());
        made
    }
}

/// A rule on what lasts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct LastingRule<C> {
    state: State,
    #[serde(skip)]
    counted: PhantomData<C>,
}

impl<C> LastingRule<C> {
    pub fn new() -> LastingRule<C> {
        LastingRule { state: State::new(), counted: PhantomData }
    }
}

/// Entities and what their days are held against.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// The clock when the first record of all came, whatever it was; none before.
    since_us: Option<i64>,
    known: Bounded<Known>,
    peers: AllPeers,
    scores: [Recalibration; SCALES],
    /// Those of days that were told, by scale, while they wait.
    told: Filings<u8>,
    /// Of entities that are known and of newcomers. The day is the one that is going on, on a clock that is `lateness_s` behind; each scale of
    /// a day that was long enough to be asked is a test.
    known_opening: Opening,
    newcomers_opening: Opening,
}

impl State {
    fn new() -> State {
        State {
            since_us: None,
            known: Bounded::new(),
            peers: [None; SCALES],
            scores: std::array::from_fn(|_| Recalibration::new()),
            told: Filings::new(),
            known_opening: Opening::new(),
            newcomers_opening: Opening::new(),
        }
    }

    /// Ends the day that was going on: judges it, files what it is worth, and learns what has waited.
    fn turn(&mut self, day: i64, minutes_min: u32, context: &Context<'_>) {
        let ended = self.known_opening.day();
        if day <= ended {
            return;
        }
        let is_seasoned = self.since_us.is_some_and(|since_us| {
            day.saturating_sub(minute(since_us).div_euclid(DAY_MINUTES)) >= SEASONED_DAYS
        });
        let State { known, peers, scores, told, known_opening, newcomers_opening, .. } = self;
        let mut tests: [u64; 2] = [0; 2];
        for (key, known) in known.each() {
            // The first minutes of another day may be there without a record since that could have ended it.
            let after = known.minutes.newest().div_euclid(DAY_MINUTES);
            let after = Some(after).filter(|after| (ended.saturating_add(1)..day).contains(after));
            for of in std::iter::once(ended).chain(after) {
                let of_day = known.told_on(of);
                let Some(worth) = known.finish(of, peers) else { continue };
                let is_known = known.is_established();
                let pools = (0..).zip(scores.iter_mut()).zip(worth);
                for ((scale, scores), (figure, score)) in pools.filter_map(|(to, of)| Some((to, of?))) {
                    // Who was never asked, made no test: a flood of names that came once must not blunt the rule.
                    let is_asked = u64::from(figure >= minutes_min);
                    tests[usize::from(is_known)] = tests[usize::from(is_known)].saturating_add(is_asked);
                    if is_known && !of_day.is_true() {
                        scores.observe(of, score);
                        told.file(key, of_day, of, score, scale);
                    }
                }
            }
        }
        for (opening, tests) in [newcomers_opening, known_opening].into_iter().zip(tests) {
            opening.tested(tests);
            opening.turn(day);
        }
        scores.iter_mut().for_each(|scores| scores.turn(day));
        told.turn(day);
        known.each().for_each(|(key, known)| known.turn(day, context.episodes.is_open(key), peers));
        known.retain(|_, known| known.is_worth_keeping(day));
        for (scale, peers) in peers.iter_mut().enumerate() {
            let established = known.values().filter(|known| known.is_established());
            // What nobody ever had is unusual from its first hour on.
            let of_nobody = || is_seasoned.then(Peers::of_nobody);
            *peers = Peers::of(established.map(|known| known.level(scale))).or_else(of_nobody);
        }
    }

    /// The opening that an entity is asked by, and its budget: newcomers have a quarter beside that of the known.
    fn opening(&mut self, is_known: bool, budget_milli: i64) -> (&mut Opening, i64) {
        match is_known {
            true => (&mut self.known_opening, budget_milli),
            false => (&mut self.newcomers_opening, (budget_milli / 4).max(1)),
        }
    }

    /// Takes a record in; true where its minute had none before.
    fn note(
        &mut self,
        whom: &Whom<'_>,
        key: &str,
        event: &Event<'_>,
        minutes_min: u32,
        context: &Context<'_>,
    ) -> bool {
        // Final is what no record that counts can still change. What is later than four hours counts where it arrives: no more is kept.
        let lateness_us =
            microseconds(context.settings.lateness_s).min(WINDOWS[1].saturating_mul(60_000_000));
        let until = minute(context.watermark_us.saturating_sub(lateness_us));
        self.turn(until.div_euclid(DAY_MINUTES), minutes_min, context);
        let rank = |key: &str, known: &Known| {
            (context.episodes.is_open(key), u64::from(known.days_active), known.minutes.newest())
        };
        let make = || Known::new(Entity::new(whom.level, &whom.parts()));
        let known = self.known.entry(key, context.settings.entities_max, rank, make);
        known.note(minute(event.placed_us).max(until), until, event)
    }

    /// The least likely of the windows that end now, and of the day so far with those before.
    fn verdict(&mut self, key: &str, minutes_min: u32) -> Option<Verdict> {
        let State { known, peers, scores, known_opening, .. } = self;
        let known = known.get_mut(key)?;
        let newest = known.minutes.newest();
        let day = known_opening.day();
        let of_day = known.of_day(day);
        // While the last minutes of a day wait for what is late, those of the next are none of it; and the sum moves slowly.
        let is_due = newest.div_euclid(DAY_MINUTES) == day && of_day >= known.check_at;
        if is_due {
            known.check_at = of_day.saturating_add((of_day / 16).max(1));
        }
        let active = |scale: usize| WINDOWS.get(scale).map(|window| known.minutes.count(newest, *window));
        let each = (0..SCALES).filter_map(|scale| {
            let active =
                active(scale).or(is_due.then_some(of_day)).filter(|active| *active >= minutes_min)?;
            let (score, expected) = known.score(scale, active, peers)?;
            // Until there is a past, what the model says, ten times as likely: its alpha is coarse then.
            let rate = if scale == DAYS { RATE_UNKNOWN } else { 1.0 };
            let raw = (std::f64::consts::LN_10 - rate * score).min(0.0);
            let ln_p = scores[scale].ln_p_of(score, SCORES).unwrap_or(raw);
            Some(Verdict { scale, active, score, expected, ln_p })
        });
        each.min_by(|one, other| one.against().total_cmp(&other.against()))
    }
}

impl<C: Lasting> LastingRule<C> {
    /// A signal where what goes on now is unusual, or an episode is open.
    fn judge(&mut self, key: &str, minutes_min: u32, context: &Context<'_>) -> Option<Signal> {
        let state = &mut self.state;
        let (_, budget_milli) = C::limits(context.settings);
        let is_open = context.episodes.is_open(key);
        let known = state.known.get(key)?;
        let (is_known, today) = (known.is_established(), known.minutes.newest().div_euclid(DAY_MINUTES));
        if !is_open && !known.may_be_told(today) {
            return None;
        }
        // What an old episode tells of has become usual: what is unusual again is another.
        let is_renewable = is_open
            && !known.is_told()
            && known.may_be_told(today)
            && context.episodes.is_old(key, context.watermark_us);
        let verdict = state.verdict(key, minutes_min)?;
        let (opening, of_budget_milli) = state.opening(is_known, budget_milli);
        let ln_alpha = opening.ln_alpha(of_budget_milli).unwrap_or(LN_ALPHA_DAY).min(LN_ALPHA_DAY);
        let opens = verdict.against() <= ln_alpha && (!is_open || is_renewable);
        if !is_open && !opens {
            return None;
        }
        let is_over = opens.then(|| opening.is_over(of_budget_milli));
        let known = state.known.get_mut(key)?;
        if opens {
            known.tell(today);
        }
        known.tell_of_day(today, key, opens, context);
        let effect = match (opens, is_open) {
            (true, true) => Effect::Renew,
            (true, false) => Effect::Open,
            (false, _) if verdict.ln_p <= LN_ALPHA_TOP => Effect::Open,
            (false, _) => Effect::Follow,
        };
        Some(signal::<C>(known, &verdict, today, effect, is_open && !opens, budget_milli, is_over))
    }
}

impl<C: Lasting> Detector for LastingRule<C> {
    fn rule(&self) -> &'static Rule {
        &C::RULE
    }

    fn window_us(&self, _settings: &Settings) -> Option<i64> {
        Some(WINDOWS[0].saturating_mul(60_000_000))
    }

    fn quiet_us(&self, _settings: &Settings) -> i64 {
        // What goes on after a weekend is the same thing.
        QUIET_US
    }

    fn scope(&self, _settings: &Settings) -> String {
        C::SCOPE.to_owned()
    }

    fn called_benign(&mut self, key: &str) {
        if let Some(known) = self.state.known.get_mut(key) {
            known.called_benign();
        }
    }

    fn called_true(&mut self, episode: &Confirmed<'_>) {
        let State { known, scores, told, .. } = &mut self.state;
        if let Some(known) = known.get_mut(episode.key) {
            known.called_true(episode);
        }
        for filing in told.take(episode) {
            let scores = scores.get_mut(usize::from(filing.pool)).into_iter();
            scores.for_each(|scores| scores.take_out(filing.day, filing.score));
        }
    }

    fn restored(&mut self) {
        let State { known_opening, scores, .. } = &mut self.state;
        scores.iter_mut().for_each(|scores| scores.turn(known_opening.day()));
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        self.state.since_us.get_or_insert(context.watermark_us);
        let minutes_min = u32::try_from(C::limits(context.settings).0).unwrap_or(u32::MAX);
        let mut made = String::new();
        for whom in C::of(event).into_iter().flatten() {
            let key = whom.key(event, &mut made);
            if self.state.note(&whom, key, event, minutes_min, context) {
                signals.extend(self.judge(key, minutes_min, context));
            }
        }
    }

    fn evicted(&self) -> u64 {
        self.state.known.evicted()
    }
}

fn signal<C: Lasting>(
    known: &Known,
    verdict: &Verdict,
    today: i64,
    effect: Effect,
    offending: bool,
    budget_milli: i64,
    is_over: Option<bool>,
) -> Signal {
    let Verdict { scale, active, score, expected, ln_p } = *verdict;
    let times = f64::from(active) / expected.figure().max(1.0);
    let window = WINDOWS.get(scale).copied();
    let first = known.minutes.first(known.minutes.newest(), window.unwrap_or(DAY_MINUTES));
    let first = first.map_or(known.last_us, start_us);
    let whose = if expected.is_peer { "its peers" } else { "its own past" };
    let what = match window {
        Some(window) => format!(
            "{} in {active} of {window} minutes, {:.1} in the busiest ones of a day expected by {whose}",
            C::NOUN,
            expected.figure(),
        ),
        None => format!(
            "{} in {active} minutes of a day so far, {:.1} expected of a whole one by {whose}, which with the days before makes a sum of {score:.1}",
            C::NOUN,
            expected.figure(),
        ),
    };
    Signal {
        entity: known.entity.clone(),
        effect,
        offending,
        severity: if times >= SEVERE_TIMES { C::SEVERITY.1 } else { C::SEVERITY.0 },
        confidence: if expected.is_peer { Confidence::Low } else { Confidence::Medium },
        observed: Some(i64::from(active)),
        expected: Some(libm::round(expected.figure()) as i64),
        seen_us: known.last_us,
        detail: format!(
            "{what}, p = {}; {} a day may open by chance{}",
            probability(ln_p),
            budget_milli as f64 / 1_000.0,
            used_up(is_over),
        ),
        // No older than the window.
        opening_evidence: known.evidence.iter().rev().take(active as usize).rev().copied().collect(),
        opening_count: i64::from(active),
        opening_us: first.min(known.last_us),
        bucket: Some(Bucket {
            start_us: start_us(today.saturating_mul(DAY_MINUTES)),
            closed: known.closed,
            environment: known.environment.clone(),
            baseline: if expected.is_peer { "peer" } else { "entity" },
        }),
        ln_p: Some(ln_p),
        budget_verdict: is_over.map(BudgetVerdict::new),
    }
}

const _: () = assert!(WINDOWS[1] * 2 <= MINUTES_KEPT);
