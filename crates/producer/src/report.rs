//! What became of the work under way when a producer was shut down.

use std::time::Duration;

use crate::stats::Outcomes;

/// How a shutdown went. Every call of `shutdown` returns the same report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Sends under way when the shutdown began.
    pub under_way: usize,
    /// Of those, messages acknowledged before the deadline.
    pub acked: u64,
    /// Of those, messages a broker refused.
    pub rejected: u64,
    /// Of those, messages of which no byte left this process.
    pub not_sent: u64,
    /// Of those, messages that may be stored although no receipt came.
    pub unknown: u64,
    /// Of those, one-way messages written.
    pub oneway_written: u64,
    /// Sends that the deadline cut off; each still reports its own outcome to its caller, and is
    /// counted above where that happened before the shutdown ended.
    pub abandoned: usize,
    /// Brokers that confirmed that the producer has left.
    pub unregistered: usize,
    /// How long the shutdown took.
    pub elapsed: Duration,
}

impl ShutdownReport {
    /// Whether every send under way had its outcome before the deadline.
    #[must_use]
    pub const fn is_drained(&self) -> bool {
        self.abandoned == 0
    }

    /// Adds what ended between two moments.
    pub(crate) fn with_outcomes(mut self, before: Outcomes, after: Outcomes) -> Self {
        self.acked = after.acked.saturating_sub(before.acked);
        self.rejected = after.rejected.saturating_sub(before.rejected);
        self.not_sent = after.not_sent.saturating_sub(before.not_sent);
        self.unknown = after.unknown.saturating_sub(before.unknown);
        self.oneway_written = after.oneway_written.saturating_sub(before.oneway_written);
        self
    }
}
