//! D5: a principal shows up from a network, a country or with a client that it never had.
//!
//! Statistic: for each attribute `p = (theta + d K)/(n + theta) * P(P_peer(V) <= P_peer(v))`, a hierarchical Pitman-Yor process (`novelty/first_seen.rs`): who
//! roams has many values and is expected to have one more. A session's score is the sum of `-ln p` over the three, recalibrated over 28 days
//! where there are 4,000 scores; until then its p is three times the smallest of the three. Source: calls and authentications. State:
//! about 700 bytes a principal and attribute, 1 kB an open session, and what waits.
//!
//! - **Values** are the /24 of an IPv4 address and the /48 of an IPv6 one, the country that the source names, the client without its version
//!   (`origin.rs`). Private addresses are one value: they name no place.
//! - **Judged** is every record, once a session and value. **Learnt** is what records of somebody let in showed ([`Event::is_admitted`]), 72 h after the day, a week
//!   where an episode was open: whoever fails to log in from his network teaches nothing. In between a value is not told again, unless it had only
//!   failed before and is now let in.
//! - **Extending**: only records of somebody let in keep an episode of such open; what fails meanwhile follows it. An episode of nothing but
//!   failures is kept open by more of them, or whoever fails all day would be told of every other hour.
//! - **Opening**: `p <= budget / sessions a day`. Only sessions of somebody let in, of principals that have shown something before, are tests and
//!   scores. What failed is told as informational and spends no budget, so that a spray of failures is no cover.
//!
//! It cannot see: an attacker in the victim's own network (a provider's /24 has 256 of them); addresses behind a proxy that does not pass them
//! on; impossible travel; values of 90 days ago as old: what was shown once stays known until 24 others came.

mod origin;
mod shown;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::alert::{BudgetVerdict, Confidence, Severity};
use crate::bounded::Bounded;
use crate::detector::{Bucket, Context, Detector, Effect, Rule, Signal, probability, used_up};
use crate::entity::{Entity, Level, bounded};
use crate::filings::{Confirmed, Filings};
use crate::judge::ln_extends;
use crate::novelty::FirstSeen;
use crate::opening::Opening;
use crate::recalibration::Recalibration;
use crate::record::Event;
use crate::sessions::{GAP_US, Session, Sessions, Touched};
use crate::settings::Settings;
use origin::{ATTRIBUTES, values};
pub(crate) use origin::{country, network};
use shown::{Pending, Shown};

const DAY: i64 = 86_400_000_000;
/// Days that a value waits to be learnt, and where an episode was open.
const DELAYS: (i64, i64) = (4, 8);

const RULE: Rule = Rule {
    id: "new_network",
    title: "Principal shows up from a new place",
    meaning: "Stolen credentials are used from the thief's network and with the thief's client",
    statistic: "attributes (network, country, client) that its principal never had",
    unit: "count",
    references: &["AML.T0012", "MCP07", "MCP01"],
};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    sessions: Sessions<Shown>,
    /// In the order of [`ATTRIBUTES`].
    seen: [FirstSeen; ATTRIBUTES.len()],
    /// By principal. What is forgotten is judged again.
    pending: Bounded<Pending>,
    /// Principals of whose open episodes a record of somebody let in is part. What only failed neither keeps one open nor holds lessons
    /// back: anybody can fail in somebody's name.
    told: BTreeSet<String>,
    scores: Recalibration,
    /// Those of told sessions, while they wait.
    filings: Filings<()>,
    /// Its day is the clock's; a session is a test.
    opening: Opening,
}

/// What is new in a record.
#[derive(Debug)]
struct New {
    attribute: u8,
    value: String,
    ln_p: f64,
}

impl State {
    pub fn new() -> State {
        State {
            sessions: Sessions::new(),
            seen: [FirstSeen::new(), FirstSeen::new(), FirstSeen::new()],
            pending: Bounded::new(),
            told: BTreeSet::new(),
            scores: Recalibration::new(),
            filings: Filings::new(),
            opening: Opening::new(),
        }
    }

    /// What the record shows that its principal never had, and that was not judged before.
    fn new_values(&mut self, event: &Event<'_>, is_admitted: bool) -> Vec<New> {
        let key = event.principal_key();
        let Some(session) = self.sessions.get_mut(key) else { return Vec::new() };
        let mut found = Vec::new();
        for ((attribute, value), seen) in (0..).zip(values(event.record)).zip(&self.seen) {
            let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
            if !session.of.is_new(attribute, &value, is_admitted) {
                continue;
            }
            if self.pending.get(key).is_some_and(|pending| pending.holds(attribute, &value)) {
                continue;
            }
            if let Some(ln_p) = seen.ln_p(key, &value) {
                found.push(New { attribute, value, ln_p });
            }
        }
        found
    }

    fn judge(
        &mut self,
        event: &Event<'_>,
        of: (&'static str, &str),
        context: &Context<'_>,
    ) -> Option<Signal> {
        let (key, is_admitted) = (event.principal_key(), event.is_admitted());
        let new = self.new_values(event, is_admitted);
        if new.is_empty() {
            return None;
        }
        let session = self.sessions.get_mut(key)?;
        // What failed is judged on top of what was let in, and leaves no trace in it.
        let mut worst = session.of.worst;
        for New { attribute, ln_p, .. } in &new {
            if let Some(worst) = worst.get_mut(usize::from(*attribute)) {
                *worst = worst.max(-ln_p);
            }
        }
        if is_admitted {
            session.of.worst = worst;
        }
        let ln_p = self.ln_p(&worst);
        let (is_open, is_told) = (context.episodes.is_open(key), self.is_told(key, context));
        let budget_milli = context.settings.new_network.budget_milli;
        let ln_alpha = self.opening.ln_alpha(budget_milli);
        let is_unusual = ln_alpha.is_some_and(|ln_alpha| ln_p <= ln_alpha);
        let is_old = context.episodes.is_old(key, context.watermark_us);
        let opens = is_unusual && if is_admitted { !is_told || is_old } else { !is_open };
        let extends = is_open && (is_told || !is_admitted) && ln_p <= ln_extends(ln_alpha);
        if !opens && !extends {
            return None;
        }
        if is_admitted {
            if let Some(session) = self.sessions.get_mut(key) {
                session.of.told.tell(key, opens, context);
            }
            self.told.retain(|key| context.episodes.is_open(key));
            self.told.insert(key.to_owned());
        } else if opens {
            self.told.remove(key);
        }
        let spends = opens && is_admitted;
        let is_over = spends.then(|| self.opening.is_over(budget_milli));
        let over = used_up(is_over);
        let effect = match is_admitted {
            true if opens && is_told => Effect::Renew,
            false if is_told => Effect::Follow,
            _ => Effect::Open,
        };
        let many = new.len() > 1 || new.iter().any(|new| new.attribute == 1);
        let severity = match (is_admitted, many) {
            (false, _) => Severity::Informational,
            (true, false) => Severity::Low,
            (true, true) => Severity::Medium,
        };
        let named: Vec<String> = new
            .iter()
            .map(|new| {
                let name = ATTRIBUTES.get(usize::from(new.attribute)).copied().unwrap_or_default();
                format!("{name} {} (p = {})", new.value, probability(new.ln_p))
            })
            .collect();
        let detail = format!(
            "first seen with {}{}; worth p = {}; {} a day may open by chance{over}",
            named.join(", "),
            if is_admitted { "" } else { ", and not let in" },
            probability(ln_p),
            budget_milli as f64 / 1_000.0,
        );
        // What was said of somebody let in stands, whoever fails after him.
        let detail = if effect == Effect::Follow { String::new() } else { detail };
        Some(Signal {
            entity: Entity::new(Level::Principal, &[(of.0, Some(of.1))]),
            effect,
            offending: is_open && effect != Effect::Renew,
            severity,
            confidence: if many { Confidence::Medium } else { Confidence::Low },
            observed: i64::try_from(new.len()).ok(),
            expected: Some(0),
            seen_us: event.event_us,
            detail,
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

    /// Whether an episode of the principal is open that a record of somebody let in is part of.
    fn is_told(&self, key: &str, context: &Context<'_>) -> bool {
        context.episodes.is_open(key) && self.told.contains(key)
    }

    /// What a session's attributes are worth.
    fn ln_p(&self, worst: &[f64; ATTRIBUTES.len()]) -> f64 {
        let most = worst.iter().copied().fold(0.0, f64::max);
        let of_three = (libm::log(ATTRIBUTES.len() as f64) - most).min(0.0);
        self.scores.ln_p(worst.iter().sum()).unwrap_or(of_three)
    }

    /// Files the score of a session that is over, and puts by what it taught.
    fn finish(&mut self, key: &str, session: &Session<Shown>, context: &Context<'_>) {
        if !session.of.is_admitted {
            return;
        }
        let day = self.opening.day();
        let observations = self.seen.iter().map(|seen| seen.observations(key)).max().unwrap_or(0);
        if observations > 0 {
            self.opening.tested(1);
            let (told, score) = (session.of.told, session.of.worst.iter().sum());
            if !told.is_true() {
                self.scores.observe(day, score);
                self.filings.file(key, told, day, score, ());
            }
        }
        let due_day = day.saturating_add(if self.is_told(key, context) { DELAYS.1 } else { DELAYS.0 });
        let rank =
            |key: &str, pending: &Pending| (context.episodes.is_open(key), pending.evidence, pending.last_us);
        for (attribute, value) in session.of.lessons() {
            let Some(seen) = self.seen.get_mut(usize::from(attribute)) else { continue };
            if seen.knows(key, value) {
                seen.learn(key, value);
                continue;
            }
            let entities_max = context.settings.entities_max;
            let pending = self.pending.entry(key, entities_max, rank, Pending::new);
            pending.evidence = observations;
            pending.last_us = session.last_us;
            pending.wait(attribute, value, due_day);
        }
    }

    fn turn(&mut self, now_us: i64) {
        let day = now_us.div_euclid(DAY);
        if !self.opening.turn(day) {
            return;
        }
        self.scores.turn(day);
        self.filings.turn(day);
        for (key, pending) in self.pending.each() {
            for (attribute, value) in pending.turn(day) {
                if let Some(seen) = self.seen.get_mut(usize::from(attribute)) {
                    seen.learn(key, &value);
                }
            }
        }
        self.pending.retain(|_, pending| !pending.is_empty());
    }
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, _settings: &Settings) -> Option<i64> {
        Some(GAP_US)
    }

    fn scope(&self, _settings: &Settings) -> String {
        "kind IN ('call', 'auth')".to_owned()
    }

    fn due_us(&self, _settings: &Settings) -> Option<i64> {
        self.sessions.due_us()
    }

    fn close(&mut self, _now_us: i64, context: &Context<'_>, _signals: &mut Vec<Signal>) {
        self.turn(context.watermark_us);
        if let Some((key, session)) = self.sessions.close(context) {
            self.finish(&key, &session, context);
        }
    }

    fn called_true(&mut self, episode: &Confirmed<'_>) {
        if let Some(session) = self.sessions.get_mut(episode.key) {
            session.of.told.called_true(episode);
        }
        for filing in self.filings.take(episode) {
            self.scores.take_out(filing.day, filing.score);
        }
    }

    fn restored(&mut self) {
        self.sessions.restored();
        self.scores.turn(self.opening.day());
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some(of) = event.principal().filter(|_| event.is_call() || event.is_auth_attempt()) else {
            return;
        };
        let (key, is_admitted) = (event.principal_key(), event.is_admitted());
        let is_kept = |key: &str, _: &Shown| context.episodes.is_open(key);
        let seen_us = context.counted_us(event);
        if let Some(session) = self.sessions.go_on(key, seen_us) {
            session.of.is_admitted |= is_admitted;
            if !session.of.is_repeated(event.record, is_admitted) {
                signals.extend(self.judge(event, of, context));
            }
            return;
        }
        let touched = self.sessions.touch(key, seen_us, context, is_kept, Shown::new);
        if let Touched::Begins(before) = touched {
            self.turn(context.watermark_us);
            before.into_iter().for_each(|before| self.finish(key, &before, context));
        }
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.of.is_admitted |= is_admitted;
        if !session.of.is_repeated(event.record, is_admitted) {
            signals.extend(self.judge(event, of, context));
        }
    }

    fn evicted(&self) -> u64 {
        self.sessions.evicted().saturating_add(self.pending.evicted())
    }
}
