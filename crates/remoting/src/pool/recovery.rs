//! The task that wins a suspect address back while someone holds it.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::endpoint::{Endpoint, Inner};

/// Runs until there is nothing to win back, nobody holds the address, or the pool closes. It does
/// not keep the address.
pub(super) async fn recover(mut running: Running, nudge: Arc<Notify>, closing: CancellationToken) {
    loop {
        let Some(until) = running.step() else { return };
        tokio::select! {
            biased;
            () = closing.cancelled() => return,
            () = nudge.notified() => {}
            () = sleep_until(until) => {}
        }
    }
}

/// Says that the task runs, until it is dropped.
pub(super) struct Running(Weak<Inner>);

impl Running {
    pub(super) fn new(endpoint: &Arc<Inner>) -> Self {
        Self(Arc::downgrade(endpoint))
    }

    /// Takes the next step; returns when another is due.
    fn step(&mut self) -> Option<Instant> {
        let endpoint = Endpoint::from(self.0.upgrade()?);
        let until = endpoint.recovery_step();
        if until.is_none() {
            // Noted under the lock; a new task may have begun since.
            self.0 = Weak::new();
        }
        until
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(endpoint) = self.0.upgrade() {
            Endpoint::from(endpoint).recovery_ended();
        }
    }
}
