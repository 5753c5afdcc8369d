//! How sends end, counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::config::routing::remoting::Delivery;

/// How a send ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With a receipt, of whatever status.
    Acked,
    /// Its caller dropped it.
    Dropped,
    /// One-way, written whole.
    OnewayWritten,
    /// With an error.
    Failed(Delivery),
}

/// Counts outcomes.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    acked: AtomicU64,
    dropped: AtomicU64,
    not_sent: AtomicU64,
    oneway_written: AtomicU64,
    rejected: AtomicU64,
    unknown: AtomicU64,
}

impl Tally {
    pub(crate) fn count(&self, outcome: Outcome, sends: usize) {
        let counter = match outcome {
            Outcome::Acked => &self.acked,
            Outcome::Dropped => &self.dropped,
            Outcome::OnewayWritten => &self.oneway_written,
            Outcome::Failed(Delivery::NotSent) => &self.not_sent,
            Outcome::Failed(Delivery::Rejected) => &self.rejected,
            Outcome::Failed(Delivery::Unknown) => &self.unknown,
        };
        counter.fetch_add(sends as u64, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Outcomes {
        Outcomes {
            acked: self.acked.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            not_sent: self.not_sent.load(Relaxed),
            oneway_written: self.oneway_written.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            unknown: self.unknown.load(Relaxed),
        }
    }
}

/// A [`Tally`] at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcomes {
    pub(crate) acked: u64,
    pub(crate) dropped: u64,
    pub(crate) not_sent: u64,
    pub(crate) oneway_written: u64,
    pub(crate) rejected: u64,
    pub(crate) unknown: u64,
}

impl Outcomes {
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            acked: self.acked + other.acked,
            dropped: self.dropped + other.dropped,
            not_sent: self.not_sent + other.not_sent,
            oneway_written: self.oneway_written + other.oneway_written,
            rejected: self.rejected + other.rejected,
            unknown: self.unknown + other.unknown,
        }
    }

    /// What came since `earlier`.
    pub(crate) const fn minus(self, earlier: Self) -> Self {
        Self {
            acked: self.acked.saturating_sub(earlier.acked),
            dropped: self.dropped.saturating_sub(earlier.dropped),
            not_sent: self.not_sent.saturating_sub(earlier.not_sent),
            oneway_written: self.oneway_written.saturating_sub(earlier.oneway_written),
            rejected: self.rejected.saturating_sub(earlier.rejected),
            unknown: self.unknown.saturating_sub(earlier.unknown),
        }
    }

    /// All outcomes.
    pub(crate) const fn total(&self) -> u64 {
        self.acked
            + self.dropped
            + self.not_sent
            + self.oneway_written
            + self.rejected
            + self.unknown
    }
}
