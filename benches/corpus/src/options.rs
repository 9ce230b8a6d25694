//! What to generate, and what cannot be.

use std::fmt;

use crate::calendar::{DAY_US, TIME_US_MAX};
use crate::season::Season;

/// What to generate. Everything that decides a byte is here.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Lines to write, exactly.
    pub events: u64,
    /// Sessions that share the events unevenly (below ten events a session some get none); 0 = one for 20 events.
    pub sessions: u64,
    pub seed: u64,
    /// First instant, microseconds since 1970 in UTC.
    pub start_us: u64,
    /// Length of the time covered, microseconds.
    pub span_us: u64,
    /// How sessions are spread over the span.
    pub season: Season,
    /// Tenants; user `i` belongs to tenant `i % tenants`.
    pub tenants: u32,
    /// Human users, over all tenants.
    pub users: u32,
    /// Agents, over all tenants.
    pub agents: u32,
    /// MCP servers; past the catalogue's twelve the names get a number.
    pub servers: u32,
    /// Tools a server offers at most; past the catalogue's the names get a version.
    pub tools: u32,
    /// Part of the tool calls (0 to 1) whose arguments carry something that looks like a secret.
    pub secret_ratio: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            events: 100_000,
            sessions: 0,
            seed: 1,
            // 2026-03-02T00:00:00Z, a Monday.
            start_us: 1_772_409_600_000_000,
            span_us: 7 * DAY_US,
            season: Season::OfficeHours,
            tenants: 1,
            users: 400,
            agents: 60,
            servers: 12,
            tools: 8,
            secret_ratio: 0.0,
        }
    }
}

/// Events a session has on average when [`Options::sessions`] is 0.
const EVENTS_PER_SESSION: u64 = 20;
const SPAN_US_MAX: u64 = 3_660 * DAY_US;
const EVENTS_MAX: u64 = 1_000_000_000_000;
const NAMES_MAX: u32 = 1_000_000;

impl Options {
    /// Sessions to run: what was asked for, or what the number of events suggests.
    pub(crate) fn session_count(&self) -> u64 {
        if self.sessions > 0 { self.sessions } else { self.events.div_ceil(EVENTS_PER_SESSION) }
    }

    pub(crate) fn secret_ppm(&self) -> u64 {
        (self.secret_ratio * 1_000_000.0) as u64
    }

    /// # Errors
    /// Says which option is out of range and what it may be.
    pub fn check(&self) -> Result<(), Error> {
        between("events", self.events, 0, EVENTS_MAX)?;
        between("sessions", self.sessions, 0, self.events)?;
        between("span_us", self.span_us, 1_000_000, SPAN_US_MAX)?;
        between("start_us", self.start_us, 0, TIME_US_MAX - SPAN_US_MAX)?;
        between("tenants", u64::from(self.tenants), 1, 65_536)?;
        between("users", u64::from(self.users), u64::from(self.tenants), u64::from(NAMES_MAX))?;
        between("agents", u64::from(self.agents), u64::from(self.tenants), u64::from(NAMES_MAX))?;
        between("servers", u64::from(self.servers), 1, 4_096)?;
        between("tools", u64::from(self.tools), 1, 1_024)?;
        if !(0.0..=1.0).contains(&self.secret_ratio) {
            return Err(Error::Ratio { value: self.secret_ratio });
        }
        Ok(())
    }
}

fn between(option: &'static str, value: u64, least: u64, most: u64) -> Result<(), Error> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(Error::Range { option, value, least, most }) }
}

/// Options that describe no corpus.
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// A whole number outside what makes sense.
    Range { option: &'static str, value: u64, least: u64, most: u64 },
    /// [`Options::secret_ratio`] is not a part of a whole.
    Ratio { value: f64 },
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { option, value, least, most } => {
                write!(formatter, "corpus option {option} is {value}; give a number from {least} to {most}")
            }
            Self::Ratio { value } => {
                write!(formatter, "corpus option secret_ratio is {value}; give a number from 0 to 1")
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        Self::new(std::io::ErrorKind::InvalidInput, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_options_are_named() {
        let bad = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.check().unwrap_err().to_string()
        };
        assert!(bad(|options| options.users = 0).contains("users is 0; give a number from 1"));
        assert!(bad(|options| options.span_us = 1).contains("span_us"));
        assert!(bad(|options| options.sessions = options.events + 1).contains("sessions"));
        assert!(bad(|options| options.start_us = u64::MAX).contains("start_us"));
        assert!(bad(|options| options.secret_ratio = f64::NAN).contains("secret_ratio is NaN"));
        assert!(bad(|options| options.secret_ratio = 1.1).contains("from 0 to 1"));
        assert_eq!(Options::default().check(), Ok(()));
    }
}
