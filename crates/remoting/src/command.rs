//! A whole command: the unit that client and server exchange (Java: `RemotingCommand`).
//!
//! The hot path of a client never builds one: it writes a [`RequestHeader`] straight into the
//! connection's buffer with [`encode_request`] and reads answers with [`peek`]. Servers, tests and
//! server-initiated requests use [`RemotingCommand`].

mod binary;
mod ext_fields;
mod json;
mod peek;

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

pub(crate) use self::binary::fields as binary_fields;
pub use self::binary::peek_binary;
pub use self::peek::{CommandHead, peek};
pub(crate) use self::peek::{peek_stored, visit_fields};
use crate::auth;
use crate::code::ResponseCode;
use crate::frame::{Frame, FrameError, HeaderEncoding, MAX_FRAME_LENGTH};
use crate::header::RequestHeader;

/// The version this client declares: 513, the ordinal of 5.5.0 in Java's `MQVersion`.
///
/// From 401 on name servers answer with standard route JSON; above 475 a broker that shuts down
/// answers GO_AWAY, which the connection handles.
pub const CLIENT_VERSION: i32 = 513;

/// Flag bit of a response.
const FLAG_RESPONSE: i32 = 1;

/// Flag bit of a request that wants no response.
const FLAG_ONEWAY: i32 = 2;

/// The language a peer says it is written in (Java: `LanguageCode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a transparent number of the protocol"
)]
pub struct LanguageCode(pub u8);

impl LanguageCode {
    /// Java, which also stands for an absent language in JSON headers.
    pub const JAVA: Self = Self(0);
    /// Any language without a code of its own.
    pub const OTHER: Self = Self(7);
    /// Rust: what this client sends.
    pub const RUST: Self = Self(12);

    const NAMES: [&'static str; 14] = [
        "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO",
        "PHP", "OMS", "RUST", "NODE_JS",
    ];

    /// The constant's name, if the code is known.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.get(usize::from(self.0)).copied()
    }

    /// The language of a name in any letter case, if it is known.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let index = Self::NAMES
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name))?;
        u8::try_from(index).ok().map(Self)
    }
}

/// A request or a response with its fields decoded.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemotingCommand {
    /// Request code, or response code if [`is_response`](Self::is_response).
    pub code: i32,
    /// The sender's language; `None` if its code or name is unknown.
    pub language: Option<LanguageCode>,
    /// The sender's version, an ordinal of Java's `MQVersion`.
    pub version: i32,
    /// Matches a response to its request. Each side numbers its own requests.
    pub opaque: i32,
    /// Bit 0: response; bit 1: one-way.
    pub flag: i32,
    /// Human readable text, mostly the reason of a failure.
    pub remark: Option<String>,
    /// Extension fields in wire order; no name twice.
    pub ext_fields: Vec<(String, String)>,
    /// The body, possibly empty.
    pub body: Bytes,
}

/// Credentials are left out, and of a body only its length is shown.
impl fmt::Debug for RemotingCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.ext_fields.iter();
        let fields: Vec<_> = fields
            .filter(|(name, _)| !auth::FIELDS.contains(&name.as_str()))
            .collect();
        f.debug_struct("RemotingCommand")
            .field("code", &self.code)
            .field("language", &self.language)
            .field("version", &self.version)
            .field("opaque", &self.opaque)
            .field("flag", &self.flag)
            .field("remark", &self.remark)
            .field("ext_fields", &fields)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

impl RemotingCommand {
    /// A request of this client, without fields and body.
    #[must_use]
    pub const fn request(code: i32, opaque: i32) -> Self {
        Self {
            code,
            language: Some(LanguageCode::RUST),
            version: CLIENT_VERSION,
            opaque,
            flag: 0,
            remark: None,
            ext_fields: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// A response to the request numbered `opaque`.
    #[must_use]
    pub fn response(code: ResponseCode, opaque: i32, remark: Option<String>) -> Self {
        Self {
            flag: FLAG_RESPONSE,
            remark,
            ..Self::request(code.0, opaque)
        }
    }

    /// Adds or replaces an extension field.
    #[must_use]
    pub fn with_field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        match self.ext_fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.ext_fields.push((name, value)),
        }
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The value of an extension field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.ext_fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether this answers a request of the receiving side.
    #[must_use]
    pub const fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    /// Whether the sender wants no response.
    #[must_use]
    pub const fn is_oneway(&self) -> bool {
        self.flag & FLAG_ONEWAY != 0
    }

    /// Decodes the header of a frame.
    ///
    /// # Errors
    /// A [`FrameError`] if the header is malformed.
    pub fn decode(frame: Frame) -> Result<Self, FrameError> {
        let mut command = match frame.encoding {
            HeaderEncoding::Json => json::decode(&frame.header)?,
            HeaderEncoding::Binary => binary::decode(&frame.header)?,
        };
        command.body = frame.body;
        Ok(command)
    }

    /// Appends the whole frame, length prefix included.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] if the frame would exceed 16 MiB; `dst` is left as it was.
    pub fn encode(&self, encoding: HeaderEncoding, dst: &mut BytesMut) -> Result<(), FrameError> {
        write_frame(dst, encoding, self.body.len(), |dst| match encoding {
            HeaderEncoding::Json => json::encode(self, dst),
            HeaderEncoding::Binary => binary::encode(self, dst),
        })?;
        dst.extend_from_slice(&self.body);
        Ok(())
    }
}

/// Whether a request waits for its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the protocol knows exactly these two ways"
)]
pub enum RequestMode {
    /// A response is expected.
    TwoWay,
    /// No response is wanted, and a server sends none.
    OneWay,
}

impl RequestMode {
    const fn flag(self) -> i32 {
        match self {
            Self::TwoWay => 0,
            Self::OneWay => FLAG_ONEWAY,
        }
    }
}

/// Appends length prefix, header mark and header of a request whose body of `body_length` bytes
/// the caller appends or sends right after.
///
/// # Errors
/// [`FrameError::TooLong`] if the frame would exceed 16 MiB; `dst` is left as it was.
pub fn encode_request<H: RequestHeader>(
    header: &H,
    opaque: i32,
    mode: RequestMode,
    encoding: HeaderEncoding,
    body_length: usize,
    dst: &mut BytesMut,
) -> Result<(), FrameError> {
    write_frame(dst, encoding, body_length, |dst| match encoding {
        HeaderEncoding::Json => json::encode_request(header, opaque, mode.flag(), dst),
        HeaderEncoding::Binary => binary::encode_request(header, opaque, mode.flag(), dst),
    })
}

/// Writes the two length fields around a header, which is written between them.
fn write_frame(
    dst: &mut BytesMut,
    encoding: HeaderEncoding,
    body_length: usize,
    write_header: impl FnOnce(&mut BytesMut),
) -> Result<(), FrameError> {
    /// Length prefix and header mark.
    const PREFIX: usize = 8;

    let start = dst.len();
    dst.put_u64(0);
    write_header(dst);
    let header = dst.len().saturating_sub(start).saturating_sub(PREFIX);
    let total = header.saturating_add(PREFIX).saturating_add(body_length);
    let lengths = u32::try_from(total.saturating_sub(4))
        .ok()
        .filter(|_| total <= MAX_FRAME_LENGTH)
        .zip(u32::try_from(header).ok());
    let Some((payload, header)) = lengths else {
        dst.truncate(start);
        return Err(FrameError::TooLong {
            length: total,
            limit: MAX_FRAME_LENGTH,
        });
    };
    let mark = (u32::from(encoding.type_byte()) << 24) | header;
    let lengths = (u64::from(payload) << 32) | u64::from(mark);
    if let Some(prefix) = dst
        .get_mut(start..)
        .and_then(<[u8]>::first_chunk_mut::<PREFIX>)
    {
        *prefix = lengths.to_be_bytes();
    }
    Ok(())
}
