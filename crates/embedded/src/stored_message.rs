//! [`StoredMessage`]: a message as a broker keeps it.

use std::sync::Arc;

use bytes::Bytes;
use rocketmq_producer_remoting::message::{OffsetMessageId, Properties, property};

/// A message that a broker has stored, to be looked at by a test or a demo.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredMessage {
    /// The topic.
    pub topic: Arc<str>,
    /// Name of the broker.
    pub broker_name: Arc<str>,
    /// The queue.
    pub queue_id: i32,
    /// Position in the queue, from 0.
    pub queue_offset: i64,
    /// Address of the broker and position in its commit log: what the receipt calls `msgId`.
    pub offset_message_id: OffsetMessageId,
    /// The body as it was sent, so compressed if the client compressed it.
    pub body: Bytes,
    /// All properties, those that the broker added included.
    pub properties: Properties,
    /// Flag of the message.
    pub flag: i32,
    /// What was done to the body (bits of Java's `MessageSysFlag`).
    pub sys_flag: i32,
    /// When the client made the message, in milliseconds since 1970, as the client said.
    pub born_timestamp: i64,
    /// When the broker stored it, in milliseconds since 1970.
    pub store_timestamp: i64,
}

impl StoredMessage {
    /// The client's id of the message (property `UNIQ_KEY`); made by the broker if the client
    /// gave none, so it is never empty.
    #[must_use]
    pub fn message_id(&self) -> &str {
        self.properties.get(property::UNIQ_KEY).unwrap_or_default()
    }

    /// The tag.
    #[must_use]
    pub fn tags(&self) -> Option<&str> {
        self.properties.get(property::TAGS)
    }

    /// The keys, in the order given.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = self.properties.get(property::KEYS).unwrap_or_default();
        keys.split(' ').filter(|key| !key.is_empty())
    }

    /// The value of a property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name)
    }
}

impl std::fmt::Debug for StoredMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredMessage")
            .field("topic", &self.topic)
            .field("broker_name", &self.broker_name)
            .field("queue_id", &self.queue_id)
            .field("queue_offset", &self.queue_offset)
            .field("message_id", &self.message_id())
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}
