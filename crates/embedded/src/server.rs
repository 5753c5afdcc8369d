//! A server: one listening socket, one task per connection.

mod connection;
mod desk;
mod security;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dashmap::DashMap;
use rocketmq_producer_remoting::{Frame, FrameError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

pub(crate) use self::desk::{Desk, Handler, remark};
#[cfg(feature = "tls")]
pub(crate) use self::security::Security;
#[cfg(not(feature = "tls"))]
use self::security::Security;
pub(crate) use self::socket::Site;
use self::socket::{Held, Listener};
use crate::fault::ArmedFault;

/// Connections that may wait to be accepted.
pub(crate) const BACKLOG: usize = 1024;
/// Frames that may wait on a connection for being written out of turn; more are dropped.
const OUT_OF_TURN: usize = 1024;

/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// What a server does with the bytes of its connections.
pub(crate) trait Service: Send + Sync + 'static {
    /// Handles every whole frame at the start of `input` and appends the answers to `out`.
    fn serve(
        &self,
        peer: &Peer,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Flow, FrameError>;

    /// Handles a request whose stall has ended.
    fn resume(&self, peer: &Peer, frame: Frame, out: &mut BytesMut) -> Result<(), FrameError>;

    /// The connection has ended.
    fn disconnected(&self, peer: &Peer);
}

/// How a connection goes on.
#[derive(Debug)]
pub(crate) enum Flow {
    Continue,
    /// The answers so far are written, then it is closed.
    Close,
    /// Nothing is read or written until the fault is lifted; then the request is handled.
    Stall(ArmedFault, Frame),
    /// What comes is thrown away and nothing is written, not even the answers so far; once the
    /// fault is lifted the connection is reset.
    HalfOpen(ArmedFault),
    /// It ends as if the process was killed, without the answers so far.
    Reset,
    /// The answers so far are written in pieces of this many bytes, this long apart.
    Split(usize, Duration),
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Number of the connection, never used twice.
    pub(crate) id: u64,
    pub(crate) address: SocketAddr,
    out_of_turn: mpsc::Sender<Bytes>,
    running: Running,
}

impl Peer {
    /// Writes a frame as soon as the connection is free.
    pub(crate) fn push(&self, frame: Bytes) {
        // A peer that reads nothing must not fill the memory; it misses the frame.
        let _ = self.out_of_turn.try_send(frame);
    }

    /// Writes a frame after `delay`.
    pub(crate) fn push_later(&self, delay: Duration, frame: Bytes) {
        let peer = self.clone();
        let token = self.running.token.clone();
        let later = async move {
            tokio::time::sleep(delay).await;
            let _ = peer.out_of_turn.send(frame).await;
        };
        self.running
            .tracker
            .spawn(async move { token.run_until_cancelled(later).await });
    }

    /// Writes a frame to every other connection of the same server.
    pub(crate) fn push_to_others(&self, frame: &Bytes) {
        for peer in self.running.peers() {
            if peer.id != self.id {
                peer.push(frame.clone());
            }
        }
    }
}

/// What lives as long as the listening socket.
#[derive(Clone, Debug)]
struct Running {
    tracker: TaskTracker,
    token: CancellationToken,
    peers: Arc<DashMap<u64, Peer>>,
}

#[derive(Debug)]
enum State {
    Stopped(Held),
    Running(Running),
    /// The port could not be held or taken again.
    Lost,
}

/// A server that can be stopped and started again on its port.
pub(crate) struct Server<S> {
    pub(crate) service: Arc<S>,
    site: Site,
    address: SocketAddr,
    state: Mutex<State>,
    /// Kept apart from `state` so that nothing is awaited under its lock.
    changes: tokio::sync::Mutex<()>,
}

impl<S: Service> Server<S> {
    /// Takes a port (0: any free one) without listening yet. `make` gets the address.
    pub(crate) fn bind(
        site: &Site,
        port: u16,
        make: impl FnOnce(SocketAddr) -> S,
    ) -> io::Result<Self> {
        let (held, address) = site.bind(port)?;
        Ok(Self {
            service: Arc::new(make(address)),
            site: site.clone(),
            address,
            state: Mutex::new(State::Stopped(held)),
            changes: tokio::sync::Mutex::new(()),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(&*self.lock(), State::Running(running) if !running.token.is_cancelled())
    }

    /// Connections that are open now.
    pub(crate) fn connections(&self) -> usize {
        match &*self.lock() {
            State::Running(running) => running.peers.len(),
            State::Stopped(_) | State::Lost => 0,
        }
    }

    /// Writes a frame to every connection; how many there are.
    pub(crate) fn push_to_all(&self, frame: &Bytes) -> usize {
        match &*self.lock() {
            State::Running(running) => {
                let peers = running.peers();
                peers.iter().for_each(|peer| peer.push(frame.clone()));
                peers.len()
            }
            State::Stopped(_) | State::Lost => 0,
        }
    }

    /// Starts to listen; nothing happens if it does already.
    pub(crate) fn start(&self) -> io::Result<()> {
        let mut state = self.lock();
        let held = match std::mem::replace(&mut *state, State::Lost) {
            State::Running(running) if !running.token.is_cancelled() => {
                *state = State::Running(running);
                return Ok(());
            }
            State::Stopped(held) => held,
            // Lost, or a stop that nobody waited for.
            State::Running(_) | State::Lost => self.site.bind(self.address.port())?.0,
        };
        let listener = held.listen(self.address)?;
        let running = Running {
            tracker: TaskTracker::new(),
            token: CancellationToken::new(),
            peers: Arc::default(),
        };
        let security = self.site.security.clone();
        let service = Arc::clone(&self.service);
        let accepting = accept(listener, security, service, running.clone());
        let token = running.token.clone();
        running
            .tracker
            .spawn(async move { token.run_until_cancelled(accepting).await });
        *state = State::Running(running);
        Ok(())
    }

    /// Closes the listening socket and all connections and waits until they are closed.
    pub(crate) async fn stop(&self) {
        let _one_at_a_time = self.changes.lock().await;
        let running = match &*self.lock() {
            State::Running(running) => running.clone(),
            State::Stopped(_) | State::Lost => return,
        };
        running.token.cancel();
        running.tracker.close();
        running.tracker.wait().await;
        let held = self.site.bind(self.address.port());
        *self.lock() = held.map_or(State::Lost, |(held, _)| State::Stopped(held));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let State::Running(running) = state {
            // The tasks end at their next step and take their sockets with them.
            running.token.cancel();
        }
    }
}

async fn accept<S: Service>(
    mut listener: Listener,
    security: Security,
    service: Arc<S>,
    running: Running,
) {
    static NEXT_ID: AtomicU64 = AtomicU64::new(1);

    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // A connection that broke while it waited, or no file descriptor left: give the
                // others time to end.
                debug!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (out_of_turn, frames) = mpsc::channel(OUT_OF_TURN);
        let peer = Peer {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            address,
            out_of_turn,
            running: running.clone(),
        };
        running.peers.insert(peer.id, peer.clone());
        let connection = connection::Connection::new(peer, frames, Arc::clone(&service));
        let token = running.token.clone();
        let security = security.clone();
        running.tracker.spawn(async move {
            token
                .run_until_cancelled(connection.run(stream, &security))
                .await
        });
    }
}

impl Running {
    /// The open connections, oldest first.
    fn peers(&self) -> Vec<Peer> {
        let mut peers: Vec<_> = self.peers.iter().map(|peer| peer.clone()).collect();
        peers.sort_by_key(|peer| peer.id);
        peers
    }

    fn forget(&self, id: u64) {
        self.peers.remove(&id);
    }
}
