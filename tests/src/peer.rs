//! Servers that follow a script, for what the embedded cluster never says or does.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use rocketmq_producer::remoting::{
    HeaderEncoding, MAX_FRAME_LENGTH, RemotingCommand, RequestCode, ResponseCode, decode_frame,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a scripted server does about a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reply {
    /// An answer with this code and remark, and the fields of a receipt.
    Answer(ResponseCode, Option<String>),
    /// A success with this body.
    Body(Bytes),
    /// These bytes, whatever they are.
    Bytes(Bytes),
    /// Nothing.
    Silence,
    /// The connection ends, with the request read.
    Close,
}

impl Reply {
    /// A message is stored.
    #[must_use]
    pub const fn receipt() -> Self {
        Self::Answer(ResponseCode::SUCCESS, None)
    }

    /// An answer with a remark.
    #[must_use]
    pub fn answer(code: i32, remark: &str) -> Self {
        Self::Answer(ResponseCode(code), Some(remark.to_owned()))
    }
}

/// Whether a request is a send.
#[must_use]
pub fn is_send(request: &RemotingCommand) -> bool {
    matches!(
        RequestCode(request.code),
        RequestCode::SEND_MESSAGE | RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE
    )
}

/// A server on a free port of 127.0.0.1; dropping it ends it and its connections.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    sends: watch::Sender<u64>,
    accepted: watch::Sender<u64>,
}

impl Peer {
    /// A broker that meets sends with `script`, which is told the request and how many sends came
    /// before it, and answers everything else with success.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn broker(
        script: impl Fn(&RemotingCommand, u64) -> Reply + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        Self::start(move |request, sends| {
            if is_send(request) {
                script(request, sends)
            } else {
                Reply::receipt()
            }
        })
        .await
    }

    /// A name server that knows for every topic the route of these brokers, each with one queue.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn name_server(brokers: &[(&str, &str)]) -> anyhow::Result<Self> {
        let route = route(brokers, 1);
        Self::start(move |_, _| Reply::Body(route.clone())).await
    }

    /// The same, but each route is told once: later questions get no answer.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn mute_name_server(brokers: &[(&str, &str)]) -> anyhow::Result<Self> {
        let route = route(brokers, 1);
        let told = Mutex::new(Vec::new());
        Self::start(move |request, _| {
            let Some(topic) = request.field("topic") else {
                return Reply::receipt();
            };
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.iter().any(|known| known == topic) {
                return Reply::Silence;
            }
            told.push(topic.to_owned());
            Reply::Body(route.clone())
        })
        .await
    }

    /// A server that meets every request with `script`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(
        script: impl Fn(&RemotingCommand, u64) -> Reply + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let script = Arc::new(script);
        let mut tasks = JoinSet::new();
        let counts = Arc::clone(&seen);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counts.accepted.send_modify(|count| *count += 1);
                let (script, counts) = (Arc::clone(&script), Arc::clone(&counts));
                connections.spawn(async move {
                    serve(stream, &*script, &counts).await;
                });
            }
        });
        Ok(Self {
            address,
            seen,
            _tasks: tasks,
        })
    }

    /// Where it listens, `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Sends that came whole.
    #[must_use]
    pub fn sends(&self) -> u64 {
        *self.seen.sends.borrow()
    }

    /// Waits until so many sends have come.
    pub async fn got(&self, sends: u64) {
        let mut count = self.seen.sends.subscribe();
        // Its sender lives in `self`.
        let _ = count.wait_for(|count| *count >= sends).await;
    }

    /// Connections ever accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        *self.seen.accepted.borrow()
    }
}

async fn serve(
    mut stream: TcpStream,
    script: &(impl Fn(&RemotingCommand, u64) -> Reply + Send + Sync),
    seen: &Seen,
) {
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    while stream.read_buf(&mut input).await.is_ok_and(|read| read > 0) {
        while let Ok(Some(frame)) = decode_frame(&mut input, MAX_FRAME_LENGTH) {
            let Ok(request) = RemotingCommand::decode(frame) else {
                return;
            };
            let mut before = 0;
            if is_send(&request) {
                seen.sends.send_modify(|sends| {
                    before = *sends;
                    *sends += 1;
                });
            }
            let answer = match script(&request, before) {
                Reply::Answer(code, remark) => {
                    let queue = request.field("e").unwrap_or("0");
                    RemotingCommand::response(code, request.opaque, remark)
                        .with_field("queueId", queue)
                        .with_field("queueOffset", before.to_string())
                }
                Reply::Body(body) => {
                    let mut answer =
                        RemotingCommand::response(ResponseCode::SUCCESS, request.opaque, None);
                    answer.body = body;
                    answer
                }
                Reply::Bytes(bytes) => {
                    output.extend_from_slice(&bytes);
                    continue;
                }
                Reply::Silence => continue,
                Reply::Close => return end(stream).await,
            };
            if answer.encode(HeaderEncoding::Json, &mut output).is_err() {
                return;
            }
        }
        if stream.write_all_buf(&mut output).await.is_err() {
            return;
        }
    }
}

/// Ends a connection in good order: an end with bytes unread would be a reset.
async fn end(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let mut rest = BytesMut::new();
        while stream.read_buf(&mut rest).await.is_ok_and(|read| read > 0) {
            rest.clear();
        }
    }
}

/// The body of a route: these brokers, each with so many writable queues.
#[must_use]
pub fn route(brokers: &[(&str, &str)], queues: usize) -> Bytes {
    let named: Vec<_> = brokers
        .iter()
        .map(|(name, _)| {
            serde_json::json!({
                "brokerName": name, "readQueueNums": queues, "writeQueueNums": queues, "perm": 6,
                "topicSysFlag": 0,
            })
        })
        .collect();
    let addresses: Vec<_> = brokers.iter().map(|(name, address)| {
        serde_json::json!({"cluster": "c", "brokerName": name, "brokerAddrs": {"0": address}})
    }).collect();
    let route = serde_json::json!({"queueDatas": named, "brokerDatas": addresses});
    Bytes::from(route.to_string())
}

/// An address at which nobody listens any more.
///
/// # Errors
/// When no port can be had.
pub fn closed_address() -> std::io::Result<String> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.to_string())
}

/// An address at which no dial is answered: a listener whose short queue of connections is full.
#[derive(Debug)]
pub struct HungAddress {
    listener: socket2::Socket,
    fillers: Vec<socket2::Socket>,
}

impl HungAddress {
    /// Listens, and fills the queue.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn new() -> std::io::Result<Self> {
        use socket2::{Domain, Socket, Type};
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        listener.listen(0)?;
        let address = listener.local_addr()?;
        let mut fillers = Vec::new();
        for _ in 0..4 {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            filler.set_nonblocking(true)?;
            // Under way is as good as done here.
            let _ = filler.connect(&address);
            fillers.push(filler);
        }
        Ok(Self { listener, fillers })
    }

    /// The address, `host:port`.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn address(&self) -> std::io::Result<String> {
        let address = self.listener.local_addr()?.as_socket();
        address
            .map(|address| address.to_string())
            .ok_or_else(|| std::io::ErrorKind::AddrNotAvailable.into())
    }

    /// How many connections fill its queue.
    #[must_use]
    pub fn fillers(&self) -> usize {
        self.fillers.len()
    }
}
