//! Where latencies are collected.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::failure::Failure;

/// Longest latency told apart, in nanoseconds: an hour, the largest send budget.
const LONGEST: u64 = 3_600_000_000_000;
/// Digits kept: every figure is right to a thousandth of itself.
const DIGITS: u8 = 3;

/// Latencies in nanoseconds, in some 300 KiB whatever comes.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
}

impl Latencies {
    pub(crate) fn new() -> Result<Self, Failure> {
        let histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS)
            .map_err(|error| Failure::failed("latencies cannot be collected", error))?;
        Ok(Self { histogram })
    }

    /// So many messages took so long.
    pub(crate) fn record_nanos(&mut self, latency: u64, messages: u64) {
        self.histogram.saturating_record_n(latency, messages);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency in nanoseconds that this share of all, 0 to 1, did not exceed; 0 for none.
    pub(crate) fn at(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile)
    }

    pub(crate) fn max(&self) -> u64 {
        self.histogram.max()
    }
}

/// A time in nanoseconds.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds for a reader.
pub(crate) fn human(nanos: u64) -> String {
    match nanos {
        0..1_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", nanos as f64 / 1e6),
        _ => format!("{:.2} s", nanos as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_thousandth_and_nothing_is_too_long() {
        let mut latencies = Latencies::new().unwrap();
        assert_eq!((latencies.at(0.5), latencies.max()), (0, 0));
        for micros in 1..=1000 {
            latencies.record_nanos(micros * 1000, 1);
        }
        let median = latencies.at(0.5);
        assert!((500_000..=500_500).contains(&median), "{median}");
        latencies.record_nanos(nanos(Duration::MAX), 1);
        assert_eq!(latencies.len(), 1001);
        assert!(latencies.max() >= LONGEST);
    }

    #[test]
    fn times_are_shown_in_the_unit_that_fits() {
        let shown = [1_234, 1_234_567, 1_234_567_890].map(human);
        assert_eq!(shown, ["1.2 µs", "1.23 ms", "1.23 s"]);
    }
}
