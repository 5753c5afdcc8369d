//! One decision of the router, health consulted, and the place it takes at its broker.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use rocketmq_producer::remoting::protocol::TopicRouteData;
use rocketmq_producer::remoting::{
    ConnectionOptions, ConnectionPool, Connectivity, NoConsumer, SuspectCause,
};
use rocketmq_producer::routing::{
    BrokerRegistry, MessageRouter, NameServerClient, RouteRequest, RoutingOptions, RoutingStrategy,
    TopicBrokerMapping, TopicEntry,
};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Repeat, each};

pub fn one_queue() -> Repeat {
    let (router, entry) = router(1, 1);
    place(router, entry)
}

pub fn sixteen_queues() -> Repeat {
    let (router, entry) = router(4, 4);
    place(router, entry)
}

/// Two brokers are drawn and weighed.
pub fn least_load() -> Repeat {
    let (router, entry) = router(4, 4);
    let now = Instant::now();
    let request = RouteRequest::new().with_strategy(RoutingStrategy::LeastLoad);
    each(move || router.route(&entry, black_box(&request), now).unwrap())
}

/// One of the brokers is passed over.
pub fn one_suspect() -> Repeat {
    let (router, entry) = router(4, 4);
    let suspect = Connectivity::Suspect(SuspectCause::Silent);
    let registry = router.mapping().registry();
    registry.connectivity_changed("b0:1", suspect, Instant::now());
    place(router, entry)
}

/// What became of a send is told to its broker's health.
pub fn report() -> Repeat {
    let (router, entry) = router(4, 4);
    let now = Instant::now();
    let routing = router.route(&entry, &RouteRequest::new(), now).unwrap();
    let latency = Some(Duration::from_micros(333));
    each(move || router.report_routing_result(black_box(&routing), latency, now))
}

fn place(router: MessageRouter, entry: Arc<TopicEntry>) -> Repeat {
    let now = Instant::now();
    each(move || {
        let request = RouteRequest::new();
        router
            .route(&entry, black_box(&request), now)
            .unwrap()
            .occupy(1, 256)
    })
}

/// A router that has seen brokers answer in a third of a millisecond.
fn router(brokers: usize, queues: usize) -> (MessageRouter, Arc<TopicEntry>) {
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
    let list = |text: &dyn Fn(usize) -> String| {
        let parts: Vec<String> = (0..brokers).map(text).collect();
        parts.join(",")
    };
    let queues = list(&|b| {
        format!(
            r#"{{"brokerName":"b{b}","readQueueNums":{queues},"writeQueueNums":{queues},"perm":6}}"#
        )
    });
    let brokers = list(&|b| {
        format!(r#"{{"brokerName":"b{b}","cluster":"c","brokerAddrs":{{"0":"b{b}:1"}}}}"#)
    });
    let route = format!(r#"{{"queueDatas":[{queues}],"brokerDatas":[{brokers}]}}"#);
    mapping.update_route_info("T", TopicRouteData::parse(route.as_bytes()).unwrap());
    let entry = mapping.cached("T").unwrap();
    let router = MessageRouter::new(mapping);
    let now = Instant::now();
    for _ in 0..64 {
        let routing = router.route(&entry, &RouteRequest::new(), now).unwrap();
        router.report_routing_result(&routing, Some(Duration::from_micros(333)), now);
    }
    (router, entry)
}
