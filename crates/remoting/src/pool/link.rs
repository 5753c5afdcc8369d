//! What is known about one address, and what follows from it. Does no I/O; the time is passed in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use super::endpoint::DialResult;
use crate::connection::{CloseReason, ConnectFailure, Connection, ConnectionOptions};
use crate::connectivity::{Connectivity, SuspectCause};
use crate::once::Awaited;
use crate::random;

/// An address that callers ask for is dialled this often at least.
const LONGEST_DEMAND_PAUSE: Duration = Duration::from_secs(3);

/// Shortest pause between dials, and shortest recovery interval.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// A connection of the address.
#[derive(Debug)]
struct Line {
    id: u64,
    connection: Arc<Connection>,
    /// Its peer leaves requests unanswered.
    silent: bool,
}

/// A second connection, opened because the first is silent; the one that answers first stays.
#[derive(Debug)]
struct StandIn {
    line: Line,
    since: Instant,
}

impl StandIn {
    /// Closes it at once: nobody uses it but the one who asks it for a sign of life.
    fn dismiss(stand_in: Option<Self>) {
        if let Some(stand_in) = stand_in {
            stand_in.line.connection.close();
        }
    }
}

/// A dial under way.
#[derive(Debug)]
pub(super) struct Dialing {
    pub(super) result: Awaited<DialResult>,
    /// It has been unanswered for the silence limit.
    slow: bool,
}

/// The last dial, or its connection, failed.
#[derive(Debug)]
struct Failed {
    cause: ConnectFailure,
    at: Instant,
    pause: Duration,
}

/// What became of a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In use; `doubted` if the peer has yet to show that it answers.
    Current {
        doubted: bool,
    },
    StandIn,
    /// The one in use has recovered meanwhile.
    Surplus,
}

/// What the recovery does next.
#[derive(Debug)]
pub(super) enum Step {
    /// There is nothing to win back.
    Rest,
    Wait(Instant),
    Dial,
    /// Ask these for a sign of life, and dial a stand-in if so told.
    Nurse {
        ask: Vec<Arc<Connection>>,
        dial: bool,
    },
}

#[derive(Debug, Default)]
pub(super) struct Link {
    current: Option<Line>,
    stand_in: Option<StandIn>,
    pub(super) dialing: Option<Dialing>,
    failed: Option<Failed>,
    /// Suspect until a connection gives an answer.
    doubt: Option<SuspectCause>,
    backoff: Backoff,
    /// The address was dialled and has not been released since.
    in_use: bool,
    trouble_since: Option<Instant>,
    /// When the recovery acts next on a connection that does not answer.
    next_try: Option<Instant>,
    last_id: u64,
    /// The recovery task runs.
    pub(super) recovering: bool,
    /// Someone is telling of changes, and also tells of the latest.
    pub(super) telling: bool,
    pub(super) told: Connectivity,
}

impl Link {
    /// A number for a new connection.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    pub(super) fn current(&self) -> Option<&Arc<Connection>> {
        self.current.as_ref().map(|line| &line.connection)
    }

    pub(super) fn connectivity(&self) -> Connectivity {
        let slow = self.dialing.as_ref().is_some_and(|dialing| dialing.slow);
        if let Some(cause) = self.doubt {
            return Connectivity::Suspect(cause);
        }
        match &self.current {
            Some(line) if line.silent => Connectivity::Suspect(SuspectCause::Silent),
            Some(_) => Connectivity::Live,
            None if slow => Connectivity::Suspect(SuspectCause::DialSlow),
            None if self.failed.is_some() => Connectivity::Suspect(SuspectCause::DialFailed),
            None => Connectivity::Idle,
        }
    }

    /// Notes that the current connection has ended, if its task has not told so yet, and that a
    /// dial is over.
    pub(super) fn settle(&mut self, options: &ConnectionOptions, now: Instant) {
        // One that was dropped with its runtime leaves its waiters behind.
        self.dialing.take_if(|dialing| !dialing.result.is_open());
        let Some(line) = &self.current else { return };
        if let Some(reason) = line.connection.end() {
            self.ended(line.id, &reason, options, now);
        }
    }

    /// What the last dial, or its connection, failed with.
    pub(super) fn failure(&self) -> Option<ConnectFailure> {
        self.failed.as_ref().map(|failed| failed.cause.clone())
    }

    /// Why a caller may not dial now, and for how long.
    pub(super) fn pause(&self, now: Instant) -> Option<(ConnectFailure, Duration)> {
        let failed = self.failed.as_ref()?;
        let until = failed.at + failed.pause.min(LONGEST_DEMAND_PAUSE);
        (now < until).then(|| (failed.cause.clone(), until.duration_since(now)))
    }

    pub(super) fn dial_begins(&mut self, result: Awaited<DialResult>) {
        self.in_use = true;
        self.dialing = Some(Dialing {
            result,
            slow: false,
        });
    }

    pub(super) fn dial_is_slow(&mut self) {
        if let Some(dialing) = &mut self.dialing {
            dialing.slow = true;
        }
    }

    pub(super) fn dial_failed(
        &mut self,
        cause: &ConnectFailure,
        options: &ConnectionOptions,
        now: Instant,
    ) {
        self.dialing = None;
        // Beside a connection it was an attempt at a stand-in.
        if self.current.is_none() {
            self.fail(cause.clone(), options, now);
        }
    }

    pub(super) fn dial_succeeded(
        &mut self,
        id: u64,
        connection: &Arc<Connection>,
        options: &ConnectionOptions,
        now: Instant,
    ) -> Place {
        self.dialing = None;
        self.in_use = true;
        self.settle(options, now);
        let line = Line {
            id,
            connection: Arc::clone(connection),
            silent: false,
        };
        match &self.current {
            None => {
                self.current = Some(line);
                self.failed = None;
                self.next_try = Some(now + self.interval(options, now));
                Place::Current {
                    doubted: self.doubt.is_some(),
                }
            }
            Some(current) if current.silent => {
                self.stand_in = Some(StandIn { line, since: now });
                Place::StandIn
            }
            Some(_) => Place::Surplus,
        }
    }

    /// The peer has shown that it lives. Returns the connection that is in use from now on, if it
    /// was a stand-in.
    pub(super) fn heard(&mut self, id: u64) -> Option<Arc<Connection>> {
        let mut stood_in = None;
        if self.is_current(id) {
            StandIn::dismiss(self.stand_in.take());
        } else {
            let stand_in = self.stand_in.take_if(|stand_in| stand_in.line.id == id)?;
            stood_in = Some(Arc::clone(&stand_in.line.connection));
            // The old one closes when the last request on it has ended.
            self.current = Some(stand_in.line);
        }
        if let Some(line) = &mut self.current {
            line.silent = false;
        }
        self.doubt = None;
        self.failed = None;
        self.backoff.reset();
        stood_in
    }

    /// The peer leaves requests unanswered; returns the connection on which to ask it.
    pub(super) fn silent(
        &mut self,
        id: u64,
        options: &ConnectionOptions,
        now: Instant,
    ) -> Option<Arc<Connection>> {
        let next_try = now + self.interval(options, now);
        let line = self.current.as_mut().filter(|line| line.id == id)?;
        line.silent = true;
        self.next_try = Some(next_try);
        Some(Arc::clone(&line.connection))
    }

    /// The peer takes no new requests on this connection; returns whether it was in use.
    pub(super) fn leaving(&mut self, id: u64, options: &ConnectionOptions, now: Instant) -> bool {
        let was_current = self.is_current(id);
        self.ended(id, &CloseReason::GoAway, options, now);
        was_current
    }

    /// A connection has ended, or takes no new requests.
    pub(super) fn ended(
        &mut self,
        id: u64,
        reason: &CloseReason,
        options: &ConnectionOptions,
        now: Instant,
    ) {
        self.stand_in.take_if(|stand_in| stand_in.line.id == id);
        let Some(line) = self.current.take_if(|line| line.id == id) else {
            return;
        };
        if matches!(reason, CloseReason::GoAway) {
            self.doubt = Some(SuspectCause::Leaving);
        }
        if let Some(StandIn { mut line, .. }) = self.stand_in.take() {
            // It has not answered yet, or it would be in use already.
            line.silent = true;
            self.current = Some(line);
        } else if !line.connection.heard() && !matches!(reason, CloseReason::Local) {
            self.doubt = self.doubt.or(Some(SuspectCause::DialFailed));
            let is_first = self.backoff.is_fresh();
            let cause = ConnectFailure::EndedAtOnce(Arc::new(reason.clone()));
            self.fail(cause, options, now);
            if let Some(failed) = self.failed.as_mut().filter(|_| is_first) {
                // One may have stood unused until the peer's patience ended.
                failed.pause = Duration::ZERO;
            }
        }
    }

    /// Forgets the connection and all doubts, as if the address were new.
    pub(super) fn release(&mut self) -> Option<Arc<Connection>> {
        let line = self.current.take();
        StandIn::dismiss(self.stand_in.take());
        self.failed = None;
        self.doubt = None;
        self.backoff.reset();
        self.in_use = false;
        self.trouble_since = None;
        line.map(|line| line.connection)
    }

    /// Whether nobody uses a connection of it, or waits for one.
    pub(super) fn is_unused(&self) -> bool {
        // The one handle is this one.
        let is_used = |line: &Line| line.connection.handles() > 1;
        self.dialing.is_none() && !self.current.as_ref().is_some_and(is_used)
    }

    /// Whether the recovery has something to do for an address that is held.
    pub(super) fn needs_recovery(&self) -> bool {
        match self.connectivity() {
            Connectivity::Suspect(_) => self.in_use,
            Connectivity::Idle => self.in_use && self.dialing.is_none(),
            Connectivity::Live => false,
        }
    }

    /// Notes since when the address is away.
    pub(super) fn note_trouble(&mut self, now: impl FnOnce() -> Instant) {
        if matches!(self.connectivity(), Connectivity::Live) {
            self.trouble_since = None;
        } else if self.in_use && self.trouble_since.is_none() {
            self.trouble_since = Some(now());
        }
    }

    pub(super) fn next_step(&mut self, options: &ConnectionOptions, now: Instant) -> Step {
        self.settle(options, now);
        if !self.in_use || matches!(self.connectivity(), Connectivity::Live) {
            return Step::Rest;
        }
        let Some(line) = &self.current else {
            let until = match &self.failed {
                _ if self.dialing.is_some() => now + self.interval(options, now),
                Some(failed) => failed.at + failed.pause,
                None => now,
            };
            return if now < until {
                Step::Wait(until)
            } else {
                Step::Dial
            };
        };
        if let Some(next_try) = self.next_try.filter(|next_try| now < *next_try) {
            return Step::Wait(next_try);
        }
        let mut ask = vec![Arc::clone(&line.connection)];
        let silent = line.silent;
        self.next_try = Some(now + self.interval(options, now));
        // One that has not answered in the time of a dial is no better than the first.
        let is_old = |it: &mut StandIn| now.duration_since(it.since) >= options.connect_timeout;
        StandIn::dismiss(self.stand_in.take_if(is_old));
        ask.extend(
            self.stand_in
                .as_ref()
                .map(|it| Arc::clone(&it.line.connection)),
        );
        let dial = silent && self.stand_in.is_none() && self.dialing.is_none();
        Step::Nurse { ask, dial }
    }

    fn is_current(&self, id: u64) -> bool {
        self.current.as_ref().is_some_and(|line| line.id == id)
    }

    fn fail(&mut self, cause: ConnectFailure, options: &ConnectionOptions, now: Instant) {
        let first = options.redial_pause.max(SHORTEST_PAUSE);
        let longest = self.longest_pause(options, now);
        let pause = self.backoff.failed(first, longest, random::unit());
        self.failed = Some(Failed {
            cause,
            at: now,
            pause,
        });
    }

    /// The longest pause between dials, which grows when the address has been away for long.
    fn longest_pause(&self, options: &ConnectionOptions, now: Instant) -> Duration {
        let away = self
            .trouble_since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let longest = if away < options.recovery_phase {
            options.recovery_interval.min(options.max_redial_pause)
        } else {
            options.max_redial_pause
        };
        longest.max(SHORTEST_PAUSE)
    }

    /// The time until the next attempt, from the upper half of its range.
    fn interval(&self, options: &ConnectionOptions, now: Instant) -> Duration {
        let full = self.longest_pause(options, now).max(SHORTEST_INTERVAL);
        full.mul_f64(0.5 + random::unit() / 2.0)
    }
}
