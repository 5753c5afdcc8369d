//! Ends of transactions, questions for them, and stored messages, against what Java wrote and read.

use bytes::{Bytes, BytesMut};
use rocketmq_producer_remoting::command::{RequestMode, encode_request};
use rocketmq_producer_remoting::message::{MessageExt, StoredMessageError};
use rocketmq_producer_remoting::protocol::{
    CheckTransactionStateRequestHeader, EndTransactionRequestHeader, TransactionEnd,
};
use rocketmq_producer_remoting::{ByteSize, HeaderEncoding, RemotingCommand};
use serde_json::Value;

use crate::support::{command, int, name, text, unhex, vectors};

const LIMIT: ByteSize = ByteSize::mib(4);

fn decode(bytes: &[u8]) -> Result<MessageExt, StoredMessageError> {
    MessageExt::decode(&Bytes::copy_from_slice(bytes), LIMIT)
}

fn stored(wanted: &str) -> Vec<u8> {
    let all = vectors("transaction.json");
    let entry = all.iter().find(|entry| name(entry) == wanted).unwrap();
    unhex(text(entry, "hex").unwrap())
}

/// Java prints an address of IPv6 without brackets.
fn as_in_java(host: std::net::SocketAddr) -> String {
    match host {
        std::net::SocketAddr::V4(host) => host.to_string(),
        std::net::SocketAddr::V6(host) => {
            let parts = host.ip().segments().map(|part| format!("{part:x}"));
            format!("{}:{}", parts.join(":"), host.port())
        }
    }
}

fn assert_message(name: &str, message: &MessageExt, java: &Value) {
    assert_eq!(text(java, "topic"), Some(&*message.topic), "{name}");
    let body = text(java, "body").map(unhex).unwrap_or_default();
    assert_eq!(message.body, body, "{name}");
    for (member, ours) in [
        ("bodyCRC", i64::from(message.body_crc)),
        ("queueId", i64::from(message.queue_id)),
        ("flag", i64::from(message.flag)),
        ("queueOffset", message.queue_offset),
        ("commitLogOffset", message.commit_log_offset),
        ("sysFlag", i64::from(message.sys_flag)),
        ("bornTimestamp", message.born_timestamp),
        ("storeTimestamp", message.store_timestamp),
        ("reconsumeTimes", i64::from(message.reconsume_times)),
        (
            "preparedTransactionOffset",
            message.prepared_transaction_offset,
        ),
    ] {
        assert_eq!(int(java, member), ours, "{name}: {member}");
    }
    assert_eq!(
        text(java, "bornHost"),
        Some(&*as_in_java(message.born_host))
    );
    assert_eq!(
        text(java, "storeHost"),
        Some(&*as_in_java(message.store_host))
    );
    let properties = java["properties"].as_object().unwrap();
    assert_eq!(message.properties.iter().count(), properties.len());
    for (property, value) in properties {
        assert_eq!(message.property(property), value.as_str(), "{name}");
    }
    assert_eq!(text(java, "getMsgId"), Some(&*message.message_id()));
    assert_eq!(
        text(java, "offsetMsgId"),
        Some(&*message.offset_message_id().to_string())
    );
}

#[test]
fn stored_messages_are_read_as_java_reads_them_and_written_byte_for_byte() {
    let mut read = 0;
    for entry in vectors("transaction.json") {
        let (name, java) = (name(&entry), &entry["decoded"]);
        if !name.starts_with("stored-") || java["topic"].is_null() {
            continue;
        }
        let bytes = unhex(text(&entry, "hex").unwrap());
        let message = decode(&bytes).unwrap();
        assert_message(name, &message, java);
        let mut again = BytesMut::new();
        message.encode(&mut again);
        // Java writes the newer form for long topics only, as we do; this one is short.
        if !name.contains("-v2-") {
            assert_eq!(again, bytes, "{name}");
        }
        assert_eq!(decode(&again).unwrap(), message, "{name}");
        read += 1;
    }
    assert_eq!(read, 4);
}

#[test]
fn a_stored_body_that_is_compressed_is_read() {
    let message = decode(&stored("stored-compressed-zlib")).unwrap();
    assert_eq!(message.body, "a".repeat(5000));
    assert_eq!(message.sys_flag, 768, "as Java leaves it");
    let short = ByteSize::bytes(4999);
    let bytes = stored("stored-compressed-zlib").into();
    let error = MessageExt::decode(&bytes, short).unwrap_err();
    assert!(matches!(error, StoredMessageError::Body(_)), "{error}");
}

#[test]
fn bytes_that_java_refuses_are_refused_for_their_own_reason() {
    use StoredMessageError::{Magic, Truncated};
    let error = |name| decode(&stored(name)).unwrap_err();
    assert!(matches!(error("stored-truncated"), Truncated));
    assert!(matches!(error("stored-bad-magic"), Magic(1)));
    assert!(matches!(error("stored-empty"), Truncated));
    assert!(decode(&stored("stored-bad-crc-is-not-checked")).is_ok());
}

#[test]
fn a_long_topic_takes_the_newer_form() {
    let mut message = decode(&stored("stored-half-with-uniq-key")).unwrap();
    message.topic = "t".repeat(128);
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes);
    assert_eq!(bytes[4..8], [0xda, 0xa3, 0x20, 0xab]);
    assert_eq!(decode(&bytes).unwrap(), message);
}

#[test]
fn messages_that_follow_one_another_are_read_until_the_first_that_is_none() {
    let mut bytes = stored("stored-v1-ipv6-7b");
    bytes.extend(stored("stored-half-with-uniq-key"));
    let whole = Bytes::from(bytes.clone());
    let read: Vec<_> = MessageExt::decode_all(&whole, LIMIT).collect();
    assert_eq!(read.len(), 2);
    assert!(read.iter().all(Result::is_ok));
    assert!(matches!(
        MessageExt::decode(&whole, LIMIT),
        Err(StoredMessageError::Length)
    ));
    bytes.extend([0, 0, 0, 4, 9]);
    let read: Vec<_> = MessageExt::decode_all(&bytes.into(), LIMIT).collect();
    assert_eq!(read.len(), 3);
    assert!(read[2].is_err());
}

#[test]
fn messages_that_follow_one_another_are_not_unpacked_beyond_one_limit_for_all() {
    let bytes = Bytes::from(stored("stored-compressed-zlib").repeat(3));
    let read = |limit| -> Vec<_> {
        let all = MessageExt::decode_all(&bytes, ByteSize::bytes(limit));
        all.map(|message| message.is_ok()).collect()
    };
    assert_eq!(read(15_000), [true, true, true]);
    assert_eq!(read(14_999), [true, true, false]);
    assert_eq!(read(5000), [true, false]);
}

#[test]
fn a_stored_message_that_is_cut_anywhere_is_refused() {
    for name in ["stored-half-with-uniq-key", "stored-v2-ipv4-7c"] {
        let bytes = stored(name);
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "{name} cut at {cut}");
        }
    }
}

#[test]
fn bodies_and_values_are_not_printed() {
    let message = decode(&stored("stored-half-with-uniq-key")).unwrap();
    let text = format!("{message:?}");
    assert!(text.contains("TopicTest") && text.contains("body_len: 9"));
    assert!(
        !text.contains("half body") && !text.contains("TAG"),
        "{text}"
    );
}

/// The command that a header gives, through both encodings.
fn written(header: &EndTransactionRequestHeader<'_>, opaque: i32) -> [RemotingCommand; 2] {
    [HeaderEncoding::Json, HeaderEncoding::Binary].map(|encoding| {
        let mut frame = BytesMut::new();
        encode_request(header, opaque, RequestMode::OneWay, encoding, 0, &mut frame).unwrap();
        command(&frame).unwrap()
    })
}

fn assert_same_fields(name: &str, ours: &RemotingCommand, java: &RemotingCommand) {
    assert_eq!((ours.code, ours.flag), (java.code, java.flag), "{name}");
    let sorted = |command: &RemotingCommand| {
        let mut fields = command.ext_fields.clone();
        fields.sort();
        fields
    };
    assert_eq!(sorted(ours), sorted(java), "{name}");
}

#[test]
fn ends_of_transactions_have_the_fields_of_java() {
    let mut compared = 0;
    for entry in vectors("transaction.json") {
        let name = name(&entry);
        if !name.starts_with("end-") {
            continue;
        }
        let java = command(&unhex(text(&entry, "hex").unwrap())).unwrap();
        let number = |name| java.field(name).unwrap().parse().unwrap();
        let end = i32::try_from(number("commitOrRollback")).unwrap();
        let mut header = EndTransactionRequestHeader::new(
            java.field("topic").unwrap(),
            "PG",
            number("tranStateTableOffset"),
            number("commitLogOffset"),
            TransactionEnd::of_number(end).unwrap(),
            java.field("msgId").unwrap(),
        );
        header.from_transaction_check = java.field("fromTransactionCheck") == Some("true");
        header.transaction_id = java.field("transactionId");
        header.broker_name = java.field("bname");
        for ours in written(&header, java.opaque) {
            assert_same_fields(name, &ours, &java);
        }
        compared += 1;
    }
    assert_eq!(compared, 3);
    assert_eq!(TransactionEnd::of_number(4), None, "as in Java's check");
}

#[test]
fn the_question_of_a_java_broker_is_read_and_answered_as_java_answers() {
    let all = vectors("captured/transaction.json");
    let recorded = all
        .iter()
        .find(|entry| name(entry) == "transaction-unknown-then-check-back")
        .unwrap();
    let frames = recorded["frames"].as_array().unwrap();
    let frame = |index: usize| command(&unhex(text(&frames[index], "hex").unwrap())).unwrap();
    let question = frame(3);
    let header = CheckTransactionStateRequestHeader::decode(&question).unwrap();
    let half = MessageExt::decode(&question.body, LIMIT).unwrap();
    let group = half.property("PGROUP").unwrap();
    let id = half.message_id();
    let answer = header.answer(group, &id, TransactionEnd::Commit);
    for ours in written(&answer, 24) {
        assert_same_fields("the answer", &ours, &frame(4));
    }
    assert_eq!(half.topic, "VecTopic");
}

#[test]
fn a_question_without_its_offsets_is_refused() {
    let bytes = stored("check-request-json");
    let question = command(&bytes).unwrap();
    let header = CheckTransactionStateRequestHeader::decode(&question).unwrap();
    assert_eq!(header.topic, Some("TopicTest"));
    assert_eq!(header.tran_state_table_offset, 123);
    assert_eq!(
        header.offset_message_id,
        Some("7F00000100002A9F000000000001E240")
    );
    let mut less = question.clone();
    less.ext_fields
        .retain(|(name, _)| name != "commitLogOffset");
    assert!(CheckTransactionStateRequestHeader::decode(&less).is_err());
    let bent = question.with_field("tranStateTableOffset", "x");
    assert!(CheckTransactionStateRequestHeader::decode(&bent).is_err());
}
