//! `{"text": …}`: what the incoming webhooks of Slack, Mattermost, Teams and their like take.
//!
//! Each of them reads a markup of its own in it. Every value of a record stands between backticks, where none of them reads any; a backtick in a value is
//! an apostrophe. `&`, `<` and `>` are entities, since Slack reads `<!channel>` and `<@U1>` everywhere, and an `@` that begins a word is `(at)`, since
//! Mattermost notifies by the bare word. Values are on one line, at most 1,024 bytes each.

use schemas::limits::SINK_CHAT_VALUE_BYTES_MAX;

use super::text::{is_hidden, shown_clipped};
use super::time::{date, rfc3339};
use super::writer::object;
use super::{Context, Item};
use crate::alert::{Alert, State};
use crate::digest::Digest;
use crate::event::Event;

pub(super) fn body(item: Item<'_>, context: &Context) -> String {
    let text = match item {
        Item::Alert(alert) => of_alert(alert, context),
        Item::Event(event) => of_event(event),
        Item::Digest(digest) => of_digest(digest),
    };
    object(|json| json.text("text", &text))
}

fn of_alert(alert: &Alert, context: &Context) -> String {
    let state = match alert.state {
        State::Open => "opened",
        State::Updated => "updated",
        State::Closed => "closed",
    };
    let test = if alert.is_test { "TEST, nothing happened: " } else { "" };
    let severity = alert.severity.word().to_uppercase();
    let mut lines = vec![
        format!("{test}{severity} alert {state}: {}", quoted(&alert.title)),
        format!(
            "{} {} of tenant {}",
            quoted(&alert.entity_type),
            quoted(&alert.entity),
            quoted(&alert.tenant)
        ),
        quoted(&alert.explanation),
        format!(
            "rule {}, confidence {}, {} events, {} to {}",
            quoted(&alert.rule_id),
            alert.confidence.word(),
            alert.count,
            rfc3339(alert.first_seen_us),
            rfc3339(alert.last_seen_us)
        ),
        format!("runbook {}, alert {}", quoted(&alert.runbook), quoted(&alert.alert_id)),
    ];
    lines.extend(context.url(alert));
    lines.join("\n")
}

fn of_event(event: &Event) -> String {
    let target = event.text("capability").or(event.text("method")).unwrap_or("");
    format!(
        "{} {} in session {} of tenant {}: {}, {}",
        quoted(&event.kind),
        quoted(target),
        quoted(&event.session_id),
        quoted(&event.tenant),
        quoted(&event.decision),
        quoted(&event.status)
    )
}

fn of_digest(digest: &Digest) -> String {
    let mut lines = vec![format!(
        "{}: {} alerts told to tenant {}, {} of them openings, {} over budget",
        date(digest.day_start_us),
        digest.total(),
        quoted(&digest.tenant),
        digest.opened(),
        digest.over_budget()
    )];
    for count in &digest.counts {
        let over = if count.is_over_budget { ", over budget" } else { "" };
        let (state, severity) = (count.state.word(), count.severity.word());
        lines.push(format!("{} {severity} {state}: {}{over}", quoted(&count.rule_id), count.count));
    }
    lines.join("\n")
}

/// A value that is nothing but itself, whatever it says.
fn quoted(value: &str) -> String {
    let (shown, _) = shown_clipped(value, SINK_CHAT_VALUE_BYTES_MAX, is_hidden);
    let mut out = String::with_capacity(shown.len() + 2);
    out.push('`');
    let mut before = ' ';
    for character in shown.chars() {
        match character {
            '`' => out.push('\''),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' if !before.is_alphanumeric() => out.push_str("(at)"),
            _ => out.push(character),
        }
        before = character;
    }
    // Two backticks with nothing between them are the beginning of another kind of quotation.
    if shown.is_empty() {
        out.push('-');
    }
    out.push('`');
    out
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn no_value_says_anything_to_the_chat() {
        assert_eq!(
            quoted("<!channel> `x` @here a@b.c @@all"),
            "`&lt;!channel&gt; 'x' (at)here a@b.c (at)(at)all`"
        );
        assert_eq!(quoted("a\n# b\u{202e}"), "`a\\u000a# b\\u202e`");
        assert_eq!(quoted(""), "`-`");
        assert_eq!(quoted("&amp;"), "`&amp;amp;`");
    }
}
