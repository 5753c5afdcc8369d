//! Requests: their replies are printed as they come, and are in the ledger.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rocketmq_producer::remoting::with_causes;
use rocketmq_producer::{Message, Producer, Reply, RequestError, SendError, SendReceipt};
use serde::Serialize;
use serde_json::Value;
use tokio::time::sleep;

/// Before a request for which there was no place is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// What came of a request beside its receipt.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    /// A reply whose body is text.
    Text { reply: String, ms: u64 },
    /// A reply of other bytes, in base64.
    Bytes { reply_base64: String, ms: u64 },
    /// Why there is none.
    None { error: String },
}

/// What became of a request.
#[derive(Debug)]
pub(super) struct Asked {
    /// The outcome of its message; nothing if it cannot be a request, so that nothing was sent.
    pub(super) sent: Option<Result<SendReceipt, SendError>>,
    /// What was answered; nothing if it was not stored.
    pub(super) answer: Option<Answer>,
}

/// Sends a request and waits for its reply.
pub(super) async fn ask(producer: &Producer, message: Message, timeout: Duration) -> Asked {
    loop {
        let error = match producer.request(message.clone(), timeout).await {
            Ok(reply) => {
                let answer = Some(Answer::of(&reply));
                let sent = Some(reply.receipt.map_err(|error| *error));
                return Asked { sent, answer };
            }
            Err(error) => error,
        };
        let answer = Some(Answer::None {
            error: with_causes(&error),
        });
        let sent = match error {
            RequestError::Send(error) => {
                return Asked {
                    sent: Some(Err(*error)),
                    answer: None,
                };
            }
            RequestError::NoReply { receipt, .. } | RequestError::ShutDown { receipt } => {
                Some(Ok(*receipt))
            }
            // As many wait as may.
            RequestError::QueueFull { .. } => {
                sleep(PAUSE).await;
                continue;
            }
            _ => None,
        };
        return Asked { sent, answer };
    }
}

impl Answer {
    fn of(reply: &Reply) -> Self {
        let ms = u64::try_from(reply.latency.as_millis()).unwrap_or(u64::MAX);
        match std::str::from_utf8(reply.body()) {
            Ok(text) => Self::Text {
                reply: text.to_owned(),
                ms,
            },
            Err(_) => Self::Bytes {
                reply_base64: STANDARD.encode(reply.body()),
                ms,
            },
        }
    }

    /// Why there is no reply, if there is none.
    pub(crate) fn error(&self) -> Option<&str> {
        match self {
            Self::None { error } => Some(error),
            _ => None,
        }
    }

    /// The line of JSON that is printed: which request, and its reply.
    pub(super) fn to_line(&self, line: u64, id: &Value) -> String {
        let printed = Printed {
            line,
            id,
            answer: self,
        };
        // Strings and numbers: serde_json cannot fail on these.
        serde_json::to_string(&printed).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Printed<'a> {
    line: u64,
    #[serde(skip_serializing_if = "is_null")]
    id: &'a Value,
    #[serde(flatten)]
    answer: &'a Answer,
}

fn is_null(id: &&Value) -> bool {
    id.is_null()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_reply_names_its_request() {
        let text = Answer::Text {
            reply: "re: a".into(),
            ms: 7,
        };
        assert_eq!(
            text.to_line(3, &Value::from("x")),
            r#"{"line":3,"id":"x","reply":"re: a","ms":7}"#
        );
        let bytes = Answer::Bytes {
            reply_base64: "/w==".into(),
            ms: 0,
        };
        assert_eq!(
            bytes.to_line(1, &Value::Null),
            r#"{"line":1,"reply_base64":"/w==","ms":0}"#
        );
    }
}
