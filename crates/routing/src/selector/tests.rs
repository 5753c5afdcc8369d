//! The three selectors, against what Java picks.

use std::sync::Arc;

use rocketmq_producer_remoting::Message;

use super::{
    AsyncQueueSelector, MessageHashSelector, QueueSelector, RandomSelector, RoundRobinSelector,
    SelectorArgument, hash_index, java_hash_code,
};
use crate::{
    queue::MessageQueue,
    route::{ExclusionReason, QueueTarget, RoutedQueue},
    test_support::{broker, vectors},
};

/// A ring of usable queues of one broker.
fn ring(queues: i32) -> Vec<RoutedQueue> {
    let broker = broker("a", "h:1");
    (0..queues)
        .map(|id| {
            let target = QueueTarget::Listed(Arc::clone(&broker));
            RoutedQueue::new(MessageQueue::new("T", "a", id), target)
        })
        .collect()
}

fn message() -> Message {
    Message::new("T", "body").unwrap()
}

fn argument(kind: &str, text: &str) -> SelectorArgument {
    match kind {
        "Boolean" => text.parse::<bool>().unwrap().into(),
        "Integer" => text.parse::<i32>().unwrap().into(),
        "Long" => text.parse::<i64>().unwrap().into(),
        other => panic!("no argument of type {other} known"),
    }
}

#[test]
fn every_hash_vector_of_java_gives_the_same_hash_and_the_same_queue() {
    let mut checked = 0;
    for entry in vectors("selector.json") {
        let Some(picks) = entry["picks"].as_object() else {
            continue;
        };
        let argument = match entry["key"].as_str() {
            Some(key) => {
                let hash = entry["hashCode"].as_i64().unwrap();
                assert_eq!(i64::from(java_hash_code(key)), hash, "{key:?}");
                SelectorArgument::from(key)
            }
            None => {
                let kind = entry["argType"].as_str().unwrap();
                argument(kind, entry["arg"].as_str().unwrap())
            }
        };
        for (queues, pick) in picks {
            let ring = ring(queues.parse().unwrap());
            let chosen = MessageHashSelector::new().select(&ring, &message(), &argument);
            let expected = usize::try_from(pick.as_u64().unwrap()).unwrap();
            assert_eq!(chosen, Some(expected), "{} of {queues}", entry["name"]);
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} picks in the vectors");
}

#[test]
fn a_hash_over_no_queues_chooses_none() {
    assert_eq!(hash_index(5, 0), None);
    for selector in [
        &MessageHashSelector as &dyn QueueSelector,
        &RandomSelector,
        &RoundRobinSelector::new(),
    ] {
        assert_eq!(
            selector.select(&[], &message(), &SelectorArgument::None),
            None
        );
    }
}

#[test]
fn the_sharding_key_goes_before_the_keys_and_the_argument_before_both() {
    let ring = ring(97);
    let place = |key: &str| hash_index(java_hash_code(key), 97);
    let keyed = message().with_keys(["first", "second"]).unwrap();
    let sharded = keyed.clone().with_sharding_key("shard").unwrap();
    let select = |message: &Message, argument: SelectorArgument| {
        MessageHashSelector.select(&ring, message, &argument)
    };
    assert_eq!(select(&keyed, SelectorArgument::None), place("first"));
    assert_eq!(select(&sharded, SelectorArgument::None), place("shard"));
    assert_eq!(select(&sharded, "given".into()), place("given"));
}

#[test]
fn a_message_without_any_key_is_spread_by_the_hash_selector() {
    let ring = ring(4);
    let mut seen = [0; 4];
    for _ in 0..400 {
        let chosen = MessageHashSelector.select(&ring, &message(), &SelectorArgument::None);
        seen[chosen.unwrap()] += 1;
    }
    assert!(seen.iter().all(|&count| count > 20), "{seen:?}");
}

#[test]
fn round_robin_visits_every_queue_equally_and_starts_again_when_reset() {
    let (ring, selector) = (ring(4), RoundRobinSelector::new());
    let next = || {
        selector
            .select(&ring, &message(), &SelectorArgument::None)
            .unwrap()
    };
    let first = next();
    for step in 1..40 {
        assert_eq!(next(), (first + step) % 4);
    }
    selector.reset("T");
    assert_eq!(next(), 0);
    assert_eq!(next(), 1);
    selector.reset("another topic");
    assert_eq!(next(), 2);
    selector.reset_all();
    assert_eq!(next(), 0);
}

#[test]
fn each_topic_has_a_round_of_its_own() {
    let selector = RoundRobinSelector::new();
    let other: Vec<_> = (0..4)
        .map(|id| {
            let target = QueueTarget::Listed(broker("a", "h:1"));
            RoutedQueue::new(MessageQueue::new("other", "a", id), target)
        })
        .collect();
    let none = SelectorArgument::None;
    let first = selector.select(&ring(4), &message(), &none).unwrap();
    for _ in 0..3 {
        selector.select(&other, &message(), &none).unwrap();
    }
    let second = selector.select(&ring(4), &message(), &none).unwrap();
    assert_eq!(second, (first + 1) % 4);
}

#[test]
fn queues_that_nothing_can_be_sent_to_are_left_out_without_a_key() {
    let mut ring = ring(4);
    for index in [0, 2] {
        let queue = ring[index].queue().clone();
        let target = QueueTarget::Unavailable(ExclusionReason::NoMaster);
        ring[index] = RoutedQueue::new(queue, target);
    }
    let selector = RoundRobinSelector::new();
    let mut seen = [0; 4];
    for _ in 0..10 {
        let none = SelectorArgument::None;
        seen[selector.select(&ring, &message(), &none).unwrap()] += 1;
        assert!([1, 3].contains(&RandomSelector.select(&ring, &message(), &none).unwrap()));
    }
    assert_eq!(seen, [0, 5, 0, 5]);
}

#[tokio::test]
async fn every_selector_has_an_asynchronous_form() {
    let ring = ring(8);
    let keyed = message().with_sharding_key("order-1").unwrap();
    let selectors: [Box<dyn AsyncQueueSelector>; 3] = [
        Box::new(MessageHashSelector),
        Box::new(RandomSelector),
        Box::new(RoundRobinSelector::new()),
    ];
    let mut names = Vec::new();
    for selector in &selectors {
        let none = SelectorArgument::None;
        assert!(selector.select_async(&ring, &keyed, &none).await.is_some());
        names.push(selector.name());
    }
    assert_eq!(names, ["message_hash", "random", "round_robin"]);
    let chosen = selectors[0]
        .select_async(&ring, &keyed, &SelectorArgument::None)
        .await;
    assert_eq!(chosen, Some(6), "as Java");
}
