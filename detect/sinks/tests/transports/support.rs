use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sinks::{Error, Fate, Importance, Message, Transport, TransportSettings};
use store::clock::SystemClock;

/// A message of JSON, the n-th.
pub fn message(number: u64) -> Message {
    Message {
        id: format!("alert-{number}-1"),
        tenant: "acme".to_string(),
        log: "i/acme/alerts/w".to_string(),
        log_index: number,
        time_us: 1_796_054_400_000_000 + i64::try_from(number).unwrap(),
        importance: Importance::High,
        kind: "alert",
        key: format!("alert-{number}"),
        content_type: "application/json",
        body: Bytes::from(format!("{{\"number\":{number},\"text\":\"Gr\u{fc}\u{df}e \\\"\\n]\"}}")),
    }
}

pub fn messages(numbers: std::ops::Range<u64>) -> Vec<Message> {
    numbers.map(message).collect()
}

pub fn with_body(number: u64, body: &str) -> Message {
    Message { body: Bytes::from(body.to_string()), ..message(number) }
}

/// A transport of this type, with a table of the configuration.
pub fn open(kind: &str, table: &str) -> Box<dyn Transport> {
    try_open(kind, table).unwrap_or_else(|error| panic!("{error}: {table}"))
}

pub fn try_open(kind: &str, table: &str) -> Result<Box<dyn Transport>, Error> {
    let settings = TransportSettings::from_table("soc", kind, toml::from_str(table).unwrap())?;
    sinks::open("soc", &settings, Arc::new(SystemClock::new()))
}

pub fn write(dir: &Path, name: &str, text: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// Taken, refused, away or answered: how many, in order.
pub fn told(fates: &[Fate]) -> String {
    let letter = |fate: &Fate| match fate {
        Fate::Taken => 'T',
        Fate::Refused(_) => 'R',
        Fate::Later { answered: false, .. } => 'a',
        Fate::Later { answered: true, .. } => 'A',
    };
    fates.iter().map(letter).collect()
}

/// The reason of the last one.
pub fn reason(fates: &[Fate]) -> &str {
    match fates.last().unwrap() {
        Fate::Taken => "taken",
        Fate::Refused(reason) | Fate::Later { reason, .. } => reason,
    }
}

/// Does as the outbox: settles what was settled, and sends the rest again, until all are. The ids of those that were refused.
pub async fn settle(transport: &mut dyn Transport, batch: &[Message]) -> Vec<String> {
    let (mut at, mut refused, started) = (0, Vec::new(), Instant::now());
    while at < batch.len() {
        let rest = &batch[at..batch.len().min(at + transport.batch_max())];
        let fates = transport.deliver(rest).await;
        assert!(!fates.is_empty() && fates.len() <= rest.len(), "{} fates of {}", fates.len(), rest.len());
        for (message, fate) in rest.iter().zip(&fates) {
            match fate {
                Fate::Taken => {}
                Fate::Refused(_) => refused.push(message.id.clone()),
                Fate::Later { .. } => break,
            }
            at += 1;
        }
        if at < batch.len() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{at} of {}: {fates:?}", batch.len());
    }
    refused
}
