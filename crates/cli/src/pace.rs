//! A limit on how many messages begin per second.

use std::time::Duration;

use tokio::time::Instant;

/// What may be caught up after a delay. Timers wake to the millisecond: without it a rate of more
/// than a thousand per second could not be kept.
const CATCH_UP: Duration = Duration::from_millis(20);

/// Says when the next message is due, so that a rate is kept on average and bursts stay small.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Option<Duration>,
    next: Instant,
}

impl Pace {
    /// So many messages per second, without limit if `None`.
    pub(crate) fn new(per_second: Option<f64>) -> Self {
        // A rate so small that its interval fits no `Duration` is one message in all.
        let interval =
            per_second.map(|rate| Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX));
        Self {
            interval,
            next: Instant::now(),
        }
    }

    /// When the next message may begin; `None` is at once.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.interval.map(|_| self.next)
    }

    /// A message begins now.
    pub(crate) fn begin(&mut self, now: Instant) {
        let Some(interval) = self.interval else {
            return;
        };
        let oldest = now.checked_sub(CATCH_UP).unwrap_or(now);
        let from = self.next.max(oldest);
        // Past the end of the clock's time: never.
        const FOREVER: Duration = Duration::from_secs(86_400 * 365 * 30);
        self.next = from.checked_add(interval).unwrap_or(now + FOREVER);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep_until};

    use super::*;

    async fn begin(pace: &mut Pace) {
        if let Some(due) = pace.due() {
            sleep_until(due).await;
        }
        pace.begin(Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_on_average() {
        for (rate, seconds) in [(0.5, 10.0), (10.0, 10.0), (5_000.0, 2.0), (100_000.0, 0.5)] {
            let start = Instant::now();
            let mut pace = Pace::new(Some(rate));
            let messages = (rate * seconds) as u32;
            for _ in 0..=messages {
                begin(&mut pace).await;
            }
            let took = start.elapsed().as_secs_f64();
            let expected = seconds - 0.021..seconds + 0.005;
            assert!(expected.contains(&took), "{rate}/s took {took} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_delay_is_not_made_up_for_by_a_burst() {
        let mut pace = Pace::new(Some(1_000.0));
        begin(&mut pace).await;
        advance(Duration::from_secs(60)).await;
        let resumed = Instant::now();
        for _ in 0..1_000 {
            begin(&mut pace).await;
        }
        let took = resumed.elapsed();
        assert!(took >= Duration::from_millis(975), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_rate_is_no_wait() {
        let mut pace = Pace::new(None);
        pace.begin(Instant::now());
        assert_eq!(pace.due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_smallest_rate_does_not_overflow() {
        let mut pace = Pace::new(Some(f64::MIN_POSITIVE));
        pace.begin(Instant::now());
        assert!(pace.due() > Some(Instant::now() + Duration::from_secs(86_400)));
    }
}
