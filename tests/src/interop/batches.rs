//! Messages that share a request.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rocketmq_producer::remoting::ByteSize;
use rocketmq_producer::{Message, SendReceipt};
use tokio::task::JoinSet;

use super::ground::PATIENT;
use super::row::{Group, row};
use super::trial::{Trial, refusal, stored};
use super::{Cell, Ground};

pub(super) const GROUP: Group = Group::new(
    "Batches",
    &[
        row!(
            "`send_batch`",
            "1, 2 and 200 messages over several requests, each under its own id",
            explicit
        ),
        row!(
            "`send_batch` with sharding keys",
            "each key in one queue, in order",
            keyed
        ),
        row!(
            "automatic batches, no linger",
            "what waits behind a request under way leaves together",
            adaptive
        ),
        row!(
            "automatic batches, 5 ms linger",
            "also messages with sharding keys",
            lingering
        ),
        row!(
            "shutdown with a lingering batch",
            "it is sent at once, and every message of it has its receipt",
            shut_down
        ),
        row!(
            "a batch over the broker's limit",
            "every message of it is rejected",
            refused
        ),
    ],
);

fn numbered(topic: &str, body: &Bytes, index: usize) -> Result<Message> {
    let message = Message::new(topic, body.clone())?;
    Ok(message.with_property("number", &index.to_string())?)
}

/// Reads back and compares ids and properties of every message.
async fn judge(mut trial: Trial, sent: Vec<(SendReceipt, Bytes)>) -> Result<Cell> {
    for (receipt, body) in &sent {
        trial.oracle.acked(receipt, body);
    }
    let read = trial.judge().await?;
    let mut ids = BTreeSet::new();
    for (receipt, body) in &sent {
        let stored = stored(&read, receipt)?;
        let id = receipt.message_id().as_str();
        ensure!(stored.msg_id == id && stored.body == **body, "{stored:?}");
        ensure!(stored.properties.contains_key("number"), "{stored:?}");
        ensure!(ids.insert(id.to_owned()), "{id} twice");
    }
    Ok(Cell::Passed)
}

async fn explicit(ground: Arc<Ground>) -> Result<Cell> {
    let trial = Trial::with(&ground, "batch-explicit", |builder| {
        builder.configure(|settings| settings.batch_max_bytes(ByteSize::kib(4)))
    })
    .await?;
    let mut sent = Vec::new();
    for count in [1, 2, 200] {
        let bodies: Vec<_> = (0..count)
            .map(|index| Bytes::from(format!("{count} {index} 集")))
            .collect();
        let messages: Result<Vec<_>> = bodies
            .iter()
            .enumerate()
            .map(|(index, body)| numbered(trial.topic, body, index))
            .collect();
        let receipts = trial.producer.send_batch(messages?).await?;
        sent.extend(receipts.into_iter().zip(bodies));
    }
    ensure!(trial.producer.stats().batches >= 3);
    judge(trial, sent).await
}

async fn keyed(ground: Arc<Ground>) -> Result<Cell> {
    let trial = Trial::new(&ground, "batch-keyed").await?;
    let bodies: Vec<_> = (0..60).map(|i| Bytes::from(format!("{i}"))).collect();
    let mut messages = Vec::new();
    for (index, body) in bodies.iter().enumerate() {
        let message = numbered(trial.topic, body, index)?;
        messages.push(message.with_sharding_key(&format!("{}", index % 3))?);
    }
    let receipts = trial.producer.send_batch(messages).await?;
    for key in 0..3 {
        let of_key: Vec<_> = receipts.iter().skip(key).step_by(3).collect();
        ensure!(
            of_key
                .windows(2)
                .all(|two| two[0].queue() == two[1].queue())
        );
        ensure!(of_key.is_sorted_by_key(|receipt| receipt.queue_offset()));
    }
    judge(trial, receipts.into_iter().zip(bodies).collect()).await
}

async fn adaptive(ground: Arc<Ground>) -> Result<Cell> {
    automatic(&ground, "batch-adaptive", Duration::ZERO).await
}

async fn lingering(ground: Arc<Ground>) -> Result<Cell> {
    automatic(&ground, "batch-linger", Duration::from_millis(5)).await
}

async fn shut_down(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::with(&ground, "batch-shutdown", |builder| {
        // The longest there is, more than is waited for here.
        let linger = Duration::from_secs(60);
        builder.configure(|settings| {
            let settings = settings.auto_batch(true).batch_linger(linger);
            settings.send_msg_timeout(2 * linger)
        })
    })
    .await?;
    trial.producer.wait_for_topic(trial.topic, PATIENT).await?;
    let mut under_way = JoinSet::new();
    for index in 0..10 {
        let body = Bytes::from(format!("{index}"));
        let (producer, message) = (trial.producer.clone(), trial.message(&body)?);
        under_way.spawn(async move { (producer.send(message).await, body) });
    }
    while trial.producer.stats().under_way < 10 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let report = trial.producer.shutdown(PATIENT).await;
    ensure!(report.is_drained(), "{report:?}");
    while let Some(done) = under_way.join_next().await {
        let (outcome, body) = done?;
        trial.oracle.acked(&outcome?, &body);
    }
    let read = trial.judge().await?;
    ensure!(read.len() == 10, "{} stored", read.len());
    Ok(Cell::Passed)
}

async fn automatic(ground: &Arc<Ground>, topic: &'static str, linger: Duration) -> Result<Cell> {
    let trial = Trial::with(ground, topic, |builder| {
        builder.configure(|settings| settings.auto_batch(true).batch_linger(linger))
    })
    .await?;
    let mut senders = JoinSet::new();
    for sender in 0..60_usize {
        let producer = trial.producer.clone();
        senders.spawn(async move {
            let mut sent = Vec::new();
            for index in 0..5 {
                let body = Bytes::from(format!("{sender} {index}"));
                let mut message = numbered(topic, &body, index)?;
                if sender.is_multiple_of(4) {
                    message = message.with_sharding_key(&sender.to_string())?;
                }
                sent.push((producer.send(message).await?, body));
            }
            anyhow::Ok(sent)
        });
    }
    let mut sent = Vec::new();
    while let Some(of_sender) = senders.join_next().await {
        sent.extend(of_sender??);
    }
    let stats = trial.producer.stats();
    ensure!(stats.batched > 60, "{stats:?}");
    judge(trial, sent).await
}

async fn refused(ground: Arc<Ground>) -> Result<Cell> {
    let trial = Trial::with(&ground, "batch-refused", |builder| {
        builder.configure(|settings| {
            let limit = ByteSize::mib(8);
            settings.max_message_size(limit).batch_max_bytes(limit)
        })
    })
    .await?;
    let large = Bytes::from(vec![b'x'; 3 << 20]);
    let messages = [trial.message(&large)?, trial.message(&large)?];
    let error = trial.producer.send_batch(messages).await;
    let error = error.err().context("taken")?;
    let mut code = None;
    for (_, error) in error.failed() {
        code = Some(refusal(error)?);
    }
    ensure!(error.failed().count() == 2, "{error:?}");
    trial.judge().await?;
    let code = code.context("a code")?;
    Cell::refused(format!("rejected with code {code}"))
}
