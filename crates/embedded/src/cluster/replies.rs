//! Replies to requests, which brokers hand to the clients that wait for them.

use bytes::Bytes;
use rocketmq_producer_remoting::message::Properties;
use rocketmq_producer_remoting::message::property::{CORRELATION_ID, REPLY_TO_CLIENT, TTL};
use rocketmq_producer_remoting::{RemotingCommand, RequestCode};

use super::EmbeddedCluster;
use crate::error::EmbeddedError;
use crate::stored_message::StoredMessage;

impl EmbeddedCluster {
    /// Replies to a stored request as its consumer would, through the given broker; whether that broker knows the client
    /// that waits, as a real one does by its heartbeats. A message that is no request is nobody's.
    ///
    /// # Errors
    /// When there is no such broker, or the reply is longer than a frame may be.
    pub fn reply(
        &self,
        broker: &str,
        request: &StoredMessage,
        body: impl Into<Bytes>,
    ) -> Result<bool, EmbeddedError> {
        let node = self.node(broker)?;
        let waiting = request.property(REPLY_TO_CLIENT);
        let Some(peer) = waiting.and_then(|client| node.broker().producers.client(client)) else {
            return Ok(false);
        };
        let mut properties = Properties::new();
        for name in [CORRELATION_ID, REPLY_TO_CLIENT, TTL] {
            // What a stored message carries can be carried again.
            let _ = properties.set(name, request.property(name).unwrap_or_default());
        }
        let _ = properties.set("MSG_TYPE", "reply");
        let now = node.broker().now().to_string();
        let code = RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT;
        let reply = RemotingCommand::request(code.0, 0)
            .with_field("topic", format!("{}_REPLY_TOPIC", node.cluster))
            .with_field("queueId", "0")
            .with_field("sysFlag", "0")
            .with_field("flag", "0")
            .with_field("bornTimestamp", &*now)
            .with_field("storeTimestamp", &*now)
            .with_field("bornHost", "127.0.0.1:1")
            .with_field("storeHost", node.master.address().to_string())
            .with_field("properties", properties.as_wire())
            .with_body(body);
        peer.push(node.desk().own_request(reply)?);
        Ok(true)
    }
}
