//! Messages of one sharding key.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rocketmq_producer::Ordered;
use rocketmq_producer::routing::java_hash_code;
use tokio::task::JoinSet;
use xtask::apache::ReadMessage;

use super::row::{Group, row};
use super::trial::{QUEUES, Trial};
use super::{Cell, Ground};

pub(super) const GROUP: Group = Group::new(
    "Order",
    &[
        row!(
            "sharding keys",
            "the queue that Java picks, in the order of the sends",
            keys
        ),
        row!(
            "ordered lanes by key",
            "sends at the same time keep the order of the calls",
            lanes
        ),
    ],
);

const KEYS: [&str; 4] = ["a", "user-17", "顾客 42", "order-2026"];
const PER_KEY: usize = 15;

/// Every key is whole, in order and in one queue; gives the queues.
fn in_order(read: &[ReadMessage]) -> Result<Vec<(String, i32)>> {
    let mut queues = Vec::new();
    for key in KEYS {
        let of_key: Vec<_> = read
            .iter()
            .filter(|m| m.properties.get("__SHARDINGKEY").map(String::as_str) == Some(key))
            .collect();
        ensure!(of_key.len() == PER_KEY, "{key}: {}", of_key.len());
        let first = of_key.first().context("a message")?;
        for (index, stored) in of_key.iter().enumerate() {
            ensure!(stored.queue == first.queue && stored.broker == first.broker);
            let body = String::from_utf8_lossy(&stored.body);
            ensure!(body == format!("{key} {index}"), "{body} at {index}");
        }
        queues.push((first.broker.clone(), first.queue));
    }
    Ok(queues)
}

async fn keys(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::new(&ground, "keys").await?;
    let mut senders = JoinSet::new();
    for key in KEYS {
        let (producer, topic) = (trial.producer.clone(), trial.topic);
        senders.spawn(async move {
            let mut sent = Vec::new();
            for index in 0..PER_KEY {
                let body = Bytes::from(format!("{key} {index}"));
                let message = rocketmq_producer::Message::new(topic, body.clone())?;
                let receipt = producer.send(message.with_sharding_key(key)?).await?;
                sent.push((receipt, body));
            }
            anyhow::Ok(sent)
        });
    }
    while let Some(sent) = senders.join_next().await {
        for (receipt, body) in sent?? {
            trial.oracle.acked(&receipt, &body);
        }
    }
    let read = trial.judge().await?;
    let queues = in_order(&read)?;
    let brokers = ground.brokers();
    let per_broker = QUEUES as usize;
    for (key, (broker, queue)) in KEYS.iter().zip(queues) {
        let count = i32::try_from(brokers.len() * per_broker)?;
        let pick = (java_hash_code(key) % count).unsigned_abs() as usize;
        let wanted = brokers.get(pick / per_broker).context("a broker")?;
        ensure!(
            broker == wanted.name() && queue == i32::try_from(pick % per_broker)?,
            "{key} is in {broker} {queue}, Java takes {} {}",
            wanted.name(),
            pick % per_broker
        );
    }
    Ok(Cell::Passed)
}

async fn lanes(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::with(&ground, "lanes", |builder| {
        builder.configure(|settings| settings.ordered(Ordered::Key))
    })
    .await?;
    let mut under_way = JoinSet::new();
    for index in 0..PER_KEY {
        for key in KEYS {
            let body = Bytes::from(format!("{key} {index}"));
            let message = trial.message(&body)?.with_sharding_key(key)?;
            let producer = trial.producer.clone();
            let mut send = Box::pin(async move { (producer.send(message).await, body) });
            // The first poll takes the place in the lane, so that the calls have an order.
            let first = std::future::poll_fn(|context| {
                std::task::Poll::Ready(send.as_mut().poll(context).is_ready())
            });
            ensure!(!first.await, "answered before it could be");
            under_way.spawn(send);
        }
    }
    while let Some(done) = under_way.join_next().await {
        let (outcome, body) = done?;
        trial.oracle.acked(&outcome?, &body);
    }
    let read = trial.judge().await?;
    in_order(&read)?;
    Ok(Cell::Passed)
}
