//! What a broker answers about itself and its queues.

use rocketmq_producer_remoting::{RemotingCommand, RequestCode, ResponseCode};
use serde_json::json;

use super::Broker;

/// Smallest offset of a queue.
pub(super) const GET_MIN_OFFSET: RequestCode = RequestCode(31);

impl Broker {
    /// A few of the many lines of a real broker.
    pub(super) fn runtime_info(&self) -> RemotingCommand {
        let table = json!({"table": {
            "brokerActive": "true",
            "brokerVersion": "513",
            "brokerVersionDesc": "V5_5_0",
            "msgPutTotalTodayNow": self.store.count().to_string(),
        }});
        RemotingCommand::response(ResponseCode::SUCCESS, 0, None).with_body(table.to_string())
    }

    pub(super) fn max_offset(&self, request: &RemotingCommand) -> RemotingCommand {
        let queue = request.field("queueId").and_then(|id| id.parse().ok());
        let offset = self.store.max_offset(
            request.field("topic").unwrap_or_default(),
            queue.unwrap_or(-1),
        );
        RemotingCommand::response(ResponseCode::SUCCESS, 0, None)
            .with_field("offset", offset.to_string())
    }

    /// Nothing is ever removed from the front of a queue.
    pub(super) fn min_offset(&self, _: &RemotingCommand) -> RemotingCommand {
        RemotingCommand::response(ResponseCode::SUCCESS, 0, None).with_field("offset", "0")
    }
}
