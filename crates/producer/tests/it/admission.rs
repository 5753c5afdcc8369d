//! The bound of sends under way.

use rand::{RngExt, SeedableRng};
use rocketmq_producer_core::config::ByteSize;
use rocketmq_producer_core::config::routing::remoting::{Delivery, Message};
use rocketmq_producer_core::{BlockingFailure, ErrorKind, FullBound, SendFailure, SendOptions};
use rocketmq_producer_embedded::{Condition, Fault, Reaction};
use tokio::task::JoinSet;

use crate::support::*;

#[tokio::test]
async fn beyond_the_bound_a_send_waits_until_its_deadline_and_is_not_sent() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.async_send_semaphore(3)).await;
    let stalled = cluster.faults(A).unwrap().arm(next_send(Reaction::Stall));
    let mut inside = JoinSet::new();
    for _ in 0..3 {
        let producer = producer.clone();
        inside.spawn(async move { producer.send(message()).await });
    }
    soon(stalled.wait_fired(1)).await;
    until(|| producer.stats().under_way == 3).await;
    let options = SendOptions::new().timeout(millis(100));
    let error = producer.send_with(message(), options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QueueFull);
    assert_eq!(error.code(), 5002);
    assert_eq!(error.delivery(), Delivery::NotSent);
    let full = SendFailure::QueueFull {
        bound: FullBound::Sends,
        limit: 3,
    };
    assert_eq!(error.cause().to_string(), full.to_string());
    // A twentieth is kept for an attempt that gets its place late.
    assert!(error.elapsed() >= millis(95), "{error:?}");
    assert_eq!(error.message_id(), None);

    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(message()).await }
    });
    stalled.lift();
    waiting.await.unwrap().unwrap();
    for outcome in inside.join_all().await {
        outcome.unwrap();
    }
    assert_eq!(cluster.message_count(TOPIC), 4);
}

#[tokio::test]
async fn bytes_under_way_are_bounded_too_and_a_larger_message_goes_alone() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| {
        settings.max_in_flight_bytes(ByteSize::kib(64))
    })
    .await;
    let large = |bytes: usize| Message::new(TOPIC, vec![7; bytes]).unwrap();
    // More than the whole bound is taken as long as nothing else is under way.
    producer.send(large(100_000)).await.unwrap();
    let stalled = cluster.faults(A).unwrap().arm(next_send(Reaction::Stall));
    let inside = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(large(40_000)).await }
    });
    soon(stalled.wait_fired(1)).await;
    let properties = large(1).properties().wire_len() as u64;
    assert_eq!(producer.stats().bytes_under_way, 40_000 + properties);
    let options = SendOptions::new().timeout(millis(100));
    let error = producer
        .send_with(large(40_000), options)
        .await
        .unwrap_err();
    let full = SendFailure::QueueFull {
        bound: FullBound::Bytes,
        limit: 65_536,
    };
    assert_eq!(error.cause().to_string(), full.to_string());
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert!(error.advice().contains("max_in_flight_bytes"));
    stalled.lift();
    inside.await.unwrap().unwrap();
    producer.send(large(40_000)).await.unwrap();
    assert_eq!(producer.stats().bytes_under_way, 0);
}

#[tokio::test]
async fn a_flush_returns_when_what_was_sent_before_has_its_outcome() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.async_send_semaphore(2)).await;
    assert!(producer.flush(millis(0)).await.is_all_acked());
    let stalled = cluster.faults(A).unwrap().arm(next_send(Reaction::Stall));
    let mut sends = JoinSet::new();
    // Three of them wait for a place, and are flushed all the same.
    for _ in 0..5 {
        let producer = producer.clone();
        sends.spawn(async move { producer.send(message()).await });
    }
    soon(stalled.wait_fired(1)).await;
    until(|| producer.stats().under_way == 2).await;
    let early = producer.flush(millis(50)).await;
    assert!(!early.is_complete(), "{early:?}");
    let blocking = producer.blocking();
    let flushed = tokio::task::spawn_blocking(move || blocking.flush(millis(20_000)));
    stalled.lift();
    let report = producer.flush(millis(20_000)).await;
    assert!(report.is_all_acked(), "{report:?}");
    assert_eq!(cluster.message_count(TOPIC), 5);
    assert!(flushed.await.unwrap().unwrap().is_complete());
    let error = producer.blocking().flush(millis(0)).unwrap_err();
    assert_eq!(error, BlockingFailure::WouldDeadlock);
}

/// Sends are dropped at every point of their way, and all places are there again afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_sends_leak_no_place() {
    let cluster = cluster(2).await;
    let limit = 8;
    let producer = producer_with(&cluster, |settings| {
        settings
            .async_send_semaphore(limit)
            .send_msg_timeout(millis(1000))
    })
    .await;
    let faults = cluster.faults(A).unwrap();
    let busy = faults.arm(Fault::new(Condition::sends(), Reaction::Delay(millis(1))));
    let mut tasks = JoinSet::new();
    for seed in 0..64 {
        let producer = producer.clone();
        tasks.spawn(async move {
            let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
            for _ in 0..100 {
                let patience = std::time::Duration::from_micros(rng.random_range(0..3000));
                let send = producer.send(message());
                let _ = tokio::time::timeout(patience, send).await;
            }
        });
    }
    soon(tasks.join_all()).await;
    busy.lift();
    assert_eq!(producer.stats().under_way, 0);
    let stalled = [A, B].map(|broker| {
        let faults = cluster.faults(broker).unwrap();
        faults.arm(every_send(Reaction::Discard))
    });
    let mut inside = JoinSet::new();
    for _ in 0..limit {
        let producer = producer.clone();
        inside.spawn(async move { producer.send(message()).await });
    }
    until(|| producer.stats().under_way == limit as usize).await;
    drop(inside);
    for fault in stalled {
        fault.lift();
    }
    until(|| producer.stats().under_way == 0).await;
    for _ in 0..100 {
        producer.send(message()).await.unwrap();
    }
}

#[tokio::test]
async fn a_send_that_is_dropped_before_its_first_poll_sends_nothing() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    drop(producer.send(message()));
    producer.send(message()).await.unwrap();
    assert_eq!(sends(&cluster, A), 1);
}
