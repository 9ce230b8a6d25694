//! What carries messages, and what it says of each.

use std::time::Duration;

use async_trait::async_trait;

use crate::message::Message;

mod bulk;
mod file;
mod hec;
mod http;
#[cfg(feature = "kafka")]
mod kafka;
mod settings;
mod stdout;
mod syslog;
mod webhook;

pub use settings::{TYPES, TransportSettings, open};

/// What became of one message. The outbox settles the messages before the first that is [`Fate::Later`], and sends the rest again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The other side has it, as surely as its protocol can say.
    Taken,
    /// The other side will never take this one: it goes on the list of dead letters with this reason.
    Refused(String),
    /// Not now.
    Later {
        /// Why, for people. Never a credential, and nothing of the message.
        reason: String,
        /// Whether the other side answered to this very message (a status 500), rather than being away or overloaded. What is answered so again and again
        /// is in the way of everything behind it, and in the end a dead letter; what is only away never is.
        answered: bool,
        /// How long it asks to be left alone (`Retry-After`).
        wait: Option<Duration>,
    },
}

impl Fate {
    /// Away, overloaded or cut off.
    pub fn away(reason: impl Into<String>) -> Fate {
        Fate::Later { reason: reason.into(), answered: false, wait: None }
    }
}

/// One connection to where a sink leads. It belongs to one task.
#[async_trait]
pub trait Transport: Send + std::fmt::Debug {
    /// Hands over `batch` in its order, and says of each message from the first on what became of it. Fewer fates than messages mean that the rest were
    /// not tried. Connects if it must, and drops a connection that failed. Cancelled in the middle, the next call begins on a new connection.
    ///
    /// The caller bounds the whole call by a timeout; a transport bounds what it waits for by its own.
    async fn deliver(&mut self, batch: &[Message]) -> Vec<Fate>;

    /// Messages that it wants at once.
    fn batch_max(&self) -> usize;

    /// Where it leads, for people: no credential.
    fn target(&self) -> String;
}

/// A duration in microseconds, as clocks count.
fn us(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// How many messages at the front fit into one request of `bytes_max`; one always does.
fn fitting(batch: &[Message], count_max: usize, bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = |message: &&Message| {
        bytes += message.body.len();
        bytes <= bytes_max
    };
    batch.iter().take(count_max).take_while(fits).count().max(batch.len().min(1))
}
