//! The binary form of a header, which Java calls `ROCKETMQ`:
//! `code i16 | language u8 | version i16 | opaque i32 | flag i32 | remark length i32 | remark |
//! fields length i32 | { name length i16 | name | value length i32 | value }*`.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::borrow::Cow;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::ext_fields::{MAX_EXT_FIELDS, keep_last};
use super::{CLIENT_VERSION, CommandHead, LanguageCode, RemotingCommand};
use crate::frame::FrameError;
use crate::header::{FieldSink, RequestHeader};

/// Bytes before the remark's length.
const FIXED: usize = 13;
/// Bytes of a header without remark and fields.
const SMALLEST: usize = 21;
/// Room made at once for a request's header, so that small headers grow the buffer once.
const USUAL_HEADER: usize = 512;
/// Bytes of the longest name that its length field, a positive i16, can announce.
const LONGEST_NAME: usize = 0x7fff;
/// Characters of `i64::MIN`.
const LONGEST_INTEGER: usize = 20;

/// Reads the numbers of a header.
pub(super) fn peek(header: &[u8]) -> Result<CommandHead, FrameError> {
    if header.len() < SMALLEST {
        return Err(FrameError::Truncated("fixed"));
    }
    let (code, _, _, opaque, flag) = fixed(header)?;
    Ok(CommandHead { code, flag, opaque })
}

/// Calls `each` for every field that has a name and a value, in wire order.
pub(super) fn visit_fields<'a, T>(
    header: &'a [u8],
    target: &mut T,
    each: impl Fn(&mut T, &[u8], Cow<'a, [u8]>),
) -> Result<(), FrameError> {
    let (_, fields) = remark_and_fields(header)?;
    read_fields(fields, |name, value| {
        each(target, name, Cow::Borrowed(value));
        Ok(())
    })
}

/// Reads the numbers of a header and calls `field` for every field that has a name and a value.
///
/// `None`: it is malformed; `field` may have been called by then.
pub(super) fn scan<'a>(
    header: &'a [u8],
    mut field: impl FnMut(&'a [u8], &'a [u8]),
) -> Option<CommandHead> {
    let head = peek(header).ok()?;
    let (_, fields) = remark_and_fields(header).ok()?;
    let each = |name, value| {
        field(name, value);
        Ok(())
    };
    read_fields(fields, each).ok()?;
    Some(head)
}

/// Reads the numbers of a binary header and the value of its first field called `name` that has
/// one, without allocating: for a server that need not know more.
///
/// # Errors
/// A [`FrameError`] if the header is malformed as far as it is read, which is up to that field.
pub fn peek_binary<'a>(
    header: &'a [u8],
    name: &[u8],
) -> Result<(CommandHead, Option<&'a [u8]>), FrameError> {
    let head = peek(header)?;
    let (_, mut fields) = remark_and_fields(header)?;
    while !fields.is_empty() {
        let ((field, value), rest) = split_field(fields)?;
        if field == name && !value.is_empty() {
            return Ok((head, Some(value)));
        }
        fields = rest;
    }
    Ok((head, None))
}

pub(super) fn decode(header: &Bytes) -> Result<RemotingCommand, FrameError> {
    let (code, language, version, opaque, flag) = fixed(header)?;
    let (remark, fields) = remark_and_fields(header)?;
    let mut ext_fields = Vec::new();
    read_fields(fields, |name, value| {
        let name = utf8(name, "field name")?;
        ext_fields.push((name.to_owned(), utf8(value, "field value")?.to_owned()));
        Ok(())
    })?;
    let language = LanguageCode(language);
    Ok(RemotingCommand {
        code,
        language: language.name().map(|_| language),
        version,
        opaque,
        flag,
        remark: remark.map(str::to_owned),
        ext_fields: keep_last(ext_fields),
        body: Bytes::new(),
    })
}

pub(super) fn encode(command: &RemotingCommand, dst: &mut BytesMut) {
    let language = command.language.unwrap_or(LanguageCode::OTHER);
    dst.extend_from_slice(&fixed_bytes(
        command.code,
        language.0,
        command.version,
        command.opaque,
        command.flag,
    ));
    put_value(dst, command.remark.as_deref().unwrap_or_default());
    put_with_length(dst, |dst| {
        for (name, value) in &command.ext_fields {
            put_field_name(dst, name);
            put_value(dst, value);
        }
    });
}

pub(super) fn encode_request<H: RequestHeader>(
    header: &H,
    opaque: i32,
    flag: i32,
    dst: &mut BytesMut,
) {
    dst.reserve(USUAL_HEADER);
    let fixed = fixed_bytes(
        header.code().0,
        LanguageCode::RUST.0,
        CLIENT_VERSION,
        opaque,
        flag,
    );
    // No remark, and room for the length of the fields: one copy for all that precedes them.
    let mut bytes = [0; SMALLEST];
    if let Some(start) = bytes.first_chunk_mut() {
        *start = fixed;
    }
    dst.extend_from_slice(&bytes);
    let begin = dst.len();
    header.write_fields(&mut BinarySink { dst });
    put_length(dst, begin);
}

/// Encodes fields by themselves.
pub(crate) fn fields(write: impl FnOnce(&mut BinarySink<'_>)) -> Bytes {
    let mut dst = BytesMut::new();
    write(&mut BinarySink { dst: &mut dst });
    dst.freeze()
}

/// `code, language, version, opaque, flag`.
fn fixed(header: &[u8]) -> Result<(i32, u8, i32, i32, i32), FrameError> {
    let mut bytes = header.get(..FIXED).ok_or(FrameError::Truncated("fixed"))?;
    let code = i32::from(bytes.get_i16());
    let language = bytes.get_u8();
    let version = i32::from(bytes.get_i16());
    Ok((code, language, version, bytes.get_i32(), bytes.get_i32()))
}

/// The remark, absent if empty, and the bytes of the fields. Bytes after them are ignored.
fn remark_and_fields(header: &[u8]) -> Result<(Option<&str>, &[u8]), FrameError> {
    let rest = header.get(FIXED..).ok_or(FrameError::Truncated("fixed"))?;
    let (remark, rest) = long_piece(rest, "remark")?;
    let (fields, _) = long_piece(rest, "fields")?;
    let remark = (!remark.is_empty())
        .then(|| utf8(remark, "remark"))
        .transpose()?;
    Ok((remark, fields))
}

/// Fields whose name or value is empty are null to Java; they are skipped.
fn read_fields<'a>(
    mut bytes: &'a [u8],
    mut each: impl FnMut(&'a [u8], &'a [u8]) -> Result<(), FrameError>,
) -> Result<(), FrameError> {
    let mut count = 0_usize;
    while !bytes.is_empty() {
        count = count.saturating_add(1);
        if count > MAX_EXT_FIELDS {
            return Err(FrameError::InvalidField {
                name: "extFields",
                problem: "longer than 4096 fields",
            });
        }
        let ((name, value), rest) = split_field(bytes)?;
        if !name.is_empty() && !value.is_empty() {
            each(name, value)?;
        }
        bytes = rest;
    }
    Ok(())
}

/// Name and value as they travel.
type Field<'a> = (&'a [u8], &'a [u8]);

/// Splits off the first field.
#[inline]
fn split_field(bytes: &[u8]) -> Result<(Field<'_>, &[u8]), FrameError> {
    let (length, rest) = bytes
        .split_first_chunk::<2>()
        .ok_or(FrameError::Truncated("name"))?;
    let length =
        usize::try_from(i16::from_be_bytes(*length)).map_err(|_| FrameError::Truncated("name"))?;
    let (name, rest) = rest
        .split_at_checked(length)
        .ok_or(FrameError::Truncated("name"))?;
    let (value, rest) = long_piece(rest, "value")?;
    Ok(((name, value), rest))
}

/// Splits off a piece that begins with its length as an i32.
fn long_piece<'a>(bytes: &'a [u8], name: &'static str) -> Result<(&'a [u8], &'a [u8]), FrameError> {
    let (length, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or(FrameError::Truncated(name))?;
    usize::try_from(i32::from_be_bytes(*length))
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or(FrameError::Truncated(name))
}

fn utf8<'a>(bytes: &'a [u8], name: &'static str) -> Result<&'a str, FrameError> {
    std::str::from_utf8(bytes).map_err(|_| FrameError::InvalidUtf8(name))
}

/// Java casts code and version to 16 bits, so larger ones lose their upper bits here too.
fn fixed_bytes(code: i32, language: u8, version: i32, opaque: i32, flag: i32) -> [u8; FIXED] {
    let [_, _, code_high, code_low] = code.to_be_bytes();
    let [_, _, version_high, version_low] = version.to_be_bytes();
    let mut bytes = [0; FIXED];
    let mut rest = &mut bytes[..];
    rest.put_slice(&[code_high, code_low, language, version_high, version_low]);
    rest.put_i32(opaque);
    rest.put_i32(flag);
    bytes
}

/// Writes what `write` writes, with its length as an i32 before it.
fn put_with_length(dst: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    dst.put_i32(0);
    let begin = dst.len();
    write(dst);
    put_length(dst, begin);
}

/// Writes the length of what follows `begin` into the four bytes before it.
fn put_length(dst: &mut BytesMut, begin: usize) {
    // No more than 2^31 bytes: a frame over 16 MiB is refused once it is written.
    let length = u32::try_from(dst.len().saturating_sub(begin)).unwrap_or(u32::MAX);
    let place = dst.get_mut(..begin).and_then(<[u8]>::last_chunk_mut);
    if let Some(place) = place {
        *place = length.to_be_bytes();
    }
}

fn put_field_name(dst: &mut BytesMut, name: &str) {
    // Names are constants of the protocol, far below 32 KiB; a longer one cannot be expressed. It
    // is cut between characters, so that what follows it can still be read.
    let longest = name.len().min(LONGEST_NAME);
    let end = (0..=longest).rev().find(|end| name.is_char_boundary(*end));
    let name = name.get(..end.unwrap_or(0)).unwrap_or_default();
    dst.put_u16(u16::try_from(name.len()).unwrap_or(0));
    dst.put_slice(name.as_bytes());
}

fn put_value(dst: &mut BytesMut, value: &str) {
    dst.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
    dst.put_slice(value.as_bytes());
}

/// Writes fields into a header.
pub(crate) struct BinarySink<'a> {
    dst: &'a mut BytesMut,
}

impl BinarySink<'_> {
    /// Name and length of the value.
    #[inline]
    fn begin(&mut self, name: &'static str, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if let [letter] = name.as_bytes() {
            // One copy for the names of a send.
            let [a, b, c, d] = length.to_be_bytes();
            self.dst.extend_from_slice(&[0, 1, *letter, a, b, c, d]);
        } else {
            put_field_name(self.dst, name);
            self.dst.put_u32(length);
        }
    }
}

impl FieldSink for BinarySink<'_> {
    #[inline]
    fn text(&mut self, name: &'static str, value: &str) {
        self.begin(name, value.len());
        self.dst.extend_from_slice(value.as_bytes());
    }

    #[inline]
    fn text_parts(&mut self, name: &'static str, parts: &[&str]) {
        let length = parts.iter().map(|part| part.len()).sum();
        self.begin(name, length);
        for part in parts {
            self.dst.extend_from_slice(part.as_bytes());
        }
    }

    #[inline]
    fn integer(&mut self, name: &'static str, value: i64) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(value).as_bytes();
        if let [letter] = name.as_bytes() {
            // Name, length and digits side by side: one copy for the numbers of a send.
            let mut field = [0; 7 + LONGEST_INTEGER];
            let length = u8::try_from(digits.len()).unwrap_or(0);
            let (start, space) = field.split_at_mut(7);
            start.copy_from_slice(&[0, 1, *letter, 0, 0, 0, length]);
            if let Some(space) = space.get_mut(..digits.len()) {
                space.copy_from_slice(digits);
            }
            let end = digits.len().saturating_add(7);
            self.dst
                .extend_from_slice(field.get(..end).unwrap_or(&field));
        } else {
            self.begin(name, digits.len());
            self.dst.extend_from_slice(digits);
        }
    }

    #[inline]
    fn boolean(&mut self, name: &'static str, value: bool) {
        match (name.as_bytes(), value) {
            ([letter], false) => {
                let field = [0, 1, *letter, 0, 0, 0, 5, b'f', b'a', b'l', b's', b'e'];
                self.dst.extend_from_slice(&field);
            }
            _ => self.text(name, if value { "true" } else { "false" }),
        }
    }

    fn added(&mut self, name: &str, value: &str) {
        put_field_name(self.dst, name);
        put_value(self.dst, value);
    }

    #[inline]
    fn encoded(&mut self, binary: &[u8]) -> bool {
        self.dst.extend_from_slice(binary);
        true
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{RemotingCommand, decode, encode, peek_binary};

    #[test]
    fn a_look_for_one_field_reads_the_numbers_and_what_precedes_the_field() {
        let mut command = RemotingCommand::request(310, -7);
        command.ext_fields = [
            ("a", "group"),
            ("e", ""),
            ("e", "3"),
            ("e", "4"),
            ("ee", "5"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let mut header = BytesMut::new();
        encode(&command, &mut header);
        for (name, value) in [("e", Some("3")), ("ee", Some("5")), ("f", None)] {
            let (head, found) = peek_binary(&header, name.as_bytes()).unwrap();
            assert_eq!((head.code, head.opaque, head.flag), (310, -7, 0));
            assert_eq!(found, value.map(str::as_bytes), "{name}");
        }
        // The length of the last value, which is negative now.
        let length = header.len() - 5;
        header[length] = 0xff;
        assert!(peek_binary(&header, b"e").is_ok());
        assert!(peek_binary(&header, b"ee").is_err());
        for cut in 0..header.len() {
            assert!(peek_binary(&header[..cut], b"e").is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_name_too_long_for_its_length_field_is_cut_and_harms_no_other_field() {
        for letter in ["a", "é", "集", "😀"] {
            for length in [32_767, 32_768, 65_535, 65_536, 100_000] {
                let name: String = letter.chars().cycle().take(length).collect();
                let command = RemotingCommand::request(1, 2)
                    .with_field(name.as_str(), "long")
                    .with_field("b", "2");
                let mut header = BytesMut::new();
                encode(&command, &mut header);
                let read = decode(&header.freeze()).unwrap();
                assert_eq!(read.field("b"), Some("2"), "{letter} {length}");
                let (cut, value) = &read.ext_fields[0];
                assert!(name.starts_with(cut.as_str()) && value == "long");
                assert!(cut.len() <= 32_767 && cut.len() + letter.len() > 32_767);
            }
        }
    }
}
