//! Two producers that share one client, and a request: `cargo run --example shared_context`, with a name server at
//! 127.0.0.1:9876 or the one in `NAMESRV_ADDR`.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::time::Duration;

use rocketmq_producer::{ClientContext, Message, RequestError};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let context = ClientContext::builder().build()?;
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
