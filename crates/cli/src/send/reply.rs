//! Lines that are requests: their replies are printed as they come.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rocketmq_producer::{Message, Producer, Reply, RequestError, SendError, SendReceipt};
use serde_json::json;
use tokio::time::sleep;

use crate::failure::one_line;

/// Before a request for which there was no place is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// What came of a request that was stored.
#[derive(Debug)]
pub(super) enum Answer {
    /// The reply as a line of JSON.
    Reply(String),
    /// Why there is none.
    None(String),
}

/// Sends a request; its outcome is that of its message, beside which is what was answered.
pub(super) async fn ask(
    producer: &Producer,
    message: Message,
    timeout: Duration,
) -> (Result<SendReceipt, SendError>, Option<Answer>) {
    loop {
        let error = match producer.request(message.clone(), timeout).await {
            Ok(reply) => {
                let answer = Some(Answer::Reply(line(&reply)));
                return (reply.receipt.map_err(|error| *error), answer);
            }
            Err(error) => error,
        };
        let reason = one_line(&error);
        match error {
            RequestError::Send(error) => return (Err(*error), None),
            RequestError::NoReply { receipt, .. } | RequestError::ShutDown { receipt } => {
                return (Ok(*receipt), Some(Answer::None(reason)));
            }
            // As many wait as may.
            RequestError::QueueFull { .. } => sleep(PAUSE).await,
            // It fails as any message with properties that are too long.
            _ => return (producer.send(message).await, Some(Answer::None(reason))),
        }
    }
}

fn line(reply: &Reply) -> String {
    let millis = reply.latency.as_millis();
    match std::str::from_utf8(reply.body()) {
        Ok(body) => json!({ "reply": body, "ms": millis }),
        Err(_) => json!({ "reply_base64": STANDARD.encode(reply.body()), "ms": millis }),
    }
    .to_string()
}
