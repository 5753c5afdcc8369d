//! Asking for the route of a topic: once at a time, for everyone who waits.

use std::{sync::Arc, time::Duration};

use rocketmq_producer_remoting::protocol::TopicRouteData;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{Outcome, TopicBrokerMapping, TopicEntry};
use crate::{
    auto_create::{DEFAULT_TOPIC, route_of_new_topic},
    error::RoutingError,
    name_server::{NameServerError, RouteAnswer},
    options::TopicCreation,
    route::{RouteInfo, RouteOrigin},
};

/// Far beyond any use, and far from what an [`Instant`] can hold.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60 * 60 * 24 * 365);

type Waiter = watch::Receiver<Option<Outcome>>;

impl TopicBrokerMapping {
    /// Joins the refresh under way, or starts one. Nothing after shutdown.
    pub(super) fn begin_refresh(&self, entry: &Arc<TopicEntry>, now: Instant) -> Option<Waiter> {
        if self.shared.cancel.is_cancelled() {
            return None;
        }
        let mut refresh = entry.refresh();
        if let Some(flight) = &refresh.flight {
            // A sender that is gone without an outcome died with its runtime.
            if flight.has_changed().is_ok() && flight.borrow().is_none() {
                return Some(flight.clone());
            }
        }
        let (sender, waiter) = watch::channel(None);
        refresh.flight = Some(waiter.clone());
        refresh.begun = Some(now);
        drop(refresh);
        let (mapping, entry) = (self.clone(), Arc::clone(entry));
        self.shared.tasks.spawn(async move {
            let cancel = mapping.shared.cancel.clone();
            let outcome = tokio::select! {
                biased;
                () = cancel.cancelled() => Err(RoutingError::Closed),
                outcome = mapping.refresh(&entry) => outcome,
            };
            entry.refresh().flight = None;
            // Nobody need be waiting any more.
            let _ = sender.send(Some(outcome));
        });
        Some(waiter)
    }

    /// Waits for a refresh that is under way or starts now.
    pub(super) async fn wait_for_refresh(
        &self,
        entry: &Arc<TopicEntry>,
        deadline: Instant,
    ) -> Outcome {
        loop {
            let now = Instant::now();
            let mut waiter = self.begin_refresh(entry, now).ok_or(RoutingError::Closed)?;
            match timeout_at(deadline, waiter.wait_for(Option::is_some)).await {
                Ok(Ok(outcome)) => {
                    if let Some(outcome) = outcome.as_ref() {
                        return outcome.clone();
                    }
                }
                // The task died with the runtime it ran on: try on this one.
                Ok(Err(_)) if now < deadline => {}
                Ok(Err(_)) | Err(_) => {
                    return Err(RoutingError::DeadlineExceeded {
                        topic: Arc::clone(entry.topic()),
                    });
                }
            }
        }
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

    async fn refresh(&self, entry: &TopicEntry) -> Outcome {
        // Of any length: a longer one than this is never waited for.
        let timeout = self.shared.options.name_server_timeout.min(LONGEST_TIMEOUT);
        let deadline = Instant::now() + timeout;
        let answer = self
            .shared
            .source
            .topic_route(entry.topic(), deadline)
            .await;
        match answer {
            Ok(answer) => self.accept(entry, RouteOrigin::Topic, &answer),
            Err(NameServerError::TopicNotFound { topic, address }) => {
                let error = RoutingError::TopicNotFound { topic, address };
                self.refresh_unknown(entry, error, deadline).await
            }
            Err(cause) => Err(unavailable(entry, cause)),
        }
    }

    /// The name server does not know the topic.
    async fn refresh_unknown(
        &self,
        entry: &TopicEntry,
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
        let answer = self
            .shared
            .source
            .topic_route(DEFAULT_TOPIC, deadline)
            .await;
        match answer {
            Ok(answer) => {
                let route = self.accept(entry, RouteOrigin::DefaultTopic, &answer)?;
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
        if let (Some(old), true) = (&old, same_bytes) {
            if !old.has_vanished() {
                old.confirm(now);
                return Ok(Arc::clone(old));
            }
            if let Some(kept) = self.without_expired(entry, old, now) {
                entry.store(&refresh, Arc::clone(&kept));
                return Ok(kept);
            }
            old.confirm(now);
            return Ok(Arc::clone(old));
        }
        let mut data = TopicRouteData::parse(answer.body()).map_err(|cause| {
            let cause = NameServerError::InvalidRoute {
                address: Arc::clone(answer.address()),
                cause: Arc::new(cause),
            };
            unavailable(entry, cause)
        })?;
        if origin == RouteOrigin::DefaultTopic {
            data = route_of_new_topic(data, self.shared.options.default_topic_queue_nums);
        }
        let route = self.merged(entry, old.as_deref(), Some(Arc::new(data)), origin, now);
        tracing::debug!(
            topic = %entry.topic(),
            generation = route.generation(),
            queues = route.queues().len(),
            vanished = route.has_vanished(),
            "route changed"
        );
        refresh.body = Some((origin, answer.body().clone()));
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

    /// The route without brokers whose retention has ended; nothing if none has.
    fn without_expired(
        &self,
        entry: &TopicEntry,
        old: &Arc<RouteInfo>,
        now: Instant,
    ) -> Option<Arc<RouteInfo>> {
        let data = Arc::clone(old.data());
        let next = self.merged(entry, Some(old), Some(data), old.origin(), now);
        (next.queues().len() != old.queues().len() || next.groups().len() != old.groups().len())
            .then_some(next)
    }
}

fn unavailable(entry: &TopicEntry, cause: NameServerError) -> RoutingError {
    RoutingError::NameServer {
        topic: Arc::clone(entry.topic()),
        cause,
    }
}
