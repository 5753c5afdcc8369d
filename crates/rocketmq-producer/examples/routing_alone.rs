//! The routing layer without the producer above it: which queue, which broker, which address, and
//! what the outcomes that are reported back change about it.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::sync::Arc;
use std::time::Duration;

use rocketmq_producer::remoting::{ConnectionOptions, ConnectionPool, Message, NoConsumer};
use rocketmq_producer::routing::{
    BrokerRegistry, Incident, MessageRouter, NameServerClient, RoutingOptions, TopicBrokerMapping,
};
use rocketmq_producer_embedded::EmbeddedCluster;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cluster;
    let name_servers = match std::env::var("NAMESRV_ADDR") {
        Ok(given) => given,
        Err(_) => {
            let builder = EmbeddedCluster::builder().brokers(2).topic("orders", 2);
            cluster = builder.start().await?;
            cluster.name_servers()
        }
    };

    // Name server client, cache of routes, router: each needs only the one before.
    let pool = ConnectionPool::new(ConnectionOptions::new(), Arc::new(NoConsumer));
    let client = Arc::new(NameServerClient::new(&name_servers.parse()?, pool.clone()));
    let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
    let options = RoutingOptions::default();
    let registry = Arc::new(BrokerRegistry::new(options.health.clone()));
    let mapping = TopicBrokerMapping::new(
        client,
        options,
        registry,
        pool.clone(),
        tasks,
        cancel.clone(),
    );
    let router = MessageRouter::new(mapping);

    let deadline = Instant::now() + Duration::from_secs(3);
    let keyed = Message::new("orders", "paid")?.with_sharding_key("user-7")?;
    for message in [None, None, Some(&keyed), Some(&keyed)] {
        let routing = router
            .route_message("orders", message, None, deadline)
            .await?;
        let (queue, by) = (routing.queue(), routing.routed_by().name());
        println!("{queue} at {} by {by}", routing.address());
    }

    // Five failures in a row, and messages without a key go elsewhere if they can.
    let bad = router.route_message("orders", None, None, deadline).await?;
    for _ in 0..5 {
        router.report_routing_failure(&bad, &Incident::Single, "no answer", Instant::now());
    }
    for broker in router.all_broker_health() {
        let (name, state) = (broker.broker_name, broker.state);
        println!("{name} is {state}: {}", broker.cause);
    }
    cancel.cancel();
    pool.close(Duration::from_secs(1)).await;
    Ok(())
}
