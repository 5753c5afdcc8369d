//! What an answer says about a stored message, read in one pass and without an allocation.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::fmt;

use crate::code::ResponseCode;
use crate::message::OffsetMessageId;

/// Longest transaction id that is kept in place: that of a message id of an IPv6 host.
const LONGEST_ID: usize = 56;

/// A broker's word that it stored a message. Java: `SendMessageResponseHeader`.
///
/// It holds what a producer needs of a [`SendMessageResponseHeader`](super::SendMessageResponseHeader), read
/// straight from the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredMessage {
    /// How safely the message is stored.
    pub code: ResponseCode,
    /// The queue.
    pub queue_id: i32,
    /// Offset in the queue.
    pub queue_offset: i64,
    /// Where the broker stored the message, unless it gave no id, or one of another form.
    pub offset_message_id: Option<OffsetMessageId>,
    /// Id to end a transaction with; 5.x brokers send it for every message.
    pub transaction_id: Option<TransactionId>,
}

/// A transaction id, kept in place: 56 bytes of ASCII at most.
// Aligned, since it is checked to be text whole words at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(align(8))]
pub struct TransactionId {
    bytes: [u8; LONGEST_ID],
    length: u8,
}

impl TransactionId {
    /// The id, unless it is too long or not ASCII.
    #[must_use]
    pub fn of(text: &[u8]) -> Option<Self> {
        let length = u8::try_from(text.len()).ok()?;
        if !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; LONGEST_ID];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { bytes, length })
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever stored, so the fallbacks are never taken.
        self.bytes
            .get(..usize::from(self.length))
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The fields of a receipt as they travel; of equal ones the last.
#[derive(Default)]
pub(crate) struct StoredFields<'a> {
    msg_id: Option<&'a [u8]>,
    queue_id: Option<&'a [u8]>,
    queue_offset: Option<&'a [u8]>,
    transaction_id: Option<&'a [u8]>,
    region: Option<&'a [u8]>,
    /// Of timer messages only, so not worth a place in every receipt.
    is_recallable: bool,
}

impl<'a> StoredFields<'a> {
    #[inline]
    pub(crate) fn set(&mut self, name: &[u8], value: &'a [u8]) {
        let field = match name {
            b"msgId" => &mut self.msg_id,
            b"queueId" => &mut self.queue_id,
            b"queueOffset" => &mut self.queue_offset,
            b"transactionId" => &mut self.transaction_id,
            b"MSG_REGION" => &mut self.region,
            b"recallHandle" => {
                self.is_recallable = true;
                return;
            }
            _ => return,
        };
        *field = Some(value);
    }

    /// The receipt, if these are the fields of one and nothing about them is unusual. Whatever is
    /// different is left to [`SendMessageResponseHeader`](super::SendMessageResponseHeader).
    pub(crate) fn read(&self, code: ResponseCode) -> Option<StoredMessage> {
        if self.is_recallable || self.region.is_some_and(|region| !region.is_ascii()) {
            return None;
        }
        let offset_message_id = match self.msg_id {
            None => None,
            Some(id) if !id.is_ascii() => return None,
            Some(id) => OffsetMessageId::from_digits(id),
        };
        let transaction_id = match self.transaction_id {
            None => None,
            Some(id) => Some(TransactionId::of(id)?),
        };
        Some(StoredMessage {
            code,
            queue_id: i32::try_from(integer(self.queue_id?)?).ok()?,
            queue_offset: integer(self.queue_offset?)?,
            offset_message_id,
            transaction_id,
        })
    }
}

/// A plain number of at most 18 digits.
fn integer(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0_i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::StoredMessage;
    use crate::code::ResponseCode;
    use crate::command::{RemotingCommand, peek, peek_stored};
    use crate::frame::{Frame, HeaderEncoding, MAX_FRAME_LENGTH, decode_frame};
    use crate::protocol::SendMessageResponseHeader;

    fn frame(command: &RemotingCommand, encoding: HeaderEncoding) -> Frame {
        let mut bytes = BytesMut::new();
        command.encode(encoding, &mut bytes).unwrap();
        let frame = decode_frame(&mut bytes, MAX_FRAME_LENGTH).unwrap();
        frame.unwrap()
    }

    fn receipt() -> RemotingCommand {
        RemotingCommand::response(ResponseCode(0), 77, None)
            .with_field("queueId", "3")
            .with_field("TRACE_ON", "true")
            .with_field("MSG_REGION", "DefaultRegion")
            .with_field("msgId", "7F00000100002A9F0000000000002329")
            .with_field("queueOffset", "123456")
            .with_field("transactionId", "0A0B0C0D00012A9F0000000000002329")
    }

    /// What the full reader makes of the header, if the quick one accepts it.
    fn agrees(frame: &Frame) -> Option<StoredMessage> {
        let (head, stored) = peek_stored(frame.encoding, &frame.header)?;
        assert_eq!(peek(frame), Ok(head));
        assert_eq!(stored.code.0, head.code);
        let full = SendMessageResponseHeader::read(frame).unwrap();
        assert_eq!(full.queue_id, stored.queue_id);
        assert_eq!(full.queue_offset, stored.queue_offset);
        let id = full.msg_id.as_deref().and_then(|id| id.parse().ok());
        assert_eq!(id, stored.offset_message_id);
        let transaction = stored.transaction_id;
        let transaction = transaction.as_ref().map(|id| id.as_str());
        assert_eq!(full.transaction_id.as_deref(), transaction);
        Some(stored)
    }

    #[test]
    fn a_receipt_is_read_in_one_pass_in_both_encodings() {
        for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
            let stored = agrees(&frame(&receipt(), encoding)).unwrap();
            assert_eq!((stored.queue_id, stored.queue_offset), (3, 123_456));
            assert!(stored.offset_message_id.is_some() && stored.transaction_id.is_some());
        }
    }

    #[test]
    fn whatever_is_changed_in_a_receipt_both_readers_say_the_same() {
        for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
            let whole = frame(&receipt(), encoding);
            let mut accepted = 0;
            for place in 0..whole.header.len() {
                for byte in [
                    0, 1, b' ', b'"', b'+', b'-', b'0', b'9', b'A', b'g', 0x80, 0xff,
                ] {
                    let mut header = whole.header.to_vec();
                    header[place] = byte;
                    let changed = Frame::new(encoding, Bytes::from(header), Bytes::new());
                    accepted += usize::from(agrees(&changed).is_some());
                }
                let short = whole.header.slice(..place);
                agrees(&Frame::new(encoding, short, Bytes::new()));
            }
            assert!(accepted > 100, "{accepted}");
        }
    }

    #[test]
    fn what_is_no_plain_receipt_is_left_to_the_full_reader() {
        let refused = [
            RemotingCommand::response(ResponseCode(1), 7, None)
                .with_field("queueId", "1")
                .with_field("queueOffset", "1"),
            RemotingCommand::response(ResponseCode(0), 7, None).with_field("queueId", "1"),
            receipt().with_field("queueOffset", "99999999999999999999"),
            receipt().with_field("queueId", "2147483648"),
            receipt().with_field("transactionId", "x".repeat(57)),
            receipt().with_field("MSG_REGION", "Zürich"),
            receipt().with_field("recallHandle", "djEgYSBiIDEgZA=="),
            RemotingCommand {
                flag: 0,
                ..receipt()
            },
        ];
        for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
            for command in &refused {
                let frame = frame(command, encoding);
                assert_eq!(peek_stored(encoding, &frame.header), None, "{command:?}");
            }
            // A proxy's id of another form is no reason to look again.
            let other = receipt().with_field("msgId", "of-another-form");
            let stored = agrees(&frame(&other, encoding)).unwrap();
            assert_eq!(stored.offset_message_id, None);
        }
    }
}
