//! Attempt after attempt, until the message is stored or there is no point in going on.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::entrance::{Bound, Held};
use super::exchange::Exchange;
use super::hedge::Hedged;
use super::parcel::{Errand, Parcel};
use super::place::{Places, Return, Step};
use crate::attempt::Attempt;
use crate::blame::incident;
use crate::config::routing::Routing;
use crate::config::routing::remoting::Delivery as Certainty;
use crate::core::Core;
use crate::error::SendFailure;
use crate::lanes::Turn;
use crate::retry::{Next, RetryState};

/// A parcel of admitted messages on its way.
pub(super) struct Delivery<'a, X> {
    pub(super) errand: Errand<'a>,
    pub(super) parcel: Parcel<'a>,
    /// The place that it is bound to, until the first attempt.
    bound: Option<Box<Bound<'a>>>,
    /// The place at the present broker.
    held: Option<Held>,
    /// Whether that place is kept between attempts.
    pub(super) is_bound: bool,
    attempts: Vec<Attempt>,
    /// When it was ready to go, if that was a moment ago.
    ready: Option<Instant>,
    exchange: PhantomData<X>,
}

/// A message that was delivered, as far as its way of sending can tell.
pub(super) struct Delivered<A> {
    pub(super) routing: Routing,
    pub(super) answer: A,
    pub(super) attempt: Attempt,
    pub(super) earlier_attempts: Vec<Attempt>,
    /// When the answer came.
    pub(super) at: Instant,
}

/// A success whose answer promises less than was asked for.
struct Weaker<A> {
    routing: Routing,
    answer: A,
    /// Place of its attempt among all.
    attempt: usize,
}

impl<'a, X: Exchange> Delivery<'a, X> {
    /// The way of a parcel, from the place that it is bound to, if it is.
    pub(super) const fn new(
        errand: Errand<'a>,
        parcel: Parcel<'a>,
        bound: Option<Box<Bound<'a>>>,
    ) -> Self {
        Self {
            errand,
            parcel,
            is_bound: bound.is_some(),
            bound,
            held: None,
            attempts: Vec::new(),
            ready: None,
            exchange: PhantomData,
        }
    }

    /// Takes over when the parcel was ready, if that is known and was a moment ago: it saves a look at the clock.
    pub(super) const fn ready_at(mut self, at: Option<Instant>) -> Self {
        self.ready = at;
        self
    }

    /// Attempts until the message is delivered; else why not, and what was tried. `turn` learns before each await
    /// whether the message is in doubt.
    // One future for all of it: on its way back an answer touches the memory of each future that holds another.
    pub(super) async fn run(
        &mut self,
        turn: Option<&Turn<'_>>,
    ) -> Result<Delivered<X::Answer>, (SendFailure, Vec<Attempt>)> {
        let mut cause = SendFailure::Deadline;
        let core = self.errand.core;
        let mut now = self.ready.unwrap_or_else(Instant::now);
        let mut places = match self.bound.take() {
            Some(bound) => {
                // Unboxed here, and not before the await of the other arm, in whose future it would lie.
                let Bound { places, held } = *bound;
                self.held = Some(held);
                places
            }
            None => match Places::ready(self.errand, now) {
                Some(places) => places,
                // Rare, so boxed: the future of a send should be small.
                None => match Box::pin(Places::find(self.errand)).await {
                    Ok(places) => {
                        now = Instant::now();
                        places
                    }
                    Err(failure) => return Err((failure, Vec::new())),
                },
            },
        };
        let rules = &core.retry_rules;
        let mut retry = RetryState::new(rules, self.errand.deadline, X::REPEATS_UNKNOWN);
        // Whether some attempt may have stored the message.
        let mut in_doubt = false;
        // Whether a broker was waited for just now.
        let mut returned = false;
        // Kept while a better one is tried for; boxed, since it is rare and futures should be small.
        let mut weaker: Option<Box<Weaker<X::Answer>>> = None;
        while retry.may_try(now) {
            // In blocks, so that the future has no room for what is no longer needed.
            let (routing, elsewhere) = {
                let step = match places.next_now(&retry, now) {
                    Ok(go) => Ok(go),
                    Err(decided) => {
                        let step = Box::pin(places.next(&mut retry, returned, decided)).await;
                        now = Instant::now();
                        step
                    }
                };
                match step {
                    Ok(Step::Go { routing, elsewhere }) => (routing, elsewhere),
                    Ok(Step::Await(routing)) => {
                        let began = Instant::now();
                        let waiting = Box::pin(places.await_return(&routing, retry.ruled_out()));
                        match waiting.await {
                            Ok(back) => {
                                returned = back == Return::Broker;
                                now = Instant::now();
                                continue;
                            }
                            Err(failure) => {
                                if matches!(failure, SendFailure::BrokerAway { .. }) {
                                    let mut attempt = self.note(&routing, began, Instant::now());
                                    attempt.failure = Some(Box::new(failure.clone()));
                                    self.attempts.push(attempt);
                                }
                                cause = failure;
                                break;
                            }
                        }
                    }
                    Ok(Step::End) => break,
                    Err(failure) => {
                        // What an attempt met says more than that there is nowhere else to go.
                        if self.attempts.is_empty() || matches!(failure, SendFailure::Shutdown) {
                            cause = failure;
                        }
                        break;
                    }
                }
            };
            returned = false;
            let renews = {
                let mut routing = routing;
                let mut began = now;
                let until = retry.begin_attempt(began, elsewhere);
                let mut time = None;
                let result;
                if elsewhere && turn.is_none() && retry.may_hedge() && !self.parcel.is_half() {
                    self.occupy(&routing);
                    let hedged = self.hedged(&mut places, &retry, routing.clone(), until);
                    let Hedged { decisive, other } = Box::pin(hedged).await;
                    if let Some(other) = other {
                        self.blame(&other.routing, &other.outcome, other.time);
                        // Both count.
                        retry.begin_attempt(other.began, false);
                        // What follows is up to the other attempt; this one's broker is not tried again.
                        let _ = retry.failed(other.routing.broker().name(), &other.outcome);
                        let mut attempt = self.note(&other.routing, other.began, Instant::now());
                        attempt.failure = Some(Box::new(other.outcome));
                        self.attempts.push(attempt);
                    }
                    result = decisive.outcome;
                    (routing, began, time) =
                        (decisive.routing, decisive.began, Some(decisive.time));
                } else {
                    // A bound message keeps its place at the broker, another one has it for this attempt.
                    let _occupied = if self.is_bound {
                        self.occupy(&routing);
                        None
                    } else {
                        Some(routing.occupied(self.errand.sends, self.errand.bytes))
                    };
                    let begun =
                        poll_fn(|cx| Poll::Ready(self.begin(&routing, turn, until, cx.waker())));
                    result = begun.await.await;
                }
                now = Instant::now();
                let mut attempt = self.note(&routing, began, now);
                if !self.is_bound {
                    self.held = None;
                }
                let failure = match result {
                    Ok(answer) => {
                        if X::PROVES_HEALTH {
                            let latency = Some(attempt.elapsed);
                            core.router.report_routing_result(&routing, latency, now);
                        }
                        if X::is_whole(&answer) || !rules.betters_receipts() {
                            return Ok(self.delivered(routing, answer, attempt, now));
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
                let time = time.unwrap_or_else(|| until.duration_since(began));
                self.blame(&routing, &failure, time);
                attempt.failure = Some(Box::new(failure.clone()));
                self.attempts.push(attempt);
                in_doubt |= failure.delivery() == Certainty::Unknown;
                if let Some(turn) = turn {
                    turn.set_doubt(in_doubt && weaker.is_none());
                }
                let next = retry.failed(routing.broker().name(), &failure);
                cause = failure;
                match next {
                    Next::Again { .. } if core.cancel.is_cancelled() => {
                        cause = SendFailure::Shutdown;
                        break;
                    }
                    Next::Again { refresh } => {
                        if !refresh {
                            places.hint(&routing);
                        }
                        refresh
                    }
                    Next::GiveUp => break,
                }
            };
            if renews {
                Box::pin(places.renew()).await;
            }
            now = Instant::now();
        }
        let Some(weaker) = weaker else {
            return Err((cause, std::mem::take(&mut self.attempts)));
        };
        // It is the one that brought the receipt after all.
        let attempt = self.attempts.remove(weaker.attempt);
        Ok(self.delivered(weaker.routing, weaker.answer, attempt, Instant::now()))
    }

    fn delivered(
        &mut self,
        routing: Routing,
        answer: X::Answer,
        attempt: Attempt,
        at: Instant,
    ) -> Delivered<X::Answer> {
        Delivered {
            routing,
            answer,
            attempt,
            earlier_attempts: std::mem::take(&mut self.attempts),
            at,
        }
    }

    pub(super) const fn core(&self) -> &'a Core {
        self.errand.core
    }

    pub(super) fn occupy_beside(&self, routing: &Routing) -> Held {
        let Errand { sends, bytes, .. } = self.errand;
        Held::new(routing, routing.occupy(sends, bytes))
    }

    /// Counts the message among what is under way at the broker of the next attempt. A bound message keeps the place
    /// that it has there.
    fn occupy(&mut self, routing: &Routing) {
        if !self.held.as_ref().is_some_and(|held| held.is_at(routing)) {
            self.held = None;
            self.held = Some(Held::new(
                routing,
                routing.occupy(self.errand.sends, self.errand.bytes),
            ));
        }
    }

    fn note(&self, routing: &Routing, began: Instant, ended: Instant) -> Attempt {
        Attempt {
            place: Arc::clone(routing.place()),
            began_after: since(self.errand.began, began),
            elapsed: ended.duration_since(began),
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
            self.errand.core.router.report_routing_failure(
                routing,
                &incident,
                &text,
                Instant::now(),
            );
        }
    }
}

/// The time between two moments, which mostly are the same one.
fn since(earlier: Instant, later: Instant) -> Duration {
    if earlier == later {
        Duration::ZERO
    } else {
        later.duration_since(earlier)
    }
}
