//! What one routing decision costs: 16 queues of four brokers, health consulted.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench has no callers, and stops at what it did not expect"
)]

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use rocketmq_producer_routing::remoting::protocol::TopicRouteData;
use rocketmq_producer_routing::remoting::{
    ConnectionOptions, ConnectionPool, Connectivity, NoConsumer, SuspectCause,
};
use rocketmq_producer_routing::{
    BrokerRegistry, MessageRouter, NameServerClient, RouteRequest, RoutingOptions, RoutingStrategy,
    TopicBrokerMapping, TopicEntry,
};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A router that has seen each broker answer in a third of a millisecond.
fn router() -> (MessageRouter, Arc<TopicEntry>) {
    let pool = ConnectionPool::new(ConnectionOptions::default(), Arc::new(NoConsumer));
    let name_servers = NameServerClient::new(&"127.0.0.1:9876".parse().unwrap(), pool.clone());
    let options = RoutingOptions::default();
    let mapping = TopicBrokerMapping::new(
        Arc::new(name_servers),
        options.clone(),
        Arc::new(BrokerRegistry::new(options.health)),
        pool,
        TaskTracker::new(),
        CancellationToken::new(),
    );
    let part = |text: &dyn Fn(char) -> String| ['a', 'b', 'c', 'd'].map(text).join(",");
    let queues = part(&|name| {
        format!(r#"{{"brokerName":"{name}","readQueueNums":4,"writeQueueNums":4,"perm":6}}"#)
    });
    let brokers = part(&|name| {
        format!(r#"{{"brokerName":"{name}","cluster":"c","brokerAddrs":{{"0":"{name}:1"}}}}"#)
    });
    let route = format!(r#"{{"queueDatas":[{queues}],"brokerDatas":[{brokers}]}}"#);
    mapping.update_route_info("T", TopicRouteData::parse(route.as_bytes()).unwrap());
    let entry = mapping.cached("T").unwrap();
    let router = MessageRouter::new(mapping);
    for _ in 0..64 {
        let routing = router
            .route(&entry, &RouteRequest::new(), Instant::now())
            .unwrap();
        let latency = Some(Duration::from_micros(333));
        router.report_routing_result(&routing, latency, Instant::now());
    }
    (router, entry)
}

fn decisions(criterion: &mut Criterion) {
    let (router, entry) = router();
    let now = Instant::now();
    let mut group = criterion.benchmark_group("decision");
    for strategy in RoutingStrategy::ALL {
        let request = RouteRequest::new().with_strategy(strategy);
        group.bench_function(strategy.name(), |bencher| {
            bencher.iter(|| router.route(&entry, black_box(&request), now).unwrap());
        });
    }
    let request = RouteRequest::new();
    let busy: Vec<_> = (0..400)
        .map(|_| router.route(&entry, &request, now).unwrap().occupy(1, 256))
        .collect();
    group.bench_function("round_robin_400_under_way", |bencher| {
        bencher.iter(|| router.route(&entry, black_box(&request), now).unwrap());
    });
    drop(busy);
    group.bench_function("round_robin_and_place", |bencher| {
        bencher.iter(|| {
            router
                .route(&entry, black_box(&request), now)
                .unwrap()
                .occupy(1, 256)
        });
    });
    let routing = router.route(&entry, &request, now).unwrap();
    let latency = Some(Duration::from_micros(333));
    group.bench_function("report", |bencher| {
        bencher.iter(|| router.report_routing_result(black_box(&routing), latency, now));
    });
    let suspect = Connectivity::Suspect(SuspectCause::Silent);
    router
        .mapping()
        .registry()
        .connectivity_changed("a:1", suspect, now);
    group.bench_function("round_robin_one_suspect", |bencher| {
        bencher.iter(|| router.route(&entry, black_box(&request), now).unwrap());
    });
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
