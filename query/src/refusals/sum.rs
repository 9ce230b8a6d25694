//! Many refusals as one entry: whose they are, how many of which code, and since when.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemas::principal::{Principal, Role, STRANGER, network};

use crate::access::{Access, Decision, Status};

/// Who a sum is of that is of several principals, and its code where it has several.
const SEVERAL: &str = "several";

/// Whose refusals are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// A principal, which has shown that it is one.
    Known {
        /// Its id.
        id: String,
        /// What it may do.
        role: Role,
    },
    /// Whoever comes from a network, without having shown who it is.
    Stranger(Option<IpAddr>),
    /// All who found no room.
    Others {
        /// Whether they have shown who they are.
        is_known: bool,
    },
}

impl Who {
    /// Whether it has shown who it is.
    pub(super) fn is_known(&self) -> bool {
        matches!(self, Who::Known { .. } | Who::Others { is_known: true })
    }

    /// The network that a stranger goes by.
    pub(super) fn place(&self) -> Option<String> {
        match self {
            Who::Stranger(network) => network.map(|network| network.to_string()),
            Who::Known { .. } | Who::Others { .. } => None,
        }
    }

    /// Principal and role for the record.
    pub(super) fn on_record(&self) -> (String, Option<Role>) {
        match self {
            Who::Known { id, role } => (id.clone(), Some(*role)),
            Who::Others { is_known: true } => (SEVERAL.to_string(), None),
            Who::Stranger(_) | Who::Others { is_known: false } => (STRANGER.to_string(), None),
        }
    }
}

/// What is summed as one entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) who: Who,
    pub(super) door: &'static str,
    pub(super) action: String,
}

impl Kind {
    pub(super) fn of(refusal: &Access<'_>) -> Kind {
        let Principal { id, role, door, source_ip, .. } = refusal.principal;
        let address = source_ip.as_ref().and_then(|address| address.parse().ok());
        let who = match refusal.is_role_known {
            true => Who::Known { id: id.clone(), role: *role },
            // A name is the stranger's to choose, and so is the rest of an IPv6 address.
            false => Who::Stranger(address.map(network)),
        };
        Kind { who, door, action: refusal.action.to_string() }
    }
}

/// Refusals of one kind within a window: at least one.
#[derive(Debug)]
pub(super) struct Sum {
    codes: BTreeMap<String, u64>,
    first_us: i64,
    last_us: i64,
    /// Where all of them came from, if that is one place.
    pub(super) source_ip: Option<String>,
}

impl Sum {
    /// The sum of one.
    pub(super) fn of(refusal: &Access<'_>, now_us: i64) -> Sum {
        let code = refusal.error_code.unwrap_or_default().to_string();
        Sum {
            codes: BTreeMap::from([(code, 1)]),
            first_us: now_us,
            last_us: now_us,
            source_ip: refusal.principal.source_ip.clone(),
        }
    }

    /// Adds all of `other`.
    pub(super) fn merge(&mut self, other: Sum) {
        for (code, number) in other.codes {
            let own = self.codes.entry(code).or_default();
            *own = own.saturating_add(number);
        }
        self.first_us = self.first_us.min(other.first_us);
        self.last_us = self.last_us.max(other.last_us);
        if self.source_ip != other.source_ip {
            self.source_ip = None;
        }
    }

    /// One entry for all of them.
    pub(super) fn entry<'a>(
        &'a self,
        principal: &'a Principal,
        is_role_known: bool,
        query_id: &'a str,
        action: &'a str,
    ) -> Access<'a> {
        let mut codes = self.codes.keys();
        let code = match (codes.next(), codes.next()) {
            (Some(code), None) => code,
            _ => SEVERAL,
        };
        Access {
            is_role_known,
            decision: Decision::Deny,
            error_code: Some(code),
            detail: Some(self.detail()),
            ..Access::outcome(principal, query_id, action, Status::Error)
        }
    }

    /// The number comes first: the codes may be too many for the column.
    fn detail(&self) -> String {
        let total = self.codes.values().fold(0, |total: u64, number| total.saturating_add(*number));
        let codes: Vec<String> = self.codes.iter().map(|(code, number)| format!("{code} {number}")).collect();
        let (first, last) = (time(self.first_us), time(self.last_us));
        format!("{total} more refusals between {first} and {last}: {}", codes.join(", "))
    }
}

fn time(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |time| time.to_string())
}
