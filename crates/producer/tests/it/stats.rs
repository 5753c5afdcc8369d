//! The numbers add up.

use rocketmq_producer_core::SendOptions;
use rocketmq_producer_core::State;
use rocketmq_producer_core::config::routing::remoting::Message;
use rocketmq_producer_embedded::Reaction;

use crate::support::*;

#[tokio::test]
async fn every_send_is_counted_once_by_its_outcome() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    let faults = cluster.faults(A).unwrap();
    for _ in 0..5 {
        producer.send(message()).await.unwrap();
    }
    aim_at_a(&producer);
    faults.arm(next_send(answer(2, "busy")));
    producer.send(message()).await.unwrap();
    aim_at_a(&producer);
    faults.arm(next_send(answer(13, "illegal")));
    producer.send(message()).await.unwrap_err();
    let nothing = Message::new("nothing", "body").unwrap();
    producer.send(nothing).await.unwrap_err();
    aim_at_a(&producer);
    faults.arm(next_send(Reaction::Discard));
    let options = SendOptions::new().timeout(millis(60));
    producer.send_with(message(), options).await.unwrap_err();
    for _ in 0..3 {
        producer.send_oneway(message()).await.unwrap();
    }
    aim_at_a(&producer);
    let lost = faults.arm(next_send(Reaction::Discard));
    let cancelled = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(message()).await }
    });
    soon(lost.wait_fired(1)).await;
    cancelled.abort();
    let _ = cancelled.await;

    let stats = producer.stats();
    assert_eq!(stats.total_sent, 6);
    assert_eq!((stats.rejected, stats.not_sent, stats.unknown), (1, 1, 1));
    assert_eq!(stats.total_failed, 3);
    assert_eq!(stats.oneway_written, 3);
    assert_eq!(stats.dropped, 1);
    assert_eq!(stats.under_way, 0);
    assert_eq!(stats.retries, 1);
    assert!((stats.success_rate() - 6.0 / 9.0).abs() < 1e-9);
    assert_eq!(stats.cached_topics, 1);
    assert_eq!(stats.state, State::Running);
    assert_eq!(&*stats.producer_group, GROUP);
    assert_eq!(&*stats.client_id, producer.client_id());
    assert_eq!(stats.brokers.dials, 2);
    assert!(stats.brokers.bytes_written > 0 && stats.brokers.bytes_read > 0);
}

#[tokio::test]
async fn oneway_messages_arrive_and_their_retries_count() {
    let cluster = cluster(2).await;
    // Health would know before the message does.
    let producer = producer_with(&cluster, |config| {
        config.set("send_latency_enable", "false")
    })
    .await;
    cluster.stop_broker_unnoticed(A).await.unwrap();
    until(|| producer.stats().brokers.closed_connections == 1).await;
    let id = producer.send_oneway(message()).await.unwrap();
    let stored = soon(cluster.wait_for_messages(TOPIC, 1)).await;
    assert_eq!(stored[0].message_id(), id.to_string());
    assert_eq!(producer.stats().retries, 1);
    assert_eq!(producer.stats().oneway_written, 1);
}

#[test]
fn before_anything_was_sent_the_success_rate_is_one() {
    let producer = rocketmq_producer_core::create_producer("g", "127.0.0.1:1").unwrap();
    assert!((producer.stats().success_rate() - 1.0).abs() < f64::EPSILON);
}
