//! Recorded HTTP exchanges of a Streamable HTTP server to the same events that the stdio tap makes.
//!
//! - Up to 2025-11-25 a session is named by `mcp-session-id`; a request of the server's comes in the stream of one exchange and
//!   its reply in the body of a later one. From 2026-07-28 every exchange stands alone.
//! - A request that HTTP itself refused is recorded with what the status says.
//! - Ids of events depend on the exchange's content alone: importing a file again makes duplicates, not second records.

use std::collections::BTreeMap;

use crate::clock::Moment;
use crate::error::Error;
use crate::identity::Given;
use crate::join::{Failure, Join};
use crate::watch::Side;

mod dump;
mod stream;
#[cfg(test)]
mod tests;

use dump::Exchange;

/// Joins exchanges, session by session.
#[derive(Debug, Default)]
pub struct Exchanges {
    /// By server and session.
    connections: BTreeMap<(String, String), Join>,
    last: Moment,
}

impl Exchanges {
    /// None yet.
    pub fn new() -> Exchanges {
        Exchanges::default()
    }

    /// Reads one value of a dump, which stands on this line: an exchange, or a whole HAR. The events that it completes go to
    /// `out`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn value(&mut self, json: &str, line: u64, out: &mut Vec<String>) -> Result<(), Error> {
        let wrong = |reason: String| Error::Exchange { line, reason };
        for exchange in dump::read(json).map_err(wrong)? {
            self.exchange(&exchange, out);
        }
        Ok(())
    }

    fn exchange(&mut self, exchange: &Exchange, out: &mut Vec<String>) {
        let at = |us: i64| Moment { wall_us: us, monotonic_us: us };
        let (asked, answered) =
            (at(exchange.time_us), at(exchange.time_us.saturating_add(exchange.duration_us)));
        self.last = answered;
        let session = exchange.header("mcp-session-id");
        let key = (exchange.server.clone(), session.clone().unwrap_or_default());
        let join = self.connections.entry(key).or_insert_with(|| {
            let program = Some(exchange.server.clone()).filter(|server| !server.is_empty());
            let given = Given { program, transport: "http", ..Given::default() };
            Join::new(given, &[], "")
        });
        join.identify(&exchange.digest);
        exchange.describe(join.identity(), session.as_deref());
        let before = join.next_request();
        // A GET that opens a stream and a DELETE that ends a session have no body, and so no message.
        if !exchange.request.trim().is_empty() {
            join.line(Side::Client, exchange.request.as_bytes(), asked, out);
        }
        for message in stream::messages(exchange) {
            join.line(Side::Server, message.as_bytes(), answered, out);
        }
        if let Some((status, class)) = refused(exchange.status) {
            let failure = Failure {
                status,
                class,
                code: exchange.status.to_string(),
                message: exchange.response.clone(),
            };
            join.fail_since(before, &failure, answered, out);
        } else if session.is_none() {
            // What has no session has no later exchange in which a reply could come.
            join.end_since(before, answered, out);
        }
    }

    /// The dump has ended: what still waits is unanswered.
    pub fn end(&mut self, out: &mut Vec<String>) {
        for join in self.connections.values_mut() {
            join.end(self.last, out);
        }
    }

    /// Bodies, or parts of them, that are no JSON-RPC.
    pub fn unparsed(&self) -> u64 {
        self.connections.values().map(|join| join.unparsed).sum()
    }
}

/// What an HTTP status says of requests that have no reply of their own.
fn refused(status: u16) -> Option<(&'static str, Option<&'static str>)> {
    match status {
        401 | 403 => Some(("denied", Some("auth"))),
        408 | 504 => Some(("timeout", Some("timeout"))),
        400 => Some(("error", Some("validation"))),
        404 | 405 | 406 | 415 => Some(("error", Some("protocol"))),
        429 => Some(("denied", Some("policy"))),
        500.. => Some(("error", Some("upstream"))),
        402..=499 => Some(("error", None)),
        _ => None,
    }
}
