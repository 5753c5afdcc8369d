//! Given queues, keys and selectors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use rocketmq_producer_core::config::routing::remoting::{Delivery, Message};
use rocketmq_producer_core::config::routing::{
    AsyncQueueSelector, KeyedFailover, MessageHashSelector, MessageQueue, QueueSelector,
    RoutedQueue, RoutingError, RoutingStrategy, SelectorArgument,
};
use rocketmq_producer_core::{ErrorKind, SendFailure, SendOptions};
use rocketmq_producer_embedded::Reaction;

use crate::support::*;

fn routing_error(failure: &SendFailure) -> &RoutingError {
    match failure {
        SendFailure::Routing(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_without_a_key_go_to_all_queues_in_turn() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    for _ in 0..3 * 2 * QUEUES {
        producer.send(message()).await.unwrap();
    }
    let mut per_queue = BTreeMap::new();
    for stored in cluster.messages(TOPIC) {
        *per_queue
            .entry((stored.broker_name, stored.queue_id))
            .or_insert(0) += 1;
    }
    assert_eq!(per_queue.len(), 2 * QUEUES);
    assert!(per_queue.values().all(|count| *count == 3), "{per_queue:?}");
}

#[tokio::test]
async fn the_strategy_can_be_changed_while_running() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    producer.router().set_strategy(RoutingStrategy::MessageHash);
    for _ in 0..10 {
        let message = message().with_keys(["one"]).unwrap();
        producer.send(message).await.unwrap();
    }
    let stored = cluster.messages(TOPIC);
    assert!(stored.iter().all(|s| s.queue_id == stored[0].queue_id));
    assert!(
        stored
            .iter()
            .all(|s| s.broker_name == stored[0].broker_name)
    );
}

#[tokio::test]
async fn messages_of_one_key_sit_in_one_queue_in_their_order() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    for number in 0..40 {
        let message = Message::new(TOPIC, number.to_string()).unwrap();
        let key = format!("user-{}", number % 8);
        let message = message.with_sharding_key(&key).unwrap();
        producer.send(message).await.unwrap();
    }
    let mut places: BTreeMap<i32, Vec<(Arc<str>, i32)>> = BTreeMap::new();
    let mut last: BTreeMap<i32, i32> = BTreeMap::new();
    for stored in cluster.messages(TOPIC) {
        let number: i32 = String::from_utf8_lossy(&stored.body).parse().unwrap();
        let places = places.entry(number % 8).or_default();
        places.push((stored.broker_name, stored.queue_id));
        let earlier = last.insert(number % 8, number);
        assert!(earlier.is_none_or(|earlier| earlier < number));
    }
    assert_eq!(places.len(), 8);
    for mut places in places.into_values() {
        places.dedup();
        assert_eq!(places.len(), 1);
    }
}

#[tokio::test]
async fn a_keyed_message_never_moves_to_another_queue() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    let key = key_on(&producer, A).await;
    for reaction in [
        answer(2, "busy"),
        Reaction::go_away(),
        Reaction::CloseBefore,
        Reaction::CloseAfter,
    ] {
        cluster.faults(A).unwrap().arm(next_send(reaction));
        let receipt = producer.send(keyed(&key)).await.unwrap();
        assert_eq!(&**receipt.queue().broker_name(), A);
        let queues: Vec<_> = receipt.attempts().map(|at| at.queue_id()).collect();
        assert_eq!(queues, [receipt.queue().queue_id(); 2]);
    }
    cluster.stop_broker(A).await.unwrap();
    let error = producer.send(keyed(&key)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokerNotAvailable);
    assert!(tried(&error).iter().all(|broker| *broker == A));
    assert_eq!(sends(&cluster, B), 0);

    cluster.start_broker(A).await.unwrap();
    let healed = async { while producer.send(keyed(&key)).await.is_err() {} };
    soon(healed).await;
}

#[tokio::test]
async fn keyed_messages_move_while_their_broker_is_out_if_that_is_asked_for() {
    let cluster = cluster(3).await;
    let producer = producer_with(&cluster, |settings| {
        settings.keyed_failover(KeyedFailover::Move)
    })
    .await;
    let (key, other) = (key_on(&producer, A).await, key_on(&producer, B).await);
    let home = producer.send(keyed(&other)).await.unwrap();
    cluster.stop_broker_unnoticed(A).await.unwrap();
    let moved = async {
        loop {
            match producer.send(keyed(&key)).await {
                Ok(receipt) => break receipt,
                Err(error) => assert_eq!(error.kind(), ErrorKind::BrokerNotAvailable),
            }
        }
    };
    let moved = soon(moved).await;
    assert_ne!(&**moved.queue().broker_name(), A);
    for _ in 0..5 {
        let again = producer.send(keyed(&key)).await.unwrap();
        assert_eq!(again.queue(), moved.queue(), "all agree on one queue");
        let unmoved = producer.send(keyed(&other)).await.unwrap();
        assert_eq!(unmoved.queue(), home.queue());
    }
}

#[tokio::test]
async fn a_given_queue_is_used_and_kept_over_retries() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    let queue = MessageQueue::new(TOPIC, B, 3);
    cluster.faults(B).unwrap().arm(next_send(answer(2, "busy")));
    let options = SendOptions::new().to_queue(queue.clone());
    let receipt = producer.send_with(message(), options).await.unwrap();
    assert_eq!(receipt.queue(), &queue);
    assert_eq!(receipt.attempts().count(), 2);
    assert_eq!(cluster.messages(TOPIC)[0].queue_id, 3);
    assert_eq!(sends(&cluster, A), 0);
}

#[tokio::test]
async fn a_queue_that_does_not_exist_is_not_available() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    for queue in [
        MessageQueue::new(TOPIC, A, QUEUES as i32),
        MessageQueue::new(TOPIC, A, -1),
        MessageQueue::new(TOPIC, "broker-z", 0),
        MessageQueue::new("other", A, 0),
    ] {
        let options = SendOptions::new().to_queue(queue.clone());
        let error = producer.send_with(message(), options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QueueNotAvailable);
        assert_eq!(error.code(), 3003);
        assert_eq!(error.delivery(), Delivery::NotSent);
        assert!(chain(&error).contains(&queue.to_string()));
    }
    assert_eq!(sends(&cluster, A), 0);
}

/// Chooses by a number, or nothing.
#[derive(Debug, Default)]
struct Fixed {
    choice: Option<usize>,
    asked: AtomicUsize,
}

impl Fixed {
    fn on(choice: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            choice,
            ..Self::default()
        })
    }
}

impl QueueSelector for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn select(&self, _: &[RoutedQueue], _: &Message, argument: &SelectorArgument) -> Option<usize> {
        assert_eq!(argument.as_text(), Some("argument"));
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.choice
    }
}

#[tokio::test]
async fn a_selector_chooses_the_queue_in_both_forms() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    // The fifth of the ring, sorted by broker.
    let (sync, waiting) = (Fixed::on(Some(5)), Fixed::on(Some(5)));
    for options in [
        SendOptions::new().selector(Arc::<Fixed>::clone(&sync), "argument"),
        SendOptions::new().async_selector(Arc::<Fixed>::clone(&waiting), "argument"),
    ] {
        let receipt = producer.send_with(message(), options).await.unwrap();
        assert_eq!(receipt.queue(), &MessageQueue::new(TOPIC, B, 1));
    }
    let hash = SendOptions::new().selector(Arc::new(MessageHashSelector::new()), "k");
    let first = producer.send_with(message(), hash.clone()).await.unwrap();
    let second = producer.send_with(message(), hash).await.unwrap();
    assert_eq!(first.queue(), second.queue());
}

#[tokio::test]
async fn a_selector_is_asked_once_and_retries_stay_on_its_queue() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    let selector = Fixed::on(Some(5));
    for options in [
        SendOptions::new().selector(Arc::<Fixed>::clone(&selector), "argument"),
        SendOptions::new().async_selector(Arc::<Fixed>::clone(&selector), "argument"),
    ] {
        let busy = next_send(answer(2, "busy")).times(2);
        cluster.faults(B).unwrap().arm(busy);
        let receipt = producer.send_with(message(), options).await.unwrap();
        assert_eq!(receipt.attempts().count(), 3);
        assert!(
            receipt
                .attempts()
                .all(|at| (at.broker(), at.queue_id()) == (B, 1))
        );
    }
    assert_eq!(selector.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_selector_that_refuses_or_points_nowhere_is_an_error_that_names_it() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    for choice in [None, Some(QUEUES), Some(usize::MAX)] {
        for options in [
            SendOptions::new().selector(Fixed::on(choice), "argument"),
            SendOptions::new().async_selector(Fixed::on(choice), "argument"),
        ] {
            let error = producer.send_with(message(), options).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::QueueNotAvailable);
            assert_eq!(error.delivery(), Delivery::NotSent);
            assert!(chain(&error).contains("fixed"), "{}", chain(&error));
            let refused = matches!(
                routing_error(error.cause()),
                RoutingError::SelectorRefused { .. }
            );
            assert_eq!(refused, choice.is_none());
        }
    }
    assert_eq!(sends(&cluster, A), 0);
}

/// Waits for ever.
#[derive(Debug)]
pub(crate) struct Never;

#[async_trait]
impl AsyncQueueSelector for Never {
    fn name(&self) -> &'static str {
        "never"
    }

    async fn select_async(
        &self,
        _: &[RoutedQueue],
        _: &Message,
        _: &SelectorArgument,
    ) -> Option<usize> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn an_async_selector_that_never_resolves_does_not_hold_the_send_beyond_its_budget() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let options = SendOptions::new().timeout(millis(100));
    let options = options.async_selector(Arc::new(Never), SelectorArgument::None);
    let error = producer.send_with(message(), options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert!(error.elapsed() >= millis(100) && error.elapsed() < millis(500));
    assert_eq!(producer.stats().under_way, 0);
}

#[tokio::test]
async fn a_route_that_was_dropped_from_the_cache_is_fetched_again() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let options = SendOptions::new().async_selector(
        Arc::new(Forgetful(producer.clone(), AtomicUsize::new(0))),
        SelectorArgument::None,
    );
    cluster
        .faults(A)
        .unwrap()
        .arm(next_send(answer(29, "request queueId[")));
    producer.send_with(message(), options).await.unwrap();
}

/// Drops the topic from the cache while it chooses.
#[derive(Debug)]
struct Forgetful(rocketmq_producer_core::Producer, AtomicUsize);

impl QueueSelector for Forgetful {
    fn name(&self) -> &'static str {
        "forgetful"
    }

    fn select(&self, _: &[RoutedQueue], _: &Message, _: &SelectorArgument) -> Option<usize> {
        if self.1.fetch_add(1, Ordering::SeqCst) == 0 {
            self.0.mapping().remove_route_info(TOPIC);
        }
        Some(0)
    }
}
