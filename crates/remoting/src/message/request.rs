//! A message that asks for a reply.

use std::time::Duration;

use super::property::{CORRELATION_ID, REPLY_TO_CLIENT, TTL};
use super::{Message, MessageError};

impl Message {
    /// Makes it a request: whoever consumes it may send a reply, which brokers hand to the client `client_id`. The reply
    /// names the request by `correlation_id`, and is not worth sending after `ttl` any more. Java:
    /// `DefaultMQProducerImpl.prepareSendRequest`.
    ///
    /// # Errors
    /// When an id is blank or holds U+0001 or U+0002, or the properties become too long.
    pub fn as_request(
        mut self,
        correlation_id: &str,
        client_id: &str,
        ttl: Duration,
    ) -> Result<Self, MessageError> {
        self.properties.set(CORRELATION_ID, correlation_id)?;
        self.properties.set(REPLY_TO_CLIENT, client_id)?;
        self.properties.set(TTL, &ttl.as_millis().to_string())?;
        Ok(self)
    }
}
