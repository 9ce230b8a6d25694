//! How long ago witnesses may have cosigned at most.

use std::collections::BTreeSet;
use std::str::FromStr;

use schemas::limits::WITNESS_AHEAD_S_MAX;
use schemas::policy::{Policy, Witnessed};

/// A length of time, as it is typed: `90s`, `10m`, `1h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    seconds: u64,
}

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Age, String> {
        let malformed = || format!("{text:?} is not a number over 0 with s, m, h or d, such as 10m");
        let unit = text.chars().next_back().ok_or_else(malformed)?;
        let factor: u64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(malformed()),
        };
        let digits =
            text.strip_suffix(unit).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let number: Option<u64> = digits.and_then(|digits| digits.parse().ok());
        let seconds = number.and_then(|number| number.checked_mul(factor)).filter(|seconds| *seconds > 0);
        Ok(Age { seconds: seconds.ok_or_else(malformed)? })
    }
}

/// The time from which on a cosignature counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within {
    /// So long ago at most,
    pub age: Age,
    /// reckoned from this time, seconds since 1970.
    pub now_s: u64,
}

impl Within {
    /// Whether those who cosigned in this time are enough. One that comes from the future by more than clocks differ does not
    /// count: it would be new for ever.
    pub fn is_met(&self, policy: &Policy, witnessed: &Witnessed) -> bool {
        let times =
            self.now_s.saturating_sub(self.age.seconds)..=self.now_s.saturating_add(WITNESS_AHEAD_S_MAX);
        let new = witnessed.by.iter().filter(|(_, cosignature)| times.contains(&cosignature.time_s));
        policy.quorum.is_met(&new.map(|(at, _)| *at).collect())
    }
}

/// The greatest time so that those who cosigned then or later are enough; 0 where they are not.
pub fn time_enough_s(policy: &Policy, witnessed: &Witnessed) -> u64 {
    let mut newest_first: Vec<(u64, usize)> =
        witnessed.by.iter().map(|(at, cosignature)| (cosignature.time_s, *at)).collect();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    let mut by = BTreeSet::new();
    let enough = newest_first.into_iter().find(|(_, at)| {
        by.insert(*at);
        policy.quorum.is_met(&by)
    });
    enough.map_or(0, |(time_s, _)| time_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_they_are_typed() {
        let read = |text: &str| text.parse::<Age>().map(|age| age.seconds);
        let right = [("90s", 90), ("10m", 600), ("1h", 3_600), ("7d", 604_800)];
        assert!(right.iter().all(|(text, seconds)| read(text) == Ok(*seconds)));
        for wrong in
            ["", "s", "10", "0s", "-1s", "+1s", "1.5h", "1ms", "10 m", "1w", "18446744073709551615d", "é"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
