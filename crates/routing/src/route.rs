//! The route of a topic, prepared for choosing queues.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rocketmq_producer_remoting::protocol::{Permission, TopicRouteData};
use tokio::time::Instant;

use crate::{
    broker::Broker,
    queue::{MessageQueue, QueuePlace},
};

pub(crate) mod merge;
mod queue_list;

/// A queue of the key ring and where messages for it go.
#[derive(Clone, Debug)]
pub struct RoutedQueue {
    place: Arc<QueuePlace>,
    target: QueueTarget,
    /// Place of its broker's group in the route; meaningful where there is a broker.
    group: usize,
}

/// Where messages for a queue go.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum QueueTarget {
    /// To the master that the route names.
    Listed(Arc<Broker>),
    /// Nowhere at present.
    Unavailable(ExclusionReason),
    /// To a broker that the route named until it vanished from it. Sends without a
    /// key go elsewhere while they can.
    Vanished {
        /// The broker, at its last address.
        broker: Arc<Broker>,
        /// When it was first missing.
        since: Instant,
    },
}

impl RoutedQueue {
    /// A queue with its target, for tests of selectors.
    #[must_use]
    pub fn new(queue: MessageQueue, target: QueueTarget) -> Self {
        let (broker, address) = match &target {
            QueueTarget::Listed(broker) | QueueTarget::Vanished { broker, .. } => {
                (Arc::clone(broker.name()), Arc::clone(broker.address()))
            }
            QueueTarget::Unavailable(_) => (Arc::clone(queue.broker_name()), Arc::default()),
        };
        Self {
            place: Arc::new(QueuePlace::new(queue, broker, address)),
            target,
            group: 0,
        }
    }

    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &MessageQueue {
        self.place.queue()
    }

    /// The queue and its broker as names.
    #[must_use]
    pub fn place(&self) -> &Arc<QueuePlace> {
        &self.place
    }

    /// Where messages for it go.
    #[must_use]
    pub fn target(&self) -> &QueueTarget {
        &self.target
    }

    /// The broker that serves it, or served it when last seen.
    #[must_use]
    pub fn broker(&self) -> Option<&Arc<Broker>> {
        match &self.target {
            QueueTarget::Listed(broker) | QueueTarget::Vanished { broker, .. } => Some(broker),
            QueueTarget::Unavailable(_) => None,
        }
    }

    /// Whether the present route names a master for it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        matches!(self.target, QueueTarget::Listed(_))
    }

    pub(crate) fn group(&self) -> usize {
        self.group
    }

    fn vanished_since(&self) -> Option<Instant> {
        match self.target {
            QueueTarget::Vanished { since, .. } => Some(since),
            _ => None,
        }
    }
}

/// Why nothing can be sent to a queue that a route mentions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExclusionReason {
    /// The route lists queues of a broker that it does not describe.
    BrokerUnknown,
    /// A piece of the order configuration is not `broker:queues`, or asks for too
    /// many queues.
    InvalidOrderConfiguration,
    /// The broker has no master at present.
    NoMaster,
    /// The broker has no queue for writing.
    NoQueues,
    /// No broker serves this logical queue of a static topic.
    NotMapped,
    /// The topic may not be written to on that broker.
    NotWritable,
}

impl fmt::Display for ExclusionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BrokerUnknown => "broker unknown",
            Self::InvalidOrderConfiguration => "order configuration invalid",
            Self::NoMaster => "no master",
            Self::NoQueues => "no queue for writing",
            Self::NotMapped => "logical queue not mapped",
            Self::NotWritable => "not writable",
        })
    }
}

/// An entry of a route that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExcludedQueues {
    /// The broker's name, or the text of a broken order configuration.
    pub broker_name: Arc<str>,
    /// How many queues for writing the entry stands for.
    pub queues: u32,
    /// The topic's permission on that broker, where the route tells it.
    pub permission: Option<Permission>,
    /// Why.
    pub reason: ExclusionReason,
}

impl fmt::Display for ExcludedQueues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.broker_name, self.reason)?;
        match self.permission {
            Some(permission) if self.reason == ExclusionReason::NotWritable => {
                write!(f, " (permission {permission})")
            }
            _ => Ok(()),
        }
    }
}

/// By which rule the queue list was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RouteKind {
    /// The order configuration of the name server gives brokers and queue counts.
    Ordered,
    /// The writable queues of every broker with a master, sorted by broker name.
    Plain,
    /// Logical queues mapped to brokers.
    StaticTopic,
}

/// Whose route it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RouteOrigin {
    /// That of `TBW102`: the topic does not exist yet.
    DefaultTopic,
    /// The topic's own.
    Topic,
}

/// The queues of one broker in a ring, so that routing looks at each broker once.
#[derive(Debug)]
pub(crate) struct BrokerGroup {
    pub(crate) broker: Arc<Broker>,
    pub(crate) vanished: bool,
    /// Places in the ring.
    pub(crate) queues: Box<[u32]>,
}

/// The route of a topic: its queues, made once per change of the route, and never
/// per send.
#[derive(Debug)]
pub struct RouteInfo {
    topic: Arc<str>,
    kind: RouteKind,
    origin: RouteOrigin,
    generation: u64,
    created: Instant,
    /// Nanoseconds after `created` at which a name server last confirmed it.
    confirmed: AtomicU64,
    data: Arc<TopicRouteData>,
    ring: Box<[RoutedQueue]>,
    groups: Box<[BrokerGroup]>,
    all_usable: bool,
    excluded: Arc<[ExcludedQueues]>,
}

/// The parts of a [`RouteInfo`] that a merge decides on.
#[derive(Debug)]
pub(crate) struct RouteParts {
    pub(crate) topic: Arc<str>,
    pub(crate) kind: RouteKind,
    pub(crate) origin: RouteOrigin,
    pub(crate) generation: u64,
    pub(crate) data: Arc<TopicRouteData>,
    pub(crate) ring: Vec<RoutedQueue>,
    pub(crate) excluded: Vec<ExcludedQueues>,
}

impl RouteInfo {
    pub(crate) fn new(mut parts: RouteParts, now: Instant) -> Self {
        let groups = group_by_broker(&mut parts.ring);
        let all_usable = parts.ring.iter().all(RoutedQueue::is_usable);
        Self {
            topic: parts.topic,
            kind: parts.kind,
            origin: parts.origin,
            generation: parts.generation,
            created: now,
            confirmed: AtomicU64::new(0),
            data: parts.data,
            ring: parts.ring.into_boxed_slice(),
            groups,
            all_usable,
            excluded: parts.excluded.into(),
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// By which rule the queue list was made.
    #[must_use]
    pub fn kind(&self) -> RouteKind {
        self.kind
    }

    /// Whether it is the topic's own route or that of `TBW102`.
    #[must_use]
    pub fn origin(&self) -> RouteOrigin {
        self.origin
    }

    /// Grows with each change of the topic's route.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When a name server last gave or confirmed it.
    #[must_use]
    pub fn fetched_at(&self) -> Instant {
        self.created + Duration::from_nanos(self.confirmed.load(Ordering::Relaxed))
    }

    /// How old it is at `now`; grows while no name server answers.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.fetched_at())
    }

    /// The route as the name server told it last.
    #[must_use]
    pub fn data(&self) -> &Arc<TopicRouteData> {
        &self.data
    }

    /// The key ring: the last complete queue list, brokers that vanished lately
    /// included. Sends with a key are spread over all of it.
    #[must_use]
    pub fn queues(&self) -> &[RoutedQueue] {
        &self.ring
    }

    /// The queues that the present route allows to write to.
    pub fn usable_queues(&self) -> impl Iterator<Item = &RoutedQueue> {
        self.ring.iter().filter(|queue| queue.is_usable())
    }

    /// The brokers of the ring, those that vanished lately included.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<Broker>> {
        self.groups.iter().map(|group| &group.broker)
    }

    /// The brokers that the present route names.
    pub fn usable_brokers(&self) -> impl Iterator<Item = &Arc<Broker>> {
        let listed = self.groups.iter().filter(|group| !group.vanished);
        listed.map(|group| &group.broker)
    }

    /// What the name server mentions and routing cannot use, with the reasons.
    #[must_use]
    pub fn excluded(&self) -> &Arc<[ExcludedQueues]> {
        &self.excluded
    }

    /// Whether some broker of the ring vanished from the route.
    #[must_use]
    pub fn has_vanished(&self) -> bool {
        self.groups.iter().any(|group| group.vanished)
    }

    /// The place of a queue in the ring.
    #[must_use]
    pub fn position(&self, queue: &MessageQueue) -> Option<usize> {
        self.ring.iter().position(|routed| routed.queue() == queue)
    }

    pub(crate) fn groups(&self) -> &[BrokerGroup] {
        &self.groups
    }

    /// Whether the present route names a master for every queue of the ring.
    pub(crate) fn all_usable(&self) -> bool {
        self.all_usable
    }

    /// Whether both differ in nothing but age and generation.
    pub(crate) fn says_the_same_as(&self, other: &Self) -> bool {
        let is_same = |(one, other): (&RoutedQueue, &RoutedQueue)| {
            let same_target = match (&one.target, &other.target) {
                (QueueTarget::Listed(one), QueueTarget::Listed(other)) => Arc::ptr_eq(one, other),
                (QueueTarget::Unavailable(one), QueueTarget::Unavailable(other)) => one == other,
                (
                    QueueTarget::Vanished { broker, since },
                    QueueTarget::Vanished {
                        broker: other,
                        since: other_since,
                    },
                ) => Arc::ptr_eq(broker, other) && since == other_since,
                _ => false,
            };
            same_target && one.queue() == other.queue()
        };
        self.kind == other.kind
            && self.origin == other.origin
            && self.ring.len() == other.ring.len()
            && self.ring.iter().zip(&other.ring).all(is_same)
            && self.excluded == other.excluded
            && self.data == other.data
    }

    pub(crate) fn confirm(&self, now: Instant) {
        self.confirmed.fetch_max(
            crate::nanos::nanos_since(self.created, now),
            Ordering::Relaxed,
        );
    }
}

fn group_by_broker(ring: &mut [RoutedQueue]) -> Box<[BrokerGroup]> {
    let mut groups: Vec<(Arc<Broker>, bool, Vec<u32>)> = Vec::new();
    let mut places: HashMap<(*const Broker, bool), usize> = HashMap::new();
    for (index, queue) in (0_u32..).zip(ring) {
        let Some(broker) = queue.broker() else {
            continue;
        };
        let vanished = queue.vanished_since().is_some();
        let place = *places
            .entry((Arc::as_ptr(broker), vanished))
            .or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, _, queues)) => queues.push(index),
            None => groups.push((Arc::clone(broker), vanished, vec![index])),
        }
        queue.group = place;
    }
    groups
        .into_iter()
        .map(|(broker, vanished, queues)| BrokerGroup {
            broker,
            vanished,
            queues: queues.into_boxed_slice(),
        })
        .collect()
}
