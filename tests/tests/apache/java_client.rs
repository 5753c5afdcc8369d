//! Apache's own producer works with the embedded cluster.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use rocketmq_producer_embedded::EmbeddedCluster;
use xtask::apache::{JavaSend, Reader, Version, require};

use crate::clusters::block_on;

const MESSAGES: usize = 200;
const BODY: usize = 128;

fn java_sends_to_the_embedded_cluster(test: &str, version: Version) -> Result<()> {
    let Some(()) = require(test) else {
        return Ok(());
    };
    block_on(async {
        let topic = "from_java";
        let cluster = EmbeddedCluster::builder()
            .brokers(2)
            .topic(topic, 4)
            .start()
            .await?;
        let send = JavaSend::new(MESSAGES).body_len(BODY).threads(4);
        let sent = Reader::new(version)?.java_send(&cluster.name_servers(), topic, &send)?;
        assert_eq!(sent.len(), MESSAGES);
        // First, since a failed send tells why.
        for message in &sent {
            assert_eq!(message.status, "SEND_OK", "{message:?}");
        }
        let stored = cluster.messages(topic);
        assert_eq!(stored.len(), MESSAGES);
        let at: BTreeMap<_, _> = stored
            .iter()
            .map(|m| ((&*m.broker_name, m.queue_id, m.queue_offset), m))
            .collect();
        for message in &sent {
            let place = message
                .broker
                .as_deref()
                .zip(message.queue)
                .zip(message.offset)
                .map(|((broker, queue), offset)| (broker, queue, offset));
            let stored = place.and_then(|place| at.get(&place)).context("stored")?;
            assert_eq!(Some(stored.message_id()), message.msg_id.as_deref());
            let offset_id = stored.offset_message_id.to_string();
            assert_eq!(Some(offset_id), message.offset_msg_id);
            let index = message.index.to_string();
            assert_eq!(stored.property("index"), Some(index.as_str()));
            assert_eq!(stored.keys().collect::<Vec<_>>(), [format!("key-{index}")]);
            assert_eq!(stored.tags(), Some("java"));
            let body = format!("{:.<BODY$}", format!("java-{index}"));
            assert_eq!(stored.body, body.as_bytes());
        }
        let brokers: Vec<_> = at.keys().map(|(broker, ..)| *broker).collect();
        assert!(brokers.contains(&"broker-a") && brokers.contains(&"broker-b"));
        Ok(())
    })
}

#[test]
fn java_5_5_0_sends_to_the_embedded_cluster() -> Result<()> {
    let test = "java_client::java_5_5_0_sends_to_the_embedded_cluster";
    java_sends_to_the_embedded_cluster(test, Version::V5_5_0)
}

#[test]
fn java_4_9_7_sends_to_the_embedded_cluster() -> Result<()> {
    let test = "java_client::java_4_9_7_sends_to_the_embedded_cluster";
    java_sends_to_the_embedded_cluster(test, Version::V4_9_7)
}
