//! When a peer that owes answers counts as silent: pure, driven by the connection.
//!
//! A quiet time begins when the connection's task finds a request waiting and ends with the next
//! frame. So it costs one clock reading per answered batch and none per request, and a single lost
//! answer among many that come is no silence.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// How long quiet may last, shared by the connections of one address.
#[derive(Debug)]
pub(crate) struct SilenceLimit(AtomicU64);

impl SilenceLimit {
    const SHORTEST: Duration = Duration::from_millis(1);

    pub(crate) fn new(limit: Duration) -> Self {
        let new = Self(AtomicU64::new(0));
        new.set(limit);
        new
    }

    pub(crate) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }

    pub(crate) fn set(&self, limit: Duration) {
        let nanos = u64::try_from(limit.max(Self::SHORTEST).as_nanos());
        self.0.store(nanos.unwrap_or(u64::MAX), Relaxed);
    }
}

#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Begin of the quiet time.
    quiet_since: Option<Instant>,
    /// The quiet time has been given anew once, because nobody was there to hear.
    was_absent: bool,
    is_silent: bool,
}

impl Silence {
    /// Something came from the peer; whether this ends a silence.
    pub(super) fn heard(&mut self) -> bool {
        std::mem::take(self).is_silent
    }

    /// When to look next, if requests have waited all the time until then.
    pub(super) fn next_look(
        &mut self,
        asking: bool,
        limit: Duration,
        now: impl FnOnce() -> Instant,
    ) -> Option<Instant> {
        if self.is_silent {
            return None;
        }
        if self.quiet_since.is_none() && asking {
            self.quiet_since = Some(now());
        }
        self.quiet_since?.checked_add(limit)
    }

    /// Whether the peer is silent from now on.
    pub(super) fn begins(&mut self, now: Instant, limit: Duration) -> bool {
        let Some(since) = self.quiet_since.filter(|_| !self.is_silent) else {
            return false;
        };
        let quiet = now.saturating_duration_since(since);
        if quiet < limit {
            return false;
        }
        if quiet >= limit.saturating_mul(2) && !self.was_absent {
            // This task did not run for as long as that: the process or the machine slept, and
            // what the peer said meanwhile may still lie in the socket.
            self.was_absent = true;
            self.quiet_since = Some(now);
            return false;
        }
        self.is_silent = true;
        self.quiet_since = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(200);
    const MS: Duration = Duration::from_millis(1);

    fn look(silence: &mut Silence, asking: bool, now: Instant) -> Option<Instant> {
        silence.next_look(asking, LIMIT, || now)
    }

    #[test]
    fn a_request_without_any_answer_for_the_limit_begins_a_silence_once() {
        let mut silence = Silence::default();
        let start = Instant::now();
        assert_eq!(look(&mut silence, false, start), None);
        assert_eq!(look(&mut silence, true, start), Some(start + LIMIT));
        assert_eq!(
            look(&mut silence, true, start + 50 * MS),
            Some(start + LIMIT)
        );
        assert!(!silence.begins(start + LIMIT - MS, LIMIT));
        assert!(silence.begins(start + LIMIT, LIMIT));
        assert!(!silence.begins(start + LIMIT * 3, LIMIT));
        assert_eq!(look(&mut silence, true, start + LIMIT), None);
    }

    #[test]
    fn the_first_frame_ends_it_and_a_newer_request_begins_the_next() {
        let mut silence = Silence::default();
        let start = Instant::now();
        look(&mut silence, true, start);
        assert!(silence.begins(start + LIMIT, LIMIT));
        assert!(silence.heard());
        assert!(!silence.heard());
        let later = start + LIMIT * 2;
        assert_eq!(look(&mut silence, false, later), None);
        assert_eq!(look(&mut silence, true, later), Some(later + LIMIT));
        assert!(silence.begins(later + LIMIT, LIMIT));
    }

    #[test]
    fn requests_that_are_answered_in_turn_never_make_a_silence() {
        let mut silence = Silence::default();
        let start = Instant::now();
        for n in 0..100 {
            let now = start + n * LIMIT * 3 / 4;
            assert!(!silence.begins(now, LIMIT));
            assert!(!silence.heard());
            look(&mut silence, true, now);
        }
    }

    #[test]
    fn a_request_that_was_given_up_still_counts_as_unanswered() {
        let mut silence = Silence::default();
        let start = Instant::now();
        look(&mut silence, true, start);
        assert_eq!(look(&mut silence, false, start + MS), Some(start + LIMIT));
        assert!(silence.begins(start + LIMIT, LIMIT));
    }

    #[test]
    fn after_a_sleep_of_this_side_the_peer_has_its_time_once_more() {
        let mut silence = Silence::default();
        let start = Instant::now();
        look(&mut silence, true, start);
        let woken = start + LIMIT * 100;
        assert!(!silence.begins(woken, LIMIT));
        assert_eq!(look(&mut silence, true, woken), Some(woken + LIMIT));
        assert!(silence.begins(woken + LIMIT * 2, LIMIT), "only once");
    }

    #[test]
    fn the_limit_can_change_while_it_runs_and_can_be_out_of_reach() {
        let mut silence = Silence::default();
        let start = Instant::now();
        look(&mut silence, true, start);
        let longer = LIMIT * 4;
        assert_eq!(
            silence.next_look(true, longer, || start),
            Some(start + longer)
        );
        assert!(!silence.begins(start + LIMIT, longer));
        let limit = SilenceLimit::new(Duration::MAX);
        assert!(limit.get() > Duration::from_secs(1 << 30));
        limit.set(Duration::ZERO);
        assert_eq!(limit.get(), MS);
    }
}
