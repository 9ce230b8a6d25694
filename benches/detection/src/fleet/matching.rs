//! Which rules are for which injection, and what is asked of them: fixed before any of them is tuned on the fleet.

use fleet::injection::{Kind, Strength};

/// An injection is seen when a rule whose id begins with one of these opens an episode about it, within budget.
pub struct Matching {
    pub kind: Kind,
    pub name: &'static str,
    pub rules: &'static [&'static str],
    /// Whether its strengths are multiples of a rate, so that theory says what can be seen.
    pub is_rate: bool,
}

const fn of(kind: Kind, name: &'static str, rules: &'static [&'static str]) -> Matching {
    Matching { kind, name, rules, is_rate: matches!(kind, Kind::CallRate | Kind::Denials) }
}

pub const MATCHING: [Matching; 16] = [
    of(Kind::CallRate, "more calls", &["call_rate"]),
    of(Kind::Denials, "more denials", &["denial_rate", "denial_ratio"]),
    of(Kind::Probing, "denied calls of one that probes", &["denial_rate", "denial_ratio"]),
    of(Kind::AuthGuessing, "failed logins of one", &["auth_failure"]),
    of(Kind::AuthSpray, "failed logins of many", &["auth_failure", "auth_spray"]),
    of(Kind::OffHours, "session in the small hours", &["off_hours"]),
    of(Kind::NewNetwork, "session from elsewhere", &["new_network"]),
    of(Kind::UnusualTool, "tools of another role", &["unusual_tool", "rare_tool"]),
    of(Kind::UnusualDestination, "new destinations", &["unusual_tool", "unusual_destination", "rare_tool"]),
    of(Kind::UnapprovedWrite, "unapproved high-risk write", &["unapproved_high_risk_write"]),
    of(Kind::SlowApproval, "slow approvals", &["approval"]),
    of(Kind::HastyApproval, "hasty approvals", &["approval"]),
    of(Kind::SlowTool, "slow tool", &["p95_latency"]),
    of(Kind::Quarantine, "more quarantined outputs", &["quarantine"]),
    of(Kind::OversizedOutput, "oversized outputs", &["oversized_output"]),
    of(Kind::SilentSource, "silent source", &["silent_source"]),
];

/// Rules that a ramp or a lasting shift of calls is for.
pub const LEVEL: [&str; 3] = ["call_rate", "call_level", "call_ramp"];

/// Configured ceilings and exact rules: what they say is so, whatever is usual. Counted like all others, and told apart.
pub const EXACT: [&str; 10] = [
    "unapproved_high_risk_write",
    "revoked_credential_use",
    "auth_failure_burst",
    "auth_failure_rate_ceiling",
    "denial_ratio_ceiling",
    "p95_latency_ceiling",
    "tool_error_budget",
    "quarantine_ratio_ceiling",
    "approval_wait_ceiling",
    "sequence_gap",
];

/// False episodes a tenant-day, before the budget, in the median and in the worst seed.
pub const FALSE_A_DAY: f64 = 5.0;
/// Achieved over nominal at 1e-4 that the simple models must at least have, or the fleet is too easy.
pub const HARD: [(&str, f64); 2] = [("EWMA z", 50.0), ("hour-of-week NB", 10.0)];
/// Recall asked of a rate where it can be seen.
pub const RECALL: [(Strength, f64); 2] = [(Strength::Times(20), 0.99), (Strength::Times(4), 0.90)];
/// Share of ramps caught, of shifts told once, and the days that both have.
pub const LONG: (f64, i64) = (0.90, 7);
/// Episodes that an incident of everybody's may open beyond what is usual on such a day, in the median seed.
pub const INCIDENT: f64 = 1.0;
/// Budget of a rule: episodes a day that may open by chance. It gives the alpha of the condition on what can be seen.
pub const BUDGET: f64 = 0.5;
/// What the engine says of an episode that is over the budget of its day.
pub const OVER: &str = "and that is used up";

pub fn is_one_of(rule: &str, of: &[&str]) -> bool {
    of.iter().any(|prefix| rule.starts_with(prefix))
}
