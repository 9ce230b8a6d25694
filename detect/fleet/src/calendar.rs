//! Local time in three zones, and the days on which something happens to everybody.
//!
//! Day 0 is Monday, 2026-02-02. Times are microseconds since 1970 in UTC.

pub const SECOND: i64 = 1_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// Midnight UTC of day 0, in days since 1970.
const FIRST: i64 = 20_486;

/// Day of a public holiday in all three countries: Good Friday, 2026-04-03.
pub const HOLIDAY: i64 = 60;
/// Day of the release, a Tuesday; it is out at ten in the morning UTC.
pub const RELEASE: i64 = 43;
/// Day on which a twentieth of the fleet begins work, a Monday.
pub const ONBOARDING: i64 = 49;
/// Day on which one gateway holds its records back, from 13:00 UTC on, a Monday.
pub const BACKLOG: i64 = 70;
/// How long it holds them back: longer than any sensible lateness.
pub const BACKLOG_LASTS: i64 = 25 * MINUTE;

/// Where people work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    Berlin,
    NewYork,
    Kolkata,
}

impl Zone {
    /// ISO code of its country.
    pub fn country(self) -> &'static str {
        match self {
            Zone::Berlin => "DE",
            Zone::NewYork => "US",
            Zone::Kolkata => "IN",
        }
    }

    /// When its clocks go forward by an hour.
    pub fn daylight_saving(self) -> Option<i64> {
        match self {
            Zone::Berlin => Some(start(55) + HOUR),
            Zone::NewYork => Some(start(34) + 7 * HOUR),
            Zone::Kolkata => None,
        }
    }

    /// Local time, as microseconds since 1970 on a clock on its walls.
    pub fn local(self, time_us: i64) -> i64 {
        let winter = match self {
            Zone::Berlin => HOUR,
            Zone::NewYork => -5 * HOUR,
            Zone::Kolkata => 5 * HOUR + 30 * MINUTE,
        };
        let is_summer = self.daylight_saving().is_some_and(|from| time_us >= from);
        time_us + winter + if is_summer { HOUR } else { 0 }
    }

    /// Number of the local day.
    pub fn day(self, time_us: i64) -> i64 {
        self.local(time_us).div_euclid(DAY) - FIRST
    }

    /// Local hour of the day with its fraction.
    pub fn hour(self, time_us: i64) -> f64 {
        self.local(time_us).rem_euclid(DAY) as f64 / HOUR as f64
    }

    /// Whether people have that local day off.
    pub fn is_free(self, time_us: i64) -> bool {
        let day = self.day(time_us);
        day.rem_euclid(7) >= 5 || day == HOLIDAY
    }
}

/// Midnight UTC at which a day begins.
pub fn start(day: i64) -> i64 {
    (FIRST + day) * DAY
}

/// The day (UTC) in which a moment lies.
pub fn day_of(time_us: i64) -> i64 {
    time_us.div_euclid(DAY) - FIRST
}

/// When the release is out.
pub fn released() -> i64 {
    start(RELEASE) + 10 * HOUR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_go_forward_where_they_do() {
        assert_eq!(Zone::Berlin.hour(start(54) + 8 * HOUR), 9.0);
        assert_eq!(Zone::Berlin.hour(start(55) + 8 * HOUR), 10.0);
        assert_eq!(Zone::NewYork.hour(start(33) + 14 * HOUR), 9.0);
        assert_eq!(Zone::NewYork.hour(start(35) + 14 * HOUR), 10.0);
        assert_eq!(Zone::Kolkata.hour(start(80)), 5.5);
        assert_eq!(Zone::NewYork.day(start(3)), 2);
    }

    #[test]
    fn weekends_and_the_holiday_are_free() {
        let noon = |day| start(day) + 12 * HOUR;
        assert_eq!(
            [4, 5, 6, 7, HOLIDAY].map(|day| Zone::Berlin.is_free(noon(day))),
            [false, true, true, false, true]
        );
        assert_eq!(day_of(noon(9)), 9);
    }
}
