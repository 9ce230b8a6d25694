//! D9: calls of a tool (server and capability) that are slower than nineteen of twenty usually are at that time of the day.
//!
//! Statistic: k of the n calls of a quarter of an hour above the upper edge q of a bucket of the tool's sketch with m <= 0.05 N values above,
//! K ~ BetaBinomial(n, m + 1, N - m), brought down to how the calls of one window hang together, recalibrated (`ratios.rs`,
//! `ratios/slowness.rs`). Told only where the p95 is half as long again as usual and 50 ms longer. State: at most 100 kB a tool (twelve sketches and
//! three days that wait), about 10 kB in use. Source: `latency_us` of calls that reached their tool. It cannot see: what grows by less than twice in
//! three days, calls that never end, tools in their first days (nobody else's latency says anything), what is slow within the twentieth.

use crate::alert::Severity;
use crate::detector::Rule;
use crate::ratios::{Limits, Of, Rated, Slowness, Wording};
use crate::record::Event;
use crate::settings::Settings;

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rating;

impl Rated for Rating {
    type Past = Slowness;
    const RULE: Rule = Rule {
        id: "p95_latency",
        title: "Tool is far slower than usual",
        meaning: "A tool that slows down is overloaded, broken behind, or does more than it did; agents that wait time out and try again",
        statistic: "95th percentile of latency in a quarter of an hour",
        unit: "us",
        references: &["AML.T0029"],
    };
    const WORDING: Wording =
        Wording { noun: "calls took longer than nineteen of twenty usually do", severity: Severity::Medium };

    fn scope(_settings: &Settings) -> String {
        "kind = 'call' AND latency_us IS NOT NULL".to_owned()
    }

    fn limits(settings: &Settings) -> Limits {
        let of = &settings.p95_latency;
        Limits { total_min: of.calls_min, hits_min: 1, budget_milli: of.budget_milli }
    }

    fn outcome<'a>(event: &Event<'a>) -> Option<(Of<'a>, u64)> {
        let latency_us = event.latency_us().filter(|_| event.tool().is_some())?;
        Some((Of::Tool, latency_us.unsigned_abs()))
    }
}
