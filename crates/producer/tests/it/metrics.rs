//! Snapshots of metrics: they agree with what was done.

use std::time::Duration;

use rocketmq_producer_core::SendOptions;

use crate::support::*;

#[tokio::test]
async fn a_snapshot_has_every_stored_message_once_and_the_layers_below() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |it| it.async_send_semaphore(2)).await;
    for _ in 0..5 {
        producer.send(message()).await.unwrap();
    }
    producer.send_oneway(message()).await.unwrap();
    producer
        .send_batch([message(), message(), message()])
        .await
        .unwrap();
    let metrics = producer.metrics();
    assert_eq!(
        (metrics.send_latency.count(), metrics.stats.total_sent),
        (8, 8)
    );
    assert_eq!(metrics.queue_wait.count(), 0, "there was room at once");
    let slowest = metrics.send_latency.quantile(1.0).unwrap();
    assert!(slowest < Duration::from_secs(10) && metrics.send_latency.mean().unwrap() <= slowest);
    assert_eq!((metrics.routes.topics, metrics.brokers.len()), (1, 1));
    assert!(metrics.stats.brokers.bytes_written > 0 && metrics.runtime.unwrap().workers >= 1);
    // Two that wait for one that is slow.
    cluster
        .faults(A)
        .unwrap()
        .arm(next_send(rocketmq_producer_embedded::Reaction::Delay(
            millis(50),
        )));
    let options = || SendOptions::new().timeout(millis(5000));
    let sends = (0..6).map(|_| producer.send_with(message(), options()));
    for outcome in futures_util::future::join_all(sends).await {
        outcome.unwrap();
    }
    let later = producer.metrics();
    let new = later.send_latency.since(&metrics.send_latency);
    assert_eq!(new.count(), 6);
    assert!(later.queue_wait.count() >= 1, "{:?}", later.queue_wait);
}

#[tokio::test]
async fn changes_of_a_brokers_condition_are_counted_without_anybody_who_reads_them() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    let before = producer.metrics().health_transitions;
    assert!(
        producer
            .router()
            .suspend_broker(A, tokio::time::Instant::now())
    );
    let metrics = producer.metrics();
    assert!(metrics.health_transitions > before);
    assert!(metrics.brokers.iter().any(|broker| !broker.is_available));
}
