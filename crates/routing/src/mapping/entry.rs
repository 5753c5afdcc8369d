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
use tokio::{sync::watch, time::Instant};

use crate::{
    error::RoutingError,
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
    created: Instant,
    route: ArcSwapOption<RouteInfo>,
    /// Position of the round robin; survives route changes.
    position: AtomicUsize,
    /// Nanoseconds after `created` of the last use.
    used: AtomicU64,
    pub(super) refresh: Mutex<Refresh>,
}

/// What is known of the refreshes of a topic.
#[derive(Debug, Default)]
pub(super) struct Refresh {
    /// The refresh under way, if its task still lives.
    pub(super) flight: Option<watch::Receiver<Option<Outcome>>>,
    /// When the last one began.
    pub(super) begun: Option<Instant>,
    /// The answer "no such topic" and when it came.
    pub(super) not_found: Option<(Instant, RoutingError)>,
    /// The bytes that the present route was made from.
    pub(super) body: Option<(RouteOrigin, Bytes)>,
    /// Removed from the cache: nothing may be stored any more.
    pub(super) removed: bool,
}

impl TopicEntry {
    pub(super) fn new(topic: Arc<str>, now: Instant) -> Self {
        Self {
            topic,
            created: now,
            route: ArcSwapOption::empty(),
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

    /// Starts the round robin from the first queue.
    pub fn reset_round_robin(&self) {
        self.position.store(0, Ordering::Relaxed);
    }

    /// The next position of the round robin.
    pub(crate) fn advance(&self) -> usize {
        self.position.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes a use, so that the topic is not the first to be evicted.
    pub(crate) fn touch(&self, now: Instant) {
        let nanos = now.saturating_duration_since(self.created).as_nanos();
        self.used
            .store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn last_used(&self) -> Instant {
        self.created + Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    /// Whether a refresh was begun less than `interval` ago.
    pub(super) fn asked_within(&self, interval: Duration, now: Instant) -> bool {
        let begun = self.refresh().begun;
        begun.is_some_and(|begun| now.saturating_duration_since(begun) < interval)
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
        }
    }

    pub(super) fn remove(&self) {
        let mut refresh = self.refresh();
        refresh.removed = true;
        refresh.body = None;
        self.route.store(None);
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
