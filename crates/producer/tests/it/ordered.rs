//! Order for sends at the same time: lanes of keys and queues.

use rocketmq_producer_core::config::routing::MessageQueue;
use rocketmq_producer_core::config::routing::remoting::{Delivery, Message};
use rocketmq_producer_core::config::{Ordered, OrderedOnUnknown};
use rocketmq_producer_core::{
    ErrorKind, Lane, Producer, SendError, SendFailure, SendOptions, SendReceipt,
};
use rocketmq_producer_embedded::{EmbeddedCluster, Reaction};
use tokio::task::JoinHandle;

use crate::support::*;

type Sending = JoinHandle<Result<SendReceipt, SendError>>;

async fn ordered(cluster: &EmbeddedCluster, ordered: Ordered) -> Producer {
    producer_with(cluster, |settings| settings.ordered(ordered)).await
}

fn send(producer: &Producer, message: Message, options: SendOptions) -> Sending {
    let producer = producer.clone();
    tokio::spawn(async move { producer.send_with(message, options).await })
}

fn numbered(key: &str, number: usize) -> Message {
    let message = Message::new(TOPIC, number.to_string()).unwrap();
    message.with_sharding_key(key).unwrap()
}

/// The bodies of the stored messages, in the order of their queue.
fn stored(cluster: &EmbeddedCluster) -> Vec<String> {
    let messages = cluster.messages(TOPIC);
    let bodies = messages.iter().map(|stored| stored.body.to_vec());
    bodies
        .map(|body| String::from_utf8(body).unwrap())
        .collect()
}

#[tokio::test]
async fn concurrent_sends_of_a_key_are_stored_in_the_order_of_their_calls_over_retries() {
    let cluster = cluster(2).await;
    for mode in [Ordered::Key, Ordered::Queue] {
        let before = cluster.message_count(TOPIC);
        let producer = ordered(&cluster, mode).await;
        let key = key_on(&producer, A).await;
        // Without lanes the second one would overtake the first, which is refused twice.
        let busy = next_send(answer(2, "busy")).times(2);
        cluster.faults(A).unwrap().arm(busy);
        let sends: Vec<_> = (0..20)
            .map(|number| send(&producer, numbered(&key, number), SendOptions::new()))
            .collect();
        for sending in sends {
            sending.await.unwrap().unwrap();
        }
        let expected: Vec<_> = (0..20).map(|number| number.to_string()).collect();
        assert_eq!(stored(&cluster)[before..], expected, "{mode:?}");
        assert_eq!(
            producer.stats().lanes,
            0,
            "nothing is kept of an empty lane"
        );
    }
}

#[tokio::test]
async fn a_later_message_is_not_written_and_holds_no_place_before_the_earlier_outcome() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| {
        settings.ordered(Ordered::Key).async_send_semaphore(2)
    })
    .await;
    let stalled = cluster.faults(A).unwrap().arm(next_send(Reaction::Stall));
    let first = send(&producer, keyed("a"), SendOptions::new());
    soon(stalled.wait_fired(1)).await;
    let late = SendOptions::new().timeout(millis(100));
    let error = send(&producer, keyed("a"), late)
        .await
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(error.cause(), SendFailure::LaneBusy(_)),
        "{error:?}"
    );
    assert_eq!(error.kind(), ErrorKind::QueueFull);
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert!(error.attempts().is_empty());
    let waiting: Vec<_> = (0..5)
        .map(|_| send(&producer, keyed("a"), SendOptions::new()))
        .collect();
    until(|| producer.stats().lanes == 1 && producer.stats().under_way == 1).await;
    assert_eq!(sends(&cluster, A), 1);
    stalled.lift();
    first.await.unwrap().unwrap();
    for sending in waiting {
        sending.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_unknown_outcome_stops_the_lane_until_it_is_resumed_and_no_other_lane() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| {
        settings.ordered(Ordered::Key).retry_times(0)
    })
    .await;
    cluster
        .faults(A)
        .unwrap()
        .arm(next_send(Reaction::CloseAfter));
    let first = send(&producer, keyed("a"), SendOptions::new());
    let second = send(&producer, keyed("a"), SendOptions::new());
    let error = first.await.unwrap().unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown);
    for refused in [second, send(&producer, keyed("a"), SendOptions::new())] {
        let error = refused.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LaneStopped);
        assert_eq!(error.delivery(), Delivery::NotSent);
        assert!(!error.is_retryable());
    }
    producer.send(keyed("b")).await.unwrap();
    let lane = Lane::of_key(TOPIC, "a");
    assert_eq!(producer.stopped_lanes(), std::slice::from_ref(&lane));
    assert_eq!(producer.stats().stopped_lanes, 1);
    assert!(producer.resume_lane(&lane) && !producer.resume_lane(&lane));
    producer.send(keyed("a")).await.unwrap();
    assert_eq!(producer.stats().lanes, 0);
}

#[tokio::test]
async fn a_send_that_is_dropped_after_it_was_written_stops_its_lane_and_one_before_does_not() {
    let cluster = cluster(1).await;
    let producer = ordered(&cluster, Ordered::Key).await;
    let stalled = cluster.faults(A).unwrap().arm(next_send(Reaction::Stall));
    let written = send(&producer, keyed("a"), SendOptions::new());
    let waiting = send(&producer, keyed("a"), SendOptions::new());
    soon(stalled.wait_fired(1)).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert!(producer.stopped_lanes().is_empty());
    written.abort();
    assert!(written.await.unwrap_err().is_cancelled());
    assert_eq!(producer.stopped_lanes(), [Lane::of_key(TOPIC, "a")]);
    stalled.lift();
    let error = producer.send(keyed("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LaneStopped);
}

#[tokio::test]
async fn a_lane_goes_on_after_an_unknown_outcome_if_asked_to() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| {
        settings
            .ordered(Ordered::Key)
            .ordered_on_unknown(OrderedOnUnknown::Continue)
            .retry_times(0)
    })
    .await;
    cluster
        .faults(A)
        .unwrap()
        .arm(next_send(Reaction::CloseAfter));
    let first = send(&producer, keyed("a"), SendOptions::new());
    let second = send(&producer, keyed("a"), SendOptions::new());
    assert_eq!(
        first.await.unwrap().unwrap_err().delivery(),
        Delivery::Unknown
    );
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn order_by_queue_holds_for_given_queues_and_leaves_other_messages_alone() {
    let cluster = cluster(1).await;
    let producer = ordered(&cluster, Ordered::Queue).await;
    let unanswered = cluster.faults(A).unwrap().arm(next_send(Reaction::Discard));
    let queue = MessageQueue::new(TOPIC, A, 1);
    let there = || SendOptions::new().to_queue(queue.clone());
    let first = send(&producer, message(), there());
    soon(unanswered.wait_fired(1)).await;
    let second = send(&producer, message(), there().timeout(millis(100)));
    let error = second.await.unwrap().unwrap_err();
    match error.cause() {
        SendFailure::LaneBusy(lane) => assert_eq!(lane.queue(), Some(&queue)),
        cause => panic!("{cause:?}"),
    }
    assert_eq!(sends(&cluster, A), 1);
    // Unbound messages wait for nobody.
    producer.send(message()).await.unwrap();
    assert!(!first.is_finished());
    first.abort();
}

#[tokio::test]
async fn a_shutdown_refuses_those_who_wait_in_lanes() {
    let cluster = cluster(1).await;
    let producer = ordered(&cluster, Ordered::Key).await;
    let stalled = cluster.faults(A).unwrap().arm(next_send(Reaction::Stall));
    let first = send(&producer, keyed("a"), SendOptions::new());
    soon(stalled.wait_fired(1)).await;
    let waiting = send(&producer, keyed("a"), SendOptions::new());
    tokio::spawn(async {}).await.unwrap();
    let shutdown = tokio::spawn({
        let producer = producer.clone();
        async move { producer.shutdown(millis(10_000)).await }
    });
    let error = soon(waiting).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRunning);
    stalled.lift();
    first.await.unwrap().unwrap();
    let report = shutdown.await.unwrap();
    assert_eq!((report.under_way, report.acked), (1, 1), "{report:?}");
}
