//! Names in namespaces, against Java's.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rocketmq_producer_remoting::message::Namespace;
use rocketmq_producer_remoting::protocol::GetRouteInfoRequestHeader;
use rocketmq_producer_remoting::{
    Connection, ConnectionOptions, HeaderEncoding, NoConsumer, NoFields, RemotingCommand,
    RequestCode, RequestHeader,
};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::support::{command, frame, name, text, unhex, vectors};

#[test]
fn names_are_wrapped_and_unwrapped_as_java_does() {
    let mut checked = 0;
    for entry in vectors("misc.json") {
        let (Some(resource), Some(namespace)) =
            (text(&entry, "resource"), text(&entry, "namespace"))
        else {
            continue;
        };
        if namespace.is_empty() {
            continue;
        }
        let namespace = Namespace::new(namespace).unwrap();
        let wrapped = namespace.wrap(resource);
        assert_eq!(text(&entry, "wrapped"), Some(&*wrapped), "{}", name(&entry));
        let plain = namespace.unwrap(&wrapped);
        assert_eq!(
            text(&entry, "withoutNamespace"),
            Some(&*plain),
            "{}",
            name(&entry)
        );
        checked += 1;
    }
    assert!(checked >= 10, "{checked}");
}

/// What a connection with the namespace of the recorded requests writes for a request.
async fn written<H: RequestHeader + Sync>(header: &H, encoding: HeaderEncoding) -> Vec<u8> {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let options = ConnectionOptions::new()
        .with_header_encoding(encoding)
        .with_namespace("NS2");
    let (connection, driver) =
        Connection::new(ours, Arc::from("peer:1"), &options, Arc::new(NoConsumer));
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut received = BytesMut::new();
    let body = Bytes::new();
    let asking = async {
        let _ = connection.oneway(header, &body, deadline).await;
        connection.close();
    };
    let reading = async { while theirs.read_buf(&mut received).await.unwrap() > 0 {} };
    tokio::join!(asking, driver, reading);
    received.to_vec()
}

/// The header section of a frame.
fn header_of(bytes: &[u8]) -> Vec<u8> {
    frame(bytes).unwrap().header.to_vec()
}

fn recorded(code: i32) -> RemotingCommand {
    let entries = vectors("captured/namespace.json");
    let frames = entries
        .iter()
        .filter_map(|entry| entry["frames"].as_array());
    let mut requests = frames.flatten().filter_map(|recorded| {
        let request = command(&unhex(text(recorded, "hex")?)).ok()?;
        (request.code == code && !request.is_response()).then_some(request)
    });
    requests.next().unwrap()
}

/// `"name":"value"` of every field of a JSON header, in the order of names: Java's order is that of a hash map.
fn json_fields(header: &[u8]) -> Vec<String> {
    let header = String::from_utf8(header.to_vec()).unwrap();
    let (_, fields) = header.split_once("\"extFields\":{").unwrap();
    let (fields, _) = fields.split_once('}').unwrap();
    let mut fields: Vec<_> = fields.split(',').map(str::to_owned).collect();
    fields.sort();
    fields
}

#[tokio::test]
async fn requests_name_the_second_namespace_byte_for_byte_as_java_does() {
    // Nothing but the namespace: the order of Java's hash map is ours too.
    let heartbeat = recorded(34);
    let mut java = BytesMut::new();
    heartbeat.encode(HeaderEncoding::Json, &mut java).unwrap();
    let fields = br#""extFields":{"nsd":"true","ns":"NS2"}"#;
    let beat = NoFields(RequestCode::HEART_BEAT);
    for header in [
        header_of(&java),
        header_of(&written(&beat, HeaderEncoding::Json).await),
    ] {
        assert!(header.windows(fields.len()).any(|part| part == fields));
    }
    // In binary, Java's `RocketMQSerializable`: lengths of 2 and 4 bytes.
    let mut java = BytesMut::new();
    heartbeat.encode(HeaderEncoding::Binary, &mut java).unwrap();
    let fields = b"\0\x03nsd\0\0\0\x04true\0\x02ns\0\0\0\x03NS2";
    let beat = written(&beat, HeaderEncoding::Binary).await;
    for header in [header_of(&java), header_of(&beat)] {
        assert!(header.ends_with(fields), "{header:?}");
    }

    // Beside other fields.
    let route = recorded(105);
    let mut header = GetRouteInfoRequestHeader::new("VecTopic");
    header.accept_standard_json_only = false;
    let mut java = BytesMut::new();
    route.encode(HeaderEncoding::Json, &mut java).unwrap();
    let ours = written(&header, HeaderEncoding::Json).await;
    assert_eq!(
        json_fields(&header_of(&ours)),
        json_fields(&header_of(&java))
    );
    let ours = command(&written(&header, HeaderEncoding::Binary).await).unwrap();
    for name in ["topic", "nsd", "ns"] {
        assert_eq!(ours.field(name), route.field(name), "{name}");
    }
    assert_eq!(ours.ext_fields.len(), route.ext_fields.len());
}
