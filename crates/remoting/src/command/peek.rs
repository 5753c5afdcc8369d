//! Reads of an answer what is needed at once, without building a [`RemotingCommand`].
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::borrow::Cow;

#[cfg(doc)]
use super::RemotingCommand;
use super::{FLAG_ONEWAY, FLAG_RESPONSE, binary, json};
use crate::code::ResponseCode;
use crate::frame::{Frame, FrameError, HeaderEncoding};
use crate::protocol::stored::{StoredFields, StoredMessage};
use crate::response_class::ResponseClass;

/// The numbers in a header that decide where the frame goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandHead {
    /// Request code, or response code if [`is_response`](Self::is_response).
    pub code: i32,
    /// Bit 0: response; bit 1: one-way.
    pub flag: i32,
    /// Matches a response to its request.
    pub opaque: i32,
}

impl CommandHead {
    /// Whether this answers a request of the receiving side.
    #[must_use]
    pub const fn is_response(self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    /// Whether the sender wants no response.
    #[must_use]
    pub const fn is_oneway(self) -> bool {
        self.flag & FLAG_ONEWAY != 0
    }
}

/// Reads code, flag and opaque of a frame.
///
/// # Errors
/// A [`FrameError`] if the header is malformed. Of a binary header only the part up to the remark
/// is looked at.
pub fn peek(frame: &Frame) -> Result<CommandHead, FrameError> {
    match frame.encoding {
        HeaderEncoding::Json => json::peek(&frame.header),
        HeaderEncoding::Binary => binary::peek(&frame.header),
    }
}

/// Reads a header as the receipt of a send, if it is a plain one.
///
/// `None`: it is something else, or malformed, and [`peek`] must look.
pub(crate) fn peek_stored(
    encoding: HeaderEncoding,
    header: &[u8],
) -> Option<(CommandHead, StoredMessage)> {
    let mut fields = StoredFields::default();
    let set = |name: &[u8], value| fields.set(name, value);
    let head = match encoding {
        HeaderEncoding::Json => json::scan(header, set)?,
        HeaderEncoding::Binary => binary::scan(header, set)?,
    };
    let code = ResponseCode(head.code);
    if !head.is_response() || !ResponseClass::of(code, None).is_receipt() {
        return None;
    }
    Some((head, fields.read(code)?))
}

/// Calls `each` with `target`, name and value of every extension field of a frame; of equal names
/// the last one counts. Fields without a value are left out, and so are, in the binary form,
/// those with an empty one (it stands for null). Whether the bytes are UTF-8 is not checked.
///
/// `target` may be put back to its first state and filled anew: a header is read by a fast reader
/// first, and by a slower one if it turns out to be unusual.
///
/// # Errors
/// A [`FrameError`] if the header is malformed; `target` may then have taken some fields.
pub(crate) fn visit_fields<'a, T: Clone>(
    frame: &'a Frame,
    target: &mut T,
    each: impl Fn(&mut T, &[u8], Cow<'a, [u8]>),
) -> Result<(), FrameError> {
    match frame.encoding {
        HeaderEncoding::Json => json::visit_fields(&frame.header, target, each),
        HeaderEncoding::Binary => binary::visit_fields(&frame.header, target, each),
    }
}
