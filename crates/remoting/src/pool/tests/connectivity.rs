//! What a pool knows of its addresses and how it wins them back, in memory and in virtual time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::*;
use super::network::{ADDRESS, Fate, Network, PROBE_BODY, Peers};
use crate::code::{RequestCode, ResponseCode};
use crate::connection::{ConnectFailure, RequestError, RequestFailure, Response};
use crate::connectivity::Connectivity::{self, Idle, Live, Suspect};
use crate::connectivity::SuspectCause::{DialFailed, DialSlow, Leaving, Silent};
use crate::delivery::Delivery;
use crate::header::NoFields;

const ASK: RequestCode = RequestCode::GET_BROKER_RUNTIME_INFO;
const LIMIT: Duration = Duration::from_millis(200);
const SECOND: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(3);

fn network() -> (Endpoint, Arc<Network>, Peers, ConnectionPool) {
    let (pool, network, peers) = Network::new(ConnectionOptions::new());
    (pool.endpoint(ADDRESS), network, peers, pool)
}

fn soon() -> Instant {
    Instant::now() + TIMEOUT
}

type Asking = JoinHandle<Result<Response, RequestError>>;

/// A request on a connection, on a task of its own.
fn ask(connection: &Connection) -> Asking {
    ask_for(connection, TIMEOUT)
}

fn ask_for(connection: &Connection, timeout: Duration) -> Asking {
    let connection = connection.clone();
    let deadline = Instant::now() + timeout;
    TaskTracker::new().spawn(async move {
        let nothing = Bytes::new();
        connection.request(&NoFields(ASK), &nothing, deadline).await
    })
}

/// Waits until the endpoint's connectivity is as wanted; returns how long that took.
async fn until(endpoint: &Endpoint, wanted: Connectivity) -> Duration {
    let start = Instant::now();
    let mut changes = endpoint.subscribe();
    let seen = changes.wait_for(|now| *now == wanted);
    let seen = tokio::time::timeout(Duration::from_secs(3600), seen);
    let _ = seen.await.expect("never so").unwrap();
    assert_eq!(endpoint.connectivity(), wanted);
    start.elapsed()
}

/// Lets all that is ready run.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn is_near(time: Duration, wanted: Duration) -> bool {
    time >= wanted && time <= wanted + Duration::from_millis(5)
}

#[tokio::test(start_paused = true)]
async fn a_failed_dial_makes_an_address_suspect_and_a_good_one_makes_it_live() {
    let (endpoint, network, _peers, _pool) = network();
    assert_eq!(endpoint.connectivity(), Idle);
    network.set(Fate::Refuse);
    endpoint.connection(soon()).await.unwrap_err();
    assert_eq!(endpoint.connectivity(), Suspect(DialFailed));
    tokio::time::sleep(SECOND).await;
    assert_eq!(network.dials(), 1, "nobody holds it");
    network.set(Fate::Accept);
    endpoint.connection(soon()).await.unwrap();
    assert_eq!(endpoint.connectivity(), Live);
    assert_eq!(*endpoint.subscribe().borrow(), Live);
    assert_eq!(network.told(), [Suspect(DialFailed), Live]);
}

#[tokio::test(start_paused = true)]
async fn a_dial_without_an_answer_is_suspect_after_the_silence_limit_and_goes_on() {
    let (endpoint, network, _peers, _pool) = network();
    network.set(Fate::Late(SECOND));
    let start = Instant::now();
    let mut dial = Box::pin(endpoint.connection(soon()));
    tokio::select! {
        _ = &mut dial => panic!("no answer yet"),
        _ = until(&endpoint, Suspect(DialSlow)) => {}
    }
    assert!(is_near(start.elapsed(), LIMIT), "{:?}", start.elapsed());
    dial.await.unwrap();
    assert!(is_near(start.elapsed(), SECOND));
    assert_eq!(endpoint.connectivity(), Live);
    assert_eq!(network.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_is_never_answered_fails_at_the_connect_timeout() {
    let (endpoint, network, _peers, _pool) = network();
    network.set(Fate::Late(SECOND * 1000));
    let start = Instant::now();
    let error = endpoint
        .connection(Instant::now() + SECOND * 10)
        .await
        .unwrap_err();
    assert!(matches!(error.failure(), ConnectFailure::TimedOut(_)));
    assert!(is_near(start.elapsed(), TIMEOUT), "{:?}", start.elapsed());
    assert_eq!(network.told(), [Suspect(DialSlow), Suspect(DialFailed)]);
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_request_makes_a_peer_silent_and_its_late_answer_clears_it() {
    let (endpoint, network, mut peers, _pool) = network();
    let connection = endpoint.connection(soon()).await.unwrap();
    let mut peer = peers.next().await;
    let start = Instant::now();
    let given_up = ask_for(&connection, SECOND);
    until(&endpoint, Suspect(Silent)).await;
    assert!(is_near(start.elapsed(), LIMIT), "{:?}", start.elapsed());
    given_up.await.unwrap().unwrap_err();
    assert_eq!(endpoint.connectivity(), Suspect(Silent));
    let request = peer.hear_code(ASK).await;
    peer.answer(&request, ResponseCode::SUCCESS).await;
    until(&endpoint, Live).await;
    assert_eq!(network.told(), [Live, Suspect(Silent), Live]);
    assert_eq!(network.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_counts_once_as_unanswered_and_a_newer_one_counts_again() {
    let (endpoint, network, mut peers, _pool) = network();
    let connection = endpoint.connection(soon()).await.unwrap();
    let mut peer = peers.next().await;
    let lost = ask(&connection);
    peer.hear_code(ASK).await;
    until(&endpoint, Suspect(Silent)).await;
    let answered = ask(&connection);
    let request = peer.hear_code(ASK).await;
    peer.answer(&request, ResponseCode::SUCCESS).await;
    answered.await.unwrap().unwrap();
    assert_eq!(endpoint.connectivity(), Live);
    tokio::time::sleep(LIMIT * 4).await;
    assert!(!lost.is_finished());
    assert_eq!(network.told(), [Live, Suspect(Silent), Live]);
    let _newer = ask(&connection);
    until(&endpoint, Suspect(Silent)).await;
}

#[tokio::test(start_paused = true)]
async fn one_lost_answer_among_others_that_come_is_no_silence() {
    let (endpoint, network, mut peers, _pool) = network();
    let connection = endpoint.connection(soon()).await.unwrap();
    let mut peer = peers.next().await;
    let lost = ask_for(&connection, SECOND * 10);
    peer.hear_code(ASK).await;
    for _ in 0..20 {
        let answered = ask(&connection);
        let request = peer.hear_code(ASK).await;
        tokio::time::sleep(LIMIT / 2).await;
        peer.answer(&request, ResponseCode::SUCCESS).await;
        answered.await.unwrap().unwrap();
    }
    assert!(!lost.is_finished());
    assert_eq!(network.told(), [Live]);
}

#[tokio::test(start_paused = true)]
async fn one_way_requests_and_idle_connections_are_no_silence() {
    let (endpoint, network, mut peers, _pool) = network();
    let connection = endpoint.connection(soon()).await.unwrap();
    let _peer = peers.next().await;
    let nothing = Bytes::new();
    for _ in 0..10 {
        let sent = connection.oneway(&NoFields(ASK), &nothing, soon());
        sent.await.unwrap();
        tokio::time::sleep(LIMIT).await;
    }
    tokio::time::sleep(SECOND * 100).await;
    assert_eq!(network.told(), [Live]);
}

#[tokio::test(start_paused = true)]
async fn the_silence_limit_of_an_address_can_be_set() {
    let (endpoint, _network, mut peers, _pool) = network();
    let connection = endpoint.connection(soon()).await.unwrap();
    let _peer = peers.next().await;
    endpoint.set_silence_limit(SECOND);
    let _unanswered = ask(&connection);
    let took = until(&endpoint, Suspect(Silent)).await;
    assert!(is_near(took, SECOND), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_vanished_peer_is_replaced_within_two_seconds_and_no_request_fails_early() {
    let (endpoint, network, mut peers, _pool) = network();
    let _hold = endpoint.hold();
    let connection = endpoint.connection(soon()).await.unwrap();
    // It takes bytes and says nothing.
    let mut vanished = peers.next().await;
    let start = Instant::now();
    let pending = ask(&connection);
    drop(connection);
    let mut stand_in = peers.next().await;
    let probe = stand_in.hear_code(RequestCode::HEART_BEAT).await;
    assert_eq!(&probe.body[..], PROBE_BODY);
    assert_eq!(endpoint.connectivity(), Suspect(Silent));
    stand_in.answer(&probe, ResponseCode::SUCCESS).await;
    until(&endpoint, Live).await;
    assert!(start.elapsed() < SECOND * 2, "{:?}", start.elapsed());
    assert_eq!(network.connected.lock().unwrap().len(), 2);

    let connection = endpoint.connection(soon()).await.unwrap();
    let asked = ask(&connection);
    let request = stand_in.hear_code(ASK).await;
    stand_in.answer(&request, ResponseCode::SUCCESS).await;
    asked.await.unwrap().unwrap();
    assert!(!pending.is_finished(), "it waits on the old connection");
    let error = pending.await.unwrap().unwrap_err();
    assert!(matches!(error.failure(), RequestFailure::DeadlineExceeded));
    assert_eq!(error.delivery(), Delivery::Unknown);
    assert!(start.elapsed() >= TIMEOUT);
    // Drained, then closed.
    let mut heard = Vec::new();
    while let Some(request) = vanished.hear().await {
        heard.push(RequestCode(request.code));
    }
    assert_eq!(heard[..2], [ASK, RequestCode::HEART_BEAT]);
    assert_eq!(network.dials(), 2);
    assert_eq!(endpoint.connectivity(), Live);
}

#[tokio::test(start_paused = true)]
async fn a_slow_peer_that_answers_first_keeps_its_connection_and_the_stand_in_goes() {
    let (endpoint, network, mut peers, _pool) = network();
    let _hold = endpoint.hold();
    let connection = endpoint.connection(soon()).await.unwrap();
    let mut slow = peers.next().await;
    let pending = ask(&connection);
    let mut stand_in = peers.next().await;
    stand_in.hear_code(RequestCode::HEART_BEAT).await;
    let request = slow.hear_code(ASK).await;
    slow.answer(&request, ResponseCode::SUCCESS).await;
    pending.await.unwrap().unwrap();
    assert_eq!(endpoint.connectivity(), Live);
    let start = Instant::now();
    while stand_in.hear().await.is_some() {}
    assert_eq!(start.elapsed(), Duration::ZERO, "it is closed at once");
    assert!(connection.is_open());
    assert_eq!(network.dials(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_has_one_stand_in_at_a_time() {
    let (endpoint, network, mut peers, _pool) = network();
    let _hold = endpoint.hold();
    let connection = endpoint.connection(soon()).await.unwrap();
    let _pending = ask_for(&connection, SECOND * 100);
    let mut open = Vec::new();
    for _ in 0..30 {
        tokio::time::sleep(SECOND).await;
        while !peers.is_empty() {
            open.push(peers.next().await);
        }
    }
    assert_eq!(endpoint.connectivity(), Suspect(Silent));
    // Each one was closed before the next came, except the last and the first.
    let latest = open.len() - 1;
    assert!((2..=15).contains(&latest), "{latest}");
    for stand_in in &mut open[1..latest] {
        while stand_in.hear().await.is_some() {}
    }
    assert_eq!(network.dials(), open.len());
}

#[tokio::test(start_paused = true)]
async fn a_stand_in_takes_over_when_the_silent_connection_breaks() {
    let (endpoint, network, mut peers, _pool) = network();
    let _hold = endpoint.hold();
    let connection = endpoint.connection(soon()).await.unwrap();
    let silent = peers.next().await;
    let _pending = ask(&connection);
    let mut stand_in = peers.next().await;
    let probe = stand_in.hear_code(RequestCode::HEART_BEAT).await;
    drop(silent);
    settle().await;
    assert_eq!(endpoint.connectivity(), Suspect(Silent));
    stand_in.answer(&probe, ResponseCode::SUCCESS).await;
    until(&endpoint, Live).await;
    assert_eq!(network.dials(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_nobody_holds_is_left_to_its_callers() {
    let (endpoint, network, mut peers, _pool) = network();
    let connection = endpoint.connection(soon()).await.unwrap();
    let mut peer = peers.next().await;
    let pending = ask(&connection);
    pending.await.unwrap().unwrap_err();
    tokio::time::sleep(SECOND * 10).await;
    peer.hear_code(ASK).await;
    drop(peer);
    until(&endpoint, Suspect(DialFailed)).await;
    tokio::time::sleep(SECOND * 10).await;
    assert_eq!(network.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_held_connection_that_is_lost_is_opened_anew_at_once() {
    let (endpoint, network, mut peers, _pool) = network();
    let hold = endpoint.hold();
    let connection = endpoint.connection(soon()).await.unwrap();
    let mut peer = peers.next().await;
    let asked = ask(&connection);
    let request = peer.hear_code(ASK).await;
    peer.answer(&request, ResponseCode::SUCCESS).await;
    asked.await.unwrap().unwrap();
    let start = Instant::now();
    drop(peer);
    let second = peers.next().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    settle().await;
    assert_eq!(network.told(), [Live, Idle, Live]);
    assert_eq!(network.connected.lock().unwrap().len(), 2);

    drop(hold);
    drop(second);
    tokio::time::sleep(SECOND * 10).await;
    assert_eq!(network.dials(), 2, "nobody holds it any more");
}

#[tokio::test(start_paused = true)]
async fn a_held_address_that_is_away_is_dialled_every_second_and_later_every_half_minute() {
    let (endpoint, network, mut peers, _pool) = network();
    let _hold = endpoint.hold();
    network.set(Fate::Refuse);
    endpoint.connection(soon()).await.unwrap_err();
    tokio::time::sleep(SECOND * 10).await;
    let before = network.dials();
    tokio::time::sleep(SECOND * 100).await;
    let dials = network.dials() - before;
    assert!((95..=205).contains(&dials), "{dials}");
    tokio::time::sleep(SECOND * 200).await;
    let before = network.dials();
    tokio::time::sleep(SECOND * 300).await;
    let dials = network.dials() - before;
    assert!((9..=22).contains(&dials), "{dials}");

    network.set(Fate::Accept);
    let start = Instant::now();
    until(&endpoint, Live).await;
    assert!(start.elapsed() <= SECOND * 30);
    peers.next().await;
}

#[tokio::test(start_paused = true)]
async fn callers_of_an_address_that_was_away_for_long_wait_three_seconds_at_most() {
    let (endpoint, network, _peers, _pool) = network();
    let _hold = endpoint.hold();
    network.set(Fate::Refuse);
    endpoint.connection(soon()).await.unwrap_err();
    tokio::time::sleep(SECOND * 1000).await;
    network.set(Fate::Serve);
    let deadline = Instant::now() + SECOND * 4;
    endpoint.connected(deadline).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_accepts_and_closes_at_once_is_dialled_with_growing_pauses() {
    let (endpoint, network, _peers, _pool) = network();
    let _hold = endpoint.hold();
    network.set(Fate::Slam);
    endpoint.connection(soon()).await.unwrap();
    tokio::time::sleep(SECOND * 10).await;
    assert!((8..=30).contains(&network.dials()), "{}", network.dials());
    assert_eq!(endpoint.connectivity(), Suspect(DialFailed));
    // To accept is not enough any more.
    assert_eq!(network.told(), [Live, Suspect(DialFailed)]);
    let error = endpoint.connection(soon()).await.unwrap_err();
    let ConnectFailure::BackingOff { cause, .. } = error.failure() else {
        panic!("{error}");
    };
    assert!(matches!(**cause, ConnectFailure::EndedAtOnce(_)));
    network.set(Fate::Serve);
    assert!(until(&endpoint, Live).await <= SECOND);
}

#[tokio::test(start_paused = true)]
async fn go_away_drains_the_old_connection_while_a_new_one_takes_over() {
    let (endpoint, network, mut peers, _pool) = network();
    let _hold = endpoint.hold();
    let connection = endpoint.connection(soon()).await.unwrap();
    let mut old = peers.next().await;
    let (told, under_way) = (ask(&connection), ask(&connection));
    let first = old.hear_code(ASK).await;
    let second = old.hear_code(ASK).await;
    let refused = endpoint.connection(soon()).await.unwrap();
    let start = Instant::now();
    old.answer(&first, ResponseCode::SUCCESS).await;
    told.await.unwrap().unwrap();
    let third = ask(&refused);
    let request = old.hear_code(ASK).await;
    old.answer(&request, ResponseCode::GO_AWAY).await;
    assert_eq!(third.await.unwrap().unwrap().code(), ResponseCode::GO_AWAY);
    let mut new = peers.next().await;
    assert_eq!(start.elapsed(), Duration::ZERO, "dialled at once");
    assert_eq!(endpoint.connectivity(), Suspect(Leaving));
    let connection = endpoint.connection(soon()).await.unwrap();
    assert!(connection.is_open());
    // The new one is asked, and its answer counts.
    let probe = new.hear_code(RequestCode::HEART_BEAT).await;
    assert_eq!(endpoint.connectivity(), Suspect(Leaving));
    new.answer(&probe, ResponseCode::SUCCESS).await;
    until(&endpoint, Live).await;
    old.answer(&second, ResponseCode::SUCCESS).await;
    under_way.await.unwrap().unwrap();
    assert!(old.hear().await.is_none(), "drained, then closed");
    assert_eq!(network.dials(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_says_go_away_on_every_connection_is_not_dialled_in_a_loop() {
    let (endpoint, network, _peers, _pool) = network();
    let _hold = endpoint.hold();
    network.set(Fate::SendAway);
    let connection = endpoint.connection(soon()).await.unwrap();
    ask(&connection).await.unwrap().unwrap();
    drop(connection);
    tokio::time::sleep(SECOND * 10).await;
    assert!((8..=30).contains(&network.dials()), "{}", network.dials());
    assert_eq!(network.told(), [Live, Suspect(Leaving)]);
    network.set(Fate::Serve);
    assert!(until(&endpoint, Live).await <= SECOND);
}

#[tokio::test(start_paused = true)]
async fn who_waits_to_be_connected_waits_through_failures_and_pauses() {
    let (endpoint, network, _peers, _pool) = network();
    network.set(Fate::Refuse);
    let start = Instant::now();
    let deadline = start + SECOND * 30;
    let mut waiting = Box::pin(endpoint.connected(deadline));
    let early = tokio::time::timeout(SECOND * 10, &mut waiting).await;
    assert!(early.is_err(), "the address is away");
    network.set(Fate::Accept);
    assert!(waiting.await.unwrap().is_open());
    assert!(start.elapsed() <= SECOND * 12, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_learns_at_the_deadline_why() {
    let (endpoint, network, _peers, _pool) = network();
    network.set(Fate::Refuse);
    let start = Instant::now();
    let error = endpoint.connected(start + SECOND * 5).await.unwrap_err();
    assert!(
        is_near(start.elapsed(), SECOND * 5),
        "{:?}",
        start.elapsed()
    );
    let ConnectFailure::BackingOff { cause, .. } = error.failure() else {
        panic!("{error}");
    };
    assert!(matches!(**cause, ConnectFailure::Io(_)));
    let dials = network.dials();
    tokio::time::sleep(SECOND * 10).await;
    assert_eq!(network.dials(), dials, "nobody waits any more");
}

#[tokio::test(start_paused = true)]
async fn who_waits_to_be_connected_is_not_given_a_silent_connection() {
    let (endpoint, _network, mut peers, _pool) = network();
    let connection = endpoint.connection(soon()).await.unwrap();
    let mut silent = peers.next().await;
    let _pending = ask(&connection);
    until(&endpoint, Suspect(Silent)).await;
    let mut waiting = Box::pin(endpoint.connected(soon()));
    let early = tokio::time::timeout(LIMIT, &mut waiting).await;
    assert!(early.is_err());
    let request = silent.hear_code(ASK).await;
    silent.answer(&request, ResponseCode::SUCCESS).await;
    let start = Instant::now();
    waiting.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn prune_keeps_what_is_held_or_used_and_closes_the_rest() {
    let (endpoint, _network, mut peers, pool) = network();
    let hold = endpoint.hold();
    let connection = endpoint.connection(soon()).await.unwrap();
    let mut peer = peers.next().await;
    drop(connection);
    pool.prune();
    assert_eq!(endpoint.connectivity(), Live, "it is held");
    drop(hold);
    let used = endpoint.connection(soon()).await.unwrap();
    pool.prune();
    assert!(used.is_open() && endpoint.connectivity() == Live);
    drop(used);
    pool.prune();
    assert_eq!(endpoint.connectivity(), Idle);
    assert!(peer.hear().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_address_that_was_pruned_while_it_was_known_is_the_pools_again() {
    let (endpoint, network, mut peers, pool) = network();
    endpoint.connection(soon()).await.unwrap();
    let _first = peers.next().await;
    pool.prune();
    assert_eq!(pool.open_connections().len(), 0);
    endpoint.connection(soon()).await.unwrap();
    assert_eq!(pool.open_connections().len(), 1);
    pool.connection(ADDRESS, soon()).await.unwrap();
    assert_eq!(network.dials(), 2, "the pool has no other one beside it");
    pool.retain_addresses(|_| false);
    endpoint.connection(soon()).await.unwrap();
    pool.connection(ADDRESS, soon()).await.unwrap();
    assert_eq!(network.dials(), 3);
    drop(endpoint);
    pool.prune();
    assert_eq!(pool.inner.endpoints.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_closes_ends_the_recovery_of_its_addresses() {
    let (endpoint, network, _peers, pool) = network();
    let _hold = endpoint.hold();
    network.set(Fate::Refuse);
    endpoint.connection(soon()).await.unwrap_err();
    let start = Instant::now();
    pool.close(SECOND).await;
    assert!(start.elapsed() <= Duration::from_millis(5));
    let dials = network.dials();
    tokio::time::sleep(SECOND * 10).await;
    assert_eq!(network.dials(), dials);
    let error = endpoint.connected(soon()).await.unwrap_err();
    assert!(matches!(error.failure(), ConnectFailure::PoolClosed));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_pool_ends_the_recovery_though_an_address_is_still_held() {
    let (endpoint, network, _peers, pool) = network();
    let _hold = endpoint.hold();
    network.set(Fate::Refuse);
    endpoint.connection(soon()).await.unwrap_err();
    drop(pool);
    settle().await;
    let dials = network.dials();
    tokio::time::sleep(SECOND * 10).await;
    assert_eq!(network.dials(), dials);
}

#[tokio::test(start_paused = true)]
async fn deadlines_that_passed_while_the_machine_slept_end_at_once() {
    let (endpoint, _network, mut peers, _pool) = network();
    let _hold = endpoint.hold();
    let connection = endpoint.connection(soon()).await.unwrap();
    let mut stale = peers.next().await;
    let pending = ask(&connection);
    drop(connection);
    stale.hear_code(ASK).await;
    tokio::time::advance(SECOND * 3600).await;
    let start = Instant::now();
    pending.await.unwrap().unwrap_err();
    assert!(start.elapsed() <= Duration::from_millis(5));
    // What the peer owes from before the sleep is not held against it until it had time to answer,
    // and then the stale connection is replaced.
    let mut stand_in = peers.next().await;
    let probe = stand_in.hear_code(RequestCode::HEART_BEAT).await;
    stand_in.answer(&probe, ResponseCode::SUCCESS).await;
    until(&endpoint, Live).await;
    assert!(start.elapsed() <= SECOND * 2, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_is_lost_with_its_runtime_does_not_block_the_address() {
    let (endpoint, network, mut peers, _pool) = network();
    let _hold = endpoint.hold();
    network.set(Fate::Late(SECOND * 1000));
    let other = endpoint.clone();
    let lost = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { other.connection(Instant::now()).await })
    });
    lost.join().unwrap().unwrap_err();
    assert_eq!(network.dials(), 1);
    network.set(Fate::Accept);
    endpoint.connection(soon()).await.unwrap();
    peers.next().await;
    assert_eq!(endpoint.connectivity(), Live);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_holders_prunes_and_breaks_at_the_same_time_leave_an_address_that_works() {
    let pause = Duration::from_millis(1);
    let options = ConnectionOptions::new()
        .with_redial_pause(pause, pause)
        .with_recovery(pause * 10, SECOND);
    let (pool, network, _peers) = Network::new(options);
    network.set(Fate::Serve);
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..8 {
        let pool = pool.clone();
        tasks.spawn(async move {
            for round in 0..200 {
                let endpoint = pool.endpoint(ADDRESS);
                let _hold = (round % 3 == caller % 3).then(|| endpoint.hold());
                if let Ok(connection) = endpoint.connected(soon()).await {
                    let nothing = Bytes::new();
                    let asked = connection.request(&NoFields(ASK), &nothing, soon());
                    // It may have been broken meanwhile; that it ends is what matters.
                    let _ = asked.await;
                    if round % 5 == caller % 5 {
                        connection.close();
                    }
                }
            }
        });
    }
    for _ in 0..2 {
        let (pool, network) = (pool.clone(), Arc::clone(&network));
        tasks.spawn(async move {
            for round in 0..500 {
                let fates = [Fate::Serve, Fate::Slam, Fate::Refuse, Fate::SendAway];
                network.set(if round % 2 == 0 {
                    Fate::Serve
                } else {
                    fates[round / 2 % 4]
                });
                pool.prune();
                pool.retain_addresses(|_| round % 7 != 0);
                tokio::task::yield_now().await;
            }
            network.set(Fate::Serve);
        });
    }
    let done = tokio::time::timeout(SECOND * 60, tasks.join_all());
    done.await.expect("a deadlock");
    let endpoint = pool.endpoint(ADDRESS);
    let connection = endpoint.connected(soon()).await.unwrap();
    ask(&connection).await.unwrap().unwrap();
    assert_eq!(endpoint.connectivity(), Live);
    assert_eq!(network.told().last(), Some(&Live));
    drop((endpoint, connection));
    pool.close(SECOND).await;
    assert!(pool.inner.environment.tracker.is_empty());
}
