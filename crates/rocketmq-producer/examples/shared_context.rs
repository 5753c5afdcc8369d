//! Two producers that share one client, and a request that nobody answers unless a consumer of `prices` runs.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use rocketmq_producer::{ClientContext, Message, RequestError};
use rocketmq_producer_embedded::EmbeddedCluster;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cluster;
    let name_servers = match std::env::var("NAMESRV_ADDR") {
        Ok(given) => given,
        Err(_) => {
            cluster = EmbeddedCluster::builder().start().await?;
            cluster.name_servers()
        }
    };
    let context = ClientContext::builder()
        .name_servers(&name_servers)
        .build()?;
    let orders = context.producer("orders").start().await?;
    let audit = context.producer("audit").start().await?;

    orders.send(Message::new("orders", "one")?).await?;
    audit.send(Message::new("audit", "order one")?).await?;
    println!(
        "{} produces for {:?}",
        context.client_id(),
        context.groups()
    );

    let question = Message::new("prices", "EUR/USD")?;
    match orders.request(question, Duration::from_secs(3)).await {
        Ok(reply) => println!("{:?} after {:?}", reply.body(), reply.latency),
        Err(RequestError::NoReply { receipt, .. }) => {
            println!("nobody answered what is at {}", receipt.queue());
        }
        Err(error) => return Err(error.into()),
    }

    for producer in [orders, audit] {
        producer.shutdown(Duration::from_secs(5)).await;
    }
    Ok(())
}
