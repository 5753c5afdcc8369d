//! Admission: a bounded number of sends under way, in order of arrival, until the gate closes; and
//! how each of them ended.

use std::sync::atomic::{AtomicBool, Ordering, fence};

use tokio::sync::{Notify, Semaphore, SemaphorePermit, TryAcquireError};
use tokio::time::Instant;

use crate::outcome::{Outcome, Outcomes, Tally};

/// Why a send was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Closed,
    Full,
}

/// Lets at most `limit` sends in.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Semaphore,
    limit: usize,
    closed: AtomicBool,
    /// Signalled when a place is given back after the gate was closed.
    returned: Notify,
    /// How all that were inside have ended.
    ended: Tally,
    /// How those have ended that were inside when the gate was closed.
    ended_after_close: Tally,
}

/// A place among the sends under way, given back when dropped, however the send ends.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    place: Option<SemaphorePermit<'a>>,
    outcome: Outcome,
}

impl Pass<'_> {
    /// Gives the place back with the send's outcome. A pass that is just dropped counts as
    /// [`Outcome::Dropped`].
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let gate = self.gate;
        // Before the place is given back, so that whoever finds the gate empty finds all outcomes.
        gate.ended.count(self.outcome);
        if gate.is_closed() {
            gate.ended_after_close.count(self.outcome);
        }
        self.place = None;
        // Pairs with the fence in `close`: either the closer sees the place free, or this sees
        // the gate closed.
        fence(Ordering::SeqCst);
        if gate.is_closed() {
            gate.returned.notify_waiters();
        }
    }
}

impl Gate {
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Semaphore::new(limit),
            limit,
            closed: AtomicBool::new(false),
            returned: Notify::new(),
            ended: Tally::default(),
            ended_after_close: Tally::default(),
        }
    }

    /// The bound.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Sends under way.
    pub(crate) fn under_way(&self) -> usize {
        self.limit.saturating_sub(self.places.available_permits())
    }

    /// How sends that were admitted have ended.
    pub(crate) fn ended(&self) -> Outcomes {
        self.ended.snapshot()
    }

    /// How sends have ended that were under way when the gate was closed.
    pub(crate) fn ended_after_close(&self) -> Outcomes {
        self.ended_after_close.snapshot()
    }

    /// Waits for a place until `deadline`. Dropped while waiting, nothing is taken.
    pub(crate) async fn enter(&self, deadline: Instant) -> Result<Pass<'_>, Refusal> {
        let place = match self.places.try_acquire() {
            Ok(place) => place,
            Err(TryAcquireError::Closed) => return Err(Refusal::Closed),
            Err(TryAcquireError::NoPermits) => {
                tokio::time::timeout_at(deadline, self.places.acquire())
                    .await
                    .map_err(|_| Refusal::Full)?
                    .map_err(|_| Refusal::Closed)?
            }
        };
        Ok(Pass {
            gate: self,
            place: Some(place),
            outcome: Outcome::Dropped,
        })
    }

    /// Admits nobody from now on; those who wait are refused.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.places.close();
        fence(Ordering::SeqCst);
    }

    /// Waits until everybody inside has left. The gate must be closed.
    pub(crate) async fn wait_until_empty(&self) {
        loop {
            let returned = self.returned.notified();
            if self.under_way() == 0 {
                return;
            }
            returned.await;
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::routing::remoting::Delivery;

    #[tokio::test(start_paused = true)]
    async fn a_full_gate_refuses_at_the_deadline_and_keeps_no_place() {
        let gate = Gate::new(1);
        let deadline = Instant::now() + Duration::from_secs(1);
        let pass = gate.enter(deadline).await.unwrap();
        assert_eq!(gate.enter(deadline).await.unwrap_err(), Refusal::Full);
        assert_eq!(Instant::now(), deadline);
        drop(pass);
        assert!(gate.enter(deadline).await.is_ok());
        assert_eq!(gate.under_way(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_refuses_those_who_wait_and_waits_for_those_inside() {
        let gate = Gate::new(1);
        let deadline = Instant::now() + Duration::from_secs(60);
        let pass = gate.enter(deadline).await.unwrap();
        let (waiting, ()) = tokio::join!(gate.enter(deadline), async { gate.close() });
        assert_eq!(waiting.unwrap_err(), Refusal::Closed);
        let empty = gate.wait_until_empty();
        tokio::pin!(empty);
        let early = tokio::time::timeout(Duration::from_secs(1), &mut empty).await;
        assert!(early.is_err(), "one is still inside");
        drop(pass);
        empty.await;
    }

    #[tokio::test]
    async fn outcomes_before_and_after_the_closing_are_told_apart() {
        let gate = Gate::new(3);
        let deadline = Instant::now() + Duration::from_secs(60);
        gate.enter(deadline).await.unwrap().end(Outcome::Acked);
        let (one, two) = (gate.enter(deadline), gate.enter(deadline));
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        gate.close();
        one.end(Outcome::Failed(Delivery::Unknown));
        drop(two);
        let late = gate.ended_after_close();
        assert_eq!((late.acked, late.unknown, late.dropped), (0, 1, 1));
        assert_eq!((late.total(), gate.ended().total()), (2, 3));
    }
}
