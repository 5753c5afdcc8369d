//! A selector that keeps messages in the machine room of the producer, and in one queue there for a while, so that few
//! connections are busy and the consumers next door get them. Brokers are named `<room>-<name>`, as is common.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rocketmq_producer::prelude::*;
use rocketmq_producer::routing::RoutedQueue;
use rocketmq_producer::{QueueSelector, SelectorArgument};
use rocketmq_producer_embedded::EmbeddedCluster;

const TOPIC: &str = "local";

/// Prefers the queues of one machine room, and stays with each of them for some messages.
#[derive(Debug)]
struct MachineRoom {
    room: String,
    /// Messages in a row that go to one queue.
    stay: usize,
    sent: AtomicUsize,
}

impl QueueSelector for MachineRoom {
    fn name(&self) -> &'static str {
        "machine_room"
    }

    fn select(&self, ring: &[RoutedQueue], _: &Message, _: &SelectorArgument) -> Option<usize> {
        let usable = |index: &usize| ring.get(*index).is_some_and(RoutedQueue::is_usable);
        let near = |index: &usize| {
            let broker = ring.get(*index).and_then(RoutedQueue::broker);
            broker.is_some_and(|broker| broker.name().starts_with(&self.room))
        };
        let mut choice: Vec<usize> = (0..ring.len()).filter(usable).filter(near).collect();
        if choice.is_empty() {
            // A room without a broker sends elsewhere rather than not at all.
            choice = (0..ring.len()).filter(usable).collect();
        }
        let turn = self.sent.fetch_add(1, Ordering::Relaxed) / self.stay.max(1);
        let place = turn.checked_rem(choice.len())?;
        choice.get(place).copied()
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cluster;
    let name_servers = match std::env::var("NAMESRV_ADDR") {
        Ok(given) => given,
        Err(_) => {
            let builder = EmbeddedCluster::builder().brokers(2).topic(TOPIC, 2);
            cluster = builder.start().await?;
            cluster.name_servers()
        }
    };
    let producer = Producer::builder("local-service")
        .name_servers(&name_servers)
        .start()
        .await?;

    let selector: Arc<dyn QueueSelector> = Arc::new(MachineRoom {
        room: "broker-b".to_owned(),
        stay: 3,
        sent: AtomicUsize::new(0),
    });
    for number in 0..6 {
        let options = SendOptions::new().selector(Arc::clone(&selector), 0);
        let message = Message::new(TOPIC, format!("message {number}"))?;
        let receipt = producer.send_with(message, options).await?;
        println!("message {number} is in {}", receipt.queue());
    }
    producer.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
