//! The simulated network: what happens to dials and bytes on their way to each server.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use rocketmq_producer::remoting::{ConnectionOptions, Dialer, Transport};
use rocketmq_producer_embedded::MemoryNetwork;

use super::wire::{End, Latency, Wire};
use crate::fuzz::random::Random;

/// After this time without an answer a SYN is sent again, and then after twice the time.
const SYN_AGAIN: Duration = Duration::from_secs(1);

/// What becomes of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syn {
    /// The server is asked; if it does not listen it refuses.
    Delivered,
    Refused,
    Swallowed,
}

/// Which bytes of a connection get lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    ToServer,
    ToClient,
    Both,
}

/// A server as the network sees it.
struct Host {
    syn: Syn,
    latency: Latency,
    /// Its process does not run; its kernel does.
    is_stopped: bool,
    links: Vec<Link>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            syn: Syn::Delivered,
            latency: Latency::USUAL,
            is_stopped: false,
            links: Vec::new(),
        }
    }
}

/// A connection.
struct Link {
    to_server: Weak<Wire>,
    to_client: Weak<Wire>,
}

/// A network between one producer and the servers of a cluster in memory. Clones share it.
#[derive(Clone)]
pub(super) struct SimNetwork {
    inner: Arc<Inner>,
}

struct Inner {
    seed: u64,
    servers: MemoryNetwork,
    state: Mutex<State>,
    /// Ends of clients that are open.
    open: Arc<AtomicUsize>,
}

struct State {
    random: Random,
    dials: u64,
    hosts: BTreeMap<SocketAddr, Host>,
}

impl fmt::Debug for SimNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNetwork").finish_non_exhaustive()
    }
}

impl SimNetwork {
    pub(super) fn new(seed: u64, servers: MemoryNetwork) -> Self {
        let state = State {
            random: Random::of_input("network", seed, 0),
            dials: 0,
            hosts: BTreeMap::new(),
        };
        Self {
            inner: Arc::new(Inner {
                seed,
                servers,
                state: Mutex::new(state),
                open: Arc::default(),
            }),
        }
    }

    /// Connections whose client has not closed its end.
    pub(super) fn open(&self) -> usize {
        self.inner.open.load(Relaxed)
    }

    /// Dials so far.
    pub(super) fn dials(&self) -> u64 {
        self.lock().dials
    }

    pub(super) fn set_syn(&self, address: SocketAddr, syn: Syn) {
        self.host(address, |host| host.syn = syn);
    }

    pub(super) fn set_latency(&self, address: SocketAddr, latency: Latency) {
        self.host(address, |host| {
            host.latency = latency;
            host.each(|to_server, to_client| {
                to_server.set_latency(latency);
                to_client.set_latency(latency);
            });
        });
    }

    /// SIGSTOP and SIGCONT.
    pub(super) fn set_stopped(&self, address: SocketAddr, stopped: bool) {
        self.host(address, |host| {
            host.is_stopped = stopped;
            host.each(|to_server, to_client| {
                to_server.stop_reader(stopped);
                to_client.stop_writer(stopped);
            });
        });
    }

    /// Resets every connection.
    pub(super) fn reset(&self, address: SocketAddr) {
        self.host(address, |host| {
            host.each(|to_server, to_client| {
                to_server.reset();
                to_client.reset();
            });
        });
    }

    /// The server vanishes: what it has written and what is not there yet is lost, and clients see
    /// a reset, or nothing but an end.
    pub(super) fn lose_answers(&self, address: SocketAddr) {
        self.host(address, |host| {
            host.each(|_, to_client| to_client.reset());
        });
    }

    /// Makes every connection half open, for good.
    pub(super) fn half_open(&self, address: SocketAddr, lost: Lost) {
        self.host(address, |host| {
            host.each(|to_server, to_client| {
                if lost != Lost::ToClient {
                    to_server.lose(true);
                }
                if lost != Lost::ToServer {
                    to_client.lose(true);
                }
            });
        });
    }

    fn host(&self, address: SocketAddr, change: impl FnOnce(&mut Host)) {
        let mut state = self.lock();
        let host = state.hosts.entry(address).or_default();
        host.links
            .retain(|link| link.to_server.strong_count() + link.to_client.strong_count() > 0);
        change(host);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens to a SYN now, and how long it and its answer take.
    fn syn(&self, address: SocketAddr) -> (Syn, Duration) {
        let mut state = self.lock();
        let host = state.hosts.entry(address).or_default();
        let (syn, latency) = (host.syn, host.latency);
        (syn, latency.draw(&mut state.random) * 2)
    }

    /// Makes a connection; `None` if nobody listens.
    fn link(&self, address: SocketAddr) -> io::Result<End> {
        let mut state = self.lock();
        let number = state.dials;
        let host = state.hosts.entry(address).or_default();
        let wire = |name| {
            let random = Random::of_input(name, self.inner.seed, number);
            Wire::new(random, host.latency)
        };
        let (to_server, to_client) = (wire("to server"), wire("to client"));
        to_server.stop_reader(host.is_stopped);
        to_client.stop_writer(host.is_stopped);
        let open = Some(Arc::clone(&self.inner.open));
        let server = End::new(Arc::clone(&to_server), Arc::clone(&to_client), None);
        self.inner.servers.connect(address, Box::new(server))?;
        host.links.push(Link {
            to_server: Arc::downgrade(&to_server),
            to_client: Arc::downgrade(&to_client),
        });
        Ok(End::new(to_client, to_server, open))
    }
}

impl Host {
    fn each(&self, change: impl Fn(&Wire, &Wire)) {
        for link in &self.links {
            if let (Some(to_server), Some(to_client)) =
                (link.to_server.upgrade(), link.to_client.upgrade())
            {
                change(&to_server, &to_client);
            }
        }
    }
}

#[async_trait]
impl Dialer for SimNetwork {
    async fn dial(&self, address: &str, _: &ConnectionOptions) -> io::Result<Box<dyn Transport>> {
        let address = address
            .parse()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.lock().dials += 1;
        let mut again = SYN_AGAIN;
        loop {
            let (syn, round_trip) = self.syn(address);
            match syn {
                Syn::Swallowed => {
                    tokio::time::sleep(again).await;
                    again *= 2;
                }
                Syn::Refused => {
                    tokio::time::sleep(round_trip).await;
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                Syn::Delivered => {
                    tokio::time::sleep(round_trip).await;
                    return Ok(Box::new(self.link(address)?));
                }
            }
        }
    }
}
