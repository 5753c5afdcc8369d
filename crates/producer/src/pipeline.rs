//! The one way every message goes: check, admit, stamp, deliver, report.

mod delivery;
mod exchange;
mod place;

use std::sync::Arc;

use tokio::time::Instant;
use tracing::debug;

use self::delivery::{Delivered, Delivery};
use self::exchange::{OneWay, Stored, TwoWay};
use crate::attempt::Attempt;
use crate::config::routing::MessageQueue;
use crate::config::routing::remoting::Message;
use crate::config::routing::remoting::message::{MessageId, SystemClock, WallClock};
use crate::core::Core;
use crate::deadline;
use crate::error::{FullBound, SendError, SendFailure};
use crate::gate::Refusal;
use crate::ledger::Visit;
use crate::lifecycle::State;
use crate::options::SendOptions;
use crate::outcome::Outcome;
use crate::receipt::SendReceipt;

impl Core {
    /// Sends a message and waits for the receipt.
    pub(crate) async fn send(
        &self,
        message: &Message,
        options: &SendOptions,
    ) -> Result<SendReceipt, SendError> {
        let call = Call::new(self, message, options);
        let (visit, stamp) = call.admit().await?;
        let outcome = match Delivery::<TwoWay>::new(call, stamp).run().await {
            Ok(delivered) => Ok(call.receipt(stamp, delivered)),
            Err((cause, attempts)) => Err(call.failed(stamp, cause, attempts)),
        };
        visit.end(match &outcome {
            Ok(_) => Outcome::Acked,
            Err(error) => Outcome::Failed(error.delivery()),
        });
        outcome
    }

    /// Sends a message without asking for an answer.
    pub(crate) async fn send_oneway(
        &self,
        message: &Message,
        options: &SendOptions,
    ) -> Result<MessageId, SendError> {
        let call = Call::new(self, message, options);
        let (visit, stamp) = call.admit().await?;
        let outcome = match Delivery::<OneWay>::new(call, stamp).run().await {
            Ok(delivered) => Ok(call.written(stamp, &delivered)),
            Err((cause, attempts)) => Err(call.failed(stamp, cause, attempts)),
        };
        visit.end(match &outcome {
            Ok(_) => Outcome::OnewayWritten,
            Err(error) => Outcome::Failed(error.delivery()),
        });
        outcome
    }
}

/// One call of `send`: what was asked, and until when.
#[derive(Clone, Copy)]
struct Call<'a> {
    core: &'a Core,
    message: &'a Message,
    options: &'a SendOptions,
    began: Instant,
    deadline: Instant,
}

/// What a message is marked with on admission. It stays the same over all attempts.
#[derive(Clone, Copy)]
struct Stamp {
    id: MessageId,
    /// When the message was stamped, in milliseconds since 1970.
    born: i64,
}

impl<'a> Call<'a> {
    fn new(core: &'a Core, message: &'a Message, options: &'a SendOptions) -> Self {
        let began = Instant::now();
        let timeout = options.timeout.unwrap_or(core.config.send_msg_timeout);
        Self {
            core,
            message,
            options,
            began,
            deadline: deadline::after(began, timeout),
        }
    }

    /// Checks the message, waits for a place and stamps the message.
    async fn admit(self) -> Result<(Visit<'a>, Stamp), SendError> {
        let core = self.core;
        if let Err(cause) = self.check() {
            core.count_refusal();
            return Err(self.error(None, cause, Vec::new()));
        }
        let mut visit = core.ledger.begin();
        if let Err(cause) = self.enter(&mut visit).await {
            let error = self.error(None, cause, Vec::new());
            visit.end(Outcome::Failed(error.delivery()));
            return Err(error);
        }
        let millis = SystemClock.epoch_millis();
        let stamp = Stamp {
            id: core.ids.next_id_at(millis),
            // Saturates in the year 292 278 994.
            born: i64::try_from(millis).unwrap_or(i64::MAX),
        };
        Ok((visit, stamp))
    }

    fn check(self) -> Result<(), SendFailure> {
        let (core, config) = (self.core, &self.core.config);
        let state = core.state.get();
        if state != State::Running {
            return Err(SendFailure::State(state));
        }
        self.message
            .check_limits(config.max_message_size, config.property_margin.as_usize())
            .map_err(SendFailure::Message)
    }

    async fn enter(self, visit: &mut Visit<'a>) -> Result<(), SendFailure> {
        let core = self.core;
        let entered = visit.enter(self.bytes(), self.deadline).await;
        entered.map_err(|refusal| match refusal {
            Refusal::Closed => SendFailure::State(core.state.get()),
            Refusal::TooLarge => SendFailure::QueueFull {
                bound: FullBound::Bytes,
                limit: core.ledger.gate().byte_limit(),
            },
            Refusal::TooMany => SendFailure::QueueFull {
                bound: FullBound::Sends,
                limit: core.ledger.gate().limit() as u64,
            },
        })
    }

    /// What the message counts for among the bytes under way.
    fn bytes(self) -> usize {
        self.message.body().len() + self.message.properties().wire_len()
    }

    fn receipt(self, stamp: Stamp, delivered: Delivered<Stored>) -> SendReceipt {
        let Delivered {
            routing,
            answer,
            attempt,
            earlier_attempts,
        } = delivered;
        self.core.count_retries(earlier_attempts.len());
        let latency = self.began.elapsed();
        let mut queue = routing.queue().clone();
        if queue.queue_id() != answer.queue_id {
            // A static topic's queue has another number at the broker that stores it.
            let broker = Arc::clone(queue.broker_name());
            queue = MessageQueue::new(Arc::clone(queue.topic()), broker, answer.queue_id);
        }
        if self.core.config.debug_enabled {
            debug!(
                message_id = %stamp.id, queue = %queue, offset = answer.queue_offset,
                status = %answer.status, ?latency, "message stored"
            );
        }
        SendReceipt {
            status: answer.status,
            message_id: stamp.id,
            born_timestamp: stamp.born,
            queue,
            queue_offset: answer.queue_offset,
            offset_message_id: answer.offset_message_id,
            transaction_id: answer.transaction_id,
            latency,
            earlier_attempts,
            attempt,
        }
    }

    fn written(self, stamp: Stamp, delivered: &Delivered<()>) -> MessageId {
        self.core.count_retries(delivered.earlier_attempts.len());
        if self.core.config.debug_enabled {
            debug!(message_id = %stamp.id, queue = %delivered.routing.queue(), "message written");
        }
        stamp.id
    }

    /// The error of a send that was admitted.
    fn failed(self, stamp: Stamp, cause: SendFailure, attempts: Vec<Attempt>) -> SendError {
        self.core.count_retries(attempts.len().saturating_sub(1));
        self.error(Some(stamp.id), cause, attempts)
    }

    fn error(
        self,
        message_id: Option<MessageId>,
        cause: SendFailure,
        attempts: Vec<Attempt>,
    ) -> SendError {
        let topic = Arc::clone(self.message.topic_shared());
        let elapsed = self.began.elapsed();
        let error = SendError::new(topic, message_id, elapsed, attempts, cause);
        if self.core.config.debug_enabled {
            debug!(?message_id, %error, "send failed");
        }
        error
    }
}
