//! A proxy before a real server that understands frames and does what real networks and brokers do in bad moments.
//!
//! [`ProxiedCluster`] stands before a whole cluster: its name server proxies change the routes, so that clients find the
//! brokers' proxies.

mod fault;
mod frame;
mod link;
mod trace;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use xtask::apache::{Cluster, Node, PortBlock};

pub use fault::{Fault, Mischief, Which};
pub use trace::{Step, Trace, What};

const BACKLOG: u32 = 1024;
/// On this host an answer to a SYN takes microseconds.
const FULL: Duration = Duration::from_millis(150);

/// One server's proxy. Dropping it ends its connections and frees its port.
#[derive(Debug)]
pub struct FaultProxy {
    shared: Arc<Shared>,
    _end: DropGuard,
    _port: PortBlock,
}

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    address: SocketAddr,
    upstream: String,
    /// Addresses in answers that clients must not see, and those they see instead, each in quotes.
    replaced: Vec<(String, String)>,
    /// What connections obey.
    fault: watch::Sender<Fault>,
    counts: Counters,
    trace: Trace,
    /// Whether SYNs go unanswered by now.
    silent: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    open: AtomicU64,
    sends: AtomicU64,
    /// Frames or sends since the fault was set, whichever it counts.
    since_set: AtomicU64,
}

/// What a proxy has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyCounts {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open now.
    pub open: u64,
    /// Sends read from clients.
    pub sends: u64,
}

impl FaultProxy {
    /// Stands before the server at `upstream`, on a free port of this host.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(name: &str, upstream: &str) -> Result<Self> {
        Self::start_with(name, upstream, Vec::new(), Trace::default())
    }

    fn start_with(
        name: &str,
        upstream: &str,
        replaced: Vec<(String, String)>,
        trace: Trace,
    ) -> Result<Self> {
        // Not from the range of outgoing connections: the port must still be free after a refusal.
        let port = PortBlock::free()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port.first()));
        let listener = listen(address, BACKLOG).with_context(|| format!("a proxy on {address}"))?;
        let shared = Arc::new(Shared {
            name: name.into(),
            address,
            upstream: upstream.to_owned(),
            replaced,
            fault: watch::Sender::default(),
            counts: Counters::default(),
            trace,
            silent: watch::Sender::default(),
        });
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let accepting = accept(Arc::clone(&shared), listener, tasks.clone(), cancel.clone());
        tasks.spawn(accepting);
        Ok(Self {
            shared,
            _end: cancel.drop_guard(),
            _port: port,
        })
    }

    /// The name it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> String {
        self.shared.address.to_string()
    }

    /// Does this to the traffic from now on, also on connections that exist.
    pub fn set(&self, fault: Fault) {
        self.shared.counts.since_set.store(0, Ordering::Release);
        self.shared.fault.send_replace(fault);
    }

    /// [`Fault::Silent`], and waits until it holds.
    ///
    /// # Cancel safety
    /// The fault is set at the first poll.
    pub async fn fall_silent(&self) {
        self.set(Fault::Silent);
        // The sender lives as long as this.
        let _ = self.shared.silent.subscribe().wait_for(|is| *is).await;
    }

    /// What it has seen so far.
    #[must_use]
    pub fn counts(&self) -> ProxyCounts {
        let counts = &self.shared.counts;
        ProxyCounts {
            accepted: counts.accepted.load(Ordering::Acquire),
            open: counts.open.load(Ordering::Acquire),
            sends: counts.sends.load(Ordering::Acquire),
        }
    }
}

/// A cluster's proxies.
#[derive(Debug)]
pub struct ProxiedCluster {
    brokers: Vec<FaultProxy>,
    name_servers: Vec<FaultProxy>,
    trace: Trace,
}

impl ProxiedCluster {
    /// Stands before every broker and name server of a cluster.
    ///
    /// # Errors
    /// When there are not enough free ports.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        let trace = Trace::default();
        let proxy = |node: &Node, replaced: &[(String, String)]| {
            FaultProxy::start_with(
                node.name(),
                node.address(),
                replaced.to_vec(),
                trace.clone(),
            )
        };
        let mut replaced = Vec::new();
        let mut brokers = Vec::new();
        for node in cluster.brokers() {
            let broker = proxy(node, &[])?;
            let quoted = |address: &str| format!("\"{address}\"");
            replaced.push((quoted(node.address()), quoted(&broker.address())));
            brokers.push(broker);
        }
        let name_servers = cluster.name_servers().iter();
        let name_servers = name_servers.map(|node| proxy(node, &replaced));
        Ok(Self {
            brokers,
            name_servers: name_servers.collect::<Result<_>>()?,
            trace,
        })
    }

    /// The addresses of the name servers' proxies, as clients are given them.
    #[must_use]
    pub fn name_server_addr(&self) -> String {
        let addresses: Vec<String> = self.name_servers.iter().map(FaultProxy::address).collect();
        addresses.join(";")
    }

    /// The brokers' proxies, in the order of the brokers.
    #[must_use]
    pub fn brokers(&self) -> &[FaultProxy] {
        &self.brokers
    }

    /// The name servers' proxies, in the order of the name servers.
    #[must_use]
    pub fn name_servers(&self) -> &[FaultProxy] {
        &self.name_servers
    }

    /// The record of all proxies' frames.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Passes everything on again, everywhere.
    pub fn heal(&self) {
        for proxy in self.brokers.iter().chain(&self.name_servers) {
            proxy.set(Fault::Pass);
        }
    }
}

fn listen(address: SocketAddr, backlog: u32) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // Connections of before a refusal may linger on the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// A listener whose queue is full: the system answers no further SYN.
struct Full {
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Full {
    async fn at(address: SocketAddr) -> std::io::Result<Self> {
        let listener = listen(address, 0)?;
        let mut queue = Vec::new();
        while let Ok(stream) = timeout(FULL, TcpStream::connect(address)).await {
            queue.push(stream?);
        }
        Ok(Self {
            _listener: listener,
            _queue: queue,
        })
    }
}

async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    tasks: TaskTracker,
    cancel: CancellationToken,
) {
    let mut faults = shared.fault.subscribe();
    let mut listener = Some(listener);
    let mut full = None;
    loop {
        let fault = faults.borrow_and_update().clone();
        if fault.ends_connections() {
            listener = None;
            if fault == Fault::Refuse {
                full = None;
            } else if full.is_none() {
                full = Full::at(shared.address).await.ok();
                shared.silent.send_replace(full.is_some());
            }
        } else if listener.is_none() {
            full = None;
            listener = listen(shared.address, BACKLOG).ok();
        }
        if full.is_none() {
            shared.silent.send_replace(false);
        }
        let client = tokio::select! {
            () = cancel.cancelled() => return,
            changed = faults.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            client = next_client(listener.as_ref()) => client,
        };
        // An error concerns the one that came, not the listener.
        let Some(client) = client else { continue };
        let number = shared.counts.accepted.fetch_add(1, Ordering::AcqRel);
        let link = link::run(Arc::clone(&shared), client, number);
        let cancel = cancel.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = link => {}
            }
        });
    }
}

async fn next_client(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(client, _)| client),
        None => std::future::pending().await,
    }
}
