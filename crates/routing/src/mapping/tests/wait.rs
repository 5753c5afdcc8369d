//! Waiting for topics and for changes of their routes.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::Instant};

use super::{A, B, strict};
use crate::{
    error::RoutingError,
    options::RoutingOptions,
    route::RouteOrigin,
    test_support::{FakeNameServer, Listed, mapping, soon},
};

fn after(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// Polls once; whether the future has ended.
async fn has_ended<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| {
        let ended = std::pin::Pin::new(&mut *future).poll(cx).is_ready();
        std::task::Poll::Ready(ended)
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_change_wakes_whoever_waits_and_one_that_came_before_is_not_missed() {
    let source = FakeNameServer::new();
    source.set("T", &[A]);
    let mapping = mapping(&source, strict());
    let entry = mapping.topic("T", soon()).await.unwrap();
    let generation = entry.route().unwrap().generation();
    let mut changed = Box::pin(entry.changed(generation));
    assert!(!has_ended(&mut changed).await);
    mapping.force_refresh("T", soon()).await.unwrap();
    assert!(!has_ended(&mut changed).await, "the same route again");
    source.set("T", &[A, B]);
    mapping.force_refresh("T", soon()).await.unwrap();
    assert!(has_ended(&mut changed).await);
    assert!(has_ended(&mut Box::pin(entry.changed(generation))).await);

    let generation = entry.route().unwrap().generation();
    let mut changed = Box::pin(entry.changed(generation));
    assert!(!has_ended(&mut changed).await);
    mapping.remove_route_info("T");
    assert!(has_ended(&mut changed).await, "removed");
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_waited_for_until_it_exists_and_not_longer_than_a_second_more() {
    let source = FakeNameServer::new();
    let mapping = mapping(&source, strict());
    let waiting = mapping.clone();
    let mut waiters = JoinSet::new();
    waiters.spawn(async move { waiting.wait_for_topic("T", after(60)).await });
    tokio::time::sleep(Duration::from_secs(20)).await;
    source.set("T", &[A]);
    let created = Instant::now();
    let entry = waiters.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(entry.route().unwrap().usable_queues().count(), 2);
    assert!(created.elapsed() <= Duration::from_secs(1));
    let asked = source.asked();
    assert!((15..=35).contains(&asked), "{asked} questions in 20 s");
    // Known now: nothing is asked.
    mapping.wait_for_topic("T", after(60)).await.unwrap();
    assert_eq!(source.asked(), asked);
}

#[tokio::test(start_paused = true)]
async fn many_who_wait_for_one_topic_share_the_questions() {
    let source = FakeNameServer::new();
    let mapping = mapping(&source, strict());
    let mut waiters = JoinSet::new();
    for _ in 0..200 {
        let waiting = mapping.clone();
        waiters.spawn(async move { waiting.wait_for_topic("T", after(20)).await });
    }
    let outcomes = waiters.join_all().await;
    assert!(outcomes.iter().all(Result::is_err));
    assert_eq!(source.most_at_once(), 1);
    assert!(source.asked() <= 40, "{} questions in 20 s", source.asked());
}

#[tokio::test(start_paused = true)]
async fn the_error_at_the_deadline_is_what_stood_in_the_way_last() {
    let wait = async |prepare: fn(&FakeNameServer)| {
        let source = FakeNameServer::new();
        prepare(&source);
        let mapping = mapping(&source, strict());
        let deadline = after(5);
        let error = mapping.wait_for_topic("T", deadline).await.unwrap_err();
        assert_eq!(Instant::now(), deadline);
        error
    };
    let error = wait(|_| ()).await;
    assert!(
        matches!(error, RoutingError::TopicNotFound { .. }),
        "{error}"
    );
    let error = wait(|source| source.set_down(true)).await;
    assert!(matches!(error, RoutingError::NameServer { .. }), "{error}");
    let error = wait(|source| source.set("T", &[("a", 4, 2, Some("a:1"))])).await;
    assert!(
        matches!(error, RoutingError::NothingWritable { .. }),
        "{error}"
    );
    let error = wait(|source| source.set("T", &[("a", 6, 2, None)])).await;
    assert!(matches!(error, RoutingError::NoMaster { .. }), "{error}");
    let error = wait(|source| source.set_delay(Duration::from_secs(60))).await;
    assert!(
        matches!(&error, RoutingError::DeadlineExceeded { attempts, .. } if attempts.len() == 1),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_neither_asks_for_nor_accepts_the_route_of_the_default_topic() {
    let source = FakeNameServer::new();
    source.set("TBW102", &[("a", 7, 8, Some("a:1"))]);
    let mapping = mapping(&source, RoutingOptions::default());
    let error = mapping.wait_for_topic("T", after(5)).await.unwrap_err();
    assert!(matches!(error, RoutingError::TopicNotFound { .. }));
    let topics = source.take_log();
    assert!(topics.iter().all(|(topic, _)| topic == "T"), "{topics:?}");

    // Sending follows the options, also while somebody waits.
    let waiting = mapping.clone();
    let mut waiters = JoinSet::new();
    waiters.spawn(async move { waiting.wait_for_topic("T", after(60)).await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let entry = mapping.topic("T", soon()).await.unwrap();
    assert_eq!(entry.route().unwrap().origin(), RouteOrigin::DefaultTopic);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(waiters.try_join_next().is_none(), "it does not exist yet");
    source.set("T", &[A]);
    let entry = waiters.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(entry.route().unwrap().origin(), RouteOrigin::Topic);
}

#[tokio::test(start_paused = true)]
async fn a_send_that_joins_a_question_of_a_waiter_still_gets_what_the_options_say() {
    let source = FakeNameServer::gated();
    source.set("TBW102", &[("a", 7, 8, Some("a:1"))]);
    let mapping = mapping(&source, RoutingOptions::default());
    let (waiting, sending) = (mapping.clone(), mapping.clone());
    let mut waiters = JoinSet::new();
    waiters.spawn(async move { waiting.wait_for_topic("T", after(1)).await });
    tokio::task::yield_now().await;
    let mut senders = JoinSet::new();
    senders.spawn(async move { sending.topic("T", soon()).await });
    tokio::task::yield_now().await;
    assert_eq!(source.asked(), 1, "shared");
    source.open(100);
    let entry = senders.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(entry.route().unwrap().origin(), RouteOrigin::DefaultTopic);
    let error = waiters.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, RoutingError::TopicNotFound { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_producer() {
    let source = FakeNameServer::new();
    let mapping = mapping(&source, strict());
    let waiting = mapping.clone();
    let mut waiters = JoinSet::new();
    waiters.spawn(async move { waiting.wait_for_topic("T", after(60)).await });
    tokio::time::sleep(Duration::from_secs(5)).await;
    let end = Instant::now();
    mapping.tasks().1.cancel();
    let error = waiters.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, RoutingError::Closed));
    assert_eq!(Instant::now(), end);
}

#[tokio::test(start_paused = true)]
async fn a_newer_route_is_fetched_once_for_all_who_miss_the_same_queue() {
    let source = FakeNameServer::new();
    source.set("T", &[A]);
    let mapping = mapping(&source, strict());
    let entry = mapping.topic("T", soon()).await.unwrap();
    let route = mapping.newer_route(&entry, soon()).await.unwrap();
    assert_eq!(
        (source.asked(), route.queues().len()),
        (1, 2),
        "fresh as it is"
    );
    tokio::time::advance(Duration::from_secs(10)).await;
    let grown: Listed<'_> = ("a", 6, 8, Some("a:1"));
    source.set("T", &[grown]);
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let (mapping, entry) = (mapping.clone(), Arc::clone(&entry));
        callers.spawn(async move { mapping.newer_route(&entry, soon()).await });
    }
    for route in callers.join_all().await {
        assert_eq!(route.unwrap().queues().len(), 8);
    }
    assert_eq!(source.asked(), 2);

    // Nor does a loop of such sends ask in a storm while the name servers are away.
    source.set_down(true);
    tokio::time::advance(Duration::from_secs(10)).await;
    for _ in 0..100 {
        let error = mapping.newer_route(&entry, soon()).await.unwrap_err();
        assert!(matches!(error, RoutingError::NameServer { .. }));
    }
    assert_eq!(source.asked(), 3);
}
