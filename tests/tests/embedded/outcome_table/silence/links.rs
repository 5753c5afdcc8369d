//! Failures that only show below the producer: a connection over a pipe, or a pool.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use rocketmq_producer::SendFailure;
use rocketmq_producer::remoting::{
    ByteSize, Connection, ConnectionOptions, ConnectionPool, HeaderEncoding, HookResult,
    NoConsumer, NoFields, RemotingCommand, RequestCode, RequestContext, RequestError, RequestHook,
    ResponseCode,
};
use rocketmq_producer_tests::breaking::BreakingStream;
use rocketmq_producer_tests::peer::{HungAddress, closed_address};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::Seen;

/// Bytes that a pipe takes before its reader must read.
const PIPE: usize = 64;

/// Nothing here takes this long.
const PATIENT: Duration = Duration::from_secs(30);

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(100)
}

fn ping() -> NoFields {
    NoFields(RequestCode::HEART_BEAT)
}

/// A connection whose other end reads only what it is told to.
struct Link {
    connection: Connection,
    end: DuplexStream,
    task: JoinSet<()>,
}

impl Link {
    fn new(options: ConnectionOptions) -> Self {
        let (ours, end) = tokio::io::duplex(PIPE);
        let (connection, task) = connect(ours, options);
        Self {
            connection,
            end,
            task,
        }
    }

    /// One request of which a part has left, and one behind it of which nothing has.
    async fn two_requests(&mut self) -> Result<[JoinHandle<Result<(), RequestError>>; 2]> {
        let first = self.request(Bytes::from(vec![1; 10 * PIPE]));
        // Its bytes fill the pipe: from here on nothing leaves.
        self.end.read_u8().await?;
        let second = self.request(Bytes::new());
        while self.connection.pending() < 2 {
            tokio::task::yield_now().await;
        }
        Ok([first, second])
    }

    fn request(&self, body: Bytes) -> JoinHandle<Result<(), RequestError>> {
        request(&self.connection, body, Instant::now() + PATIENT)
    }
}

fn connect(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    options: ConnectionOptions,
) -> (Connection, JoinSet<()>) {
    let (connection, driver) =
        Connection::new(stream, Arc::from("peer"), &options, Arc::new(NoConsumer));
    let mut task = JoinSet::new();
    task.spawn(async move {
        driver.await;
    });
    (connection, task)
}

fn request(
    connection: &Connection,
    body: Bytes,
    deadline: Instant,
) -> JoinHandle<Result<(), RequestError>> {
    let connection = connection.clone();
    let asking = async move { connection.request(&ping(), &body, deadline).await.map(drop) };
    #[expect(clippy::disallowed_methods, reason = "awaited by its handle")]
    tokio::spawn(asking)
}

async fn failure(request: JoinHandle<Result<(), RequestError>>) -> Result<Seen> {
    let error = request.await?.err().context("it failed")?;
    Ok(Seen::from(SendFailure::Request(error)))
}

pub(super) async fn peer_closed_before() -> Result<Seen> {
    let mut link = Link::new(ConnectionOptions::new());
    let [_, second] = link.two_requests().await?;
    // Only this direction ends, so that writing does not fail first.
    link.end.shutdown().await?;
    failure(second).await
}

pub(super) async fn garbage_before() -> Result<Seen> {
    let mut link = Link::new(ConnectionOptions::new());
    let [_, second] = link.two_requests().await?;
    link.end.write_all(&[0xff; 8]).await?;
    failure(second).await
}

pub(super) async fn closed_here(had_left: bool) -> Result<Seen> {
    let mut link = Link::new(ConnectionOptions::new());
    let [first, second] = link.two_requests().await?;
    // Dropped with its runtime; a close in good order would let the bytes leave first.
    link.task.shutdown().await;
    failure(if had_left { first } else { second }).await
}

pub(super) async fn reset(had_left: bool) -> Result<Seen> {
    let stream = BreakingStream::after(usize::from(had_left));
    let (connection, _task) = connect(stream, ConnectionOptions::new());
    failure(request(&connection, Bytes::new(), Instant::now() + PATIENT)).await
}

pub(super) async fn taken_back() -> Result<Seen> {
    let mut link = Link::new(ConnectionOptions::new());
    let _waiting = link.two_requests().await?;
    failure(request(&link.connection, Bytes::new(), soon())).await
}

pub(super) async fn leaving() -> Result<Seen> {
    let mut link = Link::new(ConnectionOptions::new());
    // Answered long after GO_AWAY, so that the connection is still there.
    let waiting = link.request(Bytes::new());
    let mut request = Vec::new();
    while request.is_empty() {
        link.end.read_buf(&mut request).await?;
    }
    let leave = RemotingCommand::response(ResponseCode::GO_AWAY, i32::MAX, None);
    let mut frame = bytes::BytesMut::new();
    leave.encode(HeaderEncoding::Binary, &mut frame)?;
    link.end.write_all(&frame).await?;
    while link.connection.is_open() {
        tokio::task::yield_now().await;
    }
    let refused = failure(link.request(Bytes::new())).await;
    waiting.abort();
    refused
}

pub(super) async fn no_room() -> Result<Seen> {
    let options = ConnectionOptions::new().with_max_unsent(ByteSize::bytes(1));
    let mut link = Link::new(options);
    let _first = link.request(Bytes::from(vec![1; 10 * PIPE]));
    link.end.read_u8().await?;
    failure(request(&link.connection, Bytes::new(), soon())).await
}

pub(super) async fn pending_full() -> Result<Seen> {
    let mut link = Link::new(ConnectionOptions::new().with_max_pending(1));
    let _first = link.request(Bytes::new());
    link.end.read_u8().await?;
    failure(link.request(Bytes::new())).await
}

pub(super) async fn too_large() -> Result<Seen> {
    let link = Link::new(ConnectionOptions::new());
    failure(link.request(Bytes::from(vec![0; 16 * 1024 * 1024]))).await
}

/// Lets nothing pass.
struct Forbids;

#[async_trait]
impl RequestHook for Forbids {
    async fn before(&self, _: &mut RequestContext<'_>) -> HookResult {
        Err("not today".into())
    }
}

pub(super) async fn hooked() -> Result<Seen> {
    let link = Link::new(ConnectionOptions::new().with_request_hook(Arc::new(Forbids)));
    failure(link.request(Bytes::new())).await
}

fn pool() -> ConnectionPool {
    ConnectionPool::new(ConnectionOptions::new(), Arc::new(NoConsumer))
}

async fn dial_failure(pool: &ConnectionPool, address: &str) -> Result<Seen> {
    let error = pool.connection(address, soon()).await.err();
    let error = error.context("there is no connection")?;
    Ok(Seen::from(SendFailure::Connect(error)))
}

pub(super) async fn dial_too_slow() -> Result<Seen> {
    let hung = HungAddress::new()?;
    dial_failure(&pool(), &hung.address()?).await
}

pub(super) async fn backing_off() -> Result<Seen> {
    let (pool, address) = (pool(), closed_address()?);
    dial_failure(&pool, &address).await?;
    dial_failure(&pool, &address).await
}

/// A listener that ends every connection before it says a word.
pub(super) async fn ended_at_once() -> Result<Seen> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?.to_string();
    let mut task = JoinSet::new();
    task.spawn(async move { while listener.accept().await.is_ok() {} });
    let pool = pool();
    let connection = pool.connection(&address, Instant::now() + PATIENT).await?;
    while connection.is_open() {
        tokio::task::yield_now().await;
    }
    // Until the pool has noticed, it dials once more.
    loop {
        match pool.connection(&address, Instant::now() + PATIENT).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => return Ok(Seen::from(SendFailure::Connect(error))),
        }
    }
}

pub(super) async fn pool_closed() -> Result<Seen> {
    let pool = pool();
    pool.close(PATIENT).await;
    dial_failure(&pool, &closed_address()?).await
}
