//! One connection against a scripted peer over an in-memory pipe, in virtual time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::code::RequestCode;
use crate::delivery::Delivery;
use crate::frame::{HeaderEncoding, MAX_FRAME_LENGTH, decode_frame};
use crate::header::NoFields;

const PING: NoFields = NoFields(RequestCode::GET_BROKER_RUNTIME_INFO);
const TIMEOUT: Duration = Duration::from_secs(3);

/// The other end of the pipe.
struct Peer {
    stream: DuplexStream,
    received: BytesMut,
}

impl Peer {
    async fn next(&mut self) -> RemotingCommand {
        loop {
            if let Some(frame) = decode_frame(&mut self.received, MAX_FRAME_LENGTH).unwrap() {
                return RemotingCommand::decode(frame).unwrap();
            }
            let read = self.stream.read_buf(&mut self.received).await.unwrap();
            assert_ne!(read, 0, "connection closed");
        }
    }

    async fn say(&mut self, command: &RemotingCommand) {
        let mut bytes = BytesMut::new();
        command.encode(HeaderEncoding::Json, &mut bytes).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn answer(&mut self, opaque: i32, remark: &str) {
        let remark = Some(remark.to_owned());
        let response = RemotingCommand::response(ResponseCode::SUCCESS, opaque, remark);
        self.say(&response).await;
    }

    async fn is_closed(&mut self) -> bool {
        self.stream.read_buf(&mut self.received).await.unwrap() == 0
    }
}

struct Fixture {
    connection: Connection,
    peer: Peer,
    driver: JoinHandle<CloseReason>,
    counters: Arc<Counters>,
}

impl Fixture {
    fn new(options: &ConnectionOptions, pipe: usize) -> Self {
        Self::made(options, pipe, Arc::new(NoConsumer))
    }

    fn with_handler(handler: Arc<dyn ConnectionHandler>) -> Self {
        Self::made(&ConnectionOptions::new(), 1 << 20, handler)
    }

    fn made(options: &ConnectionOptions, pipe: usize, handler: Arc<dyn ConnectionHandler>) -> Self {
        let (ours, theirs) = duplex(pipe);
        let counters = Arc::new(Counters::default());
        let (connection, driver) = Connection::watched(
            ours,
            Arc::from("peer:1"),
            options,
            handler,
            Arc::clone(&counters),
            None,
        );
        Self {
            connection,
            peer: Peer {
                stream: theirs,
                received: BytesMut::new(),
            },
            driver: tokio_util::task::TaskTracker::new().spawn(driver),
            counters,
        }
    }

    /// Starts a request on a task of its own.
    fn ask(&self) -> JoinHandle<Result<Response, RequestError>> {
        ask(&self.connection, Bytes::new())
    }
}

fn ask(connection: &Connection, body: Bytes) -> JoinHandle<Result<Response, RequestError>> {
    let connection = connection.clone();
    tokio_util::task::TaskTracker::new().spawn(async move {
        let deadline = Instant::now() + TIMEOUT;
        connection.request(&PING, &body, deadline).await
    })
}

fn fixture() -> Fixture {
    Fixture::new(&ConnectionOptions::new(), 1 << 20)
}

#[tokio::test(start_paused = true)]
async fn answers_reach_their_requests_in_any_order() {
    let mut fixture = fixture();
    let asked: Vec<_> = (0..100).map(|_| fixture.ask()).collect();
    let mut opaques = Vec::new();
    for _ in 0..100 {
        opaques.push(fixture.peer.next().await.opaque);
    }
    for opaque in opaques.iter().rev() {
        fixture.peer.answer(*opaque, &opaque.to_string()).await;
    }
    for request in asked {
        let response = request.await.unwrap().unwrap();
        assert_eq!(response.remark(), Some(response.head().opaque.to_string()));
    }
    assert_eq!(fixture.connection.pending(), 0);
}

/// Begins a request for a task that nothing wakes.
fn begin(connection: &Connection) -> InFlight {
    let (connection, deadline) = (connection.clone(), Instant::now() + TIMEOUT);
    let begun = connection.begin(&PING, &Bytes::new(), Wants::Answer, deadline, Waker::noop());
    begun.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_ends_before_it_is_polled_resolves_at_the_first_poll() {
    let mut fixture = fixture();
    let mut begun = begin(&fixture.connection);
    let opaque = fixture.peer.next().await.opaque;
    // Nothing has ended yet, and the owner is known: the table is not asked.
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut begun).poll(&mut cx).is_pending());
    fixture.peer.answer(opaque, "early").await;
    while fixture.connection.pending() > 0 {
        tokio::task::yield_now().await;
    }
    let Poll::Ready(Ok(Completion::Answered(response))) = Pin::new(&mut begun).poll(&mut cx) else {
        panic!("the answer is there");
    };
    assert_eq!(response.remark().as_deref(), Some("early"));
    let expired = begin(&fixture.connection);
    tokio::time::sleep(TIMEOUT * 2).await;
    let error = tokio::time::timeout(TIMEOUT, expired).await.unwrap();
    assert!(matches!(
        error.unwrap_err().failure(),
        RequestFailure::DeadlineExceeded
    ));
    let cut = begin(&fixture.connection);
    fixture.driver.abort();
    while fixture.connection.is_open() {
        tokio::task::yield_now().await;
    }
    let error = tokio::time::timeout(TIMEOUT, cut).await.unwrap();
    assert!(matches!(
        error.unwrap_err().failure(),
        RequestFailure::ConnectionLost(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_request_wakes_the_task_that_polls_it_whoever_began_it() {
    let mut fixture = fixture();
    let begun = begin(&fixture.connection);
    let waiting = tokio_util::task::TaskTracker::new().spawn(begun);
    let opaque = fixture.peer.next().await.opaque;
    fixture.peer.answer(opaque, "found").await;
    let answer = tokio::time::timeout(TIMEOUT / 2, waiting).await;
    assert!(matches!(
        answer.unwrap().unwrap(),
        Ok(Completion::Answered(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_request_ends_exactly_at_its_deadline_and_its_late_answer_is_ignored() {
    let mut fixture = fixture();
    let start = Instant::now();
    let unanswered = fixture.ask();
    let opaque = fixture.peer.next().await.opaque;
    let error = unanswered.await.unwrap().unwrap_err();
    // The timer wheel of the runtime counts in milliseconds.
    assert!(start.elapsed() >= TIMEOUT && start.elapsed() <= TIMEOUT + Duration::from_millis(2));
    assert!(matches!(error.failure(), RequestFailure::DeadlineExceeded));
    assert_eq!(error.delivery(), Delivery::Unknown);

    fixture.peer.answer(opaque, "late").await;
    let next = fixture.ask();
    let opaque = fixture.peer.next().await.opaque;
    fixture.peer.answer(opaque, "in time").await;
    let response = next.await.unwrap().unwrap();
    assert_eq!(response.remark().as_deref(), Some("in time"));
    assert!(
        fixture.connection.is_open(),
        "a timeout must not close the connection"
    );
    let stats = fixture.counters.snapshot();
    assert_eq!((stats.timeouts, stats.unmatched_responses), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn unknown_and_duplicate_answers_are_counted_and_ignored() {
    let mut fixture = fixture();
    let request = fixture.ask();
    let opaque = fixture.peer.next().await.opaque;
    fixture.peer.answer(opaque + 1000, "nobody's").await;
    fixture.peer.answer(opaque, "first").await;
    fixture.peer.answer(opaque, "second").await;
    let response = request.await.unwrap().unwrap();
    assert_eq!(response.remark().as_deref(), Some("first"));
    let other = fixture.ask();
    let opaque = fixture.peer.next().await.opaque;
    fixture.peer.answer(opaque, "other").await;
    assert_eq!(
        other.await.unwrap().unwrap().remark().as_deref(),
        Some("other")
    );
    assert_eq!(fixture.counters.snapshot().unmatched_responses, 2);
}

#[tokio::test(start_paused = true)]
async fn a_break_fails_every_pending_request_at_once_with_the_same_cause() {
    let mut fixture = fixture();
    let start = Instant::now();
    let asked: Vec<_> = (0..10).map(|_| fixture.ask()).collect();
    for _ in 0..10 {
        fixture.peer.next().await;
    }
    drop(fixture.peer);
    let mut causes = Vec::new();
    for request in asked {
        let error = request.await.unwrap().unwrap_err();
        assert_eq!(error.delivery(), Delivery::Unknown);
        let RequestFailure::ConnectionLost(cause) = error.failure() else {
            panic!("{error}");
        };
        causes.push(Arc::clone(cause));
    }
    assert!(causes.iter().all(|cause| Arc::ptr_eq(cause, &causes[0])));
    assert!(matches!(*causes[0], CloseReason::PeerClosed));
    assert_eq!(
        start.elapsed(),
        Duration::ZERO,
        "nobody waited for a deadline"
    );
    assert!(!fixture.connection.is_open());
    let refused = ask(&fixture.connection, Bytes::new())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(refused.delivery(), Delivery::NotSent);
    assert!(matches!(
        fixture.driver.await.unwrap(),
        CloseReason::PeerClosed
    ));
    let refused = ask(&fixture.connection, Bytes::new())
        .await
        .unwrap()
        .unwrap_err();
    let RequestFailure::ConnectionLost(cause) = refused.failure() else {
        panic!("{refused}");
    };
    assert!(matches!(**cause, CloseReason::PeerClosed), "{cause}");
}

#[tokio::test(start_paused = true)]
async fn requests_behind_a_stalled_write_are_told_apart_from_those_begun() {
    // The pipe takes 64 bytes: the first frame is begun, the others never leave.
    let mut fixture = Fixture::new(&ConnectionOptions::new(), 64);
    let first = ask(&fixture.connection, Bytes::from(vec![1; 1000]));
    tokio::task::yield_now().await;
    let second = ask(&fixture.connection, Bytes::from(vec![2; 1000]));
    // The first bytes are in the pipe once the peer can see them.
    let mut byte = [0_u8; 1];
    fixture.peer.stream.read_exact(&mut byte).await.unwrap();
    drop(fixture.peer);
    assert_eq!(
        first.await.unwrap().unwrap_err().delivery(),
        Delivery::Unknown
    );
    assert_eq!(
        second.await.unwrap().unwrap_err().delivery(),
        Delivery::NotSent
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_write_buffer_makes_requests_wait_and_then_fail_as_not_sent() {
    let options = ConnectionOptions::new().with_max_unsent(crate::ByteSize::bytes(2000));
    let fixture = Fixture::new(&options, 64);
    let begun = ask(&fixture.connection, Bytes::from(vec![1; 1500]));
    tokio::task::yield_now().await;
    let start = Instant::now();
    let waiting = ask(&fixture.connection, Bytes::from(vec![2; 1500]));
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error.failure(), RequestFailure::WriteBufferFull));
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert!(start.elapsed() >= TIMEOUT);
    assert_eq!(
        begun.await.unwrap().unwrap_err().delivery(),
        Delivery::Unknown
    );
}

#[tokio::test(start_paused = true)]
async fn room_made_by_the_peer_lets_waiting_requests_go_on() {
    let options = ConnectionOptions::new().with_max_unsent(crate::ByteSize::bytes(2000));
    let mut fixture = Fixture::new(&options, 64);
    let asked: Vec<_> = (0..20)
        .map(|n| ask(&fixture.connection, Bytes::from(vec![n; 1500])))
        .collect();
    for _ in 0..20 {
        let opaque = fixture.peer.next().await.opaque;
        fixture.peer.answer(opaque, "").await;
    }
    for request in asked {
        assert!(request.await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_the_bound_fail_at_once_as_not_sent() {
    let options = ConnectionOptions::new().with_max_pending(2);
    let mut fixture = Fixture::new(&options, 1 << 20);
    let (first, second) = (fixture.ask(), fixture.ask());
    let opaque = fixture.peer.next().await.opaque;
    fixture.peer.next().await;
    let error = fixture.ask().await.unwrap().unwrap_err();
    assert!(matches!(
        error.failure(),
        RequestFailure::PendingFull { limit: 2 }
    ));
    assert_eq!(error.delivery(), Delivery::NotSent);
    fixture.peer.answer(opaque, "").await;
    assert!(first.await.unwrap().is_ok());
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    assert_eq!(
        fixture.connection.pending(),
        0,
        "a dropped request gives its place back"
    );
}

#[tokio::test(start_paused = true)]
async fn a_malformed_frame_closes_the_connection_but_answers_before_it_count() {
    for garbage in [
        &b"\xff\xff\xff\xff"[..],
        &b"\x7f\xff\xff\xff\x00\x00\x00\x00"[..],
        &b"\x00\x00\x00\x05\x00\x00\x00\x02a"[..],
        &b"\x00\x00\x00\x06\x02\x00\x00\x02{}"[..],
        &b"\x00\x00\x00\x06\x00\x00\x00\x02{{"[..],
    ] {
        let mut fixture = fixture();
        let (good, lost) = (fixture.ask(), fixture.ask());
        let opaque = fixture.peer.next().await.opaque;
        fixture.peer.next().await;
        fixture.peer.answer(opaque, "").await;
        fixture.peer.stream.write_all(garbage).await.unwrap();
        assert!(good.await.unwrap().is_ok());
        let error = lost.await.unwrap().unwrap_err();
        let RequestFailure::ConnectionLost(cause) = error.failure() else {
            panic!("{error}");
        };
        assert!(matches!(**cause, CloseReason::Protocol(_)), "{cause}");
        assert!(fixture.peer.is_closed().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_of_the_server_never_answers_one_of_ours_even_with_the_same_number() {
    let mut fixture = fixture();
    let request = fixture.ask();
    let opaque = fixture.peer.next().await.opaque;
    fixture
        .peer
        .say(&RemotingCommand::request(9999, opaque))
        .await;
    let reply = fixture.peer.next().await;
    assert!(reply.is_response());
    assert_eq!((reply.code, reply.opaque), (3, opaque));
    fixture.peer.answer(opaque, "ours").await;
    assert_eq!(
        request.await.unwrap().unwrap().remark().as_deref(),
        Some("ours")
    );
}

/// Asks back on the connection that a request of the server came on.
struct AsksBack;

impl ConnectionHandler for AsksBack {
    fn handle_request(
        &self,
        connection: &Connection,
        request: &RemotingCommand,
    ) -> Option<RemotingCommand> {
        drop(ask(connection, Bytes::new()));
        Some(RemotingCommand::response(
            ResponseCode::SUCCESS,
            request.opaque,
            Some(connection.peer().to_owned()),
        ))
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_of_the_server_comes_with_its_connection_and_does_not_keep_it() {
    let mut fixture = Fixture::with_handler(Arc::new(AsksBack));
    fixture.peer.say(&RemotingCommand::request(39, 7)).await;
    let (mut answered, mut asked) = (None, None);
    for _ in 0..2 {
        let command = fixture.peer.next().await;
        if command.is_response() {
            answered = Some((command.opaque, command.remark));
        } else {
            asked = Some(command.opaque);
        }
    }
    assert_eq!(answered, Some((7, Some("peer:1".to_owned()))));
    fixture.peer.answer(asked.unwrap(), "").await;
    drop(fixture.connection);
    assert!(fixture.peer.is_closed().await);
    assert!(matches!(fixture.driver.await.unwrap(), CloseReason::Local));
}

#[tokio::test(start_paused = true)]
async fn go_away_lets_what_is_under_way_finish_and_takes_nothing_new() {
    let mut fixture = fixture();
    let (told, under_way) = (fixture.ask(), fixture.ask());
    let (first, second) = (fixture.peer.next().await, fixture.peer.next().await);
    let go_away = RemotingCommand::response(ResponseCode::GO_AWAY, first.opaque, None);
    fixture.peer.say(&go_away).await;
    assert_eq!(told.await.unwrap().unwrap().code(), ResponseCode::GO_AWAY);
    assert!(!fixture.connection.is_open());
    let refused = fixture.ask().await.unwrap().unwrap_err();
    assert_eq!(refused.delivery(), Delivery::NotSent);
    fixture.peer.answer(second.opaque, "done").await;
    assert!(under_way.await.unwrap().is_ok());
    assert!(fixture.peer.is_closed().await);
    assert!(matches!(fixture.driver.await.unwrap(), CloseReason::GoAway));
}

#[tokio::test(start_paused = true)]
async fn a_one_way_request_is_done_when_its_last_byte_was_taken() {
    let mut fixture = Fixture::new(&ConnectionOptions::new(), 64);
    let connection = fixture.connection.clone();
    let sending = tokio_util::task::TaskTracker::new().spawn(async move {
        let body = Bytes::from(vec![7; 100]);
        connection
            .oneway(&PING, &body, Instant::now() + TIMEOUT)
            .await
    });
    tokio::task::yield_now().await;
    assert!(
        !sending.is_finished(),
        "the pipe cannot hold the whole frame"
    );
    let command = fixture.peer.next().await;
    assert!(command.is_oneway());
    assert_eq!(command.body.len(), 100);
    sending.await.unwrap().unwrap();
    assert_eq!(fixture.connection.pending(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_writes_what_was_handed_over_and_ends_the_task() {
    let mut fixture = fixture();
    let request = fixture.ask();
    let opaque = fixture.peer.next().await.opaque;
    fixture.peer.answer(opaque, "").await;
    request.await.unwrap().unwrap();
    drop(fixture.connection);
    assert!(fixture.peer.is_closed().await);
    assert!(matches!(fixture.driver.await.unwrap(), CloseReason::Local));
}

#[tokio::test(start_paused = true)]
async fn a_distrusted_connection_ends_at_once_even_while_its_peer_reads_nothing() {
    let fixture = Fixture::new(&ConnectionOptions::new(), 64);
    let start = Instant::now();
    let request = ask(&fixture.connection, Bytes::from(vec![1; 1000]));
    tokio::task::yield_now().await;
    fixture.connection.distrust(FrameError::Truncated("test"));
    let error = request.await.unwrap().unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown);
    assert!(matches!(
        fixture.driver.await.unwrap(),
        CloseReason::Protocol(_)
    ));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_cannot_keep_a_closed_connection_alive() {
    let fixture = Fixture::new(&ConnectionOptions::new(), 64);
    let request = ask(&fixture.connection, Bytes::from(vec![1; 1000]));
    tokio::task::yield_now().await;
    let start = Instant::now();
    fixture.connection.close();
    let error = request.await.unwrap().unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown);
    assert!(matches!(fixture.driver.await.unwrap(), CloseReason::Local));
    assert!(
        start.elapsed() < TIMEOUT,
        "the linger is shorter than the request's deadline"
    );
}

#[tokio::test(start_paused = true)]
async fn a_short_deadline_holds_even_behind_a_stalled_write_with_longer_ones() {
    let fixture = Fixture::new(&ConnectionOptions::new(), 64);
    let begun = ask(&fixture.connection, Bytes::from(vec![1; 1000]));
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    let (start, short) = (Instant::now(), Duration::from_millis(100));
    let nothing = Bytes::new();
    let asked = fixture.connection.request(&PING, &nothing, start + short);
    let error = asked.await.unwrap_err();
    assert!(matches!(error.failure(), RequestFailure::DeadlineExceeded));
    assert!(start.elapsed() < short * 2, "{:?}", start.elapsed());
    drop(begun);
}

#[tokio::test(start_paused = true)]
async fn what_has_not_left_at_its_deadline_is_taken_back_and_certainly_not_sent() {
    let mut fixture = Fixture::new(&ConnectionOptions::new(), 64);
    let begun = ask(&fixture.connection, Bytes::from(vec![1; 20_000]));
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    let until = Instant::now() + Duration::from_millis(100);
    let connection = &fixture.connection;
    let (small, large) = (Bytes::from_static(b"small"), Bytes::from(vec![2; 10_000]));
    let (one, other, oneway, kept) = tokio::join!(
        connection.request(&PING, &small, until),
        connection.request(&PING, &large, until),
        connection.oneway(&PING, &small, until),
        // Behind those that are taken back.
        std::future::ready(ask(connection, Bytes::from_static(b"kept"))),
    );
    let failures = [one.map(drop), other.map(drop), oneway];
    for error in failures.map(Result::unwrap_err) {
        assert!(matches!(error.failure(), RequestFailure::DeadlineExceeded));
        assert_eq!(error.delivery(), Delivery::NotSent);
    }
    for (request, body) in [(begun, vec![1; 20_000]), (kept, b"kept".to_vec())] {
        let heard = fixture.peer.next().await;
        assert_eq!(heard.body, body, "nothing else comes");
        let answer = RemotingCommand::response(ResponseCode::SUCCESS, heard.opaque, None);
        fixture.peer.say(&answer).await;
        request.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_dropped_before_it_ran_fails_the_requests_that_wait_for_it() {
    let (ours, _theirs) = duplex(64);
    let (connection, driver) = Connection::new(
        ours,
        Arc::from("peer:1"),
        &ConnectionOptions::new(),
        Arc::new(NoConsumer),
    );
    let request = ask(&connection, Bytes::new());
    tokio::task::yield_now().await;
    drop(driver);
    let ended = tokio::time::timeout(TIMEOUT * 2, request).await;
    let error = ended.expect("the request hangs").unwrap().unwrap_err();
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert!(!connection.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_go_away_and_reads_nothing_cannot_keep_the_connection() {
    let mut fixture = Fixture::new(&ConnectionOptions::new(), 64);
    let request = ask(&fixture.connection, Bytes::from(vec![1; 1000]));
    tokio::task::yield_now().await;
    let go_away = RemotingCommand::response(ResponseCode::GO_AWAY, 4711, None);
    fixture.peer.say(&go_away).await;
    request.await.unwrap().unwrap_err();
    let ended = tokio::time::timeout(TIMEOUT, fixture.driver).await;
    assert!(matches!(
        ended.expect("draining never ends").unwrap(),
        CloseReason::GoAway
    ));
}

#[tokio::test(start_paused = true)]
async fn go_away_sends_those_who_wait_for_room_elsewhere_at_once() {
    let options = ConnectionOptions::new().with_max_unsent(crate::ByteSize::bytes(2000));
    let mut fixture = Fixture::new(&options, 64);
    let _begun = ask(&fixture.connection, Bytes::from(vec![1; 1500]));
    tokio::task::yield_now().await;
    let waiting = ask(&fixture.connection, Bytes::from(vec![2; 1500]));
    tokio::task::yield_now().await;
    let start = Instant::now();
    let go_away = RemotingCommand::response(ResponseCode::GO_AWAY, 4711, None);
    fixture.peer.say(&go_away).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn close_ends_those_who_wait_for_room_at_once() {
    let options = ConnectionOptions::new().with_max_unsent(crate::ByteSize::bytes(2000));
    let fixture = Fixture::new(&options, 64);
    let _begun = ask(&fixture.connection, Bytes::from(vec![1; 1500]));
    tokio::task::yield_now().await;
    let waiting = ask(&fixture.connection, Bytes::from(vec![2; 1500]));
    tokio::task::yield_now().await;
    let start = Instant::now();
    fixture.connection.close();
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// A stream whose end the peer never takes, as of a TLS session with bytes left to flush.
struct Endless(DuplexStream);

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_end_is_never_taken_does_not_keep_the_task() {
    let (ours, _theirs) = duplex(64);
    let options = ConnectionOptions::new();
    let (connection, driver) = Connection::new(
        Endless(ours),
        Arc::from("peer:1"),
        &options,
        Arc::new(NoConsumer),
    );
    connection.close();
    let ended = tokio::time::timeout(TIMEOUT, driver).await;
    assert!(matches!(ended.expect("the task hangs"), CloseReason::Local));
}

#[test]
fn errors_stay_small() {
    assert!(
        size_of::<RequestError>() <= 72,
        "{}",
        size_of::<RequestError>()
    );
    assert!(
        size_of::<ConnectError>() <= 64,
        "{}",
        size_of::<ConnectError>()
    );
}
