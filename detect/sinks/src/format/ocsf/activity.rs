//! Events: API Activity 6003, Authentication 3002, and Base Event 0 for what has no class.

use super::super::json::write_value;
use super::super::time::epoch_ms;
use super::super::writer::Json;
use super::{
    API_ACTIVITY, AUTHENTICATION, BASE_EVENT, Class, Context, Metadata, Session, address, write_actor,
    write_class, write_metadata, write_resources, write_service, write_user,
};
use crate::event::{Event, Value};

/// Columns whose whole value has a place of its own in API Activity, so that `unmapped` does not repeat them.
const MAPPED: [&str; 15] = [
    "tags",
    "user_id",
    "agent_id",
    "credential_id",
    "issuer",
    "method",
    "server",
    "capability",
    "request_id",
    "error_class",
    "error_code",
    "policy_id",
    "model",
    "input_tokens",
    "output_tokens",
];

pub(super) fn write(json: &mut Json, event: &Event, id: &str, context: &Context) {
    let class = match event.kind.as_str() {
        "call" | "list" => API_ACTIVITY,
        "auth" => AUTHENTICATION,
        _ => BASE_EVENT,
    };
    let (activity_id, activity) = activity(class, event);
    write_class(json, class, activity_id, activity);
    let profiles: &[&str] = match (class == API_ACTIVITY, event.text("trace_id")) {
        (true, Some(_)) => &["ai_operation", "security_control", "trace"],
        (true, None) => &["ai_operation", "security_control"],
        (false, _) => &["security_control"],
    };
    let metadata = Metadata {
        id,
        tenant: &event.tenant,
        log: &event.log,
        log_index: event.log_index,
        ingest_time_us: event.ingest_time_us,
        time_us: event.time_us,
        correlation: event.text("call_id").or(event.text("trace_id")),
        event_code: Some(&event.kind),
        labels: texts(event, "tags"),
        profiles,
        is_cut: !texts(event, "cut").is_empty(),
    };
    write_metadata(json, &metadata, context);
    json.int("time", epoch_ms(event.time_us));
    if let Some(latency_us) = event.int("latency_us") {
        json.int("start_time", epoch_ms(event.time_us));
        json.int("end_time", epoch_ms(event.time_us.saturating_add(latency_us)));
        json.int("duration", latency_us.div_euclid(1_000));
    }
    json.int("severity_id", 1);
    json.text("severity", "Informational");
    write_outcome(json, event);
    json.text("message", &message(event));
    if class == API_ACTIVITY {
        write_call(json, event);
    } else if class == AUTHENTICATION {
        write_authentication(json, event);
    }
    json.object("unmapped", |json| write_unmapped(json, event, class));
}

fn activity(class: Class, event: &Event) -> (i64, &'static str) {
    if class == API_ACTIVITY {
        match (event.kind.as_str(), event.text("action")) {
            ("list", _) | (_, Some("read")) => (2, "Read"),
            (_, Some("write")) => (3, "Update"),
            (_, Some("destructive")) => (4, "Delete"),
            (_, Some("execute" | "admin")) => (99, "Other"),
            _ => (0, "Unknown"),
        }
    } else if class == AUTHENTICATION {
        match event.text("method") {
            Some("login") => (1, "Logon"),
            Some("end" | "logout") => (2, "Logoff"),
            Some("refresh") => (5, "Service Ticket Renew"),
            Some(_) => (99, "Other"),
            None => (0, "Unknown"),
        }
    } else {
        (99, "Other")
    }
}

fn message(event: &Event) -> String {
    let words = [event.text("method"), event.text("capability")];
    let words: Vec<&str> = words.into_iter().flatten().collect();
    if words.is_empty() { event.kind.clone() } else { words.join(" ") }
}

fn write_outcome(json: &mut Json, event: &Event) {
    let (status_id, status) = match event.status.as_str() {
        "ok" => (1, "Success"),
        "error" | "denied" | "timeout" | "cancelled" => (2, "Failure"),
        "unknown" => (0, "Unknown"),
        other => (99, other),
    };
    json.int("status_id", status_id);
    json.text("status", status);
    json.text_option("status_code", event.text("error_code"));
    json.text_option("status_detail", event.text("error_class"));
    let (action_id, action, disposition_id, disposition) = match event.decision.as_str() {
        "allow" => (1, "Allowed", 1, "Allowed"),
        "deny" => (2, "Denied", 2, "Blocked"),
        "constrain" => (4, "Modified", 11, "Corrected"),
        "none" => (3, "Observed", 17, "Logged"),
        "unknown" => (0, "Unknown", 0, "Unknown"),
        other => (99, other, 99, other),
    };
    json.int("action_id", action_id);
    json.text("action", action);
    json.int("disposition_id", disposition_id);
    json.text("disposition", disposition);
    json.object("policy", |json| {
        json.text_option("uid", event.text("policy_id"));
        if event.text("policy_id").is_some() {
            json.text_option("version", event.text("policy_version"));
        }
    });
}

fn session(event: &Event) -> Session<'_> {
    Session {
        uid: Some(&event.session_id),
        credential: event.text("credential_id"),
        issuer: event.text("issuer"),
        expires_us: event.int("credential_expires"),
    }
}

/// Where it came from: an address, else whatever names the caller, else the source that told of it.
fn write_source(json: &mut Json, event: &Event) {
    json.object("src_endpoint", |json| {
        json.text_option("ip", event.text("source_ip").and_then(address).as_deref());
        json.text("name", event.text("client").or(event.text("agent_id")).unwrap_or(&event.source));
    });
}

fn write_call(json: &mut Json, event: &Event) {
    write_actor(json, event.text("user_id"), event.text("agent_id"), Some(session(event)));
    write_source(json, event);
    json.object("api", |json| {
        json.text("operation", event.text("method").unwrap_or(&event.kind));
        write_service(json, event.text("server"), event.text("server_version"));
        json.object("request", |json| json.text_option("uid", event.text("request_id")));
        json.object("response", |json| json.text_option("error", event.text("error_code")));
    });
    write_resources(json, event.text("server"), event.text("capability"), event.text("capability_type"));
    if let Some(model) = event.text("model") {
        json.object("ai_model", |json| {
            json.text("name", model);
            // Required, and no source of ours says who provides it.
            json.text("ai_provider", "Unknown");
        });
    }
    json.object("message_context", |json| {
        let application = event.text("client").or(event.text("agent_id")).unwrap_or(&event.source);
        json.int("ai_role_id", 3);
        json.text("ai_role", "Tool");
        json.object("application", |json| json.text("name", application));
        json.int_option("prompt_tokens", event.int("input_tokens"));
        json.int_option("completion_tokens", event.int("output_tokens"));
    });
    if let Some(trace) = event.text("trace_id") {
        json.object("trace", |json| {
            json.text("uid", trace);
            // A span has two times: without a latency there is no second one.
            if let (Some(span), Some(latency_us)) = (event.text("span_id"), event.int("latency_us")) {
                json.object("span", |json| {
                    json.text("uid", span);
                    json.int("start_time", epoch_ms(event.time_us));
                    json.int("end_time", epoch_ms(event.time_us.saturating_add(latency_us)));
                    json.text("operation", &message(event));
                });
            }
        });
    }
}

fn write_authentication(json: &mut Json, event: &Event) {
    write_user(json, Some(event.text("user_id").or(event.text("agent_id")).unwrap_or("unknown")));
    session(event).write(json);
    write_source(json, event);
    // One of a service and an endpoint is required; where the record names no server, the door that told of it is the service.
    let server = event.text("server").unwrap_or(&event.source);
    write_service(json, Some(server), event.text("server_version"));
    if let Some(method) = event.text("auth_method") {
        let (id, protocol) = match method {
            "oauth" | "oauth2" => (6, "OAUTH 2.0"),
            "openid" | "oidc" => (4, "OpenID"),
            "saml" => (5, "SAML"),
            "basic" => (11, "Basic Authentication"),
            other => (99, other),
        };
        json.int("auth_protocol_id", id);
        json.text("auth_protocol", protocol);
    }
}

fn texts<'a>(event: &'a Event, name: &str) -> &'a [String] {
    match event.columns().find(|(column, _)| *column == name) {
        Some((_, Value::Texts(texts))) => texts,
        Some((_, Value::Int(_) | Value::Time(_) | Value::Text(_))) | None => &[],
    }
}

fn write_unmapped(json: &mut Json, event: &Event, class: Class) {
    json.text("kind", &event.kind);
    json.text("source", &event.source);
    json.text("session_id", &event.session_id);
    json.text("decision", &event.decision);
    json.text("status", &event.status);
    for (name, value) in event.columns() {
        let has_place = class == API_ACTIVITY && MAPPED.contains(&name);
        if !has_place {
            write_value(json, name, value);
        }
    }
}
