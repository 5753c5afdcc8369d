//! Typed request headers against the frames that Java wrote from the same inputs.

use bytes::BytesMut;
use rocketmq_producer_remoting::command::{RequestMode, encode_request};
use rocketmq_producer_remoting::protocol::{
    GetRouteInfoRequestHeader, HeartbeatData, HeartbeatRequestHeader, SendMessageRequestHeader,
    SendMessageRequestHeaderV1, UnregisterClientRequestHeader,
};
use rocketmq_producer_remoting::{
    CLIENT_VERSION, HeaderEncoding, RemotingCommand, RequestCode, RequestHeader,
};
use serde_json::Value;

use crate::support::{command, frame, int, name, text, unhex, vectors};

pub(crate) fn encode(
    header: &impl RequestHeader,
    opaque: i32,
    encoding: HeaderEncoding,
    body: &[u8],
) -> Vec<u8> {
    let mut dst = BytesMut::new();
    encode_request(
        header,
        opaque,
        RequestMode::TwoWay,
        encoding,
        body.len(),
        &mut dst,
    )
    .unwrap();
    dst.extend_from_slice(body);
    dst.to_vec()
}

/// The frame that Java would have written for this client's language and version.
pub(crate) fn from_this_client(bytes: &[u8]) -> Vec<u8> {
    let mut command = command(bytes).unwrap();
    command.version = CLIENT_VERSION;
    command.language = RemotingCommand::request(0, 0).language;
    let mut dst = BytesMut::new();
    command
        .encode(frame(bytes).unwrap().encoding, &mut dst)
        .unwrap();
    dst.to_vec()
}

fn send_header<'a>(v1: &'a Value, code: RequestCode) -> SendMessageRequestHeader<'a> {
    let number = |member| i32::try_from(int(v1, member)).unwrap();
    let mut header = SendMessageRequestHeader::new(
        text(v1, "producerGroup").unwrap(),
        text(v1, "topic").unwrap(),
        number("queueId"),
        int(v1, "bornTimestamp"),
    );
    header.code = code;
    header.default_topic = text(v1, "defaultTopic").unwrap();
    header.default_topic_queue_nums = number("defaultTopicQueueNums");
    header.sys_flag = number("sysFlag");
    header.flag = number("flag");
    header.properties = text(v1, "properties").unwrap_or_default();
    header.reconsume_times = number("reconsumeTimes");
    header.unit_mode = v1["unitMode"].as_bool().unwrap();
    header.batch = v1["batch"].as_bool().unwrap();
    header.max_reconsume_times = v1["maxReconsumeTimes"]
        .as_i64()
        .map(|n| n.try_into().unwrap());
    header.broker_name = text(v1, "brokerName");
    header
}

#[test]
fn send_headers_equal_those_of_java() {
    let mut exact = 0;
    let mut equal = 0;
    for entry in vectors("send_headers.json") {
        let (Some(hex), v1) = (text(&entry, "hex"), &entry["v1"]) else {
            continue;
        };
        let name = name(&entry);
        // Fields of the next layers (namespace, one-way) that V1 carries and a producer of this
        // issue does not set.
        if v1.is_null() || (name.starts_with("namespace") && name.contains("v1")) {
            continue;
        }
        let java = unhex(hex);
        let decoded = command(&java).unwrap();
        let encoding = frame(&java).unwrap().encoding;
        let header = send_header(v1, RequestCode(decoded.code));
        if decoded.code == RequestCode::SEND_MESSAGE.0 || header.properties.is_empty() {
            // The order of V1's fields is that of a Java map, and an empty value is left out here.
            let header_v1 = SendMessageRequestHeaderV1(header);
            let ours = if decoded.code == RequestCode::SEND_MESSAGE.0 {
                encode(&header_v1, decoded.opaque, encoding, &decoded.body)
            } else {
                encode(&header, decoded.opaque, encoding, &decoded.body)
            };
            let sorted = |bytes: &[u8]| {
                let mut command = command(bytes).unwrap();
                command.ext_fields.retain(|(_, value)| !value.is_empty());
                command.ext_fields.sort();
                command
            };
            assert_eq!(sorted(&ours), sorted(&from_this_client(&java)), "{name}");
            equal += 1;
        } else {
            let ours = encode(&header, decoded.opaque, encoding, &decoded.body);
            assert_eq!(ours, from_this_client(&java), "{name}");
            exact += 1;
        }
    }
    assert_eq!((exact, equal), (12, 5));
}

#[test]
fn the_id_is_appended_to_the_properties_at_encoding() {
    let id = "7F0000010E8018B4AAC200000A9B0000";
    for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
        let mut header = SendMessageRequestHeader::new("PG", "T", 0, 1);
        header.properties = "WAIT\u{1}true\u{2}";
        header.unique_key = Some(id);
        let sent = command(&encode(&header, 1, encoding, b"x")).unwrap();
        assert_eq!(
            sent.field("i"),
            Some(format!("WAIT\u{1}true\u{2}UNIQ_KEY\u{1}{id}\u{2}").as_str())
        );
        assert_eq!(sent.field("l"), None);
        assert_eq!(sent.code, 310);
    }
}

#[test]
fn route_requests_equal_those_of_java() {
    let header = GetRouteInfoRequestHeader::new("TopicTest");
    let mut checked = 0;
    for entry in vectors("frames.json") {
        if name(&entry).ends_with("route-request-3b") || name(&entry) == "binary-route-request" {
            let java = unhex(text(&entry, "hex").unwrap());
            let ours = encode(&header, 1, frame(&java).unwrap().encoding, b"");
            assert_eq!(ours, from_this_client(&java), "{}", name(&entry));
            checked += 1;
        }
    }
    assert_eq!(checked, 2);
}

#[test]
fn heartbeats_and_unregistering_equal_those_of_java() {
    let unregister = UnregisterClientRequestHeader::new("192.168.1.5@1234#5678", "PG");
    let mut checked = 0;
    for entry in vectors("heartbeat.json") {
        let name = name(&entry);
        let strings = |value: &Value| -> Vec<String> {
            let texts = value.as_array().into_iter().flatten();
            texts
                .map(|text| text.as_str().unwrap().to_owned())
                .collect()
        };
        if name.starts_with("body-") {
            let inputs = &entry["inputs"];
            let groups = strings(&inputs["producerGroups"]);
            let data = HeartbeatData::producer(text(inputs, "clientID").unwrap(), groups.clone());
            assert_eq!(data.encode(), text(&entry, "text").unwrap(), "{name}");
            assert_eq!(data.encode(), unhex(text(&entry, "hex").unwrap()), "{name}");
            let read = HeartbeatData::decode(&data.encode()).unwrap();
            assert_eq!(read.groups().collect::<Vec<_>>(), groups, "{name}");
        } else if name.starts_with("unregister-") {
            let java = unhex(text(&entry, "hex").unwrap());
            let ours = encode(&unregister, 6, frame(&java).unwrap().encoding, b"");
            assert_eq!(ours, from_this_client(&java), "{name}");
        } else if name == "frame-one-producer" {
            let body = HeartbeatData::producer("192.168.1.5@1234#5678", ["PG"]).encode();
            let java = unhex(text(&entry, "hex").unwrap());
            let ours = encode(&HeartbeatRequestHeader, 5, HeaderEncoding::Json, &body);
            assert_eq!(ours, from_this_client(&java), "{name}");
        } else if name.starts_with("broker-reads") {
            let read = HeartbeatData::decode(text(&entry, "text").unwrap().as_bytes()).unwrap();
            let java = &entry["result"];
            assert_eq!(Some(read.client_id.as_str()), text(java, "clientID"));
            assert_eq!(read.groups().count() as i64, int(java, "producers"));
        } else {
            continue;
        }
        checked += 1;
    }
    assert_eq!(checked, 7);
}
