//! Requests: messages whose consumer answers with a reply.
//!
//! A reply goes to a broker of the consumer's choice, in the topic `<cluster>_REPLY_TOPIC`, and that broker hands it to
//! the client that the request names. So before the first request of a topic all masters are made to know this client
//! that the topic or its cluster's reply topic is on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::routing::remoting::message::MessageError;
use crate::config::routing::remoting::{Delivery, Message};
use crate::core::Core;
use crate::deadline;
use crate::error::SendError;
use crate::lifecycle::State;
use crate::options::SendOptions;
use crate::receipt::SendReceipt;
use crate::reply::Reply;

/// The part of a request's time that making brokers ready may take: one in so many.
const READY_SHARE: u32 = 4;

/// And the most of it.
const READY_PATIENCE: Duration = Duration::from_millis(500);

/// Why a request has no reply.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request itself got no receipt, and no reply shows that it was stored. [`SendError::delivery`] tells whether
    /// it may be.
    #[error("request not acknowledged")]
    Send(#[source] Box<SendError>),
    /// The request was stored, and no reply came in time. Whoever consumes it may have dealt with it all the same.
    #[error("no reply within {timeout:?}")]
    NoReply {
        /// Where the request was stored.
        receipt: Box<SendReceipt>,
        /// The time that was given.
        timeout: Duration,
    },
    /// As many requests of this producer wait for replies as sends may be under way (setting `async_send_semaphore`).
    /// Nothing was sent.
    #[error("{limit} requests wait for replies already")]
    QueueFull {
        /// The bound.
        limit: usize,
    },
    /// The message cannot carry what makes it a request. Nothing was sent.
    #[error("message cannot be a request")]
    Message(#[source] Arc<MessageError>),
    /// The request was stored, and the producer was shut down before a reply came.
    #[error("producer shut down before the reply came")]
    ShutDown {
        /// Where the request was stored.
        receipt: Box<SendReceipt>,
    },
}

impl RequestError {
    /// Where the request was stored, if that is known.
    #[must_use]
    pub fn receipt(&self) -> Option<&SendReceipt> {
        match self {
            Self::NoReply { receipt, .. } | Self::ShutDown { receipt } => Some(receipt),
            Self::Send(_) | Self::QueueFull { .. } | Self::Message(_) => None,
        }
    }

    /// Whether the request may be stored; nothing if it is.
    #[must_use]
    pub fn delivery(&self) -> Option<Delivery> {
        match self {
            Self::Send(error) => Some(error.delivery()),
            Self::QueueFull { .. } | Self::Message(_) => Some(Delivery::NotSent),
            Self::NoReply { .. } | Self::ShutDown { .. } => None,
        }
    }
}

impl Core {
    /// Sends a request and waits for its reply, all within `timeout`.
    pub(crate) async fn request(
        self: &Arc<Self>,
        message: Message,
        timeout: Duration,
        options: SendOptions,
    ) -> Result<Reply, RequestError> {
        let began = Instant::now();
        let deadline = deadline::after(began, timeout);
        let limit = self.ledger.gate().limit();
        let Ok(_place) = self.requests.try_acquire() else {
            return Err(RequestError::QueueFull { limit });
        };
        let replies = self.client.requests.replies();
        let mut waiting = replies.wait();
        let message = message
            .as_request(waiting.id(), &self.client.id, timeout)
            .map_err(|error| RequestError::Message(Arc::new(error)))?;
        if self.state.get() == State::Running {
            let until = deadline::after(began, (timeout / READY_SHARE).min(READY_PATIENCE));
            let ready = replies.ready(message.topic_shared());
            let preparing = ready.get_or_init(|| self.prepare_for_replies(&message, until));
            // What is not ready by then may still be so when the reply comes.
            let _ = tokio::time::timeout_at(until, preparing).await;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let sent = self.send(&message, &options.timeout(left), false).await;
        let answered = |message, receipt| Reply {
            message,
            receipt,
            latency: began.elapsed(),
        };
        let receipt = match sent {
            Ok(receipt) => receipt,
            Err(error) => {
                let error = Box::new(error);
                return match waiting.take() {
                    Some(reply) => Ok(answered(reply, Err(error))),
                    None => Err(RequestError::Send(error)),
                };
            }
        };
        let reply = tokio::select! {
            biased;
            reply = waiting.reply() => reply,
            () = self.cancel.cancelled() => {
                let receipt = Box::new(receipt);
                return Err(RequestError::ShutDown { receipt });
            }
            () = tokio::time::sleep_until(deadline) => None,
        };
        match reply {
            Some(reply) => Ok(answered(reply, Ok(receipt))),
            None => Err(RequestError::NoReply {
                receipt: Box::new(receipt),
                timeout,
            }),
        }
    }

    /// Makes the brokers that a reply may come through know this client.
    async fn prepare_for_replies(&self, message: &Message, until: Instant) {
        let mapping = &self.client.mapping;
        let Ok(entry) = mapping.topic(message.topic(), until).await else {
            // The send will say so.
            return;
        };
        let Some(route) = entry.route() else { return };
        let mut addresses = BTreeSet::new();
        let mut clusters = BTreeSet::new();
        for broker in route.brokers() {
            addresses.insert(Arc::clone(broker.address()));
            clusters.insert(Arc::clone(broker.cluster()));
        }
        for cluster in clusters {
            // Java: `MixAll.getReplyTopic`. Kept in the cache from now on, so that heartbeats reach its brokers.
            let topic = format!("{cluster}_REPLY_TOPIC");
            let entry = mapping.topic(&topic, until).await;
            if let Some(route) = entry.ok().and_then(|entry| entry.route()) {
                addresses.extend(route.brokers().map(|broker| Arc::clone(broker.address())));
            }
        }
        let addresses = addresses.into_iter().collect();
        let heartbeats = &self.client.heartbeats;
        let _ = heartbeats.beat_all(&self.client.brokers, addresses).await;
    }
}
