//! Times of day for the ledger, from one reading of the wall clock.

use rocketmq_producer::remoting::message::{SystemClock, WallClock};
use tokio::time::Instant;

/// Turns moments of the monotonic clock into milliseconds since 1970.
///
/// The wall clock is read once, so that it cannot jump between two moments of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EpochClock {
    epoch_millis: f64,
    anchor: Instant,
}

impl EpochClock {
    pub(crate) fn new() -> Self {
        Self::anchored(&SystemClock)
    }

    fn anchored(clock: &impl WallClock) -> Self {
        Self {
            epoch_millis: clock.epoch_millis() as f64,
            anchor: Instant::now(),
        }
    }

    /// Milliseconds since 1970, to the microsecond.
    pub(crate) fn millis(&self, moment: Instant) -> f64 {
        let since = moment.saturating_duration_since(self.anchor).as_micros() as f64;
        let before = self.anchor.saturating_duration_since(moment).as_micros() as f64;
        to_the_microsecond(self.epoch_millis + (since - before) / 1000.0)
    }
}

/// Milliseconds without the noise below a microsecond.
pub(crate) fn to_the_microsecond(millis: f64) -> f64 {
    (millis * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Fixed;

    impl WallClock for Fixed {
        fn epoch_millis(&self) -> u64 {
            1_700_000_000_000
        }
    }

    #[tokio::test(start_paused = true)]
    async fn moments_keep_their_distance_to_the_microsecond() {
        let clock = EpochClock::anchored(&Fixed);
        let now = Instant::now();
        assert_eq!(clock.millis(now), 1_700_000_000_000.0);
        let later = now + Duration::from_micros(1_234_567);
        assert_eq!(clock.millis(later), 1_700_000_001_234.567);
        let earlier = EpochClock {
            anchor: later,
            ..clock
        };
        assert_eq!(earlier.millis(now), 1_699_999_998_765.433);
    }
}
