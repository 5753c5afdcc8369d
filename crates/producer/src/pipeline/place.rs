//! Where the next attempt goes: queue, broker, and whether to pause first.

use std::sync::Arc;

use rand::RngExt;
use tokio::time::Instant;

use super::Call;
use crate::config::routing::{
    KeyedFailover, MessageQueue, RouteRequest, RoutedBy, Routing, RoutingError, TopicEntry,
};
use crate::error::SendFailure;
use crate::options::Target;
use crate::retry::RetryState;

/// The places of one send.
pub(super) struct Places<'a> {
    call: Call<'a>,
    entry: Arc<TopicEntry>,
    /// What a selector chose. It is asked once, so that a retry does not move the message.
    selected: Option<MessageQueue>,
}

impl<'a> Places<'a> {
    /// Finds the topic's route.
    pub(super) async fn find(call: Call<'a>) -> Result<Self, SendFailure> {
        let entry = topic(call).await?;
        Ok(Self {
            call,
            entry,
            selected: None,
        })
    }

    /// Where the next attempt goes, after a pause if that broker failed before; nothing if no
    /// broker is left that may do better.
    pub(super) async fn next(
        &mut self,
        retry: &mut RetryState,
    ) -> Result<Option<Routing>, SendFailure> {
        let mut routing = self.choose(retry.tried()).await?;
        if !retry.tried().contains(routing.broker().name()) {
            return Ok(Some(routing));
        }
        if !retry.ruled_out().is_empty() {
            // All were tried; some of them may do better in a moment.
            routing = self.choose(retry.ruled_out()).await?;
        }
        if retry.is_stored() || retry.ruled_out().contains(routing.broker().name()) {
            return Ok(None);
        }
        let jitter = rand::rng().random::<f64>();
        let Some(pause) = retry.pause(Instant::now(), jitter) else {
            return Ok(None);
        };
        let pause = tokio::time::sleep(pause);
        match self.call.core.cancel.run_until_cancelled(pause).await {
            Some(()) => Ok(Some(routing)),
            None => Err(SendFailure::Shutdown),
        }
    }

    /// Whether a failure at this place could be made good at another broker.
    pub(super) fn is_elsewhere(&self, routing: &Routing, tried: &[Arc<str>]) -> bool {
        let bound_to_queue = match routing.routed_by() {
            RoutedBy::GivenQueue | RoutedBy::Selector(_) => true,
            RoutedBy::MessageHash => self.call.core.config.keyed_failover == KeyedFailover::Stay,
            _ => false,
        };
        let here = routing.broker().name();
        !bound_to_queue
            && routing
                .route()
                .usable_queues()
                .filter_map(|queue| queue.broker())
                .any(|broker| {
                    let name = broker.name();
                    name != here && !tried.contains(name) && !broker.health().is_suspended()
                })
    }

    /// Fetches the route anew and waits for it, because it was at fault. Without a newer one the
    /// next attempt uses the one at hand, in the other half of the time.
    pub(super) async fn renew(&mut self) {
        // The selector chose from a route that was wrong.
        self.selected = None;
        let now = Instant::now();
        let until = now + self.call.deadline.saturating_duration_since(now) / 2;
        let mapping = self.call.core.router.mapping();
        if let Err(error) = mapping.force_refresh(self.entry.topic(), until).await {
            tracing::debug!(topic = %self.entry.topic(), %error, "route not refreshed");
        }
    }

    /// Has the route fetched anew in the background, because it may be at fault.
    pub(super) fn hint(&self, routing: &Routing) {
        let generation = routing.route().generation();
        let mapping = self.call.core.router.mapping();
        mapping.hint_refresh(&self.entry, generation, Instant::now());
    }

    /// Chooses queue and broker, with a new route if the one at hand was dropped from the cache.
    async fn choose(&mut self, avoid: &[Arc<str>]) -> Result<Routing, SendFailure> {
        loop {
            match self.decide(avoid).await {
                Err(SendFailure::Routing(RoutingError::RouteRemoved { .. }))
                    if Instant::now() < self.call.deadline =>
                {
                    self.entry = topic(self.call).await?;
                }
                decided => return decided,
            }
        }
    }

    async fn decide(&mut self, avoid: &[Arc<str>]) -> Result<Routing, SendFailure> {
        let Call {
            core,
            message,
            options,
            ..
        } = self.call;
        let (router, entry) = (&core.router, &self.entry);
        let request = RouteRequest::of(message).avoiding(avoid);
        let now = Instant::now();
        let routing = match (&options.target, &self.selected) {
            (Target::Strategy, _) => return routed(router.route(entry, &request, now)),
            (Target::Queue(queue), _) | (_, Some(queue)) => {
                return routed(router.route(entry, &request.to_queue(queue), now));
            }
            (Target::Selector(selector, argument), None) => {
                let request = request.with_selector(&**selector, argument);
                routed(router.route(entry, &request, now))?
            }
            (Target::AsyncSelector(selector, argument), None) => {
                let choice = router.route_async(entry, message, &**selector, argument, now);
                let choice = core.cancel.run_until_cancelled(choice);
                match tokio::time::timeout_at(self.call.deadline, choice).await {
                    Ok(Some(choice)) => routed(choice)?,
                    Ok(None) => return Err(SendFailure::Shutdown),
                    Err(_) => return Err(SendFailure::Deadline),
                }
            }
        };
        self.selected = Some(routing.queue().clone());
        Ok(routing)
    }
}

/// The call's topic with a route.
async fn topic(call: Call<'_>) -> Result<Arc<TopicEntry>, SendFailure> {
    let mapping = call.core.router.mapping();
    mapping
        .topic(call.message.topic(), call.deadline)
        .await
        .map_err(SendFailure::Routing)
}

fn routed(routing: Result<Routing, RoutingError>) -> Result<Routing, SendFailure> {
    routing.map_err(SendFailure::Routing)
}
