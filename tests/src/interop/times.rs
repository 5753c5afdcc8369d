//! Messages that are delivered later.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use rocketmq_producer::remoting::MessageError;
use rocketmq_producer::remoting::message::TimingError;
use rocketmq_producer::{Delivery, Message, RecallError, SendFailure, SendReceipt, Via};
use xtask::apache::{ReadMessage, Version};

use super::ground::end;
use super::row::{Group, row};
use super::trial::{Trial, refusal};
use super::{Cell, Ground};

pub(super) const GROUP: Group = Group::new(
    "Delivery at a later time",
    &[
        row!(
            "delay level",
            "level 2: Java sees the message 5 s after it was sent",
            level
        ),
        row!(
            "delay in seconds",
            "Java sees the message 3 s after it was sent",
            seconds
        ),
        row!(
            "delay in milliseconds",
            "Java sees the message 2500 ms after it was sent",
            millis
        ),
        row!(
            "deliver at",
            "Java sees the message at the given time",
            deliver_at
        ),
        row!(
            "recall",
            "the message taken back is never seen, another of the same time is",
            recall
        ),
        row!(
            "recall with a handle of another topic, or garbage",
            "refused before anything is sent",
            wrong_handle
        ),
        row!(
            "delay level or delay out of range",
            "refused before anything is sent",
            out_of_range
        ),
        row!(
            "delay beyond the broker's range",
            "with our own limit raised, the broker's refusal is final",
            beyond_the_broker
        ),
    ],
);

/// Sends one delayed message and gives the receipt and what Java reads at its time.
async fn delivered(
    ground: &Arc<Ground>,
    topic: &'static str,
    delayed: impl FnOnce(Message) -> Result<Message>,
) -> Result<(SendReceipt, ReadMessage)> {
    let trial = Trial::new(ground, topic).await?;
    let body = Bytes::from(format!("{topic} later"));
    let message = delayed(trial.message(&body)?)?;
    let receipt = trial.producer.send(message).await?;
    end(&trial.producer).await?;
    let mut read = ground.read(topic, 1).await?;
    ensure!(read.len() == 1, "{read:?}");
    let stored = read.pop().context("never delivered")?;
    ensure!(stored.body == *body, "{stored:?}");
    ensure!(stored.msg_id == receipt.message_id().as_str(), "{stored:?}");
    Ok((receipt, stored))
}

/// How long after its sending a message was put where consumers see it.
fn took(stored: &ReadMessage) -> Duration {
    let took = stored.store_timestamp - stored.born_timestamp;
    Duration::from_millis(u64::try_from(took).unwrap_or(0))
}

/// Clocks of brokers tick in steps, and their timers look once a second.
const EARLY: Duration = Duration::from_millis(1100);

async fn level(ground: Arc<Ground>) -> Result<Cell> {
    let level = |message: Message| Ok(message.with_delay_level(2)?);
    let (receipt, stored) = delivered(&ground, "delay-level", level).await?;
    ensure!(receipt.via() == Some(Via::Schedule), "{receipt:?}");
    let took = took(&stored);
    ensure!(took >= Duration::from_secs(5) - EARLY, "after {took:?}");
    Ok(Cell::Passed)
}

/// A timer: kept back by 5.x, delivered at once by 4.x, which does not know it.
async fn timer(
    ground: &Arc<Ground>,
    topic: &'static str,
    wanted: Duration,
    delayed: impl FnOnce(Message) -> Result<Message>,
) -> Result<Cell> {
    let (receipt, stored) = delivered(ground, topic, delayed).await?;
    ensure!(receipt.via() == Some(Via::Timer), "{receipt:?}");
    let took = took(&stored);
    if ground.version() == Version::V4_9_7 {
        ensure!(took + EARLY < wanted, "after {took:?}");
        return Cell::not_offered("4.x has no timers: the message was delivered at once");
    }
    ensure!(took + EARLY >= wanted, "after {took:?}");
    Ok(Cell::Passed)
}

async fn seconds(ground: Arc<Ground>) -> Result<Cell> {
    let delay = Duration::from_secs(3);
    timer(&ground, "delay-seconds", delay, |message| {
        Ok(message.with_delay(delay)?)
    })
    .await
}

async fn millis(ground: Arc<Ground>) -> Result<Cell> {
    let delay = Duration::from_millis(2500);
    timer(&ground, "delay-millis", delay, |message| {
        Ok(message.with_delay(delay)?)
    })
    .await
}

async fn deliver_at(ground: Arc<Ground>) -> Result<Cell> {
    let delay = Duration::from_secs(4);
    // From the clock now on; what is done before the send makes the wait shorter.
    timer(&ground, "deliver-at", Duration::from_secs(3), |message| {
        let at = UNIX_EPOCH.elapsed()? + delay;
        Ok(message.with_deliver_at(UNIX_EPOCH + at)?)
    })
    .await
}

async fn recall(ground: Arc<Ground>) -> Result<Cell> {
    let trial = Trial::new(&ground, "recall").await?;
    let delay = Duration::from_secs(8);
    let mut receipts = Vec::new();
    for body in ["taken back", "kept"] {
        let message = Message::new(trial.topic, body)?.with_delay(delay)?;
        receipts.push(trial.producer.send(message).await?);
    }
    let first = receipts.first().context("a receipt")?;
    let Some(handle) = first.recall_handle() else {
        end(&trial.producer).await?;
        ensure!(ground.version() != Version::V5_5_0, "no handle");
        return Cell::not_offered("brokers before 5.3 give no recall handle");
    };
    let outcome = trial.producer.recall(trial.topic, handle.as_str()).await;
    end(&trial.producer).await?;
    if !ground.column().recalls() {
        let error = outcome.err().context("taken back")?;
        let RecallError::Disabled { .. } = error else {
            bail!("{error:?}");
        };
        return Cell::refused(
            "recall is switched off on this broker, as it is by default; the error says so",
        );
    }
    let id = outcome?;
    ensure!(id == first.message_id().as_str(), "{id}");
    let read = ground.read(trial.topic, 1).await?;
    let bodies: Vec<_> = read.iter().map(|m| m.body.as_slice()).collect();
    ensure!(bodies == [b"kept"], "{read:?}");
    // Its time has passed as well by now; the timer hands out what is due in one go.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let read = ground.read(trial.topic, 1).await?;
    ensure!(read.len() == 1, "{read:?}");
    Ok(Cell::Passed)
}

async fn wrong_handle(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "recall-wrong";
    let trial = Trial::new(&ground, topic).await?;
    let message = Message::new(topic, "later")?.with_delay(Duration::from_secs(1))?;
    let receipt = trial.producer.send(message).await?;
    for garbage in ["", "garbage", "djEgYSBi"] {
        let error = trial.producer.recall(topic, garbage).await;
        let Err(RecallError::Handle(_)) = error else {
            bail!("{error:?}");
        };
    }
    if let Some(handle) = receipt.recall_handle() {
        let error = trial.producer.recall("another", handle.as_str()).await;
        let Err(RecallError::OtherTopic { .. }) = error else {
            bail!("{error:?}");
        };
    }
    end(&trial.producer).await?;
    ensure!(ground.read(topic, 1).await?.len() == 1, "not delivered");
    Cell::refused("not sent: no handle, or of another topic")
}

async fn out_of_range(ground: Arc<Ground>) -> Result<Cell> {
    let trial = Trial::new(&ground, "delay-range").await?;
    let day = Duration::from_secs(86_400);
    for message in [
        Message::new(trial.topic, "level")?.with_delay_level(19)?,
        Message::new(trial.topic, "delay")?.with_delay(4 * day)?,
    ] {
        let error = trial.producer.send(message).await.err().context("taken")?;
        ensure!(error.delivery() == Delivery::NotSent, "{error:?}");
        let SendFailure::Message(MessageError::Timing(cause)) = error.cause() else {
            bail!("{error:?}");
        };
        let (TimingError::LevelTooHigh { .. } | TimingError::TooFar { .. }) = cause else {
            bail!("{error:?}");
        };
    }
    trial.judge().await?;
    Cell::refused("not sent: the error names value and limit")
}

async fn beyond_the_broker(ground: Arc<Ground>) -> Result<Cell> {
    let day = Duration::from_secs(86_400);
    let topic = "delay-beyond";
    let trial = Trial::with(&ground, topic, |builder| {
        builder.configure(|settings| settings.max_timer_delay(30 * day))
    })
    .await?;
    let message = Message::new(topic, "in ten days")?.with_delay(10 * day)?;
    let outcome = trial.producer.send(message).await;
    end(&trial.producer).await?;
    if ground.version() == Version::V4_9_7 {
        outcome?;
        ensure!(ground.read(topic, 1).await?.len() == 1);
        return Cell::not_offered("4.x has no timers: the message was delivered at once");
    }
    let code = refusal(&outcome.err().context("taken")?)?;
    Cell::refused(format!("rejected with code {code}"))
}
