//! What faults of a broker do to a connection of remoting, in memory and in virtual time, and over TCP where that
//! makes a difference.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rocketmq_producer_embedded::{Condition, EmbeddedCluster, Fault, MemoryNetwork, Reaction};
use rocketmq_producer_remoting::protocol::{SendMessageRequestHeader, SendMessageResponseHeader};
use rocketmq_producer_remoting::{
    CloseReason, ConnectFailure, Connection, ConnectionOptions, ConnectionPool, Delivery,
    FrameError, NoConsumer, RequestError, RequestFailure, Response, ResponseCode,
};
use tokio::time::Instant;

const TIMEOUT: Duration = Duration::from_secs(3);

struct Fixture {
    cluster: EmbeddedCluster,
    pool: ConnectionPool,
}

impl Fixture {
    /// A broker in memory that reacts to the next send.
    async fn with(reaction: Reaction) -> Self {
        let network = MemoryNetwork::new();
        let cluster = EmbeddedCluster::builder().in_memory(&network);
        let cluster = cluster.topic("t", 1).start().await.unwrap();
        let dialer = Arc::new(network);
        let options = ConnectionOptions::new();
        let pool = ConnectionPool::with_dialer(options, Arc::new(NoConsumer), dialer);
        Self::armed(cluster, pool, reaction)
    }

    /// The same over loopback TCP.
    async fn over_tcp(reaction: Reaction) -> Self {
        let cluster = EmbeddedCluster::builder().topic("t", 1).start().await;
        let pool = ConnectionPool::new(ConnectionOptions::new(), Arc::new(NoConsumer));
        Self::armed(cluster.unwrap(), pool, reaction)
    }

    fn armed(cluster: EmbeddedCluster, pool: ConnectionPool, reaction: Reaction) -> Self {
        let faults = cluster.faults("broker-a").unwrap();
        faults.arm(Fault::once(Condition::sends(), reaction));
        Self { cluster, pool }
    }

    async fn connection(&self) -> Connection {
        let address = self.cluster.brokers()[0].address.to_string();
        let deadline = Instant::now() + TIMEOUT;
        self.pool.connection(&address, deadline).await.unwrap()
    }

    async fn send(&self) -> Result<Response, RequestError> {
        send(&self.connection().await).await
    }

    fn stored(&self) -> usize {
        self.cluster.message_count("t")
    }
}

async fn send(connection: &Connection) -> Result<Response, RequestError> {
    let header = SendMessageRequestHeader::new("PG", "t", 0, 5);
    let body = Bytes::from_static(b"body");
    let deadline = Instant::now() + TIMEOUT;
    connection.request(&header, &body, deadline).await
}

fn close_reason(error: &RequestError) -> &CloseReason {
    match error.failure() {
        RequestFailure::ConnectionLost(reason) => reason,
        other => panic!("not lost: {other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_weaker_status_is_a_receipt_of_a_stored_message() {
    let codes = [
        ResponseCode::FLUSH_DISK_TIMEOUT,
        ResponseCode::SLAVE_NOT_AVAILABLE,
        ResponseCode::FLUSH_SLAVE_TIMEOUT,
    ];
    for code in codes {
        let fixture = Fixture::with(Reaction::Status(code)).await;
        let answer = fixture.send().await.unwrap();
        assert_eq!(answer.code(), code);
        let receipt = SendMessageResponseHeader::read(answer.frame()).unwrap();
        assert_eq!((receipt.queue_id, receipt.queue_offset), (0, 0));
        assert_eq!(fixture.stored(), 1);
        assert_eq!(fixture.send().await.unwrap().code(), ResponseCode::SUCCESS);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_keeps_its_own_code_under_a_forged_status() {
    let fixture = Fixture::with(Reaction::Status(ResponseCode::FLUSH_DISK_TIMEOUT)).await;
    let connection = fixture.connection().await;
    let header = SendMessageRequestHeader::new("PG", "t", 99, 5);
    let body = Bytes::from_static(b"body");
    let deadline = Instant::now() + TIMEOUT;
    let answer = connection.request(&header, &body, deadline).await.unwrap();
    assert_eq!(answer.code(), ResponseCode::INVALID_PARAMETER);
    assert_eq!(fixture.stored(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_pieces_is_read_whole() {
    let pause = Duration::from_millis(2);
    for piece in [0, 1, 7, 1000] {
        let fixture = Fixture::with(Reaction::Split { piece, pause }).await;
        let connection = fixture.connection().await;
        let start = Instant::now();
        let answer = send(&connection).await.unwrap();
        let receipt = SendMessageResponseHeader::read(answer.frame()).unwrap();
        assert_eq!(receipt.queue_offset, 0);
        // An answer has some hundred bytes.
        let took = start.elapsed();
        match piece {
            0 | 1 => assert!(took > pause * 100, "{took:?}"),
            7 => assert!(took > pause * 14 && took < pause * 100, "{took:?}"),
            _ => assert_eq!(took, Duration::ZERO),
        }
        assert!(send(&connection).await.is_ok());
    }
}

#[tokio::test]
async fn a_reset_is_an_error_of_the_socket_and_nothing_is_stored() {
    let fixture = Fixture::over_tcp(Reaction::Reset).await;
    let error = fixture.send().await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown);
    let CloseReason::Io(io) = close_reason(&error) else {
        panic!("{error}");
    };
    assert_eq!(io.kind(), ErrorKind::ConnectionReset);
    assert_eq!(fixture.stored(), 0);
    assert!(fixture.send().await.is_ok(), "the next connection is whole");
}

#[tokio::test(start_paused = true)]
async fn in_memory_a_reset_is_an_orderly_end() {
    let fixture = Fixture::with(Reaction::Reset).await;
    let error = fixture.send().await.unwrap_err();
    assert!(matches!(close_reason(&error), CloseReason::PeerClosed));
    assert_eq!(fixture.stored(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_truncated_answer_breaks_the_connection_and_leaves_the_delivery_unknown() {
    let fixture = Fixture::with(Reaction::Truncate(20)).await;
    let error = fixture.send().await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown);
    let reason = close_reason(&error);
    assert!(
        matches!(reason, CloseReason::Protocol(FrameError::UnexpectedEnd)),
        "{reason}"
    );
    assert_eq!(fixture.stored(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_at_all_of_an_answer_is_an_orderly_end() {
    let fixture = Fixture::with(Reaction::Truncate(0)).await;
    let error = fixture.send().await.unwrap_err();
    assert!(matches!(close_reason(&error), CloseReason::PeerClosed));
    assert_eq!(fixture.stored(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_answers_nothing_while_others_do() {
    let fixture = Fixture::with(Reaction::HalfOpen).await;
    let dead = fixture.connection().await;
    for _ in 0..3 {
        let start = Instant::now();
        let error = send(&dead).await.unwrap_err();
        assert!(matches!(error.failure(), RequestFailure::DeadlineExceeded));
        assert_eq!(error.delivery(), Delivery::Unknown);
        assert!(start.elapsed() >= TIMEOUT);
    }
    assert_eq!(fixture.stored(), 0);
    assert!(dead.is_open(), "nothing tells this side");
}

#[tokio::test]
async fn a_half_open_connection_is_reset_once_the_fault_is_lifted() {
    let fixture = Fixture::over_tcp(Reaction::HalfOpen).await;
    let dead = fixture.connection().await;
    let faults = fixture.cluster.faults("broker-a").unwrap();
    let lift = async {
        let code = rocketmq_producer_remoting::RequestCode::SEND_MESSAGE_V2;
        let arrived = |cluster: &EmbeddedCluster| cluster.requests("broker-a", code).unwrap() == 1;
        fixture.cluster.wait_until(arrived).await;
        faults.clear();
    };
    let (outcome, ()) = tokio::join!(send(&dead), lift);
    let error = outcome.unwrap_err();
    assert!(
        matches!(close_reason(&error), CloseReason::Io(_)),
        "{error}"
    );
    assert!(fixture.send().await.is_ok());
    assert_eq!(fixture.stored(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_broker_refuses_in_memory_and_is_back_at_its_address() {
    let fixture = Fixture::with(Reaction::Discard).await;
    fixture.cluster.faults("broker-a").unwrap().clear();
    let before = fixture.connection().await;
    let address = before.peer().to_owned();
    fixture.cluster.stop_broker("broker-a").await.unwrap();
    let error = send(&before).await.unwrap_err();
    assert!(
        matches!(close_reason(&error), CloseReason::PeerClosed),
        "{error}"
    );
    let deadline = Instant::now() + TIMEOUT;
    let refused = fixture.pool.connection(&address, deadline).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused.failure(), ConnectFailure::Io(io) if io.kind() == ErrorKind::ConnectionRefused),
        "{refused}"
    );
    fixture.cluster.start_broker("broker-a").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fixture.connection().await.peer(), address);
    assert!(fixture.send().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn two_clusters_in_one_network_do_not_meet() {
    let network = MemoryNetwork::new();
    let build = || EmbeddedCluster::builder().brokers(2).in_memory(&network);
    let (one, other) = (
        build().start().await.unwrap(),
        build().start().await.unwrap(),
    );
    let addresses = |cluster: &EmbeddedCluster| {
        let brokers = cluster.brokers().into_iter();
        let mut all: Vec<_> = brokers.map(|broker| broker.address.to_string()).collect();
        all.push(cluster.name_servers());
        all
    };
    let mut all = [addresses(&one), addresses(&other)].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 6);
    one.shutdown().await;
    let pool = ConnectionPool::with_dialer(
        ConnectionOptions::new(),
        Arc::new(NoConsumer),
        Arc::new(network.clone()),
    );
    let deadline = Instant::now() + TIMEOUT;
    let reached = pool.connection(&other.name_servers(), deadline).await;
    assert!(reached.is_ok());
}
