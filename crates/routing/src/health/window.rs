//! The last outcomes of a broker.

use std::{collections::VecDeque, time::Duration};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Failure,
    Success(Option<Duration>),
}

/// A bounded window of outcomes with its sums kept up to date.
#[derive(Clone, Debug)]
pub(super) struct OutcomeWindow {
    outcomes: VecDeque<Outcome>,
    bound: usize,
    successes: usize,
    timed: u32,
    total_latency: Duration,
}

impl OutcomeWindow {
    /// Room grows with use: most brokers of a large cluster are hardly ever sent to.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            outcomes: VecDeque::new(),
            bound: bound.max(1),
            successes: 0,
            timed: 0,
            total_latency: Duration::ZERO,
        }
    }

    pub(super) fn push_success(&mut self, latency: Option<Duration>) {
        // A latency beyond an hour is a broken clock; the cap keeps the sum far
        // from overflow.
        let latency = latency.map(|latency| latency.min(Duration::from_secs(3600)));
        self.make_room();
        self.successes += 1;
        if let Some(latency) = latency {
            self.timed += 1;
            self.total_latency += latency;
        }
        self.outcomes.push_back(Outcome::Success(latency));
    }

    pub(super) fn push_failure(&mut self) {
        self.make_room();
        self.outcomes.push_back(Outcome::Failure);
    }

    /// Share of successes; 1 while nothing is known.
    pub(super) fn success_rate(&self) -> f64 {
        if self.outcomes.is_empty() {
            return 1.0;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a window has at most 4096 outcomes"
        )]
        let rate = self.successes as f64 / self.outcomes.len() as f64;
        rate
    }

    /// Mean latency of the successes that had one.
    pub(super) fn average_latency(&self) -> Option<Duration> {
        self.total_latency.checked_div(self.timed)
    }

    /// The median and the 99th percentile of the latencies, by nearest rank.
    pub(super) fn percentiles(&self) -> (Option<Duration>, Option<Duration>) {
        let mut latencies = Vec::with_capacity(self.outcomes.len());
        let p99 = self.p99(&mut latencies);
        (percentile(&mut latencies, 50), p99)
    }

    /// The 99th percentile. `scratch` keeps its room for the next call, so that only
    /// the first ones allocate.
    pub(super) fn p99(&self, scratch: &mut Vec<Duration>) -> Option<Duration> {
        self.copy_latencies(scratch);
        percentile(scratch, 99)
    }

    pub(super) fn latency_percentile(&self, percent: usize) -> Option<Duration> {
        let mut latencies = Vec::with_capacity(self.outcomes.len());
        self.copy_latencies(&mut latencies);
        percentile(&mut latencies, percent)
    }

    /// Whether no latency is above `bound`; nothing while none is known.
    pub(super) fn is_within(&self, bound: Duration) -> Option<bool> {
        let is_above = |outcome: &Outcome| matches!(outcome, Outcome::Success(Some(latency)) if *latency > bound);
        (self.timed > 0).then(|| !self.outcomes.iter().any(is_above))
    }

    fn copy_latencies(&self, latencies: &mut Vec<Duration>) {
        latencies.clear();
        latencies.extend(self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Success(latency) => *latency,
            Outcome::Failure => None,
        }));
    }

    pub(super) fn len(&self) -> usize {
        self.outcomes.len()
    }

    fn make_room(&mut self) {
        while self.outcomes.len() >= self.bound {
            if let Some(Outcome::Success(latency)) = self.outcomes.pop_front() {
                self.successes -= 1;
                if let Some(latency) = latency {
                    self.timed -= 1;
                    self.total_latency -= latency;
                }
            }
        }
    }
}

/// The smallest latency that `percent` of all are not above.
fn percentile(latencies: &mut [Duration], percent: usize) -> Option<Duration> {
    let rank = (latencies.len() * percent).div_ceil(100).checked_sub(1)?;
    let (_, latency, _) = latencies.select_nth_unstable(rank);
    Some(*latency)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::OutcomeWindow;

    #[test]
    fn the_window_forgets_what_is_older_than_its_bound() {
        let mut window = OutcomeWindow::new(4);
        assert_eq!(window.success_rate(), 1.0);
        for _ in 0..10 {
            window.push_failure();
        }
        assert_eq!((window.len(), window.success_rate()), (4, 0.0));
        for millis in [10, 20, 30, 40] {
            window.push_success(Some(Duration::from_millis(millis)));
        }
        assert_eq!((window.len(), window.success_rate()), (4, 1.0));
        assert_eq!(window.average_latency(), Some(Duration::from_millis(25)));
        window.push_success(Some(Duration::from_millis(50)));
        assert_eq!(window.average_latency(), Some(Duration::from_millis(35)));
    }

    #[test]
    fn percentiles_are_those_of_the_window_by_nearest_rank() {
        let mut window = OutcomeWindow::new(200);
        assert_eq!(window.percentiles(), (None, None));
        let millis = Duration::from_millis;
        // Pushed out of order; a failure in between has no latency.
        for n in (1..=200).rev() {
            window.push_success(Some(millis(n)));
        }
        assert_eq!(window.percentiles(), (Some(millis(100)), Some(millis(198))));
        window.push_failure();
        window.push_success(Some(millis(1)));
        assert_eq!(window.p99(&mut Vec::new()), Some(millis(197)));
        let mut one = OutcomeWindow::new(100);
        one.push_success(Some(millis(7)));
        assert_eq!(one.percentiles(), (Some(millis(7)), Some(millis(7))));
    }

    #[test]
    fn a_success_without_latency_leaves_the_average_alone() {
        let mut window = OutcomeWindow::new(100);
        window.push_success(None);
        assert_eq!(window.average_latency(), None);
        window.push_success(Some(Duration::from_millis(8)));
        window.push_success(None);
        assert_eq!(window.average_latency(), Some(Duration::from_millis(8)));
        assert_eq!(window.success_rate(), 1.0);
    }
}
