//! Times as whole nanoseconds, so that they fit an atomic; what is too long for one counts as the longest.

use std::time::Duration;

use tokio::time::Instant;

/// A duration.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The time from `epoch` to `at`; none if `at` comes first.
pub(crate) fn nanos_since(epoch: Instant, at: Instant) -> u64 {
    nanos(at.saturating_duration_since(epoch))
}
