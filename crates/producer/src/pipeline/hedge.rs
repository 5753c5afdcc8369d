//! A second attempt beside one that takes unusually long (setting `hedge_percentile`).

use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::delivery::Delivery;
use super::exchange::Exchange;
use super::place::Places;
use crate::config::routing::Routing;
use crate::error::SendFailure;
use crate::retry::RetryState;

/// How an attempt with a hedge went.
pub(super) struct Hedged<A> {
    /// The attempt that decided.
    pub(super) decisive: Raced<Result<A, SendFailure>>,
    /// The other one, if it was begun: its failure, or that it was let go.
    pub(super) other: Option<Raced<SendFailure>>,
}

/// One of two attempts.
pub(super) struct Raced<T> {
    pub(super) routing: Routing,
    pub(super) began: Instant,
    /// What it was given.
    pub(super) time: Duration,
    pub(super) outcome: T,
}

impl<T> Raced<T> {
    fn new(routing: Routing, began: Instant, until: Instant, outcome: T) -> Self {
        Self {
            routing,
            began,
            time: until.duration_since(began),
            outcome,
        }
    }
}

impl<X: Exchange> Delivery<'_, X> {
    /// An attempt at `routing`; if it is still without an answer after the percentile of its broker's latencies, another
    /// one at another broker beside it. The first receipt wins. A failure waits for the other attempt.
    pub(super) async fn hedged(
        &self,
        places: &mut Places<'_>,
        retry: &RetryState<'_>,
        routing: Routing,
        until: Instant,
    ) -> Hedged<X::Answer> {
        let began = Instant::now();
        let attempted = routing.clone();
        let first = self.attempt(&attempted, None, until);
        tokio::pin!(first);
        let percent = usize::try_from(self.core().config.hedge_percentile).unwrap_or(usize::MAX);
        let patience = routing.broker().health().latency_percentile(percent);
        // Without any latency there is nothing to call unusual.
        let early = match patience {
            Some(patience) => tokio::time::timeout(patience, &mut first).await.ok(),
            None => Some((&mut first).await),
        };
        let second = match early {
            Some(outcome) => {
                return Hedged {
                    decisive: Raced::new(routing, began, until, outcome),
                    other: None,
                };
            }
            None => places.beside(&routing, retry.tried()).await,
        };
        let Some(second_routing) = second else {
            let outcome = first.await;
            return Hedged {
                decisive: Raced::new(routing, began, until, outcome),
                other: None,
            };
        };
        self.core().count_hedge();
        let _held = self.occupy_beside(&second_routing);
        let second_began = Instant::now();
        let attempted = second_routing.clone();
        let second = self.attempt(&attempted, None, until);
        tokio::pin!(second);
        let (mut first_failed, mut second_failed) = (None, None);
        let first_won = std::future::poll_fn(|context| {
            if first_failed.is_none() {
                match first.as_mut().poll(context) {
                    Poll::Ready(Ok(answer)) => return Poll::Ready(Ok((true, answer))),
                    Poll::Ready(Err(failure)) => first_failed = Some(failure),
                    Poll::Pending => {}
                }
            }
            if second_failed.is_none() {
                match second.as_mut().poll(context) {
                    Poll::Ready(Ok(answer)) => return Poll::Ready(Ok((false, answer))),
                    Poll::Ready(Err(failure)) => second_failed = Some(failure),
                    Poll::Pending => {}
                }
            }
            match (&first_failed, &second_failed) {
                (Some(_), Some(failure)) => Poll::Ready(Err(failure.clone())),
                _ => Poll::Pending,
            }
        });
        let outcome = first_won.await;
        let let_go = |failed: Option<SendFailure>| failed.unwrap_or(SendFailure::Overtaken);
        match outcome {
            Ok((true, answer)) => Hedged {
                decisive: Raced::new(routing, began, until, Ok(answer)),
                other: Some(Raced::new(
                    second_routing,
                    second_began,
                    until,
                    let_go(second_failed),
                )),
            },
            Ok((false, answer)) => Hedged {
                decisive: Raced::new(second_routing, second_began, until, Ok(answer)),
                other: Some(Raced::new(routing, began, until, let_go(first_failed))),
            },
            Err(failure) => Hedged {
                decisive: Raced::new(second_routing, second_began, until, Err(failure)),
                other: Some(Raced::new(routing, began, until, let_go(first_failed))),
            },
        }
    }
}
