//! The pause before an address is dialled again: it doubles and is jittered. Pure.

use std::time::Duration;

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A dial succeeded.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Whether there was no failure since the last success.
    pub(super) fn is_fresh(&self) -> bool {
        self.failures == 0
    }

    /// A dial failed; returns the pause before the next. `jitter` lies in `0.0..1.0` and chooses
    /// from the upper half of the range, so that many clients do not come back at once.
    pub(super) fn failed(&mut self, first: Duration, longest: Duration, jitter: f64) -> Duration {
        let doublings = self.failures.min(20);
        self.failures = self.failures.saturating_add(1);
        let full = first.saturating_mul(1 << doublings).min(longest);
        full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(3);

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over_after_success() {
        let mut backoff = Backoff::default();
        let mut pause = || backoff.failed(FIRST, LONGEST, 1.0);
        assert_eq!(pause(), FIRST);
        assert_eq!(pause(), FIRST * 2);
        assert_eq!(pause(), FIRST * 4);
        for _ in 0..100 {
            assert!(pause() <= LONGEST);
        }
        backoff.reset();
        assert_eq!(backoff.failed(FIRST, LONGEST, 0.0), FIRST / 2);
    }
}
