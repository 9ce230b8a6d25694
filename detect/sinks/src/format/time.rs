//! Microseconds since 1970-01-01T00:00:00Z as each format writes them.

const US_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Milliseconds since the epoch, rounded down.
pub(crate) fn epoch_ms(us: i64) -> i64 {
    us.div_euclid(1_000)
}

/// RFC 3339 in UTC with six decimals. A year of more than four digits, which no recorder writes, has a sign as in ISO 8601.
pub(crate) fn rfc3339(us: i64) -> String {
    let (seconds, micros) = (us.div_euclid(US_PER_SECOND), us.rem_euclid(US_PER_SECOND));
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let (year, month, day) = civil(us);
    match year {
        0..=9999 => format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"),
        _ => format!("{year:+05}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"),
    }
}

/// `YYYY-MM-DD`, the day in UTC.
pub(crate) fn date(us: i64) -> String {
    let (year, month, day) = civil(us);
    match year {
        0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:+05}-{month:02}-{day:02}"),
    }
}

/// Year, month and day in UTC. After Howard Hinnant's `civil_from_days`.
fn civil(us: i64) -> (i64, i64, i64) {
    let days = us.div_euclid(US_PER_SECOND).div_euclid(SECONDS_PER_DAY) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_795_203_653_120_001, "2026-11-20T19:40:53.120001Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
            (-62_167_219_200_000_000, "0000-01-01T00:00:00.000000Z"),
            (i64::MAX, "+294247-01-10T04:00:54.775807Z"),
            (i64::MIN, "-290308-12-21T19:59:05.224192Z"),
        ] {
            assert_eq!(rfc3339(us), text);
        }
        assert_eq!((epoch_ms(1_999), epoch_ms(-1)), (1, -1));
    }
}
