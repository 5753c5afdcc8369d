//! Offsets of one queue.

use super::{Admin, AdminError};
use crate::config::routing::MessageQueue;
use crate::config::routing::remoting::RequestHeader;
use crate::config::routing::remoting::protocol::offset_query::read_offset;
use crate::config::routing::remoting::protocol::{
    Boundary, GetOffsetRequestHeader, QueueEnd, SearchOffsetRequestHeader,
};

impl Admin {
    /// Offset of a queue's oldest message. Java: `MQAdmin.minOffset`.
    ///
    /// # Errors
    /// If the topic has no route, the queue's broker no master, or the master gives no answer. A queue that the broker
    /// does not have is no error: its offsets are 0.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn min_offset(&self, queue: &MessageQueue) -> Result<i64, AdminError> {
        self.end_of(queue, QueueEnd::Oldest).await
    }

    /// Offset that a queue's next message will have. Java: `MQAdmin.maxOffset`.
    ///
    /// # Errors
    /// As [`min_offset`](Self::min_offset).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn max_offset(&self, queue: &MessageQueue) -> Result<i64, AdminError> {
        self.end_of(queue, QueueEnd::Next).await
    }

    /// Offset of the first message that a queue stored at `timestamp` or later, in milliseconds since 1970 by the
    /// broker's clock. After the newest message it is that message's offset plus one, or on older brokers its own. Java:
    /// `MQAdmin.searchOffset`.
    ///
    /// # Errors
    /// As [`min_offset`](Self::min_offset).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn search_offset(
        &self,
        queue: &MessageQueue,
        timestamp: i64,
        boundary: Boundary,
    ) -> Result<i64, AdminError> {
        let topic = self.full_name(queue.topic());
        let header = SearchOffsetRequestHeader::new(
            queue.broker_name(),
            &topic,
            queue.queue_id(),
            timestamp,
            boundary,
        );
        self.offset(queue, &header).await
    }

    async fn end_of(&self, queue: &MessageQueue, end: QueueEnd) -> Result<i64, AdminError> {
        let topic = self.full_name(queue.topic());
        let (broker, id) = (queue.broker_name(), queue.queue_id());
        let header = GetOffsetRequestHeader::new(end, broker, &topic, id);
        self.offset(queue, &header).await
    }

    async fn offset<H: RequestHeader + Sync>(
        &self,
        queue: &MessageQueue,
        header: &H,
    ) -> Result<i64, AdminError> {
        let deadline = self.deadline();
        let topic = self.full_name(queue.topic());
        let route = self.route_before(&topic, deadline).await?;
        let mut brokers = route.broker_datas.iter();
        let broker = brokers.find(|broker| *broker.broker_name == **queue.broker_name());
        let Some(address) = broker.and_then(|broker| broker.master()) else {
            return Err(AdminError::NoMaster(format!("queue {queue}").into()));
        };
        let answer = self.success(address, header, deadline).await?;
        read_offset(answer.frame()).map_err(|error| AdminError::malformed(address, &error))
    }
}
