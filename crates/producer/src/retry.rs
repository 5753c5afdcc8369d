//! Whether, where and when a failed send is tried again: a pure decision.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::routing::remoting::{
    Delivery, RequestFailure, ResponseClass, ResponseCode, RetryRule,
};
use crate::config::{DeliveryGuarantee, ProducerConfig, RetryResponseCodes};
use crate::error::SendFailure;

/// Least share of the budget that an attempt gets, so that many attempts do not starve each other.
const MIN_SHARE: Duration = Duration::from_millis(200);

/// A retry that has less than this left is not begun: its answer could not be awaited.
const MIN_REMAINING: Duration = Duration::from_millis(5);

/// What the settings say about retries.
#[derive(Debug, Clone)]
pub(crate) struct RetryRules {
    /// Attempts beyond the first.
    retry_times: u32,
    /// Pause before the same broker is tried again; it doubles, and is drawn from its upper half.
    first_pause: Duration,
    longest_pause: Duration,
    /// Codes that are passed on to another broker although the table says that they end the send.
    codes: RetryResponseCodes,
    guarantee: DeliveryGuarantee,
    hedges: bool,
    betters_receipts: bool,
}

impl RetryRules {
    pub(crate) fn of(config: &ProducerConfig) -> Self {
        let longest_pause = config.retry_pause_max;
        Self {
            retry_times: config.retry_times,
            first_pause: config.retry_pause.min(longest_pause),
            longest_pause,
            codes: config.retry_response_codes.clone(),
            guarantee: config.delivery_guarantee,
            hedges: config.hedge_percentile > 0,
            betters_receipts: config.retry_another_broker_when_not_store_ok,
        }
    }

    /// Whether an attempt may be repeated after which a message may be stored already.
    pub(crate) fn repeats_unknown(&self) -> bool {
        self.guarantee != DeliveryGuarantee::AtMostOnce
    }

    /// Whether a message that is stored less safely than asked for is sent to another broker too.
    pub(crate) fn betters_receipts(&self) -> bool {
        self.betters_receipts && self.repeats_unknown()
    }

    /// What follows from an answer.
    fn rule(&self, code: ResponseCode, remark: &str) -> RetryRule {
        let rule = ResponseClass::of(code, Some(remark)).retry();
        // Where the remark changes the meaning it speaks of credentials, which every broker refuses, or of the route.
        let by_code = rule == ResponseClass::of(code, None).retry();
        let ends_there = matches!(rule, RetryRule::Never | RetryRule::OtherBrokerOnce);
        if ends_there && by_code && self.codes.contains(code) {
            RetryRule::Elsewhere
        } else {
            rule
        }
    }
}

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
pub(crate) struct RetryState<'a> {
    rules: &'a RetryRules,
    /// Whether an attempt may be repeated whose outcome is unknown.
    repeats_unknown: bool,
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
    /// Boxed, since most sends never fail and futures should be small.
    failures: Option<Box<Failures>>,
}

/// What brokers did, by their names.
#[derive(Debug, Default)]
struct Failures {
    /// Those that were tried, to be avoided.
    tried: Vec<Arc<str>>,
    /// Those of them that must not be tried again.
    ruled_out: Vec<Arc<str>>,
    /// Those that refused the message, and may need time.
    refused: Vec<Arc<str>>,
    /// Those that could not be dialled the last time, so nothing was asked of them.
    unreached: Vec<Arc<str>>,
    /// Those that could not be dialled at some time: once that is no attempt, but not for ever.
    missed: Vec<Arc<str>>,
}

impl<'a> RetryState<'a> {
    /// A send that may make attempts until `deadline`, also after one with an unknown outcome if both the rules and
    /// its way of sending allow it.
    pub(crate) fn new(rules: &'a RetryRules, deadline: Instant, repeats_unknown: bool) -> Self {
        Self {
            rules,
            repeats_unknown: repeats_unknown && rules.repeats_unknown(),
            deadline,
            attempts_left: rules.retry_times.saturating_add(1),
            is_first: true,
            pauses: 0,
            passed_on: false,
            refreshed: false,
            is_stored: false,
            failures: None,
        }
    }

    pub(crate) fn tried(&self) -> &[Arc<str>] {
        self.failures
            .as_ref()
            .map_or(&[], |failures| &failures.tried)
    }

    pub(crate) fn ruled_out(&self) -> &[Arc<str>] {
        self.failures
            .as_ref()
            .map_or(&[], |failures| &failures.ruled_out)
    }

    /// Whether a second attempt may be made beside one without an answer.
    pub(crate) const fn may_hedge(&self) -> bool {
        self.rules.hedges && self.repeats_unknown && !self.is_stored
    }

    /// Whether a broker gets a pause before this send asks it again, whose return may just have been awaited.
    pub(crate) fn needs_pause(&self, broker: &Arc<str>, returned: bool) -> bool {
        self.failures.as_ref().is_some_and(|failures| {
            let unreached = failures.unreached.contains(broker);
            failures.refused.contains(broker)
                || (failures.tried.contains(broker) && !returned && !unreached)
        })
    }

    /// Whether the message is stored, if not as safely as asked for.
    pub(crate) const fn is_stored(&self) -> bool {
        self.is_stored
    }

    /// Whether no attempt was begun yet.
    pub(crate) const fn is_first(&self) -> bool {
        self.is_first
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
        add(&mut self.failures.get_or_insert_default().tried, broker);
    }

    /// Takes note of a failed attempt and says what follows.
    pub(crate) fn failed(&mut self, broker: &Arc<str>, failure: &SendFailure) -> Next {
        let failures = self.failures.get_or_insert_default();
        add(&mut failures.tried, broker);
        failures.unreached.retain(|unreached| unreached != broker);
        match failure {
            SendFailure::Refused { .. } => add(&mut failures.refused, broker),
            SendFailure::Connect(_) if !failures.missed.contains(broker) => {
                add(&mut failures.unreached, broker);
            }
            _ => {}
        }
        if failure.delivery() == Delivery::Unknown && !self.repeats_unknown {
            return Next::GiveUp;
        }
        let again = |refresh| Next::Again { refresh };
        match failure {
            SendFailure::Refused { code, remark } => {
                match self.rules.rule(*code, remark) {
                    RetryRule::Elsewhere => again(false),
                    RetryRule::OtherBroker => {
                        add(&mut failures.ruled_out, broker);
                        again(false)
                    }
                    RetryRule::OtherBrokerOnce => {
                        add(&mut failures.ruled_out, broker);
                        once(&mut self.passed_on, again(false))
                    }
                    RetryRule::RefreshRouteThenAgain => {
                        // The route was at fault, not the broker.
                        failures.tried.retain(|tried| tried != broker);
                        failures.refused.retain(|refused| refused != broker);
                        once(&mut self.refreshed, again(true))
                    }
                    RetryRule::RefreshRouteThenOtherBroker => {
                        add(&mut failures.ruled_out, broker);
                        again(true)
                    }
                    _ => Next::GiveUp,
                }
            }
            SendFailure::Request(error) => match error.failure() {
                RequestFailure::Frame(_) | RequestFailure::Hook(_) => Next::GiveUp,
                _ => again(false),
            },
            SendFailure::Connect(_) => {
                // Nothing was asked of the broker, so this was no attempt. One that came back and is gone again has
                // had its chance: that bounds the turns of a send among brokers that come and go.
                if !failures.missed.contains(broker) {
                    add(&mut failures.missed, broker);
                    self.attempts_left = self.attempts_left.saturating_add(1);
                }
                again(false)
            }
            SendFailure::Answer(_) => again(false),
            _ => Next::GiveUp,
        }
    }

    /// The pause before the same broker is tried again; `None` if the deadline comes first.
    /// `jitter` lies in `0.0..1.0`.
    pub(crate) fn pause(&mut self, now: Instant, jitter: f64) -> Option<Duration> {
        let RetryRules {
            first_pause,
            longest_pause,
            ..
        } = *self.rules;
        let full = first_pause
            .saturating_mul(1 << self.pauses.min(16))
            .min(longest_pause);
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
    use crate::config::create_custom_config;

    fn refused(code: i32, remark: &str) -> SendFailure {
        SendFailure::Refused {
            code: ResponseCode(code),
            remark: Arc::from(remark),
        }
    }

    fn rules(settings: &[(&str, &str)]) -> RetryRules {
        RetryRules::of(&create_custom_config("g", "a:1", settings.iter().copied()).unwrap())
    }

    fn state_of(rules: &RetryRules) -> RetryState<'_> {
        RetryState::new(rules, Instant::now() + Duration::from_secs(3), true)
    }

    fn state(retry_times: u32) -> RetryState<'static> {
        state_of(Box::leak(Box::new(rules(&[(
            "retry_times",
            &retry_times.to_string(),
        )]))))
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_once_repeats_only_what_certainly_stored_nothing() {
        let broker = Arc::from("a");
        let (busy, unclear) = (refused(2, "busy"), refused(1, "boom"));
        let rules = rules(&[
            ("delivery_guarantee", "at_most_once"),
            ("retry_another_broker_when_not_store_ok", "true"),
        ]);
        let again = Next::Again { refresh: false };
        assert_eq!(state_of(&rules).failed(&broker, &busy), again);
        assert_eq!(state_of(&rules).failed(&broker, &unclear), Next::GiveUp);
        assert_eq!(state(2).failed(&broker, &unclear), again);
        assert!(!rules.betters_receipts());
    }

    #[tokio::test(start_paused = true)]
    async fn listed_codes_go_elsewhere_unless_credentials_were_refused() {
        let broker = Arc::from("a");
        let rules = rules(&[("retry_response_codes", "1,13,16,215,777")]);
        let again = Next::Again { refresh: false };
        for code in [1, 13, 215, 777] {
            let mut state = state_of(&rules);
            for _ in 0..2 {
                assert_eq!(state.failed(&broker, &refused(code, "no")), again, "{code}");
            }
            assert!(state.ruled_out().is_empty(), "{code}");
        }
        for (code, remark) in [
            (16, "check signature failed."),
            (1, "org.apache.rocketmq.acl.common.AclException: x"),
        ] {
            let next = state_of(&rules).failed(&broker, &refused(code, remark));
            assert_eq!(next, Next::GiveUp, "{code}");
        }
        let unlisted = state_of(&rules).failed(&broker, &refused(1234, "no"));
        assert_eq!(unlisted, Next::GiveUp);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_are_those_of_the_settings() {
        let now = Instant::now();
        let rules = rules(&[("retry_pause", "10ms"), ("retry_pause_max", "15ms")]);
        let mut state = state_of(&rules);
        let pauses = [1.0, 1.0, 0.0].map(|jitter| state.pause(now, jitter).unwrap());
        assert_eq!(pauses, [10_000, 15_000, 7_500].map(Duration::from_micros));
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
        let mut state = state(100);
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
    async fn a_broker_that_refused_gets_a_pause_and_one_that_was_away_does_not() {
        use crate::config::routing::remoting::{ConnectionPool, NoConsumer};

        let (busy, away, fresh) = (Arc::from("a"), Arc::from("b"), Arc::from("c"));
        let pool = ConnectionPool::new(Default::default(), Arc::new(NoConsumer));
        pool.close(Duration::ZERO).await;
        let unreached = pool.connection("a:1", Instant::now()).await.unwrap_err();
        let again = unreached.clone();
        let mut state = state(1);
        state.failed(&busy, &refused(2, "busy"));
        state.begin_attempt(Instant::now(), true);
        let next = state.failed(&away, &SendFailure::Connect(unreached));
        assert_eq!(next, Next::Again { refresh: false });
        for (broker, needs_pause) in [(&busy, true), (&away, false), (&fresh, false)] {
            for returned in [false, true] {
                assert_eq!(state.needs_pause(broker, returned), needs_pause);
            }
        }
        assert_eq!(state.attempts_left, 2, "a dial is no attempt");
        state.begin_attempt(Instant::now(), true);
        state.failed(&away, &SendFailure::Connect(again));
        assert_eq!(state.attempts_left, 1, "but not any number of them");
        assert!(state.needs_pause(&away, false));
        state.failed(
            &away,
            &SendFailure::Answer(crate::config::routing::remoting::FrameError::UnexpectedEnd),
        );
        assert!(state.needs_pause(&away, false) && !state.needs_pause(&away, true));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_never_reach_beyond_the_deadline() {
        let mut state = state(5);
        let now = Instant::now();
        let pauses: Vec<_> = (0..6).map(|_| state.pause(now, 1.0).unwrap()).collect();
        assert!(pauses.is_sorted());
        assert_eq!([pauses[0], pauses[5]], [50, 800].map(Duration::from_millis));
        assert_eq!(state.pause(now + Duration::from_millis(2900), 0.0), None);
    }
}
