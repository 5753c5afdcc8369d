//! What travels, apart from what was asked: one request's content, and where and until when it is to be delivered.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::config::routing::remoting::message::MessageId;
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
    pub(super) stamp: Stamp,
}

impl<'a> Parcel<'a> {
    /// A message by itself, with a body that may be another than its own.
    pub(super) fn single(message: &'a Message, body: &'a Bytes, stamp: Stamp) -> Self {
        Self {
            code: RequestCode::SEND_MESSAGE_V2,
            is_batch: false,
            body,
            properties: message.properties().as_wire(),
            flag: message.flag(),
            sys_flag: 0,
            stamp,
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
    /// What it counts for among the bytes under way.
    pub(super) bytes: usize,
    pub(super) began: Instant,
    pub(super) deadline: Instant,
}
