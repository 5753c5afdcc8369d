//! Many messages from a stream, and into a sink.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures_util::{FutureExt, SinkExt, StreamExt, stream};
use rocketmq_producer_core::config::ByteSize;
use rocketmq_producer_core::config::routing::remoting::{Delivery, Message};
use rocketmq_producer_core::{ErrorKind, SendOptions};
use rocketmq_producer_embedded::Reaction;

use crate::support::*;

fn numbered(numbers: std::ops::Range<usize>) -> Vec<Message> {
    numbers
        .map(|number| Message::new(TOPIC, number.to_string()).unwrap())
        .collect()
}

#[tokio::test]
async fn outcomes_come_in_the_order_of_the_messages() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    // Half of them are slower than the others.
    let slow = cluster
        .faults(B)
        .unwrap()
        .arm(every_send(Reaction::Delay(millis(20))));
    let all = producer.send_all(stream::iter(numbered(0..100)), 8);
    let progress = all.progress();
    let receipts: Vec<_> = all.map(Result::unwrap).collect().await;
    slow.lift();
    let stored = cluster.messages(TOPIC);
    for (number, receipt) in receipts.iter().enumerate() {
        let id = receipt.message_id().to_string();
        let message = stored
            .iter()
            .find(|it| it.property("UNIQ_KEY") == Some(&*id));
        assert_eq!(message.unwrap().body, number.to_string());
    }
    assert_eq!((receipts.len(), stored.len()), (100, 100));
    assert_eq!(
        (progress.begun(), progress.acked(), progress.failed()),
        (100, 100, 0)
    );
}

#[tokio::test]
async fn as_completed_one_that_is_late_holds_up_nobody_and_comes_with_its_number() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let stalled = cluster.faults(A).unwrap().arm(next_send(Reaction::Discard));
    let short = SendOptions::new().timeout(millis(500));
    let all = producer
        .send_all(stream::iter(numbered(0..20)), 2)
        .options(short);
    let all = all.as_completed();
    let progress = all.progress();
    let outcomes: Vec<_> = soon(all.collect()).await;
    let (last, late) = outcomes.last().unwrap();
    assert_eq!(
        (*last, late.as_ref().unwrap_err().delivery()),
        (0, Delivery::Unknown)
    );
    let mut numbers: Vec<u64> = outcomes.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..20));
    assert_eq!((progress.acked(), progress.failed()), (19, 1));
    stalled.lift();
}

#[tokio::test]
async fn an_error_ends_nothing() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| {
        settings.max_message_size(ByteSize::bytes(10))
    })
    .await;
    let mut messages = numbered(0..10);
    messages[3] = Message::new(TOPIC, "more than ten bytes").unwrap();
    let all = producer.send_all(stream::iter(messages), 4);
    let progress = all.progress();
    let outcomes: Vec<_> = all.collect().await;
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_err(), number == 3);
    }
    assert_eq!((progress.acked(), progress.failed()), (9, 1));
    assert_eq!(cluster.message_count(TOPIC), 9);
}

#[tokio::test]
async fn it_takes_no_more_messages_than_it_has_places_and_leaves_the_rest_when_dropped() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let stalled = cluster.faults(A).unwrap().arm(every_send(Reaction::Stall));
    let taken = AtomicUsize::new(0);
    let mut input = stream::iter(numbered(0..100)).inspect(|_| {
        taken.fetch_add(1, SeqCst);
    });
    {
        let mut all = pin!(producer.send_all(&mut input, 7));
        let progress = all.progress();
        for _ in 0..3 {
            let none = tokio::time::timeout(millis(20), all.next()).await;
            assert!(none.is_err(), "nothing is answered");
            assert_eq!((taken.load(SeqCst), progress.begun()), (7, 7));
            assert_eq!(producer.stats().under_way, 7);
        }
    }
    assert_eq!(producer.stats().under_way, 0);
    stalled.lift();
    let rest = producer.send_all(input, 7);
    assert_eq!(
        rest.filter(|outcome| std::future::ready(outcome.is_ok()))
            .count()
            .await,
        93
    );
}

#[tokio::test]
async fn a_slow_or_empty_input_is_waited_for_and_ends() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    assert_eq!(producer.send_all(stream::empty(), 0).count().await, 0);
    let (feed, input) = tokio::sync::mpsc::channel(1);
    let input = stream::unfold(
        input,
        |mut input: tokio::sync::mpsc::Receiver<Message>| async {
            input.recv().await.map(|message| (message, input))
        },
    );
    let feeding = async {
        for message in numbered(0..5) {
            feed.send(message).await.unwrap();
            tokio::time::sleep(millis(2)).await;
        }
        drop(feed);
    };
    let (count, ()) = tokio::join!(producer.send_all(input, 3).count(), feeding);
    assert_eq!(count, 5);
}

#[tokio::test]
async fn a_sink_sends_so_many_at_a_time_and_is_flushed_when_all_have_their_outcome() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let most = Arc::new(AtomicUsize::new(0));
    let mut sink = producer.sink(5);
    for message in numbered(0..50) {
        sink.feed(message).await.unwrap();
        most.fetch_max(producer.stats().under_way, SeqCst);
    }
    sink.flush().await.unwrap();
    assert_eq!(cluster.message_count(TOPIC), 50);
    assert!(most.load(SeqCst) <= 5);
    let mut more = stream::iter(numbered(0..50)).map(Ok);
    sink.send_all(&mut more).await.unwrap();
    let progress = sink.progress();
    assert_eq!((progress.begun(), progress.acked()), (100, 100));
    sink.close().await.unwrap();
}

#[tokio::test]
async fn a_sink_tells_each_error_once_and_goes_on() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let none = SendOptions::new().timeout(millis(300));
    let mut sink = producer.sink(3).options(none);
    let unknown = Message::new("other", "body").unwrap();
    let error = sink.send(unknown).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RouteNotFound);
    assert!(sink.flush().now_or_never().unwrap().is_ok());
    sink.send(message()).await.unwrap();
    let progress = sink.progress();
    assert_eq!((progress.acked(), progress.failed()), (1, 1));
}
