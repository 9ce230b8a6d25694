//! What a call says: the tool, the policy's answer, how it ended, its numbers.

use crate::catalog::Tool;
use crate::event::{Decision, Event};
use crate::random::Random;
use crate::world::Deployed;

pub(crate) const POLICY_ID: &str = "tool-access";
const POLICY_VERSION: &str = "2026.2.1";

/// Rates of the ways a call ends, in parts per million.
const DENIAL_PPM: u64 = 18_000;
const CONSTRAINT_PPM: u64 = 15_000;
const ERROR_PPM: u64 = 30_000;
const TIMEOUT_PPM: u64 = 4_000;
const CANCELLED_PPM: u64 = 2_000;
const REDACTED_PPM: u64 = 6_000;

/// Adds the tool that is called and the policy that was asked.
pub(crate) fn add_tool<'a>(
    event: &mut Event<'a>,
    server: &'a Deployed,
    name: &'a str,
    tool: &Tool,
    target: &'a str,
) {
    event.method = Some("tools/call");
    event.server = Some(&server.name);
    event.capability_type = Some("tool");
    event.capability = Some(name);
    event.target = Some(target);
    event.action = Some(tool.action.name());
    event.risk = Some(tool.risk.name());
    event.policy_id = Some(POLICY_ID);
}

/// Adds the rule that decided; ordinary allowed calls name their policy only.
pub(crate) fn add_policy(event: &mut Event<'_>, rule_id: &'static str) {
    event.decision_basis = Some("explicit");
    event.policy_id = Some(POLICY_ID);
    event.policy_version = Some(POLICY_VERSION);
    event.rule_id = Some(rule_id);
}

/// Marks a call that policy refused; its server never saw it.
pub(crate) fn deny_call(event: &mut Event<'_>) {
    add_policy(event, "deny-outside-scope");
    event.error_class = Some("policy");
    event.error_code = Some("-32001");
    event.result = "";
    event.response_bytes = None;
    event.decision_reason = Some("the tool is outside the scopes of this workflow");
}

/// Bytes of the JSON-RPC envelope around arguments and result.
pub(crate) const ENVELOPE_BYTES: u64 = 118;

/// How an ordinary call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Fine,
    Constrained,
    Denied,
    ToolError,
    Timeout,
    Cancelled,
}

impl Outcome {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let mut point = random.below(1_000_000);
        for (part, outcome) in [
            (DENIAL_PPM, Self::Denied),
            (ERROR_PPM, Self::ToolError),
            (CONSTRAINT_PPM, Self::Constrained),
            (TIMEOUT_PPM, Self::Timeout),
            (CANCELLED_PPM, Self::Cancelled),
        ] {
            if point < part {
                return outcome;
            }
            point -= part;
        }
        Self::Fine
    }

    pub(crate) fn decision(self) -> Decision {
        match self {
            Self::Denied => Decision::Deny,
            Self::Constrained => Decision::Constrain,
            Self::Fine | Self::ToolError | Self::Timeout | Self::Cancelled => Decision::Allow,
        }
    }

    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::Fine | Self::Constrained => "ok",
            Self::Denied => "denied",
            Self::ToolError => "error",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn has_result(self) -> bool {
        matches!(self, Self::Fine | Self::Constrained)
    }

    pub(crate) fn fill(self, event: &mut Event<'_>) {
        match self {
            Self::Fine => {}
            Self::Constrained => {
                add_policy(event, "limit-rows");
                event.constraints = &["rows<=100"];
            }
            Self::Denied => deny_call(event),
            Self::ToolError => {
                event.error_class = Some("tool");
                event.error_code = Some("not_found");
                event.error_message = Some("the object does not exist or is not visible to this account");
            }
            Self::Timeout => {
                event.error_class = Some("timeout");
                event.error_code = Some("504");
                event.latency_us = Some(4_500_000);
            }
            Self::Cancelled => event.reason = Some("the user stopped the run"),
        }
    }
}

/// The numbers of one call.
#[derive(Debug)]
pub(crate) struct CallDraws {
    pub(crate) request_id: u64,
    call_id: u64,
    latency_us: u64,
    output_action: &'static str,
    input_tokens: u64,
    output_tokens: u64,
}

impl CallDraws {
    pub(crate) fn new(server: &Deployed, outcome: Outcome, random: &mut Random) -> Self {
        let latency_us_median =
            if outcome == Outcome::Denied { 1_400 } else { server.catalogue.latency_us_median };
        Self {
            request_id: 0,
            call_id: random.next(),
            latency_us: random.spread(latency_us_median),
            output_action: if random.chance_ppm(REDACTED_PPM) { "redact" } else { "pass" },
            input_tokens: random.spread(1_900),
            output_tokens: random.spread(140),
        }
    }

    /// Adds the numbers; arguments and result must be there already.
    pub(crate) fn fill(&self, event: &mut Event<'_>) {
        event.request_id = Some(self.request_id);
        event.call_id = Some(self.call_id);
        event.latency_us = Some(self.latency_us);
        event.request_bytes = Some(ENVELOPE_BYTES + event.arguments.len() as u64);
        event.input_tokens = Some(self.input_tokens);
        event.output_tokens = Some(self.output_tokens);
        if !event.result.is_empty() {
            event.response_bytes = Some(ENVELOPE_BYTES + event.result.len() as u64);
            event.output_action = Some(self.output_action);
        }
    }
}
