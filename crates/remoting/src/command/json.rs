//! The JSON form of a header.
//!
//! What is written has fastjson's order of members and its escapes, so that it equals the bytes of
//! a Java peer. What is read is any JSON, as liberally as Java reads it: numbers as strings, the
//! language by name or number, absent and unknown members, the last of equal ones counting.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

mod read;
mod scan;
mod text;

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

pub(super) use self::scan::scan;
use self::text::put_string;
use super::ext_fields::keep_last;
use super::{CLIENT_VERSION, CommandHead, LanguageCode, RemotingCommand};
use crate::frame::FrameError;
use crate::header::{FieldSink, RequestHeader};

/// Room made at once for a request's header, so that small headers grow the buffer once.
const USUAL_HEADER: usize = 512;

/// Reads the numbers of a header.
pub(super) fn peek(header: &[u8]) -> Result<CommandHead, FrameError> {
    if let Some(head) = scan(header, |_, _| {}) {
        return Ok(head);
    }
    let command = read::read::<read::NumbersOnly>(header)?;
    Ok(CommandHead {
        code: command.code,
        flag: command.flag,
        opaque: command.opaque,
    })
}

/// Calls `each` for every field that has a value.
pub(super) fn visit_fields<'a, T: Clone>(
    header: &'a [u8],
    target: &mut T,
    each: impl Fn(&mut T, &[u8], Cow<'a, [u8]>),
) -> Result<(), FrameError> {
    let before = target.clone();
    let scanned = scan(header, |name, value| {
        each(target, name, Cow::Borrowed(value));
    });
    if scanned.is_some() {
        return Ok(());
    }
    *target = before;
    let command = read::read::<read::Everything>(header)?;
    for (name, value) in command.ext_fields {
        each(target, name.as_bytes(), Cow::Owned(value.into_bytes()));
    }
    Ok(())
}

pub(super) fn decode(header: &Bytes) -> Result<RemotingCommand, FrameError> {
    let command = read::read::<read::Everything>(header)?;
    Ok(RemotingCommand {
        code: command.code,
        language: command.language,
        version: command.version,
        opaque: command.opaque,
        flag: command.flag,
        remark: command.remark,
        ext_fields: keep_last(command.ext_fields),
        body: Bytes::new(),
    })
}

pub(super) fn encode(command: &RemotingCommand, dst: &mut BytesMut) {
    put_integer(dst, "{\"code\":", command.code);
    if !command.ext_fields.is_empty() {
        let mut sink = JsonSink::begin(dst);
        for (name, value) in &command.ext_fields {
            sink.separate();
            put_string(sink.dst, name);
            sink.dst.extend_from_slice(b":");
            put_string(sink.dst, value);
        }
        sink.end();
    }
    put_integer(dst, ",\"flag\":", command.flag);
    if let Some(name) = command.language.and_then(LanguageCode::name) {
        dst.extend_from_slice(b",\"language\":");
        put_string(dst, name);
    } else {
        // Absent would mean Java.
        dst.extend_from_slice(b",\"language\":\"OTHER\"");
    }
    put_integer(dst, ",\"opaque\":", command.opaque);
    if let Some(remark) = &command.remark {
        dst.extend_from_slice(b",\"remark\":");
        put_string(dst, remark);
    }
    put_integer(
        dst,
        ",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":",
        command.version,
    );
    dst.extend_from_slice(b"}");
}

pub(super) fn encode_request<H: RequestHeader>(
    header: &H,
    opaque: i32,
    flag: i32,
    dst: &mut BytesMut,
) {
    dst.reserve(USUAL_HEADER);
    put_integer(dst, "{\"code\":", header.code().0);
    let mut sink = JsonSink::begin(dst);
    header.write_fields(&mut sink);
    sink.end();
    put_integer(dst, ",\"flag\":", flag);
    put_integer(dst, ",\"language\":\"RUST\",\"opaque\":", opaque);
    put_integer(
        dst,
        ",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":",
        CLIENT_VERSION,
    );
    dst.extend_from_slice(b"}");
}

fn put_integer(dst: &mut BytesMut, before: &str, value: i32) {
    dst.extend_from_slice(before.as_bytes());
    dst.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes the member `extFields`.
struct JsonSink<'a> {
    dst: &'a mut BytesMut,
    /// Where the member begins, to take it back if no field came.
    start: usize,
    is_empty: bool,
}

impl<'a> JsonSink<'a> {
    fn begin(dst: &'a mut BytesMut) -> Self {
        let start = dst.len();
        dst.extend_from_slice(b",\"extFields\":{");
        Self {
            dst,
            start,
            is_empty: true,
        }
    }

    fn separate(&mut self) {
        if !self.is_empty {
            self.dst.extend_from_slice(b",");
        }
        self.is_empty = false;
    }

    /// Name, colon and opening quote. Names are constants that need no escape.
    #[inline]
    fn open(&mut self, name: &'static str) {
        if let [letter] = name.as_bytes() {
            // One copy for the names of a send.
            let text = [b',', b'"', *letter, b'"', b':', b'"'];
            let text = if self.is_empty {
                text.get(1..).unwrap_or_default()
            } else {
                &text
            };
            self.is_empty = false;
            self.dst.extend_from_slice(text);
        } else {
            self.separate();
            self.dst.extend_from_slice(b"\"");
            self.dst.extend_from_slice(name.as_bytes());
            self.dst.extend_from_slice(b"\":\"");
        }
    }

    fn end(self) {
        if self.is_empty {
            self.dst.truncate(self.start);
        } else {
            self.dst.extend_from_slice(b"}");
        }
    }
}

impl FieldSink for JsonSink<'_> {
    #[inline]
    fn text(&mut self, name: &'static str, value: &str) {
        self.text_parts(name, &[value]);
    }

    #[inline]
    fn text_parts(&mut self, name: &'static str, parts: &[&str]) {
        self.open(name);
        for part in parts {
            text::put_escaped(self.dst, part);
        }
        self.dst.extend_from_slice(b"\"");
    }

    #[inline]
    fn integer(&mut self, name: &'static str, value: i64) {
        self.open(name);
        self.dst
            .extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.dst.extend_from_slice(b"\"");
    }

    fn added(&mut self, name: &str, value: &str) {
        self.separate();
        put_string(self.dst, name);
        self.dst.extend_from_slice(b":");
        put_string(self.dst, value);
    }

    #[inline]
    fn boolean(&mut self, name: &'static str, value: bool) {
        self.open(name);
        let text: &[u8] = if value { b"true\"" } else { b"false\"" };
        self.dst.extend_from_slice(text);
    }
}
