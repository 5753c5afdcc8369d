//! One topic of the cache.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use rocketmq_producer_remoting::once::Awaited;
use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

use crate::{
    error::RoutingError,
    name_server::RouteProgress,
    nanos::nanos_since,
    route::{RouteInfo, RouteOrigin},
    selector::random_below,
};

/// What a refresh came to, for everyone who waits for it.
pub(super) type Outcome = Result<Arc<RouteInfo>, RoutingError>;

/// A topic of the cache: its present route and its place in the round.
///
/// A handle stays good over route changes and saves the look-up by name. Once the
/// topic has been removed from the cache its [`route`](Self::route) is gone, and the
/// mapping has to be asked for a new handle.
pub struct TopicEntry {
    topic: Arc<str>,
    /// That of the broker records, so that a decision measures time once.
    epoch: Instant,
    route: ArcSwapOption<RouteInfo>,
    /// Wakes those who wait for another route after it was stored, in the order in which they came.
    told: Notify,
    /// Position of the round robin; survives route changes.
    position: AtomicUsize,
    /// Nanoseconds after `epoch` of the last use.
    used: AtomicU64,
    pub(super) refresh: Mutex<Refresh>,
}

/// What is known of the refreshes of a topic.
#[derive(Debug, Default)]
pub(super) struct Refresh {
    /// The refresh under way, if its task still lives.
    pub(super) flight: Option<Flight>,
    /// When the last one began.
    pub(super) begun: Option<Instant>,
    /// Why the last one failed; nothing once one has brought a route.
    pub(super) failed: Option<RoutingError>,
    /// The answer "no such topic" and when it came.
    pub(super) not_found: Option<(Instant, RoutingError)>,
    /// The bytes that the present route was made from.
    pub(super) body: Option<(RouteOrigin, Bytes)>,
    /// Removed from the cache: nothing may be stored any more.
    pub(super) removed: bool,
}

/// A refresh under way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) outcome: Awaited<Outcome>,
    pub(super) scope: Scope,
    /// Of the question that is asked at present.
    pub(super) progress: RouteProgress,
}

/// What a refresh does about a topic that no name server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// What the options say.
    Options,
    /// Nothing: only the topic's own route is wanted.
    OwnRoute,
}

impl TopicEntry {
    pub(super) fn new(topic: Arc<str>, epoch: Instant) -> Self {
        Self {
            topic,
            epoch,
            route: ArcSwapOption::empty(),
            told: Notify::new(),
            // Producers that start together must not begin with the same queue.
            position: AtomicUsize::new(random_below(1 << 16)),
            used: AtomicU64::new(0),
            refresh: Mutex::default(),
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The present route; nothing before the first answer and after the removal from
    /// the cache.
    #[must_use]
    pub fn route(&self) -> Option<Arc<RouteInfo>> {
        self.route.load_full()
    }

    /// Whether it has a route that is younger than `timeout`.
    pub(super) fn has_route_within(&self, timeout: Duration, now: Instant) -> bool {
        let route = self.route.load();
        route
            .as_deref()
            .is_some_and(|route| route.age(now) < timeout)
    }

    /// Waits until the route is another than that of `generation`, or is removed from
    /// the cache. Returns at once if it is so already: a change between reading the
    /// route and calling this is not missed.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn changed(&self, generation: u64) {
        loop {
            // Before the look, so that no change after it is missed.
            let told = self.told.notified();
            if self
                .route()
                .is_none_or(|route| route.generation() != generation)
            {
                return;
            }
            told.await;
        }
    }

    /// Starts the round robin from the first queue.
    pub fn reset_round_robin(&self) {
        self.begin_round_robin(0);
    }

    /// Starts the round robin from this position among the usable queues; beyond the last it begins anew. Without it a
    /// topic's round robin starts at random.
    pub fn begin_round_robin(&self, position: usize) {
        self.position.store(position, Ordering::Relaxed);
    }

    /// The next position of the round robin.
    pub(crate) fn advance(&self) -> usize {
        self.position.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes a use, so that the topic is not the first to be evicted.
    pub(crate) fn touch(&self, now: Instant) {
        self.touch_at(nanos_since(self.epoch, now));
    }

    /// As [`touch`](Self::touch), with the nanoseconds since the epoch.
    pub(crate) fn touch_at(&self, at: u64) {
        // A send notes it twice; what other threads read is written once.
        if self.used.load(Ordering::Relaxed) != at {
            self.used.store(at, Ordering::Relaxed);
        }
    }

    pub(super) fn last_used(&self) -> Instant {
        self.epoch + Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    /// Whether a refresh was begun less than `interval` ago.
    pub(super) fn asked_within(&self, interval: Duration, now: Instant) -> bool {
        let begun = self.refresh().begun;
        begun.is_some_and(|begun| now.saturating_duration_since(begun) < interval)
    }

    /// Whether a refresh is under way.
    pub(super) fn is_asking(&self) -> bool {
        let refresh = self.refresh();
        refresh
            .flight
            .as_ref()
            .is_some_and(|flight| flight.outcome.is_open())
    }

    /// The next change of the route from now on.
    pub(super) fn next_change(&self) -> Notified<'_> {
        self.told.notified()
    }

    pub(super) fn refresh(&self) -> MutexGuard<'_, Refresh> {
        // No code that can panic runs under this lock; a poisoned one is still sound.
        self.refresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a route unless the topic was removed meanwhile. The lock held by the
    /// caller orders it against the removal.
    pub(super) fn store(&self, refresh: &Refresh, route: Arc<RouteInfo>) {
        if !refresh.removed {
            self.route.store(Some(route));
            self.told.notify_waiters();
        }
    }

    pub(super) fn remove(&self) {
        let mut refresh = self.refresh();
        refresh.removed = true;
        refresh.body = None;
        self.route.store(None);
        self.told.notify_waiters();
    }
}

impl fmt::Debug for TopicEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = self.route.load();
        f.debug_struct("TopicEntry")
            .field("topic", &self.topic)
            .field(
                "generation",
                &route.as_ref().map(|route| route.generation()),
            )
            .field("queues", &route.as_ref().map(|route| route.queues().len()))
            .finish_non_exhaustive()
    }
}
