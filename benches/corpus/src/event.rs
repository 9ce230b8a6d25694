//! One event and its line: the only place that knows the field names of event v1.

use crate::calendar::push_rfc3339;

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($variant),+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// The word written in the event.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

words! {
    /// `kind` of the events a corpus holds.
    Kind { Call = "call", List = "list", Auth = "auth", Session = "session", Approval = "approval" }
}

words! {
    /// `decision` of an event.
    Decision {
        Allow = "allow",
        Deny = "deny",
        RequireApproval = "require_approval",
        Constrain = "constrain",
        None = "none",
    }
}

/// One observation. `None`, an empty slice or an empty `json` text is a field that is not written.
#[derive(Debug, Clone)]
pub(crate) struct Event<'a> {
    pub(crate) event_id: u128,
    pub(crate) time_us: u64,
    pub(crate) environment: &'a str,
    pub(crate) kind: Kind,
    pub(crate) user_id: Option<&'a str>,
    pub(crate) agent_id: Option<&'a str>,
    pub(crate) client: Option<&'a str>,
    pub(crate) model: Option<&'a str>,
    pub(crate) auth_method: Option<&'a str>,
    pub(crate) credential_id: Option<&'a str>,
    pub(crate) issuer: Option<&'a str>,
    pub(crate) audience: Option<&'a str>,
    pub(crate) scopes: &'a [&'a str],
    pub(crate) source_ip: Option<&'a str>,
    pub(crate) country: Option<&'a str>,
    pub(crate) user_agent: Option<&'a str>,
    pub(crate) session_id: Option<&'a str>,
    pub(crate) call_id: Option<u64>,
    pub(crate) request_id: Option<u64>,
    pub(crate) trace_id: Option<u128>,
    pub(crate) method: Option<&'a str>,
    pub(crate) server: Option<&'a str>,
    pub(crate) server_version: Option<&'a str>,
    pub(crate) capability_type: Option<&'a str>,
    pub(crate) capability: Option<&'a str>,
    pub(crate) target: Option<&'a str>,
    pub(crate) action: Option<&'a str>,
    pub(crate) risk: Option<&'a str>,
    pub(crate) protocol_version: Option<&'a str>,
    pub(crate) transport: Option<&'a str>,
    pub(crate) workflow: Option<&'a str>,
    pub(crate) decision: Decision,
    pub(crate) decision_basis: Option<&'a str>,
    pub(crate) policy_id: Option<&'a str>,
    pub(crate) policy_version: Option<&'a str>,
    pub(crate) rule_id: Option<&'a str>,
    pub(crate) constraints: &'a [&'a str],
    pub(crate) approval_id: Option<&'a str>,
    pub(crate) approval_status: Option<&'a str>,
    pub(crate) approver: Option<&'a str>,
    pub(crate) approval_wait_ms: Option<u64>,
    pub(crate) request_hash: Option<&'a str>,
    pub(crate) status: &'a str,
    pub(crate) error_class: Option<&'a str>,
    pub(crate) error_code: Option<&'a str>,
    pub(crate) latency_us: Option<u64>,
    pub(crate) output_action: Option<&'a str>,
    pub(crate) request_bytes: Option<u64>,
    pub(crate) response_bytes: Option<u64>,
    pub(crate) input_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
    /// JSON text of an object.
    pub(crate) arguments: &'a str,
    /// JSON text of an object.
    pub(crate) result: &'a str,
    pub(crate) error_message: Option<&'a str>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) decision_reason: Option<&'a str>,
}

impl Event<'_> {
    /// An event with nothing known but when it happened, what it is and how it ended.
    pub(crate) fn bare(
        event_id: u128,
        time_us: u64,
        kind: Kind,
        decision: Decision,
        status: &'static str,
    ) -> Self {
        Self {
            event_id,
            time_us,
            kind,
            decision,
            status,
            environment: "prod",
            user_id: None,
            agent_id: None,
            client: None,
            model: None,
            auth_method: None,
            credential_id: None,
            issuer: None,
            audience: None,
            scopes: &[],
            source_ip: None,
            country: None,
            user_agent: None,
            session_id: None,
            call_id: None,
            request_id: None,
            trace_id: None,
            method: None,
            server: None,
            server_version: None,
            capability_type: None,
            capability: None,
            target: None,
            action: None,
            risk: None,
            protocol_version: None,
            transport: None,
            workflow: None,
            decision_basis: None,
            policy_id: None,
            policy_version: None,
            rule_id: None,
            constraints: &[],
            approval_id: None,
            approval_status: None,
            approver: None,
            approval_wait_ms: None,
            request_hash: None,
            error_class: None,
            error_code: None,
            latency_us: None,
            output_action: None,
            request_bytes: None,
            response_bytes: None,
            input_tokens: None,
            output_tokens: None,
            arguments: "",
            result: "",
            error_message: None,
            reason: None,
            decision_reason: None,
        }
    }
}

macro_rules! text {
    ($out:ident, $event:ident, $($field:ident)+) => {$(
        if let Some(value) = $event.$field {
            $out.push_str(concat!(",\"", stringify!($field), "\":\""));
            push_escaped($out, value);
            $out.push('"');
        }
    )+};
}

macro_rules! number {
    ($out:ident, $event:ident, $($field:ident)+) => {$(
        if let Some(value) = $event.$field {
            $out.push_str(concat!(",\"", stringify!($field), "\":"));
            push_number($out, value);
        }
    )+};
}

macro_rules! texts {
    ($out:ident, $event:ident, $field:ident) => {
        if !$event.$field.is_empty() {
            $out.push_str(concat!(",\"", stringify!($field), "\":["));
            for (place, value) in $event.$field.iter().enumerate() {
                $out.push_str(if place == 0 { "\"" } else { ",\"" });
                push_escaped($out, value);
                $out.push('"');
            }
            $out.push(']');
        }
    };
}

macro_rules! json {
    ($out:ident, $event:ident, $($field:ident)+) => {$(
        if !$event.$field.is_empty() {
            $out.push_str(concat!(",\"", stringify!($field), "\":"));
            $out.push_str($event.$field);
        }
    )+};
}

/// Appends the event as one JSON object and a line end.
pub(crate) fn push_line(out: &mut String, event: &Event<'_>) {
    out.push_str("{\"event_id\":\"");
    push_uuid(out, event.event_id);
    out.push_str("\",\"time\":\"");
    push_rfc3339(out, event.time_us);
    out.push_str("\",\"environment\":\"");
    push_escaped(out, event.environment);
    out.push_str("\",\"kind\":\"");
    out.push_str(event.kind.name());
    out.push_str("\",\"observer\":\"gateway\"");
    text!(out, event, user_id agent_id client model auth_method credential_id issuer audience);
    texts!(out, event, scopes);
    text!(out, event, source_ip country user_agent session_id);
    if let Some(call_id) = event.call_id {
        out.push_str(",\"call_id\":\"call-");
        push_hex(out, u128::from(call_id), 12);
        out.push('"');
    }
    if let Some(request_id) = event.request_id {
        out.push_str(",\"request_id\":\"");
        push_number(out, request_id);
        out.push('"');
    }
    if let Some(trace_id) = event.trace_id {
        out.push_str(",\"trace_id\":\"");
        push_hex(out, trace_id, 32);
        out.push('"');
    }
    text!(out, event, method server server_version capability_type capability target action risk);
    text!(out, event, protocol_version transport workflow);
    out.push_str(",\"decision\":\"");
    out.push_str(event.decision.name());
    out.push('"');
    text!(out, event, decision_basis policy_id policy_version rule_id);
    texts!(out, event, constraints);
    text!(out, event, approval_id approval_status approver);
    number!(out, event, approval_wait_ms);
    text!(out, event, request_hash);
    out.push_str(",\"status\":\"");
    out.push_str(event.status);
    out.push('"');
    text!(out, event, error_class error_code);
    number!(out, event, latency_us);
    text!(out, event, output_action);
    number!(out, event, request_bytes response_bytes input_tokens output_tokens);
    json!(out, event, arguments result);
    text!(out, event, error_message reason decision_reason);
    out.push_str("}\n");
}

/// A UUIDv7 (RFC 9562): the millisecond of `time_us`, then 74 bits of `random`.
pub(crate) fn uuid_v7(time_us: u64, random: u128) -> u128 {
    const RANDOM_MASK: u128 = (0xFFF << 64) | ((1 << 62) - 1);
    (u128::from(time_us / 1_000) << 80) | (0x7 << 76) | (0b10 << 62) | (random & RANDOM_MASK)
}

pub(crate) fn push_uuid(out: &mut String, id: u128) {
    for (place, (shift, digits)) in [(96, 8), (80, 4), (64, 4), (48, 4), (0, 12)].into_iter().enumerate() {
        if place > 0 {
            out.push('-');
        }
        push_hex(out, id >> shift, digits);
    }
}

/// Appends the lowest `digits` hexadecimal digits of `value`.
pub(crate) fn push_hex(out: &mut String, value: u128, digits: u32) {
    for place in (0..digits).rev() {
        let digit = (value >> (4 * place)) as u8 & 0xF;
        out.push(char::from(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }));
    }
}

pub(crate) fn push_number(out: &mut String, value: u64) {
    let mut digits = [0_u8; 20];
    let (mut rest, mut at) = (value, digits.len());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    for &digit in &digits[at..] {
        out.push(char::from(digit));
    }
}

/// Appends `text` as the inside of a JSON string.
pub(crate) fn push_escaped(out: &mut String, text: &str) {
    if !text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.push_str(text);
        return;
    }
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            control if control < ' ' => {
                out.push_str("\\u");
                push_hex(out, u128::from(u32::from(control)), 4);
            }
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_come_back_through_another_parser() {
        let odd = "plain \"quoted\" back\\slash\nline\ttab \u{1} ünïcode \u{1F600}";
        let mut event = Event::bare(uuid_v7(0, 0), 0, Kind::Call, Decision::Allow, "ok");
        event.target = Some(odd);
        event.scopes = &["a\"b", "c"];
        event.latency_us = Some(u64::MAX);
        event.call_id = Some(0xAB);
        let mut line = String::new();
        push_line(&mut line, &event);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["target"], odd);
        assert_eq!(value["scopes"], serde_json::json!(["a\"b", "c"]));
        assert_eq!(value["latency_us"], u64::MAX);
        assert_eq!(value["call_id"], "call-0000000000ab");
        assert!(value.get("user_id").is_none() && line.ends_with("}\n"));
    }

    #[test]
    fn uuid_has_time_version_and_variant() {
        let mut text = String::new();
        push_uuid(&mut text, uuid_v7(1_772_439_249_123_000, u128::MAX));
        assert_eq!(text, "019cad9c-a0e3-7fff-bfff-ffffffffffff");
        let milliseconds = u64::from_str_radix(&text.replace('-', "")[..12], 16).unwrap();
        assert_eq!(milliseconds, 1_772_439_249_123);
    }
}
