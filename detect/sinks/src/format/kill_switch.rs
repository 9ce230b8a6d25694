//! What an alert tells whoever can stop the entity it is about: a gateway, an identity provider, a host.
//!
//! ```json
//! {"id":"…","action":"stop","dry_run":false,"expires_at":"…","entity":{"type":"principal","name":"a-1","complete":true,
//!  "parts":[{"column":"agent_id","value":"a-1","exact":true}]},"reason":"…","alert":{…}}
//! ```
//! `id` is the episode's: whoever has acted on it has nothing more to do. After `expires_at`, which counts from when the alert was recorded, a request that was
//! held up must be passed over. An entity is all of its `parts` at once; one that is not `exact` (a long value stands as its beginning and its hash) or not
//! `complete` matches too much, and must not be acted on without a person. A test is always a dry run.

use schemas::Stream;

use super::time::rfc3339;
use super::writer::object;
use super::{Context, Item, message};
use crate::alert::Alert;
use crate::message::Message;

/// What `detect` puts between the beginning of an identifier that is too long and the hash of all of it.
const HASH_MARK: &str = "...blake3:";
/// Hex digits of that hash.
const HASH_LENGTH: usize = 32;
const US_PER_SECOND: i64 = 1_000_000;

/// How a kill switch is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KillSwitch {
    /// Seconds after the alert was recorded for which the request holds.
    pub holds_s: u32,
    /// Say what would be stopped, and stop nothing.
    pub is_dry_run: bool,
}

/// The request to stop the entity of `alert`.
pub fn kill_switch(alert: &Alert, context: &Context, switch: KillSwitch) -> Message {
    let expires_us =
        alert.ingest_time_us.saturating_add(i64::from(switch.holds_s).saturating_mul(US_PER_SECOND));
    let is_complete = !alert.cut.iter().any(|column| column == "observables")
        && alert.parts().count() == alert.observables.len();
    let body = object(|json| {
        json.text("id", &alert.alert_id);
        json.text("action", "stop");
        json.bool("dry_run", switch.is_dry_run || alert.is_test);
        json.text("issued_at", &rfc3339(alert.ingest_time_us));
        json.text("expires_at", &rfc3339(expires_us));
        json.text("installation", &context.installation);
        json.text("tenant", &alert.tenant);
        json.object("entity", |json| {
            json.text("type", &alert.entity_type);
            json.text("name", &alert.entity);
            json.bool("complete", is_complete);
            json.list("parts", |json| {
                for (column, value) in alert.parts() {
                    json.object_item(|json| {
                        json.text("column", column);
                        json.text("value", value);
                        json.bool("exact", is_exact(column, value));
                    });
                }
            });
        });
        json.text("reason", &alert.explanation);
        json.object("alert", |json| {
            json.text("alert_id", &alert.alert_id);
            json.int("sequence", alert.sequence);
            json.text("state", alert.state.word());
            json.text("rule_id", &alert.rule_id);
            json.text("title", &alert.title);
            json.text("severity", alert.severity.word());
            json.text("confidence", alert.confidence.word());
            json.text_option("environment", alert.environment.as_deref());
            json.int("count", alert.count);
            json.text("first_seen", &rfc3339(alert.first_seen_us));
            json.text("last_seen", &rfc3339(alert.last_seen_us));
            json.text("runbook", &alert.runbook);
            json.text_option("url", context.url(alert).as_deref());
            json.bool("test", alert.is_test);
        });
    });
    message(Item::Alert(alert), "application/json", body)
}

/// Whether this is the value that events have. Erring is towards no: a value that only looks cut is not acted on.
fn is_exact(column: &str, value: &str) -> bool {
    let is_hash = |hash: &str| hash.len() == HASH_LENGTH && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_cut = value.rsplit_once(HASH_MARK).is_some_and(|(_, hash)| is_hash(hash));
    !is_cut && Stream::Events.column(column).is_some()
}
