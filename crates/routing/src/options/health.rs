//! When the verdict on a broker changes.

use std::time::Duration;

/// Settings of the broker health records.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HealthOptions {
    /// Failures in a row that make a healthy broker degraded. Default 3; at least 1.
    pub degraded_after: u32,
    /// Failures in a row that make a broker unhealthy. Default 5; at least 1. A
    /// value not above [`degraded_after`](Self::degraded_after) skips the degraded
    /// state.
    pub unhealthy_after: u32,
    /// Successes in a row that make a broker healthy again. Default 5; at least 1.
    pub healthy_after: u32,
    /// Outcomes over which success rate and latency are taken. Default 100; 1 to
    /// [`HealthOptions::MAX_WINDOW`].
    pub window: usize,
    /// A degraded broker is used only while its success rate is above this. Default
    /// 0.8; 0 to 1.
    pub degraded_min_success_rate: f64,
    /// Time until an avoided broker gets its first probe. Default 500 ms; at least
    /// 1 ms. It doubles with each probe that fails. Each wait is shortened at random
    /// by up to a quarter.
    pub probe_wait: Duration,
    /// The longest wait between two probes. Default 3 s; at least
    /// [`probe_wait`](Self::probe_wait).
    pub probe_wait_max: Duration,
}

impl HealthOptions {
    /// The largest window; bounds the memory of a record to about 64 KiB.
    pub const MAX_WINDOW: usize = 4096;

    /// Sets [`degraded_after`](Self::degraded_after); raised to 1.
    #[must_use]
    pub fn with_degraded_after(mut self, failures: u32) -> Self {
        self.degraded_after = failures.max(1);
        self
    }

    /// Sets [`unhealthy_after`](Self::unhealthy_after); raised to 1.
    #[must_use]
    pub fn with_unhealthy_after(mut self, failures: u32) -> Self {
        self.unhealthy_after = failures.max(1);
        self
    }

    /// Sets [`healthy_after`](Self::healthy_after); raised to 1.
    #[must_use]
    pub fn with_healthy_after(mut self, successes: u32) -> Self {
        self.healthy_after = successes.max(1);
        self
    }

    /// Sets [`window`](Self::window); brought into 1 to
    /// [`MAX_WINDOW`](Self::MAX_WINDOW).
    #[must_use]
    pub fn with_window(mut self, outcomes: usize) -> Self {
        self.window = outcomes.clamp(1, Self::MAX_WINDOW);
        self
    }

    /// Sets [`degraded_min_success_rate`](Self::degraded_min_success_rate); brought
    /// into 0 to 1, where not a number counts as 0.
    #[must_use]
    pub fn with_degraded_min_success_rate(mut self, rate: f64) -> Self {
        self.degraded_min_success_rate = if rate.is_nan() {
            0.0
        } else {
            rate.clamp(0.0, 1.0)
        };
        self
    }

    /// Sets [`probe_wait`](Self::probe_wait), raised to 1 ms, and
    /// [`probe_wait_max`](Self::probe_wait_max), raised to the former.
    #[must_use]
    pub fn with_probe_waits(mut self, first: Duration, longest: Duration) -> Self {
        self.probe_wait = first.max(Duration::from_millis(1));
        self.probe_wait_max = longest.max(self.probe_wait);
        self
    }
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self {
            degraded_after: 3,
            unhealthy_after: 5,
            healthy_after: 5,
            window: 100,
            degraded_min_success_rate: 0.8,
            probe_wait: Duration::from_millis(500),
            probe_wait_max: Duration::from_secs(3),
        }
    }
}
