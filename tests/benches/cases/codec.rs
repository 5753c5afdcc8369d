//! The bytes of a send of 256 B and of its answer.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use rocketmq_producer::remoting::command::{RequestMode, encode_request};
use rocketmq_producer::remoting::protocol::{SendMessageRequestHeader, SendMessageResponseHeader};
use rocketmq_producer::remoting::{
    HeaderEncoding, MAX_FRAME_LENGTH, RemotingCommand, ResponseCode, decode_frame,
};

use super::{Repeat, each};

const BODY: [u8; 256] = [b'x'; 256];

pub fn encode_binary() -> Repeat {
    encode(HeaderEncoding::Binary)
}

pub fn encode_json() -> Repeat {
    encode(HeaderEncoding::Json)
}

/// Into a buffer that has room, as a connection's has.
fn encode(encoding: HeaderEncoding) -> Repeat {
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    let mut opaque = 0;
    each(move || {
        buffer.clear();
        opaque += 1;
        let mut header =
            SendMessageRequestHeader::new("order-service", "orders", 3, 1_780_000_000_000);
        header.properties = "WAIT\u{1}true\u{2}";
        header.unique_key = Some("7F0000012A9F18B4AAC2000000000001");
        header.broker_name = Some("broker-a");
        let length = BODY.len();
        let header = black_box(&header);
        encode_request(
            header,
            opaque,
            RequestMode::TwoWay,
            encoding,
            length,
            &mut buffer,
        )
        .unwrap();
        buffer.extend_from_slice(black_box(&BODY));
        buffer.len()
    })
}

pub fn decode_binary() -> Repeat {
    decode(HeaderEncoding::Binary)
}

pub fn decode_json() -> Repeat {
    decode(HeaderEncoding::Json)
}

/// Cutting the frame of a receipt and reading what a caller gets of it.
fn decode(encoding: HeaderEncoding) -> Repeat {
    let fields = [
        ("queueId", "3"),
        ("transactionId", "7F00000100002A9F0000000000012345"),
        ("msgId", "7F00000100002A9F0000000000012345"),
        ("TRACE_ON", "true"),
        ("MSG_REGION", "DefaultRegion"),
        ("queueOffset", "123456"),
    ];
    let answer = fields.into_iter().fold(
        RemotingCommand::response(ResponseCode::SUCCESS, 4711, None),
        |answer, (name, value)| answer.with_field(name, value),
    );
    let mut frame = BytesMut::new();
    answer.encode(encoding, &mut frame).unwrap();
    let frame: Bytes = frame.freeze();
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    each(move || {
        buffer.extend_from_slice(&frame);
        let frame = decode_frame(&mut buffer, MAX_FRAME_LENGTH)
            .unwrap()
            .unwrap();
        let receipt = SendMessageResponseHeader::read(black_box(&frame)).unwrap();
        (receipt.queue_id, receipt.queue_offset)
    })
}
