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
use self::{
    balance::{Balance, balanced, has_room, is_full},
    keyed::keyed_place,
    pick::{Pick, badness, draw, pick, probe},
    stats::RoutingCounters,
};
use crate::{
    broker::Broker,
    error::{QueueProblem, RoutingError},
    health::{BrokerHealthInfo, Incident, Verdict},
    load::{Occupancy, wait_for_room},
    mapping::{TopicBrokerMapping, TopicEntry},
    options::BrokerAvoidance,
    queue::MessageQueue,
    route::{BrokerGroup, QueueTarget, RouteInfo, RoutedQueue},
    selector::{
        AsyncQueueSelector, SelectorArgument, hash_index, java_hash_code, message_hash,
        random_below,
    },
    strategy::RoutingStrategy,
};

mod balance;
mod keyed;
mod pick;
mod request;
mod stats;

pub use self::{
    request::RouteRequest,
    stats::{RoutedBy, RoutingStats},
};

/// Where one attempt of a send goes.
#[derive(Clone)]
pub struct Routing {
    route: Arc<RouteInfo>,
    /// Places in the route's ring and among its brokers; within both, since
    /// [`routing`] alone makes a `Routing`. One shared pointer is cheaper than two.
    /// Small, since futures keep it: a ring has at most 2^17 places.
    index: u32,
    group: u32,
    by: RoutedBy,
    is_probe: bool,
    /// When it was decided, as the broker's record has it.
    at: u64,
}

impl Routing {
    /// The chosen queue.
    #[must_use]
    pub fn queue(&self) -> &MessageQueue {
        self.route.queues()[self.index as usize].queue()
    }

    /// The broker that serves it. For a static topic it has another name than the
    /// queue's broker.
    #[must_use]
    pub fn broker(&self) -> &Arc<Broker> {
        &self.route.groups()[self.group as usize].broker
    }

    /// The address of the broker's master.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        self.broker().address()
    }

    /// The route it was chosen from.
    #[must_use]
    pub fn route(&self) -> &Arc<RouteInfo> {
        &self.route
    }

    /// What decided.
    #[must_use]
    pub fn routed_by(&self) -> RoutedBy {
        self.by
    }

    /// Takes a place among what is under way at the broker, for a message of so many
    /// bytes, whatever the broker holds already.
    pub fn occupy(&self, bytes: usize) -> Occupancy {
        Occupancy::new(self.broker().health(), bytes, self.at)
    }

    /// Takes a place at the broker unless it holds its
    /// [`broker_share`](crate::RoutingOptions::broker_share) and another broker of the
    /// route is in order.
    #[must_use]
    pub fn try_occupy(&self, bytes: usize) -> Option<Occupancy> {
        let health = self.broker().health();
        Occupancy::within_share(health, bytes, self.at)
            .or_else(|| (!self.is_shared()).then(|| Occupancy::new(health, bytes, self.at)))
    }

    /// Waits until [`try_occupy`](Self::try_occupy) may succeed. Another may be
    /// faster, so try in a loop.
    ///
    /// # Cancel safety
    /// Safe: somebody else is woken instead.
    pub async fn room(&self) {
        let health = self.broker().health();
        let has_room = || !health.load().is_full(health.share()) || !self.is_shared();
        wait_for_room(health, has_room).await;
    }

    /// Whether another broker of the route is in order, so that this one is held to
    /// its share.
    fn is_shared(&self) -> bool {
        let groups = self.route.groups().iter().enumerate();
        groups
            .filter(|(place, group)| *place != self.group as usize && !group.vanished)
            .any(|(_, group)| group.broker.health().verdict() == Verdict::Use)
    }

    /// Whether this message tries out a broker that is otherwise avoided.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.is_probe
    }
}

impl fmt::Debug for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routing")
            .field("queue", self.queue())
            .field("address", self.address())
            .field("by", &self.by)
            .field("is_probe", &self.is_probe)
            .finish_non_exhaustive()
    }
}

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
    counters: RoutingCounters,
    created: Instant,
    /// Nanoseconds after `created` of the next look at all brokers.
    next_scan: AtomicU64,
}

/// How often all brokers of a route are looked at while one is in bad health: a probe
/// is at most this late on a topic with many queues.
const SCAN_INTERVAL: Duration = Duration::from_millis(1);

impl MessageRouter {
    /// A router over the routes of `mapping`, with the options of that.
    #[must_use]
    pub fn new(mapping: TopicBrokerMapping) -> Self {
        let options = mapping.options();
        Self {
            shared: Arc::new(Shared {
                strategy: AtomicU8::new(options.strategy.to_bits()),
                avoidance: options.broker_avoidance,
                counters: RoutingCounters::default(),
                created: Instant::now(),
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
        let route = match self.ready_route(entry, now) {
            Ok(route) => route,
            Err(error) => return self.counted(Err(error)),
        };
        let chosen = selector
            .select_async(route.queues(), message, argument)
            .await;
        self.counted(selected(route, selector.name(), chosen, now))
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

    /// The statistics since the start or the last reset (`get_routing_stats`).
    #[must_use]
    pub fn routing_stats(&self) -> RoutingStats {
        self.shared.counters.stats(self.mapping().health())
    }

    /// Starts the statistics again from zero. Health stays.
    pub fn reset_stats(&self) {
        self.shared.counters.reset(self.mapping().health());
    }

    /// Makes a broker healthy at every address, ending a suspension too
    /// (`force_broker_recovery`). Returns whether it is known.
    pub fn force_broker_recovery(&self, broker_name: &str, now: Instant) -> bool {
        self.mapping().health().force_recovery(broker_name, now)
    }

    /// Has nothing sent to a broker, at whatever address, until it is resumed or
    /// recovered by hand. Returns whether it is known.
    pub fn suspend_broker(&self, broker_name: &str, now: Instant) -> bool {
        self.mapping().health().suspend(broker_name, now)
    }

    /// Ends a suspension. Returns whether there was one.
    pub fn resume_broker(&self, broker_name: &str, now: Instant) -> bool {
        self.mapping().health().resume(broker_name, now)
    }

    /// The names of the brokers that routing uses now, sorted
    /// (`get_available_brokers`).
    #[must_use]
    pub fn available_brokers(&self) -> Vec<Arc<str>> {
        let health = self.mapping().health().all();
        let mut names = self.mapping().available_brokers();
        names.retain(|name| {
            health
                .iter()
                .any(|record| record.broker_name() == name && record.is_available())
        });
        names
    }

    /// The health records of a broker, one per address.
    #[must_use]
    pub fn broker_health_info(&self, broker_name: &str) -> Vec<BrokerHealthInfo> {
        self.all_broker_health()
            .into_iter()
            .filter(|info| info.broker_name.as_ref() == broker_name)
            .collect()
    }

    /// The health records of all brokers, sorted by name and address.
    #[must_use]
    pub fn all_broker_health(&self) -> Vec<BrokerHealthInfo> {
        let records = self.mapping().health().all();
        records.iter().map(|record| record.info()).collect()
    }

    fn counted(&self, result: Result<Routing, RoutingError>) -> Result<Routing, RoutingError> {
        match &result {
            Ok(routing) => {
                routing.broker().health().routed().count(routing.by);
            }
            Err(_) => self.shared.counters.count_failure(),
        }
        result
    }

    fn decide(
        &self,
        entry: &TopicEntry,
        request: &RouteRequest<'_>,
        now: Instant,
    ) -> Result<Routing, RoutingError> {
        let route = self.ready_route(entry, now)?;
        if let Some(queue) = request.queue {
            let index = route
                .position(queue)
                .ok_or_else(|| not_available(queue, QueueProblem::Unknown))?;
            return fixed(route, index, RoutedBy::GivenQueue, now);
        }
        if let Some((selector, argument)) = request.selector {
            let chosen = request
                .message
                .and_then(|message| selector.select(route.queues(), message, argument));
            return selected(route, selector.name(), chosen, now);
        }
        let strategy = request.strategy.unwrap_or_else(|| self.strategy());
        let hash = request.message.and_then(|message| match strategy {
            RoutingStrategy::MessageHash => message_hash(message),
            _ => message.sharding_key().map(java_hash_code),
        });
        if let Some(index) = hash.and_then(|hash| hash_index(hash, route.queues().len())) {
            let options = self.mapping().options();
            let index = match hash {
                Some(hash) => keyed_place(&route, index, hash, request.tried, options),
                None => index,
            };
            return fixed(route, index, RoutedBy::MessageHash, now);
        }
        let rule = Rule {
            tried: request.tried,
            balance: Balance::of(strategy, self.shared.avoidance),
            now,
            by: match strategy {
                RoutingStrategy::LeastLatency => RoutedBy::LeastLatency,
                RoutingStrategy::LeastLoad => RoutedBy::LeastLoad,
                RoutingStrategy::MessageHash | RoutingStrategy::Random => RoutedBy::Random,
                RoutingStrategy::RoundRobin => RoutedBy::RoundRobin,
            },
        };
        if strategy == RoutingStrategy::RoundRobin {
            self.any(route, rule, |count| entry.advance() % count.max(1))
        } else {
            self.any(route, rule, random_below)
        }
    }

    /// The entry's route, if there is a broker in it.
    fn ready_route(
        &self,
        entry: &TopicEntry,
        now: Instant,
    ) -> Result<Arc<RouteInfo>, RoutingError> {
        entry.touch(now);
        let Some(route) = entry.route() else {
            return Err(RoutingError::RouteRemoved {
                topic: Arc::clone(entry.topic()),
            });
        };
        if route.groups().is_empty() {
            return Err(RoutingError::nowhere(&route));
        }
        Ok(route)
    }

    /// Whether all brokers should be looked at for a probe that is due, rather than
    /// those drawn; true once per [`SCAN_INTERVAL`], however many messages there are.
    fn is_scan_due(&self, now: Instant) -> bool {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let at = nanos(now.saturating_duration_since(self.shared.created));
        let due = self.shared.next_scan.load(Ordering::Relaxed);
        at >= due
            && self
                .shared
                .next_scan
                .compare_exchange(
                    due,
                    at.saturating_add(nanos(SCAN_INTERVAL)),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// A queue for a message that may go anywhere.
    fn any(
        &self,
        route: Arc<RouteInfo>,
        rule: Rule<'_>,
        mut choose: impl FnMut(usize) -> usize,
    ) -> Result<Routing, RoutingError> {
        let Rule {
            tried,
            balance,
            now,
            by,
        } = rule;
        // With every broker in order, and that is nearly always, all queues are
        // equal and only the load of the drawn one is looked at.
        if tried.is_empty() && route.all_usable() && self.mapping().health().all_usable() {
            let index = choose(route.queues().len());
            if has_room(&route, index) {
                let index = balanced(&route, index, balance, |other| !is_full(other), now);
                return routing(route, index, by, false, now);
            }
        }
        let avoidance = self.shared.avoidance;
        let due = if tried.is_empty() && self.is_scan_due(now) {
            probe(&route, tried, avoidance, now)
        } else {
            None
        };
        let in_order = |group: &BrokerGroup| badness(group, tried, avoidance) == Some(0);
        let drawn = || {
            let drawn = draw(&route, tried, avoidance, now, &mut choose)?;
            if drawn.is_probe {
                return Some(drawn);
            }
            let index = balanced(&route, drawn.index, balance, in_order, now);
            Some(Pick { index, ..drawn })
        };
        let picked = due
            .or_else(drawn)
            .or_else(|| pick(&route, tried, avoidance));
        match picked {
            Some(pick) => routing(route, pick.index, by, pick.is_probe, now),
            None => Err(RoutingError::BrokersSuspended {
                topic: Arc::clone(route.topic()),
                brokers: route
                    .brokers()
                    .map(|broker| Arc::clone(broker.name()))
                    .collect(),
            }),
        }
    }
}

/// How a queue is chosen for a message that may go anywhere.
#[derive(Clone, Copy)]
struct Rule<'a> {
    tried: &'a [Arc<str>],
    balance: Balance,
    now: Instant,
    by: RoutedBy,
}

impl fmt::Debug for MessageRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageRouter")
            .field("strategy", &self.strategy())
            .field("mapping", self.mapping())
            .finish_non_exhaustive()
    }
}

fn selected(
    route: Arc<RouteInfo>,
    selector: &'static str,
    chosen: Option<usize>,
    now: Instant,
) -> Result<Routing, RoutingError> {
    match chosen {
        None => Err(RoutingError::SelectorRefused {
            selector,
            topic: Arc::clone(route.topic()),
        }),
        Some(index) if index >= route.queues().len() => Err(RoutingError::SelectorOutOfRange {
            selector,
            topic: Arc::clone(route.topic()),
            index,
            queues: route.queues().len(),
        }),
        Some(index) => fixed(route, index, RoutedBy::Selector(selector), now),
    }
}

/// That queue and no other, whatever the health of its broker, unless an operator
/// forbade it.
fn fixed(
    route: Arc<RouteInfo>,
    index: usize,
    by: RoutedBy,
    now: Instant,
) -> Result<Routing, RoutingError> {
    let suspended = route
        .queues()
        .get(index)
        .and_then(RoutedQueue::broker)
        .is_some_and(|broker| broker.health().verdict() == Verdict::Never);
    if suspended {
        let queue = route.queues()[index].queue();
        return Err(not_available(queue, QueueProblem::BrokerSuspended));
    }
    routing(route, index, by, false, now)
}

fn routing(
    route: Arc<RouteInfo>,
    index: usize,
    by: RoutedBy,
    is_probe: bool,
    now: Instant,
) -> Result<Routing, RoutingError> {
    let Some(routed) = route.queues().get(index) else {
        return Err(RoutingError::nowhere(&route));
    };
    match routed.target() {
        QueueTarget::Listed(broker) | QueueTarget::Vanished { broker, .. } => {
            let at = broker.health().nanos(now);
            let (Ok(index), Ok(group)) = (u32::try_from(index), u32::try_from(routed.group()))
            else {
                return Err(RoutingError::nowhere(&route));
            };
            Ok(Routing {
                route,
                index,
                group,
                by,
                is_probe,
                at,
            })
        }
        QueueTarget::Unavailable(reason) => Err(not_available(
            routed.queue(),
            QueueProblem::Excluded(*reason),
        )),
    }
}

#[cold]
fn not_available(queue: &MessageQueue, reason: QueueProblem) -> RoutingError {
    RoutingError::QueueNotAvailable {
        queue: Box::new(queue.clone()),
        reason,
    }
}

#[cfg(test)]
mod shares;
#[cfg(test)]
mod tests;
