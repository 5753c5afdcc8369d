//! One-way messages: bounded, paced, counted, and failing where the client can know.

use std::time::Instant;

use rocketmq_producer_core::config::routing::remoting::{Delivery, Message};
use rocketmq_producer_core::{ErrorKind, FullBound, SendFailure, SendOptions};
use rocketmq_producer_embedded::Reaction;
use tokio::task::JoinSet;

use crate::support::*;

#[tokio::test]
async fn they_go_out_at_their_rate_and_wait_within_their_budget() {
    const RATE: u32 = 200;
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.oneway_rate(RATE)).await;
    let began = Instant::now();
    let mut sends = JoinSet::new();
    for _ in 0..RATE / 2 {
        let producer = producer.clone();
        sends.spawn(async move { producer.send_oneway(message()).await });
    }
    for outcome in soon(sends.join_all()).await {
        outcome.unwrap();
    }
    // Less the first, and what may be caught up.
    assert!(began.elapsed() >= millis(470), "{:?}", began.elapsed());
    // Those that are answered are not held back.
    let before = Instant::now();
    for _ in 0..RATE {
        producer.send(message()).await.unwrap();
    }
    assert!(before.elapsed() < millis(900), "{:?}", before.elapsed());
    let report = producer.flush(millis(5000)).await;
    assert!(report.is_complete());
    assert_eq!(producer.stats().oneway_written, u64::from(RATE / 2));
    let all = RATE as usize * 3 / 2;
    cluster_is(&cluster, |it| it.message_count(TOPIC) == all).await;
}

#[tokio::test]
async fn one_whose_turn_does_not_come_in_time_is_not_sent() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.oneway_rate(1)).await;
    producer.send_oneway(message()).await.unwrap();
    let options = SendOptions::new().timeout(millis(100));
    let error = producer
        .send_oneway_with(message(), options)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QueueFull);
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert!(error.advice().contains("oneway_rate"));
    let full = SendFailure::QueueFull {
        bound: FullBound::OnewayRate,
        limit: 1,
    };
    assert_eq!(error.cause().to_string(), full.to_string());
    assert_eq!(
        full.to_string(),
        "1 one-way messages a second go out already"
    );
    assert!(error.elapsed() >= millis(90) && error.elapsed() < millis(900));
}

#[tokio::test]
async fn a_flush_tells_how_many_were_written() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.oneway_rate(100)).await;
    let mut sends = JoinSet::new();
    for _ in 0..20 {
        let producer = producer.clone();
        sends.spawn(async move { producer.send_oneway(message()).await });
    }
    // All have begun, and most wait for their turn.
    tokio::task::yield_now().await;
    let before = producer.stats().oneway_written;
    let report = producer.flush(millis(10_000)).await;
    assert!(report.is_all_acked(), "{report:?}");
    assert_eq!(report.oneway_written + before, 20);
    assert!(report.oneway_written > 10, "{report:?}");
}

#[tokio::test]
async fn a_broker_that_reads_nothing_bounds_what_is_under_way() {
    const LIMIT: u32 = 5;
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| {
        settings
            .async_send_semaphore(LIMIT)
            .compress_type(None)
            .retry_times(0)
    })
    .await;
    let stalled = cluster.faults(A).unwrap().arm(every_send(Reaction::Stall));
    let large = Message::new(TOPIC, vec![7; 1 << 20]);
    let large = large.unwrap();
    let mut sends = JoinSet::new();
    for _ in 0..40 {
        let (producer, message) = (producer.clone(), large.clone());
        let options = SendOptions::new().timeout(millis(500));
        sends.spawn(async move { producer.send_oneway_with(message, options).await });
    }
    let mut full = 0;
    while let Some(outcome) = soon(sends.join_next()).await {
        assert!(producer.stats().under_way <= LIMIT as usize);
        full += usize::from(outcome.unwrap().is_err());
    }
    assert!(full > 0, "40 MiB went into nowhere");
    assert_eq!(producer.stats().under_way, 0);
    stalled.lift();
}

#[tokio::test]
async fn they_fail_where_it_can_be_known_that_nothing_is_stored() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let short = || SendOptions::new().timeout(millis(300));
    let unknown = Message::new("other", "body");
    let error = producer
        .send_oneway_with(unknown.unwrap(), short())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RouteNotFound);
    assert_eq!(error.delivery(), Delivery::NotSent);
    cluster.stop_broker_unnoticed(A).await.unwrap();
    until(|| producer.stats().brokers.closed_connections == 1).await;
    let error = producer
        .send_oneway_with(message(), short())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokerNotAvailable);
    assert_eq!(error.delivery(), Delivery::NotSent);
}
