//! The cache of topic routes.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use dashmap::{DashMap, mapref::entry::Entry};
use rocketmq_producer_remoting::{ConnectionPool, Message, protocol::TopicRouteData};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::entry::Outcome;
use crate::{
    auto_create::CreationWarnings,
    error::RoutingError,
    health::BrokerRegistry,
    name_server::RouteSource,
    options::RoutingOptions,
    queue::MessageQueue,
    route::{
        RouteInfo, RouteOrigin, RoutedQueue,
        merge::{News, merge},
    },
    selector::{QueueSelector, RoundRobinSelector, SelectorArgument},
};

mod entry;
mod hashing;
mod pace;
mod poll;
mod recovery;
mod refresh;
mod settings;
mod wait;

pub use self::entry::TopicEntry;
pub use self::hashing::{TopicHasher, TopicHashing};
use self::{entry::Scope, pace::Pace, settings::Settings};

/// Refreshes a second that were begun for a failed send or an expired route, all topics
/// together: with a thousand topics on one broker each of them would ask otherwise.
const BACKGROUND_PER_SECOND: u32 = 64;

/// The cache of topic routes, kept fresh in the background.
///
/// * Reading is one look-up in a sharded map and one atomic load; whoever keeps the
///   [`TopicEntry`] saves the look-up.
/// * Of one topic one refresh runs at a time; whoever wants it meanwhile waits for
///   that one. It belongs to no caller: one that gives up does not stop it.
/// * A known route is served, with its age visible, while no name server answers.
/// * At most [`RoutingOptions::max_topics`] topics are kept; the longest unused goes.
///
/// Clones share the cache. Tasks run on the tracker handed in and end with the
/// token.
#[derive(Clone)]
pub struct TopicBrokerMapping {
    shared: Arc<Shared>,
}

struct Shared {
    source: Arc<dyn RouteSource>,
    options: RoutingOptions,
    settings: Settings,
    topics: DashMap<Arc<str>, Arc<TopicEntry>, TopicHashing>,
    health: Arc<BrokerRegistry>,
    pool: ConnectionPool,
    warnings: CreationWarnings,
    selector: RoundRobinSelector,
    pace: Pace,
    /// Whether no name server answered the last question.
    unreachable: AtomicBool,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

/// What [`TopicBrokerMapping::select_queue`] chose.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SelectionResult {
    /// The queue with its broker.
    pub queue: RoutedQueue,
    /// The selector that chose it.
    pub selector: &'static str,
}

impl SelectionResult {
    /// The chosen queue.
    #[must_use]
    pub fn message_queue(&self) -> &MessageQueue {
        self.queue.queue()
    }
}

/// How much the cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Topics with a route.
    pub topics: usize,
    /// Different brokers in those routes.
    pub brokers: usize,
    /// Queues in those routes.
    pub queues: usize,
    /// Age of the route that no name server has confirmed for the longest time; grows
    /// while they are down. Zero without a route.
    pub oldest: Duration,
}

impl TopicBrokerMapping {
    /// An empty cache over `source`. Does no I/O and starts no task.
    ///
    /// Brokers get their records from `registry`, of which each mapping has its own,
    /// and their places among connections from `pool`.
    ///
    /// Refreshes run as tasks of `tasks`, on the runtime of the caller that asks for
    /// one first, until `cancel` is cancelled.
    #[must_use]
    pub fn new(
        source: Arc<dyn RouteSource>,
        options: RoutingOptions,
        registry: Arc<BrokerRegistry>,
        pool: ConnectionPool,
        tasks: TaskTracker,
        cancel: CancellationToken,
    ) -> Self {
        registry.set_share(&options);
        Self {
            shared: Arc::new(Shared {
                settings: Settings::new(&options),
                source,
                options,
                topics: DashMap::with_hasher(TopicHashing::default()),
                health: registry,
                pool,
                warnings: CreationWarnings::default(),
                selector: RoundRobinSelector::new(),
                pace: Pace::new(BACKGROUND_PER_SECOND),
                unreachable: AtomicBool::new(false),
                tasks,
                cancel,
            }),
        }
    }

    /// The options it was made with.
    #[must_use]
    pub fn options(&self) -> &RoutingOptions {
        &self.shared.options
    }

    /// The topic with a route: from the cache, else from the name servers.
    ///
    /// An expired route is returned as it is, and a refresh begins in the
    /// background.
    ///
    /// # Errors
    /// [`RoutingError::TopicNotFound`], [`RoutingError::NameServer`],
    /// [`RoutingError::DeadlineExceeded`] or [`RoutingError::Closed`].
    ///
    /// # Cancel safety
    /// Safe: the refresh under way goes on for others.
    pub async fn topic(
        &self,
        topic: &str,
        deadline: Instant,
    ) -> Result<Arc<TopicEntry>, RoutingError> {
        loop {
            let now = Instant::now();
            let entry = self.entry(topic, now);
            entry.touch(now);
            if let Some(route) = entry.route() {
                let timeout = self.route_timeout();
                let pause = timeout.min(self.shared.options.refresh_hint_interval);
                if route.age(now) >= timeout && !entry.asked_within(pause, now) {
                    // Nobody waits for it.
                    self.begin_in_background(&entry, now);
                }
                return Ok(entry);
            }
            if let Some(error) = self.remembered_not_found(&entry, now) {
                return Err(error);
            }
            self.wait_for_refresh(&entry, Scope::Options, deadline)
                .await?;
            if entry.route().is_some() {
                return Ok(entry);
            }
            // Removed from the cache while we waited: begin again with a new entry.
            if Instant::now() >= deadline {
                return Err(self.late(&entry));
            }
        }
    }

    /// The topic if its route is cached and not expired: what [`topic`](Self::topic) mostly
    /// finds, without an await.
    #[must_use]
    pub fn ready(&self, topic: &str, now: Instant) -> Option<Arc<TopicEntry>> {
        let entry = self.shared.topics.get(topic)?;
        entry.has_route_within(self.route_timeout(), now).then(|| {
            entry.touch(now);
            Arc::clone(&entry)
        })
    }

    /// The topic if its route is cached, however old.
    #[must_use]
    pub fn cached(&self, topic: &str) -> Option<Arc<TopicEntry>> {
        let entry = self.shared.topics.get(topic)?;
        entry.route()?;
        Some(Arc::clone(&entry))
    }

    /// The queues of a topic that can be sent to (`get_available_queues`).
    ///
    /// # Errors
    /// As [`topic`](Self::topic).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn available_queues(
        &self,
        topic: &str,
        deadline: Instant,
    ) -> Result<Vec<RoutedQueue>, RoutingError> {
        let entry = self.topic(topic, deadline).await?;
        let route = entry.route();
        Ok(route.map_or_else(Vec::new, |route| route.usable_queues().cloned().collect()))
    }

    /// Puts a route into the cache as if a name server had just given it
    /// (`update_route_info`). Brokers that are missing from it count as vanished.
    pub fn update_route_info(&self, topic: &str, data: TopicRouteData) -> Arc<RouteInfo> {
        let now = Instant::now();
        let entry = self.entry(topic, now);
        let mut refresh = entry.refresh();
        refresh.body = None;
        refresh.not_found = None;
        let old = entry.route();
        let origin = RouteOrigin::Topic;
        let route = self.merged(&entry, old.as_deref(), Some(Arc::new(data)), origin, now);
        entry.store(&refresh, Arc::clone(&route));
        route
    }

    /// Removes the routes that no name server has confirmed for `timeout`, by
    /// default the route timeout, and says how many (`clear_expired_routes`).
    ///
    /// Nothing calls this by itself: an old route is better than none.
    pub fn clear_expired_routes(&self, timeout: Option<Duration>) -> usize {
        let now = Instant::now();
        let timeout = timeout.unwrap_or_else(|| self.route_timeout());
        self.remove_where(|entry| entry.route().is_some_and(|route| route.age(now) >= timeout))
    }

    /// Chooses a queue of a topic (`select_queue`): with the selector given, else by
    /// hash for a message with a sharding key, else in turn. Health is not
    /// consulted; [`MessageRouter`](crate::MessageRouter) does that.
    ///
    /// # Errors
    /// As [`topic`](Self::topic); further [`RoutingError::SelectorRefused`] and
    /// [`RoutingError::SelectorOutOfRange`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn select_queue(
        &self,
        topic: &str,
        message: &Message,
        selector: Option<&dyn QueueSelector>,
        deadline: Instant,
    ) -> Result<SelectionResult, RoutingError> {
        let entry = self.topic(topic, deadline).await?;
        let hash = crate::selector::MessageHashSelector::new();
        let selector = match selector {
            Some(selector) => selector,
            None if message.sharding_key().is_some() => &hash,
            None => &self.shared.selector,
        };
        let route = entry.route();
        let ring = route.as_deref().map_or(&[][..], RouteInfo::queues);
        let index = selector
            .select(ring, message, &SelectorArgument::None)
            .ok_or_else(|| RoutingError::SelectorRefused {
                selector: selector.name(),
                topic: Arc::clone(entry.topic()),
            })?;
        let queue = ring
            .get(index)
            .cloned()
            .ok_or_else(|| RoutingError::SelectorOutOfRange {
                selector: selector.name(),
                topic: Arc::clone(entry.topic()),
                index,
                queues: ring.len(),
            })?;
        Ok(SelectionResult {
            queue,
            selector: selector.name(),
        })
    }

    /// The cached route of a topic, however old (`get_route_info`).
    #[must_use]
    pub fn route_info(&self, topic: &str) -> Option<Arc<RouteInfo>> {
        self.shared.topics.get(topic)?.route()
    }

    /// Forgets a topic; returns whether it had a route (`remove_route_info`).
    pub fn remove_route_info(&self, topic: &str) -> bool {
        let Some((_, entry)) = self.shared.topics.remove(topic) else {
            return false;
        };
        let had_route = entry.route().is_some();
        entry.remove();
        self.shared.health.prune();
        had_route
    }

    /// Asks the name servers for a topic now, or joins the question under way
    /// (`force_refresh`).
    ///
    /// # Errors
    /// As [`topic`](Self::topic). A cached route stays as it was then.
    ///
    /// # Cancel safety
    /// Safe: the refresh goes on.
    pub async fn force_refresh(
        &self,
        topic: &str,
        deadline: Instant,
    ) -> Result<Arc<RouteInfo>, RoutingError> {
        let entry = self.entry(topic, Instant::now());
        self.wait_for_refresh(&entry, Scope::Options, deadline)
            .await
    }

    /// Starts a refresh in the background because a send with that route failed.
    ///
    /// Nothing happens if the route has changed since `generation` or was asked for
    /// within [`RoutingOptions::refresh_hint_interval`], or if 64 topics were asked for in
    /// this way within a second. Returns whether one is now under way.
    pub fn hint_refresh(&self, entry: &Arc<TopicEntry>, generation: u64, now: Instant) -> bool {
        let is_current = entry
            .route()
            .is_some_and(|route| route.generation() == generation);
        let asked_lately = entry.asked_within(self.shared.options.refresh_hint_interval, now);
        is_current && !asked_lately && self.begin_in_background(entry, now)
    }

    /// Every topic with a route, sorted (`get_all_topics`).
    #[must_use]
    pub fn all_topics(&self) -> Vec<Arc<str>> {
        let mut topics: Vec<_> = self
            .entries()
            .into_iter()
            .filter(|entry| entry.route().is_some())
            .map(|entry| Arc::clone(entry.topic()))
            .collect();
        topics.sort();
        topics
    }

    /// The names of the brokers in the cached routes, sorted
    /// (`get_available_brokers`). Those that vanished are left out.
    #[must_use]
    pub fn available_brokers(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = Vec::new();
        for route in self.routes() {
            let listed = route.groups().iter().filter(|group| !group.vanished);
            names.extend(listed.map(|group| Arc::clone(group.broker.name())));
        }
        names.sort();
        names.dedup();
        names
    }

    /// The addresses of all brokers in the cached routes, sorted; what heartbeats go
    /// to. Those that vanished are part of it: they may come back.
    #[must_use]
    pub fn broker_addresses(&self) -> Vec<Arc<str>> {
        let mut addresses: Vec<Arc<str>> = Vec::new();
        for route in self.routes() {
            addresses.extend(route.brokers().map(|broker| Arc::clone(broker.address())));
        }
        addresses.sort();
        addresses.dedup();
        addresses
    }

    /// How much the cache holds (`get_cache_stats`).
    #[must_use]
    pub fn cache_stats(&self) -> CacheStats {
        let routes = self.routes();
        let now = Instant::now();
        CacheStats {
            oldest: routes
                .iter()
                .map(|route| route.age(now))
                .max()
                .unwrap_or_default(),
            topics: routes.len(),
            brokers: self.available_brokers().len(),
            queues: routes
                .iter()
                .map(|route| route.usable_queues().count())
                .sum(),
        }
    }

    /// Whether the last question to the name servers was answered by one of them, be it
    /// with "no such topic". While they are not reachable the routes known stay in use.
    /// True before the first question.
    #[must_use]
    pub fn is_name_server_reachable(&self) -> bool {
        !self.is_unreachable()
    }

    /// The age from which a route counts as expired.
    #[must_use]
    pub fn route_timeout(&self) -> Duration {
        self.shared.settings.route_timeout()
    }

    /// Changes the route timeout (`set_route_timeout`). Returns `false`, and changes
    /// nothing, for zero.
    pub fn set_route_timeout(&self, timeout: Duration) -> bool {
        self.shared.settings.set_route_timeout(timeout)
    }

    /// The health records of all brokers.
    #[must_use]
    pub fn registry(&self) -> &Arc<BrokerRegistry> {
        &self.shared.health
    }

    pub(crate) fn health(&self) -> &Arc<BrokerRegistry> {
        &self.shared.health
    }

    pub(crate) fn tasks(&self) -> (&TaskTracker, &CancellationToken) {
        (&self.shared.tasks, &self.shared.cancel)
    }

    /// Every entry, those without a route included.
    pub(crate) fn entries(&self) -> Vec<Arc<TopicEntry>> {
        self.shared
            .topics
            .iter()
            .map(|entry| Arc::clone(entry.value()))
            .collect()
    }

    fn routes(&self) -> Vec<Arc<RouteInfo>> {
        self.entries()
            .into_iter()
            .filter_map(|entry| entry.route())
            .collect()
    }

    /// The entry of a topic, made if there is none.
    fn entry(&self, topic: &str, now: Instant) -> Arc<TopicEntry> {
        if let Some(entry) = self.shared.topics.get(topic) {
            return Arc::clone(&entry);
        }
        self.make_room();
        let topic: Arc<str> = Arc::from(topic);
        match self.shared.topics.entry(Arc::clone(&topic)) {
            Entry::Occupied(entry) => Arc::clone(entry.get()),
            Entry::Vacant(vacant) => {
                let entry = Arc::new(TopicEntry::new(topic, self.shared.health.epoch()));
                entry.touch(now);
                Arc::clone(&vacant.insert(entry))
            }
        }
    }

    /// Evicts before a topic is added: first those without a route, then the longest
    /// unused. A sixteenth goes at once, so that the search is paid rarely.
    fn make_room(&self) {
        let bound = self.shared.options.max_topics.max(1);
        let len = self.shared.topics.len();
        if len < bound {
            return;
        }
        let mut entries = self.entries();
        entries.sort_by_cached_key(|entry| (entry.route().is_some(), entry.last_used()));
        let surplus = (len + 1).saturating_sub(bound).max(bound / 16);
        for entry in entries.into_iter().take(surplus) {
            tracing::debug!(topic = %entry.topic(), "topic evicted from the route cache");
            self.shared
                .topics
                .remove_if(entry.topic(), |_, known| Arc::ptr_eq(known, &entry));
            entry.remove();
        }
        self.shared.health.prune();
    }

    fn remove_where(&self, remove: impl Fn(&TopicEntry) -> bool) -> usize {
        let mut removed = 0;
        self.shared.topics.retain(|_, entry| {
            let goes = remove(entry);
            if goes {
                entry.remove();
                removed += 1;
            }
            !goes
        });
        if removed > 0 {
            self.shared.health.prune();
        }
        removed
    }

    fn merged(
        &self,
        entry: &TopicEntry,
        old: Option<&RouteInfo>,
        data: Option<Arc<TopicRouteData>>,
        origin: RouteOrigin,
        now: Instant,
    ) -> Arc<RouteInfo> {
        let news = News {
            topic: entry.topic(),
            old,
            data,
            origin,
            now,
            retention: self.shared.options.route_retention,
        };
        Arc::new(merge(news, &|name, cluster, address| {
            let Shared { health, pool, .. } = &*self.shared;
            health.broker(name, cluster, address, pool, now)
        }))
    }
}

impl fmt::Debug for TopicBrokerMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicBrokerMapping")
            .field("topics", &self.shared.topics.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
