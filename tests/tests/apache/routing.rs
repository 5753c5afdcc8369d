//! Which queue a message takes: a given one, a selector's choice, or each strategy's.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use rocketmq_producer::routing::{
    MessageHashSelector, RoundRobinSelector, RoutedQueue, java_hash_code,
};
use rocketmq_producer::{
    Message, MessageQueue, Producer, QueueSelector, RoutingStrategy, SelectorArgument, SendOptions,
    SendReceipt,
};
use rocketmq_producer_tests::oracle::Oracle;
use serde_json::Value;

use crate::clusters::{Apache, end, promise};

const QUEUES: u32 = 8;
const VECTORS: &str = include_str!("../../vectors/selector.json");

/// Sends and keeps what the oracle needs.
struct Sender {
    topic: &'static str,
    producer: Producer,
    oracle: Oracle,
    count: usize,
}

impl Sender {
    async fn new(apache: &Apache, topic: &'static str, strategy: RoutingStrategy) -> Result<Self> {
        apache.topic(topic, QUEUES)?;
        let producer = apache
            .producer_with(topic, |settings| {
                // The strategy alone: a broker that is slow for a moment keeps its turn.
                settings
                    .routing_strategy(strategy)
                    .send_latency_enable(false)
            })
            .await?;
        Ok(Self {
            topic,
            producer,
            oracle: Oracle::new(),
            count: 0,
        })
    }

    async fn send(&mut self, options: SendOptions) -> Result<SendReceipt> {
        self.send_keyed(options, None).await
    }

    async fn send_keyed(&mut self, options: SendOptions, key: Option<&str>) -> Result<SendReceipt> {
        let body = Bytes::from(format!("{}", self.count));
        self.count += 1;
        let message = Message::new(self.topic, body.clone())?.with_keys(key)?;
        let receipt = self.producer.send_with(message, options).await?;
        self.oracle.acked(&receipt, &body);
        Ok(receipt)
    }

    /// Everything is where its receipt says; returns how many messages each queue holds.
    async fn judge(self, apache: &Apache) -> Result<BTreeMap<(String, i32), usize>> {
        end(&self.producer).await?;
        let read = apache.read(self.topic, self.count)?;
        self.oracle.judge(&read).exactly_once()?;
        let mut held = BTreeMap::new();
        for stored in read {
            *held.entry((stored.broker, stored.queue)).or_default() += 1;
        }
        Ok(held)
    }
}

/// All queues of a topic, as Java orders them.
fn queues(apache: &Apache) -> Result<Vec<(String, i32)>> {
    let brokers = apache.cluster.brokers();
    let per_broker = i32::try_from(QUEUES)? / i32::try_from(brokers.len())?;
    let of = |name: &str| {
        (0..per_broker)
            .map(|queue| (name.to_owned(), queue))
            .collect()
    };
    let nested: Vec<Vec<_>> = brokers.iter().map(|broker| of(broker.name())).collect();
    Ok(nested.concat())
}

fn place(receipt: &SendReceipt) -> (String, i32) {
    let queue = receipt.queue();
    (queue.broker_name().to_string(), queue.queue_id())
}

promise!(a_given_queue_gets_the_message: on_5_5_0, on_4_9_7);

async fn a_given_queue_gets_the_message(apache: &'static Apache) -> Result<()> {
    let mut sender = Sender::new(apache, "given_queue", RoutingStrategy::default()).await?;
    let mut wanted = BTreeMap::new();
    for (index, (broker, queue)) in queues(apache)?.into_iter().enumerate() {
        for _ in 0..=index {
            let given = MessageQueue::new(sender.topic, broker.as_str(), queue);
            let options = SendOptions::new().to_queue(given.clone());
            assert_eq!(*sender.send(options).await?.queue(), given);
        }
        wanted.insert((broker, queue), index + 1);
    }
    assert_eq!(sender.judge(apache).await?, wanted);
    Ok(())
}

/// The queue whose index the caller gives.
#[derive(Debug)]
struct ByIndex;

impl QueueSelector for ByIndex {
    fn name(&self) -> &'static str {
        "by_index"
    }

    fn select(&self, _: &[RoutedQueue], _: &Message, argument: &SelectorArgument) -> Option<usize> {
        match argument {
            SelectorArgument::Int(index) => usize::try_from(*index).ok(),
            _ => None,
        }
    }
}

promise!(a_selector_gets_the_queues_in_java_s_order_and_its_argument: on_5_5_0, on_4_9_7);

async fn a_selector_gets_the_queues_in_java_s_order_and_its_argument(
    apache: &'static Apache,
) -> Result<()> {
    let mut sender = Sender::new(apache, "selector", RoutingStrategy::default()).await?;
    let queues = queues(apache)?;
    for (index, queue) in (0_i32..).zip(&queues) {
        let options = SendOptions::new().selector(Arc::new(ByIndex), index);
        assert_eq!(place(&sender.send(options).await?), *queue);
        let options = SendOptions::new().async_selector(Arc::new(ByIndex), index);
        assert_eq!(place(&sender.send(options).await?), *queue);
    }
    // Hashes of arguments of every type, as Java computes them.
    let vectors: Value = serde_json::from_str(VECTORS)?;
    let mut compared = 0;
    for entry in vectors["entries"].as_array().context("entries")? {
        let (Some(text), Some(pick)) = (
            entry["arg"].as_str().or_else(|| entry["key"].as_str()),
            entry["picks"]["8"].as_u64(),
        ) else {
            continue;
        };
        let argument: SelectorArgument = match entry["argType"].as_str() {
            Some("Integer") => text.parse::<i32>()?.into(),
            Some("Long") => text.parse::<i64>()?.into(),
            Some("Boolean") => text.parse::<bool>()?.into(),
            _ => text.into(),
        };
        let options = SendOptions::new().selector(Arc::new(MessageHashSelector::new()), argument);
        let taken = place(&sender.send(options).await?);
        assert_eq!(taken, queues[usize::try_from(pick)?], "{entry}");
        compared += 1;
    }
    assert!(compared >= 20, "{compared} vectors");
    sender.judge(apache).await?;
    Ok(())
}

promise!(round_robin_gives_every_queue_of_every_broker_its_turn: on_5_5_0, on_4_9_7);

async fn round_robin_gives_every_queue_of_every_broker_its_turn(
    apache: &'static Apache,
) -> Result<()> {
    let mut sender = Sender::new(apache, "round_robin", RoutingStrategy::RoundRobin).await?;
    let round = QUEUES as usize;
    let mut turns = Vec::new();
    for _ in 0..3 * round {
        turns.push(place(&sender.send(SendOptions::new()).await?));
    }
    assert_eq!(
        turns[..round],
        turns[round..2 * round],
        "the same turn each round"
    );
    // As a selector of one call, too.
    let selector: Arc<dyn QueueSelector> = Arc::new(RoundRobinSelector::new());
    for _ in 0..2 * round {
        let options = SendOptions::new().selector(Arc::clone(&selector), SelectorArgument::None);
        sender.send(options).await?;
    }
    let wanted: BTreeMap<_, _> = queues(apache)?
        .into_iter()
        .map(|queue| (queue, 5))
        .collect();
    assert_eq!(sender.judge(apache).await?, wanted);
    Ok(())
}

promise!(random_reaches_every_queue: on_5_5_0);

async fn random_reaches_every_queue(apache: &'static Apache) -> Result<()> {
    let mut sender = Sender::new(apache, "random", RoutingStrategy::Random).await?;
    let mut turns = Vec::new();
    // That one of eight queues gets none of 240 messages has a chance of 1 in 10^13.
    for _ in 0..240 {
        turns.push(place(&sender.send(SendOptions::new()).await?));
    }
    let round = QUEUES as usize;
    assert_ne!(turns[..round], turns[round..2 * round], "no turns");
    let held = sender.judge(apache).await?;
    assert_eq!(held.into_keys().collect::<Vec<_>>(), queues(apache)?);
    Ok(())
}

promise!(message_hash_keeps_a_key_on_the_queue_of_its_hash: on_5_5_0, on_4_9_7);

async fn message_hash_keeps_a_key_on_the_queue_of_its_hash(apache: &'static Apache) -> Result<()> {
    let mut sender = Sender::new(apache, "message_hash", RoutingStrategy::MessageHash).await?;
    let queues = queues(apache)?;
    for number in 0..20 {
        let key = format!("key-{number}");
        // Rust's remainder has the sign of the hash, as Java's has.
        let pick = (java_hash_code(&key) % i32::try_from(QUEUES)?).unsigned_abs();
        for _ in 0..3 {
            let receipt = sender.send_keyed(SendOptions::new(), Some(&key)).await?;
            assert_eq!(place(&receipt), queues[pick as usize], "{key}");
        }
    }
    sender.judge(apache).await?;
    Ok(())
}
