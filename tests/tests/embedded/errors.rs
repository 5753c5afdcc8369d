//! The five ways of having nowhere to send to are five different errors, each naming who was asked.

use std::collections::HashSet;
use std::mem::discriminant;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer::remoting::protocol::Permission;
use rocketmq_producer::routing::RoutingError;
use rocketmq_producer::{Delivery, ErrorKind, Message, Producer, SendError, SendFailure};
use rocketmq_producer_embedded::EmbeddedCluster;

use crate::support::cluster;

const BUDGET: Duration = Duration::from_secs(10);

async fn failure(producer: &Producer, topic: &str) -> Result<SendError> {
    let outcome = producer.send(Message::new(topic, "x")?).await;
    let error = outcome.err().context("there is nowhere to send it to")?;
    assert_eq!(error.delivery(), Delivery::NotSent, "{error:?}");
    assert!(!error.advice().is_empty());
    Ok(error)
}

fn names(error: &SendError, what: &[&str]) {
    let text = format!("{:#}", anyhow::Error::from(error.clone()));
    for part in what {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}

async fn producer(cluster: &EmbeddedCluster) -> Result<Producer> {
    let builder = Producer::builder("errors").name_servers(&cluster.name_servers());
    let builder = builder.configure(|settings| settings.send_msg_timeout(BUDGET));
    Ok(builder.start().await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nowhere_to_send_to_has_five_errors_that_name_addresses() -> Result<()> {
    let cluster = cluster().slaves(1).topic("orders", 4).start().await?;
    let name_server = cluster.name_servers();

    let no_topic = failure(&producer(&cluster).await?, "unknown").await?;
    assert_eq!(no_topic.kind(), ErrorKind::RouteNotFound);
    names(&no_topic, &["unknown", &name_server]);

    let read_only = Permission(Permission::READ.0);
    cluster.create_topic("read_only", 4, read_only);
    let not_writable = failure(&producer(&cluster).await?, "read_only").await?;
    assert_eq!(not_writable.kind(), ErrorKind::QueueNotAvailable);
    names(&not_writable, &["read_only", "broker-a", "broker-b"]);

    // Killed, but the route still has them: their machine is cut off.
    for broker in cluster.brokers() {
        cluster.stop_broker_unnoticed(&broker.name).await?;
    }
    let unreachable = failure(&producer(&cluster).await?, "orders").await?;
    assert_eq!(unreachable.kind(), ErrorKind::BrokerNotAvailable);
    let addresses: Vec<_> = cluster
        .brokers()
        .iter()
        .map(|b| b.address.to_string())
        .collect();
    let tried: HashSet<_> = unreachable.attempts().iter().map(|a| a.address()).collect();
    assert_eq!(
        tried,
        addresses.iter().map(String::as_str).collect(),
        "both"
    );
    names(&unreachable, &["orders"]);
    let last = unreachable.attempts().last().context("attempts")?.address();
    names(&unreachable, &[last]);

    // Noticed: only slaves are left.
    for broker in cluster.brokers() {
        cluster.stop_broker(&broker.name).await?;
    }
    let no_master = failure(&producer(&cluster).await?, "orders").await?;
    assert_eq!(no_master.kind(), ErrorKind::QueueNotAvailable);
    names(&no_master, &["orders", "broker-a", "broker-b"]);

    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let dead = free.local_addr()?.to_string();
    drop(free);
    let builder = Producer::builder("errors").name_servers(&dead);
    let no_name_server = failure(&builder.start().await?, "orders").await?;
    assert_eq!(no_name_server.kind(), ErrorKind::NameServer);
    names(&no_name_server, &["orders", &dead]);

    let all = [
        no_topic,
        not_writable,
        unreachable,
        no_master,
        no_name_server,
    ];
    let mut kinds = HashSet::new();
    for error in &all {
        let detail = match error.cause() {
            SendFailure::Routing(routing) => Some(discriminant::<RoutingError>(routing)),
            SendFailure::BrokerAway { .. } | SendFailure::Connect(_) => None,
            other => panic!("{other:?}"),
        };
        assert!(kinds.insert(detail), "{error:?} is not told apart");
    }
    Ok(())
}
