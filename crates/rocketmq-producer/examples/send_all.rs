//! Sends a stream of messages, sixty-four at a time, and shows how far it is.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use futures_util::{StreamExt, stream};
use rocketmq_producer::prelude::*;
use rocketmq_producer_embedded::EmbeddedCluster;

const TOPIC: &str = "import";
const LINES: u64 = 10_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cluster;
    let name_servers = match std::env::var("NAMESRV_ADDR") {
        Ok(given) => given,
        Err(_) => {
            cluster = EmbeddedCluster::builder().topic(TOPIC, 8).start().await?;
            cluster.name_servers()
        }
    };
    let producer = Producer::builder("import-service")
        .name_servers(&name_servers)
        .start()
        .await?;

    // Any stream will do: lines of a file, rows of a query, what a channel brings.
    let messages = stream::iter(0..LINES)
        .filter_map(async |line| Message::new(TOPIC, format!("line {line}")).ok());
    let mut outcomes = std::pin::pin!(producer.send_all(messages, 64).as_completed());
    let progress = outcomes.progress();
    while let Some((line, outcome)) = outcomes.next().await {
        if let Err(error) = outcome {
            println!("line {line}: {error}; {}", error.advice());
        }
        if (progress.acked() + progress.failed()) % (LINES / 10) == 0 {
            println!("{} stored, {} failed", progress.acked(), progress.failed());
        }
    }
    producer.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
