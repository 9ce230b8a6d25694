//! How long records take from the observer to the log.

use crate::calendar::{BACKLOG, BACKLOG_LASTS, HOUR, MINUTE, SECOND, start};
use crate::random::{Purpose, Random};

/// Receipt of a record of `source` that was observed at `time_us`. Most take a second; one in three hundred takes minutes, up to ten; one in five
/// thousand longer, up to six hours. About twice a week a source holds all back for minutes, and once gateway 0 does so for longer.
pub(crate) fn receipt(seed: u64, source: usize, time_us: i64, random: &mut Random) -> i64 {
    let usual_us = (random.exponential(0.8) * SECOND as f64) as i64 + SECOND / 10;
    let late_us = match random.below(15_000) {
        0..=49 => (random.exponential(150.0) * SECOND as f64) as i64,
        50..=52 => 10 * MINUTE + (random.exponential(40.0) * MINUTE as f64) as i64,
        _ => 0,
    };
    let late_us = if late_us > 10 * MINUTE { late_us.min(6 * HOUR) } else { late_us };
    let sent_us = held(seed, source, time_us).unwrap_or(time_us);
    sent_us + usual_us + late_us
}

/// When what a source holds back is sent, where it does.
fn held(seed: u64, source: usize, time_us: i64) -> Option<i64> {
    let backlog = start(BACKLOG) + 13 * HOUR;
    if source == 0 && (backlog..backlog + BACKLOG_LASTS).contains(&time_us) {
        return Some(backlog + BACKLOG_LASTS);
    }
    let hour = time_us.div_euclid(HOUR);
    let mut random = Random::stream(seed, Purpose::Delay, hour.unsigned_abs() << 4 | source as u64);
    if !random.chance(0.012) {
        return None;
    }
    let from = hour * HOUR + (random.uniform() * 50.0 * MINUTE as f64) as i64;
    let to = from + (random.between(1.0, 8.0) * MINUTE as f64) as i64;
    (from..to).contains(&time_us).then_some(to)
}
