//! Brokers know the producer while it lives, under its right name, and no longer.

use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer::Message;
use xtask::apache::Version;
use xtask::wait;

use crate::clusters::{Apache, end, promise};

/// The ordinal of `V5_5_0` among Java's versions.
const V5_5_0: i32 = 513;
const SOON: Duration = Duration::from_secs(30);

promise!(brokers_list_the_producer_from_start_to_shutdown: on_5_5_0, on_5_1_4, on_4_9_7);

async fn brokers_list_the_producer_from_start_to_shutdown(apache: &'static Apache) -> Result<()> {
    let (topic, group) = ("presence", "presence_group");
    apache.topic(topic, 4)?;
    let look = || {
        let reader = &apache.reader;
        reader.producer_connections(&apache.name_servers(), group, topic)
    };
    let producer = apache.builder(group).preheat([topic]).start().await?;
    let mut listed = look()?;
    listed.sort_by(|a, b| a.broker.cmp(&b.broker));
    let brokers: Vec<&str> = listed.iter().map(|c| c.broker.as_str()).collect();
    let all: Vec<&str> = apache.cluster.brokers().iter().map(|b| b.name()).collect();
    assert_eq!(brokers, all, "once on each");
    for connection in &listed {
        assert_eq!(connection.client_id, producer.client_id());
        assert_eq!(connection.language, "RUST");
        assert_eq!(connection.version, V5_5_0);
        if apache.cluster.version() == Version::V5_5_0 {
            assert_eq!(connection.version_name, "V5_5_0");
        }
    }
    let report = end(&producer).await?;
    assert_eq!(report.unregistered, all.len(), "{report:?}");
    assert_eq!(look()?, [], "gone after shutdown");
    Ok(())
}

promise!(the_first_send_makes_the_producer_known: on_5_5_0, on_4_9_7);

async fn the_first_send_makes_the_producer_known(apache: &'static Apache) -> Result<()> {
    let (topic, group) = ("first_send", "first_send_group");
    apache.topic(topic, 2)?;
    let producer = apache.producer(group).await?;
    assert!(apache.listed(group)?.iter().all(|(_, ids)| ids.is_empty()));
    let receipt = producer.send(Message::new(topic, "hello")?).await?;
    let broker = apache.cluster.broker(receipt.queue().broker_name());
    let address = broker.context("a broker of the cluster")?.address();
    let id = producer.client_id();
    let known = wait::until(SOON, || match apache.brokers_that_list(group, id) {
        Ok(brokers) if brokers.is_empty() => None,
        other => Some(other),
    });
    assert_eq!(known.context("never listed")??, [address]);
    end(&producer).await?;
    assert!(apache.listed(group)?.iter().all(|(_, ids)| ids.is_empty()));
    Ok(())
}
