//! Deadlines from durations of any length.

use std::time::Duration;

use tokio::time::Instant;

/// As good as never, and still far from what an [`Instant`] can hold.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// The moment `time` after `now`; users may give `Duration::MAX`.
pub(crate) fn after(now: Instant, time: Duration) -> Instant {
    now + time.min(FOREVER)
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
}
