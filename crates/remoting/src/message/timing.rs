//! When a message is delivered: delay levels and timers.
//!
//! A level is a number into a list of delays that each broker has (`messageDelayLevel`); a timer is any time within the
//! broker's range (`timerMaxDelaySec`), for brokers of 5.0 and later. Java: `Message.setDelayTimeLevel`,
//! `setDelayTimeSec`, `setDelayTimeMs`, `setDeliverTimeMs`.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;

use super::property::{DELAY, TIMER_DELAY_MS, TIMER_DELAY_SEC, TIMER_DELIVER_MS, TRAN_MSG};
use super::{Message, MessageError};

/// Levels of a broker whose list of delays was not changed: 18, from 1 s to 2 h.
pub const DEFAULT_DELAY_LEVELS: u8 = 18;

/// The longest delay of a timer message at a broker whose range was not changed: 3 days.
pub const DEFAULT_LONGEST_DELAY: Duration = Duration::from_secs(259_200);

/// The properties of which a message has one at most.
const TIMINGS: [&str; 4] = [DELAY, TIMER_DELAY_SEC, TIMER_DELAY_MS, TIMER_DELIVER_MS];

/// When a message is to be delivered, if not at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timing {
    /// After the delay of this level, from 1 on.
    DelayLevel(u8),
    /// After this time.
    Delay(Duration),
    /// At this time, in milliseconds since 1970.
    DeliverAt(u64),
}

/// What brokers take; a setting, since a client cannot ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "two bounds, to be given by name")]
pub struct TimingLimits {
    /// The highest delay level.
    pub highest_level: u8,
    /// The longest delay of a timer message.
    pub longest_delay: Duration,
}

impl Default for TimingLimits {
    fn default() -> Self {
        Self {
            highest_level: DEFAULT_DELAY_LEVELS,
            longest_delay: DEFAULT_LONGEST_DELAY,
        }
    }
}

impl Message {
    /// Has the broker deliver the message after the delay of a level; by default it delivers at once. Java:
    /// `setDelayTimeLevel`.
    ///
    /// A broker has 18 levels unless it was changed: 1 s, 5 s, 10 s, 30 s, 1 to 10 min, 20 min, 30 min, 1 h, 2 h. That
    /// the level is not above the highest is checked when the message is sent, by the setting of the producer.
    ///
    /// # Errors
    /// When the level is 0, the message has a timer, or its properties become too long.
    pub fn with_delay_level(mut self, level: u8) -> Result<Self, MessageError> {
        if level == 0 {
            return Err(TimingError::LevelZero.into());
        }
        self.set_timing(DELAY, u64::from(level), &[DELAY])?;
        Ok(self)
    }

    /// Has the broker deliver the message after `delay`; parts of a millisecond are rounded up. Java:
    /// `setDelayTimeSec`, `setDelayTimeMs`.
    ///
    /// For brokers of 5.0 and later: an older one knows no timers and delivers at once. That the delay is within the
    /// broker's range is checked when the message is sent, by the setting of the producer.
    ///
    /// # Errors
    /// When the message has a delay level or a time of delivery, or its properties become too long.
    pub fn with_delay(mut self, delay: Duration) -> Result<Self, MessageError> {
        let (name, value) = if delay.subsec_nanos() == 0 {
            (TIMER_DELAY_SEC, delay.as_secs())
        } else {
            let millis = delay.as_nanos().div_ceil(1_000_000);
            (TIMER_DELAY_MS, u64::try_from(millis).unwrap_or(u64::MAX))
        };
        self.set_timing(name, value, &[TIMER_DELAY_SEC, TIMER_DELAY_MS])?;
        Ok(self)
    }

    /// Has the broker deliver the message at a time, by the broker's clock; at once if it has passed. Parts of a
    /// millisecond are rounded up. Java: `setDeliverTimeMs`.
    ///
    /// For brokers of 5.0 and later, as [`with_delay`](Self::with_delay).
    ///
    /// # Errors
    /// When the time is before 1970, the message has a delay, or its properties become too long.
    pub fn with_deliver_at(self, time: SystemTime) -> Result<Self, MessageError> {
        let since = time
            .duration_since(UNIX_EPOCH)
            .map_err(|_| TimingError::Before1970)?;
        let millis = since.as_nanos().div_ceil(1_000_000);
        self.with_deliver_at_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// As [`with_deliver_at`](Self::with_deliver_at), with the time in milliseconds since 1970.
    ///
    /// # Errors
    /// As [`with_deliver_at`](Self::with_deliver_at).
    pub fn with_deliver_at_millis(mut self, millis: u64) -> Result<Self, MessageError> {
        self.set_timing(TIMER_DELIVER_MS, millis, &[TIMER_DELIVER_MS])?;
        Ok(self)
    }

    /// Has the broker deliver the message at once, whatever was set before.
    #[must_use]
    pub fn without_timing(mut self) -> Self {
        if self.is_timed {
            for name in TIMINGS {
                self.properties.remove(name);
            }
            self.is_timed = false;
        }
        self
    }

    /// When the message is to be delivered, if not at once.
    #[must_use]
    pub fn timing(&self) -> Option<Timing> {
        if !self.is_timed {
            return None;
        }
        self.properties.iter().find_map(|(name, value)| {
            // Set above, so always a number.
            let number: u64 = value.parse().ok()?;
            match name {
                DELAY => Some(Timing::DelayLevel(u8::try_from(number).unwrap_or(u8::MAX))),
                TIMER_DELAY_SEC => Some(Timing::Delay(Duration::from_secs(number))),
                TIMER_DELAY_MS => Some(Timing::Delay(Duration::from_millis(number))),
                TIMER_DELIVER_MS => Some(Timing::DeliverAt(number)),
                _ => None,
            }
        })
    }

    /// Whether the message is to be delivered later; it costs no look at the properties.
    #[must_use]
    pub const fn is_timed(&self) -> bool {
        self.is_timed
    }

    /// Checks the time of delivery against what brokers take, `now` being milliseconds since 1970. A broker would lower
    /// a level that is too high without a word.
    ///
    /// # Errors
    /// The limit that is exceeded, or that the message is half of a transaction.
    pub fn check_timing(&self, limits: &TimingLimits, now: u64) -> Result<(), TimingError> {
        let Some(timing) = self.timing() else {
            return Ok(());
        };
        if self.properties.get(TRAN_MSG) == Some("true") {
            return Err(TimingError::Transaction);
        }
        let delay = match timing {
            Timing::DelayLevel(level) if level > limits.highest_level => {
                return Err(TimingError::LevelTooHigh {
                    level,
                    highest: limits.highest_level,
                });
            }
            Timing::DelayLevel(_) => return Ok(()),
            Timing::Delay(delay) => delay,
            Timing::DeliverAt(at) => Duration::from_millis(at.saturating_sub(now)),
        };
        if delay > limits.longest_delay {
            return Err(TimingError::TooFar {
                delay,
                longest: limits.longest_delay,
            });
        }
        Ok(())
    }

    /// Checks that the message may be half of a transaction, which a broker would deliver at once, or late, whatever
    /// was asked for.
    ///
    /// # Errors
    /// When it is to be delivered later.
    pub const fn check_transaction_timing(&self) -> Result<(), TimingError> {
        if self.is_timed {
            return Err(TimingError::Transaction);
        }
        Ok(())
    }

    /// Sets a property in place of the `same` ones; another of its kind is refused.
    fn set_timing(
        &mut self,
        name: &'static str,
        value: u64,
        same: &[&str],
    ) -> Result<(), MessageError> {
        let other = TIMINGS
            .into_iter()
            .find(|other| !same.contains(other) && self.properties.get(other).is_some());
        if let Some(other) = other {
            return Err(TimingError::Two { name, other }.into());
        }
        self.properties.set(name, &value.to_string())?;
        for other in same.iter().filter(|other| **other != name) {
            self.properties.remove(other);
        }
        self.is_timed = true;
        Ok(())
    }
}

/// Why a time of delivery is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TimingError {
    /// The time of delivery is before 1970.
    #[error("the time of delivery is before 1970")]
    Before1970,
    /// The delay level is above the highest that brokers have.
    #[error("the delay level is {level}, the highest is {highest} (setting max_delay_level)")]
    LevelTooHigh {
        /// The level.
        level: u8,
        /// The highest.
        highest: u8,
    },
    /// The delay level is 0; the lowest is 1.
    #[error("the delay level is 0, the lowest is 1")]
    LevelZero,
    /// The time of delivery is further away than brokers take.
    #[error(
        "the message is to be delivered in {delay:?}, at most {longest:?} are taken (setting max_timer_delay)"
    )]
    TooFar {
        /// How long until then.
        delay: Duration,
        /// The longest delay.
        longest: Duration,
    },
    /// Half of a transaction cannot be delivered later.
    #[error("a message in a transaction cannot be delayed")]
    Transaction,
    /// The message has another delay or time of delivery.
    #[error("the message has {other} already, {name} cannot be set beside it")]
    Two {
        /// The property that was to be set.
        name: &'static str,
        /// The property that is there.
        other: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{Timing, TimingError, TimingLimits};
    use crate::message::{Message, MessageError};

    fn message() -> Message {
        Message::new("t", "x").unwrap()
    }

    fn timing(error: MessageError) -> TimingError {
        match error {
            MessageError::Timing(error) => error,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn each_kind_has_javas_property_and_is_read_back() {
        let level = message().with_delay_level(3).unwrap();
        assert_eq!(level.property("DELAY"), Some("3"));
        assert_eq!(level.timing(), Some(Timing::DelayLevel(3)));
        let seconds = message().with_delay(Duration::from_secs(60)).unwrap();
        assert_eq!(seconds.property("TIMER_DELAY_SEC"), Some("60"));
        assert_eq!(
            seconds.timing(),
            Some(Timing::Delay(Duration::from_secs(60)))
        );
        let millis = message().with_delay(Duration::from_micros(1500)).unwrap();
        assert_eq!(millis.property("TIMER_DELAY_MS"), Some("2"), "never early");
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let at = message().with_deliver_at(at).unwrap();
        assert_eq!(at.property("TIMER_DELIVER_MS"), Some("1700000000123"));
        assert_eq!(at.timing(), Some(Timing::DeliverAt(1_700_000_000_123)));
        assert_eq!((message().timing(), message().is_timed()), (None, false));
    }

    #[test]
    fn the_same_kind_is_replaced_and_all_can_be_taken_away() {
        let m = message().with_delay(Duration::from_secs(1)).unwrap();
        let m = m.with_delay(Duration::from_millis(1)).unwrap();
        assert_eq!(m.property("TIMER_DELAY_SEC"), None);
        assert_eq!(m.property("TIMER_DELAY_MS"), Some("1"));
        let m = m.without_timing();
        assert_eq!(m, message());
        assert_eq!(m.with_delay_level(1).unwrap().property("DELAY"), Some("1"));
    }

    #[test]
    fn two_kinds_in_one_message_are_refused() {
        let level = message().with_delay_level(1).unwrap();
        let error = level.with_delay(Duration::from_millis(1)).unwrap_err();
        assert_eq!(
            timing(error),
            TimingError::Two {
                name: "TIMER_DELAY_MS",
                other: "DELAY"
            }
        );
        let delayed = message().with_delay(Duration::from_secs(1)).unwrap();
        let error = delayed.clone().with_delay_level(1).unwrap_err();
        assert!(matches!(timing(error), TimingError::Two { .. }));
        let error = delayed.with_deliver_at_millis(5).unwrap_err();
        assert!(matches!(timing(error), TimingError::Two { .. }));
    }

    #[test]
    fn what_cannot_be_is_refused_when_it_is_set() {
        let error = message().with_delay_level(0).unwrap_err();
        assert_eq!(timing(error), TimingError::LevelZero);
        let error = message()
            .with_deliver_at(UNIX_EPOCH - Duration::from_millis(1))
            .unwrap_err();
        assert_eq!(timing(error), TimingError::Before1970);
    }

    #[test]
    fn limits_are_checked_to_the_millisecond() {
        let limits = TimingLimits::default();
        let level = |level| message().with_delay_level(level).unwrap();
        assert_eq!(level(18).check_timing(&limits, 0), Ok(()));
        assert_eq!(
            level(19).check_timing(&limits, 0),
            Err(TimingError::LevelTooHigh {
                level: 19,
                highest: 18
            })
        );
        let days = Duration::from_secs(259_200);
        let exact = message().with_delay(days).unwrap();
        assert_eq!(exact.check_timing(&limits, 0), Ok(()));
        let over = message()
            .with_delay(days + Duration::from_millis(1))
            .unwrap();
        assert!(matches!(
            over.check_timing(&limits, 0),
            Err(TimingError::TooFar { .. })
        ));
        let at = message().with_deliver_at_millis(259_200_001).unwrap();
        assert_eq!(at.check_timing(&limits, 1), Ok(()));
        assert!(at.check_timing(&limits, 0).is_err());
        assert_eq!(at.check_timing(&limits, u64::MAX), Ok(()), "in the past");
        assert_eq!(message().check_timing(&limits, 0), Ok(()));
    }

    #[test]
    fn a_delayed_message_cannot_be_in_a_transaction() {
        let mut m = message().with_delay_level(1).unwrap();
        assert_eq!(m.check_transaction_timing(), Err(TimingError::Transaction));
        assert_eq!(message().check_transaction_timing(), Ok(()));
        m.properties.set("TRAN_MSG", "true").unwrap();
        assert_eq!(
            m.check_timing(&TimingLimits::default(), 0),
            Err(TimingError::Transaction)
        );
    }
}
