//! When an avoided broker may be tried with one message.

use std::time::Duration;

use tokio::time::Instant;

use crate::options::HealthOptions;

/// Far beyond any use, and far from what an [`Instant`] can hold.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// What the routing decision has to know of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProbeChange {
    /// From when a probe may go.
    pub(super) due: Instant,
    /// How long a probe that was let through holds back the next.
    pub(super) lease: Duration,
}

/// Growing, jittered waits between half-open probes.
///
/// The n-th wait is `probe_wait * 2^n`, at most `probe_wait_max`, shortened at
/// random by up to a quarter: many producers must not probe in step.
#[derive(Clone, Debug)]
pub(super) struct ProbeSchedule {
    doublings: u32,
    due: Instant,
    lease: Duration,
    random: SplitMix,
    changed: bool,
}

impl ProbeSchedule {
    pub(super) fn new(now: Instant, seed: u64) -> Self {
        Self {
            doublings: 0,
            due: now,
            lease: Duration::ZERO,
            random: SplitMix(seed),
            changed: false,
        }
    }

    /// The broker has just become one to avoid.
    pub(super) fn begin(&mut self, options: &HealthOptions, now: Instant) {
        self.doublings = 0;
        self.set_wait(options, now);
    }

    /// A failure while avoided. Only one from after the probe was due makes the wait
    /// grow: stragglers sent before the verdict say nothing new.
    pub(super) fn failed(&mut self, options: &HealthOptions, now: Instant) {
        if now >= self.due {
            self.doublings = self.doublings.saturating_add(1);
            self.set_wait(options, now);
        }
    }

    /// A success while avoided: the next probe may go at once, and waits start small
    /// again.
    pub(super) fn succeeded(&mut self, options: &HealthOptions, now: Instant) {
        self.doublings = 0;
        self.lease = options.probe_wait;
        self.due = now;
        self.changed = true;
    }

    /// The schedule, if it changed since it was last taken.
    pub(super) fn take_change(&mut self) -> Option<ProbeChange> {
        std::mem::take(&mut self.changed).then_some(ProbeChange {
            due: self.due,
            lease: self.lease,
        })
    }

    fn set_wait(&mut self, options: &HealthOptions, now: Instant) {
        let factor = 1_u32.checked_shl(self.doublings).unwrap_or(u32::MAX);
        let nominal = options
            .probe_wait
            .saturating_mul(factor)
            .min(options.probe_wait_max)
            .min(LONGEST_WAIT);
        let wait = nominal.mul_f64(1.0 - 0.25 * self.random.next_unit());
        self.lease = wait;
        self.due = now + wait;
        self.changed = true;
    }
}

/// A small generator of jitter: reproducible from its seed and good enough for it.
#[derive(Clone, Debug)]
struct SplitMix(u64);

impl SplitMix {
    /// A number in 0 to 1, 1 excluded.
    fn next_unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
        let unit = (z >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::ProbeSchedule;
    use crate::options::HealthOptions;

    #[test]
    fn waits_double_up_to_the_bound_and_are_never_longer() {
        let options = HealthOptions::default();
        for seed in 0..200 {
            let mut now = Instant::now();
            let mut schedule = ProbeSchedule::new(now, seed);
            schedule.begin(&options, now);
            for nominal in [500, 1000, 2000, 3000, 3000, 3000] {
                let change = schedule.take_change().unwrap();
                let wait = change.due - now;
                let nominal = Duration::from_millis(nominal);
                assert!(wait <= nominal && wait >= nominal.mul_f64(0.75), "{wait:?}");
                now = change.due;
                schedule.failed(&options, now);
            }
        }
    }

    #[test]
    fn a_straggling_failure_does_not_make_the_wait_grow() {
        let options = HealthOptions::default();
        let now = Instant::now();
        let mut schedule = ProbeSchedule::new(now, 7);
        schedule.begin(&options, now);
        let first = schedule.take_change().unwrap();
        for _ in 0..100 {
            schedule.failed(&options, now + Duration::from_millis(1));
        }
        assert_eq!(schedule.take_change(), None);
        schedule.failed(&options, first.due);
        assert!(schedule.take_change().unwrap().due > first.due);
    }

    #[test]
    fn waits_of_any_length_are_a_moment_too() {
        let options = HealthOptions::default().with_probe_waits(Duration::MAX, Duration::MAX);
        let now = Instant::now();
        let mut schedule = ProbeSchedule::new(now, 7);
        schedule.begin(&options, now);
        assert!(schedule.take_change().unwrap().due > now);
    }

    #[test]
    fn the_jitter_differs_between_seeds() {
        let options = HealthOptions::default();
        let now = Instant::now();
        let due = |seed| {
            let mut schedule = ProbeSchedule::new(now, seed);
            schedule.begin(&options, now);
            schedule.take_change().unwrap().due
        };
        assert_ne!(due(1), due(2));
        assert_eq!(due(3), due(3));
    }
}
