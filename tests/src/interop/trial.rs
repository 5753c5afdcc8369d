//! Sends to a topic of its own, and the comparison of every receipt with what Apache's client reads.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use rocketmq_producer::{
    Delivery, Message, Producer, ProducerBuilder, SendError, SendFailure, SendOptions, SendReceipt,
};
use xtask::apache::ReadMessage;

use super::Ground;
use super::ground::end;
use crate::oracle::Oracle;

/// Queues on each master.
pub(super) const QUEUES: u32 = 4;

/// A topic, a producer whose group is named like it, and what became of its sends.
pub(super) struct Trial {
    pub(super) ground: Arc<Ground>,
    pub(super) topic: &'static str,
    pub(super) producer: Producer,
    pub(super) oracle: Oracle,
}

impl Trial {
    /// With the settings that the cluster asks for.
    pub(super) async fn new(ground: &Arc<Ground>, topic: &'static str) -> Result<Self> {
        Self::with(ground, topic, |builder| builder).await
    }

    /// With more.
    pub(super) async fn with(
        ground: &Arc<Ground>,
        topic: &'static str,
        change: impl FnOnce(ProducerBuilder) -> ProducerBuilder,
    ) -> Result<Self> {
        ground.topic(topic, QUEUES).await?;
        let producer = change(ground.builder(topic)).start().await?;
        Ok(Self {
            ground: Arc::clone(ground),
            topic,
            producer,
            oracle: Oracle::new(),
        })
    }

    pub(super) fn message(&self, body: &Bytes) -> Result<Message> {
        Ok(Message::new(self.topic, body.clone())?)
    }

    /// A body that no other message has.
    pub(super) fn body(&self) -> Bytes {
        Bytes::from(format!("{} {} 集", self.topic, self.oracle.receipts()))
    }

    /// Sends one message with a body of its own.
    pub(super) async fn send(&mut self, options: SendOptions) -> Result<SendReceipt> {
        let body = self.body();
        let message = self.message(&body)?;
        let receipt = self.producer.send_with(message, options).await?;
        self.oracle.acked(&receipt, &body);
        Ok(receipt)
    }

    /// Ends the producer and reads: each message exactly once, where its receipt says, as it was sent.
    pub(super) async fn judge(self) -> Result<Vec<ReadMessage>> {
        let read = self.read().await?;
        self.oracle.judge(&read).exactly_once()?;
        Ok(read)
    }

    /// Likewise, but unknown outcomes and copies that they explain are as good.
    pub(super) async fn judge_kept(self) -> Result<Vec<ReadMessage>> {
        let read = self.read().await?;
        self.oracle.judge(&read).kept()?;
        Ok(read)
    }

    async fn read(&self) -> Result<Vec<ReadMessage>> {
        end(&self.producer).await?;
        self.ground.read(self.topic, self.oracle.receipts()).await
    }
}

/// A producer that knows a topic, made for it, and its brokers.
pub(super) async fn known(ground: &Arc<Ground>, topic: &'static str) -> Result<Producer> {
    ground.topic(topic, QUEUES).await?;
    Ok(ground.builder(topic).preheat([topic]).start().await?)
}

/// The one message of a receipt among those read.
pub(super) fn stored<'a>(
    read: &'a [ReadMessage],
    receipt: &SendReceipt,
) -> Result<&'a ReadMessage> {
    let queue = receipt.queue();
    let place = (
        &**queue.broker_name(),
        queue.queue_id(),
        receipt.queue_offset(),
    );
    read.iter()
        .find(|stored| stored.position() == place)
        .with_context(|| format!("nothing is stored at {place:?}"))
}

/// An error and all its causes.
pub(super) fn shown(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

/// The code of a final refusal.
pub(super) fn refusal(error: &SendError) -> Result<i32> {
    ensure!(error.delivery() == Delivery::Rejected, "{error:?}");
    ensure!(!error.is_retryable(), "{error:?}");
    match error.cause() {
        SendFailure::Refused { code, .. } => Ok(code.0),
        other => bail!("{other:?}"),
    }
}
