//! How long a broker may be silent before its connection is in doubt.

use std::time::Duration;

use super::window::OutcomeWindow;

/// The shortest limit, and the one while little is known.
const SHORTEST: Duration = Duration::from_millis(200);

/// How many times its 99th percentile a broker may be silent.
const PERCENTILES: u32 = 4;

/// Successes between two looks at the window at least. A larger window is looked at
/// once per quarter of it, so that the cost per success does not grow with it.
const PAUSE: usize = 32;

/// Follows the latencies of a broker.
#[derive(Debug)]
pub(super) struct SilenceLimit {
    limit: Duration,
    successes: usize,
    /// Keeps its room between two looks.
    scratch: Vec<Duration>,
}

impl Default for SilenceLimit {
    fn default() -> Self {
        Self {
            limit: SHORTEST,
            successes: 0,
            scratch: Vec::new(),
        }
    }
}

impl SilenceLimit {
    /// The limit if it has changed.
    pub(super) fn after_success(&mut self, window: &OutcomeWindow) -> Option<Duration> {
        self.successes += 1;
        if self.successes < PAUSE.max(window.len() / 4) {
            return None;
        }
        self.successes = 0;
        // Most brokers never are so slow that it takes a percentile to know.
        let limit = if window.is_within(SHORTEST / PERCENTILES)? {
            SHORTEST
        } else {
            let p99 = window.p99(&mut self.scratch)?;
            p99.saturating_mul(PERCENTILES).max(SHORTEST)
        };
        let changed = limit != self.limit;
        self.limit = limit;
        changed.then_some(limit)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{OutcomeWindow, SilenceLimit};

    #[test]
    fn the_limit_follows_the_slowest_answers_and_is_told_only_when_it_moves() {
        let mut window = OutcomeWindow::new(100);
        let mut silence = SilenceLimit::default();
        let mut told = Vec::new();
        for (millis, answers) in [(1, 200), (80, 200), (1, 200)] {
            for _ in 0..answers {
                window.push_success(Some(Duration::from_millis(millis)));
                told.extend(silence.after_success(&window));
            }
        }
        let limits = [320, 200].map(Duration::from_millis);
        assert_eq!(told, limits);
    }

    #[test]
    fn a_few_answers_say_nothing_yet() {
        let mut window = OutcomeWindow::new(100);
        let mut silence = SilenceLimit::default();
        for _ in 0..31 {
            window.push_success(Some(Duration::from_secs(9)));
            assert_eq!(silence.after_success(&window), None);
        }
    }
}
