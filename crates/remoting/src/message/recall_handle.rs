//! [`RecallHandle`]: what a broker gives with a timer message, to take it back by.
//!
//! Java: `RecallMessageHandle`: the URL alphabet of base64 over `v1 <topic> <broker> <time> <message id>`.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use thiserror::Error;

/// Written with padding, read with and without it, as Java does.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Longest text that is looked at: names of 255 bytes and an id fit many times over.
const LONGEST: usize = 4096;

const VERSION: &str = "v1";

/// Names a timer message that its broker has not delivered yet. A broker of 5.3 or later gives it with the receipt.
///
/// Its text is what travels and what to keep ([`as_str`](Self::as_str), [`FromStr`]); the parts are read from it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RecallHandle {
    text: Box<str>,
    topic: Box<str>,
    broker_name: Box<str>,
    deliver_at: u64,
    message_id: Box<str>,
}

impl RecallHandle {
    /// The handle that a broker makes.
    ///
    /// # Errors
    /// When a part is empty or holds a space, or all are too long.
    pub fn new(
        topic: &str,
        broker_name: &str,
        deliver_at: u64,
        message_id: &str,
    ) -> Result<Self, RecallHandleError> {
        let plain = format!("{VERSION} {topic} {broker_name} {deliver_at} {message_id}");
        let handle: Self = BASE64.encode(plain).parse()?;
        let is_same = *handle.topic == *topic
            && *handle.broker_name == *broker_name
            && *handle.message_id == *message_id;
        is_same.then_some(handle).ok_or(RecallHandleError::Parts)
    }

    /// The handle as it travels.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The topic, as the broker knows it.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The broker that holds the message.
    #[must_use]
    pub fn broker_name(&self) -> &str {
        &self.broker_name
    }

    /// When the broker delivers the message, in milliseconds since 1970. It may have rounded what was asked for.
    #[must_use]
    pub const fn deliver_at(&self) -> u64 {
        self.deliver_at
    }

    /// The client's id of the message (`UNIQ_KEY`).
    #[must_use]
    pub fn message_id(&self) -> &str {
        &self.message_id
    }
}

impl FromStr for RecallHandle {
    type Err = RecallHandleError;

    fn from_str(text: &str) -> Result<Self, RecallHandleError> {
        if text.len() > LONGEST {
            return Err(RecallHandleError::TooLong { length: text.len() });
        }
        let plain = BASE64
            .decode(text)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or(RecallHandleError::NotBase64)?;
        // Java ignores what follows the fifth part.
        let mut parts = plain.split(' ');
        if parts.next() != Some(VERSION) {
            return Err(RecallHandleError::Version);
        }
        let mut part = || match parts.next() {
            None | Some("") => Err(RecallHandleError::Parts),
            Some(part) => Ok(Box::<str>::from(part)),
        };
        let (topic, broker_name, time, message_id) = (part()?, part()?, part()?, part()?);
        Ok(Self {
            text: Box::from(text),
            topic,
            broker_name,
            deliver_at: time.parse().map_err(|_| RecallHandleError::Time)?,
            message_id,
        })
    }
}

impl fmt::Display for RecallHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RecallHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecallHandle")
            .field("topic", &self.topic)
            .field("broker_name", &self.broker_name)
            .field("deliver_at", &self.deliver_at)
            .field("message_id", &self.message_id)
            .finish_non_exhaustive()
    }
}

/// Why a text is no recall handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecallHandleError {
    /// It is no base64 in the URL alphabet, or not of text.
    #[error("a recall handle is text in the URL alphabet of base64")]
    NotBase64,
    /// It has less than five parts, or an empty one.
    #[error("a recall handle has five parts: version, topic, broker, time and message id")]
    Parts,
    /// Its time is no number of milliseconds.
    #[error("the time in a recall handle is milliseconds since 1970")]
    Time,
    /// It is far longer than any handle.
    #[error("the text has {length} bytes, a recall handle at most {LONGEST}")]
    TooLong {
        /// Length in bytes.
        length: usize,
    },
    /// It is of another version than `v1`, or no handle.
    #[error("the recall handle is not of version {VERSION}")]
    Version,
}

#[cfg(test)]
mod tests {
    use super::{RecallHandle, RecallHandleError};

    #[test]
    fn what_is_written_is_read_back() {
        let handle = RecallHandle::new("%ns%T", "broker-a", 1_760_000_000_000, "7F00").unwrap();
        let read: RecallHandle = handle.as_str().parse().unwrap();
        assert_eq!(read, handle);
        assert_eq!((read.topic(), read.broker_name()), ("%ns%T", "broker-a"));
        assert_eq!(
            (read.deliver_at(), read.message_id()),
            (1_760_000_000_000, "7F00")
        );
        assert_eq!(
            RecallHandle::new("a b", "c", 1, "d"),
            Err(RecallHandleError::Time)
        );
        assert_eq!(
            RecallHandle::new("a", "c", 1, "d e"),
            Err(RecallHandleError::Parts)
        );
    }

    #[test]
    fn garbage_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", RecallHandleError::Version),
            ("v1 a b c d", RecallHandleError::NotBase64),
            ("_____w==", RecallHandleError::NotBase64),
            ("djIgYSBiIDEgZA==", RecallHandleError::Version),
            ("djEgYSBiIDE=", RecallHandleError::Parts),
            ("djEgYSAgMSBk", RecallHandleError::Parts),
            ("djEgYSBiIGMgZA==", RecallHandleError::Time),
        ] {
            assert_eq!(text.parse::<RecallHandle>(), Err(reason), "{text:?}");
        }
        let long = "A".repeat(5000);
        assert_eq!(
            long.parse::<RecallHandle>(),
            Err(RecallHandleError::TooLong { length: 5000 })
        );
    }
}
