//! Stream `events`: what agents did. Names follow OpenTelemetry's GenAI and MCP conventions where these have a word.

use super::common::{self, entry};
use crate::column::{Column, ColumnType, Side};
use crate::limits::PAYLOAD_VALUE_BYTES_MAX;

/// Field id of `country`.
pub const COUNTRY: u16 = 32;
/// In `tags`: the recorder looked the country up by the address, for the source named none. Persisted; what the database said is no part
/// of what the source sent.
pub const COUNTRY_BY_ADDRESS: &str = "country_by_address";

/// Field ids of the payload side of an event.
pub mod payload_ids {
    /// Field id of `arguments`.
    pub const ARGUMENTS: u16 = 200;
    /// Field id of `result`.
    pub const RESULT: u16 = 201;
    /// Field id of `attributes`.
    pub const ATTRIBUTES: u16 = 202;
    /// Field id of `error_message`.
    pub const ERROR_MESSAGE: u16 = 203;
    /// Field id of `reason`.
    pub const REASON: u16 = 204;
    /// Field id of `decision_reason`.
    pub const DECISION_REASON: u16 = 205;
    /// Field id of `oversize`.
    pub const OVERSIZE: u16 = 206;
    /// Field id of `raw`.
    pub const RAW: u16 = 207;
}

/// A payload-side column.
const fn payload(id: u16, name: &'static str, kind: ColumnType, doc: &'static str) -> Column {
    Column { id, name, kind, required: false, side: Side::Payload, bytes_max: PAYLOAD_VALUE_BYTES_MAX, doc }
}

/// The table.
pub(super) const COLUMNS: [Column; 79] = {
    let [c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15] = common::COLUMNS;
    use ColumnType::{Int64, ListUtf8, MapUtf8, Timestamp, Utf8};
    [
        c1,
        c2,
        c3,
        c4,
        c5,
        c6,
        c7,
        c8,
        c9,
        c10,
        c11,
        c12,
        c13,
        c14,
        c15,
        entry(16, "environment", Utf8, 64, "prod, staging, dev or as the source says."),
        entry(17, "observer", Utf8, 32, "Who saw it: host, client, gateway, server, tap, import."),
        entry(18, "source_seq", Int64, 8, "The source's own sequence number."),
        entry(20, "user_id", Utf8, 256, "The person on whose behalf the agent acts."),
        entry(21, "agent_id", Utf8, 256, "The agent."),
        entry(22, "client", Utf8, 256, "MCP client name/version; always self-asserted."),
        entry(23, "model", Utf8, 128, "The model that chose the call."),
        entry(24, "auth_method", Utf8, 64, "How the caller was authenticated."),
        entry(25, "credential_id", Utf8, 256, "Which credential was used; never the credential."),
        entry(26, "issuer", Utf8, 512, "Who issued the credential."),
        entry(27, "audience", Utf8, 512, "For whom the credential was issued."),
        entry(28, "scopes", ListUtf8, 4096, "Scopes of the credential."),
        entry(29, "credential_expires", Timestamp, 8, "When the credential expires."),
        entry(30, "delegation", ListUtf8, 2048, "Chain of principals that delegated, outermost first."),
        entry(31, "source_ip", Utf8, 64, "Address of the caller."),
        entry(
            COUNTRY,
            "country",
            Utf8,
            64,
            "Country of the address, as the source says; under the tag country_by_address, as the recorder's database does.",
        ),
        entry(33, "user_agent", Utf8, 512, "HTTP user agent."),
        entry(40, "conversation_id", Utf8, 256, "The conversation in the host."),
        entry(41, "call_id", Utf8, 256, "One logical call, shared by its observations."),
        entry(42, "request_id", Utf8, 256, "JSON-RPC or HTTP request id."),
        entry(43, "trace_id", Utf8, 64, "W3C trace id."),
        entry(44, "span_id", Utf8, 32, "W3C span id."),
        entry(45, "attempt", Int64, 8, "Attempt number of a retried call, from 1."),
        entry(50, "method", Utf8, 128, "MCP method, or login, refresh, revoke, start, end."),
        entry(51, "server", Utf8, 256, "MCP server."),
        entry(52, "server_version", Utf8, 128, "Version of the server."),
        entry(
            53,
            "capability_type",
            Utf8,
            32,
            "tool, resource, prompt, sampling, elicitation, task, server.",
        ),
        entry(54, "capability", Utf8, 512, "Name of the tool, resource or prompt."),
        entry(55, "target", Utf8, 2048, "What the call acted on."),
        entry(56, "action", Utf8, 32, "read, write, destructive, execute, admin."),
        entry(57, "risk", Utf8, 32, "low, medium, high, critical."),
        entry(58, "tool_hash", Utf8, 256, "Hash of the tool's definition."),
        entry(59, "protocol_version", Utf8, 64, "MCP protocol version."),
        entry(60, "transport", Utf8, 64, "stdio, http, sse."),
        entry(70, "workflow", Utf8, 256, "The workflow or job the call belongs to."),
        entry(71, "decision_basis", Utf8, 32, "explicit, or inferred from the shape of the answer."),
        entry(72, "policy_id", Utf8, 256, "The policy that decided."),
        entry(73, "policy_version", Utf8, 128, "Its version."),
        entry(74, "policy_hash", Utf8, 256, "Its snapshot hash."),
        entry(75, "rule_id", Utf8, 256, "The rule in it that decided."),
        entry(76, "constraints", ListUtf8, 4096, "Constraints put on the call."),
        entry(77, "approval_id", Utf8, 256, "The approval the call refers to."),
        entry(78, "approval_status", Utf8, 32, "requested, approved, rejected, expired, cancelled."),
        entry(79, "approver", Utf8, 256, "Who decided on the approval."),
        entry(80, "approval_wait_ms", Int64, 8, "Milliseconds the approval waited."),
        entry(81, "request_hash", Utf8, 256, "Keyed hash of the request, where the source sends one."),
        entry(
            90,
            "error_class",
            Utf8,
            32,
            "protocol, tool, auth, policy, upstream, timeout, validation, unknown_capability.",
        ),
        entry(91, "error_code", Utf8, 128, "The source's error code."),
        entry(92, "latency_us", Int64, 8, "Microseconds from request to answer, at the observer."),
        entry(93, "output_action", Utf8, 32, "What output safety did: pass, redact, quarantine, block."),
        entry(94, "request_bytes", Int64, 8, "Bytes of the request."),
        entry(95, "response_bytes", Int64, 8, "Bytes of the answer."),
        entry(96, "input_tokens", Int64, 8, "Tokens in."),
        entry(97, "output_tokens", Int64, 8, "Tokens out."),
        entry(98, "response_hash", Utf8, 256, "Keyed hash of the answer, where the source sends one."),
        entry(
            100,
            "destinations",
            ListUtf8,
            8192,
            "tool:argument:class:fingerprint of recipients, urls, paths, accounts.",
        ),
        payload(200, "arguments", Utf8, "Arguments of the call, JSON text, redacted."),
        payload(201, "result", Utf8, "Result of the call, JSON text or text, redacted."),
        payload(
            202,
            "attributes",
            MapUtf8,
            "Every source field that no column consumed: original name to JSON text.",
        ),
        payload(203, "error_message", Utf8, "Error text."),
        payload(204, "reason", Utf8, "Why, as the client asserts it."),
        payload(205, "decision_reason", Utf8, "Why the policy decided so."),
        payload(206, "oversize", MapUtf8, "Whole values of cells that were cut: column name to text."),
        payload(207, "raw", Utf8, "The source record, only where the rest cannot regenerate it."),
    ]
};
