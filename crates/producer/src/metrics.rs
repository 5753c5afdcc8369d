//! What a producer can be watched by: counts, latencies, ages, of every layer.
//!
//! Counting is made for sends that run on many threads: each thread adds to a place of its own, once per message, and
//! only a snapshot sums them up.

mod histogram;
#[cfg(feature = "metrics")]
mod publish;
mod table;

use std::time::Duration;

use self::histogram::Sharded;
pub use self::histogram::{LatencyBucket, LatencyHistogram};
#[cfg(feature = "metrics")]
pub(crate) use self::publish::publish;
pub use self::table::{METRICS, MetricKind, MetricName};
use crate::config::routing::{BrokerHealthInfo, CacheStats};
use crate::core::Core;
use crate::stats::ProducerStats;

/// What sends count beside their outcomes.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    latency: Sharded,
    wait: Sharded,
}

impl Metrics {
    /// A message was stored after so long.
    #[inline]
    pub(crate) fn stored(&self, latency: Duration) {
        self.latency.record(latency, 1);
    }

    /// So many messages were.
    pub(crate) fn stored_together(&self, latency: Duration, messages: usize) {
        self.latency.record(latency, messages as u64);
    }

    /// A message has waited so long for its place.
    pub(crate) fn waited(&self, time: Duration) {
        self.wait.record(time, 1);
    }
}

/// A producer and the layers below it at one moment.
///
/// Everything counts from the start of the producer; parts that producers share in one client context count for all of
/// them together.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// Sends by outcome, retries, batches, what is under way, heartbeats; and of the connections: bytes, frames, dials,
    /// silences.
    pub stats: ProducerStats,
    /// Time from the call to the receipt of messages that were stored, waiting and failed attempts included. One-way
    /// messages have none.
    pub send_latency: LatencyHistogram,
    /// Time that messages waited for their turn and their place. Those that found one at once, mostly nearly all, are
    /// not in it.
    pub queue_wait: LatencyHistogram,
    /// The cache of routes; `oldest` is the age of the route that no name server has confirmed for longest.
    pub routes: CacheStats,
    /// How often a broker changed its condition.
    pub health_transitions: u64,
    /// Every known broker's condition.
    pub brokers: Vec<BrokerHealthInfo>,
    /// The runtime that the snapshot was taken on, if it was taken on one.
    pub runtime: Option<RuntimeSnapshot>,
}

/// A tokio runtime at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuntimeSnapshot {
    /// Threads that run tasks.
    pub workers: usize,
    /// Tasks that have not ended.
    pub alive_tasks: usize,
    /// Tasks that wait for any worker. A number that stays high says that the runtime does not keep up.
    pub queued_tasks: usize,
}

impl RuntimeSnapshot {
    /// Of the runtime that it is called on.
    fn here() -> Option<Self> {
        let handle = tokio::runtime::Handle::try_current().ok()?;
        let metrics = handle.metrics();
        Some(Self {
            workers: metrics.num_workers(),
            alive_tasks: metrics.num_alive_tasks(),
            queued_tasks: metrics.global_queue_depth(),
        })
    }
}

impl MetricsSnapshot {
    pub(crate) fn of(core: &Core) -> Self {
        Self {
            stats: core.stats(),
            send_latency: core.metrics.latency.snapshot(),
            queue_wait: core.metrics.wait.snapshot(),
            routes: core.router.mapping().cache_stats(),
            health_transitions: core.client.registry.transitions(),
            brokers: core.client.registry.infos(),
            runtime: RuntimeSnapshot::here(),
        }
    }
}
