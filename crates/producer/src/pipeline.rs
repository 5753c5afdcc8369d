//! The one way every message goes: check, admit, stamp, deliver, report.

mod aside;
mod attempting;
mod delivery;
mod entrance;
mod exchange;
mod explicit;
mod gather;
mod hedge;
mod joint;
mod pack;
mod parcel;
mod place;
mod single;
mod watched;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use self::delivery::Delivered;
use self::exchange::{OneWay, Stored, TwoWay};
use self::parcel::{Errand, Parcel, Stamp};
use crate::attempt::Attempt;
use crate::compression::Packed;
use crate::config::routing::remoting::message::MessageId;
use crate::config::routing::remoting::{Delivery as Certainty, Message};
use crate::config::routing::{KeyedFailover, MessageQueue, RoutingStrategy};
use crate::core::Core;
use crate::deadline;
use crate::error::{SendError, SendFailure};
use crate::kind::Via;
use crate::lanes::Turn;
use crate::ledger::Visit;
use crate::message_trace::Published;
use crate::options::{SendOptions, Target};
use crate::outcome::Outcome;
use crate::receipt::SendReceipt;

pub(crate) use self::gather::Gatherer;
use self::single::Entrance;

/// The most that is kept of a send's budget for its first attempt, however long it waits for its place.
const LAST_CHANCE: Duration = Duration::from_millis(100);

impl Core {
    /// Sends a message, alone or, if it `joins` others, together with them, and waits for the receipt.
    pub(crate) fn send(
        self: &Arc<Self>,
        message: &Message,
        options: &SendOptions,
        joins: bool,
    ) -> impl Future<Output = Result<SendReceipt, SendError>> + Send {
        self.send_single::<TwoWay>(
            message,
            options,
            if joins {
                &Entrance::JOINING
            } else {
                &Entrance::ALONE
            },
        )
    }

    /// Sends a message without asking for an answer.
    pub(crate) fn send_oneway(
        self: &Arc<Self>,
        message: &Message,
        options: &SendOptions,
    ) -> impl Future<Output = Result<MessageId, SendError>> + Send {
        self.send_single::<OneWay>(message, options, &Entrance::ALONE)
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

/// What a message under way holds until its outcome.
struct Pledge<'a> {
    visit: Visit<'a>,
    turn: Option<Turn<'a>>,
}

impl Pledge<'_> {
    fn end(self, outcome: Outcome) {
        if let Some(turn) = &self.turn {
            turn.set_doubt(outcome == Outcome::Failed(Certainty::Unknown));
        }
        self.visit.end(outcome);
    }
}

impl<'a> Call<'a> {
    fn new(core: &'a Core, message: &'a Message, options: &'a SendOptions, began: Instant) -> Self {
        let timeout = options.timeout.unwrap_or(core.config.send_msg_timeout);
        Self {
            core,
            message,
            options,
            began,
            deadline: deadline::after(began, timeout),
        }
    }

    fn start_by(self) -> Instant {
        self.errand().start_by()
    }

    /// The key by whose hash the queue is chosen, if it is.
    fn key(self) -> Option<&'a str> {
        let by_keys = || {
            let by_hash = self.core.router.strategy() == RoutingStrategy::MessageHash;
            by_hash.then(|| self.message.keys().next()).flatten()
        };
        self.message.sharding_key().or_else(by_keys)
    }

    /// Whether the message may go to one queue only.
    fn is_bound(self) -> bool {
        match &self.options.target {
            Target::Strategy => {
                self.core.config.keyed_failover == KeyedFailover::Stay && self.key().is_some()
            }
            _ => true,
        }
    }

    /// What the message counts for among the bytes under way.
    fn bytes(self) -> usize {
        self.message.body().len() + self.message.properties().wire_len()
    }

    /// How the message travels.
    fn parcel<'b>(self, packed: Option<&'b Packed>, stamp: &'b Stamp) -> Parcel<'b>
    where
        'a: 'b,
    {
        let Some(packed) = packed else {
            return Parcel {
                sys_flag: self.options.sys_flag,
                ..Parcel::single(self.message, self.message.body(), stamp)
            };
        };
        Parcel {
            sys_flag: packed.sys_flag | self.options.sys_flag,
            ..Parcel::single(self.message, &packed.body, stamp)
        }
    }

    /// What is to be done with the parcel.
    fn errand(self) -> Errand<'a> {
        Errand {
            core: self.core,
            topic: self.message.topic_shared(),
            message: Some(self.message),
            target: &self.options.target,
            sends: 1,
            is_immediate: self.options.is_immediate,
            bytes: self.bytes(),
            began: self.began,
            deadline: self.deadline,
        }
    }

    fn receipt(
        self,
        stamp: Stamp,
        delivered: Delivered<Stored>,
        body_length: usize,
    ) -> SendReceipt {
        let Delivered {
            routing,
            answer,
            attempt,
            earlier_attempts,
            at,
        } = delivered;
        self.core.count_retries(earlier_attempts.len());
        let latency = if earlier_attempts.is_empty() {
            attempt.began_after + attempt.elapsed
        } else {
            at.duration_since(self.began)
        };
        self.core.metrics.stored(latency);
        if let (Some(tracer), Some(told)) = (&self.core.tracer, &answer.told) {
            let published = Published::new(
                self.message.topic(),
                stamp.id.as_str(),
                |name| self.message.property(name),
                body_length,
                answer.status,
                answer.offset_message_id.as_ref(),
            );
            tracer.published(told, &attempt, &published);
        }
        let queue = routing.queue();
        let other_queue = other_queue(queue, answer.queue_id);
        if self.core.config.debug_enabled {
            let queue = other_queue.as_deref().unwrap_or(queue);
            debug!(
                message_id = %stamp.id, queue = %queue, offset = answer.queue_offset,
                status = %answer.status, ?latency, "message stored"
            );
        }
        SendReceipt {
            status: answer.status,
            message_id: stamp.id,
            born_timestamp: stamp.born,
            other_queue,
            queue_offset: answer.queue_offset,
            offset_message_id: answer.offset_message_id,
            transaction_id: answer.transaction_id,
            via: if self.options.sys_flag == 0 {
                Via::of(self.message, stamp.born)
            } else {
                Some(Via::Half)
            },
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

/// The queue that a broker named, if it is another than the one it was sent to: a static topic's queue has another
/// number at the broker that stores it.
fn other_queue(queue: &MessageQueue, named: i32) -> Option<Arc<MessageQueue>> {
    (queue.queue_id() != named).then(|| {
        let (topic, broker) = (Arc::clone(queue.topic()), Arc::clone(queue.broker_name()));
        Arc::new(MessageQueue::new(topic, broker, named))
    })
}
