//! R39: a tool whose failed calls use up its error budget too fast: multiwindow burn rates, as in "Alerting on SLOs" of The Site Reliability Workbook
//! (Google, 2018, chapter 5).
//!
//! Of all calls `budget_ppm` may fail. It is told where a window fails so many times as often, and the last twelfth of it does too, so that what is over ends: 14.4
//! times for an hour (severe), six times for six hours. A day of the first is 14 days' budgets, of the second six. Counters of sliding windows: exact, and told with the record that reaches it.
//! State: about 2 kB a tool. It cannot see: what fails a little more than its budget for ever, tools with fewer than `calls_min` calls in a window, calls whose failure is in what they return.

use serde::{Deserialize, Serialize};

use crate::alert::{Confidence, Severity};
use crate::bounded::Bounded;
use crate::detector::{Context, Detector, Effect, Rule, Signal, percent, share};
use crate::entity::{Entity, Level};
use crate::record::Event;
use crate::settings::{Settings, ToolErrorBudget, microseconds};
use crate::window::{Shape, Totals, Window};

const RULE: Rule = Rule {
    id: "tool_error_budget",
    title: "Tool uses up its error budget",
    meaning: "Agents whose tool fails try again, do half of their task, or look for another way",
    statistic: "failed calls over calls",
    unit: "ppm",
    references: &["AML.T0029"],
};

/// Sub-buckets of a window, and how many of the newest are the window that says that it still goes on.
const BUCKETS: i64 = 24;
const NEWEST: i64 = 2;

/// A window, and how many times the budget is too much in it.
#[derive(Debug, Clone, Copy)]
struct Burn {
    window_s: i64,
    times_milli: i64,
    severity: Severity,
}

fn burns(limits: &ToolErrorBudget) -> [Burn; 2] {
    let (fast, slow) = (limits.fast_window_s, limits.slow_window_s);
    [
        Burn { window_s: fast, times_milli: limits.fast_times_milli, severity: Severity::High },
        Burn { window_s: slow, times_milli: limits.slow_times_milli, severity: Severity::Medium },
    ]
}

/// Calls of one tool in the window of each burn, and in the period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    burning: [Window; 2],
    period: Window,
}

/// Tools by server and capability. A forgotten one starts again from nothing: an alert may then come late, never wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    tools: Bounded<Tool>,
}

impl State {
    pub fn new() -> State {
        State { tools: Bounded::new() }
    }
}

impl Tool {
    fn new() -> Tool {
        Tool { burning: [Window::new(), Window::new()], period: Window::new() }
    }
}

/// What burns: its window and that of its newest part, and the share from which on it does.
struct Burning {
    burn: Burn,
    totals: Totals,
    newest: Totals,
    least_ppm: i64,
}

impl Burning {
    /// None where it does not hold.
    fn of(burn: Burn, window: &Window, is_open: bool, context: &Context<'_>) -> Option<Burning> {
        let limits = &context.settings.tool_error_budget;
        let least_ppm = limits.budget_ppm.saturating_mul(burn.times_milli) / 1_000;
        let (totals, newest) = (window.totals(), window.newest(NEWEST));
        let is_over = |totals: Totals| totals.ratio_ppm().is_some_and(|ratio_ppm| ratio_ppm >= least_ppm);
        let holds = totals.total >= limits.calls_min && is_over(totals) && is_over(newest);
        let is_told = holds && (is_open || totals.is_beyond(least_ppm, context.settings.ceiling_chance_ppm));
        is_told.then_some(Burning { burn, totals, newest, least_ppm })
    }
}

/// Whether a call failed; none where it says nothing of its tool: it never reached it, is not over, or was taken back.
fn is_failed(event: &Event<'_>) -> Option<bool> {
    // Whom a server does not let in is no failure of it.
    if !event.is_call() || event.is_denied() || matches!(event.record.error_class, Some("auth" | "policy")) {
        return None;
    }
    match event.record.status {
        "ok" => Some(false),
        "error" | "timeout" => Some(true),
        _ => None,
    }
}

impl Detector for State {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn window_us(&self, _settings: &Settings) -> Option<i64> {
        // The explanation says which of them.
        None
    }

    fn quiet_us(&self, settings: &Settings) -> i64 {
        let newest_us = microseconds(settings.tool_error_budget.slow_window_s) / BUCKETS * NEWEST;
        newest_us.saturating_mul(settings.quiet_windows)
    }

    fn scope(&self, _settings: &Settings) -> String {
        "kind = 'call' AND decision <> 'deny' AND status IN ('error', 'timeout')".to_owned()
    }

    fn observe(&mut self, event: &Event<'_>, context: &Context<'_>, signals: &mut Vec<Signal>) {
        let Some((parts, is_failed)) = event.tool().zip(is_failed(event)) else { return };
        let limits = &context.settings.tool_error_budget;
        let shape = |window_s: i64| Shape::new(microseconds(window_s), BUCKETS);
        let (key, period) = (event.tool_key(), shape(limits.period_s));
        let rank = |key: &str, tool: &Tool| {
            let totals = tool.period.totals();
            (context.episodes.is_open(key), totals.offending, tool.period.newest_us(period))
        };
        let tool = self.tools.entry(key, context.settings.entities_max, rank, Tool::new);
        let (index, event_us, counted_us) = (event.record.index, event.event_us, context.counted_us(event));
        tool.period.add(period, index, event_us, counted_us, is_failed);
        for (burn, window) in burns(limits).into_iter().zip(&mut tool.burning) {
            window.add(shape(burn.window_s), index, event_us, counted_us, is_failed);
        }
        if tool.burning.iter().all(|window| window.recent().next().is_none()) {
            return;
        }
        let is_open = context.episodes.is_open(key);
        let mut burning = burns(limits).into_iter().zip(&tool.burning);
        let burning =
            burning.find_map(|(burn, window)| Some((Burning::of(burn, window, is_open, context)?, window)));
        let Some((Burning { burn, totals, newest, least_ppm }, window)) = burning else {
            if is_open && is_failed {
                signals.push(follow(event, &parts));
            }
            return;
        };
        let ratio_ppm = totals.ratio_ppm().unwrap_or(0);
        let of_period = tool.period.totals();
        signals.push(Signal {
            effect: Effect::Open,
            severity: burn.severity,
            observed: Some(ratio_ppm),
            expected: Some(least_ppm),
            detail: format!(
                "{} calls failed within {} s and {} within the last {} s, more than {} times the budget of {}; of {} s it is {}",
                share(totals.offending, totals.total, ratio_ppm),
                burn.window_s,
                share(newest.offending, newest.total, newest.ratio_ppm().unwrap_or(0)),
                burn.window_s / BUCKETS * NEWEST,
                burn.times_milli as f64 / 1_000.0,
                percent(limits.budget_ppm),
                limits.period_s,
                share(of_period.offending, of_period.total, of_period.ratio_ppm().unwrap_or(0)),
            ),
            opening_evidence: window.recent().map(|offence| offence.index).collect(),
            opening_count: i64::try_from(totals.offending).unwrap_or(i64::MAX),
            opening_us: window.recent().map(|offence| offence.event_us).min().unwrap_or(event.event_us),
            offending: is_failed,
            ..follow(event, &parts)
        });
    }

    fn evicted(&self) -> u64 {
        self.tools.evicted()
    }
}

/// One more failure of an open episode.
fn follow(event: &Event<'_>, parts: &[(&'static str, Option<&str>); 2]) -> Signal {
    Signal {
        entity: Entity::new(Level::Tool, parts),
        effect: Effect::Follow,
        offending: true,
        severity: Severity::Informational,
        confidence: Confidence::Medium,
        observed: None,
        expected: None,
        seen_us: event.event_us,
        detail: String::new(),
        opening_evidence: Vec::new(),
        opening_count: 0,
        opening_us: event.event_us,
        bucket: None,
        ln_p: None,
        budget_verdict: None,
    }
}
