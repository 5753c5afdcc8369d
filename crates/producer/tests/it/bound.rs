//! Messages that may go to one broker only, and what they do while it is away or full.

use rocketmq_producer_core::config::routing::MessageQueue;
use rocketmq_producer_core::config::routing::remoting::{Delivery, Message};
use rocketmq_producer_core::{ErrorKind, FullBound, SendFailure, SendOptions};
use rocketmq_producer_embedded::Reaction;
use tokio::task::JoinSet;

use crate::support::*;

#[tokio::test]
async fn a_message_whose_broker_is_away_fails_at_its_deadline_and_says_what_it_waited_for() {
    for brokers in [1, 2] {
        let cluster = cluster(brokers).await;
        let producer = producer(&cluster).await;
        let key = key_on(&producer, A).await;
        cluster.stop_broker_unnoticed(A).await.unwrap();
        until(|| producer.stats().brokers.closed_connections == 1).await;
        let message = if brokers == 1 { message() } else { keyed(&key) };
        let options = SendOptions::new().timeout(millis(400));
        let error = producer.send_with(message, options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokerNotAvailable, "{error:?}");
        assert_eq!(error.delivery(), Delivery::NotSent);
        assert!(error.is_retryable());
        assert!(error.elapsed() >= millis(400) && error.elapsed() < millis(900));
        match error.cause() {
            SendFailure::BrokerAway { waited, .. } => assert!(*waited >= millis(300)),
            cause => panic!("{cause:?}"),
        }
        let address = cluster.brokers()[0].address.to_string();
        for word in [address.as_str(), "refused", "did not come back"] {
            assert!(chain(&error).contains(word), "{}", chain(&error));
        }
        assert_eq!(tried(&error), [A]);
    }
}

#[tokio::test]
async fn a_message_is_stored_as_soon_as_its_broker_is_back_and_the_wait_costs_no_attempt() {
    for brokers in [1, 2] {
        let cluster = cluster(brokers).await;
        let producer = producer_with(&cluster, |settings| {
            settings.retry_times(0).send_msg_timeout(millis(15_000))
        })
        .await;
        let key = key_on(&producer, A).await;
        cluster.stop_broker_unnoticed(A).await.unwrap();
        until(|| producer.stats().brokers.closed_connections == 1).await;
        let mut sends = JoinSet::new();
        for _ in 0..3 {
            let message = if brokers == 1 { message() } else { keyed(&key) };
            let producer = producer.clone();
            sends.spawn(async move { producer.send(message).await });
        }
        until(|| producer.stats().brokers.failed_dials > 0).await;
        cluster.start_broker(A).await.unwrap();
        for receipt in soon(sends.join_all()).await {
            let receipt = receipt.unwrap();
            assert_eq!(&**receipt.queue().broker_name(), A);
            assert_eq!(receipt.attempts().count(), 1, "{receipt:?}");
        }
    }
}

#[tokio::test]
async fn a_stopped_broker_takes_its_share_of_the_places_and_no_more() {
    let cluster = cluster(2).await;
    let producer = producer_with(&cluster, |settings| settings.async_send_semaphore(8)).await;
    let key = key_on(&producer, A).await;
    producer.send(keyed(&key)).await.unwrap();
    let stopped = cluster
        .faults(A)
        .unwrap()
        .arm(every_send(Reaction::Discard));
    let mut stuck = JoinSet::new();
    for _ in 0..20 {
        let (producer, message) = (producer.clone(), keyed(&key));
        stuck.spawn(async move { producer.send(message).await });
    }
    soon(stopped.wait_fired(4)).await;
    assert_eq!(producer.stats().under_way, 4);
    // The others go on, also those bound to the other broker.
    let other = key_on(&producer, B).await;
    for _ in 0..50 {
        producer.send(message()).await.unwrap();
        producer.send(keyed(&other)).await.unwrap();
    }
    let there = SendOptions::new().to_queue(MessageQueue::new(TOPIC, A, 0));
    let late = there.timeout(millis(50));
    let error = producer.send_with(message(), late).await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::NotSent);
    match error.cause() {
        SendFailure::QueueFull { bound, .. } => assert_eq!(*bound, FullBound::BrokerShare),
        // Once the broker is known to be silent nobody waits for its places any more.
        SendFailure::BrokerAway { .. } => {}
        cause => panic!("{cause:?}"),
    }
    stopped.lift();
    drop(stuck);
    until(|| producer.stats().under_way == 0).await;
    let health = producer.broker_health();
    assert!(
        health.iter().all(|broker| broker.in_flight == 0),
        "{health:?}"
    );
}

#[tokio::test]
async fn a_given_queue_that_the_route_lacks_is_looked_for_once_more() {
    use rocketmq_producer_core::config::routing::remoting::protocol::Permission;

    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    cluster.create_topic(TOPIC, QUEUES as u16 + 1, Permission(6));
    let added = MessageQueue::new(TOPIC, A, QUEUES as i32);
    let there = |queue| SendOptions::new().to_queue(queue);
    let receipt = producer.send_with(message(), there(added.clone())).await;
    assert_eq!(receipt.unwrap().queue(), &added);
    let none = MessageQueue::new(TOPIC, A, 99);
    let error = producer
        .send_with(message(), there(none))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QueueNotAvailable);
    assert!(error.elapsed() < millis(1000));
}

#[tokio::test]
async fn every_wait_of_a_send_ends_at_its_deadline() {
    use rocketmq_producer_core::config::Ordered;

    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| {
        settings.async_send_semaphore(1).ordered(Ordered::Key)
    })
    .await;
    let stalled = cluster.faults(A).unwrap().arm(next_send(Reaction::Stall));
    let inside = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(keyed("a")).await }
    });
    soon(stalled.wait_fired(1)).await;
    let quick = || SendOptions::new().timeout(millis(150));
    // For the lane, for the gate, and for a route that no name server gives.
    let hung = cluster.name_server_faults(0).unwrap();
    hung.arm(every_request(Reaction::Discard));
    for message in [keyed("a"), message(), other_topic()] {
        let error = producer.send_with(message, quick()).await.unwrap_err();
        assert_eq!(error.delivery(), Delivery::NotSent);
        let elapsed = error.elapsed();
        // For a place, a twentieth less.
        assert!(elapsed >= millis(142) && elapsed < millis(600), "{error:?}");
    }
    stalled.lift();
    inside.await.unwrap().unwrap();
}

fn every_request(reaction: Reaction) -> rocketmq_producer_embedded::Fault {
    rocketmq_producer_embedded::Fault::new(rocketmq_producer_embedded::Condition::any(), reaction)
}

fn other_topic() -> Message {
    Message::new("other", "body").unwrap()
}
