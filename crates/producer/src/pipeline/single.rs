//! A message by itself, with or without an answer: from admission to its outcome.

use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::Call;
use super::delivery::{Delivered, Delivery};
use super::exchange::{Exchange, OneWay, Stored, TwoWay};
use super::gather::Gathered;
use super::parcel::Stamp;
use crate::config::routing::remoting::Message;
use crate::config::routing::remoting::message::{MessageId, Namespace};
use crate::core::Core;
use crate::error::SendError;
use crate::hooks::SendOutcome;
use crate::options::SendOptions;
use crate::outcome::Outcome;
use crate::receipt::SendReceipt;

/// How a single message is sent.
pub(super) trait Single: Exchange {
    /// What the caller gets for a message that was sent.
    type Proof: Send + Sync;

    /// How such a message is counted.
    const SUCCESS: Outcome;

    /// Whether no answer is asked for.
    const IS_ONEWAY: bool;

    /// What the caller gets for a message that went with others.
    fn joined(result: Result<SendReceipt, SendError>) -> Result<Self::Proof, SendError>;

    fn proof(
        call: Call<'_>,
        stamp: Stamp,
        delivered: Delivered<Self::Answer>,
        body_length: usize,
    ) -> Self::Proof;

    /// The proof with its queue named as of that topic.
    fn with_topic(proof: Self::Proof, topic: &Arc<str>) -> Self::Proof;

    /// The outcome, as hooks are told it.
    fn outcome(result: &Result<Self::Proof, SendError>) -> SendOutcome<'_>;
}

impl Single for TwoWay {
    type Proof = SendReceipt;

    const SUCCESS: Outcome = Outcome::Acked;

    const IS_ONEWAY: bool = false;

    fn joined(result: Result<SendReceipt, SendError>) -> Result<SendReceipt, SendError> {
        result
    }

    fn proof(
        call: Call<'_>,
        stamp: Stamp,
        delivered: Delivered<Stored>,
        body_length: usize,
    ) -> SendReceipt {
        call.receipt(stamp, delivered, body_length)
    }

    fn with_topic(receipt: SendReceipt, topic: &Arc<str>) -> SendReceipt {
        receipt.with_topic(topic)
    }

    fn outcome(result: &Result<SendReceipt, SendError>) -> SendOutcome<'_> {
        match result {
            Ok(receipt) => SendOutcome::Stored(receipt),
            Err(error) => SendOutcome::Failed(error),
        }
    }
}

impl Single for OneWay {
    type Proof = MessageId;

    const SUCCESS: Outcome = Outcome::OnewayWritten;

    const IS_ONEWAY: bool = true;

    fn joined(result: Result<SendReceipt, SendError>) -> Result<MessageId, SendError> {
        result.map(|receipt| *receipt.message_id())
    }

    fn proof(call: Call<'_>, stamp: Stamp, delivered: Delivered<()>, _: usize) -> MessageId {
        call.written(stamp, &delivered)
    }

    fn with_topic(id: MessageId, _: &Arc<str>) -> MessageId {
        id
    }

    fn outcome(result: &Result<MessageId, SendError>) -> SendOutcome<'_> {
        match result {
            Ok(id) => SendOutcome::Written(id),
            Err(error) => SendOutcome::Failed(error),
        }
    }
}

/// A future of its own, so that it may hold one like that which holds it.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How a message comes in.
#[derive(Clone, Copy)]
pub(super) struct Entrance {
    /// Whether it may go with others.
    pub(super) joins: bool,
    /// Whether hooks are still to see it.
    pub(super) is_front: bool,
    /// When the caller called, unless that was now.
    pub(super) began: Option<Instant>,
}

impl Entrance {
    /// That of a message which a caller has just given, and which may go with others.
    pub(super) const JOINING: Self = Self {
        joins: true,
        is_front: true,
        began: None,
    };

    /// That of one which goes by itself.
    pub(super) const ALONE: Self = Self {
        joins: false,
        ..Self::JOINING
    };
}

impl Core {
    /// Sends a message, alone or, if it `joins` others, together with them.
    // One future for all of it: what is handed from one to another would have room in both.
    pub(super) async fn send_single<X: Single>(
        self: &Arc<Self>,
        message: &Message,
        options: &SendOptions,
        entrance: &Entrance,
    ) -> Result<X::Proof, SendError> {
        if let Some(namespace) = self.namespace_for(options) {
            return self
                .send_in::<X>(namespace, message, options, entrance)
                .await;
        }
        let began = entrance.began.unwrap_or_else(Instant::now);
        let call = Call::new(self, message, options, began);
        if entrance.is_front && self.is_watched() {
            return self.send_watched::<X>(call, entrance.joins).await;
        }
        let joins = if entrance.joins {
            call.may_join()
        } else {
            None
        };
        let (admitted, _alone) = match joins {
            None => match call.admit_now() {
                Some(admitted) => (admitted, None),
                // Rare, so boxed: the future of a send should be small.
                None => (Box::pin(call.admit()).await?, None),
            },
            Some(wait) => match self.gather(call, wait).await {
                Gathered::Alone(admitted, alone) => (admitted, Some(alone)),
                Gathered::Ended(result) => return X::joined(result),
            },
        };
        let (packed, admitted) = match call.compressor() {
            None => (None, admitted),
            Some(compressor) => Box::pin(call.pack(compressor, admitted)).await?,
        };
        let at = packed.is_none().then_some(admitted.at);
        let (pledge, stamp, bound) = admitted.split();
        let parcel = call.parcel(packed.as_deref(), &stamp);
        let mut delivery = Delivery::<X>::new(call.errand(), parcel, bound).ready_at(at);
        let outcome = match delivery.run(pledge.turn.as_ref()).await {
            Ok(delivered) => {
                let packed = packed.as_ref().map(|packed| packed.body.len());
                let sent = packed.unwrap_or_else(|| message.body().len());
                Ok(X::proof(call, stamp, delivered, sent))
            }
            Err((cause, attempts)) => Err(call.failed(stamp, cause, attempts)),
        };
        pledge.end(match &outcome {
            Ok(_) => X::SUCCESS,
            Err(error) => Outcome::Failed(error.delivery()),
        });
        outcome
    }

    /// Sends a message to the topic of its name in the namespace. Boxed, as all that is rare on the way of a send.
    fn send_in<'a, X: Single>(
        self: &'a Arc<Self>,
        namespace: &'a Namespace,
        message: &'a Message,
        options: &'a SendOptions,
        entrance: &'a Entrance,
    ) -> Boxed<'a, Result<X::Proof, SendError>> {
        Box::pin(async move {
            let wrapped = message.in_namespace(namespace);
            let options = options.in_namespace(namespace);
            let topic = message.topic_shared();
            match self.send_single::<X>(&wrapped, &options, entrance).await {
                Ok(proof) => Ok(X::with_topic(proof, topic)),
                Err(error) => Err(error.with_topic(topic)),
            }
        })
    }
}
