//! [`MemoryNetwork`]: connections without sockets, so that a cluster also runs in virtual time.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rocketmq_producer_remoting::{ConnectionOptions, Dialer, Transport};
use tokio::sync::mpsc;

use crate::server::BACKLOG;

/// Bytes on their way in one direction of a connection that [`MemoryNetwork`] made itself.
const PIPE: usize = 64 * 1024;
/// The first port given to a server.
const FIRST_PORT: u16 = 20_001;
/// The first port given to a client.
const FIRST_CLIENT_PORT: u16 = 40_001;

/// A network inside the process. Clones share it.
///
/// Servers of a cluster that was built with
/// [`ClusterBuilder::in_memory`](crate::ClusterBuilder::in_memory) listen on it, and it is the
/// [`Dialer`] that reaches them. Nothing of it waits for the outside world, so a test may pause
/// tokio's clock: time then passes only while everybody waits.
///
/// Addresses look like `127.0.0.1:20001` and mean nothing to the operating system. They are given
/// out in the order of binding, the same ones in each run.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    bound: u16,
    dialled: u16,
    listeners: BTreeMap<SocketAddr, mpsc::Sender<Arrival>>,
}

/// The server's end of a connection, and the client's address.
pub(crate) type Arrival = (Box<dyn Transport>, SocketAddr);

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNetwork")
            .field("servers", &self.lock().bound)
            .finish_non_exhaustive()
    }
}

impl MemoryNetwork {
    /// A network without servers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hands `stream` to the server that listens at `address` as the server's end of a new
    /// connection: for networks with faults of their own, whose other end the caller keeps.
    ///
    /// # Errors
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nobody listens there, or if 1024
    /// connections wait to be accepted.
    pub fn connect(&self, address: SocketAddr, stream: Box<dyn Transport>) -> io::Result<()> {
        let mut inner = self.lock();
        let client = SocketAddr::from((
            Ipv4Addr::LOCALHOST,
            FIRST_CLIENT_PORT.wrapping_add(inner.dialled),
        ));
        inner.dialled = inner.dialled.wrapping_add(1);
        inner
            .listeners
            .get(&address)
            .and_then(|listener| listener.try_send((stream, client)).ok())
            .ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionRefused))
    }

    /// An address of its own for a server, or the one it had before.
    pub(crate) fn bind(&self, port: u16) -> SocketAddr {
        let mut inner = self.lock();
        let port = if port == 0 {
            inner.bound = inner.bound.wrapping_add(1);
            FIRST_PORT.wrapping_add(inner.bound - 1)
        } else {
            port
        };
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// Takes connections until the receiver is dropped.
    pub(crate) fn listen(&self, address: SocketAddr) -> mpsc::Receiver<Arrival> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        self.lock().listeners.insert(address, sender);
        receiver
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Dialer for MemoryNetwork {
    async fn dial(&self, address: &str, _: &ConnectionOptions) -> io::Result<Box<dyn Transport>> {
        let address = address
            .parse()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let (ours, theirs) = tokio::io::duplex(PIPE);
        self.connect(address, Box::new(theirs))?;
        Ok(Box::new(ours))
    }
}
