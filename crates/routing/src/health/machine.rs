//! The rules of broker health: a state machine without clock, lock or I/O.

use std::{sync::Arc, time::Duration};

use rocketmq_producer_remoting::Connectivity;
use tokio::time::Instant;

use super::{
    BrokerCondition, BrokerHealthInfo, BrokerState, HealthCause, Incident, Verdict,
    incident::RecentIncidents,
    probe::{ProbeChange, ProbeSchedule},
    silence::SilenceLimit,
    window::OutcomeWindow,
};
use crate::options::HealthOptions;

/// The longest error text that a record keeps, in bytes.
const MAX_ERROR_TEXT: usize = 256;

#[derive(Debug)]
pub(super) struct HealthMachine {
    options: HealthOptions,
    state: BrokerState,
    since: Instant,
    cause: HealthCause,
    connectivity: Connectivity,
    connectivity_since: Instant,
    failure_run: u32,
    success_run: u32,
    window: OutcomeWindow,
    probe: ProbeSchedule,
    incidents: RecentIncidents,
    last_error: Option<Arc<str>>,
    success_count: u64,
    failure_count: u64,
    coalesced_count: u64,
    silence: SilenceLimit,
}

impl HealthMachine {
    pub(super) fn new(options: HealthOptions, now: Instant, seed: u64) -> Self {
        let window = OutcomeWindow::new(options.window.min(HealthOptions::MAX_WINDOW));
        Self {
            options,
            state: BrokerState::Healthy,
            since: now,
            cause: HealthCause::Initial,
            connectivity: Connectivity::Idle,
            connectivity_since: now,
            failure_run: 0,
            success_run: 0,
            window,
            probe: ProbeSchedule::new(now, seed),
            incidents: RecentIncidents::default(),
            last_error: None,
            success_count: 0,
            failure_count: 0,
            coalesced_count: 0,
            silence: SilenceLimit::default(),
        }
    }

    pub(super) fn state(&self) -> BrokerState {
        self.state
    }

    pub(super) fn condition(&self) -> BrokerCondition {
        BrokerCondition {
            state: self.state,
            connectivity: self.connectivity,
        }
    }

    pub(super) fn cause(&self) -> &HealthCause {
        &self.cause
    }

    pub(super) fn last_error(&self) -> Option<&Arc<str>> {
        self.last_error.as_ref()
    }

    pub(super) fn failure_run(&self) -> u32 {
        self.failure_run
    }

    pub(super) fn verdict(&self) -> Verdict {
        let is_suspect = self.connectivity.is_suspect();
        match self.state {
            BrokerState::Suspended => Verdict::Never,
            BrokerState::Unhealthy if is_suspect => Verdict::AvoidUnhealthySuspect,
            BrokerState::Unhealthy => Verdict::AvoidUnhealthy,
            BrokerState::Degraded | BrokerState::Healthy if is_suspect => Verdict::AvoidSuspect,
            BrokerState::Degraded if self.is_poor() => Verdict::AvoidDegraded,
            BrokerState::Degraded | BrokerState::Healthy => Verdict::Use,
        }
    }

    /// Whether a success leaves all as it is, but for what is counted and measured.
    pub(super) fn is_plain(&self) -> bool {
        self.state == BrokerState::Healthy && self.failure_run == 0
    }

    /// Whether too few requests succeed for a degraded broker.
    fn is_poor(&self) -> bool {
        self.window.success_rate() <= self.options.degraded_min_success_rate
    }

    /// Whether the outcomes of requests alone keep messages away, so that probes have
    /// to bring the broker back.
    fn needs_probes(&self) -> bool {
        match self.state {
            BrokerState::Unhealthy => true,
            BrokerState::Degraded => self.is_poor(),
            BrokerState::Healthy | BrokerState::Suspended => false,
        }
    }

    /// The connection tells something else. Returns whether it is news.
    pub(super) fn connectivity_changed(
        &mut self,
        connectivity: Connectivity,
        now: Instant,
    ) -> bool {
        let before = self.connectivity;
        if before == connectivity {
            return false;
        }
        self.connectivity = connectivity;
        self.connectivity_since = now;
        if before.is_suspect() && !connectivity.is_suspect() && self.needs_probes() {
            // The failures may have had the same cause: no need to wait out the rest.
            self.probe.succeeded(&self.options, now);
        }
        true
    }

    pub(super) fn report_success(&mut self, latency: Option<Duration>, now: Instant) {
        let before = self.needs_probes();
        self.success_count += 1;
        self.failure_run = 0;
        self.success_run = self.success_run.saturating_add(1);
        self.window.push_success(latency);
        if matches!(self.state, BrokerState::Degraded | BrokerState::Unhealthy)
            && self.success_run >= self.options.healthy_after.max(1)
        {
            self.enter(
                BrokerState::Healthy,
                HealthCause::Successes(self.success_run),
                now,
            );
        }
        if before && self.needs_probes() {
            self.probe.succeeded(&self.options, now);
        }
    }

    /// How long the broker may be silent, if that has changed; to be asked after each
    /// success.
    pub(super) fn new_silence_limit(&mut self) -> Option<Duration> {
        self.silence.after_success(&self.window)
    }

    pub(super) fn report_failure(
        &mut self,
        incident: &Incident,
        error: &str,
        now: Instant,
    ) -> bool {
        if !self.incidents.is_new(incident) {
            self.coalesced_count += 1;
            return false;
        }
        let before = self.needs_probes();
        self.failure_count += 1;
        self.success_run = 0;
        self.failure_run = self.failure_run.saturating_add(1);
        self.window.push_failure();
        if self.last_error.as_deref() != Some(error) {
            self.last_error = Some(Arc::from(shortened(error)));
        }
        let run = self.failure_run;
        match self.state {
            BrokerState::Healthy | BrokerState::Degraded
                if run >= self.options.unhealthy_after.max(1) =>
            {
                self.enter(BrokerState::Unhealthy, HealthCause::Failures(run), now);
            }
            BrokerState::Healthy if run >= self.options.degraded_after.max(1) => {
                self.enter(BrokerState::Degraded, HealthCause::Failures(run), now);
            }
            _ => {}
        }
        match (before, self.needs_probes()) {
            (false, true) => self.probe.begin(&self.options, now),
            (true, true) => self.probe.failed(&self.options, now),
            _ => {}
        }
        true
    }

    pub(super) fn force_recovery(&mut self, now: Instant) {
        self.failure_run = 0;
        self.success_run = 0;
        self.enter(BrokerState::Healthy, HealthCause::Operator, now);
    }

    pub(super) fn suspend(&mut self, now: Instant) -> bool {
        let changed = self.state != BrokerState::Suspended;
        if changed {
            self.enter(BrokerState::Suspended, HealthCause::Operator, now);
        }
        changed
    }

    pub(super) fn resume(&mut self, now: Instant) -> bool {
        let changed = self.state == BrokerState::Suspended;
        if changed {
            self.force_recovery(now);
        }
        changed
    }

    pub(super) fn take_probe_change(&mut self) -> Option<ProbeChange> {
        self.probe.take_change()
    }

    pub(super) fn latency_percentile(&self, percent: usize) -> Option<Duration> {
        self.window.latency_percentile(percent)
    }

    pub(super) fn info(
        &self,
        broker_name: Arc<str>,
        address: Arc<str>,
        routed_count: u64,
        next_probe: Option<Instant>,
    ) -> BrokerHealthInfo {
        let percentiles = self.window.percentiles();
        BrokerHealthInfo {
            broker_name,
            address,
            state: self.state,
            since: self.since,
            cause: self.cause.clone(),
            connectivity: self.connectivity,
            connectivity_since: self.connectivity_since,
            last_error: self.last_error.clone(),
            is_available: self.verdict() == Verdict::Use,
            success_rate: self.window.success_rate(),
            avg_latency: self.window.average_latency(),
            latency_p50: percentiles.0,
            latency_p99: percentiles.1,
            smoothed_latency: None,
            in_flight: 0,
            in_flight_bytes: 0,
            window_len: self.window.len(),
            success_count: self.success_count,
            failure_count: self.failure_count,
            coalesced_count: self.coalesced_count,
            consecutive_failures: self.failure_run,
            consecutive_successes: self.success_run,
            routed_count,
            next_probe,
        }
    }

    fn enter(&mut self, state: BrokerState, cause: HealthCause, now: Instant) {
        if self.state != state {
            self.since = now;
        }
        self.state = state;
        self.cause = cause;
    }
}

/// The text cut to its bound at a character boundary: remarks come from the network.
fn shortened(text: &str) -> &str {
    if text.len() <= MAX_ERROR_TEXT {
        return text;
    }
    let end = (0..=MAX_ERROR_TEXT)
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    text.get(..end).unwrap_or_default()
}
