//! A bound on questions per second that nobody waits for. Pure.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Lets questions through at a rate, and so many at once after a pause.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the next question would be due if they came evenly.
    due: Mutex<Option<Instant>>,
    every: Duration,
    burst: Duration,
}

impl Pace {
    /// At most `per_second` a second, and that many at once.
    pub(super) const fn new(per_second: u32) -> Self {
        Self {
            due: Mutex::new(None),
            every: Duration::from_nanos(1_000_000_000 / per_second as u64),
            burst: Duration::from_secs(1),
        }
    }

    /// Whether a question may be asked now that counts as `cost` questions.
    pub(super) fn take(&self, cost: u32, now: Instant) -> bool {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(self.burst).unwrap_or(now);
        let next = due.map_or(earliest, |due| due.max(earliest)) + self.every * cost;
        let may = next <= now;
        if may {
            *due = Some(next);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Pace;

    #[test]
    fn a_burst_is_bounded_and_the_rate_holds_after_it() {
        let pace = Pace::new(10);
        let mut now = Instant::now() + Duration::from_secs(3600);
        let granted = (0..100).filter(|_| pace.take(1, now)).count();
        assert_eq!(granted, 10);
        let mut later = 0;
        for _ in 0..1000 {
            now += Duration::from_millis(10);
            later += usize::from(pace.take(1, now));
        }
        assert_eq!(later, 100, "ten a second for ten seconds");
        now += Duration::from_secs(1);
        let dear = (0..100).filter(|_| pace.take(5, now)).count();
        assert_eq!(dear, 2);
    }
}
