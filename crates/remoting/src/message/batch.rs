//! Batches: the body that carries many messages in one request (`SEND_BATCH_MESSAGE`), and what may be in one.
//!
//! Java: `MessageDecoder.encodeMessages`, `MessageBatch.generateFromList`. Each member is
//! `size i32 | magic 0 i32 | crc 0 i32 | flag i32 | body length i32 | body | properties length i16 | properties`, where
//! the size counts itself. Topic, queue and `WAIT` come from the request's header.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::property::{self, PROPERTY_SEPARATOR};
use super::{Message, MessageId};

/// What a member takes beside its body and its properties, in bytes.
pub const MEMBER_OVERHEAD: usize = 22;

/// `UNIQ_KEY` and the separator after it.
const ID_NAME: &[u8] = b"UNIQ_KEY\x01";

/// Topics of messages that consumers want again begin with this; brokers take no batch for them.
const RETRY_PREFIX: &str = "%RETRY%";

/// Properties of messages that brokers take by themselves only, or answer in another way.
const ALONE: [&str; 11] = [
    "CORRELATION_ID",
    "DELAY",
    // Brokers put messages of batches into no light queue.
    "INNER_MULTI_DISPATCH",
    "MSG_TYPE",
    "REPLY_TO_CLIENT",
    "TIMER_DELAY_LEVEL",
    "TIMER_DELAY_MS",
    "TIMER_DELAY_SEC",
    "TIMER_DELIVER_MS",
    "TRAN_MSG",
    "TTL",
];

/// Why a message cannot be in a batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotBatchable {
    /// It is delayed, timed, for light queues, half of a transaction, a request or a reply.
    #[error("the property {0} makes it a message that is sent by itself")]
    Property(&'static str),
    /// It goes to a retry topic.
    #[error("messages of retry topics are not taken in batches")]
    RetryTopic,
}

impl Message {
    /// Whether the message may be in a batch, and if so, its `WAIT`, which all messages of a batch share.
    ///
    /// # Errors
    /// Why it may not.
    pub fn batch_wait(&self) -> Result<bool, NotBatchable> {
        if self.topic().starts_with(RETRY_PREFIX) {
            return Err(NotBatchable::RetryTopic);
        }
        let mut wait = true;
        if self.properties().is_of_new_message() {
            return Ok(wait);
        }
        for (name, value) in self.properties().iter() {
            if name == property::WAIT {
                wait = value != "false";
            } else if let Some(name) = ALONE.iter().find(|alone| **alone == name) {
                return Err(NotBatchable::Property(name));
            }
        }
        Ok(wait)
    }

    /// The bytes that the message takes as a member of a batch, with its id if it is given.
    #[must_use]
    pub fn batch_len(&self, id: Option<&MessageId>) -> usize {
        let properties = self.properties().wire_len();
        MEMBER_OVERHEAD
            .saturating_add(self.body().len())
            .saturating_add(properties)
            .saturating_add(id.map_or(0, id_len))
    }

    /// Appends the message to the body of a batch, with its id as `UNIQ_KEY` if it is given. The limits of
    /// [`check_limits`](Message::check_limits) must hold, with room for the id.
    pub fn write_batch_member(&self, id: Option<&MessageId>, out: &mut BytesMut) {
        let length = self.batch_len(id);
        out.reserve(length);
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        let flag = self.flag().to_be_bytes();
        let body_len = u32::try_from(self.body().len()).unwrap_or(u32::MAX);
        // Magic code and checksum are set by the broker.
        let head = [length, [0; 4], [0; 4], flag, body_len.to_be_bytes()];
        out.extend_from_slice(head.as_flattened());
        out.extend_from_slice(self.body());
        let properties = self.properties().as_wire().as_bytes();
        let properties_len = properties.len().saturating_add(id.map_or(0, id_len));
        let properties_len = u16::try_from(properties_len).unwrap_or(u16::MAX);
        out.extend_from_slice(&properties_len.to_be_bytes());
        out.extend_from_slice(properties);
        if let Some(id) = id {
            out.extend_from_slice(ID_NAME);
            out.extend_from_slice(id.as_bytes());
            out.extend_from_slice(&[PROPERTY_SEPARATOR as u8]);
        }
    }
}

/// What the id takes as a property, with the separator at its end.
fn id_len(id: &MessageId) -> usize {
    let id = id.as_bytes().len();
    ID_NAME.len().saturating_add(id).saturating_add(1)
}

/// A message in the body of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchMember {
    /// The flag.
    pub flag: i32,
    /// The body, a part of the batch's.
    pub body: Bytes,
    /// The property string, a part of the batch's body.
    properties: Bytes,
}

impl BatchMember {
    /// The property string as it travels.
    #[must_use]
    pub fn properties(&self) -> &str {
        // Checked when it was read.
        std::str::from_utf8(&self.properties).unwrap_or_default()
    }
}

/// Why a body is no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BatchBodyError {
    /// A length is negative, or the parts of a member are not as long as the member.
    #[error("a length in the batch does not fit the others")]
    Length,
    /// The properties of a member are no UTF-8.
    #[error("the properties of a message in the batch are no UTF-8")]
    Properties,
    /// The body ends within a member.
    #[error("the batch ends within a message")]
    Truncated,
}

/// Reads the body of a batch, member by member; after an error there is nothing more. Nothing is copied.
pub fn read_batch(
    body: &Bytes,
) -> impl Iterator<Item = Result<BatchMember, BatchBodyError>> + use<> {
    let mut rest = body.clone();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let member = read_member(&mut rest);
        if member.is_err() {
            rest.clear();
        }
        Some(member)
    })
}

fn read_member(rest: &mut Bytes) -> Result<BatchMember, BatchBodyError> {
    let left = rest.len();
    let size = length(rest.try_get_i32())?;
    if size > left {
        return Err(BatchBodyError::Truncated);
    }
    let _magic_and_checksum = rest.try_get_u64().map_err(|_| BatchBodyError::Truncated)?;
    let flag = rest.try_get_i32().map_err(|_| BatchBodyError::Truncated)?;
    let body_len = length(rest.try_get_i32())?;
    let body = take(rest, body_len)?;
    let properties_len = length(rest.try_get_i16().map(i32::from))?;
    let properties = take(rest, properties_len)?;
    if left.checked_sub(rest.len()) != Some(size) {
        return Err(BatchBodyError::Length);
    }
    std::str::from_utf8(&properties).map_err(|_| BatchBodyError::Properties)?;
    Ok(BatchMember {
        flag,
        body,
        properties,
    })
}

fn length<E>(read: Result<i32, E>) -> Result<usize, BatchBodyError> {
    let length = read.map_err(|_| BatchBodyError::Truncated)?;
    usize::try_from(length).map_err(|_| BatchBodyError::Length)
}

fn take(rest: &mut Bytes, length: usize) -> Result<Bytes, BatchBodyError> {
    if length > rest.len() {
        return Err(BatchBodyError::Truncated);
    }
    Ok(rest.split_to(length))
}

#[cfg(test)]
mod tests;
