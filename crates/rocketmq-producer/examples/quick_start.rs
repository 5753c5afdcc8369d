//! Sends one message, and reads what the receipt says about it.
//!
//! `cargo run --example quick_start`, or with brokers of your own:
//! `NAMESRV_ADDR=127.0.0.1:9876 cargo run --example quick_start`
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use rocketmq_producer::prelude::*;
use rocketmq_producer_embedded::EmbeddedCluster;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Without name servers to talk to, a whole cluster runs inside this process.
    let cluster;
    let name_servers = match std::env::var("NAMESRV_ADDR") {
        Ok(given) => given,
        Err(_) => {
            cluster = EmbeddedCluster::builder().start().await?;
            cluster.name_servers()
        }
    };

    let producer = Producer::builder("order-service")
        .name_servers(&name_servers)
        .start()
        .await?;

    let message = Message::new("orders", "order 42 is paid")?
        .with_tags("paid")?
        .with_keys(["42"])?;
    match producer.send(message).await {
        Ok(receipt) => {
            println!("status      {}", receipt.status());
            println!("message id  {}", receipt.message_id());
            println!("queue       {}", receipt.queue());
            println!("offset      {}", receipt.queue_offset());
            println!("took        {:?}", receipt.latency());
        }
        // Whether it is stored is what matters most about a message without a receipt.
        Err(error) => match error.delivery() {
            Delivery::NotSent | Delivery::Rejected => println!("not stored: {error}"),
            Delivery::Unknown => println!("possibly stored: {error}"),
        },
    }

    // No message is taken any more; those under way finish; brokers are told.
    let report = producer.shutdown(Duration::from_secs(5)).await;
    println!("all done    {}", report.is_drained());
    Ok(())
}
