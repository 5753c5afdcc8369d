//! Kinds of messages that a broker keeps elsewhere first: where the acknowledged place is, and what is checked.

use crate::config::ProducerConfig;
use crate::config::routing::remoting::message::{Timing, TimingLimits};
use crate::config::routing::remoting::{Message, MessageError};

/// The part of a broker that took a message first. What a receipt names then is the place there, not the one where
/// consumers find the message: they see another offset and another `offsetMsgId`, and the same message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Via {
    /// Half messages of transactions (`RMQ_SYS_TRANS_HALF_TOPIC`), until the transaction ends.
    Half,
    /// Delay levels (`SCHEDULE_TOPIC_XXXX`), until the delay is over.
    Schedule,
    /// Timers (`rmq_sys_wheel_timer`), until the time comes.
    Timer,
}

impl Via {
    /// The name in the command line tool's ledger: `half`, `schedule` or `timer`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Half => "half",
            Self::Schedule => "schedule",
            Self::Timer => "timer",
        }
    }

    /// Where a message goes first that is born at a moment, in milliseconds since 1970.
    pub(crate) fn of(message: &Message, born: i64) -> Option<Self> {
        match message.timing()? {
            Timing::DelayLevel(_) => Some(Self::Schedule),
            // A time that has passed is no reason to wait.
            Timing::DeliverAt(at) if i64::try_from(at).is_ok_and(|at| at <= born) => None,
            Timing::Delay(delay) if delay.is_zero() => None,
            _ => Some(Self::Timer),
        }
    }
}

impl std::fmt::Display for Via {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Checks the time of delivery of a message against the settings, at `now` in milliseconds since 1970.
#[cold]
pub(crate) fn check_timing(
    message: &Message,
    config: &ProducerConfig,
    now: u64,
) -> Result<(), MessageError> {
    let limits = TimingLimits {
        // The setting is bounded to 255.
        highest_level: u8::try_from(config.max_delay_level).unwrap_or(u8::MAX),
        longest_delay: config.max_timer_delay,
    };
    message.check_timing(&limits, now).map_err(Into::into)
}
