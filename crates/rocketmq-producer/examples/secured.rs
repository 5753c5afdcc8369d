//! Sends to servers with access control, over TLS if an authority is named, and tells refusals apart.
//!
//! `NAMESRV_ADDR=10.0.0.1:9876 ROCKETMQ_PRODUCER_ACCESS_KEY=me ROCKETMQ_PRODUCER_SECRET_KEY=... \
//! ROCKETMQ_PRODUCER_TLS=true ROCKETMQ_PRODUCER_TLS_CA=ca.pem cargo run --example secured`
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::sync::Arc;
use std::time::Duration;

use rocketmq_producer::prelude::*;
use rocketmq_producer::remoting::{Credentials, RotatingCredentials};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // What the environment says of keys and TLS is read by the builder.
    let mut builder = Producer::builder("order-service");
    let rotating = match std::env::var("INITIAL_KEYS") {
        Ok(keys) => {
            // Keys that change while the producer runs come from a provider instead.
            let (access_key, secret_key) = keys.split_once(':').unwrap_or((&keys, ""));
            let first = Credentials::new(access_key, secret_key)?;
            let rotating = Arc::new(RotatingCredentials::new(first));
            builder = builder.credentials_provider(Arc::clone(&rotating) as _);
            Some(rotating)
        }
        Err(_) => None,
    };
    let producer = builder.start().await?;

    match producer.send(Message::new("orders", "paid")?).await {
        Ok(receipt) => println!("stored as {}", receipt.message_id()),
        Err(error) if error.kind() == ErrorKind::MessageSend => {
            println!("refused: {}\n{}", error.cause(), error.advice());
        }
        Err(error) => println!(
            "{:#}\n{}",
            anyhow::Error::from(error.clone()),
            error.advice()
        ),
    }

    // The next request is signed with the new ones; connections stay open.
    if let Some(rotating) = rotating {
        rotating.replace(Credentials::new("order-service", "the next secret")?);
    }
    producer.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
