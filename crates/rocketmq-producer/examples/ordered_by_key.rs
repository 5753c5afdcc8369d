//! Messages with one sharding key go to one queue. Sent one after the other, they sit there in
//! order, while different keys use different queues at the same time.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use rocketmq_producer::prelude::*;
use rocketmq_producer_embedded::EmbeddedCluster;
use tokio::task::JoinSet;

const TOPIC: &str = "order-steps";
const STEPS: [&str; 3] = ["created", "paid", "shipped"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cluster;
    let name_servers = match std::env::var("NAMESRV_ADDR") {
        Ok(given) => given,
        Err(_) => {
            // A topic that exists on all its brokers: one created on demand still grows.
            let builder = EmbeddedCluster::builder().brokers(2).topic(TOPIC, 4);
            cluster = builder.start().await?;
            cluster.name_servers()
        }
    };
    let producer = Producer::builder("order-service")
        .name_servers(&name_servers)
        .start()
        .await?;

    let mut orders = JoinSet::new();
    for number in 1..=4 {
        let producer = producer.clone();
        orders.spawn(async move { steps_of(&producer, &format!("order-{number}")).await });
    }
    for lines in orders.join_all().await {
        for line in lines? {
            println!("{line}");
        }
    }
    producer.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// Sends the steps of one order. Each waits for the receipt of the one before: that is what keeps
/// their order, also when one has to be tried again.
async fn steps_of(producer: &Producer, order: &str) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for step in STEPS {
        let message = Message::new(TOPIC, step)?.with_sharding_key(order)?;
        let receipt = producer.send(message).await?;
        let (queue, offset) = (receipt.queue(), receipt.queue_offset());
        lines.push(format!("{order} {step:8} {queue} offset {offset}"));
    }
    Ok(lines)
}
