//! Where messages go, with brokers in any state.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use rocketmq_producer_remoting::{Connectivity, Message, SuspectCause};
use tokio::time::Instant;

use super::{MessageRouter, RouteRequest, RoutedBy, Routing};
use crate::{
    error::{QueueProblem, RoutingError},
    health::{Incident, Verdict},
    load::Occupancy,
    mapping::TopicEntry,
    options::{BrokerAvoidance, KeyedFailover, RoutingOptions},
    queue::MessageQueue,
    route::RoutedQueue,
    selector::{QueueSelector, SelectorArgument},
    strategy::RoutingStrategy,
    test_support::{FakeNameServer, Listed, mapping, route_data},
};

const A: Listed<'_> = ("a", 6, 4, Some("a:1"));
const B: Listed<'_> = ("b", 6, 4, Some("b:1"));
const C: Listed<'_> = ("c", 6, 4, Some("c:1"));

fn router_with(
    options: RoutingOptions,
    brokers: &[Listed<'_>],
) -> (MessageRouter, Arc<TopicEntry>) {
    let mapping = mapping(&FakeNameServer::new(), options);
    mapping.update_route_info("T", route_data(brokers));
    let entry = mapping.cached("T").unwrap();
    (MessageRouter::new(mapping), entry)
}

fn router(brokers: &[Listed<'_>]) -> (MessageRouter, Arc<TopicEntry>) {
    router_with(RoutingOptions::default(), brokers)
}

fn fail(router: &MessageRouter, routing: &Routing, times: usize, now: Instant) {
    for _ in 0..times {
        router.report_routing_failure(routing, &Incident::Single, "no answer", now);
    }
}

/// A routing to any queue of that broker.
fn to(router: &MessageRouter, entry: &TopicEntry, broker: &str) -> Routing {
    let queue = MessageQueue::new("T", broker, 0);
    let request = RouteRequest::new().to_queue(&queue);
    router.route(entry, &request, Instant::now()).unwrap()
}

fn shares(
    router: &MessageRouter,
    entry: &TopicEntry,
    request: &RouteRequest<'_>,
    times: usize,
    now: Instant,
) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..times {
        let routing = router.route(entry, request, now).unwrap();
        *shares
            .entry(routing.broker().name().to_string())
            .or_default() += 1;
    }
    shares
}

fn counts(shares: &[(&str, usize)]) -> BTreeMap<String, usize> {
    shares
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

#[test]
fn round_robin_gives_every_queue_the_same_share() {
    let (router, entry) = router(&[A, B]);
    let mut seen = BTreeMap::<String, usize>::new();
    for _ in 0..80 {
        let routing = router
            .route(&entry, &RouteRequest::new(), Instant::now())
            .unwrap();
        assert_eq!(routing.routed_by(), RoutedBy::RoundRobin);
        *seen.entry(routing.queue().full_name()).or_default() += 1;
    }
    assert_eq!(seen.len(), 8);
    assert!(seen.values().all(|&count| count == 10), "{seen:?}");
}

#[test]
fn an_unhealthy_broker_is_avoided_and_the_others_share_evenly() {
    let (router, entry) = router(&[A, B, C]);
    let now = Instant::now();
    fail(&router, &to(&router, &entry, "a"), 5, now);
    let shares = shares(&router, &entry, &RouteRequest::new(), 80, now);
    assert_eq!(shares, counts(&[("b", 40), ("c", 40)]));
    assert_eq!(router.available_brokers(), ["b".into(), "c".into()]);
}

#[test]
fn an_avoided_broker_gets_one_probe_per_wait_and_comes_back_through_them() {
    let (router, entry) = router(&[A, B]);
    let mut now = Instant::now();
    fail(&router, &to(&router, &entry, "a"), 5, now);
    let probes = |now| {
        (0..100)
            .map(|_| router.route(&entry, &RouteRequest::new(), now).unwrap())
            .filter(|routing| routing.broker().name().as_ref() == "a")
            .inspect(|routing| assert!(routing.is_probe()))
            .collect::<Vec<_>>()
    };
    assert!(probes(now).is_empty());
    now += Duration::from_millis(500);
    for _ in 0..5 {
        let due = probes(now);
        assert_eq!(due.len(), 1);
        router.report_routing_result(&due[0], Some(Duration::from_millis(1)), now);
    }
    let shares = shares(&router, &entry, &RouteRequest::new(), 80, now);
    assert_eq!(shares, counts(&[("a", 40), ("b", 40)]));
}

#[test]
fn a_retry_goes_to_a_broker_not_tried_yet_and_is_never_a_probe() {
    let (router, entry) = router(&[A, B, C]);
    let mut now = Instant::now();
    fail(&router, &to(&router, &entry, "c"), 5, now);
    now += Duration::from_secs(10);
    let tried = [Arc::from("a")];
    let request = RouteRequest::new().avoiding(&tried);
    let retries = shares(&router, &entry, &request, 40, now);
    assert_eq!(retries, counts(&[("b", 40)]));
    // Both that are in order were tried: the third may have recovered meanwhile.
    let tried = [Arc::from("a"), Arc::from("b")];
    let request = RouteRequest::new().avoiding(&tried);
    let retries = shares(&router, &entry, &request, 40, now);
    assert_eq!(retries, counts(&[("c", 40)]));
    // With all tried, one failure is less than five.
    let tried = [Arc::from("a"), Arc::from("b"), Arc::from("c")];
    let request = RouteRequest::new().avoiding(&tried);
    let retries = shares(&router, &entry, &request, 40, now);
    assert_eq!(retries.keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn with_every_broker_out_the_least_bad_one_is_used() {
    let (router, entry) = router(&[A, B]);
    let now = Instant::now();
    fail(&router, &to(&router, &entry, "a"), 9, now);
    fail(&router, &to(&router, &entry, "b"), 6, now);
    let all = shares(&router, &entry, &RouteRequest::new(), 40, now);
    assert_eq!(all, counts(&[("b", 40)]));

    let (router, entry) = self::router(&[A]);
    fail(&router, &to(&router, &entry, "a"), 50, now);
    let all = shares(&router, &entry, &RouteRequest::new(), 40, now);
    assert_eq!(all, counts(&[("a", 40)]));
}

#[test]
fn a_message_with_a_sharding_key_stays_on_its_queue_whatever_the_health() {
    let (router, entry) = router(&[A, B]);
    let now = Instant::now();
    let message = Message::new("T", "body")
        .unwrap()
        .with_sharding_key("order-1")
        .unwrap();
    let tried = [Arc::from("a"), Arc::from("b")];
    let request = RouteRequest::of(&message).avoiding(&tried);
    let first = router.route(&entry, &request, now).unwrap();
    // Java: place 6 of 8.
    assert_eq!(first.queue().full_name(), "T:b:2");
    assert_eq!(first.routed_by(), RoutedBy::MessageHash);
    fail(&router, &first, 50, now);
    for strategy in RoutingStrategy::ALL {
        router.set_strategy(strategy);
        assert_eq!(router.strategy(), strategy);
        let again = router.route(&entry, &request, now).unwrap();
        assert_eq!(again.queue(), first.queue());
    }
    // Its broker vanishes: the key stays, and a message without one goes elsewhere.
    router.mapping().update_route_info("T", route_data(&[A]));
    let again = router.route(&entry, &request, now).unwrap();
    assert_eq!(again.queue(), first.queue());
    let others = shares(&router, &entry, &RouteRequest::new(), 8, now);
    assert_eq!(others, counts(&[("a", 8)]));
}

#[test]
fn a_vanished_broker_is_the_last_resort() {
    let (router, entry) = router(&[A, B]);
    let now = Instant::now();
    let a = to(&router, &entry, "a");
    router.mapping().update_route_info("T", route_data(&[A]));
    fail(&router, &a, 50, now);
    let all = shares(&router, &entry, &RouteRequest::new(), 8, now);
    assert_eq!(all, counts(&[("a", 8)]), "even an unhealthy one goes first");
    router.suspend_broker("a", now);
    let all = shares(&router, &entry, &RouteRequest::new(), 8, now);
    assert_eq!(all, counts(&[("b", 8)]));
}

#[test]
fn only_keys_of_a_lost_broker_move_and_only_when_that_is_allowed() {
    let keyed = |key: &str| {
        let message = Message::new("T", "x").unwrap();
        message.with_sharding_key(key).unwrap()
    };
    let options = RoutingOptions::default().with_keyed_failover(KeyedFailover::Move);
    let (router, entry) = router_with(options, &[A, B, C]);
    let now = Instant::now();
    let messages: Vec<Message> = (0..40).map(|n| keyed(&format!("key-{n}"))).collect();
    let queues = |tried: &[Arc<str>]| -> Vec<MessageQueue> {
        let requests = messages.iter().map(RouteRequest::of);
        requests
            .map(|request| router.route(&entry, &request.avoiding(tried), now).unwrap())
            .map(|routing| routing.queue().clone())
            .collect()
    };
    let home = queues(&[]);
    let after_one_failure = queues(&[Arc::from("a")]);
    fail(&router, &to(&router, &entry, "a"), 5, now);
    let away = queues(&[]);
    assert_eq!(away, after_one_failure, "a key has one place to go");
    for (home, away) in home.iter().zip(&away) {
        assert_ne!(away.broker_name().as_ref(), "a");
        if home.broker_name().as_ref() != "a" {
            assert_eq!(home, away, "the keys of other brokers stay");
        }
    }
    router.force_broker_recovery("a", now);
    assert_eq!(queues(&[]), home);
}

#[test]
fn keys_are_hashed_only_by_the_hash_strategy() {
    let (router, entry) = router(&[A, B]);
    let message = Message::new("T", "body")
        .unwrap()
        .with_keys(["order-1", "x"])
        .unwrap();
    let now = Instant::now();
    let request = RouteRequest::of(&message);
    let by = |request| router.route(&entry, request, now).unwrap().routed_by();
    assert_eq!(by(&request), RoutedBy::RoundRobin);
    let request = request.with_strategy(RoutingStrategy::MessageHash);
    assert_eq!(by(&request), RoutedBy::MessageHash);
    let plain = RouteRequest::new().with_strategy(RoutingStrategy::MessageHash);
    assert_eq!(by(&plain), RoutedBy::Random);
}

#[test]
fn a_suspended_broker_is_never_used_until_the_operator_says_so() {
    let (router, entry) = router(&[A, B]);
    let now = Instant::now();
    assert!(!router.suspend_broker("nobody", now));
    assert!(router.suspend_broker("a", now));
    let all = shares(&router, &entry, &RouteRequest::new(), 40, now);
    assert_eq!(all, counts(&[("b", 40)]));
    let queue = MessageQueue::new("T", "a", 0);
    let error = router
        .route(&entry, &RouteRequest::new().to_queue(&queue), now)
        .unwrap_err();
    let problem = QueueProblem::BrokerSuspended;
    assert!(matches!(&error, RoutingError::QueueNotAvailable { reason, .. } if *reason == problem));
    router.suspend_broker("b", now);
    let error = router.route(&entry, &RouteRequest::new(), now).unwrap_err();
    assert_eq!(
        error.to_string(),
        "every broker for topic T is suspended: a, b"
    );
    assert!(router.resume_broker("a", now));
    assert!(router.force_broker_recovery("b", now));
    assert!(!router.force_broker_recovery("nobody", now));
    let all = shares(&router, &entry, &RouteRequest::new(), 40, now);
    assert_eq!(all, counts(&[("a", 20), ("b", 20)]));
}

#[test]
fn with_avoidance_off_only_tried_and_suspended_brokers_are_avoided() {
    let options = RoutingOptions::default().with_broker_avoidance(BrokerAvoidance::Disabled);
    let (router, entry) = router_with(options, &[A, B]);
    let now = Instant::now();
    fail(&router, &to(&router, &entry, "a"), 50, now);
    let all = shares(&router, &entry, &RouteRequest::new(), 40, now);
    assert_eq!(all, counts(&[("a", 20), ("b", 20)]));
    let tried = [Arc::from("a")];
    let retries = RouteRequest::new().avoiding(&tried);
    let all = shares(&router, &entry, &retries, 40, now);
    assert_eq!(all, counts(&[("b", 40)]));
}

#[test]
fn a_route_without_a_usable_broker_says_what_is_missing() {
    let now = Instant::now();
    let error = |brokers: &[Listed<'_>]| {
        let (router, entry) = router(brokers);
        router.route(&entry, &RouteRequest::new(), now).unwrap_err()
    };
    let read_only = error(&[("a", 4, 4, Some("a:1"))]);
    assert!(matches!(read_only, RoutingError::NothingWritable { .. }));
    assert!(read_only.to_string().contains("a: not writable"));
    let headless = error(&[("a", 6, 4, None)]);
    assert!(matches!(headless, RoutingError::NoMaster { .. }));
    assert!(headless.to_string().contains("a: no master"));
    assert!(matches!(error(&[]), RoutingError::NothingWritable { .. }));
}

#[test]
fn a_removed_topic_has_to_be_looked_up_again() {
    let (router, entry) = router(&[A]);
    router.mapping().remove_route_info("T");
    let error = router
        .route(&entry, &RouteRequest::new(), Instant::now())
        .unwrap_err();
    assert!(matches!(error, RoutingError::RouteRemoved { .. }));
}

#[derive(Debug)]
struct Fixed(Option<usize>);

impl QueueSelector for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn select(&self, _: &[RoutedQueue], _: &Message, _: &SelectorArgument) -> Option<usize> {
        self.0
    }
}

#[tokio::test]
async fn a_selector_decides_and_its_mistakes_are_errors() {
    let (router, entry) = router(&[A, B]);
    let now = Instant::now();
    let message = Message::new("T", "body")
        .unwrap()
        .with_sharding_key("order-1")
        .unwrap();
    let none = SelectorArgument::None;
    for (choice, expected) in [
        (Some(5), Ok("T:b:1".to_owned())),
        (
            Some(8),
            Err("selector fixed chose queue 8 of 8 for topic T"),
        ),
        (None, Err("selector fixed chose no queue of topic T")),
    ] {
        let selector = Fixed(choice);
        let request = RouteRequest::of(&message).with_selector(&selector, &none);
        let sync = router.route(&entry, &request, now);
        let later = router
            .route_async(&entry, &message, &selector, &none, now)
            .await;
        for result in [sync, later] {
            let result = result
                .map(|routing| routing.queue().full_name())
                .map_err(|error| error.to_string());
            assert_eq!(result, expected.clone().map_err(str::to_owned));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn statistics_count_decisions_and_can_be_reset() {
    let (router, entry) = router(&[A, B]);
    let now = Instant::now();
    for _ in 0..10 {
        router.route(&entry, &RouteRequest::new(), now).unwrap();
    }
    let earlier = router.routing_stats();
    let routing = to(&router, &entry, "a");
    router.report_routing_result(&routing, Some(Duration::from_millis(4)), now);
    let unknown = MessageQueue::new("T", "a", 99);
    let request = RouteRequest::new().to_queue(&unknown);
    assert!(router.route(&entry, &request, now).is_err());

    let stats = router.routing_stats();
    assert_eq!(stats.total_routing, 12);
    assert_eq!((stats.successful_routing, stats.failed_routing), (11, 1));
    assert_eq!(stats.strategy_usage["round_robin"], 10);
    assert_eq!(stats.broker_usage.values().sum::<u64>(), 11);
    let health = &stats.broker_health[0];
    assert_eq!(health.avg_latency, Some(Duration::from_millis(4)));
    assert_eq!((health.total_requests(), health.success_rate), (1, 1.0));

    let delta = stats.since(&earlier);
    assert_eq!((delta.total_routing, delta.failed_routing), (2, 1));
    assert_eq!(delta.strategy_usage["round_robin"], 0);
    router.reset_stats();
    assert_eq!(router.routing_stats().total_routing, 0);
    router.route(&entry, &RouteRequest::new(), now).unwrap();
    assert_eq!(router.routing_stats().total_routing, 1);
}

#[tokio::test(start_paused = true)]
async fn statistics_are_reset_on_their_interval() {
    let options =
        RoutingOptions::default().with_stats_reset_interval(Some(Duration::from_secs(60)));
    let (router, entry) = router_with(options, &[A]);
    router.start_stats_reset();
    router
        .route(&entry, &RouteRequest::new(), Instant::now())
        .unwrap();
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(router.routing_stats().total_routing, 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(router.routing_stats().total_routing, 0);
}

/// What happens to a broker, by its place among three.
#[derive(Clone, Debug)]
enum Event {
    Connectivity(usize, Connectivity),
    Fail(usize),
    /// Takes so many places.
    Hold(usize, usize),
    Release(usize),
    Resume(usize),
    Succeed(usize),
    Suspend(usize),
}

fn event() -> impl Strategy<Value = (Event, u64)> {
    let broker = 0_usize..3;
    let connectivity = prop_oneof![
        1 => Just(Connectivity::Idle),
        2 => Just(Connectivity::Live),
        1 => Just(Connectivity::Suspect(SuspectCause::DialFailed)),
        1 => Just(Connectivity::Suspect(SuspectCause::Silent)),
    ];
    let event = prop_oneof![
        2 => (broker.clone(), connectivity).prop_map(|(at, to)| Event::Connectivity(at, to)),
        6 => broker.clone().prop_map(Event::Fail),
        2 => (broker.clone(), 1_usize..8).prop_map(|(at, places)| Event::Hold(at, places)),
        1 => broker.clone().prop_map(Event::Release),
        1 => broker.clone().prop_map(Event::Resume),
        4 => broker.clone().prop_map(Event::Succeed),
        1 => broker.prop_map(Event::Suspend),
    ];
    (event, 0_u64..2000)
}

/// The places that a broker may hold in the property.
const PLACES: usize = 5;

proptest! {
    #[test]
    fn trouble_shifts_traffic_and_never_stops_it(
        events in prop::collection::vec(event(), 0..200),
        vanished in prop::option::of(0_usize..3),
        tried in prop::collection::vec(0_usize..3, 0..3),
        strategy in prop::sample::select(RoutingStrategy::ALL.to_vec()),
    ) {
        let options = RoutingOptions::default().with_in_flight_limits(2 * PLACES, u64::MAX);
        let (router, entry) = router_with(options.with_strategy(strategy), &[A, B, C]);
        let mut now = Instant::now();
        let names = ["a", "b", "c"];
        let targets: Vec<_> = names.iter().map(|name| to(&router, &entry, name)).collect();
        if let Some(gone) = vanished {
            let mut left = vec![A, B, C];
            left.remove(gone);
            router.mapping().update_route_info("T", route_data(&left));
        }
        let tried: Vec<Arc<str>> = tried.iter().map(|&index| Arc::from(names[index])).collect();
        let request = RouteRequest::new().avoiding(&tried);
        let mut held: [Vec<Occupancy>; 3] = Default::default();
        for (event, wait) in events {
            now += Duration::from_millis(wait);
            match event {
                Event::Connectivity(at, connectivity) => {
                    let registry = router.mapping().registry();
                    registry.connectivity_changed(targets[at].address(), connectivity, now);
                }
                Event::Fail(at) => fail(&router, &targets[at], 1, now),
                Event::Hold(at, places) => {
                    held[at].extend((0..places).map(|_| targets[at].occupy(1, 1)));
                }
                Event::Release(at) => held[at].clear(),
                Event::Resume(at) => {
                    router.resume_broker(names[at], now);
                }
                Event::Succeed(at) => router.report_routing_result(&targets[at], None, now),
                Event::Suspend(at) => {
                    router.suspend_broker(names[at], now);
                }
            }
            let health = targets.iter().map(|target| target.broker().health());
            let verdicts: Vec<Verdict> = health.map(|health| health.verdict()).collect();
            let routing = router.route(&entry, &request, now);
            if verdicts.iter().all(|verdict| *verdict == Verdict::Never) {
                let suspended = matches!(routing, Err(RoutingError::BrokersSuspended { .. }));
                prop_assert!(suspended, "{:?}", routing);
                continue;
            }
            // The rule, told anew: never a suspended one, and never a worse one than need be.
            let rank = |at: usize| {
                let was_tried = tried.iter().any(|tried| tried.as_ref() == names[at]);
                let is_full = held[at].len() >= PLACES;
                let full_or_worse = match verdicts[at] {
                    Verdict::Use => u8::from(is_full),
                    verdict => 1 + verdict as u8,
                };
                (verdicts[at] == Verdict::Never, vanished == Some(at), was_tried, full_or_worse)
            };
            prop_assert!(routing.is_ok(), "{:?}", routing);
            let routing = routing.unwrap();
            let chosen = names.iter().position(|name| *name == routing.broker().name().as_ref());
            let chosen = chosen.unwrap();
            if routing.is_probe() {
                prop_assert!(tried.is_empty() && verdicts[chosen].may_be_probed());
            } else {
                let best = (0..3).map(rank).min();
                prop_assert_eq!(Some(rank(chosen)), best, "{:?} {:?}", verdicts, chosen);
            }
        }
    }
}
