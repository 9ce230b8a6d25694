//! RFC 3339 in UTC, both ways. Civil dates by the era method (Howard Hinnant, "chrono-Compatible Low-Level Date
//! Algorithms").

pub(crate) const SECOND_US: u64 = 1_000_000;
pub(crate) const MINUTE_US: u64 = 60 * SECOND_US;
pub(crate) const HOUR_US: u64 = 60 * MINUTE_US;
pub(crate) const DAY_US: u64 = 24 * HOUR_US;

/// 10000-01-01T00:00:00Z, the first time that does not fit RFC 3339.
pub(crate) const TIME_US_MAX: u64 = 253_402_300_800 * SECOND_US;

/// Days since 1970-01-01 to (year, month, day).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// (year from 1970, month, day) to days since 1970-01-01.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn push_digits(out: &mut String, value: u64, width: u32) {
    for place in (0..width).rev() {
        out.push(char::from(b'0' + (value / 10_u64.pow(place) % 10) as u8));
    }
}

/// Appends `2026-03-02T08:14:09.123Z`; microseconds below the millisecond are dropped.
pub(crate) fn push_rfc3339(out: &mut String, time_us: u64) {
    let (year, month, day) = civil_from_days(time_us / DAY_US);
    let within = time_us % DAY_US;
    push_digits(out, year, 4);
    out.push('-');
    push_digits(out, month, 2);
    out.push('-');
    push_digits(out, day, 2);
    out.push('T');
    push_digits(out, within / HOUR_US, 2);
    out.push(':');
    push_digits(out, within / MINUTE_US % 60, 2);
    out.push(':');
    push_digits(out, within / SECOND_US % 60, 2);
    out.push('.');
    push_digits(out, within / 1_000 % 1_000, 3);
    out.push('Z');
}

/// Reads an RFC 3339 time in UTC (`2026-03-02T08:00:00Z`, up to six decimals of a second) as microseconds since 1970.
///
/// `None` for anything else: another zone, a date that does not exist, a year before 1970, a leap second.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let rest = text.strip_suffix('Z')?;
    let (whole, fraction) = match rest.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (rest, None),
    };
    let bytes = whole.as_bytes();
    if bytes.len() != 19 {
        return None;
    }
    for (at, mark) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        if bytes[at] != mark {
            return None;
        }
    }
    let number = |from: usize, upto: usize| whole.get(from..upto).and_then(digits);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if year < 1970 || !(1..=12).contains(&month) || day == 0 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_from_civil(year, month, day);
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    let below_second_us = match fraction {
        None => 0,
        Some(fraction) if (1..=6).contains(&fraction.len()) => {
            digits(fraction)? * 10_u64.pow(6 - fraction.len() as u32)
        }
        Some(_) => return None,
    };
    Some(days * DAY_US + hour * HOUR_US + minute * MINUTE_US + second * SECOND_US + below_second_us)
}

fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(time_us: u64) -> String {
        let mut out = String::new();
        push_rfc3339(&mut out, time_us);
        out
    }

    #[test]
    fn known_times() {
        assert_eq!(shown(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(951_782_400 * SECOND_US), "2000-02-29T00:00:00.000Z");
        assert_eq!(shown(1_772_439_249_123_999), "2026-03-02T08:14:09.123Z");
        assert_eq!(shown(TIME_US_MAX - 1), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn every_day_of_a_thousand_years_comes_back() {
        for day in 0..365_250_u64 {
            let time_us = day * DAY_US + (day * 7_919_000) % DAY_US / 1_000 * 1_000;
            assert_eq!(parse_rfc3339(&shown(time_us)), Some(time_us));
        }
    }

    #[test]
    fn what_is_not_a_utc_time_is_refused() {
        for text in [
            "",
            "2026-03-02",
            "2026-03-02T08:00:00",
            "2026-03-02T08:00:00+01:00",
            "2026-02-30T08:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-13-02T08:00:00Z",
            "2026-03-02T24:00:00Z",
            "2026-03-02T08:00:60Z",
            "2026-03-02 08:00:00Z",
            "2026-03-02T08:00:00.Z",
            "2026-03-02T08:00:00.1234567Z",
            "2026-03-+2T08:00:00Z",
            "2026-03-02T08:00:0éZ",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text:?}");
        }
        assert_eq!(parse_rfc3339("1970-01-01T00:00:01.5Z"), Some(1_500_000));
    }
}
