//! The health records of all brokers known, by name and address.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use dashmap::DashMap;
use rocketmq_producer_remoting::{ConnectionPool, Connectivity, random};
use tokio::{sync::watch, time::Instant};

use super::{BrokerHealth, BrokerHealthInfo, HealthEvents, SharedCounts};
use crate::{
    broker::Broker,
    nanos::nanos_since,
    options::{HealthOptions, RoutingOptions},
    router::RoutedCounts,
};

type Key = (Arc<str>, Arc<str>);

/// Hands out one record per broker name and address, and tells of their changes.
///
/// Made before the pool of connections, whose handler passes on to it what connections
/// tell ([`connectivity_changed`](Self::connectivity_changed)). Bounded by the brokers
/// of the routes in the cache: records that no route holds any more are dropped.
#[derive(Debug)]
pub struct BrokerRegistry {
    options: HealthOptions,
    /// What the times of all records count from, so that one look at it serves a decision.
    epoch: Instant,
    records: Arc<Records>,
    shared: Arc<SharedCounts>,
    /// A suspension belongs to the name, so that a master switch does not lift it.
    suspended: Mutex<HashSet<Arc<str>>>,
}

/// The records with those who watch them.
#[derive(Debug)]
pub(super) struct Records {
    by_key: DashMap<Key, Arc<BrokerHealth>>,
    infos: watch::Sender<Arc<[BrokerHealthInfo]>>,
    /// Held while the infos are made, so that the newest come last.
    renewing: Mutex<()>,
}

impl Records {
    /// Every record, sorted by name and address.
    fn all(&self) -> Vec<Arc<BrokerHealth>> {
        let records = self.by_key.iter();
        let mut all: Vec<_> = records.map(|entry| Arc::clone(entry.value())).collect();
        all.sort_by(|a, b| (a.broker_name(), a.address()).cmp(&(b.broker_name(), b.address())));
        all
    }

    /// Shows those who watch the records as they are now. Not to be called under the
    /// lock of a record or of the map.
    pub(super) fn renew_infos(&self) {
        if self.infos.receiver_count() > 0 {
            let _renewing = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
            let infos = self.all().iter().map(|record| record.info()).collect();
            self.infos.send_replace(infos);
        }
    }
}

impl BrokerRegistry {
    /// A registry without records.
    #[must_use]
    pub fn new(options: HealthOptions) -> Self {
        Self {
            options,
            epoch: Instant::now(),
            records: Arc::new(Records {
                by_key: DashMap::new(),
                infos: watch::Sender::new(Arc::from([])),
                renewing: Mutex::new(()),
            }),
            shared: Arc::default(),
            suspended: Mutex::new(HashSet::new()),
        }
    }

    /// Tells all records of an address what its connection tells.
    pub fn connectivity_changed(&self, address: &str, connectivity: Connectivity, now: Instant) {
        let records = self.select(|record| record.address().as_ref() == address);
        for record in records {
            record.connectivity_changed(connectivity, now);
        }
    }

    /// The records of all brokers, renewed whenever a broker changes its condition,
    /// comes or goes. Counts and latencies are as of then.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<[BrokerHealthInfo]>> {
        let mut receiver = self.records.infos.subscribe();
        self.records.renew_infos();
        receiver.mark_unchanged();
        receiver
    }

    /// The changes of all brokers from now on.
    #[must_use]
    pub fn events(&self) -> HealthEvents {
        self.shared.events.subscribe()
    }

    /// How often a broker changed its condition so far.
    #[must_use]
    pub fn transitions(&self) -> u64 {
        self.shared.events.count()
    }

    /// The records of all brokers, sorted by name and address.
    #[must_use]
    pub fn infos(&self) -> Vec<BrokerHealthInfo> {
        self.all().iter().map(|record| record.info()).collect()
    }

    /// Whether every broker is one to use; one atomic load.
    pub(crate) fn all_usable(&self) -> bool {
        self.impaired() == 0
    }

    /// How many brokers are not plainly usable.
    pub(super) fn impaired(&self) -> usize {
        self.shared.impaired.load(Ordering::Acquire)
    }

    /// The record of a broker at an address, made clean if there is none.
    pub(crate) fn record(&self, name: &Arc<str>, address: &str, now: Instant) -> Arc<BrokerHealth> {
        let key: Key = (Arc::clone(name), Arc::from(address));
        if let Some(record) = self.records.by_key.get(&key) {
            return Arc::clone(&record);
        }
        let suspended = self.suspended();
        let record = Arc::new(BrokerHealth::among(
            Arc::clone(name),
            Arc::clone(&key.1),
            self.options.clone(),
            (self.epoch, now),
            random::seed(),
            Arc::clone(&self.shared),
            Arc::downgrade(&self.records),
        ));
        if suspended.contains(name) {
            record.suspend(now);
        }
        // Made outside of the map, whose lock must not be held where changes are told.
        let known = Arc::clone(&self.records.by_key.entry(key).or_insert(record));
        drop(suspended);
        self.records.renew_infos();
        known
    }

    /// A broker of a route with its record, which begins with what the connections of
    /// the address told last.
    pub(crate) fn broker(
        &self,
        name: &str,
        cluster: &str,
        address: &str,
        pool: &ConnectionPool,
        now: Instant,
    ) -> Arc<Broker> {
        let record = self.record(&Arc::from(name), address, now);
        let endpoint = pool.endpoint(address);
        // The record was in its place before the look, so that a change is either seen
        // here or told to it; a change between look and telling shows in the next look.
        loop {
            let connectivity = endpoint.connectivity();
            record.connectivity_changed(connectivity, now);
            if endpoint.connectivity() == connectivity {
                break;
            }
        }
        Arc::new(Broker::new(Arc::from(cluster), record, &endpoint))
    }

    /// What [`nanos`](Self::nanos) counts from.
    pub(crate) fn epoch(&self) -> Instant {
        self.epoch
    }

    /// The moment as all records have it.
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        nanos_since(self.epoch, at)
    }

    /// Takes over from the options how much each broker may hold
    /// ([`RoutingOptions::broker_share`] of the two limits): again whenever those who send
    /// by the same records come or go.
    pub fn set_share(&self, options: &RoutingOptions) {
        self.shared.share.set(options);
    }

    /// Every record, sorted by name and address.
    pub(crate) fn all(&self) -> Vec<Arc<BrokerHealth>> {
        self.records.all()
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
        let before = self.records.by_key.len();
        self.records
            .by_key
            .retain(|_, record| Arc::strong_count(record) > 1);
        if self.records.by_key.len() < before {
            self.records.renew_infos();
        }
    }

    fn of(&self, name: &str) -> Vec<Arc<BrokerHealth>> {
        self.select(|record| record.broker_name().as_ref() == name)
    }

    fn select(&self, is_meant: impl Fn(&BrokerHealth) -> bool) -> Vec<Arc<BrokerHealth>> {
        let mut records = self.all();
        records.retain(|record| is_meant(record));
        records
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
