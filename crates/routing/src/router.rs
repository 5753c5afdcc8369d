//! The routing decision: which queue, which broker, which address.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use rocketmq_producer_remoting::Message;
use tokio::time::Instant;

pub(crate) use self::stats::RoutedCounts;
use self::{routing::selected, stats::RoutingCounters};
use crate::{
    error::RoutingError,
    health::Incident,
    mapping::{TopicBrokerMapping, TopicEntry},
    options::{BrokerAvoidance, KeyedFailover, RoutingOptions},
    selector::{AsyncQueueSelector, SelectorArgument},
    strategy::RoutingStrategy,
};

mod balance;
mod decide;
mod detector;
mod keyed;
mod operator;
mod pick;
mod request;
mod routing;
mod stats;

pub use self::{
    request::RouteRequest,
    routing::Routing,
    stats::{RoutedBy, RoutingStats},
};

/// Decides where messages go, and learns from what became of them.
///
/// A decision takes no lock and makes no allocation. Messages without a key avoid
/// brokers in bad health and those this send tried before, down to the least bad one
/// if there is no better; messages with a key stay on the queue of their key.
///
/// Clones share everything.
#[derive(Clone)]
pub struct MessageRouter {
    shared: Arc<Shared>,
}

struct Shared {
    mapping: TopicBrokerMapping,
    strategy: AtomicU8,
    avoidance: BrokerAvoidance,
    keyed_failover: KeyedFailover,
    /// Whether users' messages try out avoided brokers: not if the detector does.
    probes: bool,
    counters: RoutingCounters,
    /// Nanoseconds after the registry's epoch of the next look at all brokers.
    next_scan: AtomicU64,
}

impl MessageRouter {
    /// A router over the routes of `mapping`, with the options of that.
    #[must_use]
    pub fn new(mapping: TopicBrokerMapping) -> Self {
        let options = mapping.options().clone();
        Self::with_options(mapping, &options)
    }

    /// A router over routes that others use too: strategy, avoidance of brokers in bad
    /// health and what happens to keyed messages are as `options` say, and all else as
    /// the options of `mapping` do.
    #[must_use]
    pub fn with_options(mapping: TopicBrokerMapping, options: &RoutingOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                strategy: AtomicU8::new(options.strategy.to_bits()),
                avoidance: options.broker_avoidance,
                keyed_failover: options.keyed_failover,
                probes: options.broker_avoidance == BrokerAvoidance::Enabled
                    && mapping.options().active_detector.is_none(),
                counters: RoutingCounters::default(),
                next_scan: AtomicU64::new(0),
                mapping,
            }),
        }
    }

    /// The cache of routes.
    #[must_use]
    pub fn mapping(&self) -> &TopicBrokerMapping {
        &self.shared.mapping
    }

    /// Starts the reset of the statistics on their interval, if there is one. Call it
    /// once, within a runtime.
    pub fn start_stats_reset(&self) {
        let Some(interval) = self.mapping().options().stats_reset_interval else {
            return;
        };
        let router = self.clone();
        let (tasks, cancel) = self.mapping().tasks();
        let cancel = cancel.clone();
        tasks.spawn(async move {
            let reset = async {
                loop {
                    tokio::time::sleep(interval).await;
                    router.reset_stats();
                }
            };
            cancel.run_until_cancelled(reset).await
        });
    }

    /// How queues are chosen when nothing else decides.
    #[must_use]
    pub fn strategy(&self) -> RoutingStrategy {
        RoutingStrategy::from_bits(self.shared.strategy.load(Ordering::Relaxed))
    }

    /// Changes the strategy for all decisions from now on.
    pub fn set_strategy(&self, strategy: RoutingStrategy) {
        self.shared
            .strategy
            .store(strategy.to_bits(), Ordering::Relaxed);
    }

    /// Finds the route of a topic and decides (`route_message`).
    ///
    /// # Errors
    /// As [`TopicBrokerMapping::topic`] and [`route`](Self::route).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn route_message(
        &self,
        topic: &str,
        message: Option<&Message>,
        strategy: Option<RoutingStrategy>,
        deadline: Instant,
    ) -> Result<Routing, RoutingError> {
        let entry = self
            .mapping()
            .topic(topic, deadline)
            .await
            .inspect_err(|_| {
                self.shared.counters.count_failure();
            })?;
        let request = RouteRequest {
            message,
            strategy,
            ..RouteRequest::new()
        };
        self.route(&entry, &request, Instant::now())
    }

    /// Decides with the route at hand.
    ///
    /// # Errors
    /// [`RoutingError::RouteRemoved`] if the entry has lost its route;
    /// [`RoutingError::NothingWritable`], [`RoutingError::NoMaster`],
    /// [`RoutingError::QueueNotAvailable`], [`RoutingError::BrokersSuspended`],
    /// [`RoutingError::SelectorRefused`] or [`RoutingError::SelectorOutOfRange`].
    pub fn route(
        &self,
        entry: &TopicEntry,
        request: &RouteRequest<'_>,
        now: Instant,
    ) -> Result<Routing, RoutingError> {
        self.counted(self.decide(entry, request, now))
    }

    /// Decides with a selector that may wait.
    ///
    /// # Errors
    /// As [`route`](Self::route).
    ///
    /// # Cancel safety
    /// As safe as the selector.
    pub async fn route_async(
        &self,
        entry: &TopicEntry,
        message: &Message,
        selector: &dyn AsyncQueueSelector,
        argument: &SelectorArgument,
        now: Instant,
    ) -> Result<Routing, RoutingError> {
        let at = self.mapping().health().nanos(now);
        let route = match self.ready_route(entry, at) {
            Ok(route) => route,
            Err(error) => return self.counted(Err(error)),
        };
        let chosen = selector
            .select_async(route.queues(), message, argument)
            .await;
        self.counted(selected(route, selector.name(), chosen, at))
    }

    /// The attempt was answered in good order (`report_routing_result`).
    ///
    /// Without a latency it counts in the success rate only.
    pub fn report_routing_result(
        &self,
        routing: &Routing,
        latency: Option<Duration>,
        now: Instant,
    ) {
        let broker = routing.broker();
        if let Some(limit) = broker.health().succeeded(latency, now) {
            broker.endpoint().set_silence_limit(limit);
        }
    }

    /// The attempt failed through the broker's own fault (`report_routing_failure`).
    ///
    /// Not to be called for faults of the message, the topic, the credentials or the
    /// caller. Returns whether it was counted: an incident counts once.
    pub fn report_routing_failure(
        &self,
        routing: &Routing,
        incident: &Incident,
        error: &str,
        now: Instant,
    ) -> bool {
        let health = routing.broker().health();
        health.report_failure(incident, error, now)
    }

    fn counted(&self, result: Result<Routing, RoutingError>) -> Result<Routing, RoutingError> {
        match &result {
            Ok(routing) => {
                routing
                    .broker()
                    .health()
                    .routed()
                    .count(routing.routed_by());
            }
            Err(_) => self.shared.counters.count_failure(),
        }
        result
    }
}

impl fmt::Debug for MessageRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageRouter")
            .field("strategy", &self.strategy())
            .field("mapping", self.mapping())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod shares;
#[cfg(test)]
mod tests;
