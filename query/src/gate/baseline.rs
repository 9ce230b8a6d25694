//! The baseline of the denial gate: the median of the same hour over the last seven days, until the detector has one.

use arrow::array::RecordBatch;
use schemas::limits::{GATE_BASELINE_CALLS_MIN, GATE_BASELINE_DAYS_MIN};

use super::integers;
use crate::{Error, Result};

/// Calls of one day, or of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Calls {
    day: i64,
    decided: i64,
    denied: i64,
}

/// How many times the usual ratio of denials there is now.
///
/// # Errors
/// [`Error::NoAnswer`] where fewer than [`GATE_BASELINE_DAYS_MIN`] days had [`GATE_BASELINE_CALLS_MIN`] calls.
pub(super) fn ratio(rows: &[RecordBatch]) -> Result<f64> {
    let (days, decided, denied) = (integers(rows, 0)?, integers(rows, 1)?, integers(rows, 2)?);
    let calls = days.into_iter().zip(decided).zip(denied);
    let calls: Vec<Calls> = calls
        .filter_map(|((day, decided), denied)| Some(Calls { day: day?, decided: decided?, denied: denied? }))
        .collect();
    of(&calls)
}

fn of(calls: &[Calls]) -> Result<f64> {
    let (now, before): (Vec<Calls>, Vec<Calls>) = calls.iter().partition(|calls| calls.day == 0);
    let usable: Vec<Calls> =
        before.into_iter().filter(|calls| calls.decided >= GATE_BASELINE_CALLS_MIN).collect();
    if usable.len() < GATE_BASELINE_DAYS_MIN {
        return Err(Error::NoAnswer {
            code: "no_baseline",
            detail: format!(
                "{} of the last seven days have {GATE_BASELINE_CALLS_MIN} decided calls in this hour; {GATE_BASELINE_DAYS_MIN} are needed",
                usable.len()
            ),
        });
    }
    let Some(now) = now.first().filter(|calls| calls.denied > 0) else { return Ok(0.0) };
    let usual = median(usable.iter().map(|calls| calls.denied as f64 / calls.decided as f64));
    // Where nothing was denied, the least that those days could have shown: one denial.
    let least = 1.0 / median(usable.iter().map(|calls| calls.decided as f64));
    Ok(now.denied as f64 / now.decided as f64 / usual.max(least))
}

/// Of at least one number.
fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    let (below, above) = (numbers.len().saturating_sub(1) / 2, numbers.len() / 2);
    let at = |at: usize| numbers.get(at).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(below), at(above))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(now: (i64, i64), before: &[(i64, i64)]) -> Vec<Calls> {
        let before = (1..).zip(before).map(|(day, calls)| (day, *calls));
        std::iter::once((0, now))
            .chain(before)
            .map(|(day, (decided, denied))| Calls { day, decided, denied })
            .collect()
    }

    #[test]
    fn the_median_day_is_the_measure_and_a_strange_day_is_not() {
        let before = [(100, 5), (100, 4), (100, 6), (100, 90), (10, 10)];
        // 5, 4, 6 and 90 per cent: the median is 5.5; ten calls are too few to be a day.
        let found = of(&days((200, 22), &before)).unwrap();
        assert!((found - 2.0).abs() < 1e-9, "{found}");
        assert_eq!(of(&days((200, 0), &before)).unwrap(), 0.0);
        assert_eq!(of(&days((0, 0), &before)[1..]).unwrap(), 0.0, "no call is no denial");
    }

    #[test]
    fn without_denials_before_one_denial_is_the_measure() {
        let found = of(&days((100, 3), &[(100, 0), (100, 0), (100, 0)])).unwrap();
        assert!((found - 3.0).abs() < 1e-9, "{found}");
    }

    #[test]
    fn two_days_are_no_baseline() {
        let error = of(&days((100, 3), &[(100, 1), (100, 1), (19, 1)])).unwrap_err();
        assert_eq!(error.code(), "no_baseline");
    }
}
