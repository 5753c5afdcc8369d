//! Attempt after attempt, until the message is stored or there is no point in going on.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::exchange::Exchange;
use super::place::Places;
use super::{Call, Stamp};
use crate::attempt::Attempt;
use crate::blame::incident;
use crate::config::routing::Routing;
use crate::config::routing::remoting::Delivery as Certainty;
use crate::config::routing::remoting::protocol::SendMessageRequestHeader;
use crate::error::SendFailure;
use crate::retry::{Next, RetryState};

/// An admitted message on its way.
pub(super) struct Delivery<'a, X> {
    call: Call<'a>,
    stamp: Stamp,
    attempts: Vec<Attempt>,
    exchange: PhantomData<X>,
}

/// A message that was delivered, as far as its way of sending can tell.
pub(super) struct Delivered<A> {
    pub(super) routing: Routing,
    pub(super) answer: A,
    pub(super) attempt: Attempt,
    pub(super) earlier_attempts: Vec<Attempt>,
}

/// A success whose answer promises less than was asked for.
struct Weaker<A> {
    routing: Routing,
    answer: A,
    /// Place of its attempt among all.
    attempt: usize,
}

impl<'a, X: Exchange> Delivery<'a, X> {
    pub(super) const fn new(call: Call<'a>, stamp: Stamp) -> Self {
        Self {
            call,
            stamp,
            attempts: Vec::new(),
            exchange: PhantomData,
        }
    }

    /// Attempts until the message is delivered; else why not, and what was tried.
    pub(super) async fn run(mut self) -> Result<Delivered<X::Answer>, (SendFailure, Vec<Attempt>)> {
        let mut cause = SendFailure::Deadline;
        match self.attempt_all(&mut cause).await {
            Some((routing, answer, attempt)) => Ok(Delivered {
                routing,
                answer,
                attempt,
                earlier_attempts: self.attempts,
            }),
            None => Err((cause, self.attempts)),
        }
    }

    /// The delivery, if there was one; else `cause` says why not.
    async fn attempt_all(
        &mut self,
        cause: &mut SendFailure,
    ) -> Option<(Routing, X::Answer, Attempt)> {
        let core = self.call.core;
        let mut places = match Places::find(self.call).await {
            Ok(places) => places,
            Err(failure) => {
                *cause = failure;
                return None;
            }
        };
        let mut retry = RetryState::new(self.call.deadline, core.config.retry_times);
        // Kept while a better one is tried for; boxed, since it is rare and futures should be small.
        let mut weaker: Option<Box<Weaker<X::Answer>>> = None;
        while retry.may_try(Instant::now()) {
            let routing = match places.next(&mut retry).await {
                Ok(Some(routing)) => routing,
                Ok(None) => break,
                Err(failure) => {
                    // What an attempt met says more than that there is nowhere else to go.
                    if self.attempts.is_empty() || matches!(failure, SendFailure::Shutdown) {
                        *cause = failure;
                    }
                    break;
                }
            };
            let began = Instant::now();
            let until = retry.begin_attempt(began, places.is_elsewhere(&routing, retry.tried()));
            let result = self.attempt(&routing, until).await;
            let mut attempt = self.note(&routing, began);
            let failure = match result {
                Ok(answer) => {
                    let latency = Some(attempt.elapsed);
                    core.router
                        .report_routing_result(&routing, latency, Instant::now());
                    let wants_more = core.config.retry_another_broker_when_not_store_ok;
                    if X::is_whole(&answer) || !wants_more {
                        return Some((routing, answer, attempt));
                    }
                    retry.stored(routing.broker().name());
                    weaker = Some(Box::new(Weaker {
                        routing,
                        answer,
                        attempt: self.attempts.len(),
                    }));
                    self.attempts.push(attempt);
                    continue;
                }
                Err(failure) => failure,
            };
            self.blame(&routing, &failure, until.duration_since(began));
            attempt.failure = Some(failure.clone());
            self.attempts.push(attempt);
            let is_certain = failure.delivery() == Certainty::NotSent;
            let next = retry.failed(routing.broker().name(), &failure);
            *cause = failure;
            match next {
                Next::Again { .. } if !X::REPEATS_UNKNOWN && !is_certain => break,
                Next::Again { .. } if core.cancel.is_cancelled() => {
                    *cause = SendFailure::Shutdown;
                    break;
                }
                Next::Again { refresh: true } => places.renew().await,
                Next::Again { refresh: false } => places.hint(&routing),
                Next::GiveUp => break,
            }
        }
        let weaker = *weaker?;
        // It is the one that brought the receipt after all.
        let attempt = self.attempts.remove(weaker.attempt);
        Some((weaker.routing, weaker.answer, attempt))
    }

    /// One try at one broker.
    async fn attempt(&self, routing: &Routing, until: Instant) -> Result<X::Answer, SendFailure> {
        let Call { core, message, .. } = self.call;
        let endpoint = core.brokers.endpoint(routing.address());
        let connection = endpoint.connection(until).await;
        let connection = connection.map_err(SendFailure::Connect)?;
        let queue_id = routing.queue().queue_id();
        let topic = message.topic();
        let mut header =
            SendMessageRequestHeader::new(&core.group, topic, queue_id, self.stamp.born);
        // The setting is bounded to 65 535.
        let queues = i32::try_from(core.config.default_topic_queue_nums);
        header.default_topic_queue_nums = queues.unwrap_or(i32::MAX);
        header.flag = message.flag();
        header.properties = message.properties().as_wire();
        header.unique_key = Some(self.stamp.id.as_str());
        // A static topic's queue bears a name of its own; the broker answers to its real one.
        header.broker_name = Some(routing.broker().name());
        X::exchange(&connection, &header, message.body(), until).await
    }

    fn note(&self, routing: &Routing, began: Instant) -> Attempt {
        Attempt {
            broker: Arc::clone(routing.broker().name()),
            address: Arc::clone(routing.address()),
            queue_id: routing.queue().queue_id(),
            began_after: began.duration_since(self.call.began),
            elapsed: began.elapsed(),
            failure: None,
        }
    }

    /// Tells routing about the failure of an attempt that was given `time`, if it is the broker's
    /// own.
    fn blame(&self, routing: &Routing, failure: &SendFailure, time: Duration) {
        let text = failure.with_causes();
        let broker = routing.broker();
        debug!(broker = %broker.name(), address = %broker.address(), failure = text, "attempt failed");
        if let Some(incident) = incident(failure, time) {
            self.call
                .core
                .router
                .report_routing_failure(routing, &incident, &text, Instant::now());
        }
    }
}
