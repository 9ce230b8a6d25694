//! Sources of which logs know how far they were read: listed, and forgotten on demand.
//!
//! Invariants
//! - Nothing is forgotten by itself: a source that nobody reads today goes on tomorrow where it was.
//! - What is forgotten is an entry of the log (`forgotten`), and the cursors go with that entry.
//! - No record is lost by it. What has no cursor is read from its start, or from where its group is: at worst once more.

use schemas::Stream;
use tokio::sync::watch;

use crate::error::Error;
use crate::http::Ingest;
use crate::pull::Puller;

/// Those that keep cursors.
const COLLECTORS: [&str; 2] = ["tail", "kafka"];

/// A source that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Whose log has its records.
    pub tenant: String,
    /// `tail` or `kafka`.
    pub collector: String,
    /// As its table is called.
    pub name: String,
    /// How many cursors are kept of it: files, partitions.
    pub cursors: usize,
}

impl Ingest {
    /// The sources of which the logs of events have cursors, whether they are read now or not.
    pub fn sources(&self) -> Vec<Source> {
        let all = self.shared.store.sources().into_iter();
        let events = all.filter(|(origin, _)| origin.stream() == Stream::Events);
        let source = |(origin, source): (schemas::Origin, store::Source)| Source {
            tenant: origin.tenant().to_string(),
            collector: source.collector,
            name: source.name,
            cursors: source.cursors,
        };
        events.map(source).collect()
    }

    /// Forgets how far a source was read; how many cursors there were of it, 0 for a source that no log knows.
    ///
    /// Nobody may be reading it: a reader whose cursor is gone begins anew, and records again what it had recorded.
    ///
    /// # Errors
    /// [`Error::Source`] for a collector that keeps no cursors; [`Error::Store`] where the store does not take the entry
    /// that says so now. What is then not forgotten is as it was.
    pub async fn forget(&self, tenant: &str, collector: &str, name: &str) -> Result<usize, Error> {
        let Some(collector) = COLLECTORS.into_iter().find(|known| *known == collector) else {
            let detail = format!("{collector:?} keeps no cursors; {} do", COLLECTORS.join(" and "));
            return Err(Error::Source { detail });
        };
        // To ask for the log of a tenant that has none is to make one.
        if self.shared.store.snapshot(tenant, Stream::Events).is_none() {
            return Ok(0);
        }
        // As in a service that ends: where there is no room, it is told and not waited for.
        let (_ended, stop) = watch::channel(true);
        let puller = Puller::new(self.clone(), (collector, name), tenant, None, stop);
        let cursors = puller.log().await?.cursors(collector, name)?;
        puller.forget(cursors).await
    }
}
