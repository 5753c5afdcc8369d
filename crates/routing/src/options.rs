//! What a user may set about routing.

use std::time::Duration;

use crate::strategy::RoutingStrategy;

mod health;

pub use self::health::HealthOptions;

/// Whether queues without a sharding key are kept away from brokers in bad health.
///
/// Java: `sendLatencyEnable`, which is off there. It is on here, because a broker
/// that fails every attempt otherwise costs its share of all messages a retry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BrokerAvoidance {
    /// Health is recorded but not consulted, except for suspended brokers and for
    /// those that this send already tried.
    Disabled,
    /// Brokers in bad health are avoided while another one exists, and one that is
    /// clearly slower or busier than another gets less until it has caught up.
    #[default]
    Enabled,
}

/// What happens to a message with a sharding key whose queue cannot be used now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyedFailover {
    /// It goes to another queue, which all messages of the key then take until the broker is
    /// back. Messages of one key may overtake each other at both changes.
    Move,
    /// It keeps its queue, and fails while the broker is away. Order per key holds.
    #[default]
    Stay,
}

/// What happens to a topic that no name server knows.
///
/// Java always does what [`TopicCreation::UseDefaultTopic`] does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TopicCreation {
    /// Sending to it is an error.
    Refuse,
    /// The route of `TBW102` is used, so that a broker with
    /// `autoCreateTopicEnable=true` creates the topic with the first message. A
    /// warning names the topic, once.
    #[default]
    UseDefaultTopic,
}

/// Settings of the routing layer.
///
/// ```
/// use rocketmq_producer_routing::{RoutingOptions, RoutingStrategy};
/// use std::time::Duration;
///
/// let options = RoutingOptions::default()
///     .with_strategy(RoutingStrategy::Random)
///     .with_route_timeout(Duration::from_secs(60));
/// assert_eq!(options.route_timeout, Duration::from_secs(60));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RoutingOptions {
    /// Budget of one question to the name servers, over all their addresses.
    /// Default 3 s (Java: `mqClientApiTimeout`); at least 1 ms.
    pub name_server_timeout: Duration,
    /// Age from which a route counts as expired: using it starts a refresh in the
    /// background, and `clear_expired_routes` drops it. Default 30 s; above zero.
    pub route_timeout: Duration,
    /// Time between two refreshes of a known topic. Default 30 s (Java:
    /// `pollNameServerInterval`); at least 10 ms. Each wait is shortened at random
    /// by up to a tenth, so that producers do not poll in step.
    pub update_topic_route_info_interval: Duration,
    /// Time until known topics are asked for again after no name server answered.
    /// Default 30 s; at least 10 ms; jittered likewise.
    pub poll_name_server_interval: Duration,
    /// How long a broker that vanished from a route keeps its places in the key
    /// ring of the topic. Default 10 min; zero gives them up at once, so that keys
    /// move as Java's do.
    pub route_retention: Duration,
    /// How long "no such topic" is answered from memory. Default 500 ms, at most
    /// [`RoutingOptions::MAX_UNKNOWN_TOPIC_TTL`]; zero asks every time.
    pub unknown_topic_ttl: Duration,
    /// Least time between two refreshes of one topic that failed sends asked for.
    /// Default 200 ms; zero for no bound.
    pub refresh_hint_interval: Duration,
    /// Time between two refreshes of a topic while one of its brokers has vanished from
    /// the route or is suspect. Default 1 s; at least 10 ms. At most 16 topics a second
    /// are asked for, the ones used last and others in turn.
    pub recovery_refresh_interval: Duration,
    /// How long after such trouble began it lasts; later the topic is refreshed as any
    /// other. Default 5 min; zero for never.
    pub recovery_phase: Duration,
    /// Topics kept in the cache; beyond it the longest unused is dropped. Default
    /// 10 000; at least 1.
    pub max_topics: usize,
    /// Queues asked for when a broker creates a topic on demand. Default 4 (Java:
    /// `defaultTopicQueueNums`); 1 to 65 535.
    pub default_topic_queue_nums: u32,
    /// What happens to an unknown topic. Default as Java's: the route of `TBW102`.
    pub topic_creation: TopicCreation,
    /// How a queue is chosen when nothing else decides. Default round robin.
    pub strategy: RoutingStrategy,
    /// Whether brokers in bad health are avoided. Default enabled.
    pub broker_avoidance: BrokerAvoidance,
    /// Whether a message with a sharding key may leave its queue while the queue's broker is
    /// out. Default [`KeyedFailover::Stay`].
    pub keyed_failover: KeyedFailover,
    /// When health changes.
    pub health: HealthOptions,
    /// Sends that may be under way at once, of which each broker may hold its
    /// [`broker_share`](Self::broker_share). Default 10 000; at least 1. The bound
    /// itself is the caller's to keep.
    pub in_flight_limit: usize,
    /// Bytes of messages that may be under way at once, shared out likewise. Default
    /// 256 MiB; at least 1.
    pub in_flight_bytes_limit: u64,
    /// The part of the two limits that one broker may hold while another one in order
    /// exists, so that a broker that stops answering cannot take every place. Default
    /// 0.5; 0 to 1, where 1 is off. Messages without a key go to other brokers then,
    /// and those that are bound to a queue wait for room.
    pub broker_share: f64,
    /// Time between two rounds in which avoided brokers are asked for a sign of life,
    /// so that they come back without the trial of a user's message; none is tried out
    /// with messages then. Default off; at least 10 ms. Used by
    /// [`MessageRouter::start_detector`](crate::MessageRouter::start_detector).
    pub active_detector: Option<Duration>,
    /// Time after which the routing statistics start again from zero. Default
    /// never; at least 1 s.
    pub stats_reset_interval: Option<Duration>,
}

impl RoutingOptions {
    /// The longest time for which "no such topic" may be remembered.
    pub const MAX_UNKNOWN_TOPIC_TTL: Duration = Duration::from_secs(5);
    /// The shortest interval of a background task.
    pub const MIN_INTERVAL: Duration = Duration::from_millis(10);
    /// The largest number of queues a broker accepts for one topic.
    pub const MAX_TOPIC_QUEUE_NUMS: u32 = 65_535;
    /// The shortest interval between two resets of the statistics.
    pub const MIN_STATS_RESET_INTERVAL: Duration = Duration::from_secs(1);

    /// Sets [`name_server_timeout`](Self::name_server_timeout); raised to 1 ms.
    #[must_use]
    pub fn with_name_server_timeout(mut self, timeout: Duration) -> Self {
        self.name_server_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// Sets [`route_timeout`](Self::route_timeout); raised to 1 ms.
    #[must_use]
    pub fn with_route_timeout(mut self, timeout: Duration) -> Self {
        self.route_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// Sets [`update_topic_route_info_interval`](Self::update_topic_route_info_interval);
    /// raised to 10 ms.
    #[must_use]
    pub fn with_update_topic_route_info_interval(mut self, interval: Duration) -> Self {
        self.update_topic_route_info_interval = interval.max(Self::MIN_INTERVAL);
        self
    }

    /// Sets [`poll_name_server_interval`](Self::poll_name_server_interval); raised
    /// to 10 ms.
    #[must_use]
    pub fn with_poll_name_server_interval(mut self, interval: Duration) -> Self {
        self.poll_name_server_interval = interval.max(Self::MIN_INTERVAL);
        self
    }

    /// Sets [`route_retention`](Self::route_retention).
    #[must_use]
    pub fn with_route_retention(mut self, retention: Duration) -> Self {
        self.route_retention = retention;
        self
    }

    /// Sets [`unknown_topic_ttl`](Self::unknown_topic_ttl); lowered to
    /// [`MAX_UNKNOWN_TOPIC_TTL`](Self::MAX_UNKNOWN_TOPIC_TTL).
    #[must_use]
    pub fn with_unknown_topic_ttl(mut self, ttl: Duration) -> Self {
        self.unknown_topic_ttl = ttl.min(Self::MAX_UNKNOWN_TOPIC_TTL);
        self
    }

    /// Sets [`refresh_hint_interval`](Self::refresh_hint_interval).
    #[must_use]
    pub fn with_refresh_hint_interval(mut self, interval: Duration) -> Self {
        self.refresh_hint_interval = interval;
        self
    }

    /// Sets [`recovery_refresh_interval`](Self::recovery_refresh_interval); raised to
    /// 10 ms.
    #[must_use]
    pub fn with_recovery_refresh_interval(mut self, interval: Duration) -> Self {
        self.recovery_refresh_interval = interval.max(Self::MIN_INTERVAL);
        self
    }

    /// Sets [`recovery_phase`](Self::recovery_phase).
    #[must_use]
    pub fn with_recovery_phase(mut self, phase: Duration) -> Self {
        self.recovery_phase = phase;
        self
    }

    /// Sets [`max_topics`](Self::max_topics); raised to 1.
    #[must_use]
    pub fn with_max_topics(mut self, topics: usize) -> Self {
        self.max_topics = topics.max(1);
        self
    }

    /// Sets [`default_topic_queue_nums`](Self::default_topic_queue_nums); brought
    /// into 1 to 65 535.
    #[must_use]
    pub fn with_default_topic_queue_nums(mut self, queues: u32) -> Self {
        self.default_topic_queue_nums = queues.clamp(1, Self::MAX_TOPIC_QUEUE_NUMS);
        self
    }

    /// Sets [`topic_creation`](Self::topic_creation).
    #[must_use]
    pub fn with_topic_creation(mut self, creation: TopicCreation) -> Self {
        self.topic_creation = creation;
        self
    }

    /// Sets [`strategy`](Self::strategy).
    #[must_use]
    pub fn with_strategy(mut self, strategy: RoutingStrategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Sets [`broker_avoidance`](Self::broker_avoidance).
    #[must_use]
    pub fn with_broker_avoidance(mut self, avoidance: BrokerAvoidance) -> Self {
        self.broker_avoidance = avoidance;
        self
    }

    /// Sets [`keyed_failover`](Self::keyed_failover).
    #[must_use]
    pub fn with_keyed_failover(mut self, failover: KeyedFailover) -> Self {
        self.keyed_failover = failover;
        self
    }

    /// Sets [`health`](Self::health).
    #[must_use]
    pub fn with_health(mut self, health: HealthOptions) -> Self {
        self.health = health;
        self
    }

    /// Sets [`stats_reset_interval`](Self::stats_reset_interval); raised to 1 s.
    #[must_use]
    pub fn with_stats_reset_interval(mut self, interval: Option<Duration>) -> Self {
        self.stats_reset_interval =
            interval.map(|interval| interval.max(Self::MIN_STATS_RESET_INTERVAL));
        self
    }

    /// Sets [`in_flight_limit`](Self::in_flight_limit) and
    /// [`in_flight_bytes_limit`](Self::in_flight_bytes_limit); each raised to 1.
    #[must_use]
    pub fn with_in_flight_limits(mut self, sends: usize, bytes: u64) -> Self {
        self.in_flight_limit = sends.max(1);
        self.in_flight_bytes_limit = bytes.max(1);
        self
    }

    /// Sets [`broker_share`](Self::broker_share); brought into 0 to 1, where not a
    /// number counts as 1.
    #[must_use]
    pub fn with_broker_share(mut self, share: f64) -> Self {
        self.broker_share = if share.is_nan() {
            1.0
        } else {
            share.clamp(0.0, 1.0)
        };
        self
    }

    /// Sets [`active_detector`](Self::active_detector); raised to 10 ms.
    #[must_use]
    pub fn with_active_detector(mut self, interval: Option<Duration>) -> Self {
        self.active_detector = interval.map(|interval| interval.max(Self::MIN_INTERVAL));
        self
    }
}

impl Default for RoutingOptions {
    fn default() -> Self {
        Self {
            name_server_timeout: Duration::from_secs(3),
            route_timeout: Duration::from_secs(30),
            update_topic_route_info_interval: Duration::from_secs(30),
            poll_name_server_interval: Duration::from_secs(30),
            route_retention: Duration::from_secs(600),
            unknown_topic_ttl: Duration::from_millis(500),
            refresh_hint_interval: Duration::from_millis(200),
            recovery_refresh_interval: Duration::from_secs(1),
            recovery_phase: Duration::from_secs(300),
            max_topics: 10_000,
            default_topic_queue_nums: 4,
            topic_creation: TopicCreation::default(),
            strategy: RoutingStrategy::default(),
            broker_avoidance: BrokerAvoidance::default(),
            keyed_failover: KeyedFailover::default(),
            health: HealthOptions::default(),
            stats_reset_interval: None,
            in_flight_limit: 10_000,
            in_flight_bytes_limit: 256 << 20,
            broker_share: 0.5,
            active_detector: None,
        }
    }
}
