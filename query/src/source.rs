//! What the core needs of the store, and no more: logs at one moment, and a way to append to one stream.

use std::sync::Arc;

use async_trait::async_trait;
use schemas::Stream;
use store::{Draft, LogSnapshot, Store};

use crate::as_of::AsOf;
use crate::{Error, Result};

/// Gives out logs as they are now.
pub trait Snapshots: Send + Sync {
    /// The log of this tenant and stream, if there is one.
    fn snapshot(&self, tenant: &str, stream: Stream) -> Option<LogSnapshot>;

    /// The logs that were written in place of it before, oldest first.
    fn predecessors(&self, _tenant: &str, _stream: Stream) -> Vec<LogSnapshot> {
        Vec::new()
    }

    /// Those of them that cannot be read, by writer, and why, oldest first: a question that asks for what they held has no answer.
    fn damaged_predecessors(&self, _tenant: &str, _stream: Stream) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// Takes entries of the access log.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends to the access log of `tenant`; returns once the draft is on stable storage.
    ///
    /// # Errors
    /// As `store::Log::append`.
    async fn append(&self, tenant: &str, draft: Draft) -> store::Result<()>;
}

impl Snapshots for Store {
    fn snapshot(&self, tenant: &str, stream: Stream) -> Option<LogSnapshot> {
        Store::snapshot(self, tenant, stream)
    }

    fn predecessors(&self, tenant: &str, stream: Stream) -> Vec<LogSnapshot> {
        Store::predecessors(self, tenant, stream)
    }

    fn damaged_predecessors(&self, tenant: &str, stream: Stream) -> Vec<(String, String)> {
        Store::damaged_predecessors(self, tenant, stream)
    }
}

#[async_trait]
impl Journal for Store {
    async fn append(&self, tenant: &str, draft: Draft) -> store::Result<()> {
        self.log(tenant, Stream::Access).await?.append(draft).await.map(|_receipt| ())
    }
}

/// The streams that can be asked, in the order in which a snapshot names them.
pub(crate) const STREAMS: [Stream; 3] = [Stream::Events, Stream::Alerts, Stream::Access];

/// All logs of one tenant at one moment: what one query sees.
#[derive(Debug, Clone)]
pub struct Snapshot {
    tenant: String,
    logs: Vec<(Stream, Option<Arc<LogSnapshot>>)>,
    /// Of earlier writers, oldest first.
    predecessors: Vec<(Stream, Vec<Arc<LogSnapshot>>)>,
    /// Those of them that cannot be read, by writer, and why.
    damaged: Vec<(Stream, Vec<(String, String)>)>,
    as_of: Option<AsOf>,
}

impl Snapshot {
    /// Whose logs they are.
    pub(crate) fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Takes the logs of `tenant` one after the other.
    pub(crate) fn take(source: &dyn Snapshots, tenant: &str) -> Snapshot {
        let logs = STREAMS
            .map(|stream| (stream, source.snapshot(tenant, stream).map(Arc::new)))
            .into_iter()
            .collect();
        let predecessors = STREAMS
            .map(|stream| (stream, source.predecessors(tenant, stream).into_iter().map(Arc::new).collect()));
        let damaged = STREAMS.map(|stream| (stream, source.damaged_predecessors(tenant, stream)));
        let (predecessors, damaged) = (predecessors.into(), damaged.into());
        Snapshot { tenant: tenant.to_string(), logs, predecessors, damaged, as_of: None }
    }

    /// The same logs as they were at an earlier moment.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] with code `as_of` for sizes that a log has not reached.
    pub(crate) fn at(mut self, as_of: AsOf) -> Result<Snapshot> {
        for (stream, [_, _, durable]) in self.sizes() {
            as_of.check(stream, durable)?;
        }
        self.as_of = Some(as_of);
        Ok(self)
    }

    /// The size of `stream` that the question is about, if it is not the present one.
    pub(crate) fn until(&self, stream: Stream) -> Option<u64> {
        self.as_of.as_ref()?.size(stream)
    }

    /// Whether the question is about an earlier moment.
    pub(crate) fn is_of_the_past(&self) -> bool {
        self.as_of.is_some()
    }

    /// The log of `stream`, if there is one yet.
    pub fn log(&self, stream: Stream) -> Option<&Arc<LogSnapshot>> {
        self.logs.iter().find(|(named, _)| *named == stream).and_then(|(_, log)| log.as_ref())
    }

    /// The logs before the log of `stream`, newest first, each with what its indices are less by in answers: one history, in
    /// which the present log's entries stand as they are and those before it have negative indices.
    pub(crate) fn before(&self, stream: Stream) -> Vec<(Arc<LogSnapshot>, u64)> {
        let of_stream = self.predecessors.iter().filter(|(named, _)| *named == stream);
        let mut less = 0;
        let mut before = Vec::new();
        for log in of_stream.flat_map(|(_, logs)| logs.iter().rev()) {
            less += log.sealed;
            before.push((Arc::clone(log), less));
        }
        before
    }

    /// What a question is told that needs the logs before the log of `stream` while one of them cannot be read: how many entries it
    /// holds is not known, so that those before it have no place either.
    pub(crate) fn check_before(&self, stream: Stream) -> Result<()> {
        let of_stream = self.damaged.iter().filter(|(named, _)| *named == stream);
        let Some((writer, why)) = of_stream.flat_map(|(_, logs)| logs).next() else { return Ok(()) };
        Err(Error::EarlierLogDamaged { stream, writer: writer.clone(), reason: why.clone() })
    }

    /// The logs that exist, those of earlier writers after the present ones.
    pub fn logs(&self) -> impl Iterator<Item = &Arc<LogSnapshot>> {
        let before = self.predecessors.iter().flat_map(|(_, logs)| logs.iter().rev());
        self.logs.iter().filter_map(|(_, log)| log.as_ref()).chain(before)
    }

    fn sizes(&self) -> impl Iterator<Item = (Stream, [u64; 3])> {
        self.logs.iter().map(|(stream, log)| {
            let sizes = log.as_ref().map_or([0; 3], |log| [log.sealed, log.signed, log.durable]);
            let until = self.until(*stream).unwrap_or(u64::MAX);
            (*stream, sizes.map(|size| size.min(until)))
        })
    }

    /// `events=S/C/D;alerts=S/C/D;access=S/C/D`: sealed, signed and durable sizes; zeros where there is no log.
    pub fn to_header(&self) -> String {
        let parts: Vec<String> =
            self.sizes().map(|(stream, [s, c, d])| format!("{stream}={s}/{c}/{d}")).collect();
        parts.join(";")
    }

    /// The same as one line of JSON: `{"events":[S,C,D],...}`.
    pub fn to_json(&self) -> String {
        let parts: Vec<String> =
            self.sizes().map(|(stream, [s, c, d])| format!("\"{stream}\":[{s},{c},{d}]")).collect();
        format!("{{{}}}", parts.join(","))
    }
}
