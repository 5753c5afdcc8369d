//! Length-prefixed frames: `length | header type and length | header | body`.
//!
//! Layout and limit follow Java's `RemotingCommand.encode` and `NettyDecoder`. Every length is
//! checked before a byte is reserved for it, and the header encoding is read per frame, because a
//! server answers in its own configured encoding and not in the request's.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::fmt;
use std::str::FromStr;

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::Decoder;

/// The largest frame either side accepts, its length prefix included: 16 MiB
/// (Java: `com.rocketmq.remoting.frameMaxLength`).
pub const MAX_FRAME_LENGTH: usize = 16 * 1024 * 1024;

/// Bytes of the length prefix itself.
const LENGTH_PREFIX: usize = 4;

/// Bytes of the field that holds the header's encoding and length.
const HEADER_MARK: usize = 4;

/// Least room made for the rest of a frame that has begun to arrive.
const READ_AHEAD: usize = 64 * 1024;

/// How the header of a frame is encoded (Java: `SerializeType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the protocol knows exactly two header encodings"
)]
pub enum HeaderEncoding {
    /// A JSON object (type byte 0), what Java clients send unless told otherwise.
    Json,
    /// The compact form that Java calls `ROCKETMQ` (type byte 1). The default: it costs the client
    /// less, and every broker since 4.0 reads it.
    #[default]
    Binary,
}

impl HeaderEncoding {
    /// The type byte on the wire.
    #[must_use]
    pub const fn type_byte(self) -> u8 {
        match self {
            Self::Json => 0,
            Self::Binary => 1,
        }
    }

    /// The encoding of a type byte.
    ///
    /// # Errors
    /// [`FrameError::UnknownHeaderType`] for any byte but 0 and 1.
    pub const fn from_type_byte(byte: u8) -> Result<Self, FrameError> {
        match byte {
            0 => Ok(Self::Json),
            1 => Ok(Self::Binary),
            other => Err(FrameError::UnknownHeaderType(other)),
        }
    }
}

impl fmt::Display for HeaderEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Binary => "binary",
        })
    }
}

/// The text names no header encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown header encoding; expected json or binary")]
#[non_exhaustive]
pub struct ParseHeaderEncodingError;

impl FromStr for HeaderEncoding {
    type Err = ParseHeaderEncodingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("json") {
            Ok(Self::Json)
        } else if text.eq_ignore_ascii_case("binary") || text.eq_ignore_ascii_case("rocketmq") {
            Ok(Self::Binary)
        } else {
            Err(ParseHeaderEncodingError)
        }
    }
}

/// A whole frame, cut out of the stream but with its header still encoded.
///
/// Header and body share the receive buffer; nothing is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// How [`header`](Self::header) is encoded.
    pub encoding: HeaderEncoding,
    /// The encoded header.
    pub header: Bytes,
    /// The body, possibly empty.
    pub body: Bytes,
}

impl Frame {
    /// A frame of the given parts, for tests and servers.
    #[must_use]
    pub const fn new(encoding: HeaderEncoding, header: Bytes, body: Bytes) -> Self {
        Self {
            encoding,
            header,
            body,
        }
    }
}

/// Bytes that are no frame of the remoting protocol. The stream cannot be trusted afterwards, so
/// the connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length prefix is negative or too small to hold the header mark.
    #[error("frame length {0} is below the minimum of 4 bytes")]
    TooShort(i32),
    /// The length prefix exceeds the limit; nothing was allocated for it.
    #[error("frame of {length} bytes exceeds the limit of {limit} bytes{}", other_protocol(*.length))]
    TooLong {
        /// Length including the prefix.
        length: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The header claims more bytes than its frame has.
    #[error("header of {header} bytes does not fit its frame of {frame} bytes")]
    HeaderBeyondFrame {
        /// Claimed header length.
        header: usize,
        /// Bytes in the frame after the header mark.
        frame: usize,
    },
    /// The type byte names no known header encoding.
    #[error("unknown header type byte {0}")]
    UnknownHeaderType(u8),
    /// A JSON header is not a valid command object.
    #[error("invalid JSON header: {0}")]
    InvalidJson(String),
    /// A length inside a binary header points past its end.
    #[error("binary header ends inside its {0} field")]
    Truncated(&'static str),
    /// A text field is not valid UTF-8.
    #[error("{0} is not valid UTF-8")]
    InvalidUtf8(&'static str),
    /// A field that the command needs is missing or malformed.
    #[error("field {name} of the header is {problem}")]
    InvalidField {
        /// Name on the wire.
        name: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The stream ended inside a frame.
    #[error("connection closed inside a frame")]
    UnexpectedEnd,
}

impl FrameError {
    /// Whether the bytes themselves are broken, rather than a well-formed command lacking a field.
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        !matches!(self, Self::InvalidField { .. })
    }
}

/// What the peer speaks instead, if the bytes that were read as a length tell.
fn other_protocol(length: usize) -> String {
    let prefix = u32::try_from(length.saturating_sub(LENGTH_PREFIX)).unwrap_or(u32::MAX);
    match prefix.to_be_bytes() {
        // A record of TLS: an alert or a handshake, of version 3.x.
        [21 | 22, 3, ..] => ": the peer speaks TLS".to_owned(),
        text if text.iter().all(|byte| (b' '..=b'~').contains(byte)) => {
            format!(
                ": the peer sends text that begins with {:?}",
                String::from_utf8_lossy(&text)
            )
        }
        _ => String::new(),
    }
}

/// Cuts [`Frame`]s out of a byte stream.
#[derive(Debug, Clone)]
pub struct FrameDecoder {
    max_frame_length: usize,
}

impl FrameDecoder {
    /// A decoder that refuses frames longer than `max_frame_length` bytes, prefix included.
    #[must_use]
    pub const fn new(max_frame_length: usize) -> Self {
        Self { max_frame_length }
    }
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new(MAX_FRAME_LENGTH)
    }
}

impl Decoder for FrameDecoder {
    type Item = Frame;
    type Error = FrameReadError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Frame>, FrameReadError> {
        Ok(decode_frame(src, self.max_frame_length)?)
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Frame>, FrameReadError> {
        match decode_frame(src, self.max_frame_length)? {
            Some(frame) => Ok(Some(frame)),
            None if src.is_empty() => Ok(None),
            None => Err(FrameError::UnexpectedEnd.into()),
        }
    }
}

/// Reading a frame from a stream failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameReadError {
    /// The bytes are no frame.
    #[error("malformed frame")]
    Frame(#[from] FrameError),
    /// The stream failed.
    #[error("read failed")]
    Io(#[from] std::io::Error),
}

/// Where the next frame lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) encoding: HeaderEncoding,
    /// Bytes of the header, which begins after [`BEFORE_HEADER`](Self::BEFORE_HEADER).
    header: usize,
    /// Bytes of the whole frame, its length prefix included.
    pub(crate) total: usize,
}

impl Bounds {
    const BEFORE_HEADER: usize = LENGTH_PREFIX + HEADER_MARK;

    /// The bounds of the frame at the beginning of `src`, which may hold a part of it only; `None`
    /// if more bytes are needed to tell.
    pub(crate) fn read(src: &[u8], limit: usize) -> Result<Option<Self>, FrameError> {
        let Some(prefix) = src.first_chunk::<LENGTH_PREFIX>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*prefix);
        let payload = usize::try_from(length)
            .ok()
            .filter(|payload| *payload >= HEADER_MARK)
            .ok_or(FrameError::TooShort(length))?;
        let total = payload.saturating_add(LENGTH_PREFIX);
        if total > limit {
            return Err(FrameError::TooLong {
                length: total,
                limit,
            });
        }
        // The mark can be judged before the rest of the frame has arrived.
        let Some([_, _, _, _, kind, high, mid, low]) = src.first_chunk::<8>() else {
            return Ok(None);
        };
        let encoding = HeaderEncoding::from_type_byte(*kind)?;
        let header =
            usize::try_from(u32::from_be_bytes([0, *high, *mid, *low])).unwrap_or(usize::MAX);
        let rest = payload.saturating_sub(HEADER_MARK);
        if header > rest {
            return Err(FrameError::HeaderBeyondFrame {
                header,
                frame: rest,
            });
        }
        Ok(Some(Self {
            encoding,
            header,
            total,
        }))
    }

    /// The header of the frame at the beginning of `src`, if all of the frame is there.
    pub(crate) fn header(self, src: &[u8]) -> Option<&[u8]> {
        let frame = src.get(..self.total)?;
        frame.get(Self::BEFORE_HEADER..)?.get(..self.header)
    }
}

/// Cuts the next frame off `src`, or returns `None` if more bytes are needed.
///
/// # Errors
/// A [`FrameError`] if the bytes at the start of `src` cannot begin a frame; `src` is left as is.
pub fn decode_frame(src: &mut BytesMut, limit: usize) -> Result<Option<Frame>, FrameError> {
    let Some(bounds) = Bounds::read(src, limit)? else {
        return Ok(None);
    };
    let Bounds {
        encoding,
        header,
        total,
    } = bounds;
    if src.len() < total {
        // Room for the rest, so a large frame is read in few calls; it grows with the bytes that
        // really arrived, so a claimed length alone reserves little.
        let missing = total.saturating_sub(src.len());
        src.reserve(missing.min(src.len().max(READ_AHEAD)));
        return Ok(None);
    }
    let mut frame = src.split_to(total).freeze();
    frame.advance(Bounds::BEFORE_HEADER);
    let header = frame.split_to(header);
    Ok(Some(Frame::new(encoding, header, frame)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        decode_frame(&mut BytesMut::from(bytes), MAX_FRAME_LENGTH)
    }

    #[test]
    fn a_frame_split_at_any_byte_is_waited_for() {
        let whole = b"\x00\x00\x00\x09\x01\x00\x00\x02hdbod";
        for cut in 0..whole.len() {
            assert_eq!(decode(&whole[..cut]), Ok(None), "cut at {cut}");
        }
        let frame = decode(whole).unwrap().unwrap();
        assert_eq!(frame.encoding, HeaderEncoding::Binary);
        assert_eq!(&frame.header[..], b"hd");
        assert_eq!(&frame.body[..], b"bod");
    }

    #[test]
    fn bad_lengths_are_refused_before_anything_is_reserved() {
        assert_eq!(
            decode(&(-1_i32).to_be_bytes()),
            Err(FrameError::TooShort(-1))
        );
        assert_eq!(decode(&0_i32.to_be_bytes()), Err(FrameError::TooShort(0)));
        assert_eq!(decode(&3_i32.to_be_bytes()), Err(FrameError::TooShort(3)));
        assert!(matches!(
            decode(&i32::MAX.to_be_bytes()),
            Err(FrameError::TooLong { .. })
        ));
        let mut huge = BytesMut::from(&b"\x00\xff\xff\xfd"[..]);
        let before = huge.capacity();
        assert!(decode_frame(&mut huge, MAX_FRAME_LENGTH).is_err());
        assert_eq!(huge.capacity(), before);
    }

    #[test]
    fn what_another_protocol_begins_with_is_named() {
        for (bytes, words) in [
            (b"HTTP/1.1", "text that begins with \"HTTP\""),
            (b"\x15\x03\x03\0\x02\x02\x46\0", "the peer speaks TLS"),
        ] {
            let error = decode(bytes).unwrap_err().to_string();
            assert!(error.ends_with(words), "{error}");
        }
        let error = decode(b"\x40\0\0\0\0\0\0\0").unwrap_err().to_string();
        assert!(error.ends_with("bytes"), "{error}");
    }

    #[test]
    fn the_largest_frame_is_still_accepted() {
        assert_eq!(decode(b"\x00\xff\xff\xfc\x00\x00\x00\x00"), Ok(None));
    }

    #[test]
    fn a_header_longer_than_its_frame_is_refused() {
        assert_eq!(
            decode(b"\x00\x00\x00\x05\x00\x00\x00\x02a"),
            Err(FrameError::HeaderBeyondFrame {
                header: 2,
                frame: 1
            })
        );
    }

    #[test]
    fn an_unknown_type_byte_is_refused() {
        assert_eq!(
            decode(b"\x00\x00\x00\x04\x02\x00\x00\x00"),
            Err(FrameError::UnknownHeaderType(2))
        );
    }

    #[test]
    fn a_stream_that_ends_inside_a_frame_is_an_error() {
        let mut decoder = FrameDecoder::default();
        let mut src = BytesMut::from(&b"\x00\x00"[..]);
        assert!(matches!(
            decoder.decode_eof(&mut src),
            Err(FrameReadError::Frame(FrameError::UnexpectedEnd))
        ));
        assert!(decoder.decode_eof(&mut BytesMut::new()).unwrap().is_none());
    }
}
