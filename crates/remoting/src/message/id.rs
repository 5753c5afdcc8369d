//! Ids of messages: the one that the client gives ([`MessageId`]) and the one that tells where a
//! broker stored the message ([`OffsetMessageId`]).

mod generator;
mod offset;

use std::fmt;

pub use generator::MessageIdGenerator;
pub use offset::{OffsetMessageId, OffsetMessageIdError};

/// Most characters that an id can have: 28 bytes in hexadecimal, on a host with an IPv6 address.
const MAX_LENGTH: usize = 56;

/// The id that the client gives to a message and that consumers see as `msgId`.
///
/// It travels as the property `UNIQ_KEY`: 32 upper-case hexadecimal digits, or 56 on a host that
/// has an IPv6 address only. It is kept in place, so copying it allocates nothing.
// Aligned, since it is checked to be text whole words at a time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(align(8))]
pub struct MessageId {
    digits: [u8; MAX_LENGTH],
    length: u8,
}

impl MessageId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only digits are ever stored, so the fallbacks are never taken.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The text's bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        let digits = self.digits.get(..usize::from(self.length));
        digits.unwrap_or_default()
    }
}

impl AsRef<str> for MessageId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
