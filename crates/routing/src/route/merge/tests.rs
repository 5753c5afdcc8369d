//! The key ring over changes of the route.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use rocketmq_producer_remoting::protocol::TopicRouteData;
use tokio::time::Instant;

use super::{News, merge};
use crate::{
    route::{ExclusionReason, QueueTarget, RouteInfo, RouteKind, RouteOrigin},
    test_support::{Listed, broker, route_data, vectors},
};

const RETENTION: Duration = Duration::from_secs(600);

fn merged(old: Option<&RouteInfo>, data: Option<TopicRouteData>, now: Instant) -> RouteInfo {
    let news = News {
        topic: &Arc::from("T"),
        old,
        data: data.map(Arc::new),
        origin: RouteOrigin::Topic,
        now,
        retention: RETENTION,
    };
    merge(news, &|name, _, address| broker(name, address))
}

fn step(old: Option<&RouteInfo>, brokers: &[Listed<'_>], now: Instant) -> RouteInfo {
    merged(old, Some(route_data(brokers)), now)
}

/// `broker/queue` of the whole ring, `!` after a vanished one, `-` after one without
/// broker.
fn ring(route: &RouteInfo) -> Vec<String> {
    let name = |queue: &crate::RoutedQueue| {
        let mark = match queue.target() {
            QueueTarget::Listed(_) => "",
            QueueTarget::Unavailable(_) => "-",
            QueueTarget::Vanished { .. } => "!",
        };
        let queue = queue.queue();
        format!("{}/{}{mark}", queue.broker_name(), queue.queue_id())
    };
    route.queues().iter().map(name).collect()
}

const A: Listed<'_> = ("a", 6, 2, Some("a:1"));
const B: Listed<'_> = ("b", 6, 2, Some("b:1"));

#[test]
fn the_queue_list_of_every_route_vector_is_javas() {
    let mut checked = 0;
    for entry in vectors("route.json") {
        let (Some(text), Some(queues)) = (
            entry["text"].as_str(),
            entry["publish"]["queues"].as_array(),
        ) else {
            continue;
        };
        let data = TopicRouteData::parse(text.as_bytes()).unwrap();
        let route = merged(None, Some(data), Instant::now());
        let ours: Vec<String> = route
            .queues()
            .iter()
            .map(|queue| {
                let queue = queue.queue();
                format!("{}/{}", queue.broker_name(), queue.queue_id())
            })
            .collect();
        assert_eq!(ours, *queues, "{}", entry["name"]);
        let is_ordered = entry["publish"]["orderTopic"].as_bool().unwrap();
        assert_eq!(route.kind() == RouteKind::Ordered, is_ordered);
        checked += 1;
    }
    assert!(checked > 10, "only {checked} routes in the vectors");
}

#[test]
fn each_entry_that_cannot_be_used_says_why() {
    let mut data = route_data(&[
        ("a", 4, 8, Some("a:1")),
        ("b", 6, 8, None),
        ("c", 6, 0, Some("c:1")),
        ("d", 6, 1, Some("d:1")),
        ("e", 6, 3, Some("e:1")),
    ]);
    data.broker_datas.retain(|broker| broker.broker_name != "e");
    let route = merged(None, Some(data), Instant::now());
    assert_eq!(ring(&route), ["d/0"]);
    let reasons: Vec<_> = route
        .excluded()
        .iter()
        .map(|entry| (entry.broker_name.as_ref(), entry.queues, entry.reason))
        .collect();
    assert_eq!(
        reasons,
        [
            ("a", 8, ExclusionReason::NotWritable),
            ("b", 8, ExclusionReason::NoMaster),
            ("c", 0, ExclusionReason::NoQueues),
            ("e", 3, ExclusionReason::BrokerUnknown),
        ]
    );
    assert_eq!(
        route.excluded()[0].to_string(),
        "a: not writable (permission R--)"
    );
}

#[test]
fn a_vanished_broker_keeps_its_places_until_the_retention_ends() {
    let start = Instant::now();
    let both = step(None, &[A, B], start);
    let gone = step(Some(&both), &[B], start + Duration::from_secs(1));
    assert_eq!(ring(&gone), ["a/0!", "a/1!", "b/0", "b/1"]);
    assert!(gone.has_vanished() && gone.generation() > both.generation());

    let still = step(Some(&gone), &[B], start + RETENTION);
    assert_eq!(ring(&still), ["a/0!", "a/1!", "b/0", "b/1"]);
    let over = step(
        Some(&still),
        &[B],
        start + RETENTION + Duration::from_secs(1),
    );
    assert_eq!(ring(&over), ["b/0", "b/1"]);

    let back = step(Some(&still), &[A, B], start + RETENTION);
    assert_eq!(ring(&back), ["a/0", "a/1", "b/0", "b/1"]);
}

#[test]
fn a_broker_listed_without_write_permission_leaves_at_once() {
    let now = Instant::now();
    let both = step(None, &[A, B], now);
    let read_only = ("a", 4, 2, Some("a:1"));
    let shrunk = step(Some(&both), &[read_only, B], now);
    assert_eq!(ring(&shrunk), ["b/0", "b/1"]);
    // Also one that vanished before.
    let gone = step(Some(&both), &[B], now);
    let shrunk = step(Some(&gone), &[read_only, B], now);
    assert_eq!(ring(&shrunk), ["b/0", "b/1"]);
}

#[test]
fn a_broker_that_lost_its_master_counts_as_vanished() {
    let now = Instant::now();
    let both = step(None, &[A, B], now);
    let headless = step(Some(&both), &[("a", 6, 2, None), B], now);
    assert_eq!(ring(&headless), ["a/0!", "a/1!", "b/0", "b/1"]);
    assert_eq!(headless.excluded()[0].reason, ExclusionReason::NoMaster);
}

#[test]
fn queue_counts_follow_the_name_server_both_ways() {
    let now = Instant::now();
    let small = step(None, &[A, B], now);
    let grown = step(Some(&small), &[("a", 6, 3, Some("a:1")), B], now);
    assert_eq!(ring(&grown), ["a/0", "a/1", "a/2", "b/0", "b/1"]);
    assert_eq!(ring(&step(Some(&grown), &[A, B], now)), ring(&small));
}

#[test]
fn a_master_switch_takes_a_new_broker_and_no_change_keeps_the_old_one() {
    let now = Instant::now();
    let old = step(None, &[A, B], now);
    let new = step(Some(&old), &[("a", 6, 2, Some("a:2")), B], now);
    let pair = |route: &RouteInfo| -> Vec<_> { route.brokers().map(Arc::clone).collect() };
    let (before, after) = (pair(&old), pair(&new));
    assert_eq!(after[0].address().as_ref(), "a:2");
    assert!(!Arc::ptr_eq(before[0].health(), after[0].health()));
    assert!(Arc::ptr_eq(&before[1], &after[1]));
}

#[test]
fn a_topic_that_no_name_server_knows_any_more_keeps_all_its_brokers() {
    let now = Instant::now();
    let both = step(None, &[A, B], now);
    let missing = merged(Some(&both), None, now);
    assert_eq!(ring(&missing), ["a/0!", "a/1!", "b/0!", "b/1!"]);
    assert!(
        merged(Some(&missing), None, now + RETENTION)
            .queues()
            .is_empty()
    );
}

#[test]
fn the_places_of_an_ordered_topic_never_move() {
    let now = Instant::now();
    let ordered = |brokers: &[Listed<'_>]| {
        let mut data = route_data(brokers);
        data.order_topic_conf = Some("b:2;a:1;".to_owned());
        data
    };
    let both = merged(None, Some(ordered(&[A, B])), now);
    assert_eq!(ring(&both), ["b/0", "b/1", "a/0"]);
    let gone = merged(Some(&both), Some(ordered(&[A])), now);
    assert_eq!(ring(&gone), ["b/0!", "b/1!", "a/0"]);
    let over = merged(Some(&gone), Some(ordered(&[A])), now + RETENTION);
    assert_eq!(ring(&over), ["b/0-", "b/1-", "a/0"]);
    assert_eq!(over.excluded()[0].reason, ExclusionReason::BrokerUnknown);
}

#[test]
fn a_broken_order_configuration_is_told_and_cannot_exhaust_memory() {
    let mut data = route_data(&[A]);
    data.order_topic_conf = Some("a:x;a:1;b;a:4000000000;a:131072".to_owned());
    let route = merged(None, Some(data), Instant::now());
    assert_eq!(ring(&route), ["a/0"]);
    assert_eq!(route.excluded().len(), 4);
}

#[test]
fn the_unmapped_queue_of_a_static_topic_holds_its_place() {
    let body = br#"{"brokerDatas":[{"brokerAddrs":{"0":"a:1"},"brokerName":"a","cluster":"c"}],
        "queueDatas":[{"brokerName":"a","perm":6,"readQueueNums":4,"writeQueueNums":2}],
        "topicQueueMappingByBroker":{"a":{"topic":"T","scope":"__global__","totalQueues":3,
        "bname":"a","epoch":1,"currIdMap":{"0":0,"2":1}}}}"#;
    let route = merged(
        None,
        Some(TopicRouteData::parse(body).unwrap()),
        Instant::now(),
    );
    assert_eq!(
        ring(&route),
        [
            "__syslo__global__/0",
            "__syslo__global__/1-",
            "__syslo__global__/2"
        ]
    );
    assert_eq!(route.queues()[0].broker().unwrap().name().as_ref(), "a");
}

#[derive(Clone, Debug)]
struct Change {
    /// Per broker: listed with permission, or absent.
    brokers: Vec<Option<(i32, i32, bool)>>,
    known: bool,
    wait: u64,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let broker = prop::option::of((
        prop_oneof![4 => Just(6), 1 => Just(4)],
        0_i32..4,
        prop::bool::weighted(0.8),
    ));
    let change = (
        prop::collection::vec(broker, 3),
        prop::bool::weighted(0.85),
        0_u64..500,
    )
        .prop_map(|(brokers, known, wait)| Change {
            brokers,
            known,
            wait,
        });
    prop::collection::vec(change, 1..20)
}

proptest! {
    #[test]
    fn any_history_of_routes_keeps_the_ring_sound(changes in changes()) {
        let names = ["a", "b", "c"];
        let mut now = Instant::now();
        let mut route: Option<RouteInfo> = None;
        for change in changes {
            now += Duration::from_secs(change.wait);
            let listed: Vec<Listed<'_>> = names
                .iter()
                .zip(&change.brokers)
                .filter_map(|(name, listed)| {
                    let (perm, queues, master) = (*listed)?;
                    Some((*name, perm, queues, master.then_some("h:1")))
                })
                .collect();
            let data = change.known.then(|| route_data(&listed));
            let next = merged(route.as_ref(), data, now);

            // Sorted, and every queue once.
            let places: Vec<_> = next.queues().iter().map(|q| q.queue().clone()).collect();
            let mut sorted = places.clone();
            sorted.sort();
            sorted.dedup();
            prop_assert_eq!(&places, &sorted);
            // What the name server offers is in it, as offered.
            if change.known {
                let offered: i32 = listed
                    .iter()
                    .filter(|(_, perm, _, master)| *perm == 6 && master.is_some())
                    .map(|(_, _, queues, _)| queues)
                    .sum();
                prop_assert_eq!(next.usable_queues().count(), offered as usize);
            } else {
                prop_assert_eq!(next.usable_queues().count(), 0);
            }
            // Nothing is kept beyond its time, and no place is lost before.
            for queue in next.queues() {
                if let QueueTarget::Vanished { since, .. } = queue.target() {
                    prop_assert!(now - *since < RETENTION);
                }
            }
            if let Some(old) = &route {
                for queue in old.queues() {
                    let name = queue.queue().broker_name().as_ref();
                    let is_listed = listed.iter().any(|(listed, ..)| *listed == name);
                    let fresh = match queue.target() {
                        QueueTarget::Vanished { since, .. } => now - *since < RETENTION,
                        _ => true,
                    };
                    if fresh && (!change.known || !is_listed) {
                        prop_assert!(next.position(queue.queue()).is_some());
                    }
                }
            }
            // Groups cover each queue with a broker exactly once.
            let grouped: usize = next.groups().iter().map(|group| group.queues.len()).sum();
            let with_broker = next.queues().iter().filter(|q| q.broker().is_some()).count();
            prop_assert_eq!(grouped, with_broker);
            route = Some(next);
        }
    }
}
