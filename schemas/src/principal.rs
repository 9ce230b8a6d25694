//! Who is asking: what a door hands to the rooms behind it once it has checked a credential.

use core::net::{IpAddr, Ipv6Addr};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a principal may do. Names are persisted in tokens and in the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Writes events, reads nothing.
    Collector,
    /// Reads events, alerts, the access log; no payloads.
    Auditor,
    /// Reads everything an auditor reads, and payloads; replays sessions.
    Responder,
    /// Keys, tokens, retention, and all that the others may.
    Admin,
    /// Health and metrics only.
    Operator,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 5] = [Role::Collector, Role::Auditor, Role::Responder, Role::Admin, Role::Operator];

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Collector => "collector",
            Role::Auditor => "auditor",
            Role::Responder => "responder",
            Role::Admin => "admin",
            Role::Operator => "operator",
        }
    }

    /// May send events.
    pub const fn writes_events(self) -> bool {
        matches!(self, Role::Collector | Role::Admin)
    }

    /// May ask SQL.
    pub const fn asks(self) -> bool {
        matches!(self, Role::Auditor | Role::Responder | Role::Admin)
    }

    /// May see arguments and results.
    pub const fn reads_payloads(self) -> bool {
        matches!(self, Role::Responder | Role::Admin)
    }

    /// May say what an alert turned out to be, and mute it.
    pub const fn judges_alerts(self) -> bool {
        matches!(self, Role::Responder | Role::Admin)
    }

    /// May see the service's own metrics.
    pub const fn reads_metrics(self) -> bool {
        matches!(self, Role::Operator | Role::Admin)
    }

    /// May read the gates: six numbers about the whole tenant, no rows.
    pub const fn reads_gates(self) -> bool {
        !matches!(self, Role::Collector)
    }

    /// May make and revoke tokens.
    pub const fn administers(self) -> bool {
        matches!(self, Role::Admin)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Role> {
        Role::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| {
            Error::malformed(
                "role",
                format!("{text:?} is not collector, auditor, responder, admin or operator"),
            )
        })
    }
}

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Public id: `t-<12 hex>` for a token, `os:<name>` for an operating-system user, `m-<name>` for a client certificate,
    /// `o-<subject>` for whom an OpenID provider vouches for. Never a secret.
    pub id: String,
    /// What it may do.
    pub role: Role,
    /// The one tenant it may do it in.
    pub tenant: String,
    /// Where it came from, if over a network.
    pub source_ip: Option<String>,
    /// Through which door: `http`, `pg`, `command` or `signal`.
    pub door: &'static str,
}

/// Who somebody is on record who has not shown who it is.
pub const STRANGER: &str = "unknown";

/// Who is counted as one: an IPv4 address, or the /64 of an IPv6 address, which one customer has whole.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}
