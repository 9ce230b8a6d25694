//! The keys of the gates.

use query::Gate;

/// The keys of each gate.
pub(super) const GATES: [(Gate, [&str; 3]); 6] = [
    (
        Gate::AuthFailureRate,
        [
            "gates.auth_failure_rate.window_s",
            "gates.auth_failure_rate.target",
            "gates.auth_failure_rate.block",
        ],
    ),
    (
        Gate::UnapprovedHighRiskWrites,
        [
            "gates.unapproved_high_risk_writes.window_s",
            "gates.unapproved_high_risk_writes.target",
            "gates.unapproved_high_risk_writes.block",
        ],
    ),
    (
        Gate::ApprovalQueueP50Minutes,
        [
            "gates.approval_queue_p50_minutes.window_s",
            "gates.approval_queue_p50_minutes.target",
            "gates.approval_queue_p50_minutes.block",
        ],
    ),
    (
        Gate::ToolCallP95Ms,
        ["gates.tool_call_p95_ms.window_s", "gates.tool_call_p95_ms.target", "gates.tool_call_p95_ms.block"],
    ),
    (
        Gate::OutputQuarantineRatio,
        [
            "gates.output_quarantine_ratio.window_s",
            "gates.output_quarantine_ratio.target",
            "gates.output_quarantine_ratio.block",
        ],
    ),
    (
        Gate::PolicyDenyRatioToBaseline,
        [
            "gates.policy_deny_ratio_to_baseline.window_s",
            "gates.policy_deny_ratio_to_baseline.target",
            "gates.policy_deny_ratio_to_baseline.block",
        ],
    ),
];
