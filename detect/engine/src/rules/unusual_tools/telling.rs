//! What is told of a session.

use super::collected::{Collected, Gathers};
use super::{Judged, NOTABLE};
use crate::alert::{BudgetVerdict, Confidence, Severity};
use crate::detector::{Bucket, Context, Effect, Signal, probability, used_up};
use crate::novelty::Verdict;

/// Elements that an alert names.
const TOLD: usize = 4;
/// A signal that opens an episode, or keeps it open.
pub(super) fn signal(
    collected: &Collected,
    judged: Option<&Judged>,
    is_over: Option<bool>,
    context: &Context<'_>,
) -> Signal {
    let (opening_us, seen_us) = collected.notable_us.unwrap_or(collected.records_us);
    let evidence =
        if collected.evidence.is_empty() { vec![collected.last_index] } else { collected.evidence.clone() };
    Signal {
        entity: collected.entity.clone(),
        effect: Effect::Open,
        offending: false,
        severity: severity(collected, judged),
        confidence: confidence(judged),
        observed: judged.map(|judged| notable(&judged.verdict)),
        expected: None,
        seen_us,
        detail: detail(collected, judged, context.settings.unusual_tools.budget_milli, is_over),
        opening_evidence: evidence,
        opening_count: collected.notable.max(1),
        opening_us,
        // An index is the last one of one session only, so that no two episodes share an id.
        bucket: Some(Bucket {
            start_us: collected.last_index,
            // A record opens one at most: after a person closed it, the next is of another record.
            closed: 0,
            environment: collected.environment.clone(),
            baseline: "peer",
        }),
        ln_p: judged.map(|judged| judged.ln_p),
        budget_verdict: is_over.map(BudgetVerdict::new),
    }
}

fn severity(collected: &Collected, judged: Option<&Judged>) -> Severity {
    match judged {
        // It did more than can be judged, and nothing else is known of it.
        None => Severity::Low,
        Some(_) if collected.is_risky => Severity::High,
        Some(_) => Severity::Medium,
    }
}

/// Medium where peers of its workflow, or of its role, were enough to say that something is rare.
fn confidence(judged: Option<&Judged>) -> Confidence {
    let most = judged.and_then(|judged| judged.verdict.parts.first());
    if most.is_some_and(|part| part.n >= 20) { Confidence::Medium } else { Confidence::Low }
}

fn notable(verdict: &Verdict) -> i64 {
    let notable = verdict.parts.iter().filter(|part| part.surprise >= NOTABLE);
    i64::try_from(notable.count()).unwrap_or(i64::MAX)
}

fn detail(
    collected: &Collected,
    judged: Option<&Judged>,
    budget_milli: i64,
    is_over: Option<bool>,
) -> String {
    let over = used_up(is_over);
    let mut clauses = Vec::new();
    if let Some(tool) = &collected.first_destructive {
        clauses.push(format!("first use of the destructive {tool}"));
    }
    if collected.gathers == Gathers::Own && collected.session.beyond() > 0 {
        let (elements, beyond) = (collected.session.elements(), collected.session.beyond());
        clauses.push(format!("a session of {elements} different tools and destinations, and {beyond} calls of more than can be judged"));
    }
    if let Some(Judged { verdict, ln_p, .. }) = judged {
        let most: Vec<String> = verdict
            .parts
            .iter()
            .filter(|part| part.surprise >= NOTABLE)
            .filter_map(|part| Some((collected.name_of(part.element)?, part)))
            .take(TOLD)
            .map(|(name, part)| format!("{name} ({} of {} others)", part.m, part.n))
            .collect();
        if !most.is_empty() {
            clauses.push(format!("unusual: {}", most.join(", ")));
        }
        clauses.push(format!(
            "{} tools and destinations in a {}, ranked among {} sessions of others, p = {}; {} a day may open by chance{over}",
            verdict.parts.len(),
            if collected.gathers == Gathers::Own { "session" } else { "run of single calls" },
            verdict.sessions,
            probability(*ln_p),
            budget_milli as f64 / 1_000.0,
        ));
    }
    clauses.join("; ")
}
