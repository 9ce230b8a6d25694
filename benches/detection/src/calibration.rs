//! Achieved over nominal rates, and what a burst's chance is to be seen at the same rate of false ones.

use std::fmt::Write;
use std::path::Path;

use crate::injection::{self, Burst, LENGTHS, STRENGTHS};
use crate::model::{Model, Separate};
use crate::ours::Ours;
use crate::random::Random;
use crate::series::{DAY, Series, load};
use crate::simple::{EwmaZ, HourOfWeek};

/// What is learnt from before anything counts.
const BURN_IN: usize = 14 * DAY;
/// Nominal rates.
const RATES: [f64; 3] = [1e-2, 1e-3, 1e-4];
/// Position in [`RATES`] of the rate that the gates and the powers are for.
const GATED: usize = 1;
/// The gates: achieved over nominal at the gated rate, over all series and in each.
const POOLED: (f64, f64) = (0.5, 2.0);
const EACH: (f64, f64) = (0.25, 4.0);
/// The model that they are for.
const OURS: &str = "ours";
/// Resamples of series-days for an interval of 95 %.
const RESAMPLES: usize = 2_000;
const SEED: u64 = 6;

fn models(series: usize) -> Vec<Box<dyn Model>> {
    vec![
        Box::new(Ours::new(series)),
        Box::new(Separate { name: "EWMA z", series: vec![EwmaZ::default(); series] }),
        Box::new(Separate { name: "hour-of-week Poisson", series: vec![HourOfWeek::poisson(); series] }),
        Box::new(Separate { name: "hour-of-week NB", series: vec![HourOfWeek::negative_binomial(); series] }),
    ]
}

/// What a model made of the series and the bursts.
struct Outcome {
    name: &'static str,
    /// Scores of the counted buckets by series and day.
    days: Vec<Vec<Vec<f64>>>,
    /// Highest score within each burst.
    bursts: Vec<f64>,
}

/// The report, and whether every gate is met.
pub fn run(directory: &Path) -> Result<(String, bool), String> {
    let series = load(directory, "realTweets")?;
    if series.iter().any(|one| one.first != series[0].first || one.counts.len() < BURN_IN + 2 * DAY) {
        return Err("the series do not begin together, or one is too short".to_owned());
    }
    let bursts = injection::bursts(&series, BURN_IN);
    let outcomes: Vec<Outcome> =
        models(series.len()).into_iter().map(|mut model| fold(model.as_mut(), &series, &bursts)).collect();
    let mut report = String::new();
    let is_met = rates(&mut report, &series, &outcomes).and_then(|met| {
        powers(&mut report, &bursts, &outcomes)?;
        Ok(met)
    });
    is_met.map(|met| (report, met)).map_err(|error| error.to_string())
}

fn fold(model: &mut dyn Model, series: &[Series], bursts: &[Burst]) -> Outcome {
    let longest = series.iter().map(|one| one.counts.len()).max().unwrap_or(0);
    let mut outcome =
        Outcome { name: model.name(), days: vec![Vec::new(); series.len()], bursts: Vec::new() };
    let mut waiting = bursts.iter().peekable();
    for at in 0..longest {
        let bucket = series[0].first + at as i64;
        while let Some(burst) = waiting.next_if(|burst| burst.start == at) {
            outcome.bursts.push(model.probe(bucket, burst.series, &burst.counts));
        }
        let counts: Vec<Option<u64>> = series.iter().map(|one| one.counts.get(at).copied()).collect();
        let scores = model.step(bucket, &counts);
        for ((one, days), score) in series.iter().zip(&mut outcome.days).zip(scores) {
            days.resize(days.len().max(at / DAY + 1), Vec::new());
            if at >= BURN_IN && one.labelled.get(at) == Some(&false) {
                days[at / DAY].push(score);
            }
        }
    }
    outcome
}

/// Scores above a threshold, and all of them.
fn beyond<'a>(scores: impl Iterator<Item = &'a f64>, threshold: f64) -> (u64, u64) {
    scores.fold((0, 0), |(above, all), score| (above + u64::from(*score > threshold), all + 1))
}

fn ratio((above, all): (u64, u64), rate: f64) -> f64 {
    above as f64 / (all as f64 * rate)
}

/// The interval of a ratio when whole series-days are drawn again with replacement.
fn interval(outcome: &Outcome, rate: f64) -> (f64, f64) {
    let threshold = -libm::log(rate);
    let days: Vec<(u64, u64)> = outcome
        .days
        .iter()
        .flatten()
        .map(|day| beyond(day.iter(), threshold))
        .filter(|day| day.1 > 0)
        .collect();
    let mut random = Random::new(SEED);
    let mut ratios: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn = (0..days.len()).map(|_| days[random.below(days.len())]);
            ratio(drawn.fold((0, 0), |sum, day| (sum.0 + day.0, sum.1 + day.1)), rate)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    (ratios[RESAMPLES / 40], ratios[RESAMPLES - 1 - RESAMPLES / 40])
}

fn rates(report: &mut String, series: &[Series], outcomes: &[Outcome]) -> Result<bool, std::fmt::Error> {
    let counted = outcomes.first().map_or(0, |outcome| outcome.days.iter().flatten().map(Vec::len).sum());
    writeln!(report, "Achieved over nominal, {counted} buckets of {} series:\n", series.len())?;
    writeln!(
        report,
        "| model | at 1e-2 | at 1e-3 | at 1e-4 | least and most of a series at 1e-3 |\n|---|---|---|---|---|"
    )?;
    let mut is_met = false;
    for outcome in outcomes {
        write!(report, "| {} |", outcome.name)?;
        for rate in RATES {
            let pooled = ratio(beyond(outcome.days.iter().flatten().flatten(), -libm::log(rate)), rate);
            let (low, high) = interval(outcome, rate);
            write!(report, " {pooled:.2} ({low:.2} to {high:.2}) |")?;
        }
        let each = each(outcome);
        let (least, most) = each.iter().fold((f64::MAX, 0.0_f64), |(a, b), one| (a.min(*one), b.max(*one)));
        writeln!(report, " {least:.2}, {most:.2} |")?;
        if outcome.name == OURS {
            let rate = RATES[GATED];
            let pooled = ratio(beyond(outcome.days.iter().flatten().flatten(), -libm::log(rate)), rate);
            is_met = (POOLED.0..=POOLED.1).contains(&pooled)
                && each.iter().all(|one| (EACH.0..=EACH.1).contains(one));
        }
    }
    writeln!(report, "\nEach series at 1e-3:\n\n| model | {} |", names(series))?;
    writeln!(report, "|---|{}", "---|".repeat(series.len()))?;
    for outcome in outcomes {
        let each: Vec<String> = each(outcome).iter().map(|ratio| format!("{ratio:.2}")).collect();
        writeln!(report, "| {} | {} |", outcome.name, each.join(" | "))?;
    }
    let verdict = if is_met { "met" } else { "missed" };
    writeln!(
        report,
        "\nGate: {OURS} at 1e-3 within {} to {}, each series within {} to {}: {verdict}\n",
        POOLED.0, POOLED.1, EACH.0, EACH.1
    )?;
    Ok(is_met)
}

fn names(series: &[Series]) -> String {
    series.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(" | ")
}

/// The ratio of each series at the gated rate.
fn each(outcome: &Outcome) -> Vec<f64> {
    let rate = RATES[GATED];
    outcome.days.iter().map(|days| ratio(beyond(days.iter().flatten(), -libm::log(rate)), rate)).collect()
}

/// The score that so many of the counted buckets exceed, in hindsight.
fn achieved(outcome: &Outcome, rate: f64) -> f64 {
    let mut scores: Vec<f64> = outcome.days.iter().flatten().flatten().copied().collect();
    scores.sort_by(|a, b| f64::total_cmp(b, a));
    scores[(scores.len() as f64 * rate) as usize]
}

fn powers(report: &mut String, bursts: &[Burst], outcomes: &[Outcome]) -> Result<(), std::fmt::Error> {
    let number = bursts.iter().filter(|burst| burst.strength == 1).count();
    writeln!(
        report,
        "Share of {number} bursts a strength of which a bucket is beyond the threshold (1x is a control):\n"
    )?;
    let minutes = LENGTHS.map(|length| format!("4x, {} min", 5 * length)).join(" | ");
    writeln!(
        report,
        "| model and threshold | 1x | 2x | 4x | 20x | {minutes} |\n|---|---|---|---|---|---|---|---|"
    )?;
    for outcome in outcomes {
        let own = ("its own achieved 1e-3, in hindsight", achieved(outcome, RATES[GATED]));
        let nominal = ("p < 1e-3", -libm::log(RATES[GATED]));
        let thresholds = if outcome.name == OURS { vec![nominal, own] } else { vec![own] };
        for (name, threshold) in thresholds {
            let share = |strength: u64, length: Option<usize>| {
                let these = bursts.iter().zip(&outcome.bursts).filter(|(burst, _)| {
                    burst.strength == strength && length.is_none_or(|length| burst.counts.len() == length)
                });
                let (seen, all) = beyond(these.map(|(_, score)| score), threshold);
                format!("{:.3}", seen as f64 / all as f64)
            };
            let strengths = STRENGTHS.map(|strength| share(strength, None));
            let lengths = LENGTHS.map(|length| share(4, Some(length)));
            let cells = [strengths.join(" | "), lengths.join(" | ")].join(" | ");
            writeln!(report, "| {}, {name} | {cells} |", outcome.name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::print_stdout)]
mod tests {
    use super::*;

    #[test]
    fn the_gates_are_met_on_real_series() {
        let directory = Path::new(crate::DATA);
        if !directory.join("realTweets").exists() {
            println!("SKIPPED: calibration on real series: no ../shared/data/nab beside the project");
            return;
        }
        let (report, is_met) = run(directory).unwrap();
        assert!(is_met, "{report}");
    }

    fn outcome() -> Outcome {
        let day = |scores: &[f64]| scores.to_vec();
        let days = vec![vec![day(&[0.0; 500]), day(&[8.0; 1])], vec![Vec::new(), day(&[1.0; 499])]];
        Outcome { name: OURS, days, bursts: Vec::new() }
    }

    #[test]
    fn ratios_and_thresholds_of_a_known_outcome() {
        let outcome = outcome();
        assert_eq!(ratio(beyond(outcome.days.iter().flatten().flatten(), -libm::log(1e-3)), 1e-3), 1.0);
        assert_eq!(each(&outcome), [1e3 / 501.0, 0.0]);
        assert_eq!(achieved(&outcome, 1e-3), 1.0);
        let (low, high) = interval(&outcome, 1e-3);
        assert!(low == 0.0 && high > 2.0, "{low} {high}");
    }

    #[test]
    fn a_burst_is_probed_before_its_first_bucket_is_learnt() {
        struct Count(u64);
        impl Model for Count {
            fn name(&self) -> &'static str {
                OURS
            }
            fn step(&mut self, _bucket: i64, counts: &[Option<u64>]) -> Vec<f64> {
                self.0 += 1;
                counts.iter().map(|count| count.map_or(0.0, |count| count as f64)).collect()
            }
            fn probe(&self, _bucket: i64, _series: usize, _counts: &[u64]) -> f64 {
                self.0 as f64
            }
        }
        let length = BURN_IN + 2;
        let mut series =
            Series { name: String::new(), first: 7, counts: vec![1; length], labelled: vec![false; length] };
        series.labelled[BURN_IN] = true;
        let burst = Burst { series: 0, start: BURN_IN + 1, strength: 1, counts: vec![1] };
        let found = fold(&mut Count(0), &[series], &[burst]);
        assert_eq!(found.bursts, [(BURN_IN + 1) as f64]);
        assert_eq!(found.days.concat().concat(), [1.0]);
    }
}
