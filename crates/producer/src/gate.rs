//! Admission: a bounded number of sends under way, in order of arrival, until the gate closes.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, Semaphore, SemaphorePermit, TryAcquireError};
use tokio::time::Instant;

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
}

/// A place among the sends under way, given back when dropped, however the send ends.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    place: Option<SemaphorePermit<'a>>,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.place = None;
        if self.gate.closed.load(Ordering::SeqCst) {
            self.gate.returned.notify_waiters();
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
        })
    }

    /// Admits nobody from now on; those who wait are refused.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.places.close();
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
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
        assert!(futures_poll(&mut empty).await.is_pending());
        drop(pass);
        empty.await;
    }

    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
        std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx)))
            .await
    }
}
