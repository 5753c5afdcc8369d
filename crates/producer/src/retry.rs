//! Whether, where and when a failed send is tried again: a pure decision.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::routing::remoting::{RequestFailure, ResponseClass, RetryRule};
use crate::error::SendFailure;

/// Least share of the budget that an attempt gets, so that many attempts do not starve each other.
const MIN_SHARE: Duration = Duration::from_millis(200);

/// A retry that has less than this left is not begun: its answer could not be awaited.
const MIN_REMAINING: Duration = Duration::from_millis(5);

/// Pause before the same broker is tried again; it doubles, and is drawn from its upper half.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Longest pause before the same broker is tried again.
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The send has failed.
    GiveUp,
    /// Try again, on another broker if there is one. If there is none, one that was tried is tried
    /// after a pause, unless it was ruled out.
    Again {
        /// The route is to be fetched anew before.
        refresh: bool,
    },
}

/// The course of one send over its attempts.
#[derive(Debug)]
pub(crate) struct RetryState {
    deadline: Instant,
    attempts_left: u32,
    is_first: bool,
    pauses: u32,
    /// An error that is passed on to another broker once per send has been.
    passed_on: bool,
    /// A stale route, which is refreshed once per send, has been.
    refreshed: bool,
    /// Some broker has stored the message.
    is_stored: bool,
    /// Names of brokers that were tried, to be avoided.
    tried: Vec<Arc<str>>,
    /// Those of them that must not be tried again.
    ruled_out: Vec<Arc<str>>,
}

impl RetryState {
    /// A send that may make `retry_times` attempts beyond the first until `deadline`.
    pub(crate) const fn new(deadline: Instant, retry_times: u32) -> Self {
        Self {
            deadline,
            attempts_left: retry_times.saturating_add(1),
            is_first: true,
            pauses: 0,
            passed_on: false,
            refreshed: false,
            is_stored: false,
            tried: Vec::new(),
            ruled_out: Vec::new(),
        }
    }

    pub(crate) fn tried(&self) -> &[Arc<str>] {
        &self.tried
    }

    pub(crate) fn ruled_out(&self) -> &[Arc<str>] {
        &self.ruled_out
    }

    /// Whether the message is stored, if not as safely as asked for.
    pub(crate) const fn is_stored(&self) -> bool {
        self.is_stored
    }

    /// Whether another attempt is allowed and worth beginning.
    pub(crate) fn may_try(&self, now: Instant) -> bool {
        let worthwhile = if self.is_first {
            now
        } else {
            now + MIN_REMAINING
        };
        self.attempts_left > 0 && worthwhile < self.deadline
    }

    /// Counts an attempt and gives its deadline. If another broker could still be tried, a hung
    /// one gets only its share of what is left.
    pub(crate) fn begin_attempt(&mut self, now: Instant, other_broker_exists: bool) -> Instant {
        self.is_first = false;
        let left = self.attempts_left.max(1);
        self.attempts_left = self.attempts_left.saturating_sub(1);
        if left == 1 || !other_broker_exists {
            return self.deadline;
        }
        let remaining = self.deadline.saturating_duration_since(now);
        let share = (remaining / left).max(MIN_SHARE).min(remaining);
        now + share
    }

    /// Takes note that a broker stored the message: the only further attempt that makes sense is
    /// one at a broker that was not tried yet.
    pub(crate) fn stored(&mut self, broker: &Arc<str>) {
        self.is_stored = true;
        add(&mut self.tried, broker);
    }

    /// Takes note of a failed attempt and says what follows.
    pub(crate) fn failed(&mut self, broker: &Arc<str>, failure: &SendFailure) -> Next {
        add(&mut self.tried, broker);
        let again = |refresh| Next::Again { refresh };
        match failure {
            SendFailure::Refused { code, remark } => {
                match ResponseClass::of(*code, Some(remark)).retry() {
                    RetryRule::Elsewhere => again(false),
                    RetryRule::OtherBroker => {
                        add(&mut self.ruled_out, broker);
                        again(false)
                    }
                    RetryRule::OtherBrokerOnce => {
                        add(&mut self.ruled_out, broker);
                        once(&mut self.passed_on, again(false))
                    }
                    RetryRule::RefreshRouteThenAgain => {
                        // The route was at fault, not the broker.
                        self.tried.retain(|tried| tried != broker);
                        once(&mut self.refreshed, again(true))
                    }
                    RetryRule::RefreshRouteThenOtherBroker => {
                        add(&mut self.ruled_out, broker);
                        again(true)
                    }
                    _ => Next::GiveUp,
                }
            }
            SendFailure::Request(error) => match error.failure() {
                RequestFailure::Frame(_) => Next::GiveUp,
                _ => again(false),
            },
            SendFailure::Answer(_) | SendFailure::Connect(_) => again(false),
            _ => Next::GiveUp,
        }
    }

    /// The pause before the same broker is tried again; `None` if the deadline comes first.
    /// `jitter` lies in `0.0..1.0`.
    pub(crate) fn pause(&mut self, now: Instant, jitter: f64) -> Option<Duration> {
        let full = FIRST_PAUSE
            .saturating_mul(1 << self.pauses.min(10))
            .min(LONGEST_PAUSE);
        self.pauses = self.pauses.saturating_add(1);
        let pause = full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        (now + pause + MIN_REMAINING < self.deadline).then_some(pause)
    }
}

fn add(names: &mut Vec<Arc<str>>, name: &Arc<str>) {
    if !names.contains(name) {
        names.push(Arc::clone(name));
    }
}

/// `next` the first time, then never again.
fn once(used: &mut bool, next: Next) -> Next {
    if std::mem::replace(used, true) {
        Next::GiveUp
    } else {
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::routing::remoting::ResponseCode;

    fn refused(code: i32, remark: &str) -> SendFailure {
        SendFailure::Refused {
            code: ResponseCode(code),
            remark: Arc::from(remark),
        }
    }

    fn state(retry_times: u32) -> RetryState {
        RetryState::new(Instant::now() + Duration::from_secs(3), retry_times)
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_gets_only_its_share_while_another_broker_exists() {
        let now = Instant::now();
        let mut shared = state(2);
        let share = shared.begin_attempt(now, true) - now;
        assert_eq!(share, Duration::from_secs(1));
        let mut alone = state(2);
        assert_eq!(
            alone.begin_attempt(now, false) - now,
            Duration::from_secs(3)
        );
        let mut last = state(0);
        assert_eq!(last.begin_attempt(now, true) - now, Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_is_never_so_small_that_no_answer_can_come() {
        let now = Instant::now();
        let mut state = state(1000);
        assert_eq!(state.begin_attempt(now, true) - now, MIN_SHARE);
    }

    #[tokio::test(start_paused = true)]
    async fn no_attempt_begins_with_nothing_left_of_the_budget() {
        let mut state = state(5);
        let now = Instant::now();
        let late = now + Duration::from_millis(2996);
        assert!(state.may_try(late), "the first attempt is always made");
        assert!(!state.may_try(now + Duration::from_secs(3)));
        state.begin_attempt(now, true);
        assert!(state.may_try(now));
        assert!(!state.may_try(late));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unclear_error_is_passed_on_once_and_rules_the_broker_out() {
        let (one, two): (Arc<str>, Arc<str>) = (Arc::from("a"), Arc::from("b"));
        let mut state = state(9);
        let stale = refused(29, "request queueId[9] is illegal");
        assert_eq!(state.failed(&one, &stale), Next::Again { refresh: true });
        let unclear = refused(1, "boom");
        assert_eq!(
            state.failed(&one, &unclear),
            Next::Again { refresh: false },
            "the stale route was another matter"
        );
        assert_eq!(state.ruled_out(), [Arc::clone(&one)]);
        assert_eq!(
            state.failed(&two, &refused(2, "busy")),
            Next::Again { refresh: false }
        );
        assert_eq!(state.ruled_out(), [one]);
        assert_eq!(state.failed(&two, &unclear), Next::GiveUp);
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_and_illegal_messages_are_never_tried_again() {
        let broker = Arc::from("a");
        for failure in [
            refused(13, "the message is illegal"),
            refused(16, "check signature failed."),
            refused(1, "org.apache.rocketmq.acl.common.AclException: x"),
        ] {
            assert_eq!(
                state(5).failed(&broker, &failure),
                Next::GiveUp,
                "{failure}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_broker_is_avoided_and_a_stale_route_does_not_blame_it() {
        let broker: Arc<str> = Arc::from("a");
        let mut busy = state(5);
        let next = busy.failed(&broker, &refused(2, "[REJECTREQUEST]"));
        assert_eq!(next, Next::Again { refresh: false });
        assert_eq!(busy.tried(), std::slice::from_ref(&broker));

        let mut stale = state(5);
        let moved = refused(29, "request queueId[9] is illegal");
        let next = stale.failed(&broker, &moved);
        assert_eq!(next, Next::Again { refresh: true });
        assert!(stale.tried().is_empty());
        assert_eq!(stale.failed(&broker, &moved), Next::GiveUp, "only once");
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_never_reach_beyond_the_deadline() {
        let mut state = state(5);
        let now = Instant::now();
        let pauses: Vec<_> = (0..6).map(|_| state.pause(now, 1.0).unwrap()).collect();
        assert!(pauses.is_sorted());
        assert_eq!((pauses[0], pauses[5]), (FIRST_PAUSE, LONGEST_PAUSE));
        assert_eq!(state.pause(now + Duration::from_millis(2900), 0.0), None);
    }
}
