//! How well a broker does, and whether routing should use it.
//!
//! The rules live in a pure state machine to which the time is passed in;
//! [`BrokerHealth`] puts it behind a lock for the reports and publishes the verdict
//! in atomics for the routing decision, which takes no lock.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rocketmq_producer_remoting::Connectivity;
use tokio::time::Instant;

pub(crate) use self::verdict::Verdict;
use self::{events::EventHub, machine::HealthMachine, registry::Records, verdict::Published};
use crate::{
    load::{Load, Share},
    nanos::{nanos, nanos_since},
    options::HealthOptions,
    router::RoutedCounts,
};

mod events;
mod incident;
mod machine;
mod probe;
mod registry;
mod silence;
mod snapshot;
mod verdict;
mod window;

pub use self::{
    events::{BrokerCondition, HealthEvent, HealthEvents, HealthEventsError},
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

/// What the records of a registry have in common.
#[derive(Debug, Default)]
struct SharedCounts {
    /// How many records are not plainly usable.
    impaired: AtomicUsize,
    /// Messages routed to brokers whose records are gone.
    retired: RoutedCounts,
    /// How much each broker may hold.
    share: Share,
    events: EventHub,
}

/// The health record of one broker name at one address.
///
/// Reports change it, routing reads it. Both are cheap: a report takes a lock of
/// this record alone, a reading takes none.
pub struct BrokerHealth {
    broker_name: Arc<str>,
    address: Arc<str>,
    /// What times in nanoseconds count from.
    epoch: Instant,
    published: Published,
    shared: Arc<SharedCounts>,
    /// Messages routed to this broker since it was created, by what decided.
    routed: RoutedCounts,
    /// When the log may next be told that the broker is avoided, in nanoseconds since `epoch`.
    next_warning: AtomicU64,
    /// Whether the log was told that the broker is avoided, and not yet that it is used again.
    was_told: AtomicBool,
    load: Load,
    /// The records this one is among.
    records: Weak<Records>,
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
        Self::among(
            broker_name.into(),
            address.into(),
            options,
            (now, now),
            seed,
            Arc::default(),
            Weak::new(),
        )
    }

    fn among(
        broker_name: Arc<str>,
        address: Arc<str>,
        options: HealthOptions,
        (epoch, now): (Instant, Instant),
        seed: u64,
        shared: Arc<SharedCounts>,
        records: Weak<Records>,
    ) -> Self {
        let machine = HealthMachine::new(options, now, seed);
        Self {
            broker_name,
            address,
            epoch,
            published: Published::new(),
            shared,
            routed: RoutedCounts::default(),
            next_warning: AtomicU64::new(0),
            was_told: AtomicBool::new(false),
            load: Load::default(),
            records,
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

    /// The latency that so many percent of the latest successes did not exceed.
    #[must_use]
    pub fn latency_percentile(&self, percent: usize) -> Option<Duration> {
        self.lock().latency_percentile(percent.min(100))
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
        let next_probe = machine
            .verdict()
            .may_be_probed()
            .then(|| self.epoch + self.published.next_probe());
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
        self.succeeded(latency, now);
    }

    /// As [`report_success`](Self::report_success); returns how long the broker may be
    /// silent from now on, if that has changed.
    pub(crate) fn succeeded(&self, latency: Option<Duration>, now: Instant) -> Option<Duration> {
        let at = self.nanos(now);
        let mut machine = self.lock();
        if machine.is_plain() {
            // One more success changes nothing that is published or told.
            self.load.answered(latency, at);
            machine.report_success(latency, now);
            return machine.new_silence_limit();
        }
        drop(machine);
        self.change(now, |machine| {
            self.load.answered(latency, at);
            machine.report_success(latency, now);
            machine.new_silence_limit()
        })
    }

    /// A request failed through the broker's own fault.
    ///
    /// Returns whether it was counted: of one [`Incident`] only the first report is.
    pub fn report_failure(&self, incident: &Incident, error: &str, now: Instant) -> bool {
        self.change(now, |machine| machine.report_failure(incident, error, now))
    }

    /// The connection of the address tells something else: a second signal, faster than
    /// the outcomes of requests. Returns whether it is news.
    pub fn connectivity_changed(&self, connectivity: Connectivity, now: Instant) -> bool {
        self.change(now, |machine| {
            machine.connectivity_changed(connectivity, now)
        })
    }

    /// Makes the broker healthy and zeroes both runs; ends a suspension. Totals and
    /// window stay.
    pub fn force_recovery(&self, now: Instant) {
        self.change(now, |machine| machine.force_recovery(now));
    }

    /// Takes the broker out until [`resume`](Self::resume) or
    /// [`force_recovery`](Self::force_recovery). Returns whether that changed
    /// anything.
    pub fn suspend(&self, now: Instant) -> bool {
        self.change(now, |machine| machine.suspend(now))
    }

    /// Ends a suspension; the broker is then healthy with both runs at zero.
    /// Returns whether it was suspended.
    pub fn resume(&self, now: Instant) -> bool {
        self.change(now, |machine| machine.resume(now))
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.published.verdict()
    }

    /// Failures in a row, as last published.
    pub(crate) fn failure_run(&self) -> u32 {
        self.published.failure_run()
    }

    /// Takes the right to send one message to an avoided broker, if one is due.
    ///
    /// The claim holds the next probe back for the present wait, so a claimant that
    /// never reports costs one wait and no more.
    pub(crate) fn claim_probe(&self, now: Instant) -> bool {
        self.published.claim_probe(self.nanos(now))
    }

    /// Whether the log may be told now that the broker is avoided; true at most once per
    /// [`WARNING_INTERVAL`], since flow control makes a broker come and go several times a second.
    pub(crate) fn claim_warning(&self, now: Instant) -> bool {
        let at = self.nanos(now);
        let next = at.saturating_add(nanos(WARNING_INTERVAL));
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

    /// Changes the machine, publishes what came of it and tells those who want to know.
    fn change<T>(&self, now: Instant, change: impl FnOnce(&mut HealthMachine) -> T) -> T {
        let mut machine = self.lock();
        let before = machine.condition();
        let result = change(&mut machine);
        let (was, is) = self.publish(&mut machine);
        let after = machine.condition();
        if before == after && (was == Verdict::Use) == (is == Verdict::Use) {
            return result;
        }
        let cause = if before.state == after.state && before.connectivity != after.connectivity {
            HealthCause::Connectivity(after.connectivity)
        } else {
            machine.cause().clone()
        };
        let error = machine.last_error().cloned();
        if before != after {
            // Under the lock, so that events come in their order.
            self.shared.events.send(|| HealthEvent {
                broker_name: Arc::clone(&self.broker_name),
                address: Arc::clone(&self.address),
                from: before,
                to: after,
                cause: cause.clone(),
                at: now,
            });
        }
        drop(machine);
        self.log(was, is, &cause, error.as_deref(), now);
        if let Some(records) = self.records.upgrade() {
            records.renew_infos();
        }
        result
    }

    fn log(
        &self,
        was: Verdict,
        is: Verdict,
        cause: &HealthCause,
        error: Option<&str>,
        now: Instant,
    ) {
        let (broker, address) = (&*self.broker_name, &*self.address);
        let (was_used, is_used) = (was == Verdict::Use, is == Verdict::Use);
        if is == Verdict::Never && was != Verdict::Never {
            self.was_told.store(true, Ordering::Relaxed);
            tracing::info!(broker, address, "broker is suspended");
        } else if was_used && !is_used && self.claim_warning(now) {
            self.was_told.store(true, Ordering::Relaxed);
            let error = match cause {
                HealthCause::Connectivity(_) => None,
                _ => error,
            };
            tracing::warn!(broker, address, %cause, error, "broker is avoided");
        } else if !was_used && is_used && self.was_told.swap(false, Ordering::Relaxed) {
            // Not when the log knows nothing of its absence: brokers come and go.
            tracing::info!(broker, address, %cause, "broker is used again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HealthMachine> {
        // No code that can panic runs under this lock; a poisoned one is still sound.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes what routing has to know; returns the verdict before and since. Runs
    /// under the machine's lock, hence no lost update.
    fn publish(&self, machine: &mut HealthMachine) -> (Verdict, Verdict) {
        let published = &self.published;
        published.set_failure_run(machine.failure_run());
        let verdict = machine.verdict();
        if let Some(schedule) = machine.take_probe_change() {
            let lease = nanos(schedule.lease);
            published.set_probe(self.nanos(schedule.due), lease);
        }
        let old = published.set_verdict(verdict);
        match (old == Verdict::Use, verdict == Verdict::Use) {
            (true, false) => {
                self.shared.impaired.fetch_add(1, Ordering::AcqRel);
            }
            (false, true) => {
                self.shared.impaired.fetch_sub(1, Ordering::AcqRel);
            }
            _ => {}
        }
        (old, verdict)
    }

    /// The moment as the load has it.
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        nanos_since(self.epoch, at)
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

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
