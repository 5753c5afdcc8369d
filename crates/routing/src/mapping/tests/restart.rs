//! What name servers may tell that must not take a route away, and what must.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{A, B, strict};
use crate::{
    mapping::TopicBrokerMapping,
    queue::MessageQueue,
    route::RouteInfo,
    test_support::{FakeNameServer, Listed, mapping, soon},
};

fn ring(route: &RouteInfo) -> Vec<MessageQueue> {
    let queues = route.queues().iter();
    queues.map(|routed| routed.queue().clone()).collect()
}

async fn refreshed(mapping: &TopicBrokerMapping, topic: &str) -> Arc<RouteInfo> {
    mapping.force_refresh(topic, soon()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_name_server_that_knows_no_topic_for_half_a_minute_changes_no_ring_and_no_broker() {
    let source = FakeNameServer::new();
    let mapping = mapping(&source, strict());
    mapping.start_polling();
    let topics: Vec<String> = (0..50).map(|number| format!("T{number}")).collect();
    let mut before = Vec::new();
    for topic in &topics {
        source.set(topic, &[A, B]);
        before.push(mapping.topic(topic, soon()).await.unwrap().route().unwrap());
    }
    for topic in &topics {
        source.forget(topic);
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    for (topic, before) in topics.iter().zip(&before) {
        let route = mapping.cached(topic).unwrap().route().unwrap();
        assert_eq!(ring(&route), ring(before));
        assert!(route.queues().iter().all(|queue| queue.broker().is_some()));
    }
    for topic in &topics {
        source.set(topic, &[A, B]);
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    for (topic, before) in topics.iter().zip(&before) {
        let route = mapping.cached(topic).unwrap().route().unwrap();
        assert!(!route.has_vanished(), "{topic} is whole again");
        let brokers = route.brokers().zip(before.brokers());
        assert!(
            brokers
                .into_iter()
                .all(|(now, then)| Arc::ptr_eq(now.health(), then.health()))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn no_such_topic_again_and_again_is_no_change_and_does_not_make_the_route_younger() {
    let source = FakeNameServer::new();
    source.set("T", &[A]);
    let mapping = mapping(&source, strict());
    refreshed(&mapping, "T").await;
    source.forget("T");
    tokio::time::advance(Duration::from_secs(20)).await;
    let first = refreshed(&mapping, "T").await;
    assert!(first.has_vanished());
    assert_eq!(first.age(Instant::now()), Duration::from_secs(20));
    tokio::time::advance(Duration::from_secs(20)).await;
    let second = refreshed(&mapping, "T").await;
    assert!(Arc::ptr_eq(&first, &second), "the same generation");
    assert_eq!(second.age(Instant::now()), Duration::from_secs(40));
}

#[tokio::test(start_paused = true)]
async fn brokers_that_are_missing_or_without_address_keep_their_places() {
    let source = FakeNameServer::new();
    source.set("T", &[A, B]);
    let mapping = mapping(&source, strict());
    let before = refreshed(&mapping, "T").await;
    let headless: Listed<'_> = ("a", 6, 2, None);
    let told: [&[Listed<'_>]; 4] = [&[B], &[headless, B], &[], &[headless]];
    for brokers in told {
        source.set("T", brokers);
        tokio::time::advance(Duration::from_secs(5)).await;
        let route = refreshed(&mapping, "T").await;
        assert_eq!(ring(&route), ring(&before));
        assert!(route.queues().iter().all(|queue| queue.broker().is_some()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_lost_its_permission_to_be_written_to_leaves_at_once() {
    let source = FakeNameServer::new();
    source.set("T", &[A, B]);
    let mapping = mapping(&source, strict());
    refreshed(&mapping, "T").await;
    source.set("T", &[("a", 4, 2, Some("a:1")), B]);
    let route = refreshed(&mapping, "T").await;
    assert_eq!(route.queues().len(), 2);
    assert!(!route.has_vanished());
    // Also if it had vanished before.
    source.set("T", &[A]);
    assert!(refreshed(&mapping, "T").await.has_vanished());
    source.set("T", &[A, ("b", 4, 2, Some("b:1"))]);
    let route = refreshed(&mapping, "T").await;
    assert_eq!((route.queues().len(), route.has_vanished()), (2, false));
}

#[tokio::test(start_paused = true)]
async fn the_same_route_in_other_words_is_no_change() {
    let source = FakeNameServer::new();
    source.set("T", &[A]);
    let mapping = mapping(&source, strict());
    let first = refreshed(&mapping, "T").await;
    let body = crate::test_support::route_json(&[A]).replace("},", "} ,");
    source.set_body("T", body);
    tokio::time::advance(Duration::from_secs(5)).await;
    let second = refreshed(&mapping, "T").await;
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(second.age(Instant::now()), Duration::ZERO);
}
