//! How late this process's timers are: what no send can be blamed for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

const PERIOD: Duration = Duration::from_millis(10);

/// A timer of 10 ms on the same runtime as the sends; it ends when it is dropped.
#[derive(Debug)]
pub struct Canary {
    latest: Arc<AtomicU64>,
    _end: DropGuard,
}

impl Canary {
    /// Starts it on the current runtime.
    #[must_use]
    pub fn start() -> Self {
        let (latest, cancel) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
        let (seen, ended) = (Arc::clone(&latest), cancel.clone());
        TaskTracker::new().spawn(async move {
            while !ended.is_cancelled() {
                let due = Instant::now() + PERIOD;
                tokio::time::sleep_until(due).await;
                let late = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
                seen.fetch_max(late, Ordering::AcqRel);
            }
        });
        Self {
            latest,
            _end: cancel.drop_guard(),
        }
    }

    /// The largest delay since the start or the last call.
    pub fn take(&self) -> Duration {
        Duration::from_micros(self.latest.swap(0, Ordering::AcqRel))
    }
}
