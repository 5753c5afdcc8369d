//! What the tests share: a small cluster, a producer for it, and waiting for conditions.

use std::time::Duration;

use rocketmq_producer_core::config::ProducerConfigBuilder;
use rocketmq_producer_core::config::routing::remoting::message::property;
use rocketmq_producer_core::config::routing::remoting::{Message, RequestCode, ResponseCode};
use rocketmq_producer_core::{Producer, ProducerBuilder, SendError};
use rocketmq_producer_embedded::{Condition, EmbeddedCluster, Fault, Reaction};

/// The topic that every cluster has, with [`QUEUES`] queues on each broker.
pub(crate) const TOPIC: &str = "orders";
pub(crate) const QUEUES: usize = 4;
pub(crate) const GROUP: &str = "it-group";
pub(crate) const A: &str = "broker-a";
pub(crate) const B: &str = "broker-b";

/// No condition takes this long, unless it never comes.
const HUNG: Duration = Duration::from_secs(20);

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A cluster that creates no topics but [`TOPIC`].
pub(crate) async fn cluster(brokers: usize) -> EmbeddedCluster {
    let builder = EmbeddedCluster::builder()
        .brokers(brokers)
        .topic(TOPIC, QUEUES as u16)
        .auto_create_topics(false);
    builder.start().await.unwrap()
}

/// A builder for the cluster, [`TOPIC`] preheated.
pub(crate) fn builder(cluster: &EmbeddedCluster) -> ProducerBuilder {
    Producer::builder(GROUP)
        .name_servers(&cluster.name_servers())
        .preheat([TOPIC])
}

/// A started producer whose next unkeyed message goes to [`A`].
pub(crate) async fn producer(cluster: &EmbeddedCluster) -> Producer {
    producer_with(cluster, |settings| settings).await
}

pub(crate) async fn producer_with(
    cluster: &EmbeddedCluster,
    change: impl FnOnce(ProducerConfigBuilder) -> ProducerConfigBuilder,
) -> Producer {
    let producer = builder(cluster).configure(change).start().await.unwrap();
    aim_at_a(&producer);
    producer
}

/// Makes the round robin begin again at the first queue of the first broker.
pub(crate) fn aim_at_a(producer: &Producer) {
    producer
        .mapping()
        .cached(TOPIC)
        .unwrap()
        .reset_round_robin();
}

pub(crate) fn message() -> Message {
    Message::new(TOPIC, "body").unwrap()
}

pub(crate) fn keyed(key: &str) -> Message {
    message().with_sharding_key(key).unwrap()
}

/// Keys whose queue is on `broker`.
pub(crate) async fn key_on(producer: &Producer, broker: &str) -> String {
    use rocketmq_producer_core::config::routing::MessageHashSelector;

    for number in 0..1000 {
        let key = format!("key-{number}");
        let (selector, deadline) = (MessageHashSelector::new(), after(millis(3000)));
        let message = keyed(&key);
        let chosen = producer
            .mapping()
            .select_queue(TOPIC, &message, Some(&selector), deadline);
        if &**chosen.await.unwrap().message_queue().broker_name() == broker {
            return key;
        }
    }
    panic!("no key hashes to {broker}")
}

pub(crate) fn after(time: Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + time
}

/// Every send at this broker answers with `code` and `remark`.
pub(crate) fn refuse(code: i32, remark: &str) -> Fault {
    Fault::new(Condition::sends(), answer(code, remark))
}

pub(crate) fn answer(code: i32, remark: &str) -> Reaction {
    Reaction::answer(ResponseCode(code), remark)
}

/// The next send at this broker meets `reaction`.
pub(crate) fn next_send(reaction: Reaction) -> Fault {
    Fault::once(Condition::sends(), reaction)
}

/// Every send at this broker meets `reaction`.
pub(crate) fn every_send(reaction: Reaction) -> Fault {
    Fault::new(Condition::sends(), reaction)
}

/// Sends that a broker got.
pub(crate) fn sends(cluster: &EmbeddedCluster, broker: &str) -> u64 {
    let code = RequestCode::SEND_MESSAGE_V2;
    cluster.requests(broker, code).unwrap()
}

pub(crate) fn heartbeats(cluster: &EmbeddedCluster, broker: &str) -> u64 {
    cluster.requests(broker, RequestCode::HEART_BEAT).unwrap()
}

/// The ids of the stored copies of what was sent to [`TOPIC`].
pub(crate) fn stored_ids(cluster: &EmbeddedCluster) -> Vec<String> {
    let messages = cluster.messages(TOPIC);
    messages
        .iter()
        .map(|stored| stored.property(property::UNIQ_KEY).unwrap().to_owned())
        .collect()
}

/// Fails the test if `work` hangs.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(HUNG, work).await;
    done.expect("it never happened")
}

/// Waits until the cluster is as `condition` asks.
pub(crate) async fn cluster_is(
    cluster: &EmbeddedCluster,
    condition: impl FnMut(&EmbeddedCluster) -> bool,
) {
    soon(cluster.wait_until(condition)).await;
}

/// Waits for a condition of the producer, which signals none.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let looking = async {
        while !condition() {
            tokio::time::sleep(millis(1)).await;
        }
    };
    soon(looking).await;
}

/// Waits until no connection is left, to broker A or to the name server.
pub(crate) async fn all_connections_are_closed(cluster: &EmbeddedCluster) {
    cluster_is(cluster, |cluster| {
        cluster.connections(A).unwrap() == 0 && cluster.name_server_connections(0).unwrap() == 0
    })
    .await;
}

/// An error and its causes, as a log would print them.
pub(crate) use rocketmq_producer_core::config::routing::remoting::with_causes as chain;

/// The names of the brokers that a failed send tried, in order.
pub(crate) fn tried(error: &SendError) -> Vec<&str> {
    error.attempts().iter().map(|at| at.broker()).collect()
}
