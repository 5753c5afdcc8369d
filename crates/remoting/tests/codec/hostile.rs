//! No bytes make a decoder panic, and whatever it accepts it can write and read again.
//!
//! The inputs are random and mutated ones from a fixed seed, so that a failure repeats.

use bytes::{Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rocketmq_producer_remoting::command::peek;
use rocketmq_producer_remoting::message::{OffsetMessageId, Properties};
use rocketmq_producer_remoting::protocol::{
    ClusterInfo, HeartbeatData, SendMessageResponseHeader, TopicRouteData,
};
use rocketmq_producer_remoting::{
    ByteSize, Frame, HeaderEncoding, MAX_FRAME_LENGTH, RemotingCommand, decode_frame,
};

use crate::support::{text, unhex, vectors};

const INPUTS: usize = 100_000;

/// Pieces that codecs stumble over.
const TOKENS: [&[u8]; 20] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"-1",
    b"99999999999999999999",
    b"\\u0000",
    b"\\ud800",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\x01",
    b"\x02",
    b"\xf0\x9f\x98",
];

/// Feeds `decode` with inputs made from `seeds`.
fn survive(seed: u64, seeds: &[Vec<u8>], mut decode: impl FnMut(&[u8])) {
    assert!(!seeds.is_empty());
    let mut random = StdRng::seed_from_u64(seed);
    let mut input = Vec::new();
    for round in 0..INPUTS {
        input.clear();
        if round % 10 == 0 {
            let length = random.random_range(0..64);
            input.extend((0..length).map(|_| random.random::<u8>()));
        } else {
            input.extend_from_slice(&seeds[random.random_range(0..seeds.len())]);
            for _ in 0..random.random_range(1..4) {
                mutate(&mut input, seeds, &mut random);
            }
        }
        decode(&input);
    }
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut StdRng) {
    let at = random.random_range(0..=input.len());
    match random.random_range(0..7) {
        0 => input.truncate(at),
        1 if at < input.len() => input[at] = random.random(),
        2 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
        3 => {
            let token = TOKENS[random.random_range(0..TOKENS.len())];
            input.splice(at..at, token.iter().copied());
        }
        4 => {
            let token = TOKENS[random.random_range(0..TOKENS.len())];
            let end = (at + token.len()).min(input.len());
            input.splice(at..end, token.iter().copied());
        }
        5 => {
            let end = (at + random.random_range(0..8)).min(input.len());
            input.drain(at..end);
        }
        _ => {
            let other = &seeds[random.random_range(0..seeds.len())];
            let from = random.random_range(0..=other.len());
            let end = (from + 32).min(other.len());
            input.splice(at..at, other[from..end].iter().copied());
        }
    }
}

/// Short whole frames from the vectors, of one header form.
fn frames(encoding: HeaderEncoding) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for file in [
        "frames.json",
        "send_headers.json",
        "heartbeat.json",
        "responses.json",
    ] {
        for entry in vectors(file) {
            let Some(bytes) = text(&entry, "hex").map(unhex) else {
                continue;
            };
            let mut buffer = BytesMut::from(&bytes[..]);
            match decode_frame(&mut buffer, MAX_FRAME_LENGTH) {
                Ok(Some(frame)) if frame.encoding == encoding => frames.push(bytes),
                _ => {}
            }
        }
    }
    frames
}

fn headers(encoding: HeaderEncoding) -> Vec<Vec<u8>> {
    let header = |mut bytes: Vec<u8>| {
        let length = usize::from(bytes[6]) << 8 | usize::from(bytes[7]);
        bytes.drain(..8);
        bytes.truncate(length);
        bytes
    };
    frames(encoding).into_iter().map(header).collect()
}

/// All readers of a header on one input; what is accepted must survive writing.
fn read_header(encoding: HeaderEncoding, header: &[u8]) {
    let frame = Frame::new(encoding, Bytes::copy_from_slice(header), Bytes::new());
    let head = peek(&frame);
    let receipt = SendMessageResponseHeader::read(&frame);
    let Ok(command) = RemotingCommand::decode(frame.clone()) else {
        return;
    };
    let head = head.expect("the quick look refuses what the full reader takes");
    assert_eq!(
        (head.code, head.flag, head.opaque),
        (command.code, command.flag, command.opaque)
    );
    // Fields with equal names: the receipt has the last one, as the command has.
    if let Ok(receipt) = &receipt {
        assert_eq!(
            Some(receipt.queue_id),
            command.field("queueId").and_then(|q| q.parse().ok())
        );
        assert_eq!(receipt.msg_id.as_deref(), command.field("msgId"));
    }
    let mut bytes = BytesMut::new();
    command.encode(encoding, &mut bytes).unwrap();
    let again = decode_frame(&mut bytes, MAX_FRAME_LENGTH).unwrap().unwrap();
    let mut again = RemotingCommand::decode(again).unwrap();
    // An unknown language is written as OTHER.
    again.language = again.language.filter(|_| command.language.is_some());
    assert_eq!(again, command);
}

#[test]
fn deep_nesting_and_long_repetition_are_harmless() {
    for part in [
        "[",
        "{\"a\":",
        "{1:",
        "{1 ",
        ",1 ",
        "{\"extFields\":",
        "\"a\":\"1\",",
        "\\\"",
        "k\u{1}v\u{2}",
    ] {
        let text = part.repeat(50_000);
        for text in [
            text.clone(),
            format!("{{{text}"),
            format!("{{\"extFields\":{{{text}"),
        ] {
            read_header(HeaderEncoding::Json, text.as_bytes());
            assert!(TopicRouteData::parse(text.as_bytes()).is_err());
            assert!(ClusterInfo::parse(text.as_bytes()).is_err());
            assert!(HeartbeatData::decode(text.as_bytes()).is_err());
            let _ = Properties::parse(&text);
        }
    }
}

#[test]
fn frames_survive_bad_input() {
    let mut seeds = frames(HeaderEncoding::Json);
    seeds.extend(frames(HeaderEncoding::Binary));
    survive(1, &seeds, |input| {
        let mut buffer = BytesMut::from(input);
        // Bounded: each frame takes at least 8 bytes.
        while let Ok(Some(frame)) = decode_frame(&mut buffer, MAX_FRAME_LENGTH) {
            assert!(frame.header.len() + frame.body.len() <= input.len());
        }
        assert!(buffer.capacity() <= 4 * input.len() + (128 << 10));
    });
}

#[test]
fn json_headers_survive_bad_input() {
    survive(2, &headers(HeaderEncoding::Json), |input| {
        read_header(HeaderEncoding::Json, input);
    });
}

#[test]
fn binary_headers_survive_bad_input() {
    survive(3, &headers(HeaderEncoding::Binary), |input| {
        read_header(HeaderEncoding::Binary, input);
    });
}

#[test]
fn routes_survive_bad_input() {
    let seeds: Vec<_> = vectors("route.json")
        .iter()
        .filter_map(|entry| text(entry, "text"))
        .map(|text| text.as_bytes().to_vec())
        .collect();
    survive(4, &seeds, |input| {
        if let Ok(route) = TopicRouteData::parse(input) {
            assert_eq!(TopicRouteData::parse(&route.to_json()), Ok(route));
        }
    });
}

#[test]
fn small_bodies_survive_bad_input() {
    let cluster = br#"{"brokerAddrTable":{"a":{"brokerAddrs":{0:"h:1"},"brokerName":"a","cluster":"C"}},"clusterAddrTable":{"C":["a"]}}"#;
    survive(5, &[cluster.to_vec()], |input| {
        let _ = ClusterInfo::parse(input);
    });
    let heartbeat = HeartbeatData::producer("1.2.3.4@5#6", ["PG", "CLIENT_INNER_PRODUCER"]);
    survive(6, &[heartbeat.encode().to_vec()], |input| {
        if let Ok(heartbeat) = HeartbeatData::decode(input) {
            assert_eq!(HeartbeatData::decode(&heartbeat.encode()), Ok(heartbeat));
        }
    });
}

#[test]
fn texts_survive_bad_input() {
    let properties: Vec<_> = vectors("properties.json")
        .iter()
        .filter_map(|entry| text(entry, "text"))
        .map(|text| text.as_bytes().to_vec())
        .collect();
    survive(7, &properties, |input| {
        let input = String::from_utf8_lossy(input);
        let properties = Properties::parse(&input);
        assert!(properties.wire_len() <= input.len() + 1);
        assert_eq!(Properties::parse(properties.as_wire()), properties);
    });
    let ids: Vec<_> = [
        "7F0000010000238F000000000001E240",
        "0000000000000000000000000000000100000000000000000001E240",
    ]
    .map(|id| id.as_bytes().to_vec())
    .into();
    survive(8, &ids, |input| {
        let input = String::from_utf8_lossy(input);
        if let Ok(id) = input.parse::<OffsetMessageId>() {
            assert!(id.to_string().eq_ignore_ascii_case(&input));
        }
    });
    survive(
        9,
        &[b"4MiB".to_vec(), b"512 kb".to_vec(), b"1024".to_vec()],
        |input| {
            if let Ok(size) = String::from_utf8_lossy(input).parse::<ByteSize>() {
                assert_eq!(size.to_string().parse(), Ok(size));
            }
        },
    );
}
