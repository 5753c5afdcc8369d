//! Being known to the brokers that have half messages, also of an earlier process of the group.

use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use crate::config::routing::remoting::ConnectionPool;
use crate::config::routing::remoting::message::half::HALF_TOPIC;
use crate::config::routing::remoting::protocol::TopicRouteData;
use crate::config::routing::{NameServerClient, RouteQuestion, RouteSource, TopicBrokerMapping};

/// Connects to every broker that keeps half messages. Brokers ask whoever sends them heartbeats for the group, so a
/// process that has sent nothing yet must be known too. Once the route is there, polls and heartbeats keep it so.
///
/// The topic appears with the first half message of a cluster, so it is asked for until it does.
pub(crate) async fn announce(
    source: NameServerClient,
    mapping: TopicBrokerMapping,
    pool: ConnectionPool,
    timeout: Duration,
    interval: Duration,
) {
    loop {
        let deadline = Instant::now() + timeout;
        let question = RouteQuestion::new(HALF_TOPIC, deadline);
        match source.topic_route(&question).await {
            Ok(answer) => match TopicRouteData::parse(answer.body()) {
                Ok(data) => {
                    let route = mapping.update_route_info(HALF_TOPIC, data);
                    for broker in route.brokers() {
                        // Each new connection begins with a heartbeat.
                        if let Err(error) =
                            pool.endpoint(broker.address()).connection(deadline).await
                        {
                            debug!(%error, "broker with half messages not reached yet");
                        }
                    }
                    return;
                }
                Err(error) => debug!(%error, "route of half messages cannot be read"),
            },
            Err(error) => debug!(%error, "no half messages known yet"),
        }
        tokio::time::sleep(interval).await;
    }
}
