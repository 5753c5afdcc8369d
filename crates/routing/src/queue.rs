//! One queue of a topic.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use rocketmq_producer_remoting::protocol::PreparedSend;

/// A queue: topic, broker and number.
///
/// For a static topic the broker name is the logical one (`__syslo__…`), as in Java.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageQueue {
    topic: Arc<str>,
    broker_name: Arc<str>,
    queue_id: i32,
}

impl MessageQueue {
    /// A queue by its parts. Nothing is checked: whether it exists is known when it
    /// is routed to.
    pub fn new(
        topic: impl Into<Arc<str>>,
        broker_name: impl Into<Arc<str>>,
        queue_id: i32,
    ) -> Self {
        Self {
            topic: topic.into(),
            broker_name: broker_name.into(),
            queue_id,
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The name of the broker.
    #[must_use]
    pub fn broker_name(&self) -> &Arc<str> {
        &self.broker_name
    }

    /// The number of the queue, from 0.
    #[must_use]
    pub fn queue_id(&self) -> i32 {
        self.queue_id
    }

    /// `topic:broker:queue`, unique within a cluster.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}:{}:{}", self.topic, self.broker_name, self.queue_id)
    }
}

impl fmt::Debug for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageQueue({self})")
    }
}

impl fmt::Display for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.topic, self.broker_name, self.queue_id)
    }
}

/// A queue together with the broker that serves it, as names: what notes about a send
/// keep, behind one shared pointer, without keeping the broker itself.
pub struct QueuePlace {
    queue: MessageQueue,
    broker: Arc<str>,
    address: Arc<str>,
    prepared: OnceLock<PreparedSend>,
}

impl fmt::Debug for QueuePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueuePlace")
            .field("queue", &self.queue)
            .field("broker", &self.broker)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl QueuePlace {
    pub(crate) fn new(queue: MessageQueue, broker: Arc<str>, address: Arc<str>) -> Self {
        Self {
            queue,
            broker,
            address,
            prepared: OnceLock::new(),
        }
    }

    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &MessageQueue {
        &self.queue
    }

    /// The name of the broker that serves it. For a static topic it is another than the
    /// queue's.
    #[must_use]
    pub fn broker(&self) -> &Arc<str> {
        &self.broker
    }

    /// The address of the broker's master; empty if the queue has no broker.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// What all sends of the owner to this queue have in common, encoded by the first.
    pub fn prepared(&self, prepare: impl FnOnce() -> PreparedSend) -> &PreparedSend {
        self.prepared.get_or_init(prepare)
    }
}
