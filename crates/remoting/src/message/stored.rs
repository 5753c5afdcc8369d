//! [`MessageExt`]: a message as a broker stores it and hands it out.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::{CompressionError, CompressionType, OffsetMessageId, Properties, property};
use crate::byte_size::ByteSize;

/// Begins a stored message whose topic has at most 127 bytes. Java: `MESSAGE_MAGIC_CODE`.
const MAGIC_V1: u32 = 0xdaa3_20a7;
/// Begins one whose topic's length takes two bytes. Java: `MESSAGE_MAGIC_CODE_V2`.
const MAGIC_V2: u32 = 0xdaa3_20ab;
/// The body is compressed. Java: `MessageSysFlag.COMPRESSED_FLAG`.
const COMPRESSED: i32 = 0x1;
/// The producer's address is one of IPv6. Java: `BORNHOST_V6_FLAG`.
const BORN_HOST_V6: i32 = 0x10;
/// The broker's address is one of IPv6. Java: `STOREHOSTADDRESS_V6_FLAG`.
const STORE_HOST_V6: i32 = 0x20;
/// Where the system flag tells the state of a transaction. Java: `TRANSACTION_ROLLBACK_TYPE`.
const TRANSACTION_MASK: i32 = 0xc;

/// The longest topic in bytes that fits the older form.
const V1_TOPIC_LENGTH: usize = 127;

/// A message as a broker stores it (Java: `MessageExt`).
///
/// Brokers hand it to a producer when they ask for the state of a transaction, as the reply to a request, and when a
/// message is looked up. `Debug` prints sizes, never the body or the value of a property.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageExt {
    /// The topic.
    pub topic: String,
    /// The body, not compressed; may be empty.
    pub body: Bytes,
    /// The properties, those that clients and the broker added included.
    pub properties: Properties,
    /// The flag that the producer gave, unread by brokers.
    pub flag: i32,
    /// What the broker knows about the message, without the mark of a compressed body. Java: `MessageSysFlag`.
    pub sys_flag: i32,
    /// Checksum of the body as it was stored, which may have been compressed; it is not verified.
    pub body_crc: i32,
    /// The queue.
    pub queue_id: i32,
    /// The place in the queue.
    pub queue_offset: i64,
    /// The place in the broker's commit log.
    pub commit_log_offset: i64,
    /// When it was sent, in milliseconds since 1970 by the producer's clock.
    pub born_timestamp: i64,
    /// Who sent it, as the broker saw it.
    pub born_host: SocketAddr,
    /// When it was stored, in milliseconds since 1970 by the broker's clock.
    pub store_timestamp: i64,
    /// The broker that stored it.
    pub store_host: SocketAddr,
    /// How often consumers have tried it.
    pub reconsume_times: i32,
    /// Place of the half message in the commit log, for what committed a transaction.
    pub prepared_transaction_offset: i64,
}

impl MessageExt {
    /// A message of a topic as it lies nowhere yet: every number is 0, both addresses are `0.0.0.0:0`.
    #[must_use]
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>, properties: Properties) -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Self {
            topic: topic.into(),
            body: body.into(),
            properties,
            flag: 0,
            sys_flag: 0,
            body_crc: 0,
            queue_id: 0,
            queue_offset: 0,
            commit_log_offset: 0,
            born_timestamp: 0,
            born_host: nowhere,
            store_timestamp: 0,
            store_host: nowhere,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
        }
    }

    /// Reads the one message that `bytes` hold, in either form. A compressed body is read and may have `body_limit`
    /// bytes; its compression leaves no mark. Java: `MessageDecoder.clientDecode`.
    ///
    /// # Errors
    /// [`StoredMessageError`] if the bytes are not exactly one message, or the body cannot be read.
    pub fn decode(bytes: &Bytes, body_limit: ByteSize) -> Result<Self, StoredMessageError> {
        let mut rest = bytes.clone();
        let message = read(&mut rest, body_limit)?;
        if rest.is_empty() {
            Ok(message)
        } else {
            Err(StoredMessageError::Length)
        }
    }

    /// Reads messages that follow one another; after an error there is nothing more. Bodies that are compressed are
    /// unpacked as long as all bodies together have no more bytes than `limit`: some small ones could fill the memory.
    /// Java: `MessageDecoder.decodes`.
    pub fn decode_all(
        bytes: &Bytes,
        limit: ByteSize,
    ) -> impl Iterator<Item = Result<Self, StoredMessageError>> + use<> {
        let mut rest = bytes.clone();
        let mut left = limit.as_u64();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let message = read(&mut rest, ByteSize::bytes(left));
            match &message {
                Ok(message) => left = left.saturating_sub(message.body.len() as u64),
                Err(_) => rest.clear(),
            }
            Some(message)
        })
    }

    /// Appends the message as a broker writes it, the body as it is. What the stored form cannot hold is cut: topics
    /// after 32767 bytes, properties after as many. Java: `MessageDecoder.encode`.
    pub fn encode(&self, out: &mut BytesMut) {
        let topic = up_to(&self.topic, V2_TOPIC_LENGTH);
        let properties = up_to(self.properties.as_wire(), property::MAX_PROPERTIES_LENGTH);
        let is_long = topic.len() > V1_TOPIC_LENGTH;
        let mut sys_flag = self.sys_flag & !(BORN_HOST_V6 | STORE_HOST_V6);
        if self.born_host.is_ipv6() {
            sys_flag |= BORN_HOST_V6;
        }
        if self.store_host.is_ipv6() {
            sys_flag |= STORE_HOST_V6;
        }
        let start = out.len();
        out.put_u32(0);
        out.put_u32(if is_long { MAGIC_V2 } else { MAGIC_V1 });
        out.put_i32(self.body_crc);
        out.put_i32(self.queue_id);
        out.put_i32(self.flag);
        out.put_i64(self.queue_offset);
        out.put_i64(self.commit_log_offset);
        out.put_i32(sys_flag);
        out.put_i64(self.born_timestamp);
        write_host(self.born_host, out);
        out.put_i64(self.store_timestamp);
        write_host(self.store_host, out);
        out.put_i32(self.reconsume_times);
        out.put_i64(self.prepared_transaction_offset);
        out.put_u32(u32::try_from(self.body.len()).unwrap_or(u32::MAX));
        out.extend_from_slice(&self.body);
        if is_long {
            out.put_u16(u16::try_from(topic.len()).unwrap_or(u16::MAX));
        } else {
            out.put_u8(u8::try_from(topic.len()).unwrap_or(u8::MAX));
        }
        out.extend_from_slice(topic.as_bytes());
        out.put_u16(u16::try_from(properties.len()).unwrap_or(u16::MAX));
        out.extend_from_slice(properties.as_bytes());
        let length = u32::try_from(out.len().saturating_sub(start)).unwrap_or(u32::MAX);
        if let Some(prefix) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
            *prefix = length.to_be_bytes();
        }
    }

    /// The value of a property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name)
    }

    /// The tag.
    #[must_use]
    pub fn tags(&self) -> Option<&str> {
        self.property(property::TAGS)
    }

    /// The keys, in the order given.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = self.property(property::KEYS).unwrap_or_default();
        keys.split(' ').filter(|key| !key.is_empty())
    }

    /// The id that its producer gave (`UNIQ_KEY`), if it gave one.
    #[must_use]
    pub fn unique_key(&self) -> Option<&str> {
        self.property(property::UNIQ_KEY)
    }

    /// The id that tells where it is stored. Java: `offsetMsgId`.
    #[must_use]
    pub fn offset_message_id(&self) -> OffsetMessageId {
        OffsetMessageId::new(self.store_host, self.commit_log_offset)
    }

    /// The id that consumers see: the producer's, else the broker's. Java: `getMsgId`.
    #[must_use]
    pub fn message_id(&self) -> String {
        match self.unique_key() {
            Some(id) => id.to_owned(),
            None => self.offset_message_id().to_string(),
        }
    }

    /// Bits 2 and 3 of the system flag: 0 no transaction, 4 open, 8 committed, 12 rolled back. Java:
    /// `MessageSysFlag.getTransactionValue`.
    #[must_use]
    pub const fn transaction_value(&self) -> i32 {
        self.sys_flag & TRANSACTION_MASK
    }
}

impl fmt::Debug for MessageExt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageExt")
            .field("topic", &self.topic)
            .field("body_len", &self.body.len())
            .field("properties", &self.properties)
            .field("flag", &self.flag)
            .field("sys_flag", &self.sys_flag)
            .field("queue_id", &self.queue_id)
            .field("queue_offset", &self.queue_offset)
            .field("offset_message_id", &self.offset_message_id())
            .finish_non_exhaustive()
    }
}

/// Why bytes are no stored message.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum StoredMessageError {
    /// The body cannot be read.
    #[error("the body of the stored message is compressed and cannot be read")]
    Body(#[from] CompressionError),
    /// A length is negative, or the parts are not as long as the whole.
    #[error("a length in the stored message does not fit the others")]
    Length,
    /// The bytes do not begin as a stored message does.
    #[error("the bytes have the mark {0:#x}, which no stored message has")]
    Magic(u32),
    /// The port of an address is above 65535.
    #[error("an address in the stored message has a port above 65535")]
    Port,
    /// Topic or properties are no UTF-8.
    #[error("the topic or the properties of the stored message are no UTF-8")]
    Text,
    /// The bytes end within the message.
    #[error("the stored message is cut off")]
    Truncated,
}

impl From<bytes::TryGetError> for StoredMessageError {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Truncated
    }
}

/// The longest topic in bytes that the newer form can hold.
const V2_TOPIC_LENGTH: usize = 32_767;

/// Takes one message off the front of `rest`.
fn read(rest: &mut Bytes, body_limit: ByteSize) -> Result<MessageExt, StoredMessageError> {
    let length = length(rest.clone().try_get_i32()?)?;
    let mut part = take(rest, length)?;
    let _length = part.try_get_i32()?;
    let is_long = match part.try_get_u32()? {
        MAGIC_V1 => false,
        MAGIC_V2 => true,
        other => return Err(StoredMessageError::Magic(other)),
    };
    let body_crc = part.try_get_i32()?;
    let queue_id = part.try_get_i32()?;
    let flag = part.try_get_i32()?;
    let queue_offset = part.try_get_i64()?;
    let commit_log_offset = part.try_get_i64()?;
    let sys_flag = part.try_get_i32()?;
    let born_timestamp = part.try_get_i64()?;
    let born_host = read_host(&mut part, sys_flag & BORN_HOST_V6 != 0)?;
    let store_timestamp = part.try_get_i64()?;
    let store_host = read_host(&mut part, sys_flag & STORE_HOST_V6 != 0)?;
    let reconsume_times = part.try_get_i32()?;
    let prepared_transaction_offset = part.try_get_i64()?;
    let body_length = self::length(part.try_get_i32()?)?;
    let body = take(&mut part, body_length)?;
    let topic_length = if is_long {
        self::length(i32::from(part.try_get_i16()?))?
    } else {
        self::length(i32::from(part.try_get_i8()?))?
    };
    let topic = text(take(&mut part, topic_length)?)?;
    let properties_length = self::length(i32::from(part.try_get_i16()?))?;
    let properties = text(take(&mut part, properties_length)?)?;
    if !part.is_empty() {
        return Err(StoredMessageError::Length);
    }
    // Last, so that nothing is unpacked for bytes that are no message.
    let body = match CompressionType::of_sys_flag(sys_flag)? {
        Some(kind) if !body.is_empty() => kind.decompress(&body, body_limit)?.into(),
        _ => body,
    };
    Ok(MessageExt {
        topic,
        body,
        properties: Properties::parse(&properties),
        flag,
        sys_flag: sys_flag & !COMPRESSED,
        body_crc,
        queue_id,
        queue_offset,
        commit_log_offset,
        born_timestamp,
        born_host,
        store_timestamp,
        store_host,
        reconsume_times,
        prepared_transaction_offset,
    })
}

fn length(number: i32) -> Result<usize, StoredMessageError> {
    usize::try_from(number).map_err(|_| StoredMessageError::Length)
}

fn take(rest: &mut Bytes, length: usize) -> Result<Bytes, StoredMessageError> {
    if length > rest.len() {
        return Err(StoredMessageError::Truncated);
    }
    Ok(rest.split_to(length))
}

fn text(bytes: Bytes) -> Result<String, StoredMessageError> {
    String::from_utf8(bytes.into()).map_err(|_| StoredMessageError::Text)
}

fn read_host(part: &mut Bytes, is_v6: bool) -> Result<SocketAddr, StoredMessageError> {
    let ip = if is_v6 {
        IpAddr::V6(Ipv6Addr::from_bits(part.try_get_u128()?))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(part.try_get_u32()?))
    };
    let port = u16::try_from(part.try_get_i32()?).map_err(|_| StoredMessageError::Port)?;
    Ok(SocketAddr::new(ip, port))
}

fn write_host(host: SocketAddr, out: &mut BytesMut) {
    match host.ip() {
        IpAddr::V4(ip) => out.put_u32(ip.to_bits()),
        IpAddr::V6(ip) => out.put_u128(ip.to_bits()),
    }
    out.put_u32(u32::from(host.port()));
}

/// The beginning of `text`, `limit` bytes at most.
fn up_to(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
