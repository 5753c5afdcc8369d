//! One address of the pool: its connection, or the dial that will bring it.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::companions::Companions;
use super::hold::EndpointHold;
use super::link::{Link, Place, Step};
use super::recovery::{self, Running};
use crate::connection::{
    CloseReason, ConnectError, ConnectFailure, Connection, ConnectionHandler, ConnectionOptions,
    Counters, Observer, Sign, SilenceLimit, Watch, count,
};
use crate::connectivity::Connectivity;
use crate::dialer::Dialer;
use crate::once::{Awaited, once};
use crate::protocol::HeartbeatRequestHeader;

/// What all endpoints of a pool have in common.
pub(super) struct Environment {
    pub(super) options: ConnectionOptions,
    pub(super) handler: Arc<dyn ConnectionHandler>,
    pub(super) dialer: Arc<dyn Dialer>,
    pub(super) counters: Arc<Counters>,
    pub(super) tracker: TaskTracker,
    /// The pool closes: dials end, and connections once what they were given is written.
    pub(super) closing: CancellationToken,
    /// Cuts off what is left; implies `closing`.
    pub(super) cancel: CancellationToken,
}

/// What a caller without a connection finds.
enum Joined {
    /// A dial that ended just now has brought a connection.
    Open(Connection),
    Dial(Awaited<DialResult>),
}

pub(super) type DialResult = Result<Connection, ConnectError>;

/// An address in a [`ConnectionPool`](super::ConnectionPool). Clones share it.
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    address: Arc<str>,
    environment: Arc<Environment>,
    /// The connection in use; it may have closed meanwhile. Written under the lock of `link`.
    current: ArcSwapOption<Connection>,
    /// What `link` says, for a look without its lock.
    connectivity: AtomicU8,
    changes: watch::Sender<Connectivity>,
    /// Wakes those who wait for a change within the pool, in their order.
    changed: Notify,
    silence_limit: Arc<SilenceLimit>,
    holders: AtomicUsize,
    /// Wakes the recovery.
    nudge: Arc<Notify>,
    link: Mutex<Link>,
    companions: Companions,
    /// It is a companion itself, and nobody is told of its connectivity.
    is_companion: bool,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.inner.address)
            .field("connectivity", &self.connectivity())
            .finish()
    }
}

impl From<Arc<Inner>> for Endpoint {
    fn from(inner: Arc<Inner>) -> Self {
        Self { inner }
    }
}

impl Endpoint {
    pub(super) fn new(address: Arc<str>, environment: Arc<Environment>) -> Self {
        let companions = Companions::of(&address, &environment);
        Self::with_companions(address, environment, companions, false)
    }

    /// One of the further connections of an address.
    pub(super) fn companion(address: Arc<str>, environment: Arc<Environment>) -> Self {
        Self::with_companions(address, environment, Companions::none(), true)
    }

    fn with_companions(
        address: Arc<str>,
        environment: Arc<Environment>,
        companions: Companions,
        is_companion: bool,
    ) -> Self {
        let silence_limit = SilenceLimit::new(environment.options.silence_limit);
        Self {
            inner: Arc::new(Inner {
                address,
                environment,
                current: ArcSwapOption::empty(),
                connectivity: AtomicU8::new(Connectivity::Idle.to_byte()),
                changes: watch::Sender::new(Connectivity::Idle),
                changed: Notify::new(),
                silence_limit: Arc::new(silence_limit),
                holders: AtomicUsize::new(0),
                nudge: Arc::default(),
                link: Mutex::default(),
                companions,
                is_companion,
            }),
        }
    }

    /// The address, `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// The connection, if it is open.
    #[must_use]
    pub fn current(&self) -> Option<Connection> {
        let current = self.inner.current.load();
        let connection = current.as_deref()?;
        connection.is_open().then(|| connection.clone())
    }

    /// An open connection of those that the address has, each in its turn: with
    /// [`connections`](ConnectionOptions::connections) of one as [`current`](Self::current). Requests whose order
    /// matters keep to that one.
    #[must_use]
    pub fn any_current(&self) -> Option<Connection> {
        self.inner.companions.next().or_else(|| self.current())
    }

    /// All open connections of the address.
    #[must_use]
    pub fn all_current(&self) -> Vec<Connection> {
        let further = self.inner.companions.all().iter();
        let further = further.filter_map(Self::current);
        self.current().into_iter().chain(further).collect()
    }

    /// Whether the address can be reached, as far as its connection tells. One atomic load.
    #[must_use]
    pub fn connectivity(&self) -> Connectivity {
        Connectivity::from_byte(self.inner.connectivity.load(Ordering::Acquire))
    }

    /// Follows [`connectivity`](Self::connectivity). Values that were undone at once may be left
    /// out; the latest is always seen.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Connectivity> {
        self.inner.changes.subscribe()
    }

    /// Sets how long the peer may leave requests without any answer before it is suspect. Begins
    /// as [`ConnectionOptions::silence_limit`], at least 1 ms. Holds from the next answer or
    /// request on.
    pub fn set_silence_limit(&self, limit: Duration) {
        self.inner.silence_limit.set(limit);
        for companion in self.inner.companions.all() {
            companion.set_silence_limit(limit);
        }
    }

    /// Keeps the connection alive as long as the returned value lives: see [`EndpointHold`]. A
    /// first connection is opened only when one is asked for.
    #[must_use]
    pub fn hold(&self) -> EndpointHold {
        EndpointHold::new(self.clone())
    }

    /// An open connection, dialled if there is none. Calls at the same time share one dial.
    ///
    /// # Errors
    /// A [`ConnectError`] if none could be opened before `deadline`, or at once if the address
    /// failed a moment ago.
    ///
    /// # Cancel safety
    /// Safe; a dial that has begun goes on and serves later calls.
    pub async fn connection(&self, deadline: Instant) -> DialResult {
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        self.open_or_dial(deadline).await
    }

    /// An open connection to a peer that is not suspect. Unlike [`connection`](Self::connection)
    /// it also waits while dials fail, and through the pauses between them. The address is held
    /// meanwhile.
    ///
    /// # Errors
    /// The last [`ConnectError`] if there was none before `deadline`; at once if the pool is
    /// closed, or the failure [is lasting](ConnectFailure::is_lasting).
    ///
    /// # Cancel safety
    /// Safe; a dial that has begun goes on and serves later calls.
    pub async fn connected(&self, deadline: Instant) -> DialResult {
        let _hold = self.hold();
        let mut last = None;
        loop {
            // Seen before the look, so a change in between is not missed.
            let changed = self.inner.changed.notified();
            let mut until = deadline;
            match self.connection(deadline).await {
                Ok(connection) if connection.is_open() && !self.connectivity().is_suspect() => {
                    return Ok(connection);
                }
                Ok(_) => {}
                Err(error) => match error.failure() {
                    ConnectFailure::PoolClosed => return Err(error),
                    failure if failure.is_lasting() => return Err(error),
                    ConnectFailure::DeadlineExceeded => {
                        return Err(last.unwrap_or_else(|| self.late()));
                    }
                    ConnectFailure::BackingOff { retry_in, .. } => {
                        until = until.min(Instant::now() + *retry_in);
                        last = Some(error);
                    }
                    _ => {
                        // The next look finds the pause.
                        last = Some(error);
                        continue;
                    }
                },
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = sleep_until(until) => {}
            }
            if Instant::now() >= deadline {
                return Err(last.unwrap_or_else(|| self.late()));
            }
        }
    }

    /// What [`connection`](Self::connection) does when it sees no open connection.
    pub(super) async fn open_or_dial(&self, deadline: Instant) -> DialResult {
        let dial = match self.join_dial()? {
            Joined::Open(connection) => return Ok(connection),
            Joined::Dial(dial) => dial,
        };
        match tokio::time::timeout_at(deadline, dial.wait()).await {
            Ok(Some(result)) => result.clone(),
            // The dial was dropped, which happens only when the pool or its runtime ends.
            Ok(None) => Err(self.error(ConnectFailure::PoolClosed)),
            Err(_) => Err(self.error(ConnectFailure::DeadlineExceeded)),
        }
    }

    /// Closes the connection; the next request dials anew.
    pub(super) fn close(&self) {
        self.inner.companions.all().iter().for_each(Self::close);
        if let Some(connection) = self.update(Link::release) {
            connection.close();
        }
    }

    /// Drops the connection if nobody holds the address or uses the connection; whether so.
    pub(super) fn release_unused(&self) -> bool {
        let unused = self.update(|link| {
            let unused = !self.is_held() && link.is_unused();
            if unused {
                // Not closed but dropped: should a caller have taken it just now, its request goes
                // well.
                drop(link.release());
            }
            unused
        });
        // One that is still used is dropped when the next unused address is looked for.
        let further = self.inner.companions.all().iter();
        further.fold(unused, |unused, companion| {
            unused && companion.release_unused()
        })
    }

    /// Whether at most `handles` share this endpoint, so that it can leave the pool.
    pub(super) fn is_shared_by(&self, handles: usize) -> bool {
        Arc::strong_count(&self.inner) <= handles
    }

    pub(super) fn add_holder(&self) {
        self.inner.holders.fetch_add(1, Ordering::AcqRel);
        self.update(|_| ());
        self.inner
            .companions
            .all()
            .iter()
            .for_each(Self::add_holder);
    }

    pub(super) fn remove_holder(&self) {
        self.inner.holders.fetch_sub(1, Ordering::AcqRel);
        self.inner.nudge.notify_one();
        self.inner
            .companions
            .all()
            .iter()
            .for_each(Self::remove_holder);
    }

    /// The time is over: what the last dial, or its connection, failed with is told, if it did.
    fn late(&self) -> ConnectError {
        let failure = self.lock().failure();
        self.error(failure.unwrap_or(ConnectFailure::DeadlineExceeded))
    }

    fn error(&self, failure: ConnectFailure) -> ConnectError {
        ConnectError::new(Arc::clone(&self.inner.address), failure)
    }

    fn lock(&self) -> MutexGuard<'_, Link> {
        self.inner
            .link
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and sees to all that follows from it.
    fn update<T>(&self, change: impl FnOnce(&mut Link) -> T) -> T {
        let inner = &*self.inner;
        let mut link = self.lock();
        let result = change(&mut link);
        let stored = inner.current.load();
        let same = match (stored.as_ref(), link.current()) {
            (Some(stored), Some(current)) => Arc::ptr_eq(stored, current),
            (None, None) => true,
            _ => false,
        };
        // Else it would count as a user of the connection.
        drop(stored);
        if !same {
            inner.current.store(link.current().cloned());
        }
        link.note_trouble(Instant::now);
        let connectivity = link.connectivity();
        let byte = connectivity.to_byte();
        let before = inner.connectivity.swap(byte, Ordering::AcqRel);
        let recovers = self.is_held()
            && !link.recovering
            && link.needs_recovery()
            && !inner.environment.tracker.is_closed();
        if let Some(runtime) = recovers.then(tokio::runtime::Handle::try_current) {
            if runtime.is_ok() {
                link.recovering = true;
                let closing = inner.environment.closing.clone();
                let running = Running::new(&self.inner);
                let task = recovery::recover(running, Arc::clone(&inner.nudge), closing);
                inner.environment.tracker.spawn(task);
            }
        } else if link.recovering && (before != byte || !same) {
            inner.nudge.notify_one();
        }
        let tells = !link.telling && link.told != connectivity;
        link.telling |= tells;
        drop(link);
        if tells {
            self.tell();
        }
        result
    }

    /// Tells of the latest connectivity until it stays the same, so that changes are told in order
    /// though no lock is held.
    fn tell(&self) {
        let Inner {
            address,
            environment,
            changes,
            ..
        } = &*self.inner;
        loop {
            let mut link = self.lock();
            let connectivity = link.connectivity();
            if link.told == connectivity {
                link.telling = false;
                return;
            }
            link.told = connectivity;
            drop(link);
            debug!(%address, %connectivity, "connectivity changed");
            changes.send_replace(connectivity);
            self.inner.changed.notify_waiters();
            if !self.inner.is_companion {
                environment
                    .handler
                    .connectivity_changed(address, connectivity);
            }
        }
    }

    /// The dial under way, begun if there is none.
    fn join_dial(&self) -> Result<Joined, ConnectError> {
        let environment = &self.inner.environment;
        self.update(|link| {
            let now = Instant::now();
            link.settle(&environment.options, now);
            // A dial stores its connection under this lock; a second one would displace it.
            if let Some(connection) = link.current() {
                return Ok(Joined::Open(Connection::clone(connection)));
            }
            if let Some(dialing) = &link.dialing {
                return Ok(Joined::Dial(dialing.result.clone()));
            }
            if environment.tracker.is_closed() {
                return Err(self.error(ConnectFailure::PoolClosed));
            }
            if let Some((cause, retry_in)) = link.pause(now) {
                let cause = Box::new(cause);
                return Err(self.error(ConnectFailure::BackingOff { cause, retry_in }));
            }
            Ok(Joined::Dial(self.begin_dial(link)))
        })
    }

    fn begin_dial(&self, link: &mut Link) -> Awaited<DialResult> {
        let environment = &self.inner.environment;
        let (done, result) = once();
        link.dial_begins(result.clone());
        let id = link.next_id();
        let endpoint = self.clone();
        let closing = environment.closing.clone();
        environment.tracker.spawn(async move {
            let result = tokio::select! {
                biased;
                () = closing.cancelled() => {
                    let error = endpoint.error(ConnectFailure::PoolClosed);
                    endpoint.dial_failed(&error);
                    Err(error)
                }
                result = endpoint.dial(id) => result,
            };
            done.tell(result);
        });
        result
    }

    async fn dial(&self, id: u64) -> DialResult {
        let Environment {
            options, dialer, ..
        } = &*self.inner.environment;
        let start = Instant::now();
        let slow = self.inner.silence_limit.get().min(options.connect_timeout);
        let mut dialing = dialer.dial(&self.inner.address, options);
        let answer = match tokio::time::timeout(slow, &mut dialing).await {
            Ok(answer) => Ok(answer),
            Err(_) => {
                self.update(Link::dial_is_slow);
                let rest = options.connect_timeout.saturating_sub(start.elapsed());
                tokio::time::timeout(rest, dialing).await
            }
        };
        let stream = match answer {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(ConnectFailure::Io(Arc::new(error))),
            Err(_) => Err(ConnectFailure::TimedOut(Arc::new(options.connect_timeout))),
        };
        match stream {
            Ok(stream) => Ok(self.dialled(id, stream)),
            Err(failure) => {
                let error = self.error(failure);
                self.dial_failed(&error);
                Err(error)
            }
        }
    }

    fn dial_failed(&self, error: &ConnectError) {
        let environment = &self.inner.environment;
        count(&environment.counters.dials, 1);
        count(&environment.counters.failed_dials, 1);
        debug!(address = %self.inner.address, %error, "dial failed");
        self.update(|link| {
            link.dial_failed(error.failure(), &environment.options, Instant::now());
        });
        // The pause is known now.
        self.inner.nudge.notify_one();
    }

    /// Puts a new stream to use.
    fn dialled(&self, id: u64, stream: Box<dyn crate::Transport>) -> Connection {
        let environment = &self.inner.environment;
        count(&environment.counters.dials, 1);
        let observer = Box::new(Ear {
            endpoint: Arc::downgrade(&self.inner),
            id,
        });
        let watch = Watch {
            observer,
            limit: Arc::clone(&self.inner.silence_limit),
        };
        let (connection, driver) = Connection::watched(
            stream,
            Arc::clone(&self.inner.address),
            &environment.options,
            Arc::clone(&environment.handler),
            Arc::clone(&environment.counters),
            Some(watch),
        );
        let shared = Arc::new(connection.clone());
        let place = self
            .update(|link| link.dial_succeeded(id, &shared, &environment.options, Instant::now()));
        drop(shared);
        debug!(address = %self.inner.address, ?place, "connected");
        match place {
            Place::Current { doubted } => {
                environment.handler.connected(&connection);
                for companion in self.inner.companions.all() {
                    // What keeps it away is its own matter; there is one connection.
                    let _ = companion.join_dial();
                }
                if doubted {
                    self.probe(&connection);
                }
            }
            Place::StandIn => self.probe(&connection),
            Place::Surplus => {}
        }
        // Only now, so that what it hears finds its place.
        self.spawn_driver(id, &connection, driver);
        match place {
            Place::Surplus => self.current().unwrap_or(connection),
            Place::Current { .. } | Place::StandIn => connection,
        }
    }

    fn spawn_driver(
        &self,
        id: u64,
        connection: &Connection,
        driver: impl Future<Output = CloseReason> + Send + 'static,
    ) {
        let environment = &self.inner.environment;
        let (closing, cancel) = (environment.closing.clone(), environment.cancel.clone());
        // Also reaches connections that were replaced while they were still in use.
        let close = connection.closer();
        let endpoint = Arc::downgrade(&self.inner);
        environment.tracker.spawn(async move {
            tokio::pin!(driver);
            let reason = tokio::select! {
                biased;
                () = closing.cancelled() => {
                    close();
                    tokio::select! {
                        biased;
                        () = cancel.cancelled() => CloseReason::Local,
                        reason = driver => reason,
                    }
                }
                reason = &mut driver => reason,
            };
            if let Some(endpoint) = endpoint.upgrade().map(Self::from) {
                let options = &endpoint.inner.environment.options;
                endpoint.update(|link| link.ended(id, &reason, options, Instant::now()));
            }
        });
    }

    fn is_held(&self) -> bool {
        self.inner.holders.load(Ordering::Acquire) > 0
    }

    /// Asks the peer of a held address for a sign of life. Of another, the next request does.
    fn probe(&self, connection: &Connection) {
        if !self.is_held() {
            return;
        }
        let environment = &self.inner.environment;
        let body: Bytes = environment.handler.probe_body();
        let deadline = Instant::now() + environment.options.connect_timeout;
        let closing = environment.closing.clone();
        let connection = connection.clone();
        environment.tracker.spawn(async move {
            let asking = connection.request(&HeartbeatRequestHeader, &body, deadline);
            tokio::select! {
                biased;
                () = closing.cancelled() => {}
                // Whatever it says; that it says something is noticed where it is read.
                _ = asking => {}
            }
        });
    }

    /// Takes the next step to win the address back; returns when another is due, `None` if there
    /// is nothing to do any more.
    pub(super) fn recovery_step(&self) -> Option<Instant> {
        let environment = &self.inner.environment;
        let now = Instant::now();
        let mut asked = Vec::new();
        let until = self.update(|link| {
            if !self.is_held() || environment.tracker.is_closed() {
                link.recovering = false;
                return None;
            }
            loop {
                match link.next_step(&environment.options, now) {
                    Step::Rest => {
                        link.recovering = false;
                        return None;
                    }
                    Step::Wait(until) => return Some(until),
                    Step::Dial => {
                        self.begin_dial(link);
                    }
                    Step::Nurse { ask, dial } => {
                        asked.extend(ask);
                        if dial {
                            self.begin_dial(link);
                        }
                    }
                }
            }
        });
        for connection in asked {
            self.probe(&connection);
        }
        until
    }

    /// The recovery task was dropped with its runtime.
    pub(super) fn recovery_ended(&self) {
        self.lock().recovering = false;
    }

    fn noticed(&self, id: u64, sign: Sign) {
        let environment = &self.inner.environment;
        let options = &environment.options;
        match sign {
            Sign::Heard => {
                if let Some(connection) = self.update(|link| link.heard(id)) {
                    debug!(address = %self.inner.address, "stand-in took over");
                    count(&environment.counters.replaced_connections, 1);
                    environment.handler.connected(&connection);
                }
            }
            Sign::Silent => {
                let silent = self.update(|link| link.silent(id, options, Instant::now()));
                if let Some(connection) = silent {
                    self.probe(&connection);
                }
            }
            Sign::Leaving => {
                if self.update(|link| link.leaving(id, options, Instant::now())) {
                    // Unless the peer has said so on a new connection before anything else.
                    let _ = self.join_dial();
                }
            }
        }
    }
}

/// Hears what a connection has to tell.
struct Ear {
    endpoint: Weak<Inner>,
    id: u64,
}

impl Observer for Ear {
    fn noticed(&self, sign: Sign) {
        if let Some(endpoint) = self.endpoint.upgrade() {
            Endpoint::from(endpoint).noticed(self.id, sign);
        }
    }
}
