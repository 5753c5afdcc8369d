//! The headers of frames: both encodings, the quick look, the receipt of a send.

use bytes::{Bytes, BytesMut};
use rocketmq_producer::remoting::command::{peek, peek_binary};
use rocketmq_producer::remoting::protocol::offset_query::read_offset;
use rocketmq_producer::remoting::protocol::{
    RecallMessageResponseHeader, SendMessageResponseHeader,
};
use rocketmq_producer::remoting::{
    Frame, HeaderEncoding, LanguageCode, MAX_FRAME_LENGTH, RemotingCommand, ResponseCode,
    decode_frame,
};

use super::Verdict;
use super::corpus::Corpus;

/// Fields that answers to administration tell something in.
pub(super) const ANSWER_TOKENS: &[&[u8]] = &[
    b"offset",
    b"msgId",
    b"\"offset\":\"7\"",
    b"\"msgId\":\"0A\"",
    b"\x00\x06offset\x00\x00\x00\x017",
    b"\"extFields\":{",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-1",
    b"\"",
    b"}",
];

/// Longest name that the 16-bit length of a binary header can say.
const LONGEST_NAME: usize = i16::MAX as usize;

pub(super) fn json_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    corpus.json_headers.clone()
}

pub(super) fn binary_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    corpus.binary_headers.clone()
}

/// Headers of both encodings, each behind its type byte.
pub(super) fn both_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let json = corpus.json_headers.iter().map(|header| (0, header));
    let binary = corpus.binary_headers.iter().map(|header| (1, header));
    json.chain(binary)
        .map(|(kind, header)| [&[kind][..], header].concat())
        .collect()
}

/// Answers that have an offset and an id, in both encodings.
pub(super) fn answer_seeds(_: &Corpus) -> Vec<Vec<u8>> {
    let mut answer = RemotingCommand::response(ResponseCode::SUCCESS, 7, None);
    for (name, value) in [("offset", "42"), ("msgId", "7F000001")] {
        answer.ext_fields.push((name.to_owned(), value.to_owned()));
    }
    [(0, HeaderEncoding::Json), (1, HeaderEncoding::Binary)]
        .map(|(kind, encoding)| {
            let mut bytes = BytesMut::new();
            let written = answer.encode(encoding, &mut bytes);
            written.expect("a small command");
            let frame = decode_frame(&mut bytes, MAX_FRAME_LENGTH).ok().flatten();
            [&[kind][..], &frame.expect("a whole frame").header].concat()
        })
        .into()
}

fn of_type_byte(input: &[u8]) -> Frame {
    let (kind, header) = input.split_first().unwrap_or((&0, &[]));
    let encoding = if kind % 2 == 0 {
        HeaderEncoding::Json
    } else {
        HeaderEncoding::Binary
    };
    frame(encoding, header)
}

fn frame(encoding: HeaderEncoding, header: &[u8]) -> Frame {
    Frame::new(encoding, Bytes::copy_from_slice(header), Bytes::new())
}

pub(super) fn json(header: &[u8]) -> Verdict {
    let Ok(command) = RemotingCommand::decode(frame(HeaderEncoding::Json, header)) else {
        return Verdict::Refused;
    };
    assert_names_differ(&command);
    assert_eq!(
        written_and_read(&command, HeaderEncoding::Json),
        with_known_language(&command)
    );
    assert_eq!(
        written_and_read(&command, HeaderEncoding::Binary),
        as_binary_can_say(&command)
    );
    Verdict::Accepted
}

pub(super) fn binary(header: &[u8]) -> Verdict {
    let absent = peek_binary(header, &[0; LONGEST_NAME + 1]);
    let Ok(command) = RemotingCommand::decode(frame(HeaderEncoding::Binary, header)) else {
        return Verdict::Refused;
    };
    let (head, _) = absent.expect("a look for one field takes what the full reader takes");
    assert_eq!(
        (head.code, head.flag, head.opaque),
        (command.code, command.flag, command.opaque)
    );
    for (name, _) in &command.ext_fields {
        let (_, value) = peek_binary(header, name.as_bytes()).expect("as above");
        assert!(value.is_some(), "{name}");
    }
    assert_names_differ(&command);
    // A binary header says nothing that JSON cannot say.
    for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
        assert_eq!(
            written_and_read(&command, encoding),
            with_known_language(&command)
        );
    }
    assert_eq!(as_binary_can_say(&command), with_known_language(&command));
    Verdict::Accepted
}

fn assert_names_differ(command: &RemotingCommand) {
    let mut names: Vec<_> = command.ext_fields.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), command.ext_fields.len(), "a name occurs twice");
}

fn written_and_read(command: &RemotingCommand, encoding: HeaderEncoding) -> RemotingCommand {
    let mut bytes = BytesMut::new();
    command
        .encode(encoding, &mut bytes)
        .expect("what came in a frame fits one");
    let frame = decode_frame(&mut bytes, MAX_FRAME_LENGTH)
        .expect("a frame is written")
        .expect("a whole frame is written");
    assert!(bytes.is_empty(), "bytes after the frame");
    assert_eq!(frame.encoding, encoding);
    RemotingCommand::decode(frame).expect("what is written can be read")
}

/// An unknown language is written as OTHER.
fn with_known_language(command: &RemotingCommand) -> RemotingCommand {
    let mut command = command.clone();
    command.language = command.language.or(Some(LanguageCode::OTHER));
    command
}

/// The binary form has 16 bits for code and version and none for an empty text, and names of 32 KiB
/// at most; a longer one is cut before the character that does not fit.
fn as_binary_can_say(command: &RemotingCommand) -> RemotingCommand {
    let low_half = |value: i32| {
        i32::from(i16::from_be_bytes([
            value.to_be_bytes()[2],
            value.to_be_bytes()[3],
        ]))
    };
    let mut command = with_known_language(command);
    command.code = low_half(command.code);
    command.version = low_half(command.version);
    command.remark = command.remark.filter(|remark| !remark.is_empty());
    let fields = std::mem::take(&mut command.ext_fields);
    for (name, value) in fields {
        let cut = (0..=name.len().min(LONGEST_NAME))
            .rev()
            .find(|end| name.is_char_boundary(*end));
        let name = name.get(..cut.unwrap_or(0)).unwrap_or_default().to_owned();
        if !name.is_empty() && !value.is_empty() {
            // Cut names may be equal; then the last one counts.
            command.ext_fields.retain(|(known, _)| *known != name);
            command.ext_fields.push((name, value));
        }
    }
    command
}

pub(super) fn peek_agrees(input: &[u8]) -> Verdict {
    let frame = of_type_byte(input);
    let head = peek(&frame);
    if frame.encoding == HeaderEncoding::Json && std::str::from_utf8(&frame.header).is_ok() {
        // White space sends a header to the slow reader.
        let slow = peek(&self::frame(
            HeaderEncoding::Json,
            &[b" ", &frame.header[..]].concat(),
        ));
        assert_eq!(head.as_ref().ok(), slow.as_ref().ok(), "fast and slow");
    }
    let Ok(command) = RemotingCommand::decode(frame) else {
        return Verdict::Refused;
    };
    let head = head.expect("the quick look takes what the full reader takes");
    assert_eq!(
        (head.code, head.flag, head.opaque),
        (command.code, command.flag, command.opaque)
    );
    assert_eq!(head.is_response(), command.is_response());
    assert_eq!(head.is_oneway(), command.is_oneway());
    Verdict::Accepted
}

pub(super) fn send_response(input: &[u8]) -> Verdict {
    let frame = of_type_byte(input);
    let receipt = SendMessageResponseHeader::read(&frame);
    let Ok(command) = RemotingCommand::decode(frame.clone()) else {
        return Verdict::Refused;
    };
    let queue_id = command
        .field("queueId")
        .and_then(|id| id.parse::<i32>().ok());
    let queue_offset = command
        .field("queueOffset")
        .and_then(|o| o.parse::<i64>().ok());
    let (Some(queue_id), Some(queue_offset)) = (queue_id, queue_offset) else {
        assert!(receipt.is_err(), "a receipt without queue or offset");
        return Verdict::Refused;
    };
    let receipt = receipt.expect("all that a receipt needs is there");
    assert_eq!(receipt.queue_id, queue_id);
    assert_eq!(receipt.queue_offset, queue_offset);
    assert_eq!(receipt.msg_id.as_deref(), command.field("msgId"));
    assert_eq!(
        receipt.transaction_id.as_deref(),
        command.field("transactionId")
    );
    let region = command.field("MSG_REGION").filter(|name| !name.is_empty());
    assert_eq!(receipt.region, region.unwrap_or("DefaultRegion"));
    assert_eq!(receipt.trace_on, command.field("TRACE_ON") != Some("false"));
    Verdict::Accepted
}

pub(super) fn answer_fields(input: &[u8]) -> Verdict {
    let frame = of_type_byte(input);
    let (offset, recalled) = (
        read_offset(&frame),
        RecallMessageResponseHeader::read(&frame),
    );
    let Ok(command) = RemotingCommand::decode(frame) else {
        assert!(offset.is_err() && recalled.is_err());
        return Verdict::Refused;
    };
    let recalled = recalled.expect("it needs no field");
    assert_eq!(recalled.msg_id.as_deref(), command.field("msgId"));
    let number = command.field("offset").and_then(|o| o.parse::<i64>().ok());
    assert_eq!(offset.ok(), number);
    Verdict::of(number.is_some())
}
