//! Messages that are delivered later, and one that is taken back before its time.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use rocketmq_producer::prelude::*;
use rocketmq_producer_embedded::EmbeddedCluster;

const TOPIC: &str = "reminders";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cluster;
    let name_servers = match std::env::var("NAMESRV_ADDR") {
        Ok(given) => given,
        Err(_) => {
            let builder = EmbeddedCluster::builder().topic(TOPIC, 4).recall(true);
            cluster = builder.start().await?;
            cluster.name_servers()
        }
    };
    let producer = Producer::builder("reminder-service")
        .name_servers(&name_servers)
        .start()
        .await?;

    // Level 3 is 10 s, unless the broker's list of delays was changed.
    let by_level = Message::new(TOPIC, "by level")?.with_delay_level(3)?;
    let receipt = producer.send(by_level).await?;
    println!("{} waits in {:?}", receipt.message_id(), receipt.via());

    let timer = Message::new(TOPIC, "by timer")?.with_delay(Duration::from_secs(90))?;
    let receipt = producer.send(timer).await?;
    println!("{} waits in {:?}", receipt.message_id(), receipt.via());

    // Keep the text of the handle with what the reminder is about.
    if let Some(handle) = receipt.recall_handle() {
        match producer.recall(TOPIC, handle.as_str()).await {
            Ok(id) => println!("{id} was taken back"),
            Err(error) => println!("not taken back: {error}; {}", error.advice()),
        }
    }
    producer.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
