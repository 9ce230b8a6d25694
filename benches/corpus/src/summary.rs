//! What a corpus holds, counted while it is written.

use std::fmt;

use crate::event::{Decision, Kind};
use crate::events::Facts;

/// Counts of what was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    pub events: u64,
    /// Bytes written, line ends included.
    pub bytes: u64,
    pub sessions: u64,
    /// Events whose arguments carry something that looks like a secret.
    pub secrets: u64,
    /// Time of the first and of the last event, microseconds since 1970 in UTC; 0 when there is none.
    pub first_us: u64,
    pub last_us: u64,
    /// Events of each tenant; the index is [`Facts::tenant`].
    pub tenants: Vec<u64>,
    kinds: [u64; Kind::ALL.len()],
    decisions: [u64; Decision::ALL.len()],
}

impl Summary {
    pub(crate) fn count(&mut self, facts: &Facts, bytes: usize) {
        if self.events == 0 {
            self.first_us = facts.time_us;
        }
        self.events += 1;
        self.bytes += bytes as u64;
        self.sessions += u64::from(facts.opens_session);
        self.secrets += u64::from(facts.secret);
        self.last_us = facts.time_us;
        let tenant = facts.tenant as usize;
        if self.tenants.len() <= tenant {
            self.tenants.resize(tenant + 1, 0);
        }
        self.tenants[tenant] += 1;
        self.kinds[facts.kind as usize] += 1;
        self.decisions[facts.decision as usize] += 1;
    }

    /// Events of one kind.
    pub fn kind(&self, kind: Kind) -> u64 {
        self.kinds[kind as usize]
    }

    /// Events with one decision.
    pub fn decision(&self, decision: Decision) -> u64 {
        self.decisions[decision as usize]
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let average = self.bytes.checked_div(self.events).unwrap_or(0);
        writeln!(formatter, "{} events, {} bytes ({average} an event)", self.events, self.bytes)?;
        writeln!(formatter, "{} sessions, {} tenants with events", self.sessions, self.tenants_seen())?;
        write!(formatter, "kinds:")?;
        for kind in Kind::ALL {
            write!(formatter, " {} {}", kind.name(), self.kind(kind))?;
        }
        write!(formatter, "\ndecisions:")?;
        for decision in Decision::ALL {
            write!(formatter, " {} {}", decision.name(), self.decision(decision))?;
        }
        write!(formatter, "\nsecrets planted: {}", self.secrets)
    }
}

impl Summary {
    fn tenants_seen(&self) -> usize {
        self.tenants.iter().filter(|&&events| events > 0).count()
    }
}
