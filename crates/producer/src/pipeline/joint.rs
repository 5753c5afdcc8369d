//! Messages that travel in one request: the request, and what becomes of each message.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::delivery::{Delivered, Delivery};
use super::exchange::{Joined, StoredBatch};
use super::other_queue;
use super::parcel::{Errand, Parcel, Stamp};
use crate::attempt::Attempt;
use crate::config::routing::MessageQueue;
use crate::config::routing::remoting::Delivery as Certainty;
use crate::config::routing::remoting::message::batch::read_batch;
use crate::config::routing::remoting::message::{Properties, property};
use crate::error::{BlockingFailure, SendError, SendFailure};
use crate::lanes::Turn;
use crate::message_trace::{Published, Tracer};
use crate::outcome::Outcome;
use crate::receipt::SendReceipt;

/// Encoded messages that go together.
#[derive(Clone, Copy)]
pub(super) struct Joint<'a> {
    pub(super) errand: Errand<'a>,
    /// The body of a batch, also for a single message.
    pub(super) body: &'a Bytes,
    pub(super) wait: bool,
    /// When the first message was stamped.
    pub(super) born: i64,
    /// Whether they may go to one queue only.
    pub(super) is_bound: bool,
}

/// What became of all messages of one request.
#[derive(Debug)]
pub(super) enum JointOutcome {
    Stored(StoredJointly),
    Failed {
        cause: SendFailure,
        attempts: Vec<Attempt>,
    },
}

/// Where the messages of one request are.
#[derive(Debug)]
pub(super) struct StoredJointly {
    /// The queue that the broker named, if it is not the one that they were sent to.
    other_queue: Option<Arc<MessageQueue>>,
    answer: StoredBatch,
    attempt: Attempt,
    earlier_attempts: Vec<Attempt>,
    ended: Instant,
}

impl Joint<'_> {
    /// Delivers the messages. `cancel` ends waiting for room at a broker that they are bound to.
    pub(super) async fn deliver(
        self,
        turn: Option<&Turn<'_>>,
        cancel: &CancellationToken,
    ) -> JointOutcome {
        let Self { errand, body, .. } = self;
        let bound = if self.is_bound {
            match Box::pin(errand.bind(cancel)).await {
                Ok(bound) => Some(Box::new(bound)),
                Err(cause) => return JointOutcome::failed(cause),
            }
        } else {
            None
        };
        let only = if errand.sends == 1 {
            read_batch(body).next().and_then(Result::ok)
        } else {
            None
        };
        let parcel = match &only {
            // A message by itself needs no batch. Java sends a batch of one as a batch.
            Some(member) => Parcel::lone(member, self.born),
            None => Parcel::batch(body, self.wait, self.born),
        };
        let mut delivery = Delivery::<Joined>::new(errand, parcel, bound);
        match delivery.run(turn).await {
            Ok(delivered) => {
                errand.core.count_retries(delivered.earlier_attempts.len());
                if let Some(tracer) = &errand.core.tracer {
                    trace(tracer, errand.topic, body, &delivered);
                }
                JointOutcome::Stored(StoredJointly::of(delivered))
            }
            Err((cause, attempts)) => {
                errand.core.count_retries(attempts.len().saturating_sub(1));
                JointOutcome::Failed { cause, attempts }
            }
        }
    }
}

/// Traces every message of a request, as the body has it.
fn trace(tracer: &Tracer, topic: &str, body: &Bytes, delivered: &Delivered<StoredBatch>) {
    let answer = &delivered.answer;
    for (index, member) in read_batch(body).map_while(Result::ok).enumerate() {
        let properties = Properties::parse(member.properties());
        let id = properties.get(property::UNIQ_KEY).unwrap_or_default();
        let published = Published::new(
            topic,
            id,
            |name| properties.get(name),
            member.body.len(),
            answer.status,
            answer.offset_message_ids.get(index),
        );
        tracer.published(&answer.told, &delivered.attempt, &published);
    }
}

impl JointOutcome {
    /// Of messages whose delivery was cut short with the runtime.
    pub(super) const fn cut() -> Self {
        Self::failed(SendFailure::Blocking(BlockingFailure::Interrupted))
    }

    pub(super) const fn failed(cause: SendFailure) -> Self {
        let attempts = Vec::new();
        Self::Failed { cause, attempts }
    }

    /// As it counts for every message.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Stored(_) => Outcome::Acked,
            Self::Failed { cause, attempts } => {
                let failures = attempts.iter().filter_map(Attempt::failure);
                let all = failures.chain([cause]).map(SendFailure::delivery);
                Outcome::Failed(all.max().unwrap_or(Certainty::NotSent))
            }
        }
    }

    /// What the message at `index` is told, which was called for at `began`.
    pub(super) fn of(
        &self,
        topic: &Arc<str>,
        index: usize,
        stamp: &Stamp,
        began: Instant,
    ) -> Result<SendReceipt, SendError> {
        match self {
            Self::Stored(stored) => Ok(stored.receipt(index, stamp, began)),
            Self::Failed { cause, attempts } => Err(SendError::new(
                Arc::clone(topic),
                Some(stamp.id),
                began.elapsed(),
                attempts.clone(),
                cause.clone(),
            )),
        }
    }

    /// Tells the log, if it is to know of every send.
    pub(super) fn log(&self, messages: usize) {
        match self {
            Self::Stored(stored) => {
                let StoredBatch {
                    queue_offset,
                    status,
                    ..
                } = stored.answer;
                let queue = stored.other_queue.as_deref();
                let queue = queue.unwrap_or_else(|| stored.attempt.place.queue());
                debug!(messages, %queue, offset = queue_offset, %status, "messages stored");
            }
            Self::Failed { cause, .. } => {
                debug!(
                    messages,
                    failure = cause.with_causes(),
                    "sending messages failed"
                );
            }
        }
    }
}

impl StoredJointly {
    fn of(delivered: Delivered<StoredBatch>) -> Self {
        let Delivered {
            routing,
            answer,
            attempt,
            earlier_attempts,
            at,
        } = delivered;
        Self {
            other_queue: other_queue(routing.queue(), answer.queue_id),
            answer,
            attempt,
            earlier_attempts,
            ended: at,
        }
    }

    /// Time from a call at `began` to the receipt.
    pub(super) fn latency(&self, began: Instant) -> Duration {
        self.ended.saturating_duration_since(began)
    }

    /// The receipt of the message at `index`, which was called for at `began`.
    pub(super) fn receipt(&self, index: usize, stamp: &Stamp, began: Instant) -> SendReceipt {
        let answer = &self.answer;
        let offset = i64::try_from(index).unwrap_or(i64::MAX);
        SendReceipt {
            status: answer.status,
            message_id: stamp.id,
            born_timestamp: stamp.born,
            other_queue: self.other_queue.clone(),
            queue_offset: answer.queue_offset.saturating_add(offset),
            offset_message_id: answer.offset_message_ids.get(index).copied(),
            transaction_id: answer.transaction_id.clone(),
            // Messages of these kinds travel by themselves.
            via: None,
            latency: self.latency(began),
            earlier_attempts: self.earlier_attempts.clone(),
            attempt: self.attempt.clone(),
        }
    }
}
