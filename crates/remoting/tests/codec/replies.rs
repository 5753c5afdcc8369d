//! Requests and replies as Java's client and broker exchanged them.

use std::time::Duration;

use bytes::Bytes;
use rocketmq_producer_remoting::message::property::{CORRELATION_ID, REPLY_TO_CLIENT, TTL};
use rocketmq_producer_remoting::message::{CompressionType, Compressor, Properties};
use rocketmq_producer_remoting::protocol::{PushedReplyError, read_pushed_reply};
use rocketmq_producer_remoting::{ByteSize, Message, RemotingCommand};

use crate::support::{command, name, text, unhex, vectors};

const LIMIT: ByteSize = ByteSize::mib(4);

/// The recorded frame with this code.
fn recorded(code: i32) -> RemotingCommand {
    let all = vectors("captured/request_reply.json");
    let entry = all.iter().find(|entry| name(entry) == "request-reply");
    let frames = entry.unwrap()["frames"].as_array().unwrap();
    let frames = frames.iter().map(|frame| {
        let bytes = unhex(text(frame, "hex").unwrap());
        command(&bytes).unwrap()
    });
    let mut frames = frames.filter(|frame| frame.code == code);
    frames.next().unwrap()
}

#[test]
fn a_reply_that_a_broker_pushed_is_read_whole() {
    let pushed = recorded(326);
    let reply = read_pushed_reply(&pushed, LIMIT).unwrap();
    assert_eq!(reply.topic, "VecCluster_REPLY_TOPIC");
    assert_eq!(reply.body, pushed.body);
    assert_eq!(reply.property("MSG_TYPE"), Some("reply"));
    assert_eq!(reply.born_host, "127.0.0.1:39734".parse().unwrap());
    assert_eq!(reply.store_host, "127.0.0.1:38911".parse().unwrap());
    assert_eq!(reply.born_timestamp, 1_795_315_691_278);
    assert_eq!(reply.store_timestamp, 1_795_315_691_295);
    let request = recorded(310);
    let request = Properties::parse(request.field("i").unwrap());
    assert_eq!(reply.property(CORRELATION_ID), request.get(CORRELATION_ID));
}

#[test]
fn a_request_carries_the_properties_that_java_gives_it() {
    let java = recorded(310);
    let java = Properties::parse(java.field("i").unwrap());
    let message = Message::new("VecTopic", "ping").unwrap();
    let message = message
        .with_tags("req")
        .unwrap()
        .as_request(
            java.get(CORRELATION_ID).unwrap(),
            "127.0.0.1@vecreq",
            Duration::from_secs(5),
        )
        .unwrap();
    for name in [CORRELATION_ID, REPLY_TO_CLIENT, TTL, "TAGS"] {
        assert_eq!(message.property(name), java.get(name), "{name}");
    }
}

#[test]
fn the_body_of_a_reply_is_unpacked_within_its_limit() {
    let body = "pong ".repeat(2000);
    let packed = Compressor::new(CompressionType::Zlib, 5).unwrap();
    let packed = packed.compress(body.as_bytes()).unwrap().unwrap();
    let mut pushed = recorded(326).with_body(Bytes::from(packed));
    // Without a type, as clients before 5.0 do it.
    pushed = pushed.with_field("sysFlag", "1");
    let reply = read_pushed_reply(&pushed, LIMIT).unwrap();
    assert_eq!((&*reply.body, reply.sys_flag), (body.as_bytes(), 0));
    let error = read_pushed_reply(&pushed, ByteSize::kib(1)).unwrap_err();
    assert!(matches!(error, PushedReplyError::Body(_)), "{error:?}");
    let broken = pushed.with_field("queueId", "x");
    let error = read_pushed_reply(&broken, LIMIT).unwrap_err();
    assert!(matches!(error, PushedReplyError::Number("queueId")));
}
