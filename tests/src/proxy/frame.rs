//! Frames as a proxy sees them: whole, unchanged, with as much of the header read as it needs.
//!
//! Written anew instead of using the client's codec, so that a recorded frame is what was on the wire even where that
//! codec is wrong.

use std::io;

use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Neither side accepts longer frames.
const LONGEST: usize = 16 * 1024 * 1024;
const RESPONSE: i32 = 1;
const ONEWAY: i32 = 2;
/// `SEND_MESSAGE`, `SEND_MESSAGE_V2`, `SEND_BATCH_MESSAGE`.
const SENDS: [i32; 3] = [10, 310, 320];

/// One frame with its length prefix.
#[derive(Debug, Clone)]
pub(super) struct RawFrame {
    pub(super) bytes: Bytes,
    pub(super) head: Head,
    body_at: usize,
}

/// What a header says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Head {
    pub(super) code: i32,
    pub(super) opaque: i32,
    pub(super) flag: i32,
    pub(super) remark: Option<String>,
    ext_fields: Option<std::collections::HashMap<String, Option<String>>>,
}

impl Head {
    pub(super) const fn is_response(&self) -> bool {
        self.flag & RESPONSE != 0
    }

    pub(super) const fn is_oneway(&self) -> bool {
        self.flag & ONEWAY != 0
    }

    pub(super) fn is_send(&self) -> bool {
        !self.is_response() && SENDS.contains(&self.code)
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.ext_fields.as_ref()?.get(name)?.as_deref()
    }

    /// The property `UNIQ_KEY` of a send.
    pub(super) fn unique_key(&self) -> Option<&str> {
        let properties = self.field("i").or_else(|| self.field("properties"))?;
        let pairs = properties.split('\u{2}');
        pairs
            .filter_map(|pair| pair.split_once('\u{1}'))
            .find_map(|(name, value)| (name == "UNIQ_KEY").then_some(value))
    }

    fn read(kind: u8, mut header: &[u8]) -> Result<Self> {
        if kind == 0 {
            return serde_json::from_slice(header).context("a JSON header");
        }
        ensure!(kind == 1, "header type {kind}");
        ensure!(header.len() >= 21, "a binary header of {}", header.len());
        let code = i32::from(header.get_i16());
        let (_language, _version) = (header.get_u8(), header.get_i16());
        let (opaque, flag) = (header.get_i32(), header.get_i32());
        let length = header.get_i32();
        let remark = cut(&mut header, length)?;
        ensure!(header.len() >= 4, "no fields");
        let length = header.get_i32();
        let mut rest = cut(&mut header, length)?;
        let mut fields = std::collections::HashMap::new();
        while rest.len() >= 2 {
            let length = i32::from(rest.get_i16());
            let name = cut(&mut rest, length)?;
            ensure!(rest.len() >= 4, "a name without a value");
            let length = rest.get_i32();
            let value = cut(&mut rest, length)?;
            fields.insert(text(name), Some(text(value)));
        }
        Ok(Self {
            code,
            opaque,
            flag,
            remark: (!remark.is_empty()).then(|| text(remark)),
            ext_fields: Some(fields),
        })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn cut<'a>(bytes: &mut &'a [u8], length: i32) -> Result<&'a [u8]> {
    let length = usize::try_from(length).context("a negative length")?;
    let (part, rest) = bytes.split_at_checked(length).context("a length too far")?;
    *bytes = rest;
    Ok(part)
}

impl RawFrame {
    /// The body.
    pub(super) fn body(&self) -> Bytes {
        self.bytes.slice(self.body_at..)
    }

    /// The same frame with another body.
    pub(super) fn with_body(&self, body: &[u8]) -> Result<Bytes> {
        let mut frame = BytesMut::with_capacity(self.body_at + body.len());
        let length = u32::try_from(self.body_at - 4 + body.len())?;
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(self.bytes.get(4..self.body_at).context("a header")?);
        frame.extend_from_slice(body);
        Ok(frame.freeze())
    }
}

/// An answer that no server gave.
pub(super) fn forged(code: i32, remark: &str, opaque: i32) -> Bytes {
    let header = json!({
        "code": code, "flag": RESPONSE, "language": "JAVA", "opaque": opaque, "version": 513,
        "serializeTypeCurrentRPC": "JSON", "remark": remark,
    });
    let header = header.to_string().into_bytes();
    let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
    let mut frame = BytesMut::with_capacity(header.len() + 8);
    frame.extend_from_slice(&(length.saturating_add(4)).to_be_bytes());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&header);
    frame.freeze()
}

/// Cuts the next frame off the stream; nothing at its end.
///
/// # Cancel safety
/// What was read stays in `buffer`.
pub(super) async fn read_frame<R: AsyncRead + Unpin>(
    from: &mut R,
    buffer: &mut BytesMut,
) -> io::Result<Option<RawFrame>> {
    loop {
        if let Some(frame) = next(buffer).map_err(io::Error::other)? {
            return Ok(Some(frame));
        }
        if from.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn next(buffer: &mut BytesMut) -> Result<Option<RawFrame>> {
    let Some(prefix) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let total = usize::try_from(u32::from_be_bytes(*prefix))? + 4;
    ensure!((8..=LONGEST).contains(&total), "a frame of {total} bytes");
    if buffer.len() < total {
        buffer.reserve(total - buffer.len());
        return Ok(None);
    }
    let bytes = buffer.split_to(total).freeze();
    let (mark, rest) = bytes[4..].split_first_chunk::<4>().context("a mark")?;
    let [kind, high, mid, low] = *mark;
    let header = usize::try_from(u32::from_be_bytes([0, high, mid, low]))?;
    let header = rest.get(..header).context("a header over its frame")?;
    let (head, body_at) = (Head::read(kind, header)?, 8 + header.len());
    Ok(Some(RawFrame {
        head,
        body_at,
        bytes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rocketmq_producer::remoting::command::{RequestMode, encode_request};
    use rocketmq_producer::remoting::protocol::SendMessageRequestHeader;
    use rocketmq_producer::remoting::{HeaderEncoding, RemotingCommand};

    fn send(encoding: HeaderEncoding) -> BytesMut {
        let mut header = SendMessageRequestHeader::new("group", "topic", 3, 1);
        header.unique_key = Some("the-key");
        let mut frame = BytesMut::new();
        encode_request(&header, 7, RequestMode::TwoWay, encoding, 4, &mut frame).expect("fits");
        frame.extend_from_slice(b"body");
        frame
    }

    #[test]
    fn the_unique_key_of_a_send_is_read_in_both_encodings() {
        for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
            let mut bytes = send(encoding);
            let whole = bytes.clone().freeze();
            let frame = next(&mut bytes).expect("good").expect("whole");
            assert!(frame.head.is_send() && !frame.head.is_oneway());
            assert_eq!((frame.head.code, frame.head.opaque), (310, 7));
            assert_eq!(frame.head.unique_key(), Some("the-key"));
            assert_eq!(frame.head.field("e"), Some("3"));
            assert_eq!(&frame.body()[..], b"body");
            assert_eq!(frame.bytes, whole);
        }
    }

    #[test]
    fn a_frame_with_another_body_has_the_length_of_that() {
        let mut bytes = send(HeaderEncoding::Json);
        let frame = next(&mut bytes).expect("good").expect("whole");
        let mut longer = BytesMut::from(&frame.with_body(b"a longer body").expect("fits")[..]);
        let longer_frame = next(&mut longer).expect("good").expect("whole");
        assert_eq!(longer_frame.head, frame.head);
        assert_eq!(&longer_frame.body()[..], b"a longer body");
        assert!(longer.is_empty());
    }

    #[test]
    fn a_forged_answer_is_one_that_the_client_reads() {
        let mut bytes = BytesMut::from(&forged(2, "busy", 9)[..]);
        let frame = rocketmq_producer::remoting::decode_frame(&mut bytes, LONGEST)
            .expect("good")
            .expect("whole");
        let answer = RemotingCommand::decode(frame).expect("good");
        assert_eq!((answer.code, answer.opaque), (2, 9));
        assert!(answer.is_response());
        assert_eq!(answer.remark.as_deref(), Some("busy"));
    }
}
