//! A network in memory: the test decides what a dial meets, and plays the peers.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::*;
use crate::code::{RequestCode, ResponseCode};
use crate::command::RemotingCommand;
use crate::connectivity::Connectivity;
use crate::dialer::Transport;
use crate::frame::{HeaderEncoding, MAX_FRAME_LENGTH, decode_frame};

pub(super) const ADDRESS: &str = "peer:1";
pub(super) const PROBE_BODY: &[u8] = b"are you there";

/// What a dial meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Accept,
    Refuse,
    /// No answer for this long, then accepted.
    Late(Duration),
    /// Accepted and closed at once.
    Slam,
    /// Accepted; everything is answered with GO_AWAY.
    SendAway,
    /// Accepted; everything is answered.
    Serve,
}

/// The dialer and the handler of a pool, seen from the test.
pub(super) struct Network {
    fate: Mutex<Fate>,
    streams: mpsc::Sender<DuplexStream>,
    pub(super) dials: Mutex<Vec<Instant>>,
    pub(super) told: Mutex<Vec<Connectivity>>,
    pub(super) connected: Mutex<Vec<Instant>>,
    peers: TaskTracker,
}

impl Network {
    /// A pool on a new network, and the ends of its connections.
    pub(super) fn new(options: ConnectionOptions) -> (ConnectionPool, Arc<Self>, Peers) {
        let (streams, accepted) = mpsc::channel(1000);
        let network = Arc::new(Self {
            fate: Mutex::new(Fate::Accept),
            streams,
            dials: Mutex::default(),
            told: Mutex::default(),
            connected: Mutex::default(),
            peers: TaskTracker::new(),
        });
        let (dialer, handler) = (Wire(Arc::clone(&network)), Wire(Arc::clone(&network)));
        let pool = ConnectionPool::with_dialer(options, Arc::new(handler), Arc::new(dialer));
        (pool, network, Peers { accepted })
    }

    pub(super) fn set(&self, fate: Fate) {
        *self.fate.lock().unwrap() = fate;
    }

    /// Dials so far.
    pub(super) fn dials(&self) -> usize {
        self.dials.lock().unwrap().len()
    }

    /// What the handler was told since the last look.
    pub(super) fn told(&self) -> Vec<Connectivity> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    fn serve(&self, stream: DuplexStream, code: ResponseCode) {
        let mut peer = Peer::new(stream);
        self.peers.spawn(async move {
            while let Some(request) = peer.hear().await {
                let answer = RemotingCommand::response(code, request.opaque, None);
                peer.say(&answer).await;
            }
        });
    }
}

struct Wire(Arc<Network>);

#[async_trait]
impl Dialer for Wire {
    async fn dial(&self, _: &str, _: &ConnectionOptions) -> io::Result<Box<dyn Transport>> {
        let network = &*self.0;
        network.dials.lock().unwrap().push(Instant::now());
        let fate = *network.fate.lock().unwrap();
        let (ours, theirs) = duplex(1 << 20);
        match fate {
            Fate::Refuse => return Err(io::ErrorKind::ConnectionRefused.into()),
            Fate::Slam => drop(theirs),
            Fate::Serve => network.serve(theirs, ResponseCode::SUCCESS),
            Fate::SendAway => network.serve(theirs, ResponseCode::GO_AWAY),
            Fate::Accept => network.streams.send(theirs).await.unwrap(),
            Fate::Late(time) => {
                tokio::time::sleep(time).await;
                network.streams.send(theirs).await.unwrap();
            }
        }
        Ok(Box::new(ours))
    }
}

impl ConnectionHandler for Wire {
    fn connected(&self, _: &Connection) {
        self.0.connected.lock().unwrap().push(Instant::now());
    }

    fn probe_body(&self) -> Bytes {
        Bytes::from_static(PROBE_BODY)
    }

    fn connectivity_changed(&self, address: &str, connectivity: Connectivity) {
        assert_eq!(address, ADDRESS);
        self.0.told.lock().unwrap().push(connectivity);
    }
}

/// The other ends of accepted dials, in order.
pub(super) struct Peers {
    accepted: mpsc::Receiver<DuplexStream>,
}

impl Peers {
    pub(super) async fn next(&mut self) -> Peer {
        let stream = tokio::time::timeout(Duration::from_secs(3600), self.accepted.recv());
        Peer::new(stream.await.expect("nobody dials").unwrap())
    }

    /// Whether a connection waits to be taken.
    pub(super) fn is_empty(&self) -> bool {
        self.accepted.is_empty()
    }
}

/// The other end of one connection.
pub(super) struct Peer {
    stream: DuplexStream,
    received: BytesMut,
    heard: VecDeque<RemotingCommand>,
}

impl Peer {
    fn new(stream: DuplexStream) -> Self {
        Self {
            stream,
            received: BytesMut::new(),
            heard: VecDeque::new(),
        }
    }

    /// The next request; none if the connection was closed.
    pub(super) async fn hear(&mut self) -> Option<RemotingCommand> {
        loop {
            if let Some(frame) = decode_frame(&mut self.received, MAX_FRAME_LENGTH).unwrap() {
                return Some(RemotingCommand::decode(frame).unwrap());
            }
            if self.stream.read_buf(&mut self.received).await.unwrap() == 0 {
                return None;
            }
        }
    }

    /// The next request with this code; others before it stay unanswered.
    pub(super) async fn hear_code(&mut self, code: RequestCode) -> RemotingCommand {
        loop {
            let request = self.hear().await.expect("connection closed");
            if request.code == code.0 {
                return request;
            }
            self.heard.push_back(request);
        }
    }

    pub(super) async fn say(&mut self, command: &RemotingCommand) {
        let mut bytes = BytesMut::new();
        command.encode(HeaderEncoding::Json, &mut bytes).unwrap();
        // The client may have closed meanwhile.
        let _ = self.stream.write_all(&bytes).await;
    }

    pub(super) async fn answer(&mut self, request: &RemotingCommand, code: ResponseCode) {
        let response = RemotingCommand::response(code, request.opaque, None);
        self.say(&response).await;
    }
}
