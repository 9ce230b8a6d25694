//! OCSF 1.8.0 (`schema.ocsf.io`), one class an item:
//!
//! | item | class |
//! |---|---|
//! | alert | Detection Finding 2004; `finding_info.uid` is the episode, `metadata.uid` the message |
//! | event of kind `call`, `list` | API Activity 6003 |
//! | event of kind `auth` | Authentication 3002 |
//! | event of kind `session`, `approval`, `output`, `tool_definition`, `config`, `integrity`, `unknown` | Base Event 0: no class says what they say; a `session` begins where a person was authenticated before, and is no logon |
//! | digest | Base Event 0 |
//!
//! Times are epoch milliseconds. What the schema has no place for is in `unmapped` under our columns' names.

use sha2::{Digest as _, Sha256};

use super::time::{epoch_ms, rfc3339};
use super::writer::{Json, object};
use super::{Context, Item, json};
use crate::digest::Digest;

mod activity;
mod attestation;
mod finding;

/// The release of the schema.
const VERSION: &str = "1.8.0";
/// The release that has the profile `record_integrity`.
const VERSION_WITH_INTEGRITY: &str = "1.9.0";
/// Profiles.
const INTEGRITY: &str = "record_integrity";

/// What `metadata` says of any item.
struct Metadata<'a> {
    id: &'a str,
    tenant: &'a str,
    log: &'a str,
    log_index: u64,
    ingest_time_us: i64,
    time_us: i64,
    correlation: Option<&'a str>,
    event_code: Option<&'a str>,
    labels: &'a [String],
    profiles: &'a [&'a str],
    is_cut: bool,
}

/// A class, an activity in it, and what they are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Class {
    uid: i64,
    name: &'static str,
    category_uid: i64,
    category_name: &'static str,
}

const FINDING: Class =
    Class { uid: 2004, name: "Detection Finding", category_uid: 2, category_name: "Findings" };
const API_ACTIVITY: Class =
    Class { uid: 6003, name: "API Activity", category_uid: 6, category_name: "Application Activity" };
const AUTHENTICATION: Class = Class {
    uid: 3002,
    name: "Authentication",
    category_uid: 3,
    category_name: "Identity & Access Management",
};
const BASE_EVENT: Class =
    Class { uid: 0, name: "Base Event", category_uid: 0, category_name: "Uncategorized" };

pub(super) fn body(item: Item<'_>, context: &Context) -> String {
    let id = super::id(item);
    let text = object(|json| match item {
        Item::Alert(alert) => finding::write(json, alert, &id, context),
        Item::Event(event) => activity::write(json, event, &id, context),
        Item::Digest(digest) => write_digest(json, digest, &id, context),
    });
    if !context.record_integrity {
        return text;
    }
    let (log, log_index) = match item {
        Item::Alert(alert) => (&alert.log, alert.log_index),
        Item::Event(event) => (&event.log, event.log_index),
        Item::Digest(digest) => (&digest.log, digest.log_index),
    };
    attestation::attested(&text, log, log_index, &context.installation)
}

fn write_digest(json: &mut Json, digest: &Digest, id: &str, context: &Context) {
    write_class(json, BASE_EVENT, 99, "Daily digest");
    let metadata = Metadata {
        id,
        tenant: &digest.tenant,
        log: &digest.log,
        log_index: digest.log_index,
        ingest_time_us: digest.day_end_us,
        time_us: digest.day_end_us,
        correlation: None,
        event_code: Some("digest"),
        labels: &[],
        profiles: &[],
        is_cut: false,
    };
    write_metadata(json, &metadata, context);
    json.int("time", epoch_ms(digest.day_end_us));
    json.int("start_time", epoch_ms(digest.day_start_us));
    json.int("end_time", epoch_ms(digest.day_end_us));
    json.int("severity_id", 1);
    json.text("severity", "Informational");
    json.text("message", &format!("{} alerts, {} of them over budget", digest.total(), digest.over_budget()));
    json.object("unmapped", |json| json::write_counts(json, digest));
}

fn write_class(json: &mut Json, class: Class, activity_id: i64, activity_name: &str) {
    json.int("class_uid", class.uid);
    json.text("class_name", class.name);
    json.int("category_uid", class.category_uid);
    json.text("category_name", class.category_name);
    json.int("activity_id", activity_id);
    json.text("activity_name", activity_name);
    json.int("type_uid", class.uid * 100 + activity_id);
    json.text("type_name", &format!("{}: {activity_name}", class.name));
}

fn write_metadata(json: &mut Json, metadata: &Metadata<'_>, context: &Context) {
    json.object("metadata", |json| {
        let version = if context.record_integrity { VERSION_WITH_INTEGRITY } else { VERSION };
        json.text("version", version);
        json.object("product", |json| {
            json.text("name", "Tachograph");
            json.text("vendor_name", "Tachograph");
            json.text("version", &context.version);
            json.text("uid", &context.installation);
        });
        let integrity = context.record_integrity.then_some(INTEGRITY);
        json.texts("profiles", metadata.profiles.iter().copied().chain(integrity));
        json.text("uid", metadata.id);
        json.text_option("correlation_uid", metadata.correlation);
        json.text_option("event_code", metadata.event_code);
        json.text("tenant_uid", metadata.tenant);
        json.text("log_name", metadata.log);
        json.int("sequence", json::whole(metadata.log_index));
        json.int("logged_time", epoch_ms(metadata.ingest_time_us));
        json.text("original_time", &rfc3339(metadata.time_us));
        json.texts("labels", metadata.labels);
        if metadata.is_cut {
            json.bool("is_truncated", true);
        }
        json.text("log_provider", "Tachograph");
        json.text("log_source", &context.host);
    });
}

/// An address as the schema takes it: one of IPv4 or IPv6, and nothing beside it.
fn address(text: &str) -> Option<String> {
    text.parse::<std::net::IpAddr>().ok().map(|address| address.to_string())
}

/// Who acted, as far as it is known: at least one of its members is, or it is left out.
fn write_actor(json: &mut Json, user: Option<&str>, agent: Option<&str>, session: Option<Session<'_>>) {
    json.object("actor", |json| {
        write_user(json, user);
        json.text_option("app_uid", agent);
        json.text_option("app_name", agent);
        if let Some(session) = session {
            session.write(json);
        }
    });
}

fn write_user(json: &mut Json, user: Option<&str>) {
    json.object("user", |json| {
        json.text_option("uid", user);
        if user.is_some() {
            json.int("type_id", 1);
        }
    });
}

/// A session, and what it was begun with.
#[derive(Debug, Clone, Copy, Default)]
struct Session<'a> {
    uid: Option<&'a str>,
    credential: Option<&'a str>,
    issuer: Option<&'a str>,
    expires_us: Option<i64>,
}

impl Session<'_> {
    fn write(self, json: &mut Json) {
        json.object("session", |json| {
            json.text_option("uid", self.uid);
            json.text_option("credential_uid", self.credential);
            json.text_option("issuer", self.issuer);
            json.int_option("expiration_time", self.expires_us.map(epoch_ms));
        });
    }
}

/// What is called, by whom it is offered.
fn write_service(json: &mut Json, server: Option<&str>, version: Option<&str>) {
    json.object("service", |json| {
        json.text_option("uid", server);
        json.text_option("name", server);
        if server.is_some() {
            json.text_option("version", version);
        }
    });
}

/// The tool, resource or prompt.
fn write_resources(json: &mut Json, server: Option<&str>, capability: Option<&str>, kind: Option<&str>) {
    json.list("resources", |json| {
        json.object_item(|json| {
            let Some(capability) = capability else { return };
            json.text("name", capability);
            json.text("type", &format!("mcp.{}", kind.unwrap_or("tool")));
            json.text_option("uid", server.map(|server| format!("{server}/{capability}")).as_deref());
        });
    });
}

fn sha256(bytes: &[u8]) -> String {
    crate::rows::hex(&Sha256::digest(bytes))
}
