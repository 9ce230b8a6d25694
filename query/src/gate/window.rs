//! How far back a gate looks.

use std::fmt;
use std::str::FromStr;

use schemas::limits::{GATE_WINDOW_S_MAX, GATE_WINDOW_S_MIN};

use crate::{Error, Result};

/// A window that ends now, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    seconds: i64,
}

impl Window {
    /// A window of so many seconds.
    ///
    /// # Errors
    /// [`Error::Refused`] outside of what gates look at.
    pub fn of_seconds(seconds: i64) -> Result<Window> {
        if (GATE_WINDOW_S_MIN..=GATE_WINDOW_S_MAX).contains(&seconds) {
            return Ok(Window { seconds });
        }
        Err(refused(format!(
            "a window of {seconds} s is not within {GATE_WINDOW_S_MIN} s and {GATE_WINDOW_S_MAX} s"
        )))
    }

    /// Its length.
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// A window of the check list.
    pub(super) const fn of_minutes(minutes: i64) -> Window {
        Window { seconds: minutes * 60 }
    }

    /// Microseconds.
    pub(super) fn us(self) -> i64 {
        self.seconds.saturating_mul(1_000_000)
    }
}

fn refused(detail: String) -> Error {
    Error::Refused { code: "window", detail }
}

impl FromStr for Window {
    type Err = Error;

    /// `90s`, `10m`, `1h`, `7d`.
    fn from_str(text: &str) -> Result<Window> {
        let malformed = || refused(format!("window {text:?} is not a number with s, m, h or d, such as 10m"));
        let unit = text.chars().next_back().ok_or_else(malformed)?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(malformed()),
        };
        let digits = text.trim_end_matches(unit);
        if digits.len() + 1 != text.len() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        let number: i64 = digits.parse().map_err(|_| malformed())?;
        Window::of_seconds(number.saturating_mul(factor))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds {
            seconds if seconds % 86_400 == 0 => write!(f, "{}d", seconds / 86_400),
            seconds if seconds % 3_600 == 0 => write!(f, "{}h", seconds / 3_600),
            seconds if seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
            seconds => write!(f, "{seconds}s"),
        }
    }
}
