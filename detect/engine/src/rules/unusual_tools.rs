//! D6: a session that uses tools, or reaches destinations, that its peers do not.
//!
//! Statistic: the sum over a session's distinct tools and destinations of `-ln` of the share of *other* principals of the same workflow (else role)
//! that had it, ranked among their sessions of a similar size (`novelty.rs`, `docs/decisions/0024-novelty.md`); where there are 4,000 scores in 28 days
//! that rank, the sum over tools alone and that over places by the scores of those days (`scores.rs`); until then the rank itself is the p, which is as fine as a fleet of fewer needs.
//! Source: `kind = 'call'`. State: about 3 kB an open session (at most 9), 20 MB the pool and 600 kB a peer group where they are full, and sessions that wait for 72 h.
//!
//! - **Sessions** are (principal, workflow, session id). The first record of every id also goes to a *loose* session of (principal,
//!   workflow): ids that are new with every request would else be judged a call at a time, and whoever splits an attack into sessions
//!   of one call each would be seen in none. And to a *wide* one of the principal alone, judged where it holds more than one workflow: whoever
//!   names another with every call would begin a loose session each time.
//! - **Looking**: while it is open, whenever something notable came (fewer than a third of the peers have it) and it has grown by a quarter, and
//!   at its end, which a silent tenant waits for. A loose session is begun anew when it is full; another one that is fuller than can be judged is told as such.
//! - **Opening**: `p <= budget / sessions a day`. Only sessions of known principals count as tests and as scores, and of each only the first
//!   `ENGINE_SESSIONS_COUNTED_MAX` of a day; those after are held to a measure that shrinks with their number. Who floods blunts the rule for
//!   itself.
//! - **Learning**: 72 h after the day of its end, a week if its principal had an open episode then (there are no verdicts yet). What was only denied, or
//!   came from sessions in which nothing was let pass, is judged and never learnt.
//! - **Risk**: what records say of risk (`destructive`, `high`, `critical`) may raise the severity and nothing else.
//!
//! It cannot see: an unusual use of usual tools (arguments, amounts, order); what most peers do as well; anything for a tenant with
//! fewer than a hundred sessions of others; calls that nobody reports.

mod collected;
mod scores;
mod telling;
mod tools;
mod waiting;

use schemas::limits::ENGINE_SESSIONS_COUNTED_MAX;
use serde::{Deserialize, Serialize};

use crate::detector::{Context, Detector, Effect, Rule, Signal};
use crate::entity::push_part;
use crate::filings::{Confirmed, Filings};
use crate::judge::ln_extends;
use crate::novelty::{FirstSeen, Novelty, Verdict};
use crate::opening::Opening;
use crate::record::{Event, Record};
use crate::sessions::{GAP_US, Session, Sessions, Touched};
use crate::settings::Settings;
use collected::{Collected, Deed, Gathers, tool_key};
use scores::{Measure, Pools, Scores};
use telling::signal;
use tools::Tools;
use waiting::Waiting;

/// Surprise from which on an element is worth a look: e^-1 of the peers have it.
const NOTABLE: f64 = 1.0;
/// Sessions of others without which a rank says nothing.
const RANKED: u32 = 100;
const DAY: i64 = 86_400_000_000;

const RULE: Rule = Rule {
    id: "unusual_tools",
    title: "Session uses tools or destinations that its peers do not",
    meaning: "An agent that was talked into something, or whose credential is in other hands, does what its peers never do in this workflow",
    statistic: "tools and destinations of a session that few peers have",
    unit: "count",
    references: &["AML.T0053", "AML.T0086", "MCP02", "MCP10"],
};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    sessions: Sessions<Collected>,
    novelty: Novelty,
    waiting: Waiting,
    /// Destructive tools by principal. A forgotten one is a first use again.
    destructive: FirstSeen,
    scores: Pools,
    /// Those of told sessions, while they wait.
    told: Filings<Measure>,
    /// Its day is that of the last session that ended; a session is a test.
    opening: Opening,
    /// What spares most calls a hash and an allocation; says nothing that the record does not.
    #[serde(skip)]
    tools: Tools,
    #[serde(skip)]
    key: String,
}

/// What a session is worth.
#[derive(Debug)]
struct Judged {
    verdict: Verdict,
    ln_p: f64,
    /// By how much it is beyond all that it was ranked among, where that is not in the p, less what the number of looks takes away; below 0
    /// where that is more.
    excess: f64,
}

impl State {
    pub fn new() -> State {
        State {
            sessions: Sessions::new(),
            novelty: Novelty::new(),
            waiting: Waiting::new(),
            destructive: FirstSeen::new(),
            scores: Pools::new(),
            told: Filings::new(),
            opening: Opening::new(),
            tools: Tools::default(),
            key: String::new(),
        }
    }

    /// Takes the record into the session of that key, and looks at it where that is due. Whether the session began with it.
    fn add(
        &mut self,
        key: &str,
        call: &Call<'_, '_>,
        gathers: Gathers,
        context: &Context<'_>,
        signals: &mut Vec<Signal>,
    ) -> bool {
        let Call { event, of, .. } = call;
        let seen_us = context.counted_us(event);
        if gathers != Gathers::Own
            && self.sessions.get(key).is_some_and(|session| session.of.session.is_full())
        {
            let full = self.sessions.end(key);
            full.into_iter().for_each(|full| self.finish(full, context, signals));
        }
        if let Some(session) = self.sessions.go_on(key, seen_us) {
            if let Some(is_judged) = take_in(session, call, &self.novelty) {
                signals.extend(self.look(key, is_judged, event, context));
            }
            return false;
        }
        let is_kept = |_: &str, of: &Collected| context.episodes.is_open(&of.entity.key);
        let roles = &context.settings.unusual_tools.roles;
        let role = roles.get(of.1).map_or("", String::as_str);
        let make = || Collected::new(event, *of, role, gathers);
        if let Touched::Begins(before) = self.sessions.touch(key, seen_us, context, is_kept, make) {
            before.into_iter().for_each(|before| self.finish(before, context, signals));
        }
        let session = self.sessions.get_mut(key);
        if let Some(is_judged) = session.and_then(|session| take_in(session, call, &self.novelty)) {
            signals.extend(self.look(key, is_judged, event, context));
        }
        true
    }

    /// A look at an open session after a record that brought something notable.
    fn look(
        &mut self,
        key: &str,
        is_judged: bool,
        event: &Event<'_>,
        context: &Context<'_>,
    ) -> Option<Signal> {
        let collected = &mut self.sessions.get_mut(key)?.of;
        collected.looks = collected.looks.saturating_add(u32::from(is_judged));
        let judged = is_judged.then(|| self.judge(&self.sessions.get(key)?.of)).flatten();
        let collected = &mut self.sessions.get_mut(key)?.of;
        let looked = judged.as_ref().map(|judged| Scores::of(&judged.verdict)).unwrap_or_default();
        collected.most = looked.max(collected.most);
        let collected = &self.sessions.get(key)?.of;
        let principal = &collected.entity.key;
        let is_open = context.episodes.is_open(principal);
        let number = self.waiting.had(principal).saturating_add(1);
        let is_unusual = self.is_unusual(collected, judged.as_ref(), number, context);
        if !is_open || (is_unusual && context.episodes.is_old(principal, context.watermark_us)) {
            if !is_unusual || collected.is_told() {
                return None;
            }
            let is_over = self.opening.is_over(context.settings.unusual_tools.budget_milli);
            let mut signal = signal(collected, judged.as_ref(), Some(is_over), context);
            signal.effect = if is_open { Effect::Renew } else { Effect::Open };
            let collected = &mut self.sessions.get_mut(key)?.of;
            collected.tell();
            collected.told.tell(&signal.entity.key, true, context);
            return Some(signal);
        }
        let extends = is_unusual || self.extends(judged.as_ref(), context);
        let mut signal = signal(collected, judged.as_ref(), None, context);
        signal.effect = if extends { Effect::Open } else { Effect::Follow };
        signal.offending = true;
        signal.seen_us = event.event_us;
        if !is_unusual {
            signal.detail.clear();
        }
        self.sessions.get_mut(key)?.of.told.tell(&signal.entity.key, false, context);
        Some(signal)
    }

    /// Judges a session that is over, files its score, and puts it by to be learnt.
    fn finish(&mut self, session: Session<Collected>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let mut collected = session.of;
        if !collected.is_judged(session.records) {
            return;
        }
        let key = collected.entity.key.clone();
        let is_open = context.episodes.is_open(&key);
        let is_known = self.novelty.knows(&collected.session);
        let number = self.waiting.number(&key, is_known, context.settings.entities_max);
        let day = self.opening.day();
        let judged = self.judge(&collected);
        let is_unusual = self.is_unusual(&collected, judged.as_ref(), number, context);
        let is_due = !is_open || context.episodes.is_old(&key, context.watermark_us);
        let is_new = is_due && is_unusual && !collected.is_told();
        let extends = is_open && self.extends(judged.as_ref(), context);
        if is_new || extends {
            let budget_milli = context.settings.unusual_tools.budget_milli;
            let is_over = is_new.then(|| self.opening.is_over(budget_milli));
            let mut signal = signal(&collected, judged.as_ref(), is_over, context);
            signal.effect = if is_new && is_open { Effect::Renew } else { Effect::Open };
            signals.push(signal);
            collected.told.tell(&key, is_new, context);
        }
        if number <= ENGINE_SESSIONS_COUNTED_MAX {
            if let Some(judged) = judged.filter(|_| is_known && collected.is_admitted) {
                self.opening.tested(1);
                let scores = Scores::of(&judged.verdict).max(collected.most);
                if !collected.told.is_true() {
                    self.scores.observe(day, scores);
                    scores.each().for_each(|(of, score)| {
                        self.told.file(&key, collected.told, day, score, of);
                    });
                }
            }
            if let Some(lesson) = collected.lesson() {
                self.waiting.put(day, is_open || is_new, is_known, lesson);
            }
        }
    }

    /// What a session is worth; none where there are too few to rank it among.
    fn judge(&self, collected: &Collected) -> Option<Judged> {
        let verdict = self.novelty.judge(&collected.session);
        if verdict.sessions < RANKED {
            return None;
        }
        let (ln_p, excess) = match self.scores.ln_p(Scores::of(&verdict)) {
            Some(ln_p) => (ln_p, 0.0),
            // Scores are those of the best look; a rank is that of this one, of as many as there were.
            None => (verdict.ln_p, verdict.excess - libm::log(f64::from(collected.looks.max(1)))),
        };
        Some(Judged { verdict, ln_p, excess })
    }

    /// Whether it keeps an open episode open.
    fn extends(&self, judged: Option<&Judged>, context: &Context<'_>) -> bool {
        let ln_alpha = self.opening.ln_alpha(context.settings.unusual_tools.budget_milli);
        judged.is_some_and(|judged| judged.ln_p <= ln_extends(ln_alpha))
    }

    /// Whether it is so unusual that it is told of, as the so manieth of its principal today.
    fn is_unusual(
        &self,
        collected: &Collected,
        judged: Option<&Judged>,
        number: usize,
        context: &Context<'_>,
    ) -> bool {
        if collected.gathers == Gathers::Own && collected.session.beyond() > 0 {
            return true;
        }
        let ln_alpha = self.opening.ln_alpha(context.settings.unusual_tools.budget_milli);
        let share = (ENGINE_SESSIONS_COUNTED_MAX as f64 / number.max(1) as f64).min(1.0);
        // A rank has a least p, which for the hundredth session is never enough: what lies beyond all others may make up for their number.
        let stricter = -libm::log(share);
        judged
            .zip(ln_alpha)
            .is_some_and(|(judged, ln_alpha)| judged.ln_p <= ln_alpha - (stricter - judged.excess).max(0.0))
    }

    /// Whether the call is of a destructive tool that its principal never used; from now on it has.
    fn is_first_destructive(&mut self, event: &Event<'_>) -> bool {
        let (record, principal) = (event.record, event.principal_key());
        let Some(capability) = record.capability.filter(|_| record.action == Some("destructive")) else {
            return false;
        };
        let tool = tool_key(record.server.unwrap_or_default(), capability);
        let is_first = !self.destructive.knows(principal, &tool);
        if is_first && event.is_admitted() {
            self.destructive.learn(principal, &tool);
        }
        is_first
    }

    fn turn(&mut self, now_us: i64) {
        let day = now_us.div_euclid(DAY);
        if !self.opening.turn(day) {
            return;
        }
        self.scores.turn(day);
        self.told.turn(day);
        let learnt = self.waiting.turn(day);
        if !learnt.is_empty() {
            self.novelty.commit(learnt);
        }
    }
}

/// A call of somebody known.
#[derive(Debug)]
struct Call<'a, 'r> {
    event: &'a Event<'r>,
    of: (&'static str, &'r str),
    tool: Deed<'r>,
    destinations: Vec<Deed<'r>>,
    is_first_destructive: bool,
}

/// Notes in a session what a call of it did. None where that was nothing notable, else whether the session is to be judged now.
fn take_in(session: &mut Session<Collected>, call: &Call<'_, '_>, novelty: &Novelty) -> Option<bool> {
    let (event, collected) = (call.event, &mut session.of);
    let is_admitted = event.is_admitted();
    collected.touch(event);
    collected.is_admitted |= is_admitted;
    collected.is_risky |= is_risky(event.record);
    if call.is_first_destructive && collected.first_destructive.is_none() {
        collected.first_destructive = Some(call.tool.in_words());
    }
    let beyond = collected.session.beyond();
    let deeds = std::iter::once(&call.tool).chain(&call.destinations);
    let surprises = deeds.filter_map(|deed| {
        collected.add(deed, is_admitted, |session, element| novelty.part(session, element).surprise)
    });
    let newest = surprises.fold(0.0, f64::max);
    let is_fuller = beyond == 0 && collected.session.beyond() > 0;
    if newest < NOTABLE && !is_fuller {
        return None;
    }
    collected.note(event);
    let is_due = collected.is_due() || is_fuller;
    Some(is_due && collected.is_judged(session.records))
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, _settings: &Settings) -> Option<i64> {
        Some(GAP_US)
    }

    fn scope(&self, _settings: &Settings) -> String {
        "kind = 'call'".to_owned()
    }

    fn due_us(&self, _settings: &Settings) -> Option<i64> {
        self.sessions.due_us()
    }

    fn awaits_us(&self, settings: &Settings) -> Option<i64> {
        // Before there are others to rank it among, no session tells anything by its end.
        if u32::try_from(self.novelty.sessions()).is_ok_and(|sessions| sessions < RANKED) {
            return None;
        }
        let is_awaited =
            |session: &Session<Collected>| session.of.is_judged(session.records) && !session.of.is_told();
        self.sessions.awaits_us(settings.lateness_s, is_awaited)
    }

    fn close(&mut self, _now_us: i64, context: &Context<'_>, signals: &mut Vec<Signal>) {
        self.turn(context.watermark_us);
        if let Some((_, session)) = self.sessions.close(context) {
            self.finish(session, context, signals);
        }
    }

    fn called_true(&mut self, episode: &Confirmed<'_>) {
        let sessions = self.sessions.each().filter(|session| session.of.entity.key == episode.key);
        sessions.for_each(|session| session.of.told.called_true(episode));
        for filing in self.told.take(episode) {
            self.scores.take_out(filing.pool, filing.day, filing.score);
        }
    }

    fn restored(&mut self) {
        self.sessions.restored();
        self.scores.turn(self.opening.day());
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let record = event.record;
        let (Some(of), Some(capability)) = (event.principal().filter(|_| event.is_call()), record.capability)
        else {
            return;
        };
        self.turn(context.watermark_us);
        let is_first_destructive = self.is_first_destructive(event);
        let tool = Deed::tool(record, capability, &mut self.tools);
        let destinations = Deed::destinations(record);
        let call = Call { event, of, tool, destinations, is_first_destructive };
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        key.push_str(event.principal_key());
        let wide = key.len();
        push_part(&mut key, "workflow", record.workflow);
        let loose = key.len();
        push_part(&mut key, "session_id", Some(record.session_id));
        if self.add(&key, &call, Gathers::Own, context, signals) {
            key.truncate(loose);
            if record.workflow.is_some() {
                self.add(&key, &call, Gathers::Loose, context, signals);
            }
            key.truncate(wide);
            self.add(&key, &call, Gathers::Wide, context, signals);
        }
        self.key = key;
    }

    fn evicted(&self) -> u64 {
        self.sessions.evicted().saturating_add(self.waiting.dropped())
    }
}

fn is_risky(record: &Record<'_>) -> bool {
    record.action == Some("destructive") || matches!(record.risk, Some("high" | "critical"))
}
