//! What is told of a bucket.

use super::{BUCKET_US, Counts, Judging, SEVERE_TIMES, Tally, Telling, Verdict};
use crate::alert::{BudgetVerdict, Confidence, Severity};
use crate::baseline::Prediction;
use crate::detector::{Bucket, Effect, Signal, probability, used_up};
use crate::filings::Confirmed;

impl Counts {
    /// What a person called true is no yardstick: scores of its buckets are taken out of the pools, and those to come are left out.
    pub(super) fn called_true(&mut self, episode: &Confirmed<'_>) {
        let of_entity = self.open.values_mut().filter_map(|tallies| tallies.get_mut(episode.key));
        of_entity.for_each(|tally| tally.told_in.called_true(episode));
        let Counts { told, known, pools, .. } = self;
        let mut known = known.get_mut(episode.key);
        for filing in told.take(episode) {
            let own = known.as_mut().and_then(|known| known.own.as_mut());
            pools.take_out(filing.day, own, filing.pool, filing.score);
        }
    }

    /// One more record of an open episode.
    pub(super) fn follow(&self, key: &str, bucket: i64) -> Option<Signal> {
        let (known, tally) = (self.known.get(key)?, self.open.get(&bucket)?.get(key)?);
        Some(Signal {
            entity: known.entity.clone(),
            effect: Effect::Follow,
            offending: true,
            severity: Severity::Informational,
            confidence: Confidence::Low,
            observed: None,
            expected: None,
            seen_us: tally.last_us,
            detail: String::new(),
            opening_evidence: Vec::new(),
            opening_count: 0,
            opening_us: tally.first_us,
            bucket: None,
            ln_p: None,
            budget_verdict: None,
        })
    }

    /// A signal about a bucket.
    pub(super) fn signal(
        &mut self,
        key: &str,
        bucket: i64,
        tally: &Tally,
        verdict: &Verdict,
        telling: Telling,
        rule: &Judging,
    ) -> Option<Signal> {
        let entity = self.known.get(key)?.entity.clone();
        let Prediction { mean, is_parent, .. } = verdict.prediction;
        let times = tally.count as f64 / mean;
        let is_over = (telling == Telling::Opens).then(|| self.opening.is_over(rule.budget_milli));
        let over = used_up(is_over);
        let late =
            if tally.late > 0 { format!(" ({} of them dated earlier)", tally.late) } else { String::new() };
        let severity = if times >= SEVERE_TIMES { rule.wording.severe } else { rule.wording.severity };
        Some(Signal {
            entity,
            effect: if telling == Telling::Follows { Effect::Follow } else { Effect::Open },
            offending: telling == Telling::Follows,
            severity,
            confidence: if is_parent { Confidence::Low } else { Confidence::Medium },
            observed: Some(i64::try_from(tally.count).unwrap_or(i64::MAX)),
            expected: Some(libm::round(mean) as i64),
            seen_us: tally.last_us,
            detail: format!(
                "{} {}{late} in 5 minutes, about {mean:.2} expected by {}, p = {}; {} a day may open by chance{over}",
                tally.count,
                rule.wording.noun,
                if is_parent { "its peers" } else { "its own past" },
                probability(verdict.ln_p),
                rule.budget_milli as f64 / 1_000.0,
            ),
            opening_evidence: tally.evidence.clone(),
            opening_count: i64::try_from(tally.count).unwrap_or(i64::MAX),
            opening_us: tally.first_us,
            bucket: Some(Bucket {
                start_us: bucket.saturating_mul(BUCKET_US),
                closed: tally.closed,
                environment: tally.environment.clone(),
                baseline: if is_parent { "peer" } else { "entity" },
            }),
            ln_p: Some(verdict.ln_p),
            budget_verdict: is_over.map(BudgetVerdict::new),
        })
    }
}
