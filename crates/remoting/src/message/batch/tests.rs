//! Bodies of batches against those of Java, byte for byte, and what is refused.

use std::path::Path;

use serde_json::Value;

use super::*;
use crate::message::{MessageIdGenerator, Properties};

fn message() -> Message {
    let message = Message::new("t", "body").unwrap();
    message.with_tags("a").unwrap().with_flag(7)
}

#[test]
fn what_is_written_is_read_back_and_as_long_as_was_said() {
    let ids: Vec<_> = (0..3)
        .map(|_| MessageIdGenerator::shared().next_id())
        .collect();
    let mut out = BytesMut::new();
    let mut length = 0;
    for id in &ids {
        message().write_batch_member(Some(id), &mut out);
        length += message().batch_len(Some(id));
        assert_eq!(out.len(), length);
    }
    message().write_batch_member(None, &mut out);
    assert_eq!(out.len(), length + message().batch_len(None));
    let members: Vec<_> = read_batch(&out.freeze()).map(Result::unwrap).collect();
    assert_eq!(members.len(), 4);
    for (member, id) in members.iter().zip(&ids) {
        assert_eq!((member.flag, &*member.body), (7, &b"body"[..]));
        let properties = format!("WAIT\u{1}true\u{2}TAGS\u{1}a\u{2}UNIQ_KEY\u{1}{id}\u{2}");
        assert_eq!(member.properties(), properties);
    }
    assert_eq!(members[3].properties(), "WAIT\u{1}true\u{2}TAGS\u{1}a\u{2}");
}

#[test]
fn a_body_that_is_cut_or_bent_anywhere_is_refused() {
    let mut out = BytesMut::new();
    message().write_batch_member(None, &mut out);
    for cut in 1..out.len() {
        let body = Bytes::copy_from_slice(&out[..cut]);
        let read: Vec<_> = read_batch(&body).collect();
        assert_eq!(read, [Err(BatchBodyError::Truncated)], "cut at {cut}");
    }
    for (at, value) in [(0, 0x80), (3, 0), (16, 0xff), (19, 5), (24, 0x80)] {
        let mut bent = out.clone();
        bent[at] = value;
        assert!(
            read_batch(&bent.freeze()).any(|member| member.is_err()),
            "{at}"
        );
    }
    let mut no_text = out.clone();
    *no_text.last_mut().unwrap() = 0xff;
    let read: Vec<_> = read_batch(&no_text.freeze()).collect();
    assert_eq!(read, [Err(BatchBodyError::Properties)]);
    assert_eq!(read_batch(&Bytes::new()).count(), 0);
}

#[test]
fn messages_of_a_kind_of_their_own_are_told_apart() {
    assert_eq!(message().batch_wait(), Ok(true));
    let hasty = message().with_wait_store_msg_ok(false);
    assert_eq!(hasty.batch_wait(), Ok(false));
    let mut delayed = message();
    delayed.properties.set("DELAY", "3").unwrap();
    assert_eq!(delayed.batch_wait(), Err(NotBatchable::Property("DELAY")));
    let again = Message::new("%RETRY%group", "body").unwrap();
    assert_eq!(again.batch_wait(), Err(NotBatchable::RetryTopic));
}

fn entries(file: &str) -> Vec<Value> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let text = std::fs::read(vectors.join(file)).unwrap();
    let file: Value = serde_json::from_slice(&text).unwrap();
    file["entries"].as_array().unwrap().clone()
}

fn unhex(hex: &Value) -> Bytes {
    let digits = hex.as_str().unwrap().as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// A message whose properties are those of a member, in the same order.
fn like(member: &BatchMember) -> Message {
    let mut message = message();
    // Java's encoder takes an empty one, which brokers refuse.
    message.body = member.body.clone();
    message.properties = Properties::parse(member.properties());
    message.with_flag(member.flag)
}

/// Reads a body that Java wrote, and writes it again.
fn read_and_written_again(name: &str, body: &Bytes) -> Vec<BatchMember> {
    let members: Vec<_> = read_batch(body).map(Result::unwrap).collect();
    let mut again = BytesMut::new();
    for member in &members {
        like(member).write_batch_member(None, &mut again);
    }
    assert_eq!(again, body, "{name}");
    members
}

#[test]
fn bodies_of_java_are_read_and_written_byte_for_byte() {
    let mut read = 0;
    for entry in entries("batch.json") {
        let name = entry["name"].as_str().unwrap();
        let Some(java) = entry["decoded"].as_array() else {
            continue;
        };
        let members = read_and_written_again(name, &unhex(&entry["hex"]));
        assert_eq!(members.len(), java.len(), "{name}");
        for (member, java) in members.iter().zip(java) {
            assert_eq!(member.body, unhex(&java["body"]), "{name}");
            assert_eq!(i64::from(member.flag), java["flag"].as_i64().unwrap());
            let properties = Properties::parse(member.properties());
            let expected = java["properties"].as_object().unwrap();
            assert_eq!(properties.iter().count(), expected.len(), "{name}");
            for (property, value) in expected {
                assert_eq!(properties.get(property), value.as_str(), "{name}");
            }
            read += 1;
        }
    }
    assert_eq!(read, 9);
}

#[test]
fn messages_of_one_batch_are_written_as_java_writes_them() {
    let mut written = 0;
    for entry in entries("batch.json") {
        let (name, result) = (entry["name"].as_str().unwrap(), &entry["result"]);
        if result["bodyHex"].is_null() {
            continue;
        }
        let wait = result["waitStoreMsgOK"].as_bool().unwrap();
        let mut out = BytesMut::new();
        for given in entry["messages"].as_array().unwrap() {
            let topic = given["topic"].as_str().unwrap();
            let message = Message::new(topic, unhex(&given["body"])).unwrap();
            let message = message.with_wait_store_msg_ok(wait);
            assert_eq!(message.batch_wait(), Ok(wait), "{name}");
            message.write_batch_member(None, &mut out);
        }
        assert_eq!(out, unhex(&result["bodyHex"]), "{name}");
        written += 1;
    }
    assert_eq!(written, 2);
}

#[test]
fn what_java_keeps_out_of_a_batch_is_kept_out() {
    let all = entries("batch.json");
    let delayed = all.iter().find(|it| it["name"] == "rule-delay-in-second");
    let given = &delayed.unwrap()["messages"][1]["properties"];
    let mut message = message();
    for (name, value) in given.as_object().unwrap() {
        message
            .properties
            .set(name, value.as_str().unwrap())
            .unwrap();
    }
    assert_eq!(message.batch_wait(), Err(NotBatchable::Property("DELAY")));
}

#[test]
fn a_batch_that_a_java_client_sent_is_read_and_written_byte_for_byte() {
    let all = entries("captured/batch.json");
    let sent = all.iter().find(|it| it["name"] == "send-batch").unwrap();
    let frame = unhex(&sent["frames"][0]["hex"]);
    let command = crate::decode_frame(&mut frame.as_ref().into(), crate::MAX_FRAME_LENGTH);
    let body = command.unwrap().unwrap().body;
    let members = read_and_written_again("send-batch", &body);
    assert_eq!(members.len(), 3);
    for (index, member) in members.iter().enumerate() {
        assert_eq!(*member.body, *format!("batch {index}").as_bytes());
        // Each has its own id, wherever among the properties it stands; ours stands at the end.
        let properties = Properties::parse(member.properties());
        let id = properties.get(property::UNIQ_KEY).unwrap();
        assert!(id.ends_with(&(5 + index).to_string()), "{id}");
        let mut message = like(member);
        assert!(message.properties.remove(property::UNIQ_KEY));
        let ours = MessageIdGenerator::shared().next_id();
        let mut out = BytesMut::new();
        message.write_batch_member(Some(&ours), &mut out);
        let again: Vec<_> = read_batch(&out.freeze()).map(Result::unwrap).collect();
        let [again] = &again[..] else {
            panic!("{again:?}")
        };
        assert_eq!((&again.body, again.flag), (&member.body, member.flag));
        let again = Properties::parse(again.properties());
        assert_eq!(again.iter().count(), properties.iter().count());
        for (name, value) in properties.iter() {
            let value = if name == property::UNIQ_KEY {
                ours.as_str()
            } else {
                value
            };
            assert_eq!(again.get(name), Some(value));
        }
    }
}

#[test]
fn what_a_broker_could_not_read_is_no_batch_to_us_either() {
    let all = entries("captured/batch.json");
    let named = |name: &str| all.iter().find(|it| it["name"] == name).unwrap();
    let frame = unhex(&named("raw-batch-body-not-encoded")["frames"][0]["hex"]);
    let command = crate::decode_frame(&mut frame.as_ref().into(), crate::MAX_FRAME_LENGTH);
    let body = command.unwrap().unwrap().body;
    assert_eq!(*body, *b"not a batch body");
    let read: Vec<_> = read_batch(&body).collect();
    assert_eq!(read, [Err(BatchBodyError::Truncated)]);
}
