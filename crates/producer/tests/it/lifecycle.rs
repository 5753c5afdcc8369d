//! Starting, shutting down, and dropping.

use std::sync::Arc;
use std::time::Duration;

use rocketmq_producer_core::config::routing::SelectorArgument;
use rocketmq_producer_core::config::routing::remoting::{Delivery, Message, RequestCode};
use rocketmq_producer_core::{
    ErrorKind, Producer, SendFailure, SendOptions, ShutdownReport, StartError, State,
};
use rocketmq_producer_embedded::{Condition, Fault, Reaction};
use tokio::task::JoinSet;

use crate::support::*;
use crate::targets::Never;

const PATIENCE: Duration = Duration::from_secs(5);

#[track_caller]
fn assert_adds_up(report: &ShutdownReport) {
    let outcomes = report.acked
        + report.rejected
        + report.not_sent
        + report.unknown
        + report.oneway_written
        + report.dropped
        + report.unresolved as u64;
    assert_eq!(outcomes, report.under_way as u64, "{report:?}");
}

#[tokio::test]
async fn a_send_before_the_start_is_a_state_error_and_sends_nothing() {
    let cluster = cluster(1).await;
    let producer = builder(&cluster).build().unwrap();
    let error = producer.send(message()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRunning);
    assert_eq!(error.code(), 1003);
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert!(!error.is_retryable());
    assert!(matches!(error.cause(), SendFailure::State(State::Created)));
    let oneway = producer.send_oneway(message()).await.unwrap_err();
    assert_eq!(oneway.kind(), ErrorKind::NotRunning);
    assert_eq!(sends(&cluster, A), 0);
    assert_eq!(cluster.name_server_connections(0).unwrap(), 0);
}

#[tokio::test]
async fn a_send_after_the_shutdown_is_a_state_error_and_so_is_a_start() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    producer.shutdown(PATIENCE).await;
    let error = producer.send(message()).await.unwrap_err();
    assert!(matches!(error.cause(), SendFailure::State(State::Stopped)));
    assert_eq!(error.kind(), ErrorKind::NotRunning);
    let error = producer.start().await.unwrap_err();
    assert!(matches!(error, StartError::State(State::Stopped)));
    assert_eq!(error.code(), 1003);
    assert_eq!(sends(&cluster, A), 0);
}

#[tokio::test]
async fn a_send_admitted_before_the_shutdown_is_finished_and_one_after_is_refused() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let stalled = cluster.faults(A).unwrap().arm(next_send(Reaction::Stall));
    let sending = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(message()).await }
    });
    soon(stalled.wait_fired(1)).await;
    let shutdown = tokio::spawn({
        let producer = producer.clone();
        async move { producer.shutdown(PATIENCE).await }
    });
    until(|| producer.state() == State::Stopping).await;
    let refused = producer.send(message()).await.unwrap_err();
    assert!(matches!(
        refused.cause(),
        SendFailure::State(State::Stopping)
    ));
    stalled.lift();
    sending.await.unwrap().unwrap();
    let report = shutdown.await.unwrap();
    assert!(report.is_drained(), "{report:?}");
    assert_eq!(
        (report.under_way, report.acked, report.not_sent),
        (1, 1, 0),
        "the refused send was never under way: {report:?}"
    );
    assert_adds_up(&report);
    assert_eq!(cluster.message_count(TOPIC), 1);
}

#[tokio::test]
async fn a_send_that_a_shutdown_cuts_off_is_reported_to_its_caller_and_counted() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let swallowed = cluster
        .faults(A)
        .unwrap()
        .arm(every_send(Reaction::Swallow));
    let mut sending = JoinSet::new();
    for _ in 0..10 {
        let producer = producer.clone();
        sending.spawn(async move { producer.send(message()).await });
    }
    soon(swallowed.wait_fired(10)).await;
    let report = producer.shutdown(millis(200)).await;
    assert!(report.elapsed < millis(1500), "{report:?}");
    for outcome in soon(sending.join_all()).await {
        let error = outcome.unwrap_err();
        assert_eq!(error.delivery(), Delivery::Unknown);
        assert_eq!(error.kind(), ErrorKind::Shutdown, "{error:?}");
        assert_eq!(error.code(), 1002);
        assert_eq!(error.attempts().len(), 1, "nothing is tried after the end");
    }
    assert_eq!((report.abandoned, report.unknown), (10, 10), "{report:?}");
    assert!(!report.is_drained());
    assert_adds_up(&report);
}

/// Many sends of every fate, some cancelled, while another task shuts down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_counts_of_a_shutdown_add_up_whenever_it_comes() {
    let cluster = cluster(2).await;
    for round in 0..20_u64 {
        let producer = producer(&cluster).await;
        let mut sending = JoinSet::new();
        for number in 0..40_u64 {
            let producer = producer.clone();
            sending.spawn(async move {
                loop {
                    let send = producer.send(message());
                    let patience = if number % 4 == 0 { 1 } else { 1000 };
                    match tokio::time::timeout(millis(patience), send).await {
                        Ok(Err(error)) if error.kind() == ErrorKind::NotRunning => return,
                        Ok(Err(error)) => panic!("{error:?}"),
                        Ok(Ok(_)) | Err(_) => {}
                    }
                }
            });
        }
        until(|| producer.stats().total_sent > round * 20).await;
        let report = producer.shutdown(PATIENCE).await;
        assert_adds_up(&report);
        assert_eq!(
            (report.rejected, report.not_sent, report.unknown),
            (0, 0, 0)
        );
        soon(sending.join_all()).await;
        assert_eq!(producer.stats().under_way, 0);
    }
}

#[tokio::test]
async fn a_send_that_waits_for_a_place_is_refused_by_a_shutdown_and_was_never_under_way() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.async_send_semaphore(1)).await;
    let stalled = cluster.faults(A).unwrap().arm(next_send(Reaction::Stall));
    let send = || {
        let producer = producer.clone();
        tokio::spawn(async move { producer.send(message()).await })
    };
    let inside = send();
    soon(stalled.wait_fired(1)).await;
    let mut waiting = [send(), send(), send()];
    // They have been polled once when a task that was spawned after them has.
    tokio::spawn(async {}).await.unwrap();
    let shutdown = tokio::spawn({
        let producer = producer.clone();
        async move { producer.shutdown(PATIENCE).await }
    });
    for refused in &mut waiting {
        let error = soon(refused).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotRunning);
        assert_eq!(error.delivery(), Delivery::NotSent);
    }
    stalled.lift();
    inside.await.unwrap().unwrap();
    let report = shutdown.await.unwrap();
    assert_eq!((report.under_way, report.acked), (1, 1), "{report:?}");
    assert_eq!(producer.stats().not_sent, 3);
}

#[tokio::test]
async fn a_shutdown_cuts_off_sends_that_wait_for_a_selector_or_a_pause_or_a_route() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| {
        settings.retry_times(100).send_msg_timeout(PATIENCE)
    })
    .await;
    let busy = cluster.faults(A).unwrap().arm(refuse(2, "busy"));
    let routes = cluster
        .name_server_faults(0)
        .unwrap()
        .arm(Fault::new(Condition::any(), Reaction::Discard));
    let selecting = SendOptions::new().async_selector(Arc::new(Never), SelectorArgument::None);
    let other = Message::new("other", "body").unwrap();
    let sends = [
        (message(), selecting),
        (message(), SendOptions::new()),
        (other, SendOptions::new()),
    ];
    let sends = sends.map(|(message, options)| {
        let producer = producer.clone();
        tokio::spawn(async move { producer.send_with(message, options).await })
    });
    soon(busy.wait_fired(3)).await;
    soon(routes.wait_fired(1)).await;
    let report = producer.shutdown(millis(100)).await;
    assert!(report.elapsed < millis(1000), "{report:?}");
    assert_eq!((report.abandoned, report.unresolved), (2, 0), "{report:?}");
    assert_eq!((report.not_sent, report.rejected), (1, 1), "{report:?}");
    assert_adds_up(&report);
    // A selector is asked before the send has its place, so that one was not under way.
    let shutdown = ErrorKind::Shutdown;
    for (send, kind) in sends
        .into_iter()
        .zip([ErrorKind::NotRunning, shutdown, shutdown])
    {
        let error = soon(send).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn a_broker_that_does_not_answer_the_goodbye_does_not_hold_the_shutdown() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    let goodbye = Condition::code(RequestCode::UNREGISTER_CLIENT);
    let silent = cluster
        .faults(A)
        .unwrap()
        .arm(Fault::new(goodbye, Reaction::Discard));
    let report = producer.shutdown(millis(200)).await;
    assert_eq!(silent.fired(), 1);
    assert_eq!(report.unregistered, 1);
    assert!(report.elapsed < millis(1000), "{report:?}");
    all_connections_are_closed(&cluster).await;
}

#[tokio::test]
async fn start_is_idempotent_from_many_tasks_at_once() {
    let cluster = cluster(1).await;
    let producer = builder(&cluster).build().unwrap();
    let mut starts = JoinSet::new();
    for _ in 0..20 {
        let producer = producer.clone();
        starts.spawn(async move { producer.start().await.unwrap().ready });
    }
    for ready in starts.join_all().await {
        assert_eq!(ready, [TOPIC.into()]);
    }
    let routes = RequestCode::GET_ROUTEINFO_BY_TOPIC;
    assert_eq!(cluster.name_server_requests(0, routes).unwrap(), 1);
    producer.send(message()).await.unwrap();
}

#[tokio::test]
async fn shutdown_is_idempotent_and_gives_everyone_the_same_report() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    producer.send(message()).await.unwrap();
    let mut shutdowns = JoinSet::new();
    for _ in 0..20 {
        let producer = producer.clone();
        shutdowns.spawn(async move { producer.shutdown(PATIENCE).await });
    }
    let first = producer.shutdown(PATIENCE).await;
    for report in shutdowns.join_all().await {
        assert_eq!(report, first);
    }
    assert_eq!(producer.shutdown(Duration::ZERO).await, first);
    assert_eq!(first.unregistered, 1);
    assert_eq!(
        cluster.requests(A, RequestCode::UNREGISTER_CLIENT).unwrap(),
        1
    );
}

#[tokio::test]
async fn shutdown_before_start_ends_the_producer_for_good() {
    let cluster = cluster(1).await;
    let producer = builder(&cluster).build().unwrap();
    let report = producer.shutdown(PATIENCE).await;
    assert_eq!(report.under_way, 0);
    assert_eq!(producer.state(), State::Stopped);
    assert!(matches!(
        producer.start().await,
        Err(StartError::State(State::Stopped))
    ));
    assert_eq!(cluster.name_server_connections(0).unwrap(), 0);
}

#[tokio::test]
async fn a_start_that_was_cancelled_midway_can_be_started_again() {
    let cluster = cluster(1).await;
    let routes = RequestCode::GET_ROUTEINFO_BY_TOPIC;
    let stalled = cluster
        .name_server_faults(0)
        .unwrap()
        .arm(Fault::once(Condition::code(routes), Reaction::Stall));
    let producer = builder(&cluster).build().unwrap();
    tokio::select! {
        started = producer.start() => panic!("started without a route: {started:?}"),
        () = stalled.wait_fired(1) => {}
    }
    assert_eq!(producer.state(), State::Created);
    let error = producer.send(message()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRunning);
    stalled.lift();
    producer.start().await.unwrap();
    producer.send(message()).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_during_the_start_makes_the_start_fail_with_the_state() {
    let cluster = cluster(1).await;
    let routes = RequestCode::GET_ROUTEINFO_BY_TOPIC;
    let stalled = cluster
        .name_server_faults(0)
        .unwrap()
        .arm(Fault::once(Condition::code(routes), Reaction::Stall));
    let producer = builder(&cluster).require_preheat().build().unwrap();
    let starting = tokio::spawn({
        let producer = producer.clone();
        async move { producer.start().await }
    });
    soon(stalled.wait_fired(1)).await;
    producer.shutdown(millis(100)).await;
    let error = soon(starting).await.unwrap().unwrap_err();
    assert!(matches!(error, StartError::State(_)), "{error:?}");
    assert_eq!(producer.state(), State::Stopped);
}

#[tokio::test]
async fn a_shutdown_that_was_cancelled_midway_goes_on_with_the_next_call() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let stalled = cluster.faults(A).unwrap().arm(next_send(Reaction::Stall));
    let sending = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(message()).await }
    });
    soon(stalled.wait_fired(1)).await;
    tokio::select! {
        _ = producer.shutdown(PATIENCE) => panic!("shut down with a send under way"),
        () = until(|| producer.state() == State::Stopping) => {}
    }
    stalled.lift();
    sending.await.unwrap().unwrap();
    let report = producer.shutdown(PATIENCE).await;
    assert_eq!((report.under_way, report.acked), (1, 1), "{report:?}");
    assert_adds_up(&report);
}

#[tokio::test]
async fn shutdown_takes_the_longest_patience_there_is() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    producer.send(message()).await.unwrap();
    let report = soon(producer.shutdown(Duration::MAX)).await;
    assert!(report.is_drained());
}

#[tokio::test]
async fn shutdown_closes_every_connection_and_the_broker_forgets_the_producer() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    cluster_is(&cluster, |c| c.producer_connections(GROUP).len() == 1).await;
    producer.shutdown(PATIENCE).await;
    all_connections_are_closed(&cluster).await;
    assert!(cluster.producer_connections(GROUP).is_empty());
}

#[tokio::test]
async fn dropping_the_last_handle_ends_all_tasks_and_closes_all_sockets() {
    let cluster = cluster(1).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let producer = producer(&cluster).await;
    let clone = producer.clone();
    producer.send(message()).await.unwrap();
    drop(producer);
    clone.send(message()).await.unwrap();
    drop(clone);
    all_connections_are_closed(&cluster).await;
    until(|| metrics.num_alive_tasks() <= before).await;
}

#[tokio::test]
async fn dropping_a_producer_while_it_starts_leaves_nothing_behind() {
    let cluster = cluster(1).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let routes = RequestCode::GET_ROUTEINFO_BY_TOPIC;
    let stalled = cluster
        .name_server_faults(0)
        .unwrap()
        .arm(Fault::once(Condition::code(routes), Reaction::Stall));
    tokio::select! {
        _ = builder(&cluster).start() => panic!("started without a route"),
        () = stalled.wait_fired(1) => {}
    }
    stalled.lift();
    all_connections_are_closed(&cluster).await;
    until(|| metrics.num_alive_tasks() <= before).await;
}

#[tokio::test]
async fn clones_are_handles_to_the_same_producer() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let clone: Producer = producer.clone();
    clone.send(message()).await.unwrap();
    assert_eq!(producer.stats().total_sent, 1);
    assert_eq!(producer.client_id(), clone.client_id());
    clone.shutdown(PATIENCE).await;
    assert_eq!(producer.state(), State::Stopped);
}
