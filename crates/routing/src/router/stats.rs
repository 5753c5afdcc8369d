//! Routing statistics, under the documents' names.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::health::{BrokerHealthInfo, BrokerRegistry};

/// What decided on a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RoutedBy {
    /// The caller, who gave the queue.
    GivenQueue,
    /// The shorter of two expected waits.
    LeastLatency,
    /// The lesser of two loads.
    LeastLoad,
    /// The hash of a key.
    MessageHash,
    /// Chance.
    Random,
    /// The round.
    RoundRobin,
    /// A selector of the caller's, by its name.
    Selector(&'static str),
}

impl RoutedBy {
    /// The name in statistics; every selector counts as `selector`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GivenQueue => "given_queue",
            Self::LeastLatency => "least_latency",
            Self::LeastLoad => "least_load",
            Self::MessageHash => "message_hash",
            Self::Random => "random",
            Self::RoundRobin => "round_robin",
            Self::Selector(_) => "selector",
        }
    }

    const fn place(self) -> usize {
        match self {
            Self::GivenQueue => 0,
            Self::LeastLatency => 1,
            Self::LeastLoad => 2,
            Self::MessageHash => 3,
            Self::Random => 4,
            Self::RoundRobin => 5,
            Self::Selector(_) => 6,
        }
    }

    const NAMES: [&'static str; 7] = [
        "given_queue",
        "least_latency",
        "least_load",
        "message_hash",
        "random",
        "round_robin",
        "selector",
    ];
}

/// Routing statistics since the start or the last reset.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RoutingStats {
    /// Decisions asked for.
    pub total_routing: u64,
    /// Decisions that named a queue.
    pub successful_routing: u64,
    /// Decisions that ended in an error.
    pub failed_routing: u64,
    /// Decisions by what decided ([`RoutedBy::name`]).
    pub strategy_usage: BTreeMap<&'static str, u64>,
    /// Decisions by broker name; of brokers that some route still names.
    pub broker_usage: BTreeMap<Arc<str>, u64>,
    /// The health of every broker, at this moment.
    pub broker_health: Vec<BrokerHealthInfo>,
}

impl RoutingStats {
    /// What was added since `earlier`; health is the present one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut delta = self.clone();
        delta.total_routing = self.total_routing.saturating_sub(earlier.total_routing);
        delta.successful_routing = self
            .successful_routing
            .saturating_sub(earlier.successful_routing);
        delta.failed_routing = self.failed_routing.saturating_sub(earlier.failed_routing);
        subtract(&mut delta.strategy_usage, &earlier.strategy_usage);
        subtract(&mut delta.broker_usage, &earlier.broker_usage);
        delta
    }
}

fn subtract<K: Ord>(counts: &mut BTreeMap<K, u64>, earlier: &BTreeMap<K, u64>) {
    for (key, count) in counts.iter_mut() {
        *count = count.saturating_sub(earlier.get(key).copied().unwrap_or(0));
    }
}

/// Decisions by what decided. One per broker, so that a decision costs one addition
/// to a counter and the totals are sums.
#[derive(Debug, Default)]
pub(crate) struct RoutedCounts([AtomicU64; RoutedBy::NAMES.len()]);

impl RoutedCounts {
    pub(crate) fn count(&self, by: RoutedBy) {
        if let Some(counter) = self.0.get(by.place()) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.0
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    pub(crate) fn add(&self, other: &Self) {
        for (sum, count) in self.0.iter().zip(&other.0) {
            sum.fetch_add(count.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        RoutedBy::NAMES.into_iter().zip(counts)
    }
}

/// The counters of a router besides those of the brokers. Resetting moves a base
/// line, so no count that comes in meanwhile is lost.
#[derive(Debug, Default)]
pub(super) struct RoutingCounters {
    failed: AtomicU64,
    base: Mutex<RoutingStats>,
}

impl RoutingCounters {
    pub(super) fn count_failure(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self, health: &BrokerRegistry) -> RoutingStats {
        let total = self.total(health);
        let base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        total.since(&base)
    }

    pub(super) fn reset(&self, health: &BrokerRegistry) {
        let mut total = self.total(health);
        total.broker_health = Vec::new();
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = total;
    }

    fn total(&self, health: &BrokerRegistry) -> RoutingStats {
        let brokers = health.all();
        let mut strategy_usage: BTreeMap<&'static str, u64> = health.retired().by_name().collect();
        let mut broker_usage: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for broker in &brokers {
            for (name, count) in broker.routed().by_name() {
                *strategy_usage.entry(name).or_default() += count;
            }
            let name = Arc::clone(broker.broker_name());
            *broker_usage.entry(name).or_default() += broker.routed().total();
        }
        let successful_routing = strategy_usage.values().sum();
        let failed_routing = self.failed.load(Ordering::Relaxed);
        RoutingStats {
            total_routing: successful_routing + failed_routing,
            successful_routing,
            failed_routing,
            strategy_usage,
            broker_usage,
            broker_health: brokers.iter().map(|broker| broker.info()).collect(),
        }
    }
}
