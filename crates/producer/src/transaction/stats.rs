//! What transactions have come to.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts of transactions since the producer was built.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct TransactionStats {
    /// Open now: half message sent or being sent, end not told.
    pub open: usize,
    /// Half messages that got a receipt.
    pub begun: u64,
    /// Decided here as committed, whether the broker has confirmed it or not.
    pub committed: u64,
    /// Decided here as rolled back, those with a weak half message included.
    pub rolled_back: u64,
    /// Ended here as unknown, and those whose caller left them.
    pub unknown: u64,
    /// Commits and rollbacks that no broker has confirmed; brokers ask for those that they do not know.
    pub unconfirmed: u64,
    /// Questions of brokers.
    pub checked_back: u64,
    /// Of those, answered with commit.
    pub checks_committed: u64,
    /// Of those, answered with rollback.
    pub checks_rolled_back: u64,
    /// Of those, answered with unknown, or not at all because the same question was being answered.
    pub checks_unknown: u64,
    /// Of those answered with unknown: the checker took too long.
    pub checks_late: u64,
    /// Of those answered with unknown: the checker panicked.
    pub checks_panicked: u64,
    /// Questions that were not answered: too many waited, or they could not be read.
    pub checks_dropped: u64,
    /// Questions that were answered without the checker, since this process knows the end itself.
    pub checks_known: u64,
    /// Questions for each transaction that was asked for, on average; 0 if none was. What other processes of the group
    /// answered counts too.
    pub average_checks: f64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) begun: AtomicU64,
    pub(super) committed: AtomicU64,
    pub(super) rolled_back: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) unconfirmed: AtomicU64,
    pub(super) checked_back: AtomicU64,
    /// Questions for transactions that were not asked for before.
    pub(super) first_checks: AtomicU64,
    pub(super) checks_committed: AtomicU64,
    pub(super) checks_rolled_back: AtomicU64,
    pub(super) checks_unknown: AtomicU64,
    pub(super) checks_late: AtomicU64,
    pub(super) checks_panicked: AtomicU64,
    pub(super) checks_dropped: AtomicU64,
    pub(super) checks_known: AtomicU64,
}

impl Counts {
    pub(super) fn stats(&self, open: usize) -> TransactionStats {
        let get = |count: &AtomicU64| count.load(Relaxed);
        let (checks, first) = (get(&self.checked_back), get(&self.first_checks));
        TransactionStats {
            open,
            begun: get(&self.begun),
            committed: get(&self.committed),
            rolled_back: get(&self.rolled_back),
            unknown: get(&self.unknown),
            unconfirmed: get(&self.unconfirmed),
            checked_back: checks,
            checks_committed: get(&self.checks_committed),
            checks_rolled_back: get(&self.checks_rolled_back),
            checks_unknown: get(&self.checks_unknown),
            checks_late: get(&self.checks_late),
            checks_panicked: get(&self.checks_panicked),
            checks_dropped: get(&self.checks_dropped),
            checks_known: get(&self.checks_known),
            average_checks: if checks == 0 {
                0.0
            } else {
                checks as f64 / first.max(1) as f64
            },
        }
    }
}

/// Counts one.
pub(super) fn count(count: &AtomicU64) {
    count.fetch_add(1, Relaxed);
}
