//! One message, in every way to send one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::stream::iter;
use futures_util::{SinkExt, StreamExt};
use rocketmq_producer::remoting::HeaderEncoding;
use rocketmq_producer::routing::{MessageHashSelector, RoutedQueue, java_hash_code};
use rocketmq_producer::{
    AsyncQueueSelector, Delivery, ErrorKind, Message, MessageQueue, QueueSelector, RoutingStrategy,
    SelectorArgument, SendOptions, SendStatus,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ground::{PATIENT, end};
use super::row::{Group, row};
use super::trial::{QUEUES, Trial, stored};
use super::{Cell, Ground};

pub(super) const GROUP: Group = Group::new(
    "Sending one message",
    &[
        row!(
            "`send`, binary headers",
            "receipts are true in every field",
            binary
        ),
        row!(
            "`send`, JSON headers",
            "receipts are true in every field",
            json
        ),
        row!(
            "blocking `send`",
            "the same without a runtime of one's own",
            blocking
        ),
        row!("`send_oneway`", "each arrives once, under its id", one_way),
        row!("`try_send`", "sent without waiting for room", try_send),
        row!(
            "many sends at once",
            "300 under way together, each exactly once",
            at_once
        ),
        row!(
            "`send_all` and `sink`",
            "a stream of messages, ten at a time, outcomes in their order",
            stream
        ),
        row!(
            "`send_oneway` at a rate",
            "`oneway_rate`: 100 messages at 200 a second, the lost ones counted",
            one_way_at_a_rate
        ),
        row!(
            "no room for one more",
            "`async_send_semaphore`: `QueueFull`, not sent; those under way are not disturbed",
            full
        ),
        row!("a given queue", "that queue holds the message", given_queue),
        row!(
            "a selector with an argument",
            "the queue of Java's hash, also by the asynchronous form",
            selector
        ),
        row!(
            "every routing strategy",
            "round robin, random, hash, least latency and least load send to all masters",
            strategies
        ),
    ],
);

async fn binary(ground: Arc<Ground>) -> Result<Cell> {
    encoded(&ground, "send-binary", HeaderEncoding::Binary).await
}

async fn json(ground: Arc<Ground>) -> Result<Cell> {
    encoded(&ground, "send-json", HeaderEncoding::Json).await
}

async fn encoded(
    ground: &Arc<Ground>,
    topic: &'static str,
    encoding: HeaderEncoding,
) -> Result<Cell> {
    let mut trial = Trial::with(ground, topic, |builder| {
        builder.configure(|settings| settings.header_encoding(encoding))
    })
    .await?;
    let mut receipts = Vec::new();
    for _ in 0..20 {
        receipts.push(trial.send(SendOptions::new()).await?);
    }
    let read = trial.judge().await?;
    for receipt in &receipts {
        let stored = stored(&read, receipt)?;
        ensure!(receipt.status() == SendStatus::SendOk, "{receipt:?}");
        ensure!(stored.msg_id == receipt.message_id().as_str(), "{stored:?}");
        let offset_id = receipt.offset_message_id().map(ToString::to_string);
        ensure!(
            stored.offset_msg_id == offset_id,
            "{offset_id:?}: {stored:?}"
        );
        ensure!(stored.born_timestamp == receipt.born_timestamp());
    }
    Ok(Cell::Passed)
}

async fn blocking(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::new(&ground, "send-blocking").await?;
    let (producer, topic) = (trial.producer.blocking(), trial.topic);
    let sent = std::thread::spawn(move || -> Result<Vec<_>> {
        let mut sent = Vec::new();
        for index in 0..5 {
            let body = Bytes::from(format!("blocking {index}"));
            sent.push((producer.send(Message::new(topic, body.clone())?)?, body));
        }
        Ok(sent)
    });
    let sent = tokio::task::spawn_blocking(move || sent.join()).await?;
    for (receipt, body) in sent.ok().context("the thread panicked")?? {
        trial.oracle.acked(&receipt, &body);
    }
    trial.judge().await?;
    Ok(Cell::Passed)
}

async fn one_way(ground: Arc<Ground>) -> Result<Cell> {
    let trial = Trial::new(&ground, "send-oneway").await?;
    let mut sent = BTreeSet::new();
    for index in 0..20 {
        let body = Bytes::from(format!("{index}"));
        let id = trial.producer.send_oneway(trial.message(&body)?).await?;
        sent.insert((id.to_string(), body.to_vec()));
    }
    end(&trial.producer).await?;
    let read = ground.read(trial.topic, sent.len()).await?;
    let stored = read.iter().map(|m| (m.msg_id.clone(), m.body.clone()));
    ensure!(read.len() == sent.len(), "{} stored", read.len());
    ensure!(stored.collect::<BTreeSet<_>>() == sent);
    Ok(Cell::Passed)
}

async fn try_send(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::new(&ground, "send-try").await?;
    trial.producer.wait_for_topic(trial.topic, PATIENT).await?;
    for _ in 0..5 {
        let body = trial.body();
        let receipt = trial.producer.try_send(trial.message(&body)?).await?;
        trial.oracle.acked(&receipt, &body);
    }
    trial.judge().await?;
    Ok(Cell::Passed)
}

async fn at_once(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::new(&ground, "send-at-once").await?;
    let mut under_way = JoinSet::new();
    for index in 0..300 {
        let body = Bytes::from(format!("{index}"));
        let (producer, message) = (trial.producer.clone(), trial.message(&body)?);
        under_way.spawn(async move { (producer.send(message).await, body) });
    }
    while let Some(done) = under_way.join_next().await {
        let (outcome, body) = done?;
        trial.oracle.acked(&outcome?, &body);
    }
    let read = trial.judge().await?;
    ensure!(read.len() == 300, "{} stored", read.len());
    Ok(Cell::Passed)
}

async fn stream(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::new(&ground, "send-stream").await?;
    let bodies: Vec<_> = (0..40)
        .map(|index| Bytes::from(format!("{index}")))
        .collect();
    let messages: Vec<_> = bodies
        .iter()
        .map(|body| trial.message(body))
        .collect::<Result<_>>()?;
    let mut outcomes = trial.producer.send_all(iter(messages), 10);
    for body in &bodies {
        let outcome = outcomes.next().await.context("an outcome")?;
        trial.oracle.acked(&outcome?, body);
    }
    ensure!(outcomes.next().await.is_none());
    let fed: Vec<_> = (0..20)
        .map(|_| trial.message(&bodies[0]))
        .collect::<Result<_>>()?;
    let mut sink = trial.producer.sink(10);
    for message in fed {
        sink.send(message).await?;
    }
    sink.close().await?;
    end(&trial.producer).await?;
    let read = ground.read(trial.topic, 60).await?;
    let streamed = |body: &Bytes| read.iter().filter(|stored| stored.body == **body).count();
    ensure!(read.len() == 60, "{} stored", read.len());
    for (index, body) in bodies.iter().enumerate() {
        let wanted = if index == 0 { 21 } else { 1 };
        ensure!(
            streamed(body) == wanted,
            "{body:?} is there {} times",
            streamed(body)
        );
    }
    Ok(Cell::Passed)
}

async fn one_way_at_a_rate(ground: Arc<Ground>) -> Result<Cell> {
    const COUNT: usize = 100;
    let trial = Trial::with(&ground, "send-oneway-rate", |builder| {
        builder.configure(|settings| settings.oneway_rate(200))
    })
    .await?;
    trial.producer.wait_for_topic(trial.topic, PATIENT).await?;
    let began = Instant::now();
    let mut sent = BTreeSet::new();
    for index in 0..COUNT {
        let body = Bytes::from(format!("{index}"));
        let id = trial.producer.send_oneway(trial.message(&body)?).await?;
        sent.insert(id.to_string());
    }
    let took = began.elapsed();
    ensure!(took >= Duration::from_millis(450), "in {took:?}");
    end(&trial.producer).await?;
    let settled = Duration::from_secs(10);
    let read = ground.read_within(trial.topic, COUNT, settled).await?;
    let stored: BTreeSet<_> = read.iter().map(|stored| stored.msg_id.clone()).collect();
    ensure!(stored.is_subset(&sent), "strange messages");
    ensure!(stored.len() == read.len(), "some are there twice");
    match COUNT - stored.len() {
        0 => Ok(Cell::Passed),
        lost => Cell::but(format!(
            "{lost} of {COUNT} written ones were lost, without a word"
        )),
    }
}

async fn full(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::with(&ground, "send-full", |builder| {
        builder.configure(|settings| settings.async_send_semaphore(1))
    })
    .await?;
    trial.producer.wait_for_topic(trial.topic, PATIENT).await?;
    let body = trial.body();
    let (producer, message) = (trial.producer.clone(), trial.message(&body)?);
    let mut first = Box::pin(async move { producer.send(message).await });
    // Polled once it holds its place, whatever the broker answers meanwhile.
    let begun =
        std::future::poll_fn(|context| Poll::Ready(first.as_mut().poll(context).is_ready()));
    ensure!(!begun.await, "answered before it could be");
    let second = trial.producer.try_send(trial.message(&body)?).await;
    let error = second.err().context("there was room")?;
    ensure!(error.kind() == ErrorKind::QueueFull, "{error:?}");
    ensure!(error.delivery() == Delivery::NotSent, "{error:?}");
    trial.oracle.acked(&first.await?, &body);
    let read = trial.judge().await?;
    ensure!(read.len() == 1, "{} stored", read.len());
    Cell::refused("not sent: no room")
}

/// All queues of a topic, as Java orders them.
fn queues(ground: &Ground, topic: &str) -> Result<Vec<MessageQueue>> {
    let mut all = Vec::new();
    for broker in ground.brokers() {
        for queue in 0..i32::try_from(QUEUES)? {
            all.push(MessageQueue::new(topic, broker.name(), queue));
        }
    }
    Ok(all)
}

async fn given_queue(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::new(&ground, "given-queue").await?;
    for queue in queues(&ground, trial.topic)? {
        let options = SendOptions::new().to_queue(queue.clone());
        let receipt = trial.send(options).await?;
        ensure!(*receipt.queue() == queue, "{receipt:?}");
    }
    trial.judge().await?;
    Ok(Cell::Passed)
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

async fn selector(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::new(&ground, "selector").await?;
    let queues = queues(&ground, trial.topic)?;
    let by_index: Arc<dyn AsyncQueueSelector> = Arc::new(ByIndex);
    for (index, queue) in (0_i32..).zip(&queues) {
        let options = SendOptions::new().selector(Arc::new(ByIndex), index);
        ensure!(trial.send(options).await?.queue() == queue);
        let options = SendOptions::new().async_selector(Arc::clone(&by_index), index);
        ensure!(trial.send(options).await?.queue() == queue);
    }
    for key in ["a", "order-17", "订单"] {
        let options = SendOptions::new().selector(Arc::new(MessageHashSelector::new()), key);
        let receipt = trial.send(options).await?;
        let count = i32::try_from(queues.len())?;
        let pick = (java_hash_code(key) % count).unsigned_abs();
        let wanted = queues.get(usize::try_from(pick)?).context("a queue")?;
        ensure!(receipt.queue() == wanted, "{key}: {receipt:?}");
    }
    trial.judge().await?;
    Ok(Cell::Passed)
}

async fn strategies(ground: Arc<Ground>) -> Result<Cell> {
    for (topic, strategy) in [
        ("strategy-round-robin", RoutingStrategy::RoundRobin),
        ("strategy-random", RoutingStrategy::Random),
        ("strategy-hash", RoutingStrategy::MessageHash),
        ("strategy-latency", RoutingStrategy::LeastLatency),
        ("strategy-load", RoutingStrategy::LeastLoad),
    ] {
        let mut trial = Trial::with(&ground, topic, |builder| {
            builder.configure(|settings| settings.routing_strategy(strategy))
        })
        .await?;
        let mut brokers = BTreeSet::new();
        for index in 0..60 {
            let body = trial.body();
            let message = trial.message(&body)?.with_keys([format!("key-{index}")])?;
            let receipt = trial.producer.send(message).await?;
            brokers.insert(receipt.queue().broker_name().to_string());
            trial.oracle.acked(&receipt, &body);
        }
        ensure!(
            brokers.len() == ground.brokers().len(),
            "{strategy:?} took only {brokers:?}"
        );
        trial.judge().await?;
    }
    Ok(Cell::Passed)
}
