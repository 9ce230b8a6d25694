//! Times of sources to microseconds since 1970-01-01T00:00:00Z.

/// A time as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant {
    /// Microseconds since the epoch; finer digits are dropped.
    pub(crate) us: i64,
    /// Whether the text is what this time prints as, so that nothing of it needs keeping.
    pub(crate) is_plain: bool,
}

/// Microseconds of 0000-01-01T00:00:00Z.
const US_MIN: i64 = schemas::limits::INGEST_US_MIN;
/// Microseconds of 9999-12-31T23:59:59.999999Z.
const US_MAX: i64 = schemas::limits::INGEST_US_MAX;
const US_PER_SECOND: i64 = 1_000_000;

/// Reads a time given as text: RFC 3339 with any offset, or ten or more digits as an epoch number. A date alone is none.
pub(crate) fn from_text(text: &str) -> Option<Instant> {
    if let Some(instant) = rfc3339(text.as_bytes()) {
        return Some(instant);
    }
    let digits = text.strip_prefix('-').unwrap_or(text).bytes();
    let is_number = digits.clone().count() >= 10 && digits.clone().all(|b| b.is_ascii_digit() || b == b'.');
    if is_number { from_number(text) } else { None }
}

/// Reads an epoch number: seconds, milliseconds, microseconds or nanoseconds by magnitude (below 10^11, 10^14, 10^17).
pub(crate) fn from_number(number: &str) -> Option<Instant> {
    let us = match number.parse::<i64>() {
        Ok(whole) => match whole.unsigned_abs() {
            0..100_000_000_000 => whole.checked_mul(US_PER_SECOND)?,
            100_000_000_000..100_000_000_000_000 => whole.checked_mul(1000)?,
            100_000_000_000_000..100_000_000_000_000_000 => whole,
            _ => whole.div_euclid(1000),
        },
        // An integer of more than 64 bits is no time, and no float either.
        Err(_) if !number.contains(['.', 'e', 'E']) => return None,
        Err(_) => {
            let float = number.parse::<f64>().ok()?;
            let scale = match float.abs() {
                size if size < 1e11 => 1e6,
                size if size < 1e14 => 1e3,
                size if size < 1e17 => 1.0,
                _ => 1e-3,
            };
            to_i64((float * scale).round())?
        }
    };
    (US_MIN..=US_MAX).contains(&us).then_some(Instant { us, is_plain: false })
}

/// Whether these microseconds are of the years 0 to 9999.
pub(crate) fn is_in_range(us: i64) -> bool {
    (US_MIN..=US_MAX).contains(&us)
}

/// A whole float as an integer, if it is one of 64 bits.
pub(crate) fn to_i64(float: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "in range, and whole")]
    ((-LIMIT..LIMIT).contains(&float) && float.fract() == 0.0).then_some(float as i64)
}

/// Reads RFC 3339, section 5.6; `t`, `z` and a space for `T` as its notes allow; a leap second counts as the next.
fn rfc3339(text: &[u8]) -> Option<Instant> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let [y0, y1, y2, y3, b'-', o0, o1, b'-', d0, d1, t, h0, h1, b':', m0, m1, b':', s0, s1] = *head else {
        return None;
    };
    let year = two(y0, y1)? * 100 + two(y2, y3)?;
    let (month, day) = (two(o0, o1)?, two(d0, d1)?);
    let (hour, minute, second) = (two(h0, h1)?, two(m0, m1)?, two(s0, s1)?);
    if !matches!(t, b'T' | b't' | b' ') || !is_date(year, month, day) || hour > 23 || minute > 59 {
        return None;
    }
    if second > 60 || (second == 60 && minute != 59) {
        return None;
    }
    let (fraction_us, digits, rest) = fraction(rest)?;
    let offset_s = offset(rest)?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_s;
    let us = seconds * US_PER_SECOND + fraction_us;
    let shortest = match digits {
        0 => true,
        3 => fraction_us != 0,
        6 => fraction_us % 1000 != 0,
        _ => false,
    };
    let is_plain = shortest && t == b'T' && rest == b"Z" && second < 60;
    (US_MIN..=US_MAX).contains(&us).then_some(Instant { us, is_plain })
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}

/// Microseconds of `.digits`, how many digits there are, and what follows.
fn fraction(text: &[u8]) -> Option<(i64, usize, &[u8])> {
    let Some((b'.', rest)) = text.split_first() else {
        return Some((0, 0, text));
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = |us: i64, at: usize| {
        us * 10 + rest.get(at).filter(|_| at < digits).map_or(0, |b| i64::from(b - b'0'))
    };
    let us = (0..6).fold(0, value);
    (digits > 0).then_some((us, digits, rest.get(digits..)?))
}

/// Seconds east of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    match *text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
            let (hours, minutes) = (two(h0, h1)?, two(m0, m1)?);
            let east = hours * 3600 + minutes * 60;
            (hours < 24 && minutes < 60).then_some(if sign == b'+' { east } else { -east })
        }
        _ => None,
    }
}

fn is_date(year: i64, month: i64, day: i64) -> bool {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=last).contains(&day)
}

/// `us` as RFC 3339 with microseconds: the calendar of [`days`] the other way round.
pub(crate) fn shown(us: i64) -> String {
    let (seconds, fraction) = (us.div_euclid(US_PER_SECOND), us.rem_euclid(US_PER_SECOND));
    let (day, second) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let date = of_year - (153 * march + 2) / 5 + 1;
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{:02}.{fraction:06}Z", second % 60)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; the year is taken to start in March, so that the leap day
/// is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn us(text: &str) -> Option<i64> {
        from_text(text).map(|instant| instant.us)
    }

    proptest! {
        #[test]
        fn agrees_with_a_calendar_library(us_expected in -62_135_596_800_000_000i64..253_370_764_800_000_000, offset in -1439i64..1440) {
            let at = jiff::Timestamp::from_microsecond(us_expected).unwrap();
            prop_assert_eq!(us(&at.to_string()), Some(us_expected));
            let local = jiff::Timestamp::from_microsecond(us_expected + offset * 60_000_000);
            if let Ok(local) = local {
                let sign = if offset < 0 { '-' } else { '+' };
                let text = local.to_string();
                let text = format!("{}{sign}{:02}:{:02}", &text[..text.len() - 1], offset.abs() / 60, offset.abs() % 60);
                if !text.starts_with('-') {
                    prop_assert_eq!(us(&text), Some(us_expected), "{}", text);
                }
            }
        }

        #[test]
        fn what_is_shown_is_read_again(us_shown in US_MIN..US_MAX) {
            prop_assert_eq!(us(&shown(us_shown)), Some(us_shown));
        }

        #[test]
        fn any_text_has_an_answer(text in "[0-9TZtz:. +-]{0,40}") {
            let _ = from_text(&text);
            let _ = from_number(&text);
        }

        #[test]
        fn what_is_plain_prints_as_it_was(us in 0i64..253_370_764_800_000_000, digits in prop::sample::select(vec![0usize, 3, 6, 9])) {
            let at = jiff::Timestamp::from_microsecond(us).unwrap();
            let text = format!("{at:.digits$}");
            let read = from_text(&text).unwrap();
            let shortest = if read.us % 1_000_000 == 0 { 0 } else if read.us % 1000 == 0 { 3 } else { 6 };
            let printed = format!("{:.shortest$}", jiff::Timestamp::from_microsecond(read.us).unwrap());
            prop_assert_eq!(read.is_plain, printed == text);
        }
    }

    #[test]
    fn the_first_and_last_years_are_times() {
        assert_eq!(us("0000-01-01T00:00:00Z"), Some(US_MIN));
        assert_eq!(us("9999-12-31T23:59:59.999999Z"), Some(US_MAX));
        assert_eq!(us("9999-12-31T23:59:59-00:01"), None);
        assert_eq!(us("0000-01-01T00:00:00+00:01"), None);
        assert_eq!(us("2024-02-29T12:00:00Z"), us("2024-02-29t12:00:00z"));
        assert_eq!(us("2016-12-31T23:59:60Z"), us("2017-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "2026-06-09",
            "20260609",
            "2026",
            "",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-06-09T24:00:00Z",
            "2026-06-09T12:45:31",
            "2026-06-09T12:45:31.Z",
            "2026-06-09T12:45:31+25:00",
            "2026-06-09T12:45:31Zx",
            "12026-06-09T12:45:31Z",
            "-2026-06-09T12:45:31Z",
            "yesterday",
            "２026-06-09T12:45:31Z",
        ] {
            assert_eq!(from_text(bad), None, "{bad}");
        }
        assert_eq!(from_number("99999999999999999999"), None);
        assert_eq!(from_number("1e400"), None);
    }

    #[test]
    fn numbers_are_seconds_or_finer_by_their_size() {
        for text in [
            "1781009131",
            "1781009131000",
            "1781009131000000",
            "1781009131000000000",
            "1781009131.0",
            "1.781009131e9",
        ] {
            assert_eq!(from_number(text).unwrap().us, 1_781_009_131_000_000, "{text}");
        }
        assert_eq!(from_number("1795203659.3731937").unwrap().us, 1_795_203_659_373_194);
        assert_eq!(us("1781009131000"), Some(1_781_009_131_000_000));
        assert_eq!(from_number("-1").unwrap().us, -1_000_000);
    }
}
