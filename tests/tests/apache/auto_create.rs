//! A topic that nobody created comes into being by the first message, where brokers allow it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use rocketmq_producer::Message;
use rocketmq_producer_tests::oracle::Oracle;
use serde_json::Value;
use xtask::apache::ask;
use xtask::wait;

use crate::clusters::{Apache, end, promise};

/// `GET_ROUTEINFO_BY_TOPIC`, sent to a name server.
const TOPIC_ROUTE: i32 = 105;
const SOON: Duration = Duration::from_secs(30);

promise!(the_first_message_creates_its_topic_with_as_many_queues_as_set: on_5_5_0);

async fn the_first_message_creates_its_topic_with_as_many_queues_as_set(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "created_by_the_first_message";
    let route = || {
        ask(
            &apache.name_servers(),
            TOPIC_ROUTE,
            &[("topic", topic)],
            SOON,
        )
    };
    assert_ne!(route()?.code, 0, "there is no such topic yet");

    let producer = apache
        .producer_with("auto_create", |settings| {
            settings.default_topic_queue_nums(3)
        })
        .await?;
    let mut oracle = Oracle::new();
    let mut queues = BTreeSet::new();
    for index in 0..30 {
        let body = Bytes::from(format!("{index}"));
        let receipt = producer.send(Message::new(topic, body.clone())?).await?;
        oracle.acked(&receipt, &body);
        queues.insert(receipt.queue().queue_id());
    }
    end(&producer).await?;
    assert_eq!(queues, BTreeSet::from([0, 1, 2]));
    oracle.judge(&apache.read(topic, 30)?).exactly_once()?;

    // Each broker that got a message registers the topic by itself.
    let created = wait::until(SOON, || route().ok().filter(|answer| answer.code == 0));
    let route: Value = serde_json::from_slice(&quoted(&created.context("no route")?.body))?;
    let brokers = route["queueDatas"].as_array().context("queues")?;
    assert!(!brokers.is_empty());
    for broker in brokers {
        assert_eq!(broker["writeQueueNums"], 3, "{broker}");
    }
    Ok(())
}

/// Broker ids are keys without quotes in what a name server sends by default.
fn quoted(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    text.replace("{0:", "{\"0\":").into_bytes()
}
