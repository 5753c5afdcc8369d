//! How well a broker does, and whether routing should use it.
//!
//! The rules live in a pure state machine to which the time is passed in;
//! [`BrokerHealth`] puts it behind a lock for the reports and publishes the verdict
//! in atomics for the routing decision, which takes no lock.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use self::machine::HealthMachine;
use crate::{
    load::{Load, Share},
    options::HealthOptions,
    router::RoutedCounts,
};

mod incident;
mod machine;
mod probe;
mod registry;
mod snapshot;
mod window;

pub use self::{
    incident::{Incident, IncidentId},
    registry::BrokerRegistry,
    snapshot::{BrokerHealthInfo, HealthCause},
};

/// Least time between two warnings that a broker is avoided.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// The four states of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BrokerState {
    /// Failed several times in a row: used while its success rate is good.
    Degraded,
    /// Used.
    Healthy,
    /// Taken out by the operator, and put back only by the operator.
    Suspended,
    /// Failed many times in a row: avoided, apart from probes, while another
    /// broker exists.
    Unhealthy,
}

impl BrokerState {
    /// The documents' name of the state: `HEALTHY` and so on.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Degraded => "DEGRADED",
            Self::Healthy => "HEALTHY",
            Self::Suspended => "SUSPENDED",
            Self::Unhealthy => "UNHEALTHY",
        }
    }
}

impl fmt::Display for BrokerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What routing does with a broker: its state and success rate in one word.
///
/// The order is that of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Verdict {
    Use = 0,
    AvoidDegraded = 1,
    AvoidUnhealthy = 2,
    Never = 3,
}

impl Verdict {
    const fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Use,
            1 => Self::AvoidDegraded,
            2 => Self::AvoidUnhealthy,
            _ => Self::Never,
        }
    }
}

/// What the routing decision reads. On cache lines of its own: reports lock and
/// write their record for every message, and must not slow the readers.
#[derive(Debug)]
#[repr(align(128))]
struct Published {
    verdict: AtomicU8,
    failure_run: AtomicU32,
    /// Nanoseconds after `created` from which a probe may go; meaningful while the
    /// verdict is to avoid.
    next_probe: AtomicU64,
    /// How long a claimed probe keeps the next one waiting.
    probe_lease: AtomicU64,
}

/// What the records of a registry have in common.
#[derive(Debug, Default)]
struct SharedCounts {
    /// How many records are not plainly usable.
    impaired: AtomicUsize,
    /// Messages routed to brokers whose records are gone.
    retired: RoutedCounts,
    /// How much each broker may hold.
    share: Share,
}

/// The health record of one broker name at one address.
///
/// Reports change it, routing reads it. Both are cheap: a report takes a lock of
/// this record alone, a reading takes none.
pub struct BrokerHealth {
    broker_name: Arc<str>,
    address: Arc<str>,
    created: Instant,
    published: Published,
    shared: Arc<SharedCounts>,
    /// Messages routed to this broker since it was created, by what decided.
    routed: RoutedCounts,
    /// When the log may next be told that the broker is avoided, in nanoseconds since `created`.
    next_warning: AtomicU64,
    load: Load,
    machine: Mutex<HealthMachine>,
}

impl BrokerHealth {
    /// A clean record. `seed` decides the jitter of the probes.
    #[must_use]
    pub fn new(
        broker_name: impl Into<Arc<str>>,
        address: impl Into<Arc<str>>,
        options: HealthOptions,
        now: Instant,
        seed: u64,
    ) -> Self {
        Self::with_counter(
            broker_name.into(),
            address.into(),
            options,
            now,
            seed,
            Arc::default(),
        )
    }

    fn with_counter(
        broker_name: Arc<str>,
        address: Arc<str>,
        options: HealthOptions,
        now: Instant,
        seed: u64,
        shared: Arc<SharedCounts>,
    ) -> Self {
        let machine = HealthMachine::new(options, now, seed);
        Self {
            broker_name,
            address,
            created: now,
            published: Published {
                verdict: AtomicU8::new(Verdict::Use as u8),
                failure_run: AtomicU32::new(0),
                next_probe: AtomicU64::new(0),
                probe_lease: AtomicU64::new(0),
            },
            shared,
            routed: RoutedCounts::default(),
            next_warning: AtomicU64::new(0),
            load: Load::default(),
            machine: Mutex::new(machine),
        }
    }

    /// The broker's name.
    #[must_use]
    pub fn broker_name(&self) -> &Arc<str> {
        &self.broker_name
    }

    /// The address this record is about.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// The state at this moment.
    #[must_use]
    pub fn state(&self) -> BrokerState {
        self.lock().state()
    }

    /// Whether routing uses the broker without being forced to.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.verdict() == Verdict::Use
    }

    /// Whether an operator keeps traffic from it until it is resumed.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.verdict() == Verdict::Never
    }

    /// Everything about the record, read at one moment.
    #[must_use]
    pub fn info(&self) -> BrokerHealthInfo {
        let machine = self.lock();
        let avoided = matches!(
            machine.verdict(),
            Verdict::AvoidDegraded | Verdict::AvoidUnhealthy
        );
        let next_probe = avoided.then(|| {
            self.created + Duration::from_nanos(self.published.next_probe.load(Ordering::Acquire))
        });
        let mut info = machine.info(
            Arc::clone(&self.broker_name),
            Arc::clone(&self.address),
            self.routed.total(),
            next_probe,
        );
        drop(machine);
        info.smoothed_latency = self.load.smoothed(self.nanos(Instant::now()));
        info.in_flight = self.load.in_flight();
        info.in_flight_bytes = self.load.bytes();
        info
    }

    /// A request to the broker was answered in good order.
    ///
    /// A success without a latency counts in the success rate only.
    pub fn report_success(&self, latency: Option<Duration>, now: Instant) {
        let mut machine = self.lock();
        machine.report_success(latency, now);
        self.load.answered(latency, self.nanos(now));
        self.publish(&mut machine);
    }

    /// A request failed through the broker's own fault.
    ///
    /// Returns whether it was counted: of one [`Incident`] only the first report is.
    pub fn report_failure(&self, incident: &Incident, error: &str, now: Instant) -> bool {
        let mut machine = self.lock();
        let counted = machine.report_failure(incident, error, now);
        self.publish(&mut machine);
        counted
    }

    /// Makes the broker healthy and zeroes both runs; ends a suspension. Totals and
    /// window stay.
    pub fn force_recovery(&self, now: Instant) {
        self.change(|machine| machine.force_recovery(now));
    }

    /// Takes the broker out until [`resume`](Self::resume) or
    /// [`force_recovery`](Self::force_recovery). Returns whether that changed
    /// anything.
    pub fn suspend(&self, now: Instant) -> bool {
        self.change(|machine| machine.suspend(now))
    }

    /// Ends a suspension; the broker is then healthy with both runs at zero.
    /// Returns whether it was suspended.
    pub fn resume(&self, now: Instant) -> bool {
        self.change(|machine| machine.resume(now))
    }

    pub(crate) fn verdict(&self) -> Verdict {
        Verdict::from_bits(self.published.verdict.load(Ordering::Acquire))
    }

    /// Failures in a row, as last published.
    pub(crate) fn failure_run(&self) -> u32 {
        self.published.failure_run.load(Ordering::Relaxed)
    }

    /// Takes the right to send one message to an avoided broker, if one is due.
    ///
    /// The claim holds the next probe back for the present wait, so a claimant that
    /// never reports costs one wait and no more.
    pub(crate) fn claim_probe(&self, now: Instant) -> bool {
        if !matches!(
            self.verdict(),
            Verdict::AvoidDegraded | Verdict::AvoidUnhealthy
        ) {
            return false;
        }
        let at = self.nanos(now);
        let due = self.published.next_probe.load(Ordering::Acquire);
        if at < due {
            return false;
        }
        let lease = self.published.probe_lease.load(Ordering::Relaxed);
        self.published
            .next_probe
            .compare_exchange(
                due,
                at.saturating_add(lease.max(1)),
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Whether the log may be told now that the broker is avoided; true at most once per
    /// [`WARNING_INTERVAL`], since flow control makes a broker come and go several times a second.
    pub(crate) fn claim_warning(&self, now: Instant) -> bool {
        let at = self.nanos(now);
        let next = at.saturating_add(duration_nanos(WARNING_INTERVAL));
        let claim = |due| (at >= due).then_some(next);
        let warning = &self.next_warning;
        warning
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim)
            .is_ok()
    }

    /// What is under way at the broker.
    pub(crate) fn load(&self) -> &Load {
        &self.load
    }

    /// How much each broker may hold.
    pub(crate) fn share(&self) -> &Share {
        &self.shared.share
    }

    /// Messages routed to this broker, by what decided.
    pub(crate) fn routed(&self) -> &RoutedCounts {
        &self.routed
    }

    fn change<T>(&self, change: impl FnOnce(&mut HealthMachine) -> T) -> T {
        let mut machine = self.lock();
        let result = change(&mut machine);
        self.publish(&mut machine);
        result
    }

    fn lock(&self) -> MutexGuard<'_, HealthMachine> {
        // No code that can panic runs under this lock; a poisoned one is still sound.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes only what changed, so that the usual success leaves the readers'
    /// cache lines alone. Runs under the machine's lock, hence no lost update.
    fn publish(&self, machine: &mut HealthMachine) {
        let published = &self.published;
        let run = machine.failure_run();
        if published.failure_run.load(Ordering::Relaxed) != run {
            published.failure_run.store(run, Ordering::Relaxed);
        }
        let verdict = machine.verdict();
        if let Some(schedule) = machine.take_probe_change() {
            published
                .probe_lease
                .store(duration_nanos(schedule.lease), Ordering::Relaxed);
            published
                .next_probe
                .store(self.nanos(schedule.due), Ordering::Release);
        }
        let old = Verdict::from_bits(published.verdict.swap_if_changed(verdict));
        match (old == Verdict::Use, verdict == Verdict::Use) {
            (true, false) => {
                self.shared.impaired.fetch_add(1, Ordering::AcqRel);
            }
            (false, true) => {
                self.shared.impaired.fetch_sub(1, Ordering::AcqRel);
            }
            _ => {}
        }
    }

    /// The moment as the load has it.
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        duration_nanos(at.saturating_duration_since(self.created))
    }
}

trait SwapIfChanged {
    /// Stores the verdict if it differs and returns the old one.
    fn swap_if_changed(&self, verdict: Verdict) -> u8;
}

impl SwapIfChanged for AtomicU8 {
    fn swap_if_changed(&self, verdict: Verdict) -> u8 {
        let old = self.load(Ordering::Relaxed);
        if old != verdict as u8 {
            self.store(verdict as u8, Ordering::Release);
        }
        old
    }
}

impl Drop for BrokerHealth {
    fn drop(&mut self) {
        if self.verdict() != Verdict::Use {
            self.shared.impaired.fetch_sub(1, Ordering::AcqRel);
        }
        self.shared.retired.add(&self.routed);
    }
}

impl fmt::Debug for BrokerHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerHealth")
            .field("broker_name", &self.broker_name)
            .field("address", &self.address)
            .field("verdict", &self.verdict())
            .finish_non_exhaustive()
    }
}

fn duration_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
