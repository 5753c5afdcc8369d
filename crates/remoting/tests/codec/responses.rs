//! Answers to a send, as Java reads them.

use bytes::{Bytes, BytesMut};
use rocketmq_producer_remoting::command::peek;
use rocketmq_producer_remoting::protocol::SendMessageResponseHeader;
use rocketmq_producer_remoting::{
    Delivery, Frame, FrameError, HeaderEncoding, RemotingCommand, RequestCode, ResponseClass,
    ResponseCode,
};

use crate::support::{command, frame, int, name, text, unhex, vectors};

#[test]
fn receipts_have_what_java_reads() {
    let mut receipts = 0;
    let mut failures = 0;
    for entry in vectors("responses.json") {
        let (Some(hex), java) = (text(&entry, "hex"), &entry["result"]) else {
            continue;
        };
        let name = name(&entry);
        let json = frame(&unhex(hex)).unwrap();
        let command = RemotingCommand::decode(json.clone()).unwrap();
        let class = ResponseClass::of(ResponseCode(command.code), command.remark.as_deref());
        assert!(
            command.is_response() && peek(&json).unwrap().is_response(),
            "{name}"
        );
        if java.get("error").is_some() {
            assert!(!class.is_receipt(), "{name}");
            assert_ne!(class.delivery(), Some(Delivery::NotSent), "{name}");
            failures += 1;
            continue;
        }
        assert!(class.is_receipt(), "{name}");
        let status = ResponseCode(command.code)
            .name()
            .unwrap()
            .replace("SUCCESS", "SEND_OK");
        assert_eq!(Some(status.as_str()), text(java, "sendStatus"), "{name}");
        let mut bytes = BytesMut::new();
        command.encode(HeaderEncoding::Binary, &mut bytes).unwrap();
        for frame in [json, frame(&bytes).unwrap()] {
            let header = SendMessageResponseHeader::read(&frame).unwrap();
            assert_eq!(
                header.msg_id.as_deref(),
                text(java, "offsetMsgId"),
                "{name}"
            );
            assert_eq!(
                header.transaction_id.as_deref(),
                text(java, "transactionId"),
                "{name}"
            );
            assert_eq!(Some(&*header.region), text(java, "regionId"), "{name}");
            assert_eq!(Some(header.trace_on), java["traceOn"].as_bool(), "{name}");
            assert_eq!(header.queue_offset, int(java, "queueOffset"), "{name}");
            let queue = format!("broker-a/{}", header.queue_id);
            assert_eq!(Some(queue.as_str()), text(java, "queue"), "{name}");
        }
        receipts += 1;
    }
    assert_eq!((receipts, failures), (9, 9));
}

#[test]
fn codes_have_javas_names_and_numbers() {
    for entry in vectors("responses.json") {
        let Some(table) = entry["value"].as_object() else {
            continue;
        };
        // What is known here must be in Java's table with the same number. Two codes of requests
        // are not in the vector's excerpt.
        let by_number = |number: i32| {
            let of = |(name, value): (&String, &serde_json::Value)| {
                (value.as_i64() == Some(i64::from(number))).then(|| name.clone())
            };
            table.iter().filter_map(of).collect::<Vec<_>>()
        };
        for number in -10_000..10_000 {
            let (ours, java) = if name(&entry) == "request-codes" {
                (RequestCode(number).name(), by_number(number))
            } else {
                (ResponseCode(number).name(), by_number(number))
            };
            if let Some(ours) = ours.filter(|_| !java.is_empty()) {
                assert!(
                    java.iter().any(|name| name == ours),
                    "{number}: {ours}, Java {java:?}"
                );
            }
        }
    }
}

fn json(header: &str) -> Frame {
    Frame::new(
        HeaderEncoding::Json,
        Bytes::copy_from_slice(header.as_bytes()),
        Bytes::new(),
    )
}

#[test]
fn a_receipt_without_queue_or_offset_is_an_error_that_names_the_field() {
    let read = |header: &str| SendMessageResponseHeader::read(&json(header)).map(drop);
    assert_eq!(
        read(r#"{"code":0,"extFields":{"queueId":"0"}}"#),
        Err(FrameError::InvalidField {
            name: "queueOffset",
            problem: "missing"
        })
    );
    assert_eq!(
        read(r#"{"code":0,"extFields":{"queueId":"4294967296","queueOffset":"1"}}"#),
        Err(FrameError::InvalidField {
            name: "queueId",
            problem: "no number in its range"
        })
    );
    assert!(matches!(read("{"), Err(FrameError::InvalidJson(_))));
}

#[test]
fn odd_but_valid_json_gives_the_same_receipt_as_plain_json() {
    let plain = json(
        r#"{"code":0,"extFields":{"queueId":"3","queueOffset":"12","msgId":"A"},"flag":1,"opaque":7}"#,
    );
    let expected = SendMessageResponseHeader::read(&plain).unwrap();
    for odd in [
        // White space, escapes, numbers as strings and as numbers, unknown and repeated members.
        r#" { "code" : 0 , "extFields" : { "queueId" : "3" , "queueOffset" : "12" , "msgId" : "A" } , "flag" : 1 , "opaque" : 7 } "#,
        r#"{"code":"0","extFields":{"\u0071ueueId":"3","queueOffset":12,"msgId":"\u0041"},"flag":"1","opaque":"7"}"#,
        r#"{"opaque":1,"code":5,"code":0,"extFields":{"queueId":"3","queueId":"9"},"extFields":{"queueId":"1","queueId":"3","queueOffset":"12","msgId":"A"},"flag":1,"opaque":7}"#,
        r#"{"x":{"y":[1,{"z":"\"}"}]},"code":0,"extFields":{"queueId":"3","queueOffset":"12","msgId":"A","n":null},"flag":1,"opaque":7,"remark":null}"#,
    ] {
        let frame = json(odd);
        assert_eq!(
            SendMessageResponseHeader::read(&frame).unwrap(),
            expected,
            "{odd}"
        );
        let head = peek(&frame).unwrap();
        assert_eq!((head.code, head.flag, head.opaque), (0, 1, 7), "{odd}");
    }
}

#[test]
fn what_is_no_json_is_refused_by_the_quick_look_too() {
    for bad in [
        "",
        "{",
        "[]",
        "1",
        "{}x",
        r#"{"code":01}"#,
        r#"{"code":1,}"#,
        r#"{"code":--1}"#,
        r#"{"code":1"#,
        r#"{"code":1}}"#,
        r#"{"code":2147483648}"#,
        r#"{"code":1.5}"#,
        r#"{"code":}"#,
        r#"{"code":1 "flag":1}"#,
        "{\"remark\":\"a\nb\"}",
        r#"{"opaque":"x"}"#,
        r#"{"extFields":{"a"}}"#,
        r#"{"extFields":[]}"#,
    ] {
        let frame = json(bad);
        // The quick look does not care for fields, as long as they are JSON.
        if bad != r#"{"extFields":[]}"# {
            assert!(peek(&frame).is_err(), "{bad}");
        }
        assert!(RemotingCommand::decode(frame).is_err(), "{bad}");
    }
}

#[test]
fn binary_lengths_beyond_the_header_are_refused() {
    let entry = vectors("send_headers.json");
    let entry = entry
        .iter()
        .find(|e| name(e) == "basic-v2-binary-fast")
        .unwrap();
    let whole = frame(&unhex(text(entry, "hex").unwrap())).unwrap();
    for cut in 0..whole.header.len() {
        let frame = Frame::new(
            HeaderEncoding::Binary,
            whole.header.slice(..cut),
            Bytes::new(),
        );
        assert!(
            RemotingCommand::decode(frame.clone()).is_err(),
            "cut at {cut}"
        );
        assert_eq!(peek(&frame).is_err(), cut < 21, "cut at {cut}");
    }
    // Each length field in turn negative or huge.
    for position in [13, 17, 23] {
        for length in [i32::MAX, i32::MIN, -1, 4096] {
            let mut header = whole.header.to_vec();
            header[position..position + 4].copy_from_slice(&length.to_be_bytes());
            let frame = Frame::new(HeaderEncoding::Binary, header.into(), Bytes::new());
            assert!(
                RemotingCommand::decode(frame).is_err(),
                "{position} {length}"
            );
        }
    }
}

#[test]
fn a_header_with_thousands_of_fields_is_refused() {
    let fields: Vec<String> = (0..5000).map(|n| format!("\"{n}\":\"1\"")).collect();
    let frame = json(&format!("{{\"extFields\":{{{}}}}}", fields.join(",")));
    assert!(RemotingCommand::decode(frame).is_err());
    let _ = command(b"\0\0\0\x04\0\0\0\0").unwrap_err();
}
