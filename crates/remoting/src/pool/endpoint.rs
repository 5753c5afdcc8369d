//! One address of the pool: its connection, or the dial that will bring it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use rand::RngExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::backoff::Backoff;
use crate::connection::{
    ConnectError, ConnectFailure, Connection, ConnectionHandler, ConnectionOptions, Counters,
};

/// What all endpoints of a pool have in common.
pub(super) struct Environment {
    pub(super) options: ConnectionOptions,
    pub(super) handler: Arc<dyn ConnectionHandler>,
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
    Dial(watch::Receiver<Option<DialResult>>),
}

type DialResult = Result<Connection, ConnectError>;

/// An address in a [`ConnectionPool`](super::ConnectionPool). Clones share it.
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

struct Inner {
    address: Arc<str>,
    environment: Arc<Environment>,
    /// The connection in use; it may have closed meanwhile.
    current: ArcSwapOption<Connection>,
    dial: Mutex<Dial>,
}

#[derive(Default)]
struct Dial {
    backoff: Backoff,
    /// Set while a dial is under way.
    under_way: Option<watch::Receiver<Option<DialResult>>>,
    /// The last failure and when the address may be tried again.
    failed: Option<(ConnectFailure, Instant)>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.inner.address)
            .field("connected", &self.current().is_some())
            .finish()
    }
}

impl Endpoint {
    pub(super) fn new(address: Arc<str>, environment: Arc<Environment>) -> Self {
        Self {
            inner: Arc::new(Inner {
                address,
                environment,
                current: ArcSwapOption::empty(),
                dial: Mutex::default(),
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

    /// What [`connection`](Self::connection) does when it sees no open connection.
    pub(super) async fn open_or_dial(&self, deadline: Instant) -> DialResult {
        let mut dial = match self.join_dial()? {
            Joined::Open(connection) => return Ok(connection),
            Joined::Dial(dial) => dial,
        };
        let result = tokio::time::timeout_at(deadline, dial.wait_for(Option::is_some)).await;
        match result {
            Ok(Ok(result)) => match &*result {
                Some(result) => result.clone(),
                None => Err(self.error(ConnectFailure::PoolClosed)),
            },
            // The dial was dropped, which happens only when the pool or its runtime ends.
            Ok(Err(_)) => Err(self.error(ConnectFailure::PoolClosed)),
            Err(_) => Err(self.error(ConnectFailure::DeadlineExceeded)),
        }
    }

    /// Closes the connection; the next request dials anew.
    pub(super) fn close(&self) {
        if let Some(connection) = self.inner.current.swap(None) {
            connection.close();
        }
    }

    fn error(&self, failure: ConnectFailure) -> ConnectError {
        ConnectError::new(Arc::clone(&self.inner.address), failure)
    }

    fn lock(&self) -> MutexGuard<'_, Dial> {
        self.inner
            .dial
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The dial under way, begun if there is none.
    fn join_dial(&self) -> Result<Joined, ConnectError> {
        let environment = &self.inner.environment;
        let mut dial = self.lock();
        // A dial stores its connection under this lock; a second one would displace it.
        if let Some(connection) = self.current() {
            return Ok(Joined::Open(connection));
        }
        if let Some(under_way) = &dial.under_way {
            // A dial that was dropped with its runtime leaves its receiver behind.
            if under_way.has_changed().is_ok() || under_way.borrow().is_some() {
                return Ok(Joined::Dial(under_way.clone()));
            }
        }
        if environment.tracker.is_closed() {
            return Err(self.error(ConnectFailure::PoolClosed));
        }
        if let Some((cause, until)) = &dial.failed {
            let now = Instant::now();
            if now < *until {
                let cause = Box::new(cause.clone());
                let retry_in = until.duration_since(now);
                return Err(self.error(ConnectFailure::BackingOff { cause, retry_in }));
            }
        }
        let (done, under_way) = watch::channel(None);
        dial.under_way = Some(under_way.clone());
        let endpoint = self.clone();
        let closing = environment.closing.clone();
        environment.tracker.spawn(async move {
            let result = tokio::select! {
                result = endpoint.dial() => result,
                () = closing.cancelled() => Err(endpoint.error(ConnectFailure::PoolClosed)),
            };
            endpoint.dialled(&result);
            // Whoever waits has the result; nobody may.
            let _ = done.send(Some(result));
        });
        Ok(Joined::Dial(under_way))
    }

    async fn dial(&self) -> DialResult {
        let environment = &self.inner.environment;
        let limit = environment.options.connect_timeout;
        let connecting = TcpStream::connect(&*self.inner.address);
        let connected = tokio::time::timeout(limit, connecting)
            .await
            .map_err(|_| self.error(ConnectFailure::TimedOut(Arc::new(limit))))?;
        let stream = connected
            .and_then(|stream| prepare(stream, &environment.options))
            .map_err(|error| self.error(ConnectFailure::Io(Arc::new(error))))?;
        let (connection, driver) = Connection::with_counters(
            stream,
            Arc::clone(&self.inner.address),
            &environment.options,
            Arc::clone(&environment.handler),
            Arc::clone(&environment.counters),
        );
        let (closing, cancel) = (environment.closing.clone(), environment.cancel.clone());
        // Also reaches connections whose address has left the pool while it was still in use.
        let close = connection.closer();
        environment.tracker.spawn(async move {
            tokio::pin!(driver);
            tokio::select! {
                _ = &mut driver => return,
                () = closing.cancelled() => close(),
            }
            tokio::select! {
                _ = driver => {}
                () = cancel.cancelled() => {}
            }
        });
        Ok(connection)
    }

    /// Records how a dial ended.
    fn dialled(&self, result: &DialResult) {
        use std::sync::atomic::Ordering::Relaxed;

        let Environment {
            options,
            counters,
            handler,
            tracker,
            ..
        } = &*self.inner.environment;
        counters.dials.fetch_add(1, Relaxed);
        let mut dial = self.lock();
        dial.under_way = None;
        match result {
            Ok(connection) => {
                dial.backoff.reset();
                dial.failed = None;
                self.inner.current.store(Some(Arc::new(connection.clone())));
                drop(dial);
                if tracker.is_closed() {
                    self.close();
                } else {
                    debug!(address = %self.inner.address, "connected");
                    handler.connected(connection);
                }
            }
            Err(error) => {
                counters.failed_dials.fetch_add(1, Relaxed);
                let jitter = rand::rng().random::<f64>();
                let (first, longest) = (options.redial_pause, options.max_redial_pause);
                let pause = dial.backoff.failed(first, longest, jitter);
                dial.failed = Some((error.failure().clone(), Instant::now() + pause));
                drop(dial);
                debug!(address = %self.inner.address, %error, ?pause, "dial failed");
            }
        }
    }
}

/// Sets the options of a fresh socket.
fn prepare(stream: TcpStream, options: &ConnectionOptions) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    if let Some(idle) = options.tcp_keepalive {
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(idle)
            .with_interval(idle);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    }
    Ok(stream)
}
