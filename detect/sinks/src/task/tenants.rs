//! The tenants that a sink takes part in, each with a place in its log.

use schemas::Origin;
use schemas::limits::SINK_DIGEST_AFTER_S;

use super::Task;
use crate::settings::Beginning;
use crate::state::{DigestPlace, Place};

const US_PER_S: i64 = 1_000_000;
const S_PER_DAY: i64 = 86_400;

impl Task {
    /// Finds the tenants that there is a log of, before anything is handed over in a round: a place of another log, or beyond the end of this one, is mended here.
    pub(super) fn discover(&mut self) {
        let delivery = &self.press.sink.delivery;
        let stream = delivery.stream.stream();
        let is_wanted = |origin: &Origin| origin.stream() == stream && delivery.wants_tenant(origin.tenant());
        let origins: Vec<Origin> = self.store.origins().into_iter().filter(is_wanted).collect();
        let today = self.today();
        for origin in &origins {
            let (tenant, log) = (origin.tenant(), origin.to_string());
            let durable = self.store.existing(tenant, stream).map_or(0, |log| log.durable());
            let is_first = !self.state.places.contains_key(tenant);
            let begins = if self.is_new && delivery.from == Beginning::Now { durable } else { 0 };
            let place =
                self.state.places.entry(tenant.to_owned()).or_insert_with(|| Place::new(&log, begins));
            let was = place.clone();
            if place.log != log {
                // Of a log of another origin nothing was sent, and its dead letters are of a log that is not there.
                *place = Place::new(&log, 0);
            }
            place.cut(durable);
            if delivery.digest && place.digest.is_none() {
                place.digest = Some(DigestPlace { day: today, first: 0 });
            }
            if is_first {
                tracing::info!(
                    sink = delivery.name,
                    tenant,
                    next = place.next,
                    "the sink takes part in a tenant's log"
                );
            } else if (place.log.as_str(), place.next) != (was.log.as_str(), was.next) {
                tracing::warn!(
                    sink = delivery.name,
                    tenant,
                    was = was.log,
                    was_next = was.next,
                    dead_letters = was.dead.len(),
                    log,
                    next = place.next,
                    "the log is another or shorter than it was: an older copy was restored; the sink goes on where that ends"
                );
                self.lanes.retain(|(of, _), _| of != tenant);
            }
            if is_first || *place != was {
                self.unsaved = self.unsaved.saturating_add(1);
            }
        }
        self.tenants = origins.into_iter().map(|origin| origin.tenant().to_owned()).collect();
        self.failures.retain(|tenant, _| self.tenants.contains(tenant));
    }

    /// The day that a digest made now would not be of yet, in days since 1970.
    pub(super) fn today(&self) -> i64 {
        let after_us = i64::try_from(SINK_DIGEST_AFTER_S).unwrap_or(i64::MAX).saturating_mul(US_PER_S);
        let now_us = self.store.clock().wall_us();
        now_us.saturating_sub(after_us).div_euclid(S_PER_DAY.saturating_mul(US_PER_S))
    }
}
