//! What travels, apart from what was asked: one request's content, and where and until when it is to be delivered.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::config::routing::remoting::message::MessageId;
use crate::config::routing::remoting::message::batch::BatchMember;
use crate::config::routing::remoting::message::half::TRANSACTION_PREPARED;
use crate::config::routing::remoting::{Message, RequestCode};
use crate::core::Core;
use crate::options::Target;

/// What a message is marked with on admission. It stays the same over all attempts.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    pub(super) id: MessageId,
    /// When the message was stamped, in milliseconds since 1970.
    pub(super) born: i64,
}

/// What one request carries: a message, or a batch of them.
#[derive(Clone, Copy)]
pub(super) struct Parcel<'a> {
    pub(super) code: RequestCode,
    /// Whether the body is a batch. This, not the code, is what brokers go by.
    pub(super) is_batch: bool,
    pub(super) body: &'a Bytes,
    /// In wire form, without the id.
    pub(super) properties: &'a str,
    pub(super) flag: i32,
    /// What was done to the body.
    pub(super) sys_flag: i32,
    /// Added to the properties, unless they hold it already or each message in the body has its own.
    pub(super) id: Option<&'a MessageId>,
    /// When the message, or the first of the batch, was stamped.
    pub(super) born: i64,
}

impl<'a> Parcel<'a> {
    /// A message by itself, with a body that may be another than its own.
    pub(super) fn single(message: &'a Message, body: &'a Bytes, stamp: &'a Stamp) -> Self {
        Self {
            code: RequestCode::SEND_MESSAGE_V2,
            is_batch: false,
            body,
            properties: message.properties().as_wire(),
            flag: message.flag(),
            sys_flag: 0,
            id: Some(&stamp.id),
            born: stamp.born,
        }
    }

    /// A message that was encoded to be in a batch, and goes by itself.
    pub(super) fn lone(member: &'a BatchMember, born: i64) -> Self {
        Self {
            code: RequestCode::SEND_MESSAGE_V2,
            is_batch: false,
            body: &member.body,
            properties: member.properties(),
            flag: member.flag,
            sys_flag: 0,
            id: None,
            born,
        }
    }

    /// Whether it is the half message of a transaction, of which there should be one only.
    pub(super) const fn is_half(&self) -> bool {
        self.sys_flag & TRANSACTION_PREPARED != 0
    }

    /// Messages in one body. The batch has no id of its own: brokers add its properties to those of every message, so
    /// that all would have that id. Java: `MessageBatch`, whose `WAIT` is that of its messages.
    pub(super) const fn batch(body: &'a Bytes, wait: bool, born: i64) -> Self {
        Self {
            code: RequestCode::SEND_BATCH_MESSAGE,
            is_batch: true,
            body,
            properties: if wait {
                "WAIT\u{1}true\u{2}"
            } else {
                "WAIT\u{1}false\u{2}"
            },
            flag: 0,
            sys_flag: 0,
            id: None,
            born,
        }
    }
}

/// Where a parcel is to go, and until when.
#[derive(Clone, Copy)]
pub(super) struct Errand<'a> {
    pub(super) core: &'a Core,
    pub(super) topic: &'a Arc<str>,
    /// The message whose key and content may decide about the queue, if any may.
    pub(super) message: Option<&'a Message>,
    pub(super) target: &'a Target,
    /// Whether it may not wait for a place.
    pub(super) is_immediate: bool,
    /// How many messages it is.
    pub(super) sends: usize,
    /// What they count for among the bytes under way.
    pub(super) bytes: usize,
    pub(super) began: Instant,
    pub(super) deadline: Instant,
}
