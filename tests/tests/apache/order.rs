//! Messages of one sharding key: one queue, the one that Java would take, in the order of sending.

use anyhow::{Context, Result};
use bytes::Bytes;
use rocketmq_producer::Message;
use rocketmq_producer_tests::oracle::Oracle;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::clusters::{Apache, end, promise};

const QUEUES: u32 = 4;
const PER_KEY: usize = 25;
const VECTORS: &str = include_str!("../../vectors/selector.json");

/// Keys and the index that Java's `SelectMessageQueueByHash` picks for them among four queues.
fn java_picks() -> Result<Vec<(String, usize)>> {
    let vectors: Value = serde_json::from_str(VECTORS)?;
    let entries = vectors["entries"].as_array().context("entries")?;
    let picks = entries.iter().filter_map(|entry| {
        let key = entry["key"].as_str().filter(|key| !key.is_empty())?;
        let pick = entry["picks"]["4"].as_u64()?;
        Some((key.to_owned(), usize::try_from(pick).ok()?))
    });
    Ok(picks.collect())
}

promise!(each_sharding_key_stays_in_order_in_the_queue_that_java_picks: on_5_5_0, on_4_9_7);

async fn each_sharding_key_stays_in_order_in_the_queue_that_java_picks(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "ordered";
    apache.topic(topic, QUEUES)?;
    let producer = apache.producer("ordered").await?;
    let picks = java_picks()?;
    assert!(picks.len() >= 12, "{picks:?}");
    let mut senders = JoinSet::new();
    for (key, _) in picks.clone() {
        let producer = producer.clone();
        senders.spawn(async move {
            let mut receipts = Vec::new();
            for index in 0..PER_KEY {
                let body = Bytes::from(format!("{key} {index}"));
                let message = Message::new(topic, body.clone())?.with_sharding_key(&key)?;
                receipts.push((producer.send(message).await?, body));
            }
            anyhow::Ok((key, receipts))
        });
    }
    let mut oracle = Oracle::new();
    while let Some(sender) = senders.join_next().await {
        let (key, receipts) = sender??;
        for (receipt, body) in &receipts {
            oracle.acked_in_order(receipt, body, &key);
        }
    }
    end(&producer).await?;

    let read = apache.read(topic, oracle.receipts())?;
    oracle.judge(&read).exactly_once()?;
    assert_eq!(read.len(), picks.len() * PER_KEY);
    let per_broker = i32::try_from(QUEUES)? / i32::try_from(apache.cluster.brokers().len())?;
    // As Java lists them: by broker name, then by number.
    let brokers = apache.cluster.brokers().iter();
    let queues: Vec<(&str, i32)> = brokers
        .flat_map(|broker| (0..per_broker).map(|queue| (broker.name(), queue)))
        .collect();
    for (key, pick) in &picks {
        let of_key: Vec<_> = read
            .iter()
            .filter(|stored| stored.properties["__SHARDINGKEY"] == *key)
            .collect();
        assert_eq!(of_key.len(), PER_KEY, "{key:?}");
        for (index, stored) in of_key.iter().enumerate() {
            assert_eq!(
                (stored.broker.as_str(), stored.queue),
                queues[*pick],
                "{key:?}"
            );
            let body = String::from_utf8_lossy(&stored.body);
            assert_eq!(body, format!("{key} {index}"), "the reader sorts by offset");
        }
    }
    Ok(())
}
