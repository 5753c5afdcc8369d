//! Where messages are and what is there, in one form for all who can tell.

use std::fmt;

use bytes::Bytes;
use rocketmq_producer::SendReceipt;
use rocketmq_producer_embedded::StoredMessage;
use xtask::apache::ReadMessage;

use super::Content;

/// The place of a message in a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a place in a topic is just this")]
pub struct Position {
    /// Name of the broker.
    pub broker: String,
    /// Queue on that broker.
    pub queue: i32,
    /// Offset in that queue.
    pub offset: i64,
}

impl Position {
    /// Where a receipt says that the message is.
    #[must_use]
    pub fn of(receipt: &SendReceipt) -> Self {
        Self {
            broker: receipt.queue().broker_name().to_string(),
            queue: receipt.queue().queue_id(),
            offset: receipt.queue_offset(),
        }
    }

    /// Whether both are in the same queue.
    #[must_use]
    pub fn is_same_queue(&self, other: &Self) -> bool {
        (&self.broker, self.queue) == (&other.broker, other.queue)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.broker, self.queue, self.offset)
    }
}

/// A stored message, whoever read it.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "readers build it")]
pub struct Stored {
    /// `UNIQ_KEY`, the producer's id.
    pub id: String,
    /// Where it is.
    pub position: Position,
    /// The broker's id.
    pub offset_id: Option<String>,
    /// What it carries.
    pub content: Content,
}

impl From<&ReadMessage> for Stored {
    fn from(read: &ReadMessage) -> Self {
        Self {
            id: read.properties.get("UNIQ_KEY").cloned().unwrap_or_default(),
            position: Position {
                broker: read.broker.clone(),
                queue: read.queue,
                offset: read.offset,
            },
            offset_id: read.offset_msg_id.clone(),
            content: Content::Digest {
                len: read.len,
                sha256: read.sha256.clone(),
            },
        }
    }
}

impl From<&StoredMessage> for Stored {
    fn from(stored: &StoredMessage) -> Self {
        Self {
            id: stored.message_id().to_owned(),
            position: Position {
                broker: stored.broker_name.to_string(),
                queue: stored.queue_id,
                offset: stored.queue_offset,
            },
            offset_id: Some(stored.offset_message_id.to_string()),
            content: Content::Whole(Bytes::clone(&stored.body)),
        }
    }
}
