//! What a proxy does to the traffic.

use std::time::Duration;

/// What a proxy does to the traffic, from the moment it is [set](super::FaultProxy::set).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing.
    #[default]
    Pass,
    /// Answers reach the client this much later, in their order.
    Delay(Duration),
    /// Like a path that was cut without a word: connections are accepted and read from, nothing is forwarded in either
    /// direction. A connection that lost a frame so never comes back, also when the fault is over; new ones do.
    HalfOpen,
    /// Like a killed process: connections are reset and new ones refused.
    Refuse,
    /// Each n-th frame, of both directions together, is lost and its connection reset.
    ResetEvery(u64),
    /// Some sends fare badly.
    Sends(Which, Mischief),
    /// Like a host that is gone: connections are reset, and new ones get no answer to their SYN. Linux only.
    Silent,
    /// Like a stopped process: connections stay open, nothing is read. Goes on where it was when the fault is over.
    Stall,
}

/// Which sends, counted from the moment the fault is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Which {
    /// All.
    All,
    /// Each n-th.
    Every(u64),
    /// The n-th only, beginning with 1.
    Nth(u64),
}

impl Fault {
    /// Whether no connection lives through it.
    pub(super) const fn ends_connections(&self) -> bool {
        matches!(self, Self::Refuse | Self::Silent)
    }
}

impl Which {
    pub(super) const fn concerns(self, number: u64) -> bool {
        match self {
            Self::All => true,
            Self::Every(n) => n != 0 && number.is_multiple_of(n),
            Self::Nth(n) => number == n,
        }
    }
}

/// What happens to a send.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mischief {
    /// It does not reach the broker; this is the answer.
    Answer {
        /// The response code.
        code: i32,
        /// What the broker seems to say about it.
        remark: String,
    },
    /// It reaches the broker; in place of the answer come random bytes.
    Garble,
    /// It does not reach the broker; the connection is reset.
    ResetBefore,
    /// It reaches the broker; at its answer the connection is reset.
    ResetAfter,
    /// It reaches the broker; the answer is lost.
    Swallow,
    /// It reaches the broker; half of the answer comes, then the connection is closed.
    Truncate,
}

impl Mischief {
    /// The answer with this code and remark.
    #[must_use]
    pub fn answer(code: i32, remark: &str) -> Self {
        Self::Answer {
            code,
            remark: remark.to_owned(),
        }
    }

    /// The answer of an overloaded broker: `SYSTEM_BUSY`.
    #[must_use]
    pub fn busy() -> Self {
        Self::answer(
            2,
            "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while",
        )
    }

    /// The answer of a broker that shuts down: `GO_AWAY`.
    #[must_use]
    pub fn go_away() -> Self {
        Self::answer(1500, "please go away")
    }
}
