//! What became of the work under way when a producer was flushed or shut down.

use std::time::Duration;

use crate::outcome::Outcomes;

/// How a shutdown went. Every call of `shutdown` returns the same report.
///
/// Every send that was under way is counted once: `under_way` is the sum of `acked`, `rejected`,
/// `not_sent`, `unknown`, `oneway_written`, `dropped` and `unresolved`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Sends under way when the shutdown began. Those refused since are not among them.
    pub under_way: usize,
    /// Of those, messages acknowledged.
    pub acked: u64,
    /// Of those, messages a broker refused.
    pub rejected: u64,
    /// Of those, messages of which no byte left this process.
    pub not_sent: u64,
    /// Of those, messages that may be stored although no receipt came.
    pub unknown: u64,
    /// Of those, one-way messages written.
    pub oneway_written: u64,
    /// Of those, sends that their callers dropped; their messages may be stored.
    pub dropped: u64,
    /// Of those, sends that had no outcome when the shutdown ended; their callers still get one.
    pub unresolved: usize,
    /// Sends that had no outcome when the time for waiting was over, and were cut off. Each is
    /// counted above by what became of it.
    pub abandoned: usize,
    /// Transactions that were still open when the time for waiting was over. Brokers will ask other processes of the group
    /// for them.
    pub open_transactions: usize,
    /// Brokers that confirmed that the producer has left.
    pub unregistered: usize,
    /// How long the shutdown took.
    pub elapsed: Duration,
}

impl ShutdownReport {
    /// Whether every send and every transaction under way could end by itself.
    #[must_use]
    pub const fn is_drained(&self) -> bool {
        self.abandoned == 0 && self.open_transactions == 0
    }

    /// The report of sends that ended since the shutdown began, and of those that have not.
    pub(crate) fn of(ended: Outcomes, unresolved: usize) -> Self {
        let total = usize::try_from(ended.total()).unwrap_or(usize::MAX);
        Self {
            under_way: total.saturating_add(unresolved),
            acked: ended.acked,
            rejected: ended.rejected,
            not_sent: ended.not_sent,
            unknown: ended.unknown,
            oneway_written: ended.oneway_written,
            dropped: ended.dropped,
            unresolved,
            ..Self::default()
        }
    }
}

/// What became of the sends that a flush waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlushReport {
    /// Messages acknowledged.
    pub acked: u64,
    /// Messages a broker refused.
    pub rejected: u64,
    /// Messages of which no byte left this process.
    pub not_sent: u64,
    /// Messages that may be stored although no receipt came.
    pub unknown: u64,
    /// One-way messages written.
    pub oneway_written: u64,
    /// Sends that their callers dropped; their messages may be stored.
    pub dropped: u64,
    /// Sends without an outcome when the time for waiting was over. Some of them may have begun after the flush, since
    /// they are not told apart then.
    pub under_way: usize,
    /// How long the flush took.
    pub elapsed: Duration,
}

impl FlushReport {
    /// Whether every send that the flush waited for has its outcome.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.under_way == 0
    }

    /// Whether every send that the flush waited for was acknowledged, or written if it was one-way.
    #[must_use]
    pub const fn is_all_acked(&self) -> bool {
        let failed = self.rejected + self.not_sent + self.unknown + self.dropped;
        self.is_complete() && failed == 0
    }

    pub(crate) fn of(ended: Outcomes, under_way: usize, elapsed: Duration) -> Self {
        Self {
            acked: ended.acked,
            rejected: ended.rejected,
            not_sent: ended.not_sent,
            unknown: ended.unknown,
            oneway_written: ended.oneway_written,
            dropped: ended.dropped,
            under_way,
            elapsed,
        }
    }
}
