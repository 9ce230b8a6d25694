//! D4: a session that begins at an hour of the week at which its principal's sessions do not.
//!
//! Statistic: how probable all hours are together that are no more probable than this one (the tail outside of the region of highest density), under
//! the principal's own starts of the last months, smoothed over three hours, with its peers for what it has not shown; recalibrated over 28 days
//! where there are 4,000 scores. Source: records of who was let in ([`Event::is_admitted`]). State: about 700 bytes a principal.
//!
//! - **A start** is a principal's first record after half an hour, whatever ids the source gives, and one more every eight hours (`sessions.rs`): each
//!   counts once, so that a busy night is one start.
//! - **Forgotten** is who began fewer than five sessions and none for a week, or none for 120 days.
//! - **Silent** below 30 starts over 14 days; where starts are spread over nearly all hours (entropy above 0.93 of the largest); where 60 % or
//!   more of them come by a clock, at the second of a day before or in step: after Sanna Passino and Heard, who tell people's events from those of
//!   clocks by their periods (Data Mining and Knowledge Discovery 34, 2020).
//! - **Learning**: 72 h after the day, a week where an episode was open. Failed logins and denied calls neither teach nor are judged: anybody can fail in
//!   somebody's name at night, and other rules tell of that.
//! - **Severity** is low, always: people work late.
//! - **A start is judged when it comes**, so that the end of a session tells nothing and a silent tenant has none to wait for.
//!
//! - **Hours of its peers that it never has** are together as probable as Good's share of what is unseen (starts alone in their hour over all, at least
//!   4 of n + 4): of one with 120 starts about one in twenty, and the tail at any of them has most of that. So a night worker who begins by day is told
//!   only with many hundreds of starts, and one in hours that nobody has (0.05 of that share) after a month. Without the peers a principal's first
//!   early meeting would be told.
//!
//! It cannot see: what begins by day and is kept going for less than eight hours; principals without a week of their own; daylight saving time (an
//! offset is fixed: for some weeks of the year a start an hour early or late is a little less usual). Who can begin sessions as the principal at all hours,
//! or by a clock, for weeks, switches it off for that principal; the first of those are told.

mod profile;

use serde::{Deserialize, Serialize};

use crate::alert::{BudgetVerdict, Confidence, Severity};
use crate::bits;
use crate::bounded::Bounded;
use crate::detector::{Bucket, Context, Detector, Effect, Rule, Signal, probability, used_up};
use crate::entity::{Entity, Level, bounded};
use crate::filings::{Confirmed, Filings, Told};
use crate::judge::ln_extends;
use crate::opening::Opening;
use crate::recalibration::Recalibration;
use crate::record::Event;
use crate::sessions::{Sessions, Touched};
use crate::settings::Settings;
use profile::{HOURS, Hours, Profile, is_even, ln_tail, uniform};

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;
/// Days that a start waits to be learnt, and where it was told of.
const DELAYS: (i64, i64) = (4, 8);
/// Share of the uniform in what peers do, so that no hour is impossible.
const FLOOR: f64 = 0.05;
/// 1970 began on a Thursday.
const WEEKDAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

const RULE: Rule = Rule {
    id: "off_hours",
    title: "Session begins at an unusual hour",
    meaning: "Credentials in other hands are used when their owner sleeps; people work late as well, so look what else is told of the same principal",
    statistic: "probability of hours as rare as this one",
    unit: "ppm",
    references: &["AML.T0012", "MCP07"],
};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    sessions: Sessions<()>,
    /// By principal. A forgotten one is learnt anew.
    profiles: Bounded<Profile>,
    /// When settled principals begin, on the mean.
    #[serde(with = "bits::array")]
    peers: Hours,
    scores: Recalibration,
    /// Those of told starts, while they wait.
    told: Filings<()>,
    /// Its day is the clock's; a judged start is a test.
    opening: Opening,
}

impl State {
    pub fn new() -> State {
        State {
            sessions: Sessions::new(),
            profiles: Bounded::new(),
            peers: uniform(),
            scores: Recalibration::new(),
            told: Filings::new(),
            opening: Opening::new(),
        }
    }

    fn start(
        &mut self,
        event: &Event<'_>,
        of: (&'static str, &str),
        context: &Context<'_>,
    ) -> Option<Signal> {
        let (key, seen_us, day) = (event.principal_key(), context.counted_us(event), self.opening.day());
        let zone_min = context.settings.off_hours.zones_min.get(of.1).copied().unwrap_or(0);
        let local_us = seen_us.saturating_add(zone_min.saturating_mul(HOUR / 60));
        let hour = local_us.div_euclid(HOUR).rem_euclid(HOURS as i64) as usize;
        let rank = |key: &str, profile: &Profile| {
            (context.episodes.is_open(key), u64::from(profile.learnt), profile.last_us)
        };
        let profile = self.profiles.entry(key, context.settings.entities_max, rank, Profile::new);
        profile.start(seen_us);
        let is_judged = profile.is_settled(day) && !profile.is_periodic();
        let hours = is_judged.then(|| profile.predict(&self.peers)).filter(|hours| !is_even(hours));
        let ln_tail = hours.map(|hours| ln_tail(&hours, hour));
        let is_open = context.episodes.is_open(key);
        let ln_p = ln_tail.map(|ln_tail| {
            self.opening.tested(1);
            self.scores.ln_p(-ln_tail).unwrap_or(ln_tail)
        });
        let budget_milli = context.settings.off_hours.budget_milli;
        let ln_alpha = self.opening.ln_alpha(budget_milli);
        let is_unusual = ln_p.zip(ln_alpha).is_some_and(|(ln_p, ln_alpha)| ln_p <= ln_alpha);
        let opens = is_unusual && (!is_open || context.episodes.is_old(key, context.watermark_us));
        let extends = is_open && ln_p.is_some_and(|ln_p| ln_p <= ln_extends(ln_alpha));
        let delay = if is_open || is_unusual { DELAYS.1 } else { DELAYS.0 };
        if let Some(profile) = self.profiles.get_mut(key) {
            profile.wait(day.saturating_add(delay), hour);
        }
        let mut told = Told::default();
        if opens || extends {
            told.tell(key, opens, context);
        }
        if let Some(score) = ln_tail.map(|ln_tail| -ln_tail).filter(|_| !told.is_true()) {
            self.scores.observe(day, score);
            self.told.file(key, told, day, score, ());
        }
        if !opens && !extends {
            return None;
        }
        let is_over = opens.then(|| self.opening.is_over(budget_milli));
        let over = used_up(is_over);
        let (ln_tail, ln_p) = (ln_tail?, ln_p?);
        let weekday = WEEKDAYS.get(hour / 24).copied().unwrap_or_default();
        Some(Signal {
            entity: Entity::new(Level::Principal, &[(of.0, Some(of.1))]),
            effect: if opens && is_open { Effect::Renew } else { Effect::Open },
            offending: is_open && !opens,
            severity: Severity::Low,
            confidence: Confidence::Low,
            observed: Some((libm::exp(ln_tail) * 1e6) as i64),
            expected: None,
            seen_us: event.event_us,
            detail: format!(
                "a session began on {weekday} between {} and {} o'clock{}; hours as rare for it have p = {}, worth p = {}; {} a day may open by chance{over}",
                hour % 24,
                hour % 24 + 1,
                if zone_min == 0 { " UTC" } else { " of its zone" },
                probability(ln_tail),
                probability(ln_p),
                budget_milli as f64 / 1_000.0,
            ),
            opening_evidence: vec![event.record.index],
            opening_count: 1,
            opening_us: event.event_us,
            bucket: Some(Bucket {
                start_us: event.record.index,
                // A record opens one at most: after a person closed it, the next is of another record.
                closed: 0,
                environment: event.record.environment.map(|name| bounded(name).into_owned()),
                baseline: "entity",
            }),
            ln_p: Some(ln_p),
            budget_verdict: is_over.map(BudgetVerdict::new),
        })
    }

    fn turn(&mut self, now_us: i64) {
        let day = now_us.div_euclid(DAY);
        if !self.opening.turn(day) {
            return;
        }
        self.scores.turn(day);
        self.told.turn(day);
        let (mut sum, mut settled) = ([0.0; HOURS], 0.0);
        for (_, profile) in self.profiles.each() {
            profile.turn(day);
            if !profile.is_settled(day) || profile.is_periodic() {
                continue;
            }
            if let Some(own) = profile.own().filter(|own| !is_even(own)) {
                settled += 1.0;
                sum.iter_mut().zip(own).for_each(|(sum, p)| *sum += p);
            }
        }
        self.profiles.retain(|_, profile| profile.is_kept(day));
        let each = FLOOR / HOURS as f64;
        self.peers = if settled > 0.0 { sum.map(|p| (1.0 - FLOOR) * p / settled + each) } else { uniform() };
    }
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, _settings: &Settings) -> Option<i64> {
        Some(HOUR)
    }

    fn scope(&self, _settings: &Settings) -> String {
        "kind IN ('call', 'auth')".to_owned()
    }

    fn due_us(&self, _settings: &Settings) -> Option<i64> {
        self.sessions.due_us()
    }

    fn close(&mut self, _now_us: i64, context: &Context<'_>, _signals: &mut Vec<Signal>) {
        self.turn(context.watermark_us);
        self.sessions.close(context);
    }

    fn called_true(&mut self, episode: &Confirmed<'_>) {
        for filing in self.told.take(episode) {
            self.scores.take_out(filing.day, filing.score);
        }
    }

    fn restored(&mut self) {
        self.sessions.restored();
        self.scores.turn(self.opening.day());
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some(of) = event.principal().filter(|_| event.is_admitted()) else { return };
        let key = event.principal_key();
        let is_kept = |key: &str, (): &()| context.episodes.is_open(key);
        let seen_us = context.counted_us(event);
        let touched = self.sessions.touch(key, seen_us, context, is_kept, || ());
        if let Touched::Begins(_) = touched {
            self.turn(context.watermark_us);
            signals.extend(self.start(event, of, context));
        }
    }

    fn evicted(&self) -> u64 {
        self.sessions.evicted().saturating_add(self.profiles.evicted())
    }
}
