//! What routing does with a broker, published for the decision, which takes no lock.

use std::{
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

/// What routing does with a broker: its state, success rate and connectivity in one
/// word.
///
/// The order is that of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Verdict {
    Use = 0,
    AvoidDegraded = 1,
    AvoidSuspect = 2,
    AvoidUnhealthy = 3,
    AvoidUnhealthySuspect = 4,
    Never = 5,
}

impl Verdict {
    const fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Use,
            1 => Self::AvoidDegraded,
            2 => Self::AvoidSuspect,
            3 => Self::AvoidUnhealthy,
            4 => Self::AvoidUnhealthySuspect,
            _ => Self::Never,
        }
    }

    /// Whether a message may try the broker out. Not while its connection is in doubt:
    /// that is found out without a message.
    pub(crate) const fn may_be_probed(self) -> bool {
        matches!(self, Self::AvoidDegraded | Self::AvoidUnhealthy)
    }
}

/// What the routing decision reads. On cache lines of its own: reports lock and
/// write their record for every message, and must not slow the readers.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Published {
    verdict: AtomicU8,
    failure_run: AtomicU32,
    /// Nanoseconds after the record's epoch from which a probe may go; meaningful
    /// while the verdict allows one.
    next_probe: AtomicU64,
    /// How long a claimed probe keeps the next one waiting.
    probe_lease: AtomicU64,
}

impl Published {
    pub(super) const fn new() -> Self {
        Self {
            verdict: AtomicU8::new(Verdict::Use as u8),
            failure_run: AtomicU32::new(0),
            next_probe: AtomicU64::new(0),
            probe_lease: AtomicU64::new(0),
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        Verdict::from_bits(self.verdict.load(Ordering::Acquire))
    }

    pub(super) fn failure_run(&self) -> u32 {
        self.failure_run.load(Ordering::Relaxed)
    }

    pub(super) fn next_probe(&self) -> Duration {
        Duration::from_nanos(self.next_probe.load(Ordering::Acquire))
    }

    /// Stores the verdict and returns the old one. Like the others it writes only what
    /// has changed, so that the usual success leaves the readers' cache lines alone.
    /// One call at a time.
    pub(super) fn set_verdict(&self, verdict: Verdict) -> Verdict {
        let old = self.verdict.load(Ordering::Relaxed);
        if old != verdict as u8 {
            self.verdict.store(verdict as u8, Ordering::Release);
        }
        Verdict::from_bits(old)
    }

    pub(super) fn set_failure_run(&self, run: u32) {
        if self.failure_run.load(Ordering::Relaxed) != run {
            self.failure_run.store(run, Ordering::Relaxed);
        }
    }

    /// Has probes go from `due`, and each hold the next one back for `lease`.
    pub(super) fn set_probe(&self, due: u64, lease: u64) {
        self.probe_lease.store(lease, Ordering::Relaxed);
        self.next_probe.store(due, Ordering::Release);
    }

    /// Takes the right to send one probe, if one is allowed and due.
    pub(super) fn claim_probe(&self, at: u64) -> bool {
        if !self.verdict().may_be_probed() {
            return false;
        }
        let due = self.next_probe.load(Ordering::Acquire);
        if at < due {
            return false;
        }
        let lease = self.probe_lease.load(Ordering::Relaxed);
        let next = at.saturating_add(lease.max(1));
        self.next_probe
            .compare_exchange(due, next, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}
