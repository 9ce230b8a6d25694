//! CloudEvents 1.0 in the structured mode of its JSON format; `data` is our own JSON.
//!
//! `type` is `io.tachograph.alert.opened`, `.updated` or `.closed`, `io.tachograph.event.recorded`, `io.tachograph.digest.daily`. `source` is the path
//! `/installation/tenant`; `source` and `id` together name one message. Attributes may hold no control character (section 3.1, String), so that one in an id
//! is shown as `\u0000`; `data` has the exact value.

use super::text::{is_hidden, percent_encoded, visible};
use super::time::rfc3339;
use super::writer::object;
use super::{Context, Item, json};
use crate::alert::State;

pub(super) fn body(item: Item<'_>, context: &Context) -> String {
    let (tenant, subject, kind, time_us) = match item {
        Item::Alert(alert) => {
            let kind = match alert.state {
                State::Open => "io.tachograph.alert.opened",
                State::Updated => "io.tachograph.alert.updated",
                State::Closed => "io.tachograph.alert.closed",
            };
            (&alert.tenant, alert.alert_id.as_str(), kind, alert.time_us)
        }
        Item::Event(event) => {
            (&event.tenant, event.session_id.as_str(), "io.tachograph.event.recorded", event.time_us)
        }
        Item::Digest(digest) => (&digest.tenant, "", "io.tachograph.digest.daily", digest.day_end_us),
    };
    object(|out| {
        out.text("specversion", "1.0");
        out.text("id", &attribute(&super::id(item)));
        let source = format!("/{}/{}", percent_encoded(&context.installation), percent_encoded(tenant));
        out.text("source", &source);
        out.text("type", kind);
        let subject = Some(attribute(subject)).filter(|subject| !subject.is_empty());
        out.text_option("subject", subject.as_deref());
        out.text("time", &rfc3339(time_us));
        out.text("datacontenttype", "application/json");
        out.json("data", &json::body(item, context));
    })
}

/// A value without what an attribute may not hold: controls and noncharacters.
fn attribute(value: &str) -> std::borrow::Cow<'_, str> {
    visible(value, |character| {
        let is_noncharacter =
            matches!(character, '\u{fdd0}'..='\u{fdef}') || u32::from(character) & 0xfffe == 0xfffe;
        is_noncharacter || is_hidden(character)
    })
}
