//! Administration that a producer's owner needs, over the producer's own connections.

use std::future::Future;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rocketmq_producer::remoting::protocol::{Boundary, TopicConfig};
use rocketmq_producer::{
    AdminError, FoundMessages, KeyQuery, Message, MessageQueue, SendProbe, SendReceipt, TopicTarget,
};
use tokio::time::{Duration, Instant, sleep};
use xtask::apache::Version;

use super::ground::{PATIENT, SOON, end};
use super::row::{Group, row};
use super::trial::{QUEUES, Trial, known, shown};
use super::{Cell, Column, Ground};

pub(super) const GROUP: Group = Group::new(
    "Administration",
    &[
        row!(
            "create a topic",
            "on every master; a message to it is read by Java",
            create_topic
        ),
        row!(
            "topic status and list",
            "as many messages in each queue as Java reads",
            topic_status
        ),
        row!(
            "minimum, maximum and searched offset",
            "of every queue",
            offsets
        ),
        row!(
            "view by offset message id",
            "the message at the receipt's place",
            view
        ),
        row!(
            "find by message id",
            "the message, as Java reads it",
            by_message_id
        ),
        row!("find by key", "all messages of a key", by_key),
        row!(
            "producers of a group",
            "our own connection on every broker",
            producers
        ),
        row!(
            "ping and broker information",
            "version and clock of every broker",
            brokers
        ),
        row!(
            "probe of the send permission",
            "a broker says that it would take a message, and stores none",
            probe
        ),
    ],
);

/// What a server does not know is not offered; the rest must work.
macro_rules! offered {
    ($outcome:expr) => {
        match $outcome {
            Ok(done) => done,
            Err(error) if is_unknown_to_server(&error) => {
                return Cell::not_offered("the proxy does not know the request");
            }
            Err(error) => return Err(error.into()),
        }
    };
}

fn is_unknown_to_server(error: &AdminError) -> bool {
    // What name servers answer is inside of another error.
    error.is_not_supported() || shown(error.clone()).contains("REQUEST_CODE_NOT_SUPPORTED")
}

/// A topic with a message for each of some bodies.
async fn sent(
    ground: &Arc<Ground>,
    topic: &'static str,
    count: usize,
) -> Result<(Trial, Vec<SendReceipt>)> {
    let mut trial = Trial::new(ground, topic).await?;
    let mut receipts = Vec::new();
    for index in 0..count {
        let body = trial.body();
        let own = format!("{topic}-{index}");
        let message = trial.message(&body)?.with_keys([topic, &own])?;
        let receipt = trial.producer.send(message).await?;
        trial.oracle.acked(&receipt, &body);
        receipts.push(receipt);
    }
    Ok((trial, receipts))
}

async fn create_topic(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "admin-create";
    let producer = ground.builder(topic).start().await?;
    let admin = producer.admin().with_timeout(PATIENT);
    let config = TopicConfig::new(topic, 2);
    let outcome = admin.create_topic(&config, &TopicTarget::default()).await;
    if outcome.is_err() {
        end(&producer).await?;
    }
    let change = offered!(outcome);
    ensure!(change.failed.is_empty(), "{:?}", change.failed);
    ensure!(change.done.len() == ground.brokers().len(), "{change:?}");
    producer.wait_for_topic(topic, SOON).await?;
    let receipt = producer.send(Message::new(topic, "first")?).await?;
    end(&producer).await?;
    let read = ground.read(topic, 1).await?;
    super::trial::stored(&read, &receipt)?;
    Ok(Cell::Passed)
}

async fn topic_status(ground: Arc<Ground>) -> Result<Cell> {
    let (trial, _) = sent(&ground, "admin-status", 12).await?;
    let read = ground.read(trial.topic, 12).await?;
    let admin = trial.producer.admin().with_timeout(PATIENT);
    let status = offered!(admin.topic_status(trial.topic).await);
    ensure!(status.failed.is_empty(), "{:?}", status.failed);
    let queues = ground.brokers().len() * QUEUES as usize;
    ensure!(status.queues.len() == queues, "{:?}", status.queues);
    for queue in &status.queues {
        let held = read
            .iter()
            .filter(|stored| stored.broker == queue.broker_name && stored.queue == queue.queue_id);
        ensure!(
            queue.messages() == i64::try_from(held.count())?,
            "{queue:?}"
        );
    }
    let topics = offered!(admin.topics().await);
    ensure!(topics.iter().any(|name| name == trial.topic), "not listed");
    trial.judge().await?;
    Ok(Cell::Passed)
}

async fn offsets(ground: Arc<Ground>) -> Result<Cell> {
    let (trial, receipts) = sent(&ground, "admin-offsets", 12).await?;
    ground.read(trial.topic, 12).await?;
    let admin = trial.producer.admin().with_timeout(PATIENT);
    for broker in ground.brokers() {
        for id in 0..i32::try_from(QUEUES)? {
            let queue = MessageQueue::new(trial.topic, broker.name(), id);
            let count = receipts.iter().filter(|receipt| *receipt.queue() == queue);
            let count = i64::try_from(count.count())?;
            let max = offered!(admin.max_offset(&queue).await);
            ensure!(max == count, "{queue:?}: {max}, not {count}");
            ensure!(offered!(admin.min_offset(&queue).await) == 0);
            let first = offered!(admin.search_offset(&queue, 0, Boundary::Lower).await);
            ensure!(first == 0, "{queue:?}: {first}");
        }
    }
    trial.judge().await?;
    Ok(Cell::Passed)
}

async fn view(ground: Arc<Ground>) -> Result<Cell> {
    let (trial, receipts) = sent(&ground, "admin-view", 3).await?;
    let admin = trial.producer.admin().with_timeout(PATIENT);
    for receipt in &receipts {
        let id = *receipt.offset_message_id().context("no id")?;
        let found = offered!(admin.view_message(trial.topic, id).await);
        let found = found.context("no message")?;
        ensure!(found.queue_offset == receipt.queue_offset(), "{found:?}");
    }
    trial.judge().await?;
    Ok(Cell::Passed)
}

/// Brokers index a message some time after they stored it.
async fn found<F>(count: usize, ask: impl Fn() -> F) -> Result<FoundMessages, AdminError>
where
    F: Future<Output = Result<FoundMessages, AdminError>>,
{
    let deadline = Instant::now() + SOON;
    loop {
        let found = ask().await?;
        if found.messages.len() >= count || Instant::now() >= deadline {
            return Ok(found);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn by_message_id(ground: Arc<Ground>) -> Result<Cell> {
    let (trial, receipts) = sent(&ground, "admin-message-id", 1).await?;
    let admin = trial.producer.admin().with_timeout(PATIENT);
    let receipt = receipts.first().context("a receipt")?;
    let id = receipt.message_id().to_string();
    let found = offered!(found(1, || admin.find_by_message_id(trial.topic, &id)).await);
    ensure!(found.messages.len() == 1, "{found:?}");
    let read = trial.judge().await?;
    let stored = super::trial::stored(&read, receipt)?;
    for message in &found.messages {
        ensure!(*message.body == *stored.body, "{message:?}");
        ensure!(message.queue_offset == stored.offset, "{message:?}");
    }
    Ok(Cell::Passed)
}

async fn by_key(ground: Arc<Ground>) -> Result<Cell> {
    let (trial, _) = sent(&ground, "admin-key", 8).await?;
    let admin = trial.producer.admin().with_timeout(PATIENT);
    let key = trial.topic;
    let found = offered!(found(8, || admin.find_by_key(trial.topic, key, KeyQuery::new())).await);
    ensure!(found.messages.len() == 8, "{found:?}");
    trial.judge().await?;
    Ok(Cell::Passed)
}

async fn producers(ground: Arc<Ground>) -> Result<Cell> {
    let group = "admin-producers";
    let producer = known(&ground, group).await?;
    let admin = producer.admin().with_timeout(PATIENT);
    let seen = offered!(admin.producer_connections(group).await);
    let ours = |id: &str| id == producer.client_id();
    ensure!(
        seen.iter().all(|one| ours(&one.connection.client_id)),
        "{seen:?}"
    );
    let behind = ground.column() == Column::Proxy;
    end(&producer).await?;
    if behind && seen.is_empty() {
        return Cell::not_offered("the proxy keeps its producers to itself: none is listed");
    }
    ensure!(seen.len() == ground.brokers().len(), "{seen:?}");
    Ok(Cell::Passed)
}

async fn brokers(ground: Arc<Ground>) -> Result<Cell> {
    let producer = known(&ground, "admin-brokers").await?;
    let admin = producer.admin().with_timeout(PATIENT);
    let ordinal = match ground.version() {
        Version::V4_9_7 => 407,
        Version::V5_1_4 => 441,
        Version::V5_5_0 => 513,
    };
    for broker in ground.brokers() {
        let version = offered!(admin.ping(broker.address()).await).version;
        ensure!(version == ordinal, "{version}");
        let info = offered!(admin.broker_info(broker.address()).await);
        ensure!(info.clock().is_some(), "{info:?}");
    }
    end(&producer).await?;
    Ok(Cell::Passed)
}

async fn probe(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "admin-probe";
    let producer = known(&ground, topic).await?;
    let admin = producer.admin().with_timeout(PATIENT);
    for broker in ground.brokers() {
        let probe = offered!(
            admin
                .probe_send(topic, broker.name(), broker.address())
                .await
        );
        ensure!(probe == SendProbe::WouldTake, "{probe:?}");
    }
    end(&producer).await?;
    let stored = ground.read(topic, 0).await?;
    ensure!(stored.is_empty(), "{stored:?}");
    Ok(Cell::Passed)
}
