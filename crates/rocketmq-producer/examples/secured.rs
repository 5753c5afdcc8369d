//! Sends to servers with access control, over TLS if an authority is named, and tells refusals apart.
//!
//! `cargo run --example secured` has a cluster of its own, with one account. With brokers of your own:
//! `NAMESRV_ADDR=10.0.0.1:9876 ROCKETMQ_PRODUCER_ACCESS_KEY=me ROCKETMQ_PRODUCER_SECRET_KEY=... \
//! ROCKETMQ_PRODUCER_TLS=true ROCKETMQ_PRODUCER_TLS_CA=ca.pem cargo run --example secured`
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::sync::Arc;
use std::time::Duration;

use rocketmq_producer::prelude::*;
use rocketmq_producer::remoting::{Credentials, RotatingCredentials};
use rocketmq_producer_embedded::EmbeddedCluster;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if std::env::var("NAMESRV_ADDR").is_ok() {
        // What the environment says of name servers, keys and TLS is read by the builder.
        let producer = Producer::builder("order-service").start().await?;
        send(&producer).await?;
        producer.shutdown(Duration::from_secs(5)).await;
        return Ok(());
    }

    let account = Credentials::new("order-service", "its secret")?;
    let cluster = EmbeddedCluster::builder()
        .topic("orders", 4)
        .account(account.clone())
        .start()
        .await?;
    // Keys that change while the producer runs come from a provider. Those that never change are given by
    // `credentials("order-service", "its secret")`, or better by the environment.
    let keys = Arc::new(RotatingCredentials::new(Credentials::new(
        "order-service",
        "an old secret",
    )?));
    let producer = Producer::builder("order-service")
        .name_servers(&cluster.name_servers())
        .credentials_provider(Arc::clone(&keys) as _)
        .start()
        .await?;
    send(&producer).await?;
    // The next request is signed with the new ones; connections stay open.
    keys.replace(account);
    send(&producer).await?;
    producer.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

async fn send(producer: &Producer) -> anyhow::Result<()> {
    match producer.send(Message::new("orders", "paid")?).await {
        Ok(receipt) => println!("stored as {}", receipt.message_id()),
        Err(error) if error.kind() == ErrorKind::MessageSend => {
            println!("refused: {}\nadvice: {}", error.cause(), error.advice());
        }
        Err(error) => println!(
            "{:#}\nadvice: {}",
            anyhow::Error::from(error.clone()),
            error.advice()
        ),
    }
    Ok(())
}
