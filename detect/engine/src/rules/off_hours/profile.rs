//! When in the week a principal's sessions begin.

use std::collections::VecDeque;

use schemas::limits::{ENGINE_STARTS_RECENT_MAX, ENGINE_STARTS_WAITING_MAX};
use serde::{Deserialize, Serialize};

/// Starts below which a principal is forgotten after so many days without one, and days after which any is.
const FEW: (u32, i64) = (5, 7);
const FORGOTTEN: i64 = 120;
/// Hours of a week.
pub(super) const HOURS: usize = 168;
/// One session in the fixed point of the counts.
const ONE: u16 = 256;
/// What is kept of a count over a week, in sixteenths: half over 75 days.
const KEPT: u16 = 15;
/// Weeks after which nothing is left of a count.
const WEEKS: i64 = 256;
/// Weight of the peers, in sessions.
const KAPPA: f64 = 4.0;
/// Sessions and days without which there is no verdict.
const SETTLED: (u32, i64) = (30, 14);
/// Share of the largest entropy there is above which a principal works round the clock.
const EVEN: f64 = 0.93;
/// Share of starts, in percent, from which on a clock starts them.
const PERIODIC: u32 = 60;
/// How far, in seconds, a start by a clock is off, and how many days back it is looked for.
const JITTER: i64 = 60;
const LOOKED_BACK: i64 = 3;
/// Starts that the share of periodic ones is over, at most.
const COUNTED: u32 = 128;
const DAY: i64 = 86_400;
const DAYS_OF_WEEK: i64 = 7;

/// A distribution over the hours of the week.
pub(super) type Hours = [f64; HOURS];

/// What is remembered of one principal: 336 bytes of counts, about 700 in all, and 10 for each start that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    /// Sessions by hour of the week, forgotten exponentially; 168 of them in fixed point, rounded down, so that they reach nothing.
    counts: Vec<u16>,
    /// The week up to which they are forgotten.
    week: i64,
    /// Starts learnt, and the day of the first.
    pub learnt: u32,
    first_day: i64,
    /// (day on which it is learnt, hour of the week).
    waiting: Vec<(i64, u16)>,
    /// The latest starts, in seconds, for whether a clock starts them.
    recent: VecDeque<i64>,
    periodic: u32,
    starts: u32,
    pub last_us: i64,
}

impl Profile {
    pub fn new() -> Profile {
        Profile {
            counts: vec![0; HOURS],
            week: i64::MIN,
            learnt: 0,
            first_day: i64::MAX,
            waiting: Vec::new(),
            recent: VecDeque::new(),
            periodic: 0,
            starts: 0,
            last_us: i64::MIN,
        }
    }

    /// Notes a start, for its regularity.
    pub fn start(&mut self, seen_us: i64) {
        self.last_us = self.last_us.max(seen_us);
        let second = seen_us.div_euclid(1_000_000);
        let is_periodic = self.is_on_the_day(second) || self.is_in_step(second);
        if self.starts >= COUNTED {
            (self.starts, self.periodic) = (self.starts / 2, self.periodic / 2);
        }
        self.starts += 1;
        self.periodic += u32::from(is_periodic);
        if self.recent.len() >= ENGINE_STARTS_RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(second);
    }

    /// At the same second of a day before, more or less.
    fn is_on_the_day(&self, second: i64) -> bool {
        self.recent.iter().any(|before| {
            let ago = second.saturating_sub(*before);
            let off = ago.rem_euclid(DAY);
            (DAY / 2..=LOOKED_BACK * DAY + JITTER).contains(&ago) && off.min(DAY - off) <= JITTER
        })
    }

    /// As long after the last start as that was after the one before.
    fn is_in_step(&self, second: i64) -> bool {
        let mut latest = self.recent.iter().rev();
        let (Some(last), Some(before)) = (latest.next(), latest.next()) else { return false };
        let steps = second.saturating_sub(*last).saturating_sub(last.saturating_sub(*before));
        steps.unsigned_abs() <= JITTER.unsigned_abs()
    }

    /// Puts a start by until its day.
    pub fn wait(&mut self, due_day: i64, hour: usize) {
        if self.waiting.len() < ENGINE_STARTS_WAITING_MAX {
            self.waiting.push((due_day, hour as u16));
        }
    }

    /// Learns what has waited until `day`.
    pub fn turn(&mut self, day: i64) {
        let week = day.div_euclid(DAYS_OF_WEEK);
        let weeks = week.saturating_sub(self.week).clamp(0, WEEKS);
        self.week = self.week.max(week);
        for count in &mut self.counts {
            for _ in 0..weeks {
                *count = (u32::from(*count) * u32::from(KEPT) / 16) as u16;
                if *count == 0 {
                    break;
                }
            }
        }
        for (due_day, hour) in std::mem::take(&mut self.waiting) {
            if due_day > day {
                self.waiting.push((due_day, hour));
            } else if let Some(count) = self.counts.get_mut(usize::from(hour)) {
                *count = count.saturating_add(ONE);
                self.learnt = self.learnt.saturating_add(1);
                self.first_day = self.first_day.min(due_day);
            }
        }
    }

    /// Whether it is worth keeping on: who came once and not again is not, however many there are of that kind.
    pub fn is_kept(&self, day: i64) -> bool {
        let idle = day.saturating_sub(self.last_us.div_euclid(DAY * 1_000_000));
        !self.waiting.is_empty() || idle < if self.learnt < FEW.0 { FEW.1 } else { FORGOTTEN }
    }

    /// Whether enough is known to say what is unusual.
    pub fn is_settled(&self, day: i64) -> bool {
        self.learnt >= SETTLED.0 && day.saturating_sub(self.first_day) >= SETTLED.1
    }

    /// Whether a clock starts it.
    pub fn is_periodic(&self) -> bool {
        u64::from(self.periodic) * 100 >= u64::from(self.starts) * u64::from(PERIODIC)
    }

    /// Its own starts by hour of the week, smoothed over three hours; none without starts.
    pub fn own(&self) -> Option<Hours> {
        let sum: u32 = self.counts.iter().map(|count| u32::from(*count)).sum();
        let count = |hour: usize| f64::from(self.counts.get(hour % HOURS).copied().unwrap_or(0));
        let smooth = |hour| (count(hour + HOURS - 1) + 2.0 * count(hour) + count(hour + 1)) / 4.0;
        (sum > 0).then(|| std::array::from_fn(|hour| smooth(hour) / f64::from(sum)))
    }

    /// How probable a start is at each hour of the week: its own, and its peers for what it has not shown. Their share is at least that of
    /// starts that were the only one of their hour (Good 1953): who spread thirty starts over thirty hours will begin at other ones.
    pub fn predict(&self, peers: &Hours) -> Hours {
        let Some(own) = self.own() else { return *peers };
        let sum: u32 = self.counts.iter().map(|count| u32::from(*count)).sum();
        let alone: u32 =
            self.counts.iter().filter(|count| **count <= ONE).map(|count| u32::from(*count)).sum();
        let share =
            (KAPPA / (f64::from(sum) / f64::from(ONE) + KAPPA)).max(f64::from(alone) / f64::from(sum));
        let mut hours = own;
        hours.iter_mut().zip(peers).for_each(|(own, peers)| *own = (1.0 - share) * *own + share * peers);
        hours
    }
}

/// Whether a distribution is so even that no hour is an unusual one.
pub(super) fn is_even(hours: &Hours) -> bool {
    let entropy: f64 = hours.iter().filter(|p| **p > 0.0).map(|p| -p * libm::log(*p)).sum();
    entropy > EVEN * libm::log(HOURS as f64)
}

/// ln of the probability of all hours that are no more probable than this one: what lies outside of the region of highest density.
pub(super) fn ln_tail(hours: &Hours, hour: usize) -> f64 {
    let own = hours.get(hour).copied().unwrap_or(0.0);
    let tail: f64 = hours.iter().filter(|p| **p <= own).sum();
    libm::log(tail.clamp(f64::MIN_POSITIVE, 1.0))
}

/// The same for each hour.
pub(super) const fn uniform() -> Hours {
    [1.0 / HOURS as f64; HOURS]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts at these hours of each of so many days, in seconds from the first.
    fn profile(days: i64, hours: &[i64], jitter: i64) -> Profile {
        let mut profile = Profile::new();
        for day in 0..days {
            for hour in hours {
                let second = day * DAY + hour * 3_600 + (day * 7_919 + hour * 104_729).rem_euclid(jitter);
                profile.start(second * 1_000_000);
                profile.wait(day, (second / 3_600).rem_euclid(HOURS as i64) as usize);
            }
            profile.turn(day);
        }
        profile
    }

    #[test]
    fn hours_that_were_never_used_are_improbable() {
        let profile = profile(60, &[9, 11, 13, 15], 3_600);
        let hours = profile.predict(&uniform());
        assert!((hours.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(profile.is_settled(60) && !is_even(&hours) && !profile.is_periodic());
        assert!(
            ln_tail(&hours, 3) < -3.0 && ln_tail(&hours, 9) > -1.0,
            "{} {}",
            ln_tail(&hours, 3),
            ln_tail(&hours, 9)
        );
        assert!(ln_tail(&hours, 10) > -2.5, "its neighbours are smoothed into");
    }

    #[test]
    fn round_the_clock_is_even_and_a_clock_is_periodic() {
        let clock: Vec<i64> = (0..24).collect();
        assert!(is_even(&profile(60, &clock, 3_600).predict(&uniform())));
        assert!(profile(30, &[3], 20).is_periodic());
        assert!(profile(30, &clock, 20).is_periodic());
        assert!(!profile(30, &[8, 10, 13, 16], 3_600).is_periodic());
    }

    #[test]
    fn what_is_spread_thin_says_nothing() {
        let mut profile = Profile::new();
        (0..30).for_each(|at| profile.wait(at, (at as usize * 37) % HOURS));
        profile.turn(40);
        assert!(profile.is_settled(60));
        assert!(ln_tail(&profile.predict(&uniform()), 1) > -0.5);
    }

    #[test]
    fn counts_are_forgotten_to_nothing_and_half_in_75_days() {
        let mut profile = profile(1, &[9], 1);
        (0..64).for_each(|_| profile.wait(0, 9));
        profile.turn(0);
        let before = profile.counts[9];
        profile.turn(77);
        assert!((f64::from(profile.counts[9]) / f64::from(before) - 0.49).abs() < 0.02);
        profile.turn(i64::MAX);
        assert_eq!(profile.counts[9], 0);
        profile.start(i64::MIN);
        profile.start(i64::MAX);
        profile.start(i64::MIN);
    }
}
