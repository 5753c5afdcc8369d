//! The pool over loopback sockets, in real time.

mod companions;
mod connectivity;
mod network;

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::code::RequestCode;
use crate::connection::{ConnectFailure, NoConsumer};
use crate::delivery::Delivery;
use crate::header::NoFields;

const LONG: Duration = Duration::from_secs(20);

/// Accepts connections and holds them without ever reading.
struct Listener {
    address: String,
    accepted: mpsc::Receiver<TcpStream>,
    count: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

impl Listener {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (streams, accepted) = mpsc::channel(1000);
        let count = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&count);
        let task = TaskTracker::new().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counting.fetch_add(1, Ordering::SeqCst);
                if streams.send(stream).await.is_err() {
                    break;
                }
            }
        });
        Self {
            address,
            accepted,
            count,
            _task: AbortOnDropHandle::new(task),
        }
    }
}

/// A listener whose queue is full: a dial of it gets no answer. Both values keep it so. Other
/// systems refuse instead.
#[cfg(target_os = "linux")]
fn silent() -> (socket2::Socket, Vec<std::net::TcpStream>, String) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))
    {
        fillers.push(filler);
    }
    (socket, fillers, address.to_string())
}

fn pool_with(options: ConnectionOptions) -> ConnectionPool {
    ConnectionPool::new(options, Arc::new(NoConsumer))
}

fn pool() -> ConnectionPool {
    pool_with(ConnectionOptions::new())
}

fn deadline() -> Instant {
    Instant::now() + LONG
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_callers_at_once_share_one_dial() {
    let mut listener = Listener::new().await;
    let pool = pool();
    let callers: tokio::task::JoinSet<_> = (0..100)
        .map(|_| {
            let (pool, address) = (pool.clone(), listener.address.clone());
            async move { pool.connection(&address, deadline()).await.unwrap() }
        })
        .collect();
    let connections = callers.join_all().await;
    assert_eq!(connections.len(), 100);
    listener.accepted.recv().await.unwrap();
    assert_eq!(listener.count.load(Ordering::SeqCst), 1);
    assert_eq!(pool.stats().dials, 1);
}

#[tokio::test]
async fn a_caller_that_looked_just_before_a_dial_ended_gets_its_connection() {
    let listener = Listener::new().await;
    let pool = pool();
    let endpoint = pool.endpoint(&listener.address);
    endpoint.connection(deadline()).await.unwrap();
    // What a caller does next that saw no connection an instant ago.
    let late = endpoint.open_or_dial(deadline()).await.unwrap();
    assert!(late.is_open());
    assert_eq!(pool.stats().dials, 1);
}

#[tokio::test]
async fn a_refused_address_fails_at_once_during_its_pause_and_is_dialled_after_it() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let pause = Duration::from_secs(1);
    let pool = pool_with(ConnectionOptions::new().with_redial_pause(pause, pause));
    let name = address.to_string();
    let refused = pool.connection(&name, deadline()).await.unwrap_err();
    assert!(matches!(refused.failure(), ConnectFailure::Io(_)));
    let refused = pool.connection(&name, deadline()).await.unwrap_err();
    let ConnectFailure::BackingOff { cause, retry_in } = refused.failure() else {
        panic!("{refused}");
    };
    assert!(matches!(**cause, ConnectFailure::Io(_)));
    assert!(*retry_in <= pause);
    assert_eq!(pool.stats().dials, 1, "a pause is no dial");

    let _listener = TcpListener::bind(address).await.unwrap();
    tokio::time::sleep(*retry_in + Duration::from_millis(1)).await;
    assert!(pool.connection(&name, deadline()).await.unwrap().is_open());
}

#[tokio::test]
async fn a_connection_that_the_peer_closed_is_opened_anew() {
    let mut listener = Listener::new().await;
    let pool = pool();
    let first = pool
        .connection(&listener.address, deadline())
        .await
        .unwrap();
    let (header, nothing) = (NoFields(RequestCode::GET_BROKER_RUNTIME_INFO), Bytes::new());
    drop(listener.accepted.recv().await.unwrap());
    first
        .request(&header, &nothing, deadline())
        .await
        .unwrap_err();
    let second = pool
        .connection(&listener.address, deadline())
        .await
        .unwrap();
    assert!(second.is_open() && !first.is_open());
    assert_eq!(pool.stats().dials, 2);
}

#[tokio::test]
async fn an_address_that_is_not_kept_is_closed_and_leaves() {
    let (kept, gone) = (Listener::new().await, Listener::new().await);
    let pool = pool();
    let stays = pool.connection(&kept.address, deadline()).await.unwrap();
    let goes = pool.connection(&gone.address, deadline()).await.unwrap();
    pool.retain_addresses(|address| address == kept.address);
    assert!(stays.is_open());
    assert!(!goes.is_open());
    assert_eq!(pool.open_connections().len(), 1);
}

#[tokio::test]
async fn close_ends_every_task_within_its_patience_even_if_a_peer_reads_nothing() {
    let listener = Listener::new().await;
    let options = ConnectionOptions::new().with_max_unsent(crate::ByteSize::mib(64));
    let pool = pool_with(options);
    let connection = pool
        .connection(&listener.address, deadline())
        .await
        .unwrap();
    let body = Bytes::from(vec![0; 15 << 20]);
    let asking = TaskTracker::new().spawn(async move {
        let header = NoFields(RequestCode::GET_BROKER_RUNTIME_INFO);
        connection.oneway(&header, &body, deadline()).await
    });
    while pool.stats().bytes_written == 0 {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    pool.close(Duration::from_millis(100)).await;
    assert!(start.elapsed() < Duration::from_millis(900));
    assert!(pool.inner.environment.tracker.is_empty());
    let error = asking.await.unwrap().unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown);
    let refused = pool.connection(&listener.address, deadline()).await;
    assert!(matches!(
        refused.unwrap_err().failure(),
        ConnectFailure::PoolClosed
    ));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn close_does_not_wait_for_a_dial_that_gets_no_answer() {
    let (_socket, _fillers, address) = silent();
    let pool = pool();
    let early = Instant::now() + Duration::from_millis(10);
    let error = pool.connection(&address, early).await.unwrap_err();
    assert!(matches!(error.failure(), ConnectFailure::DeadlineExceeded));
    let start = Instant::now();
    pool.close(LONG).await;
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn close_reaches_connections_whose_address_was_dropped_from_the_pool() {
    let listener = Listener::new().await;
    let pool = pool();
    let endpoint = pool.endpoint(&listener.address);
    pool.retain_addresses(|_| false);
    let connection = endpoint.connection(deadline()).await.unwrap();
    let start = Instant::now();
    pool.close(LONG).await;
    assert!(start.elapsed() < LONG / 2);
    assert!(!connection.is_open());
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_cancel_the_dial() {
    let mut listener = Listener::new().await;
    let pool = pool();
    {
        let mut caller = Box::pin(pool.connection(&listener.address, deadline()));
        let polled = poll_once(&mut caller).await;
        assert!(!polled, "the dial cannot have ended");
    }
    listener.accepted.recv().await.unwrap();
    pool.connection(&listener.address, deadline())
        .await
        .unwrap();
    assert_eq!(pool.stats().dials, 1);
}

/// Polls once; whether the future has ended.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| {
        let ended = std::pin::Pin::new(&mut *future).poll(cx).is_ready();
        std::task::Poll::Ready(ended)
    })
    .await
}
