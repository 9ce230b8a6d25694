//! Thresholds and caps. Part of what an alert depends on, hence the digest in every snapshot.

mod activity;
mod approvals;
mod sessions;
mod sources;
mod tools;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::rules::RULE_IDS;
pub use sessions::{NewNetwork, OffHours, UnusualTools};

pub use activity::{CallRateSustained, FailureRateSustained};
pub use approvals::{ApprovalAbandoned, ApprovalTooFast, ApprovalWait, ApprovalWaitCeiling};
pub use sources::{SequenceGap, SilentSource};
pub use tools::{OversizedOutput, P95Latency, QuarantineRate, QuarantineRatioCeiling, ToolErrorBudget};

const SECOND_US: i64 = 1_000_000;
const DAY_S: i64 = 86_400;
const COUNT_MAX: i64 = schemas::limits::ENGINE_COUNT_MAX;

/// A setting, its value, and the least and the most that it may be.
type Bound = (&'static str, i64, i64, i64);

/// Settings of an engine. Unknown keys are refused, missing ones take the defaults below. Call
/// [`Settings::validate`] on what a person wrote; an engine given settings out of range stays safe but need
/// not be useful.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How far after its receipt an event may be dated before it is clamped. Default 300.
    pub skew_max_s: i64,
    /// Windows without a signal after which an episode closes. Default 3.
    pub quiet_windows: i64,
    /// Stands for the window, when closing, of rules that judge single records. Default 900.
    pub single_record_window_s: i64,
    /// Sub-buckets of a sliding window. Default 15.
    pub buckets: i64,
    /// Entities held by each windowed rule; beyond, those with the lowest evidence are forgotten. Default 10,000.
    pub entities_max: usize,
    /// Open episodes of each rule; beyond, those with the lowest count are closed early. Default 4,096.
    pub episodes_open_max: usize,
    /// Ids of rules that are switched off.
    pub disabled: BTreeSet<String>,
    pub unapproved_high_risk_write: UnapprovedHighRiskWrite,
    pub auth_failure_burst: AuthFailureBurst,
    pub revoked_credential_use: RevokedCredentialUse,
    /// How many times in a million a window like it may come up, at most, where what it stands for is just at the ceiling: those that are
    /// over a ceiling and likelier than this open nothing. 1,000,000 opens at whatever is over. Default 1,000 (one in a thousand: a day has 96 windows).
    pub ceiling_chance_ppm: i64,
    pub denial_ratio_ceiling: DenialRatioCeiling,
    pub auth_failure_rate_ceiling: AuthFailureRateCeiling,
    pub p95_latency_ceiling: P95LatencyCeiling,
    pub tool_error_budget: ToolErrorBudget,
    /// How long a bucket of the rules below waits for late events. Default 600.
    pub lateness_s: i64,
    pub denial_rate: FailureRate,
    pub auth_failure_rate: FailureRate,
    pub call_rate: CallRate,
    pub call_rate_sustained: CallRateSustained,
    pub denial_rate_sustained: FailureRateSustained,
    pub auth_failure_rate_sustained: FailureRateSustained,
    pub quarantine_rate: QuarantineRate,
    pub quarantine_ratio_ceiling: QuarantineRatioCeiling,
    pub oversized_output: OversizedOutput,
    pub p95_latency: P95Latency,
    pub silent_source: SilentSource,
    pub sequence_gap: SequenceGap,
    pub approval_wait_ceiling: ApprovalWaitCeiling,
    pub approval_wait: ApprovalWait,
    pub approval_too_fast: ApprovalTooFast,
    pub approval_abandoned: ApprovalAbandoned,
    pub unusual_tools: UnusualTools,
    pub off_hours: OffHours,
    pub new_network: NewNetwork,
}

/// Settings of `denial_rate` and `auth_failure_rate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FailureRate {
    /// Counts of five minutes below are never an alert, however unusual. Default 5.
    pub count_min: u64,
    /// Thousandths of an episode that may open in a tenant's day by chance. Default 100.
    pub budget_milli: i64,
}

/// Settings of `call_rate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallRate {
    /// As for [`FailureRate`]. Default 30.
    pub count_min: u64,
    /// As for [`FailureRate`]. Default 50.
    pub budget_milli: i64,
}

/// Settings of `unapproved_high_risk_write`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnapprovedHighRiskWrite {
    /// Approvals remembered. Default 65,536.
    pub approvals_max: usize,
    /// How long an approval should be remembered. When the cap forces a younger one out, calls that only
    /// assert their approval are not believed for this long. Default 604,800 (7 days).
    pub approvals_horizon_s: i64,
    /// Calls remembered, to join several observations of one. Default 16,384.
    pub calls_max: usize,
    /// How far apart, on the engine's clock, observations of one call may be. Default 600.
    pub same_call_s: i64,
}

/// Settings of `auth_failure_burst`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthFailureBurst {
    /// Failures within the window that make a burst. Default 10.
    pub failures_min: usize,
    /// Default 60.
    pub window_s: i64,
    /// How long after the last failure a success raises the severity. Default 600.
    pub success_after_s: i64,
}

/// Settings of `revoked_credential_use`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RevokedCredentialUse {
    /// Revoked credentials remembered; beyond, those revoked longest ago are forgotten. Default 65,536.
    pub credentials_max: usize,
    /// Credentials whose last use is remembered, for revocations that arrive late. Default 16,384.
    pub uses_max: usize,
    /// How long after its revocation a use is still tolerated. Default 0.
    pub grace_s: i64,
}

/// Settings of `denial_ratio_ceiling`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DenialRatioCeiling {
    /// Default 900.
    pub window_s: i64,
    /// Decided calls below which there is no verdict. Default 20.
    pub calls_min: u64,
    /// Denied calls per million from which on it is an alert. Default 200,000 (20 %).
    pub ratio_min_ppm: i64,
    /// From which on it is severe. Default 500,000 (50 %).
    pub ratio_severe_ppm: i64,
}

/// Settings of `auth_failure_rate_ceiling`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthFailureRateCeiling {
    /// Default 900.
    pub window_s: i64,
    /// Attempts below which there is no verdict. Default 50.
    pub attempts_min: u64,
    /// Failures per million above which it is an alert. Default 20,000 (2 %).
    pub rate_max_ppm: i64,
    /// What is aimed at; only named in the explanation. Default 5,000 (0.5 %).
    pub rate_target_ppm: i64,
}

/// Settings of `p95_latency_ceiling`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct P95LatencyCeiling {
    /// Default 900.
    pub window_s: i64,
    /// Calls below which there is no verdict. Default 20.
    pub calls_min: u64,
    /// A 95th percentile at or above this is an alert. Default 5,000,000 (5 s).
    pub latency_max_us: i64,
    /// What is aimed at; only named in the explanation. Default 2,000,000 (2 s).
    pub latency_target_us: i64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            skew_max_s: 300,
            quiet_windows: 3,
            single_record_window_s: 900,
            buckets: 15,
            entities_max: 10_000,
            episodes_open_max: 4_096,
            disabled: BTreeSet::new(),
            unapproved_high_risk_write: UnapprovedHighRiskWrite::default(),
            auth_failure_burst: AuthFailureBurst::default(),
            revoked_credential_use: RevokedCredentialUse::default(),
            ceiling_chance_ppm: 1_000,
            denial_ratio_ceiling: DenialRatioCeiling::default(),
            auth_failure_rate_ceiling: AuthFailureRateCeiling::default(),
            p95_latency_ceiling: P95LatencyCeiling::default(),
            tool_error_budget: ToolErrorBudget::default(),
            lateness_s: 600,
            denial_rate: FailureRate::default(),
            auth_failure_rate: FailureRate::default(),
            call_rate: CallRate::default(),
            call_rate_sustained: CallRateSustained::default(),
            denial_rate_sustained: FailureRateSustained::default(),
            auth_failure_rate_sustained: FailureRateSustained::default(),
            quarantine_rate: QuarantineRate::default(),
            quarantine_ratio_ceiling: QuarantineRatioCeiling::default(),
            oversized_output: OversizedOutput::default(),
            p95_latency: P95Latency::default(),
            silent_source: SilentSource::default(),
            sequence_gap: SequenceGap::default(),
            approval_wait_ceiling: ApprovalWaitCeiling::default(),
            approval_wait: ApprovalWait::default(),
            approval_too_fast: ApprovalTooFast::default(),
            approval_abandoned: ApprovalAbandoned::default(),
            unusual_tools: UnusualTools::default(),
            off_hours: OffHours::default(),
            new_network: NewNetwork::default(),
        }
    }
}

impl Default for FailureRate {
    fn default() -> Self {
        Self { count_min: schemas::limits::ENGINE_FAILURES_MIN, budget_milli: 100 }
    }
}

impl Default for CallRate {
    fn default() -> Self {
        Self { count_min: schemas::limits::ENGINE_CALLS_MIN, budget_milli: 50 }
    }
}

impl Default for UnapprovedHighRiskWrite {
    fn default() -> Self {
        Self { approvals_max: 65_536, approvals_horizon_s: 604_800, calls_max: 16_384, same_call_s: 600 }
    }
}

impl Default for AuthFailureBurst {
    fn default() -> Self {
        Self { failures_min: 10, window_s: 60, success_after_s: 600 }
    }
}

impl Default for RevokedCredentialUse {
    fn default() -> Self {
        Self { credentials_max: 65_536, uses_max: 16_384, grace_s: 0 }
    }
}

impl Default for DenialRatioCeiling {
    fn default() -> Self {
        Self { window_s: 900, calls_min: 20, ratio_min_ppm: 200_000, ratio_severe_ppm: 500_000 }
    }
}

impl Default for AuthFailureRateCeiling {
    fn default() -> Self {
        Self { window_s: 900, attempts_min: 50, rate_max_ppm: 20_000, rate_target_ppm: 5_000 }
    }
}

impl Default for P95LatencyCeiling {
    fn default() -> Self {
        Self { window_s: 900, calls_min: 20, latency_max_us: 5_000_000, latency_target_us: 2_000_000 }
    }
}

/// Seconds of a setting in microseconds.
pub(crate) fn microseconds(seconds: i64) -> i64 {
    seconds.saturating_mul(SECOND_US)
}

impl Settings {
    /// Refuses values out of range, naming the first.
    pub fn validate(&self) -> Result<(), Error> {
        let (approval, burst) = (&self.unapproved_high_risk_write, &self.auth_failure_burst);
        let (revoked, denial) = (&self.revoked_credential_use, &self.denial_ratio_ceiling);
        let (auth, latency) = (&self.auth_failure_rate_ceiling, &self.p95_latency_ceiling);
        let checks = [
            ("skew_max_s", self.skew_max_s, 0, DAY_S),
            ("quiet_windows", self.quiet_windows, 1, 100),
            ("single_record_window_s", self.single_record_window_s, 1, 30 * DAY_S),
            ("buckets", self.buckets, 1, 60),
            ("entities_max", count(self.entities_max), 1, COUNT_MAX),
            ("episodes_open_max", count(self.episodes_open_max), 1, COUNT_MAX),
            ("unapproved_high_risk_write.approvals_max", count(approval.approvals_max), 1, COUNT_MAX),
            (
                "unapproved_high_risk_write.approvals_horizon_s",
                approval.approvals_horizon_s,
                1,
                3_650 * DAY_S,
            ),
            ("unapproved_high_risk_write.calls_max", count(approval.calls_max), 1, COUNT_MAX),
            ("unapproved_high_risk_write.same_call_s", approval.same_call_s, 0, DAY_S),
            ("auth_failure_burst.failures_min", count(burst.failures_min), 2, 1_000),
            ("auth_failure_burst.window_s", burst.window_s, 1, DAY_S),
            ("auth_failure_burst.success_after_s", burst.success_after_s, 0, DAY_S),
            ("revoked_credential_use.credentials_max", count(revoked.credentials_max), 1, COUNT_MAX),
            ("revoked_credential_use.uses_max", count(revoked.uses_max), 1, COUNT_MAX),
            ("revoked_credential_use.grace_s", revoked.grace_s, 0, DAY_S),
            ("ceiling_chance_ppm", self.ceiling_chance_ppm, 1, 1_000_000),
            ("denial_ratio_ceiling.window_s", denial.window_s, self.buckets, 30 * DAY_S),
            ("denial_ratio_ceiling.calls_min", widened(denial.calls_min), 1, COUNT_MAX),
            ("denial_ratio_ceiling.ratio_min_ppm", denial.ratio_min_ppm, 1, 1_000_000),
            (
                "denial_ratio_ceiling.ratio_severe_ppm",
                denial.ratio_severe_ppm,
                denial.ratio_min_ppm,
                1_000_000,
            ),
            ("auth_failure_rate_ceiling.window_s", auth.window_s, self.buckets, 30 * DAY_S),
            ("auth_failure_rate_ceiling.attempts_min", widened(auth.attempts_min), 1, COUNT_MAX),
            ("auth_failure_rate_ceiling.rate_max_ppm", auth.rate_max_ppm, 0, 999_999),
            ("auth_failure_rate_ceiling.rate_target_ppm", auth.rate_target_ppm, 0, auth.rate_max_ppm),
            ("p95_latency_ceiling.window_s", latency.window_s, self.buckets, 30 * DAY_S),
            ("p95_latency_ceiling.calls_min", widened(latency.calls_min), 1, COUNT_MAX),
            ("p95_latency_ceiling.latency_max_us", latency.latency_max_us, 1, microseconds(DAY_S)),
            ("p95_latency_ceiling.latency_target_us", latency.latency_target_us, 0, latency.latency_max_us),
            ("lateness_s", self.lateness_s, 0, DAY_S),
            ("unusual_tools.budget_milli", self.unusual_tools.budget_milli, 1, 1_000_000),
            ("unusual_tools.roles (number)", count(self.unusual_tools.roles.len()), 0, COUNT_MAX),
            ("off_hours.budget_milli", self.off_hours.budget_milli, 1, 1_000_000),
            ("off_hours.zones_min (number)", count(self.off_hours.zones_min.len()), 0, COUNT_MAX),
            ("new_network.budget_milli", self.new_network.budget_milli, 1, 1_000_000),
        ];
        let counts = [
            ("denial_rate", self.denial_rate.count_min, self.denial_rate.budget_milli),
            ("auth_failure_rate", self.auth_failure_rate.count_min, self.auth_failure_rate.budget_milli),
            ("call_rate", self.call_rate.count_min, self.call_rate.budget_milli),
        ];
        let counts = counts.iter().flat_map(|(rule, count_min, budget_milli)| {
            [
                (format!("{rule}.count_min"), widened(*count_min), 1, COUNT_MAX),
                (format!("{rule}.budget_milli"), *budget_milli, 1, 1_000_000),
            ]
        });
        let of_groups =
            [activity::bounds(self), tools::bounds(self), sources::bounds(self), approvals::bounds(self)]
                .into_iter()
                .flatten();
        let zones = self.off_hours.zones_min.iter();
        let zones = zones.map(|(id, zone_min)| (format!("off_hours.zones_min.{id}"), *zone_min, -840, 840));
        let checks = checks.into_iter().chain(of_groups);
        let checks = checks.map(|(name, value, least, most)| (name.to_owned(), value, least, most));
        for (name, value, least, most) in checks.chain(counts).chain(zones) {
            if !(least..=most).contains(&value) {
                return Err(refused(&name, &value.to_string(), &format!("from {least} to {most}")));
            }
        }
        match self.disabled.iter().find(|id| !RULE_IDS.contains(&id.as_str())) {
            Some(id) => Err(refused("disabled", id, &format!("a list of {}", RULE_IDS.join(", ")))),
            None => Ok(()),
        }
    }

    /// 64 hex digits over every setting; a snapshot is only good under the settings it was folded with.
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("settings are plain data and always have a JSON form");
        blake3::Hasher::new_derive_key("tachograph engine settings v1")
            .update(&json)
            .finalize()
            .to_hex()
            .to_string()
    }
}

fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn widened(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn refused(name: &str, value: &str, range: &str) -> Error {
    Error::Setting { name: name.to_owned(), value: value.to_owned(), range: range.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_fill_gaps() {
        assert_eq!(Settings::default().validate(), Ok(()));
        let partial: Settings = serde_json::from_str(r#"{"auth_failure_burst":{"failures_min":5}}"#).unwrap();
        assert_eq!(partial.auth_failure_burst.failures_min, 5);
        assert_eq!(partial.auth_failure_burst.window_s, 60);
        assert_ne!(partial.digest(), Settings::default().digest());
    }

    #[test]
    fn refusals_name_the_setting() {
        assert!(serde_json::from_str::<Settings>(r#"{"bucket":3}"#).is_err());
        let settings = Settings { buckets: 0, ..Settings::default() };
        let message = settings.validate().unwrap_err().to_string();
        assert_eq!(message, "setting `buckets` is 0: it must be from 1 to 60");
        let settings = Settings { disabled: ["nonsense".to_owned()].into(), ..Settings::default() };
        assert!(settings.validate().unwrap_err().to_string().contains("revoked_credential_use"));
    }
}
