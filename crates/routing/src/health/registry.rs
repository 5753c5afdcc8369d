//! The health records of all brokers known, by name and address.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use dashmap::DashMap;
use rocketmq_producer_remoting::ConnectionPool;
use tokio::time::Instant;

use super::{BrokerHealth, SharedCounts};
use crate::{
    broker::Broker,
    options::{HealthOptions, RoutingOptions},
    router::RoutedCounts,
};

type Key = (Arc<str>, Arc<str>);

/// Hands out one record per broker name and address.
///
/// Bounded by the brokers of the routes in the cache: [`prune`](Self::prune) drops
/// the records that no route holds any more.
#[derive(Debug)]
pub struct BrokerRegistry {
    options: HealthOptions,
    records: DashMap<Key, Arc<BrokerHealth>>,
    shared: Arc<SharedCounts>,
    /// A suspension belongs to the name, so that a master switch does not lift it.
    suspended: Mutex<HashSet<Arc<str>>>,
}

impl BrokerRegistry {
    /// A registry without records.
    #[must_use]
    pub fn new(options: HealthOptions) -> Self {
        Self {
            options,
            records: DashMap::new(),
            shared: Arc::default(),
            suspended: Mutex::new(HashSet::new()),
        }
    }

    /// Whether every broker is one to use; one atomic load.
    pub(crate) fn all_usable(&self) -> bool {
        self.shared.impaired.load(Ordering::Acquire) == 0
    }

    /// The record of a broker at an address, made clean if there is none.
    pub(crate) fn record(&self, name: &Arc<str>, address: &str, now: Instant) -> Arc<BrokerHealth> {
        let key: Key = (Arc::clone(name), Arc::from(address));
        if let Some(record) = self.records.get(&key) {
            return Arc::clone(&record);
        }
        let suspended = self.suspended();
        let address = Arc::clone(&key.1);
        let record = self.records.entry(key).or_insert_with(|| {
            let record = BrokerHealth::with_counter(
                Arc::clone(name),
                address,
                self.options.clone(),
                now,
                rand::random(),
                Arc::clone(&self.shared),
            );
            if suspended.contains(name) {
                record.suspend(now);
            }
            Arc::new(record)
        });
        Arc::clone(&record)
    }

    /// A broker of a route with its record.
    pub(crate) fn broker(
        &self,
        name: &str,
        cluster: &str,
        address: &str,
        pool: &ConnectionPool,
        now: Instant,
    ) -> Arc<Broker> {
        let record = self.record(&Arc::from(name), address, now);
        Arc::new(Broker::new(
            Arc::from(cluster),
            record,
            pool.endpoint(address),
        ))
    }

    /// Takes over how much each broker may hold.
    pub(crate) fn set_share(&self, options: &RoutingOptions) {
        self.shared.share.set(options);
    }

    /// Every record, sorted by name and address.
    pub(crate) fn all(&self) -> Vec<Arc<BrokerHealth>> {
        let mut all: Vec<_> = self
            .records
            .iter()
            .map(|entry| Arc::clone(entry.value()))
            .collect();
        all.sort_by(|a, b| (a.broker_name(), a.address()).cmp(&(b.broker_name(), b.address())));
        all
    }

    /// Messages routed to brokers whose records are gone.
    pub(crate) fn retired(&self) -> &RoutedCounts {
        &self.shared.retired
    }

    /// Returns whether a broker of that name is known.
    pub(crate) fn suspend(&self, name: &str, now: Instant) -> bool {
        let mut suspended = self.suspended();
        let records = self.of(name);
        let Some(first) = records.first() else {
            return false;
        };
        suspended.insert(Arc::clone(first.broker_name()));
        for record in &records {
            record.suspend(now);
        }
        true
    }

    /// Returns whether the broker was suspended.
    pub(crate) fn resume(&self, name: &str, now: Instant) -> bool {
        let mut suspended = self.suspended();
        let mut resumed = suspended.remove(name);
        for record in self.of(name) {
            resumed |= record.resume(now);
        }
        resumed
    }

    /// Returns whether a broker of that name is known.
    pub(crate) fn force_recovery(&self, name: &str, now: Instant) -> bool {
        let mut suspended = self.suspended();
        let known = suspended.remove(name);
        let records = self.of(name);
        for record in &records {
            record.force_recovery(now);
        }
        known || !records.is_empty()
    }

    /// Drops the records that nobody else holds.
    pub(crate) fn prune(&self) {
        self.records
            .retain(|_, record| Arc::strong_count(record) > 1);
    }

    fn of(&self, name: &str) -> Vec<Arc<BrokerHealth>> {
        self.records
            .iter()
            .filter(|entry| entry.key().0.as_ref() == name)
            .map(|entry| Arc::clone(entry.value()))
            .collect()
    }

    fn suspended(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.suspended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::BrokerRegistry;
    use crate::{health::BrokerState, health::Incident, options::HealthOptions};

    #[test]
    fn a_master_switch_starts_with_a_clean_record() {
        let now = Instant::now();
        let registry = BrokerRegistry::new(HealthOptions::default());
        let name: Arc<str> = "a".into();
        let old = registry.record(&name, "h:1", now);
        for _ in 0..5 {
            old.report_failure(&Incident::Single, "broken", now);
        }
        assert!(!registry.all_usable());
        assert!(Arc::ptr_eq(&old, &registry.record(&name, "h:1", now)));
        let new = registry.record(&name, "h:2", now);
        assert_eq!(new.state(), BrokerState::Healthy);
        assert_eq!(new.info().failure_count, 0);

        drop(old);
        registry.prune();
        assert!(registry.all_usable(), "the dropped record no longer counts");
        assert_eq!(registry.all().len(), 1);
    }

    #[test]
    fn a_suspension_survives_a_master_switch_and_only_the_operator_lifts_it() {
        let now = Instant::now();
        let registry = BrokerRegistry::new(HealthOptions::default());
        let name: Arc<str> = "a".into();
        assert!(!registry.suspend("a", now), "unknown as yet");
        let old = registry.record(&name, "h:1", now);
        assert!(registry.suspend("a", now));
        let new = registry.record(&name, "h:2", now);
        assert_eq!(new.state(), BrokerState::Suspended);
        for _ in 0..50 {
            new.report_success(None, now);
        }
        assert_eq!(new.state(), BrokerState::Suspended);
        assert!(registry.resume("a", now));
        assert_eq!(
            (old.state(), new.state()),
            (BrokerState::Healthy, BrokerState::Healthy)
        );
        assert!(!registry.resume("a", now));
        assert!(registry.all_usable());
    }
}
