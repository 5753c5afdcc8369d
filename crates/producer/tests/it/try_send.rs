//! Sends that do not wait for a place, and sends that have no time to.

use std::time::Duration;

use rocketmq_producer_core::config::routing::MessageQueue;
use rocketmq_producer_core::config::routing::remoting::{Delivery, Message};
use rocketmq_producer_core::config::{ByteSize, Ordered};
use rocketmq_producer_core::{
    ErrorKind, FullBound, Producer, SendError, SendFailure, SendOptions, SendReceipt,
};
use rocketmq_producer_embedded::{ArmedFault, EmbeddedCluster, Reaction};
use tokio::task::JoinHandle;

use crate::support::*;

type Sending = JoinHandle<Result<SendReceipt, SendError>>;

/// A send of a keyed message that gets no answer until the fault is lifted.
async fn stuck(cluster: &EmbeddedCluster, producer: &Producer, key: &str) -> (Sending, ArmedFault) {
    let stalled = cluster.faults(A).unwrap().arm(every_send(Reaction::Stall));
    let (sender, message) = (producer.clone(), keyed(key));
    let sending = tokio::spawn(async move { sender.send(message).await });
    soon(stalled.wait_fired(1)).await;
    (sending, stalled)
}

/// Whether it was refused for want of a place.
fn assert_full(error: &SendError, expected: Option<FullBound>) {
    assert_eq!(error.kind(), ErrorKind::QueueFull, "{error:?}");
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert!(error.is_retryable() && error.attempts().is_empty());
    assert_eq!(error.message_id(), None);
    match (error.cause(), expected) {
        (SendFailure::QueueFull { bound, .. }, Some(expected)) => assert_eq!(*bound, expected),
        (SendFailure::LaneBusy(_), None) => {}
        (cause, _) => panic!("{cause:?}"),
    }
}

/// Polls a send once, which is all that it takes if it does not wait.
async fn at_once(
    sending: impl Future<Output = Result<SendReceipt, SendError>>,
) -> Result<SendReceipt, SendError> {
    tokio::select! {
        biased;
        outcome = sending => outcome,
        () = std::future::ready(()) => panic!("it waits"),
    }
}

#[tokio::test]
async fn with_room_it_is_a_send() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    producer.try_send(message()).await.unwrap();
    let options = SendOptions::new().to_queue(MessageQueue::new(TOPIC, A, 2));
    let receipt = producer.try_send_with(message(), options).await.unwrap();
    assert_eq!(receipt.queue().queue_id(), 2);
    assert_eq!(cluster.message_count(TOPIC), 2);
}

#[tokio::test]
async fn without_a_place_among_all_it_fails_at_once() {
    for (bound, semaphore, bytes) in [(FullBound::Sends, 1, 256), (FullBound::Bytes, 9, 64)] {
        let cluster = cluster(1).await;
        let producer = producer_with(&cluster, |settings| {
            settings
                .async_send_semaphore(semaphore)
                .max_in_flight_bytes(ByteSize::kib(bytes))
                .max_message_size(ByteSize::mib(1))
                .compress_type(None)
        })
        .await;
        let (inside, stalled) = stuck(&cluster, &producer, "k").await;
        let large = || Message::new(TOPIC, vec![7; 65_536]).unwrap();
        for message in [large(), large().with_sharding_key("k").unwrap()] {
            let error = at_once(producer.try_send(message)).await.unwrap_err();
            assert_full(&error, Some(bound));
        }
        assert_eq!(producer.stats().under_way, 1);
        assert_eq!(producer.stats().not_sent, 2);
        stalled.lift();
        inside.await.unwrap().unwrap();
        producer.try_send(large()).await.unwrap();
        assert_eq!(producer.stats().bytes_under_way, 0);
    }
}

#[tokio::test]
async fn it_passes_nobody_who_waits() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| {
        settings
            .max_in_flight_bytes(ByteSize::kib(64))
            .compress_type(None)
    })
    .await;
    let (inside, stalled) = stuck(&cluster, &producer, "k").await;
    let (sender, large) = (producer.clone(), vec![7; 65_536]);
    let waiting = tokio::spawn(async move {
        let large = Message::new(TOPIC, large);
        sender.send(large.unwrap()).await
    });
    // It fits beside the one inside, but another was there before.
    let is_full = |outcome: Result<_, SendError>| outcome.is_err();
    let looking = async {
        let short = || SendOptions::new().timeout(millis(5));
        while !is_full(producer.try_send_with(message(), short()).await) {}
    };
    soon(looking).await;
    let error = at_once(producer.try_send(message())).await;
    if let Err(error) = error {
        assert_full(&error, Some(FullBound::Bytes));
    }
    stalled.lift();
    inside.await.unwrap().unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_bound_message_fails_at_once_if_its_broker_has_no_room_for_it() {
    let cluster = cluster(2).await;
    let producer = producer_with(&cluster, |settings| settings.async_send_semaphore(2)).await;
    let key = key_on(&producer, A).await;
    producer.send(keyed(&key)).await.unwrap();
    let (inside, stalled) = stuck(&cluster, &producer, &key).await;
    let there = || SendOptions::new().to_queue(MessageQueue::new(TOPIC, A, 0));
    let by_key = at_once(producer.try_send(keyed(&key))).await;
    let by_queue = at_once(producer.try_send_with(message(), there())).await;
    for outcome in [by_key, by_queue] {
        assert_full(&outcome.unwrap_err(), Some(FullBound::BrokerShare));
    }
    // One that may go to the other broker has a place there.
    producer.try_send(message()).await.unwrap();
    stalled.lift();
    inside.await.unwrap().unwrap();
    producer.try_send(keyed(&key)).await.unwrap();
}

#[tokio::test]
async fn an_ordered_message_fails_at_once_if_it_is_not_its_turn() {
    for ordered in [Ordered::Key, Ordered::Queue] {
        let cluster = cluster(1).await;
        let producer = producer_with(&cluster, |settings| settings.ordered(ordered)).await;
        producer.send(keyed("k")).await.unwrap();
        let (inside, stalled) = stuck(&cluster, &producer, "k").await;
        let error = at_once(producer.try_send(keyed("k"))).await.unwrap_err();
        assert_full(&error, None);
        assert_eq!(producer.stats().lanes, 1);
        stalled.lift();
        inside.await.unwrap().unwrap();
        producer.try_send(keyed("k")).await.unwrap();
        assert_eq!(producer.stats().lanes, 0);
    }
}

#[tokio::test]
async fn after_a_shutdown_it_says_so() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    producer.shutdown(millis(1000)).await;
    let error = at_once(producer.try_send(message())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRunning);
}

#[tokio::test]
async fn a_send_without_any_time_ends_at_once_and_sends_nothing() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.async_send_semaphore(1)).await;
    let now = || SendOptions::new().timeout(Duration::ZERO);
    for keep_full in [false, true] {
        let inside = match keep_full {
            true => Some(stuck(&cluster, &producer, "k").await),
            false => None,
        };
        let before = sends(&cluster, A);
        let two_way = producer.send_with(message(), now()).await.unwrap_err();
        let one_way = producer.send_oneway_with(message(), now()).await;
        for error in [two_way, one_way.unwrap_err()] {
            let expected = [ErrorKind::Timeout, ErrorKind::QueueFull];
            assert_eq!(error.kind(), expected[usize::from(keep_full)], "{error:?}");
            assert_eq!(error.delivery(), Delivery::NotSent);
            assert!(error.elapsed() < millis(1000), "{error:?}");
        }
        assert_eq!(sends(&cluster, A), before);
        if let Some((inside, stalled)) = inside {
            stalled.lift();
            inside.await.unwrap().unwrap();
        }
    }
}
