//! The cache under virtual time, with a name server in a table.

use std::{sync::Arc, time::Duration};

use rocketmq_producer_remoting::Message;
use tokio::{task::JoinSet, time::Instant};

mod history;
mod recovery;
mod restart;
mod wait;

use super::CacheStats;
use crate::{
    error::RoutingError,
    name_server::NameServerError,
    options::{RoutingOptions, TopicCreation},
    route::RouteOrigin,
    test_support::{FakeNameServer, Listed, mapping, route_data, soon},
};

const A: Listed<'_> = ("a", 6, 2, Some("a:1"));
const B: Listed<'_> = ("b", 6, 2, Some("b:1"));

fn strict() -> RoutingOptions {
    RoutingOptions::default().with_topic_creation(TopicCreation::Refuse)
}

#[tokio::test(start_paused = true)]
async fn concurrent_misses_share_one_request() {
    let source = FakeNameServer::gated();
    source.set("T", &[A]);
    let mapping = mapping(&source, strict());
    let mut waiters = JoinSet::new();
    for _ in 0..50 {
        let mapping = mapping.clone();
        waiters.spawn(async move { mapping.topic("T", soon()).await.unwrap() });
    }
    tokio::task::yield_now().await;
    source.open(1);
    let entries = waiters.join_all().await;
    assert_eq!(source.asked(), 1);
    assert!(entries.iter().all(|entry| Arc::ptr_eq(entry, &entries[0])));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_gives_up_does_not_stop_the_others() {
    let source = FakeNameServer::gated();
    source.set("T", &[A]);
    let mapping = mapping(&source, strict());
    let (one, other) = (mapping.clone(), mapping.clone());
    let mut giving_up = JoinSet::new();
    giving_up.spawn(async move { one.topic("T", soon()).await });
    tokio::task::yield_now().await;
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { other.topic("T", soon()).await });
    tokio::task::yield_now().await;
    assert_eq!(source.asked(), 1, "the first one's request is under way");
    giving_up.shutdown().await;
    source.open(1);
    assert!(waiting.join_next().await.unwrap().unwrap().is_ok());
    assert_eq!(source.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_is_answered_at_its_own_deadline() {
    let source = FakeNameServer::gated();
    let mapping = mapping(&source, strict());
    let deadline = Instant::now() + Duration::from_millis(70);
    let error = mapping.topic("T", deadline).await.unwrap_err();
    assert!(matches!(error, RoutingError::DeadlineExceeded { .. }));
    assert_eq!(Instant::now(), deadline);
    assert_eq!(
        error.to_string(),
        "no route of topic T before the deadline: ns:1 (no answer for 70 ms)"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_is_remembered_for_a_moment_only() {
    let source = FakeNameServer::new();
    let mapping = mapping(&source, strict());
    for _ in 0..10 {
        let error = mapping.topic("T", soon()).await.unwrap_err();
        assert!(matches!(error, RoutingError::TopicNotFound { .. }));
    }
    assert_eq!(source.asked(), 1);
    source.set("T", &[A]);
    tokio::time::advance(Duration::from_millis(500)).await;
    assert!(mapping.topic("T", soon()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn force_refresh_asks_although_the_topic_is_remembered_as_unknown() {
    let source = FakeNameServer::new();
    let mapping = mapping(&source, strict());
    assert!(mapping.topic("T", soon()).await.is_err());
    source.set("T", &[A]);
    assert!(mapping.force_refresh("T", soon()).await.is_ok());
    assert!(mapping.topic("T", soon()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_route_is_served_stale_while_the_name_servers_are_down_and_fresh_again_after() {
    let source = FakeNameServer::new();
    source.set("T", &[A]);
    let mapping = mapping(&source, RoutingOptions::default());
    mapping.start_polling();
    let entry = mapping.topic("T", soon()).await.unwrap();
    source.set_down(true);
    tokio::time::sleep(Duration::from_secs(300)).await;
    let route = mapping.topic("T", soon()).await.unwrap().route().unwrap();
    assert!(route.age(Instant::now()) >= Duration::from_secs(270));
    assert_eq!(mapping.cache_stats().oldest, route.age(Instant::now()));
    assert!(!mapping.is_name_server_reachable());
    assert_eq!(route.usable_queues().count(), 2);

    let error = mapping.force_refresh("T", soon()).await.unwrap_err();
    assert!(matches!(
        error,
        RoutingError::NameServer {
            cause: NameServerError::Unreachable { .. },
            ..
        }
    ));
    source.set_down(false);
    source.set("T", &[A, B]);
    tokio::time::sleep(Duration::from_secs(31)).await;
    let route = entry.route().unwrap();
    assert_eq!(route.usable_queues().count(), 4);
    assert!(route.age(Instant::now()) <= Duration::from_secs(31));
}

#[tokio::test(start_paused = true)]
async fn unchanged_bytes_confirm_the_route_without_rebuilding_it() {
    let source = FakeNameServer::new();
    source.set("T", &[A]);
    let mapping = mapping(&source, RoutingOptions::default());
    let first = mapping.force_refresh("T", soon()).await.unwrap();
    tokio::time::advance(Duration::from_secs(20)).await;
    let second = mapping.force_refresh("T", soon()).await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(first.age(Instant::now()), Duration::ZERO);
    source.set("T", &[A, B]);
    let third = mapping.force_refresh("T", soon()).await.unwrap();
    assert_eq!(third.generation(), first.generation() + 1);
}

#[tokio::test(start_paused = true)]
async fn vanished_brokers_leave_after_the_retention_although_the_bytes_stay_the_same() {
    let source = FakeNameServer::new();
    source.set("T", &[A, B]);
    let mapping = mapping(&source, RoutingOptions::default());
    mapping.start_polling();
    let entry = mapping.topic("T", soon()).await.unwrap();
    source.set("T", &[B]);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(entry.route().unwrap().has_vanished());
    assert_eq!(mapping.available_brokers(), [Arc::from("b")]);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(entry.route().unwrap().queues().len(), 2);
    assert_eq!(mapping.health().all().len(), 1, "its record went with it");
}

#[tokio::test(start_paused = true)]
async fn a_restarted_name_server_that_knows_no_topic_does_not_take_a_route_away() {
    let source = FakeNameServer::new();
    source.set("T", &[A]);
    source.set("TBW102", &[("a", 7, 8, Some("a:1"))]);
    let mapping = mapping(&source, RoutingOptions::default());
    let entry = mapping.topic("T", soon()).await.unwrap();
    source.forget("T");
    let route = mapping.force_refresh("T", soon()).await.unwrap();
    assert_eq!(
        (route.queues().len(), route.usable_queues().count()),
        (2, 0)
    );
    source.set("T", &[A]);
    mapping.force_refresh("T", soon()).await.unwrap();
    assert_eq!(entry.route().unwrap().usable_queues().count(), 2);

    source.forget("T");
    mapping.force_refresh("T", soon()).await.unwrap();
    tokio::time::advance(Duration::from_secs(600)).await;
    let error = mapping.force_refresh("T", soon()).await.unwrap_err();
    assert!(matches!(error, RoutingError::TopicNotFound { .. }));
    assert!(entry.route().is_none() && mapping.cached("T").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_takes_the_route_of_the_default_topic_until_it_has_its_own() {
    let source = FakeNameServer::new();
    source.set(
        "TBW102",
        &[("a", 7, 8, Some("a:1")), ("b", 7, 2, Some("b:1"))],
    );
    let mapping = mapping(&source, RoutingOptions::default());
    let entry = mapping.topic("new", soon()).await.unwrap();
    let route = entry.route().unwrap();
    assert_eq!(route.origin(), RouteOrigin::DefaultTopic);
    assert_eq!(route.usable_queues().count(), 4 + 2);
    assert_eq!(route.queues()[0].queue().topic().as_ref(), "new");

    // One broker has made the topic: keys of the other must not move.
    source.set("new", &[("a", 6, 4, Some("a:1"))]);
    let own = mapping.force_refresh("new", soon()).await.unwrap();
    assert_eq!(own.origin(), RouteOrigin::Topic);
    assert_eq!(own.usable_queues().count(), 4);
    assert_eq!(own.queues().len(), route.queues().len());
}

#[tokio::test(start_paused = true)]
async fn an_invalid_route_is_an_error_and_the_old_route_stays() {
    let source = FakeNameServer::new();
    source.set("T", &[A]);
    let mapping = mapping(&source, RoutingOptions::default());
    let entry = mapping.topic("T", soon()).await.unwrap();
    source.set_body("T", "<html>".to_owned());
    let error = mapping.force_refresh("T", soon()).await.unwrap_err();
    assert!(matches!(
        error,
        RoutingError::NameServer {
            cause: NameServerError::InvalidRoute { .. },
            ..
        }
    ));
    assert_eq!(entry.route().unwrap().usable_queues().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_longest_unused_topic_is_evicted_and_its_handle_says_so() {
    let source = FakeNameServer::new();
    for topic in ["1", "2", "3", "4"] {
        source.set(topic, &[A]);
    }
    let mapping = mapping(&source, strict().with_max_topics(3));
    let mut handles = Vec::new();
    for topic in ["1", "2", "3"] {
        handles.push(mapping.topic(topic, soon()).await.unwrap());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    mapping.topic("1", soon()).await.unwrap();
    mapping.topic("4", soon()).await.unwrap();
    assert_eq!(mapping.all_topics(), ["1".into(), "3".into(), "4".into()]);
    assert!(handles[1].route().is_none());
    assert!(mapping.topic("2", soon()).await.is_ok(), "asked for again");
    assert_eq!(mapping.cache_stats().topics, 3);
}

#[tokio::test(start_paused = true)]
async fn unknown_topics_do_not_fill_the_cache() {
    let source = FakeNameServer::new();
    source.set("T", &[A]);
    let mapping = mapping(&source, strict().with_max_topics(20));
    mapping.topic("T", soon()).await.unwrap();
    for number in 0..1000 {
        let _ = mapping.topic(&format!("unknown-{number}"), soon()).await;
    }
    assert!(mapping.entries().len() <= 20);
    assert_eq!(mapping.all_topics(), [Arc::from("T")]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_route_is_served_and_refreshed_in_the_background() {
    let source = FakeNameServer::new();
    source.set("T", &[A]);
    let mapping = mapping(&source, RoutingOptions::default());
    assert!(!mapping.set_route_timeout(Duration::ZERO));
    assert!(mapping.set_route_timeout(Duration::from_secs(5)));
    let entry = mapping.topic("T", soon()).await.unwrap();
    tokio::time::advance(Duration::from_secs(6)).await;
    source.set("T", &[A, B]);
    mapping.topic("T", soon()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(entry.route().unwrap().usable_queues().count(), 4);
}

#[tokio::test(start_paused = true)]
async fn expired_routes_are_cleared_on_demand() {
    let source = FakeNameServer::new();
    source.set("old", &[A]);
    source.set("new", &[A]);
    let mapping = mapping(&source, RoutingOptions::default());
    mapping.topic("old", soon()).await.unwrap();
    tokio::time::advance(Duration::from_secs(31)).await;
    mapping.topic("new", soon()).await.unwrap();
    assert_eq!(
        mapping.clear_expired_routes(Some(Duration::from_secs(60))),
        0
    );
    assert_eq!(mapping.clear_expired_routes(None), 1);
    assert_eq!(mapping.all_topics(), [Arc::from("new")]);
    assert!(mapping.remove_route_info("new"));
    assert!(!mapping.remove_route_info("new"));
    assert_eq!(mapping.cache_stats(), CacheStats::default());
}

#[tokio::test(start_paused = true)]
async fn a_hint_refreshes_once_for_a_generation_and_not_in_a_storm() {
    let source = FakeNameServer::new();
    source.set("T", &[A]);
    let mapping = mapping(&source, RoutingOptions::default());
    let entry = mapping.topic("T", soon()).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let now = Instant::now();
    let hints = (0..100)
        .filter(|_| mapping.hint_refresh(&entry, 1, now))
        .count();
    assert_eq!(hints, 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(source.asked(), 2);
    assert!(!mapping.hint_refresh(&entry, 0, Instant::now()), "old news");
}

#[tokio::test(start_paused = true)]
async fn after_shutdown_nothing_is_asked_and_all_tasks_end() {
    let source = FakeNameServer::gated();
    let mapping = mapping(&source, strict());
    mapping.start_polling();
    let waiting = mapping.clone();
    let mut waiters = JoinSet::new();
    waiters.spawn(async move { waiting.topic("T", soon()).await });
    tokio::task::yield_now().await;
    let (tasks, cancel) = mapping.tasks();
    cancel.cancel();
    tasks.close();
    tasks.wait().await;
    let error = waiters.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, RoutingError::Closed));
    let error = mapping.topic("T", soon()).await.unwrap_err();
    assert!(matches!(error, RoutingError::Closed));
    assert_eq!(source.asked(), 1);
}

#[test]
fn a_refresh_that_died_with_its_runtime_is_begun_again() {
    let source = FakeNameServer::gated();
    source.set("T", &[A]);
    let mapping = mapping(&source, strict());
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    };
    let first = runtime();
    first.block_on(async {
        let deadline = Instant::now() + Duration::from_millis(5);
        assert!(mapping.topic("T", deadline).await.is_err());
    });
    drop(first);
    source.open(1);
    let entry = runtime().block_on(async { mapping.topic("T", soon()).await });
    assert!(entry.unwrap().route().is_some());
}

#[tokio::test(start_paused = true)]
async fn queues_are_selected_by_key_and_in_turn() {
    let source = FakeNameServer::new();
    let mapping = mapping(&source, RoutingOptions::default());
    mapping.update_route_info("T", route_data(&[A, B]));
    let message = Message::new("T", "body").unwrap();
    let mut names = Vec::new();
    for _ in 0..4 {
        let result = mapping
            .select_queue("T", &message, None, soon())
            .await
            .unwrap();
        assert_eq!(result.selector, "round_robin");
        names.push(result.message_queue().full_name());
    }
    names.sort();
    assert_eq!(names, ["T:a:0", "T:a:1", "T:b:0", "T:b:1"]);
    // order-1 has place 2 of 4 in Java.
    let keyed = message.with_sharding_key("order-1").unwrap();
    let result = mapping
        .select_queue("T", &keyed, None, soon())
        .await
        .unwrap();
    assert_eq!(result.message_queue().full_name(), "T:b:0");
    assert_eq!(result.selector, "message_hash");
    assert_eq!(source.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stale_route_is_not_asked_for_with_every_send_while_the_name_servers_are_down() {
    let source = FakeNameServer::new();
    source.set("T", &[A]);
    let mapping = mapping(&source, RoutingOptions::default());
    mapping.topic("T", soon()).await.unwrap();
    source.set_down(true);
    tokio::time::advance(mapping.route_timeout()).await;
    for _ in 0..100 {
        mapping.topic("T", soon()).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(source.asked(), 2);
    tokio::time::advance(mapping.options().refresh_hint_interval).await;
    mapping.topic("T", soon()).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(source.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_longest_name_server_timeout_is_a_deadline_too() {
    let source = FakeNameServer::new();
    source.set("T", &[A]);
    let options = RoutingOptions::default().with_name_server_timeout(Duration::MAX);
    let mapping = mapping(&source, options);
    assert!(mapping.topic("T", soon()).await.is_ok());
}
