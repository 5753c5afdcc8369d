//! What serves a broker's connections: the broker itself, or the null mode, which answers every
//! send at once with the same receipt, save for number and queue, and stores nothing.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rocketmq_producer_remoting::command::{peek, peek_binary};
use rocketmq_producer_remoting::message::property::{MSG_REGION, TRACE_ON};
use rocketmq_producer_remoting::{
    Frame, FrameError, HeaderEncoding, LanguageCode, MAX_FRAME_LENGTH, RemotingCommand,
    RequestCode, ResponseCode, decode_frame,
};

use crate::broker::Broker;
use crate::server::{Desk, Flow, Peer, Service};

/// Length prefix and header mark.
const PREFIX: usize = 8;

/// The digit of the queue that a receipt names if that of the send is not known by a look.
const FIRST_QUEUE: u8 = b'0';

pub(crate) struct BrokerService {
    pub(crate) desk: Desk<Broker>,
    receipts: Option<Receipts>,
}

impl BrokerService {
    pub(crate) fn new(desk: Desk<Broker>) -> Self {
        Self {
            desk,
            receipts: None,
        }
    }

    pub(crate) fn null(desk: Desk<Broker>) -> Self {
        Self {
            desk,
            receipts: Some(Receipts::new()),
        }
    }
}

impl Service for BrokerService {
    fn serve(
        &self,
        peer: &Peer,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Flow, FrameError> {
        let Some(receipts) = &self.receipts else {
            return self.desk.serve(peer, input, out);
        };
        let mut sends = 0;
        let flow = loop {
            match scan(input) {
                Scan::Incomplete => break Ok(Flow::Continue),
                Scan::Send(send) => {
                    if !send.is_oneway {
                        receipts.write(send.encoding, send.opaque, send.queue, out);
                    }
                    input.advance(send.length);
                    sends += 1;
                }
                Scan::Other => match self.serve_other(peer, receipts, input, out) {
                    Ok(Flow::Continue) => {}
                    other => break other,
                },
            }
        };
        self.desk.count(RequestCode::SEND_MESSAGE_V2, sends);
        flow
    }

    fn resume(&self, peer: &Peer, frame: Frame, out: &mut BytesMut) -> Result<(), FrameError> {
        self.desk.resume(peer, frame, out)
    }

    fn disconnected(&self, peer: &Peer) {
        self.desk.disconnected(peer);
    }
}

impl BrokerService {
    /// A frame that is no send, or one whose header is laid out in another way.
    fn serve_other(
        &self,
        peer: &Peer,
        receipts: &Receipts,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Flow, FrameError> {
        let Some(frame) = decode_frame(input, MAX_FRAME_LENGTH)? else {
            return Ok(Flow::Continue);
        };
        let head = peek(&frame)?;
        let is_send = matches!(
            RequestCode(head.code),
            RequestCode::SEND_MESSAGE
                | RequestCode::SEND_MESSAGE_V2
                | RequestCode::SEND_BATCH_MESSAGE
        );
        if head.is_response() || !is_send {
            return self.desk.serve_frame(peer, frame, out);
        }
        if !head.is_oneway() {
            receipts.write(frame.encoding, head.opaque, FIRST_QUEUE, out);
        }
        Ok(Flow::Continue)
    }
}

/// What is at the start of the input.
#[derive(Debug, PartialEq, Eq)]
enum Scan {
    /// A part of a frame, or nothing.
    Incomplete,
    Send(Send),
    /// Anything that needs a real look.
    Other,
}

#[derive(Debug, PartialEq, Eq)]
struct Send {
    /// Of the whole frame.
    length: usize,
    encoding: HeaderEncoding,
    opaque: i32,
    is_oneway: bool,
    /// The digit of the queue that was asked for: one that names another queue makes a client take the topic for a
    /// static one, which costs it more than usual. Queues from 10 on are not worth the look.
    queue: u8,
}

fn scan(input: &[u8]) -> Scan {
    let Some(&[a, b, c, d, kind, e, f, g]) = input.first_chunk::<PREFIX>() else {
        return Scan::Incomplete;
    };
    let number = |bytes| usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
    let length = number([a, b, c, d]).saturating_add(4);
    let header_end = number([0, e, f, g]).saturating_add(PREFIX);
    let Ok(encoding) = HeaderEncoding::from_type_byte(kind) else {
        return Scan::Other;
    };
    if length > MAX_FRAME_LENGTH || header_end > length {
        return Scan::Other;
    }
    if input.len() < length {
        return Scan::Incomplete;
    }
    let header = input.get(PREFIX..header_end).unwrap_or_default();
    let look = match encoding {
        HeaderEncoding::Binary => look_at_binary(header),
        HeaderEncoding::Json => look_at_json(header),
    };
    match look {
        Some((opaque, flag, queue)) if flag & 1 == 0 => Scan::Send(Send {
            length,
            encoding,
            opaque,
            is_oneway: flag & 2 != 0,
            queue: queue.unwrap_or(FIRST_QUEUE),
        }),
        _ => Scan::Other,
    }
}

/// Opaque, flag and the digit of the queue of a send.
type Look = (i32, i32, Option<u8>);

/// The queue is the field `e` (Java: `SendMessageRequestHeaderV2`).
fn look_at_binary(header: &[u8]) -> Option<Look> {
    let (head, queue) = peek_binary(header, b"e").ok()?;
    let is_send = matches!(
        RequestCode(head.code),
        RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE
    );
    is_send.then(|| (head.opaque, head.flag, queue.and_then(digit)))
}

/// The header must have the order of members that Java and this project's client write. Inside of
/// strings the marks cannot occur, since quotes are escaped there.
fn look_at_json(header: &[u8]) -> Option<Look> {
    let rest = header.strip_prefix(b"{\"code\":3")?;
    if !(rest.starts_with(b"10,") || rest.starts_with(b"20,")) {
        return None;
    }
    let (before, opaque) = last_number(rest, b"\"opaque\":")?;
    let (_, flag) = last_number(before, b"\"flag\":")?;
    Some((opaque, flag, json_queue(header)))
}

fn json_queue(header: &[u8]) -> Option<u8> {
    let mark = b"\"e\":\"";
    let at = header
        .windows(mark.len())
        .position(|window| window == mark)?;
    let value = header.get(at + mark.len()..)?;
    let end = value.iter().position(|byte| *byte == b'"')?;
    digit(value.get(..end)?)
}

fn digit(value: &[u8]) -> Option<u8> {
    match value {
        [digit] if digit.is_ascii_digit() => Some(*digit),
        _ => None,
    }
}

/// The number after the last `mark`, and what is before the mark.
fn last_number<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], i32)> {
    let at = text
        .windows(mark.len())
        .rposition(|window| window == mark)?;
    let (before, after) = text.split_at(at);
    let after = after.get(mark.len()..)?;
    let end = after
        .iter()
        .position(|byte| !(byte.is_ascii_digit() || *byte == b'-'))?;
    let number = std::str::from_utf8(after.get(..end)?).ok()?.parse().ok()?;
    Some((before, number))
}

/// Receipts with gaps for the number and the queue.
struct Receipts {
    binary: Bytes,
    /// Where the digit of the queue is.
    binary_queue: usize,
    json_before: Bytes,
    json_queue: usize,
    json_after: Bytes,
}

impl Receipts {
    /// Where the number is in a binary frame.
    const BINARY_GAP: usize = PREFIX + 5;

    fn new() -> Self {
        let mut receipt = RemotingCommand::response(ResponseCode::SUCCESS, 0, None)
            .with_field("queueId", "0")
            .with_field("transactionId", "00000000000000000000000000000000")
            .with_field("msgId", "7F000001000000000000000000000000")
            .with_field(TRACE_ON, "true")
            .with_field(MSG_REGION, "DefaultRegion")
            .with_field("queueOffset", "0");
        receipt.language = Some(LanguageCode::JAVA);
        let encode = |encoding| {
            let mut frame = BytesMut::new();
            // A few hundred bytes: far below the limit of a frame.
            let _ = receipt.encode(encoding, &mut frame);
            frame.freeze()
        };
        let mut json = encode(HeaderEncoding::Json);
        json.advance(PREFIX.min(json.len()));
        let gap = end_of(&json, b"\"opaque\":");
        let binary = encode(HeaderEncoding::Binary);
        Self {
            // The name, and the length of the value.
            binary_queue: end_of(&binary, b"queueId") + 4,
            json_queue: end_of(&json, b"\"queueId\":\""),
            binary,
            json_before: json.slice(..gap),
            // Without the 0 that stands there.
            json_after: json.slice((gap + 1).min(json.len())..),
        }
    }

    fn write(&self, encoding: HeaderEncoding, opaque: i32, queue: u8, out: &mut BytesMut) {
        let begin = out.len();
        let queue_at = match encoding {
            HeaderEncoding::Binary => {
                let gap = begin + Self::BINARY_GAP;
                out.extend_from_slice(&self.binary);
                if let Some(place) = out.get_mut(gap..).and_then(<[u8]>::first_chunk_mut) {
                    *place = opaque.to_be_bytes();
                }
                begin + self.binary_queue
            }
            HeaderEncoding::Json => {
                let mut digits = itoa::Buffer::new();
                let digits = digits.format(opaque);
                let length = self.json_before.len() + digits.len() + self.json_after.len();
                let length = u32::try_from(length).unwrap_or(0);
                out.put_u32(length + 4);
                // The type byte of JSON is 0.
                out.put_u32(length);
                out.extend_from_slice(&self.json_before);
                out.extend_from_slice(digits.as_bytes());
                out.extend_from_slice(&self.json_after);
                begin + PREFIX + self.json_queue
            }
        };
        if let Some(place) = out.get_mut(queue_at) {
            *place = queue;
        }
    }
}

/// Where the last `mark` ends.
fn end_of(text: &[u8], mark: &[u8]) -> usize {
    let begin = text.windows(mark.len()).rposition(|window| window == mark);
    begin.map_or(0, |at| at + mark.len())
}

#[cfg(test)]
mod tests {
    use rocketmq_producer_remoting::command::{RequestMode, encode_request};
    use rocketmq_producer_remoting::protocol::{
        SendMessageRequestHeader, SendMessageResponseHeader,
    };

    use super::*;

    fn send(opaque: i32, mode: RequestMode, encoding: HeaderEncoding) -> BytesMut {
        let mut header = SendMessageRequestHeader::new("g", "t", 3, 1);
        header.properties = "k\u{1}\"opaque\":99,\"flag\":1\u{2}";
        let mut frame = BytesMut::new();
        encode_request(&header, opaque, mode, encoding, 4, &mut frame).unwrap();
        frame.extend_from_slice(b"body");
        frame
    }

    #[test]
    fn sends_are_recognised_by_a_look_at_the_header() {
        for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
            for (mode, is_oneway) in [(RequestMode::TwoWay, false), (RequestMode::OneWay, true)] {
                let frame = send(-4711, mode, encoding);
                let expected = Send {
                    length: frame.len(),
                    encoding,
                    opaque: -4711,
                    is_oneway,
                    queue: b'3',
                };
                assert_eq!(scan(&frame), Scan::Send(expected));
                for cut in 0..frame.len() {
                    assert_eq!(scan(&frame[..cut]), Scan::Incomplete, "cut at {cut}");
                }
            }
        }
        let mut heartbeat = BytesMut::new();
        let request = RemotingCommand::request(34, 1);
        request
            .encode(HeaderEncoding::Json, &mut heartbeat)
            .unwrap();
        assert_eq!(scan(&heartbeat), Scan::Other);
    }

    #[test]
    fn receipts_carry_number_and_queue_and_can_be_read() {
        let receipts = Receipts::new();
        for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
            for opaque in [0, 7, -1, i32::MAX] {
                let mut out = BytesMut::from(&b"before"[..]);
                receipts.write(encoding, opaque, b'7', &mut out);
                let mut out = out.split_off(6);
                let frame = decode_frame(&mut out, MAX_FRAME_LENGTH).unwrap().unwrap();
                assert!(out.is_empty());
                let receipt = SendMessageResponseHeader::read(&frame).unwrap();
                assert_eq!((receipt.queue_id, receipt.queue_offset), (7, 0));
                let command = RemotingCommand::decode(frame).unwrap();
                assert_eq!((command.opaque, command.flag), (opaque, 1));
            }
        }
    }
}
