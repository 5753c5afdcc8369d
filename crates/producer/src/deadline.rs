//! Deadlines from durations of any length, and waiting until one.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// As good as never, and still far from what an [`Instant`] can hold.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// The moment `time` after `now`; users may give `Duration::MAX`.
pub(crate) fn after(now: Instant, time: Duration) -> Instant {
    now + time.min(FOREVER)
}

/// Why waiting for something ended before it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Cancelled,
    Deadline,
}

impl Cut {
    /// Waits for `work` until the deadline or the cancellation.
    pub(crate) async fn until<T>(
        deadline: Instant,
        cancel: &CancellationToken,
        work: impl Future<Output = T>,
    ) -> Result<T, Self> {
        let work = cancel.run_until_cancelled(work);
        match tokio::time::timeout_at(deadline, work).await {
            Ok(Some(done)) => Ok(done),
            Ok(None) => Err(Self::Cancelled),
            Err(_) => Err(Self::Deadline),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_duration_is_a_deadline_too() {
        let now = Instant::now();
        assert_eq!(after(now, Duration::MAX), now + FOREVER);
        assert_eq!(
            after(now, Duration::from_secs(1)),
            now + Duration::from_secs(1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_deadline_or_the_cancellation() {
        let (cancel, deadline) = (
            CancellationToken::new(),
            after(Instant::now(), Duration::from_secs(1)),
        );
        let late = Cut::until(deadline, &cancel, std::future::pending::<()>()).await;
        assert_eq!((late, Instant::now()), (Err(Cut::Deadline), deadline));
        assert_eq!(Cut::until(deadline, &cancel, async { 7 }).await, Ok(7));
        cancel.cancel();
        let later = deadline + Duration::from_secs(1);
        let cut = Cut::until(later, &cancel, std::future::pending::<()>()).await;
        assert_eq!(cut, Err(Cut::Cancelled));
    }
}
