//! When sessions start: office hours, or evenly.

use crate::calendar::{DAY_US, HOUR_US};
use crate::random::Random;

/// How session starts are spread over the span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Season {
    /// Busy from eight to six UTC on weekdays, with a dip at noon; quiet nights and weekends.
    OfficeHours,
    /// The same at every hour.
    Flat,
}

const WEEKDAY: [u64; 24] =
    [4, 3, 3, 3, 3, 5, 12, 34, 72, 96, 100, 94, 70, 84, 98, 95, 86, 60, 34, 22, 16, 12, 8, 6];
const WEEKEND: [u64; 24] = [3, 2, 2, 2, 2, 2, 3, 4, 6, 8, 9, 9, 8, 8, 9, 8, 8, 7, 6, 6, 5, 4, 4, 3];

impl Season {
    fn weight(self, time_us: u64) -> u64 {
        let hour = (time_us % DAY_US / HOUR_US) as usize;
        // 1970-01-01 was a Thursday: day 2 after it is the first Saturday.
        let weekend = (time_us / DAY_US + 5) % 7 < 2;
        match self {
            Self::Flat => 1,
            Self::OfficeHours if weekend => WEEKEND[hour],
            Self::OfficeHours => WEEKDAY[hour],
        }
    }
}

/// Session starts in order: one in each of `sessions` equal shares of the season's mass, anywhere inside its share.
#[derive(Debug)]
pub(crate) struct Arrivals {
    season: Season,
    random: Random,
    end_us: u64,
    sessions: u64,
    next: u64,
    /// Mass (weight times microseconds) of the whole span, and of what lies before `cursor_us`.
    mass: u64,
    mass_before: u64,
    cursor_us: u64,
}

impl Arrivals {
    pub(crate) fn new(season: Season, start_us: u64, span_us: u64, sessions: u64, seed: u64) -> Self {
        let end_us = start_us + span_us;
        let (mut mass, mut cursor_us) = (0, start_us);
        while cursor_us < end_us {
            let upto_us = hour_end(cursor_us).min(end_us);
            mass += season.weight(cursor_us) * (upto_us - cursor_us);
            cursor_us = upto_us;
        }
        let random = Random::stream(seed, 1, 0);
        Self { season, random, end_us, sessions, next: 0, mass, mass_before: 0, cursor_us: start_us }
    }
}

fn hour_end(time_us: u64) -> u64 {
    (time_us / HOUR_US + 1) * HOUR_US
}

impl Iterator for Arrivals {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if self.next == self.sessions {
            return None;
        }
        let share = (u128::from(self.next) << 32) + u128::from(self.random.next() >> 32);
        self.next += 1;
        let target = (u128::from(self.mass) * share / (u128::from(self.sessions) << 32)) as u64;
        loop {
            let weight = self.season.weight(self.cursor_us);
            let upto_us = hour_end(self.cursor_us).min(self.end_us);
            let mass_upto = self.mass_before + weight * (upto_us - self.cursor_us);
            if target < mass_upto || upto_us == self.end_us {
                let start_us = self.cursor_us + (target - self.mass_before) / weight;
                return Some(start_us.min(self.end_us - 1));
            }
            (self.mass_before, self.cursor_us) = (mass_upto, upto_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::parse_rfc3339;

    #[test]
    fn starts_are_ordered_counted_and_inside_the_span() {
        let start_us = parse_rfc3339("2026-03-02T07:41:13Z").unwrap();
        for season in [Season::Flat, Season::OfficeHours] {
            for sessions in [1, 7, 5_000] {
                let span_us = 3 * DAY_US + 12_345;
                let starts: Vec<u64> = Arrivals::new(season, start_us, span_us, sessions, 3).collect();
                assert_eq!(starts.len() as u64, sessions);
                assert!(starts.is_sorted());
                assert!(starts.iter().all(|time_us| (start_us..start_us + span_us).contains(time_us)));
            }
        }
    }

    #[test]
    fn a_weekday_morning_is_busier_than_its_night_and_than_saturday() {
        let monday_us = parse_rfc3339("2026-03-02T00:00:00Z").unwrap();
        let starts: Vec<u64> = Arrivals::new(Season::OfficeHours, monday_us, 7 * DAY_US, 20_000, 3).collect();
        let count = |day: u64, hour: u64| {
            let from_us = monday_us + day * DAY_US + hour * HOUR_US;
            starts.iter().filter(|&&time_us| (from_us..from_us + HOUR_US).contains(&time_us)).count()
        };
        assert!(count(0, 10) > 20 * count(0, 3), "{} {}", count(0, 10), count(0, 3));
        assert!(count(0, 10) > 8 * count(5, 10) && count(4, 10) > 8 * count(6, 10));
    }
}
