//! What a broker acknowledged.

use std::sync::Arc;
use std::time::Duration;

use crate::attempt::Attempt;
use crate::config::routing::MessageQueue;
use crate::config::routing::remoting::ResponseCode;
use crate::config::routing::remoting::message::{MessageId, OffsetMessageId, RecallHandle};
use crate::config::routing::remoting::protocol::TransactionId;
use crate::kind::Via;

/// How safely a message is stored (Java: `SendStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendStatus {
    /// Stored as safely as the broker is configured to.
    SendOk,
    /// Stored in memory; the flush to disk was late.
    FlushDiskTimeout,
    /// Stored by the master; replication was late.
    FlushSlaveTimeout,
    /// Stored by the master; there was no slave to replicate to.
    SlaveNotAvailable,
}

impl SendStatus {
    /// The status of an acknowledging response code.
    pub(crate) const fn of(code: ResponseCode) -> Self {
        match code {
            ResponseCode::FLUSH_DISK_TIMEOUT => Self::FlushDiskTimeout,
            ResponseCode::FLUSH_SLAVE_TIMEOUT => Self::FlushSlaveTimeout,
            ResponseCode::SLAVE_NOT_AVAILABLE => Self::SlaveNotAvailable,
            _ => Self::SendOk,
        }
    }

    /// Java's name of the status: `SEND_OK` and so on.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendOk => "SEND_OK",
            Self::FlushDiskTimeout => "FLUSH_DISK_TIMEOUT",
            Self::FlushSlaveTimeout => "FLUSH_SLAVE_TIMEOUT",
            Self::SlaveNotAvailable => "SLAVE_NOT_AVAILABLE",
        }
    }
}

impl std::fmt::Display for SendStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a broker gave to name the message by: a transaction id mostly, and what a timer message may be taken back by.
#[derive(Debug, Clone)]
pub(crate) enum GivenId {
    /// As nearly all are: a transaction id that is short enough to be kept in place.
    Short(TransactionId),
    Long(Box<str>),
    /// Of a timer message. Here, so that other receipts are no larger.
    Timer(Box<(Option<Box<str>>, RecallHandle)>),
}

impl GivenId {
    pub(crate) fn of(text: &str) -> Self {
        TransactionId::of(text.as_bytes()).map_or_else(|| Self::Long(Box::from(text)), Self::Short)
    }

    pub(crate) fn with_handle(id: Option<&str>, handle: RecallHandle) -> Self {
        Self::Timer(Box::new((id.map(Box::from), handle)))
    }

    fn id(&self) -> Option<&str> {
        match self {
            Self::Short(id) => Some(id.as_str()),
            Self::Long(id) => Some(id),
            Self::Timer(both) => both.0.as_deref(),
        }
    }

    fn handle(&self) -> Option<&RecallHandle> {
        match self {
            Self::Timer(both) => Some(&both.1),
            _ => None,
        }
    }
}

/// A broker's word that it stored a message, and where (Java: `SendResult`).
#[derive(Debug, Clone)]
pub struct SendReceipt {
    pub(crate) status: SendStatus,
    pub(crate) message_id: MessageId,
    pub(crate) born_timestamp: i64,
    /// The queue that the broker named, if it is not the one that the message was sent to.
    pub(crate) other_queue: Option<Arc<MessageQueue>>,
    pub(crate) queue_offset: i64,
    pub(crate) offset_message_id: Option<OffsetMessageId>,
    pub(crate) transaction_id: Option<GivenId>,
    pub(crate) via: Option<Via>,
    pub(crate) latency: Duration,
    pub(crate) earlier_attempts: Vec<Attempt>,
    pub(crate) attempt: Attempt,
}

impl SendReceipt {
    /// How safely the message is stored. Only [`SendStatus::SendOk`] is all that was asked for.
    #[must_use]
    pub const fn status(&self) -> SendStatus {
        self.status
    }

    /// The id given by this producer (`UNIQ_KEY`), which consumers see as `msgId`.
    #[must_use]
    pub const fn message_id(&self) -> &MessageId {
        &self.message_id
    }

    /// When the message was sent, in milliseconds since 1970 by this host's clock (Java:
    /// `bornTimestamp`). The same over all attempts.
    #[must_use]
    pub const fn born_timestamp(&self) -> i64 {
        self.born_timestamp
    }

    /// Where the message is stored.
    #[must_use]
    pub fn queue(&self) -> &MessageQueue {
        match &self.other_queue {
            Some(queue) => queue,
            None => self.attempt.place.queue(),
        }
    }

    /// The message's place in its queue.
    #[must_use]
    pub const fn queue_offset(&self) -> i64 {
        self.queue_offset
    }

    /// The broker's own id of the stored message (Java: `offsetMsgId`), if it gave one.
    #[must_use]
    pub const fn offset_message_id(&self) -> Option<&OffsetMessageId> {
        self.offset_message_id.as_ref()
    }

    /// The transaction id that the broker gave. Brokers since 5.x give every message one, the
    /// message id; 4.9 gives none.
    #[must_use]
    pub fn transaction_id(&self) -> Option<&str> {
        self.transaction_id.as_ref().and_then(GivenId::id)
    }

    /// What the message can be taken back by with [`Producer::recall`](crate::Producer::recall) until its time comes.
    /// Brokers since 5.3 give it with a timer message; whether they also take messages back is a setting of theirs.
    #[must_use]
    pub fn recall_handle(&self) -> Option<&RecallHandle> {
        self.transaction_id.as_ref().and_then(GivenId::handle)
    }

    /// The part of the broker that keeps the message until it is delivered, if it is not delivered at once. Offset and
    /// `offsetMsgId` are then of the message's place there, and the queue is the one that it will be delivered to.
    #[must_use]
    pub const fn via(&self) -> Option<Via> {
        self.via
    }

    /// The receipt with its queue named as of that topic.
    pub(crate) fn with_topic(mut self, topic: &Arc<str>) -> Self {
        let queue = self.queue();
        if queue.topic() != topic {
            let (broker, id) = (Arc::clone(queue.broker_name()), queue.queue_id());
            self.other_queue = Some(Arc::new(MessageQueue::new(Arc::clone(topic), broker, id)));
        }
        self
    }

    /// Time from the call of `send` to the receipt, waiting and failed attempts included.
    #[must_use]
    pub const fn latency(&self) -> Duration {
        self.latency
    }

    /// Every attempt; the last one brought this receipt, the others are in their order.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.earlier_attempts.iter().chain([&self.attempt])
    }
}
