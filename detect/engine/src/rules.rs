//! The detectors of this model version and their order, which is the order of alerts of one record.

use serde::{Deserialize, Serialize};

use crate::activity::LastingRule;
use crate::counts::CountRule;
use crate::detector::Detector;
use crate::episode::Episodes;
use crate::ratios::RatioRule;

pub(crate) mod approval_abandoned;
pub(crate) mod approval_too_fast;
pub(crate) mod approval_wait;
pub(crate) mod approval_wait_ceiling;
pub(crate) mod auth_failure_burst;
pub(crate) mod auth_failure_rate;
pub(crate) mod auth_failure_rate_ceiling;
pub(crate) mod auth_failure_rate_sustained;
pub(crate) mod call_rate;
pub(crate) mod call_rate_sustained;
pub(crate) mod denial_rate;
pub(crate) mod denial_rate_sustained;
pub(crate) mod denial_ratio_ceiling;
pub(crate) mod new_network;
pub(crate) mod off_hours;
pub(crate) mod oversized_output;
pub(crate) mod p95_latency;
pub(crate) mod p95_latency_ceiling;
pub(crate) mod quarantine_rate;
pub(crate) mod quarantine_ratio_ceiling;
pub(crate) mod revoked_credential_use;
pub(crate) mod sequence_gap;
pub(crate) mod silent_source;
pub(crate) mod tool_error_budget;
pub(crate) mod unapproved_high_risk_write;
pub(crate) mod unusual_tools;

/// Ids of all rules, in the order in which a record meets them.
pub const RULE_IDS: [&str; 26] = [
    "unapproved_high_risk_write",
    "revoked_credential_use",
    "auth_failure_burst",
    "auth_failure_rate_ceiling",
    "denial_ratio_ceiling",
    "p95_latency_ceiling",
    "tool_error_budget",
    "denial_rate",
    "auth_failure_rate",
    "call_rate",
    "call_rate_sustained",
    "denial_rate_sustained",
    "auth_failure_rate_sustained",
    "quarantine_ratio_ceiling",
    "quarantine_rate",
    "oversized_output",
    "p95_latency",
    "silent_source",
    "sequence_gap",
    "approval_wait_ceiling",
    "approval_wait",
    "approval_too_fast",
    "approval_abandoned",
    "unusual_tools",
    "off_hours",
    "new_network",
];

/// A detector and the episodes it opened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lane<D> {
    detector: D,
    episodes: Episodes,
}

/// All lanes. A new detector is a field here, a line in each list below, and a new model version.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lanes {
    unapproved_high_risk_write: Lane<unapproved_high_risk_write::State>,
    revoked_credential_use: Lane<revoked_credential_use::State>,
    auth_failure_burst: Lane<auth_failure_burst::State>,
    auth_failure_rate_ceiling: Lane<auth_failure_rate_ceiling::State>,
    denial_ratio_ceiling: Lane<denial_ratio_ceiling::State>,
    p95_latency_ceiling: Lane<p95_latency_ceiling::State>,
    tool_error_budget: Lane<tool_error_budget::State>,
    denial_rate: Lane<CountRule<denial_rate::Counting>>,
    auth_failure_rate: Lane<CountRule<auth_failure_rate::Counting>>,
    call_rate: Lane<CountRule<call_rate::Counting>>,
    call_rate_sustained: Lane<LastingRule<call_rate_sustained::Counting>>,
    denial_rate_sustained: Lane<LastingRule<denial_rate_sustained::Counting>>,
    auth_failure_rate_sustained: Lane<LastingRule<auth_failure_rate_sustained::Counting>>,
    quarantine_ratio_ceiling: Lane<quarantine_ratio_ceiling::State>,
    quarantine_rate: Lane<RatioRule<quarantine_rate::Rating>>,
    oversized_output: Lane<oversized_output::State>,
    p95_latency: Lane<RatioRule<p95_latency::Rating>>,
    silent_source: Lane<silent_source::State>,
    sequence_gap: Lane<sequence_gap::State>,
    approval_wait_ceiling: Lane<approval_wait_ceiling::State>,
    approval_wait: Lane<approval_wait::State>,
    approval_too_fast: Lane<approval_too_fast::State>,
    approval_abandoned: Lane<RatioRule<approval_abandoned::Rating>>,
    unusual_tools: Lane<unusual_tools::State>,
    off_hours: Lane<off_hours::State>,
    new_network: Lane<new_network::State>,
}

impl<D: Detector> Lane<D> {
    fn new(detector: D) -> Lane<D> {
        Lane { detector, episodes: Episodes::new() }
    }

    fn parts(&mut self) -> (&mut dyn Detector, &mut Episodes)
    where
        D: 'static,
    {
        (&mut self.detector, &mut self.episodes)
    }
}

impl Lanes {
    pub fn new() -> Lanes {
        Lanes {
            unapproved_high_risk_write: Lane::new(unapproved_high_risk_write::State::new()),
            revoked_credential_use: Lane::new(revoked_credential_use::State::new()),
            auth_failure_burst: Lane::new(auth_failure_burst::State::new()),
            auth_failure_rate_ceiling: Lane::new(auth_failure_rate_ceiling::State::new()),
            denial_ratio_ceiling: Lane::new(denial_ratio_ceiling::State::new()),
            p95_latency_ceiling: Lane::new(p95_latency_ceiling::State::new()),
            tool_error_budget: Lane::new(tool_error_budget::State::new()),
            denial_rate: Lane::new(CountRule::new()),
            auth_failure_rate: Lane::new(CountRule::new()),
            call_rate: Lane::new(CountRule::new()),
            call_rate_sustained: Lane::new(LastingRule::new()),
            denial_rate_sustained: Lane::new(LastingRule::new()),
            auth_failure_rate_sustained: Lane::new(LastingRule::new()),
            quarantine_ratio_ceiling: Lane::new(quarantine_ratio_ceiling::State::new()),
            quarantine_rate: Lane::new(RatioRule::new()),
            oversized_output: Lane::new(oversized_output::State::new()),
            p95_latency: Lane::new(RatioRule::new()),
            silent_source: Lane::new(silent_source::State::new()),
            sequence_gap: Lane::new(sequence_gap::State::new()),
            approval_wait_ceiling: Lane::new(approval_wait_ceiling::State::new()),
            approval_wait: Lane::new(approval_wait::State::new()),
            approval_too_fast: Lane::new(approval_too_fast::State::new()),
            approval_abandoned: Lane::new(RatioRule::new()),
            unusual_tools: Lane::new(unusual_tools::State::new()),
            off_hours: Lane::new(off_hours::State::new()),
            new_network: Lane::new(new_network::State::new()),
        }
    }

    /// In the order of [`RULE_IDS`].
    pub fn each(&mut self) -> [(&mut dyn Detector, &mut Episodes); RULE_IDS.len()] {
        [
            self.unapproved_high_risk_write.parts(),
            self.revoked_credential_use.parts(),
            self.auth_failure_burst.parts(),
            self.auth_failure_rate_ceiling.parts(),
            self.denial_ratio_ceiling.parts(),
            self.p95_latency_ceiling.parts(),
            self.tool_error_budget.parts(),
            self.denial_rate.parts(),
            self.auth_failure_rate.parts(),
            self.call_rate.parts(),
            self.call_rate_sustained.parts(),
            self.denial_rate_sustained.parts(),
            self.auth_failure_rate_sustained.parts(),
            self.quarantine_ratio_ceiling.parts(),
            self.quarantine_rate.parts(),
            self.oversized_output.parts(),
            self.p95_latency.parts(),
            self.silent_source.parts(),
            self.sequence_gap.parts(),
            self.approval_wait_ceiling.parts(),
            self.approval_wait.parts(),
            self.approval_too_fast.parts(),
            self.approval_abandoned.parts(),
            self.unusual_tools.parts(),
            self.off_hours.parts(),
            self.new_network.parts(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_lanes_agree() {
        let ids = Lanes::new().each().map(|(detector, _)| detector.rule().id);
        assert_eq!(ids, RULE_IDS);
    }
}
