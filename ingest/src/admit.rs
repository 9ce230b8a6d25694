//! Admission: how many bytes of request bodies may be in flight, in all and for one tenant.
//!
//! Bytes are reserved before they are read and given back when the reservation is dropped, whatever happened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;

/// The budget; cheap to clone.
#[derive(Debug, Clone)]
pub struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bytes_max: usize,
    tenant_bytes_max: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    bytes: usize,
    /// Only tenants that have something in flight.
    tenants: HashMap<String, usize>,
}

/// Bytes held for one request.
#[derive(Debug)]
pub struct Reservation {
    shared: Arc<Shared>,
    tenant: String,
    bytes: usize,
}

impl Admission {
    /// A budget of `bytes_max` bytes, of which one tenant may hold `tenant_bytes_max`.
    pub fn new(bytes_max: usize, tenant_bytes_max: usize) -> Admission {
        let used = Mutex::new(Used::default());
        Admission { shared: Arc::new(Shared { bytes_max, tenant_bytes_max, used }) }
    }

    /// Reserves `bytes` for `tenant`.
    ///
    /// # Errors
    /// [`Error::Busy`] when a budget is used up.
    pub fn reserve(&self, tenant: &str, bytes: usize) -> Result<Reservation, Error> {
        let mut reservation =
            Reservation { shared: Arc::clone(&self.shared), tenant: tenant.to_string(), bytes: 0 };
        reservation.grow_to(bytes)?;
        Ok(reservation)
    }

    /// Bytes in flight.
    pub fn bytes(&self) -> usize {
        self.shared.used.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }
}

impl Reservation {
    /// Reserves more, up to `bytes` in all; a smaller number changes nothing.
    ///
    /// # Errors
    /// [`Error::Busy`] when a budget is used up; what was reserved before stays.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Error> {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        let mut used = self.shared.used.lock().unwrap_or_else(PoisonError::into_inner);
        let tenant_bytes = used.tenants.get(&self.tenant).copied().unwrap_or(0);
        if used.bytes.saturating_add(more) > self.shared.bytes_max {
            return Err(Error::Busy { what: "as many as the service takes" });
        }
        if tenant_bytes.saturating_add(more) > self.shared.tenant_bytes_max {
            return Err(Error::Busy { what: "as many as one tenant may have" });
        }
        used.bytes += more;
        used.tenants.insert(self.tenant.clone(), tenant_bytes + more);
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut used = self.shared.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.bytes = used.bytes.saturating_sub(self.bytes);
        let left = used.tenants.get(&self.tenant).copied().unwrap_or(0).saturating_sub(self.bytes);
        if left == 0 {
            used.tenants.remove(&self.tenant);
        } else {
            used.tenants.insert(std::mem::take(&mut self.tenant), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn budgets_bound_the_process_and_each_tenant() {
        let admission = Admission::new(100, 60);
        let first = admission.reserve("a", 60).unwrap();
        assert!(matches!(admission.reserve("a", 1), Err(Error::Busy { .. })));
        let second = admission.reserve("b", 40).unwrap();
        assert!(matches!(admission.reserve("b", 1), Err(Error::Busy { .. })));
        assert!(admission.reserve("c", 0).is_ok(), "an empty body needs nothing");
        drop(first);
        assert_eq!(admission.bytes(), 40);
        let mut third = admission.reserve("a", 10).unwrap();
        third.grow_to(60).unwrap();
        assert!(third.grow_to(61).is_err());
        third.grow_to(5).unwrap();
        assert_eq!(admission.bytes(), 100);
        drop((second, third));
        assert_eq!(admission.bytes(), 0);
        assert!(admission.shared.used.lock().unwrap().tenants.is_empty());
    }

    proptest! {
        #[test]
        fn everything_comes_back(steps in prop::collection::vec((0usize..4, 0usize..50, any::<bool>()), 0..60)) {
            let admission = Admission::new(120, 70);
            let mut held: Vec<Reservation> = Vec::new();
            for (tenant, bytes, drops) in steps {
                if drops && !held.is_empty() {
                    held.remove(bytes % held.len());
                } else if let Ok(reservation) = admission.reserve(&tenant.to_string(), bytes) {
                    held.push(reservation);
                }
                let sum: usize = held.iter().map(|reservation| reservation.bytes).sum();
                prop_assert_eq!(admission.bytes(), sum);
                prop_assert!(sum <= 120);
                for tenant in 0..4 {
                    let of_tenant = held.iter().filter(|r| r.tenant == tenant.to_string());
                    prop_assert!(of_tenant.map(|r| r.bytes).sum::<usize>() <= 70);
                }
            }
            held.clear();
            prop_assert_eq!(admission.bytes(), 0);
        }
    }
}
