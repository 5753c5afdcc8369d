//! Whatever is written is read back unchanged.

use bytes::{Bytes, BytesMut};
use proptest::collection::{btree_map, vec};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::test_runner::Config;
use rocketmq_producer_remoting::command::{LanguageCode, RequestMode, encode_request, peek};
use rocketmq_producer_remoting::message::{OffsetMessageId, Properties};
use rocketmq_producer_remoting::protocol::{
    SendMessageRequestHeader, SendMessageRequestHeaderV1, TopicRouteData,
};
use rocketmq_producer_remoting::{
    ByteSize, HeaderEncoding, MAX_FRAME_LENGTH, Message, RemotingCommand, decode_frame,
};

/// Any text, and more often than by chance what codecs stumble over.
fn any_text() -> impl Strategy<Value = String> {
    "([\u{0}-\u{7f}]|[\"\\\\\u{1}\u{2}\u{2028}é主😀]|.){0,24}"
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z_主\"\\\\\u{1}]{1,12}"
}

fn command() -> impl Strategy<Value = RemotingCommand> {
    let numbers = (
        any::<i16>(),
        0_u8..14,
        any::<i16>(),
        any::<i32>(),
        any::<i32>(),
    );
    let texts = (
        proptest::option::of(any_text().prop_filter("empty is null", |t| !t.is_empty())),
        btree_map(
            name(),
            any_text().prop_filter("empty is null", |t| !t.is_empty()),
            0..8,
        ),
        vec(any::<u8>(), 0..64),
    );
    (numbers, texts).prop_map(
        |((code, language, version, opaque, flag), (remark, fields, body))| {
            let mut command = RemotingCommand::request(i32::from(code), opaque).with_body(body);
            command.language = Some(LanguageCode(language));
            command.version = i32::from(version);
            command.flag = flag;
            command.remark = remark;
            command.ext_fields = fields.into_iter().collect();
            command
        },
    )
}

proptest! {
    #![proptest_config(Config { cases: 300, failure_persistence: None, ..Config::default() })]

    #[test]
    fn commands_survive_both_header_forms(command in command()) {
        for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
            let mut bytes = BytesMut::new();
            command.encode(encoding, &mut bytes).unwrap();
            if encoding == HeaderEncoding::Json {
                let json = &bytes[8..bytes.len() - command.body.len()];
                prop_assert!(serde_json::from_slice::<serde_json::Value>(json).is_ok());
            }
            let frame = decode_frame(&mut bytes, MAX_FRAME_LENGTH).unwrap().unwrap();
            let head = peek(&frame).unwrap();
            prop_assert_eq!((head.code, head.flag, head.opaque), (command.code, command.flag, command.opaque));
            prop_assert_eq!(&RemotingCommand::decode(frame).unwrap(), &command);
        }
    }

    #[test]
    fn send_headers_survive_both_header_forms(
        group in "[a-zA-Z0-9_%|-]{1,40}",
        topic in "[a-zA-Z0-9_%|-]{1,40}",
        queue in any::<i32>(),
        born in any::<i64>(),
        flag in any::<i32>(),
        property in (name(), any_text()),
        max in proptest::option::of(any::<i32>()),
    ) {
        let mut header = SendMessageRequestHeader::new(&group, &topic, queue, born);
        let mut properties = Properties::new();
        let _ = properties.set(&property.0, &property.1);
        header.flag = flag;
        header.properties = properties.as_wire();
        header.unique_key = Some("0123");
        header.max_reconsume_times = max;
        for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
            let mut v2 = BytesMut::new();
            encode_request(&header, 5, RequestMode::OneWay, encoding, 3, &mut v2).unwrap();
            v2.extend_from_slice(b"abc");
            let v2 = decode_frame(&mut v2, MAX_FRAME_LENGTH).unwrap().unwrap();
            let v2 = RemotingCommand::decode(v2).unwrap();
            prop_assert!(v2.is_oneway() && v2.opaque == 5 && v2.body == Bytes::from_static(b"abc"));
            let mut v1 = BytesMut::new();
            let header_v1 = SendMessageRequestHeaderV1(header);
            encode_request(&header_v1, 5, RequestMode::OneWay, encoding, 0, &mut v1).unwrap();
            let v1 = decode_frame(&mut v1, MAX_FRAME_LENGTH).unwrap().unwrap();
            let v1 = RemotingCommand::decode(v1).unwrap();
            for (short, long, expected) in [
                ("a", "producerGroup", group.clone()),
                ("b", "topic", topic.clone()),
                ("e", "queueId", queue.to_string()),
                ("g", "bornTimestamp", born.to_string()),
                ("h", "flag", flag.to_string()),
                ("i", "properties", format!("{}UNIQ_KEY\u{1}0123\u{2}", properties.as_wire())),
            ] {
                prop_assert_eq!(v2.field(short), Some(expected.as_str()));
                prop_assert_eq!(v1.field(long), Some(expected.as_str()));
            }
            prop_assert_eq!(v2.field("l").map(str::to_owned), max.map(|m| m.to_string()));
        }
    }

    #[test]
    fn properties_survive_the_property_string(given in btree_map(name(), any_text(), 0..10)) {
        let mut message = Message::new("t", "b").unwrap();
        let mut expected = Vec::from([("WAIT".to_owned(), "true".to_owned())]);
        for (name, value) in given {
            let ok = !name.trim().is_empty() && !value.trim().is_empty()
                && !name.contains(['\u{1}', '\u{2}']) && !value.contains(['\u{1}', '\u{2}']);
            match message.clone().with_property(&name, &value) {
                Ok(with) => {
                    prop_assert!(ok);
                    message = with;
                    expected.push((name, value));
                }
                Err(_) => prop_assert!(!ok),
            }
        }
        let read = Properties::parse(message.properties().as_wire());
        let read: Vec<_> = read.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        prop_assert_eq!(&read, &expected);
        for (name, value) in &expected {
            prop_assert_eq!(message.property(name), Some(value.as_str()));
        }
    }

    #[test]
    fn routes_survive_both_forms(
        order in proptest::option::of(any_text()),
        brokers in vec((any_text(), btree_map(any::<i64>(), any_text(), 0..4), 0..100_i32), 0..4),
    ) {
        let queues: Vec<_> = brokers.iter().map(|(name, _, n)| serde_json::json!({
            "brokerName": name, "readQueueNums": n, "writeQueueNums": n, "perm": 6, "topicSysFlag": 0,
        })).collect();
        let addresses: Vec<_> = brokers.iter().map(|(name, addresses, _)| serde_json::json!({
            "cluster": "C", "brokerName": name, "brokerAddrs": addresses,
        })).collect();
        let mut body = serde_json::json!({"queueDatas": queues, "brokerDatas": addresses});
        if let Some(order) = order {
            body["orderTopicConf"] = order.into();
        }
        let strict = serde_json::to_vec(&body).unwrap();
        let route = TopicRouteData::parse(&strict).unwrap();
        for (data, (name, addresses, n)) in route.broker_datas.iter().zip(&brokers) {
            prop_assert_eq!(&data.broker_name, name);
            prop_assert_eq!(&data.broker_addrs, addresses);
            prop_assert!(route.queue_datas.iter().any(|q| q.broker_name == *name && q.write_queue_nums == *n));
        }
        prop_assert_eq!(&TopicRouteData::parse(&route.to_json()), &Ok(route.clone()));
        prop_assert_eq!(&TopicRouteData::parse(&bare_addresses(&body)), &Ok(route));
    }

    #[test]
    fn offset_ids_survive_their_text(ip in any::<std::net::IpAddr>(), port in any::<u16>(), offset in any::<i64>()) {
        let id = OffsetMessageId::new((ip, port).into(), offset);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        prop_assert_eq!(id.to_string().to_lowercase().parse(), Ok(id));
    }

    #[test]
    fn sizes_survive_their_text(bytes in any::<u64>()) {
        let size = ByteSize::bytes(bytes);
        prop_assert_eq!(size.to_string().parse(), Ok(size));
    }
}

/// The body as fastjson writes it by default: number keys without quotes.
fn bare_addresses(body: &serde_json::Value) -> Vec<u8> {
    let mut text = String::from("{\"brokerDatas\":[");
    for (index, broker) in body["brokerDatas"].as_array().unwrap().iter().enumerate() {
        let addresses = broker["brokerAddrs"].as_object().unwrap();
        let addresses: Vec<_> = addresses
            .iter()
            .map(|(id, a)| format!("{id}:{a}"))
            .collect();
        let comma = if index == 0 { "" } else { "," };
        text += &format!(
            "{comma}{{\"brokerAddrs\":{{{}}},\"brokerName\":{},\"cluster\":\"C\"}}",
            addresses.join(","),
            broker["brokerName"]
        );
    }
    text += &format!("],\"queueDatas\":{}", body["queueDatas"]);
    if let Some(order) = body.get("orderTopicConf") {
        text += &format!(",\"orderTopicConf\":{order}");
    }
    (text + "}").into_bytes()
}
