//! Events made by number: what a source sends, and sends again.

use schemas::Stream;
use schemas::rows::{Row, RowsBuilder};
use schemas::stream::{EVENT_ID, SESSION_ID, SOURCE, TENANT, TIME, payload_ids};

use super::random::Random;
use crate::control::no_payloads;
use crate::draft::Draft;

/// One event of a source; the id names the content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) time_us: i64,
    pub(super) payload: Option<String>,
}

impl Event {
    /// Event number `number` of a run.
    pub(super) fn new(number: u64, stream: Stream) -> Event {
        let mut random = Random::new(number);
        let payload = (stream == Stream::Events && !random.one_in(3)).then(|| {
            let length = usize::try_from(random.below(400)).unwrap_or(0);
            format!("{{\"n\":{number},\"text\":\"{}\"}}", "x".repeat(length))
        });
        Event {
            id: format!("e-{number}"),
            time_us: 1_795_219_200_000_000 + i64::try_from(random.below(1 << 40)).unwrap_or(0),
            payload,
        }
    }
}

impl Event {
    /// What the numbered source has at a place.
    pub(super) fn numbered(at: u64, stream: Stream) -> Event {
        Event { id: format!("n-{at}"), ..Event::new(at, stream) }
    }
}

/// The draft of these events.
pub(super) fn draft(tenant: &str, stream: Stream, events: &[Event]) -> Draft {
    let mut entries = RowsBuilder::drafts(stream);
    let mut payloads = RowsBuilder::payloads(stream);
    for event in events {
        let row = Row::new()
            .text(EVENT_ID, &event.id)
            .int(TIME, event.time_us)
            .text(TENANT, tenant)
            .text(6, "call")
            .text(SOURCE, "http/t-1/canonical/1")
            .text(SESSION_ID, "s-1")
            .text(9, "allow")
            .text(10, "ok");
        entries.push(&row).unwrap();
        if stream == Stream::Events {
            payloads.push(&Row::new().text_option(payload_ids::ARGUMENTS, event.payload.as_deref())).unwrap();
        }
    }
    let payloads = match stream {
        Stream::Events => payloads.finish().unwrap(),
        _ => no_payloads(stream, events.len()).unwrap(),
    };
    Draft {
        entries: entries.finish().unwrap(),
        payloads,
        idempotent: vec![true; events.len()],
        scope: "http/t-1".to_string(),
    }
}
