//! Settings of the rules on sessions: who does what, where and when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Settings of `unusual_tools`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnusualTools {
    /// Thousandths of an episode that may open in a tenant's day by chance. Default 500.
    pub budget_milli: i64,
    /// Role of an agent (else user) by its id: peers are those of one role. Who is not listed is of one role with all others.
    pub roles: BTreeMap<String, String>,
}

impl Default for UnusualTools {
    fn default() -> Self {
        Self { budget_milli: 500, roles: BTreeMap::new() }
    }
}

/// Settings of `off_hours`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OffHours {
    /// As for [`UnusualTools`]. Default 500.
    pub budget_milli: i64,
    /// Offset from UTC in minutes of an agent (else user) by its id; daylight saving time is not covered. Default none: UTC.
    pub zones_min: BTreeMap<String, i64>,
}

impl Default for OffHours {
    fn default() -> Self {
        Self { budget_milli: 500, zones_min: BTreeMap::new() }
    }
}

/// Settings of `new_network`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewNetwork {
    /// As for [`UnusualTools`]. Default 500.
    pub budget_milli: i64,
}

impl Default for NewNetwork {
    fn default() -> Self {
        Self { budget_milli: 500 }
    }
}
