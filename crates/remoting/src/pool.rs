//! Connections by address: opened on demand by one dial at a time, reopened after a growing pause.

mod backoff;
mod companions;
mod endpoint;
mod hold;
mod link;
mod recovery;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::endpoint::Endpoint;
use self::endpoint::Environment;
pub use self::hold::EndpointHold;
use crate::connection::{
    ConnectError, Connection, ConnectionHandler, ConnectionOptions, Counters, NetworkStats,
};
use crate::dialer::{Dialer, TcpDialer};

/// A pool of connections, one per address. Clones share it.
///
/// Its tasks run on the runtime that first asks for a connection. Dropping the last clone closes
/// every connection without waiting; [`close`](Self::close) waits.
#[derive(Clone)]
pub struct ConnectionPool {
    inner: Arc<Inner>,
}

struct Inner {
    endpoints: DashMap<Arc<str>, Endpoint>,
    environment: Arc<Environment>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.environment.cancel.cancel();
    }
}

impl fmt::Debug for ConnectionPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionPool")
            .field("addresses", &self.inner.endpoints.len())
            .finish_non_exhaustive()
    }
}

impl ConnectionPool {
    /// An empty pool of TCP connections. Does no I/O.
    pub fn new(options: ConnectionOptions, handler: Arc<dyn ConnectionHandler>) -> Self {
        Self::with_dialer(options, handler, Arc::new(TcpDialer))
    }

    /// An empty pool whose connections `dialer` opens: through a proxy, with TLS, or to a simulated
    /// peer. Does no I/O.
    pub fn with_dialer(
        options: ConnectionOptions,
        handler: Arc<dyn ConnectionHandler>,
        dialer: Arc<dyn Dialer>,
    ) -> Self {
        let cancel = CancellationToken::new();
        let environment = Arc::new(Environment {
            options,
            handler,
            dialer,
            counters: Arc::new(Counters::default()),
            tracker: TaskTracker::new(),
            closing: cancel.child_token(),
            cancel,
        });
        let endpoints = DashMap::new();
        Self {
            inner: Arc::new(Inner {
                endpoints,
                environment,
            }),
        }
    }

    /// The place of an address in the pool, entered if it is new. Holding on to it saves the
    /// look-up per request.
    #[must_use]
    pub fn endpoint(&self, address: &str) -> Endpoint {
        if let Some(endpoint) = self.inner.endpoints.get(address) {
            return endpoint.clone();
        }
        let address: Arc<str> = Arc::from(address);
        self.inner
            .endpoints
            .entry(Arc::clone(&address))
            .or_insert_with(|| Endpoint::new(address, Arc::clone(&self.inner.environment)))
            .clone()
    }

    /// An open connection to `address` (`host:port`), dialled if there is none. Calls at the same
    /// time share one dial.
    ///
    /// # Errors
    /// A [`ConnectError`] if none could be opened before `deadline`, or at once if the address
    /// failed a moment ago.
    ///
    /// # Cancel safety
    /// Safe; a dial that has begun goes on and serves later calls.
    pub async fn connection(
        &self,
        address: &str,
        deadline: Instant,
    ) -> Result<Connection, ConnectError> {
        self.endpoint(address).connection(deadline).await
    }

    /// The open connections, for work that concerns all of them.
    #[must_use]
    pub fn open_connections(&self) -> Vec<Connection> {
        let endpoints = self.endpoints();
        endpoints.iter().flat_map(Endpoint::all_current).collect()
    }

    /// Closes the connections of addresses that `keep` rejects, and drops the addresses. One whose
    /// [`Endpoint`] someone still has stays, without a connection until one is asked for.
    pub fn retain_addresses(&self, keep: impl Fn(&str) -> bool) {
        for endpoint in self.endpoints() {
            if !keep(endpoint.address()) {
                endpoint.close();
                self.drop_unshared(&endpoint);
            }
        }
    }

    /// Drops the addresses that nobody [holds](Endpoint::hold) and whose connection no caller uses,
    /// and closes their connections. One whose [`Endpoint`] someone still has stays, without a
    /// connection until one is asked for.
    pub fn prune(&self) {
        for endpoint in self.endpoints() {
            if endpoint.release_unused() {
                self.drop_unshared(&endpoint);
            }
        }
    }

    /// All endpoints, so that none of the map's locks is held while they are dealt with. Sorted, so
    /// that a simulation can repeat a run.
    fn endpoints(&self) -> Vec<Endpoint> {
        let endpoints = self.inner.endpoints.iter();
        let mut endpoints: Vec<_> = endpoints.map(|endpoint| endpoint.clone()).collect();
        endpoints.sort_by(|one, other| one.address().cmp(other.address()));
        endpoints
    }

    /// Takes an endpoint out of the pool, unless someone may still use it: there is never more than
    /// one for an address.
    fn drop_unshared(&self, endpoint: &Endpoint) {
        // The pool's handle and this one. No other can appear while the map is locked here.
        self.inner
            .endpoints
            .remove_if(endpoint.address(), |_, endpoint| endpoint.is_shared_by(2));
    }

    /// Counters over all connections of the pool.
    #[must_use]
    pub fn stats(&self) -> NetworkStats {
        self.inner.environment.counters.snapshot()
    }

    /// Closes every connection, letting bytes that were handed over leave, and waits until all
    /// tasks have ended, `patience` at most; what is left then is cut off. Dials, also those under
    /// way, fail from now on.
    ///
    /// # Cancel safety
    /// Dropped early, the connections still close, only nothing is cut off.
    pub async fn close(&self, patience: Duration) {
        let environment = &self.inner.environment;
        environment.tracker.close();
        environment.closing.cancel();
        for endpoint in self.endpoints() {
            endpoint.close();
        }
        let ended = tokio::time::timeout(patience, environment.tracker.wait()).await;
        environment.cancel.cancel();
        if ended.is_err() {
            // Cancelled tasks end at their next poll.
            environment.tracker.wait().await;
        }
    }
}
