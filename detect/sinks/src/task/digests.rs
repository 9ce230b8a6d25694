//! A day's counts on their way. One that is not taken waits by itself, and holds up nothing.

use schemas::limits::SINK_DIGEST_RETRY_S;

use super::Task;
use crate::digest_due;
use crate::error::Result;
use crate::measure;
use crate::settings::Source;
use crate::transport::Fate;

impl Task {
    /// Sends the counts of the day that is over, if one is.
    ///
    /// # Errors
    /// As reading the log, and writing the state.
    pub(super) async fn digest(&mut self, tenant: &str) -> Result<()> {
        let today = self.today();
        let Some(at) = self.state.places.get(tenant).and_then(|place| place.digest) else { return Ok(()) };
        let now_us = self.store.clock().monotonic_us();
        let waits = self.digests_wait.get(tenant).is_some_and(|until_us| *until_us > now_us);
        if at.day >= today || waits {
            return Ok(());
        }
        let Some(log) = self.store.snapshot(tenant, Source::Alerts.stream()) else { return Ok(()) };
        // Whatever goes wrong from here on, it is tried again later and not at once.
        self.digests_wait.insert(tenant.to_owned(), now_us.saturating_add(SINK_DIGEST_RETRY_S * 1_000_000));
        let (message, next) = digest_due::made(at, log, &self.press).await?;
        match self.deliver(std::slice::from_ref(&message)).await.into_iter().next() {
            Some(Fate::Taken) => measure::settled(self.name(), 1, 0),
            Some(Fate::Refused(reason)) => {
                measure::settled(self.name(), 0, 1);
                tracing::warn!(sink = self.name(), tenant, reason, "a digest was refused");
            }
            Some(Fate::Later { reason, .. }) => {
                measure::retried(self.name());
                tracing::warn!(sink = self.name(), tenant, reason, "a digest waits");
                return Ok(());
            }
            None => return Ok(()),
        }
        if let Some(place) = self.state.places.get_mut(tenant) {
            place.digest = Some(next);
        }
        self.digests_wait.remove(tenant);
        self.save().await
    }
}
