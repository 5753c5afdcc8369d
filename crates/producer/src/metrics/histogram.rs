//! Times in buckets that grow with the time: one relaxed addition per time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::ledger::{SHARDS, place};

/// Buckets per doubling, so that a time is known to a quarter of itself.
const STEPS: usize = 4;
/// Times below 2^10 ns share the first bucket.
const FIRST: u32 = 10;
/// Times from 2^36 ns on, more than a minute, share the last.
const LAST: u32 = 36;
const BUCKETS: usize = (LAST - FIRST) as usize * STEPS + 2;

/// A histogram that threads add to in places of their own.
#[derive(Debug)]
pub(super) struct Sharded {
    shards: Box<[Shard; SHARDS]>,
}

#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    counts: [AtomicU64; BUCKETS],
}

impl Default for Sharded {
    fn default() -> Self {
        let shard = || Shard {
            counts: [const { AtomicU64::new(0) }; BUCKETS],
        };
        Self {
            shards: Box::new(std::array::from_fn(|_| shard())),
        }
    }
}

/// The bucket of a time.
fn bucket(time: Duration) -> usize {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let Some(exponent) = nanos.checked_ilog2().filter(|exponent| *exponent >= FIRST) else {
        return 0;
    };
    if exponent >= LAST {
        return BUCKETS - 1;
    }
    // The two bits after the first.
    let step = (nanos >> (exponent - 2)) & (STEPS as u64 - 1);
    (exponent - FIRST) as usize * STEPS + step as usize + 1
}

/// The time that a bucket ends before; none for the last.
fn end(bucket: usize) -> Option<Duration> {
    if bucket + 1 >= BUCKETS {
        return None;
    }
    let doublings = bucket / STEPS;
    let steps = (bucket % STEPS + STEPS) as u64;
    let nanos = (steps << doublings) << (FIRST - 2);
    Some(Duration::from_nanos(nanos))
}

impl Sharded {
    #[inline]
    pub(super) fn record(&self, time: Duration, times: u64) {
        let shard = self.shards.get(place());
        if let Some(count) = shard.and_then(|shard| shard.counts.get(bucket(time))) {
            count.fetch_add(times, Relaxed);
        }
    }

    pub(super) fn snapshot(&self) -> LatencyHistogram {
        let sum = |bucket: usize| -> u64 {
            let counts = self
                .shards
                .iter()
                .filter_map(|shard| shard.counts.get(bucket));
            counts.map(|count| count.load(Relaxed)).sum()
        };
        LatencyHistogram {
            counts: (0..BUCKETS).map(sum).collect(),
        }
    }
}

/// How often times of which length were counted. Each is known to a quarter of itself: the bounds of the buckets grow by
/// a quarter of a power of two, from 1 µs to more than a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyHistogram {
    counts: Vec<u64>,
}

/// Times of about the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LatencyBucket {
    /// All of them are shorter than this; none for the last bucket.
    pub end: Option<Duration>,
    /// How many there are.
    pub count: u64,
}

impl LatencyHistogram {
    /// How many times were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The buckets that hold something, in ascending order.
    pub fn buckets(&self) -> impl Iterator<Item = LatencyBucket> {
        let counts = self.counts.iter().enumerate();
        counts
            .filter(|(_, count)| **count > 0)
            .map(|(bucket, count)| LatencyBucket {
                end: end(bucket),
                count: *count,
            })
    }

    /// A time that the share `quantile` (0 to 1) of all times do not exceed: the end of its bucket. `None` without any.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let rank = (self.count() as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64;
        let mut below = 0;
        for LatencyBucket { end, count } in self.buckets() {
            below += count;
            if below >= rank {
                return Some(end.unwrap_or(Duration::MAX));
            }
        }
        None
    }

    /// The mean, from the middles of the buckets. `None` without any time.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let count = u32::try_from(self.count()).unwrap_or(u32::MAX);
        if count == 0 {
            return None;
        }
        let seconds: f64 = self
            .middles()
            .map(|(time, times)| time.as_secs_f64() * times as f64)
            .sum();
        Some(Duration::from_secs_f64(seconds / f64::from(count)))
    }

    /// A time for each bucket that holds something, and how often it counts.
    pub(super) fn middles(&self) -> impl Iterator<Item = (Duration, u64)> {
        let counts = self.counts.iter().enumerate();
        counts
            .filter(|(_, count)| **count > 0)
            .map(|(bucket, count)| {
                let begin = bucket.checked_sub(1).and_then(end).unwrap_or_default();
                let middle = end(bucket).map_or(begin, |end| (begin + end) / 2);
                (middle, *count)
            })
    }

    /// What came since `earlier`, a snapshot of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let pairs = self.counts.iter().zip(&earlier.counts);
        let counts = pairs.map(|(now, before)| now.saturating_sub(*before));
        Self {
            counts: counts.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_within_its_bucket_and_buckets_follow_each_other() {
        let mut before = Duration::ZERO;
        for place in 0..BUCKETS - 1 {
            let end = end(place).unwrap();
            assert!(end > before, "{place}: {end:?}");
            assert_eq!(bucket(before), place, "{before:?}");
            assert_eq!(bucket(end - Duration::from_nanos(1)), place, "{end:?}");
            if place > 0 {
                assert!((end - before).as_secs_f64() <= before.as_secs_f64() / 4.0 + 1e-12);
            }
            before = end;
        }
        assert_eq!(
            (bucket(before), bucket(Duration::MAX)),
            (BUCKETS - 1, BUCKETS - 1)
        );
        assert!(before > Duration::from_secs(60));
    }

    #[test]
    fn quantiles_and_the_mean_are_right_to_a_quarter() {
        let sharded = Sharded::default();
        assert_eq!(
            (sharded.snapshot().quantile(0.5), sharded.snapshot().mean()),
            (None, None)
        );
        for millis in 1..=100 {
            sharded.record(Duration::from_millis(millis), 1);
        }
        let before = sharded.snapshot();
        let near = |found: Duration, millis: f64| {
            let millis_found = found.as_secs_f64() * 1000.0;
            assert!(
                (millis_found / millis - 1.0).abs() <= 0.25,
                "{found:?} for {millis}"
            );
        };
        near(before.quantile(0.5).unwrap(), 50.0);
        near(before.quantile(0.99).unwrap(), 99.0);
        near(before.mean().unwrap(), 50.5);
        assert_eq!(before.count(), 100);
        sharded.record(Duration::from_secs(1), 3);
        let since = sharded.snapshot().since(&before);
        assert_eq!((since.count(), since.buckets().count()), (3, 1));
    }

    #[test]
    fn no_time_is_lost_between_threads() {
        let sharded = Sharded::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| (0..1000).for_each(|n| sharded.record(Duration::from_micros(n), 1)));
            }
        });
        assert_eq!(sharded.snapshot().count(), 2000 * SHARDS as u64);
    }
}
