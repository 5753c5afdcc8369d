//! Asking for the route of a topic: once at a time, for everyone who waits.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rocketmq_producer_remoting::once::once;
use tokio::time::{Instant, timeout_at};

use super::{
    Outcome, TopicBrokerMapping, TopicEntry,
    entry::{Flight, Scope},
};
use crate::{
    auto_create::{DEFAULT_TOPIC, route_of_new_topic},
    error::RoutingError,
    name_server::{
        AttemptCause, NameServerAttempt, NameServerError, RouteAnswer, RouteProgress, RouteQuestion,
    },
    options::TopicCreation,
    route::RouteOrigin,
};

/// Far beyond any use, and far from what an [`Instant`] can hold.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// What a question counts for while no name server is reachable: it would be in vain,
/// and all of them would wait for the same answer.
const COST_IN_VAIN: u32 = 8;

impl TopicBrokerMapping {
    /// Joins the refresh under way, or starts one. Nothing after shutdown.
    pub(super) fn begin_refresh(
        &self,
        entry: &Arc<TopicEntry>,
        scope: Scope,
        now: Instant,
    ) -> Option<Flight> {
        if self.shared.cancel.is_cancelled() {
            return None;
        }
        let mut refresh = entry.refresh();
        if let Some(flight) = &refresh.flight {
            // A task that died with its runtime told no outcome, and will not.
            if flight.outcome.is_open() {
                return Some(flight.clone());
            }
        }
        let (teller, outcome) = once();
        let flight = Flight {
            outcome,
            scope,
            progress: RouteProgress::default(),
        };
        refresh.flight = Some(flight.clone());
        refresh.begun = Some(now);
        drop(refresh);
        let (mapping, entry) = (self.clone(), Arc::clone(entry));
        let progress = flight.progress.clone();
        self.shared.tasks.spawn(async move {
            let cancel = mapping.shared.cancel.clone();
            let outcome = tokio::select! {
                biased;
                () = cancel.cancelled() => Err(RoutingError::Closed),
                outcome = mapping.refresh(&entry, scope, progress) => outcome,
            };
            mapping.note_reachable(&outcome);
            let mut refresh = entry.refresh();
            refresh.flight = None;
            refresh.failed = outcome.as_ref().err().cloned();
            drop(refresh);
            teller.tell(outcome);
        });
        Some(flight)
    }

    /// Begins a refresh that nobody waits for, if the pace allows it now. Returns whether
    /// one is under way.
    pub(super) fn begin_in_background(&self, entry: &Arc<TopicEntry>, now: Instant) -> bool {
        let cost = if self.is_unreachable() {
            COST_IN_VAIN
        } else {
            1
        };
        self.shared.pace.take(cost, now) && self.begin_refresh(entry, Scope::Options, now).is_some()
    }

    /// Waits for a refresh that is under way or starts now.
    pub(super) async fn wait_for_refresh(
        &self,
        entry: &Arc<TopicEntry>,
        scope: Scope,
        deadline: Instant,
    ) -> Outcome {
        loop {
            let now = Instant::now();
            let flight = self.begin_refresh(entry, scope, now);
            let flight = flight.ok_or(RoutingError::Closed)?;
            match timeout_at(deadline, flight.outcome.wait()).await {
                Ok(Some(outcome)) => {
                    let is_half = flight.scope == Scope::OwnRoute && scope == Scope::Options;
                    if !(is_half && self.asks_default_topic(outcome) && now < deadline) {
                        return outcome.clone();
                    }
                    // The options are still to be followed.
                }
                // The task died with the runtime it ran on: try on this one.
                Ok(None) if now < deadline => {}
                Ok(None) | Err(_) => return Err(self.late(entry)),
            }
        }
    }

    /// The caller's deadline passed while the route was being fetched.
    pub(super) fn late(&self, entry: &TopicEntry) -> RoutingError {
        let refresh = entry.refresh();
        let progress = refresh.flight.as_ref().map(|flight| &flight.progress);
        RoutingError::DeadlineExceeded {
            topic: Arc::clone(entry.topic()),
            attempts: progress.map_or_else(|| Arc::from([]), RouteProgress::attempts),
        }
    }

    /// Whether no name server answered the last question.
    pub(super) fn is_unreachable(&self) -> bool {
        self.shared.unreachable.load(Ordering::Relaxed)
    }

    fn note_reachable(&self, outcome: &Outcome) {
        let unreachable = match outcome {
            Err(RoutingError::NameServer { cause, .. }) => cause.is_unreachable(),
            Err(RoutingError::Closed) => return,
            _ => false,
        };
        self.shared
            .unreachable
            .store(unreachable, Ordering::Relaxed);
    }

    fn asks_default_topic(&self, outcome: &Outcome) -> bool {
        matches!(outcome, Err(RoutingError::TopicNotFound { .. }))
            && self.shared.options.topic_creation == TopicCreation::UseDefaultTopic
    }

    /// The answer "no such topic" if it is still fresh.
    pub(super) fn remembered_not_found(
        &self,
        entry: &TopicEntry,
        now: Instant,
    ) -> Option<RoutingError> {
        let refresh = entry.refresh();
        let (at, error) = refresh.not_found.as_ref()?;
        let ttl = self.shared.options.unknown_topic_ttl;
        (now.saturating_duration_since(*at) < ttl).then(|| error.clone())
    }

    async fn refresh(&self, entry: &TopicEntry, scope: Scope, progress: RouteProgress) -> Outcome {
        // Of any length: a longer one than this is never waited for.
        let timeout = self.shared.options.name_server_timeout.min(LONGEST_TIMEOUT);
        let deadline = Instant::now() + timeout;
        let origin = RouteOrigin::Topic;
        match self.ask(entry, origin, progress, deadline).await {
            Ok(answer) => self.accept(entry, origin, &answer),
            Err(NameServerError::TopicNotFound { topic, address }) => {
                let error = RoutingError::TopicNotFound { topic, address };
                self.refresh_unknown(entry, scope, error, deadline).await
            }
            Err(cause) => Err(unavailable(entry, cause)),
        }
    }

    async fn ask(
        &self,
        entry: &TopicEntry,
        origin: RouteOrigin,
        progress: RouteProgress,
        deadline: Instant,
    ) -> Result<RouteAnswer, NameServerError> {
        let known = entry.refresh().body.clone();
        let known = known.filter(|(from, _)| *from == origin);
        let topic = match origin {
            RouteOrigin::DefaultTopic => DEFAULT_TOPIC,
            RouteOrigin::Topic => entry.topic(),
        };
        let question = RouteQuestion {
            topic,
            deadline,
            known: known.as_ref().map(|(_, body)| body),
            progress,
        };
        self.shared.source.topic_route(&question).await
    }

    /// The name server does not know the topic.
    async fn refresh_unknown(
        &self,
        entry: &TopicEntry,
        scope: Scope,
        error: RoutingError,
        deadline: Instant,
    ) -> Outcome {
        let known = entry.route();
        let was_good = known
            .as_ref()
            .is_some_and(|route| route.origin() == RouteOrigin::Topic);
        if was_good {
            return self.vanish(entry, error);
        }
        if self.shared.options.topic_creation == TopicCreation::Refuse {
            return Err(self.not_found(entry, error));
        }
        if scope == Scope::OwnRoute {
            return Err(error);
        }
        let progress = RouteProgress::default();
        if let Some(flight) = &mut entry.refresh().flight {
            flight.progress = progress.clone();
        }
        let origin = RouteOrigin::DefaultTopic;
        match self.ask(entry, origin, progress, deadline).await {
            Ok(answer) => {
                let route = self.accept(entry, origin, &answer)?;
                self.shared.warnings.warn(entry.topic());
                Ok(route)
            }
            // No broker makes topics on demand: the topic itself is what is missing.
            Err(NameServerError::TopicNotFound { .. }) => match known {
                Some(_) => self.vanish(entry, error),
                None => Err(self.not_found(entry, error)),
            },
            Err(cause) => Err(unavailable(entry, cause)),
        }
    }

    /// A topic whose route was good is not known any more: its brokers are kept for
    /// a time, since a name server that restarted knows nothing at first.
    fn vanish(&self, entry: &TopicEntry, error: RoutingError) -> Outcome {
        let now = Instant::now();
        let mut refresh = entry.refresh();
        let old = entry.route();
        let origin = old.as_ref().map_or(RouteOrigin::Topic, |old| old.origin());
        let route = self.merged(entry, old.as_deref(), None, origin, now);
        if route.queues().is_empty() {
            drop(refresh);
            self.shared.topics.remove_if(entry.topic(), |_, known| {
                std::ptr::eq(known.as_ref(), entry)
            });
            entry.remove();
            self.shared.health.prune();
            return Err(error);
        }
        // The same bytes later are news then.
        refresh.body = None;
        if let Some(old) = old.filter(|old| old.says_the_same_as(&route)) {
            return Ok(old);
        }
        entry.store(&refresh, Arc::clone(&route));
        Ok(route)
    }

    fn not_found(&self, entry: &TopicEntry, error: RoutingError) -> RoutingError {
        entry.refresh().not_found = Some((Instant::now(), error.clone()));
        error
    }

    /// Takes over an answer, and parses it only if it differs from the last one.
    fn accept(&self, entry: &TopicEntry, origin: RouteOrigin, answer: &RouteAnswer) -> Outcome {
        let now = Instant::now();
        let mut refresh = entry.refresh();
        refresh.not_found = None;
        let old = entry.route();
        let same_bytes = refresh
            .body
            .as_ref()
            .is_some_and(|(from, body)| *from == origin && body == answer.body());
        let data = match (&old, same_bytes) {
            (Some(old), true) => Arc::clone(old.data()),
            _ => {
                let mut data = answer
                    .parsed()
                    .map_err(|cause| unavailable(entry, invalid(answer, cause)))?;
                if origin == RouteOrigin::DefaultTopic {
                    let queues = self.shared.options.default_topic_queue_nums;
                    data = Arc::new(route_of_new_topic(Arc::unwrap_or_clone(data), queues));
                }
                data
            }
        };
        if let (Some(old), true) = (&old, same_bytes)
            && !old.has_vanished()
        {
            old.confirm(now);
            return Ok(Arc::clone(old));
        }
        let route = self.merged(entry, old.as_deref(), Some(data), origin, now);
        refresh.body = Some((origin, answer.body().clone()));
        if let Some(old) = old.as_ref().filter(|old| old.says_the_same_as(&route)) {
            old.confirm(now);
            return Ok(Arc::clone(old));
        }
        tracing::debug!(
            topic = %entry.topic(),
            generation = route.generation(),
            queues = route.queues().len(),
            vanished = route.has_vanished(),
            "route changed"
        );
        entry.store(&refresh, Arc::clone(&route));
        drop(refresh);
        if old.is_some() {
            // Brokers at a former address may have lost their last route. Ours must
            // go first.
            drop(old);
            self.shared.health.prune();
        }
        Ok(route)
    }
}

fn unavailable(entry: &TopicEntry, cause: NameServerError) -> RoutingError {
    RoutingError::NameServer {
        topic: Arc::clone(entry.topic()),
        cause,
    }
}

fn invalid(answer: &RouteAnswer, cause: AttemptCause) -> NameServerError {
    let attempt = NameServerAttempt::new(Arc::clone(answer.address()), cause);
    NameServerError::InvalidRoute {
        address: Arc::clone(answer.address()),
        attempts: Arc::from([attempt]),
    }
}
