//! Half messages and their ends, as consumers see them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use rocketmq_producer::{
    CheckedMessage, LocalTransactionState, Message, TransactionChecker, TransactionError,
    TransactionalProducer,
};
use tokio::time::{Instant, sleep};
use xtask::apache::Permission;

use super::ground::{SOON, end};
use super::row::{Group, row};
use super::trial::QUEUES;
use super::{Cell, Column, Ground};

pub(super) const GROUP: Group = Group::new(
    "Transactions",
    &[
        row!(
            "commit",
            "consumers see the message, under its id, only after its commit",
            commit
        ),
        row!("rollback", "consumers never see the message", rollback),
        row!(
            "unknown, then checked",
            "the broker asks, the checker commits one and rolls one back",
            checked
        ),
        row!(
            "check for a producer that is gone",
            "a new producer of the group answers for the half message of another",
            inherited
        ),
    ],
);

/// What the remoting port of the proxy does with the end of a transaction.
const ANSWERED: &str = "the proxy takes the end and hands it to no broker, so the receipt says `Relayed`; the broker asks, \
                        and the producer answers the same";

/// Says what the property `fate` of a message says.
#[derive(Default)]
struct Fates {
    asked: AtomicUsize,
}

#[async_trait]
impl TransactionChecker for Fates {
    async fn check(&self, message: &CheckedMessage) -> LocalTransactionState {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match message.message().properties.get("fate") {
            Some("commit") => LocalTransactionState::Commit,
            Some("rollback") => LocalTransactionState::Rollback,
            _ => LocalTransactionState::Unknown,
        }
    }
}

async fn producer(
    ground: &Arc<Ground>,
    topic: &'static str,
    checker: Arc<Fates>,
) -> Result<TransactionalProducer> {
    let attributes = match ground.column() {
        Column::Proxy => "+message.type=TRANSACTION",
        _ => "",
    };
    ground
        .topic_with(topic, QUEUES, Permission::READ_WRITE, attributes)
        .await?;
    Ok(ground.builder(topic).start_transactional(checker).await?)
}

fn message(topic: &str, body: &str, fate: &str) -> Result<Message> {
    let message = Message::new(topic, Bytes::from(body.to_owned()))?;
    Ok(message.with_property("fate", fate)?)
}

async fn ended(
    producer: &TransactionalProducer,
    message: Message,
    state: LocalTransactionState,
) -> Result<String, TransactionError> {
    let receipt = producer
        .send_transaction(message, move |_| async move { state })
        .await?;
    Ok(receipt.half().message_id().to_string())
}

async fn commit(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tx-commit";
    let producer = producer(&ground, topic, Arc::default()).await?;
    let open = producer.begin(message(topic, "later", "commit")?).await?;
    let before = ground.read(topic, 0).await?;
    ensure!(before.is_empty(), "seen before its commit: {before:?}");
    let receipt = open.commit().await;
    let proxied = ground.column() == Column::Proxy;
    ensure!(
        receipt.settlement().is_confirmed() != proxied,
        "{receipt:?}"
    );
    let mut ids = vec![receipt.half().message_id().to_string()];
    for index in 0..4 {
        let message = message(topic, &format!("{index}"), "commit")?;
        ids.push(ended(&producer, message, LocalTransactionState::Commit).await?);
    }
    let read = ground.read(topic, ids.len()).await?;
    let stats = producer.stats();
    end(producer.producer()).await?;
    ensure!(!read.is_empty(), "none is seen: {stats:?}");
    for id in &ids {
        let copies = read.iter().filter(|m| m.msg_id == *id).count();
        ensure!(copies == 1, "{id} is there {copies} times");
    }
    ensure!(read.len() == ids.len(), "{} stored", read.len());
    if proxied {
        return Cell::but(ANSWERED);
    }
    Ok(Cell::Passed)
}

async fn rollback(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tx-rollback";
    let producer = producer(&ground, topic, Arc::default()).await?;
    for index in 0..4 {
        let message = message(topic, &format!("{index}"), "rollback")?;
        ended(&producer, message, LocalTransactionState::Rollback).await?;
    }
    // One that is seen shows that the others had their time.
    let seen = message(topic, "seen", "commit")?;
    let id = ended(&producer, seen, LocalTransactionState::Commit).await?;
    let read = ground.read(topic, 1).await?;
    end(producer.producer()).await?;
    ensure!(!read.is_empty(), "the committed one is not seen");
    ensure!(read.iter().all(|m| m.msg_id == id), "{read:?}");
    if ground.column() == Column::Proxy {
        return Cell::but(ANSWERED);
    }
    Ok(Cell::Passed)
}

/// Waits until consumers see the message `id` and the broker asked so often.
async fn seen(
    ground: &Arc<Ground>,
    topic: &str,
    id: &str,
    checker: &Fates,
    asked: usize,
) -> Result<()> {
    let deadline = Instant::now() + 2 * SOON;
    loop {
        let read = ground.read(topic, 0).await?;
        let others: Vec<_> = read.iter().filter(|m| m.msg_id != id).collect();
        ensure!(others.is_empty(), "rolled back and seen: {others:?}");
        if !read.is_empty() && checker.asked.load(Ordering::SeqCst) >= asked {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{} seen, asked {} times",
            read.len(),
            checker.asked.load(Ordering::SeqCst)
        );
        sleep(Duration::from_millis(300)).await;
    }
}

async fn checked(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tx-checked";
    let checker = Arc::new(Fates::default());
    let producer = producer(&ground, topic, Arc::clone(&checker)).await?;
    let state = LocalTransactionState::Unknown;
    let gone = message(topic, "rolled back", "rollback")?;
    ended(&producer, gone, state).await?;
    let kept = message(topic, "committed", "commit")?;
    let id = ended(&producer, kept, state).await?;
    seen(&ground, topic, &id, &checker, 2).await?;
    let stats = producer.stats();
    ensure!(stats.checks_committed >= 1, "{stats:?}");
    ensure!(stats.checks_rolled_back >= 1, "{stats:?}");
    end(producer.producer()).await?;
    Ok(Cell::Passed)
}

async fn inherited(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tx-inherited";
    let first = producer(&ground, topic, Arc::default()).await?;
    let open = first
        .begin(message(topic, "left behind", "commit")?)
        .await?;
    let half = open.half();
    let id = half.receipt().message_id().to_string();
    // Nobody ends the transaction.
    drop(open);
    end(first.producer()).await.context("the first producer")?;
    let checker = Arc::new(Fates::default());
    let second = ground
        .builder(topic)
        .start_transactional(Arc::clone(&checker) as _)
        .await?;
    if ground.column() == Column::Proxy {
        // The proxy learns from a half message which producers can be asked.
        let own = message(topic, "rolled back", "rollback")?;
        ended(&second, own, LocalTransactionState::Rollback).await?;
    }
    seen(&ground, topic, &id, &checker, 1).await?;
    end(second.producer()).await?;
    if ground.column() == Column::Proxy {
        return Cell::but("once the new producer has sent a half message too");
    }
    Ok(Cell::Passed)
}
