//! How a running sink stands: for whoever asks, and for metrics.

use std::collections::BTreeMap;

use super::{Kind, Task};
use crate::measure;
use crate::status::Tenant;

impl Task {
    /// This tenant's messages wait, for that reason.
    pub(super) fn waits(&mut self, tenant: &str, reason: &str) {
        if !self.failures.contains_key(tenant) {
            tracing::warn!(sink = self.name(), tenant, reason, "messages wait");
        }
        self.failures.insert(tenant.to_owned(), reason.to_owned());
    }

    pub(super) fn went_well(&mut self, tenant: &str) {
        if self.failures.remove(tenant).is_some() {
            tracing::info!(sink = self.name(), tenant, "messages are taken again");
        }
        let now_us = self.store.clock().wall_us();
        self.standing.send_modify(|standing| standing.delivered_us = Some(now_us));
    }

    /// Says how it stands.
    pub(super) fn tell(&self) {
        let stream = self.press.sink.delivery.stream.stream();
        let mut tenants = BTreeMap::new();
        let (mut lag, mut oldest_us, mut dead) = (0u64, None::<i64>, 0u64);
        for tenant in &self.tenants {
            let Some(place) = self.state.places.get(tenant) else { continue };
            let durable = self.store.existing(tenant, stream).map_or(0, |log| log.durable());
            let behind = durable.saturating_sub(self.next_of(tenant, place));
            lag = lag.saturating_add(behind);
            let waits = self.lanes.iter().filter(|((of, _), _)| of == tenant);
            let since_us = waits.filter_map(|(_, slot)| slot.lane.waits_since_us()).min();
            oldest_us = oldest_us.into_iter().chain(since_us).min();
            let of_tenant = Tenant::new(place, behind, self.failures.get(tenant).cloned());
            dead = dead.saturating_add(of_tenant.dead_letters);
            tenants.insert(tenant.clone(), of_tenant);
        }
        let now_us = self.store.clock().wall_us();
        let oldest_s = oldest_us.map_or(0.0, |since_us| now_us.saturating_sub(since_us).max(0) as f64 / 1e6);
        let is_up = self.failure.is_none() && self.failures.is_empty();
        self.standing.send_modify(|standing| {
            standing.tenants = tenants;
            standing.failure.clone_from(&self.failure);
            standing.is_up = is_up;
        });
        measure::standing(self.name(), is_up, lag, oldest_s, dead);
    }

    /// Where the main lane of a tenant is.
    pub(super) fn next_of(&self, tenant: &str, place: &crate::state::Place) -> u64 {
        let slot = self.lanes.get(&(tenant.to_owned(), Kind::Main));
        slot.map_or(place.next, |slot| slot.lane.next)
    }
}
