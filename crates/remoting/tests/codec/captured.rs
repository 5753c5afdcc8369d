//! Frames recorded between clients and real servers of 5.5.0 and 4.9.7.

use bytes::BytesMut;
use rocketmq_producer_remoting::protocol::{
    HeartbeatData, SendMessageResponseHeader, TopicRouteData,
};
use rocketmq_producer_remoting::{RemotingCommand, ResponseClass, ResponseCode};

use crate::support::{assert_header, frame, name, text, unhex, vector_path, vectors};

#[derive(Default, Debug, PartialEq)]
struct Seen {
    frames: usize,
    written_alike: usize,
    receipts: usize,
    routes: usize,
    heartbeats: usize,
}

#[test]
fn recorded_frames_are_read_and_written_alike() {
    let mut seen = Seen::default();
    for file in std::fs::read_dir(vector_path("captured")).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        for entry in vectors(&format!("captured/{file}")) {
            // What is sent, by connection and opaque, to know what an answer answers.
            let mut requests = std::collections::HashMap::new();
            for recorded in entry["frames"].as_array().into_iter().flatten() {
                let Some(hex) = text(recorded, "hex") else {
                    continue;
                };
                let place = format!("{file} {}", name(&entry));
                let bytes = unhex(hex);
                let frame = frame(&bytes).unwrap();
                let command = RemotingCommand::decode(frame.clone()).unwrap();
                assert_header(&place, &command, &recorded["header"]);
                seen.frames += 1;

                let mut again = BytesMut::new();
                command.encode(frame.encoding, &mut again).unwrap();
                if again == bytes {
                    seen.written_alike += 1;
                } else {
                    // An empty map is left out, an unknown language becomes OTHER, and frames made by
                    // hand follow no rule.
                    let empty = frame
                        .header
                        .windows(14)
                        .any(|part| part == b"\"extFields\":{}");
                    assert!(
                        empty || command.language.is_none() || name(&entry).starts_with("raw-"),
                        "{place}: written differently"
                    );
                }

                let key = (recorded["conn"].as_i64(), command.opaque);
                if !command.is_response() {
                    if command.code == 34 {
                        HeartbeatData::decode(&command.body).unwrap();
                        seen.heartbeats += 1;
                    }
                    requests.insert(key, command.code);
                    continue;
                }
                let class =
                    ResponseClass::of(ResponseCode(command.code), command.remark.as_deref());
                match requests.get(&key) {
                    Some(10 | 310 | 320) if class.is_receipt() => {
                        let receipt = SendMessageResponseHeader::read(&frame).unwrap();
                        assert!(
                            receipt.msg_id.is_some() && receipt.queue_offset >= 0,
                            "{place}"
                        );
                        seen.receipts += 1;
                    }
                    Some(105) if command.code == 0 => {
                        let route = TopicRouteData::parse(&command.body).unwrap();
                        assert!(route.broker_datas[0].master().is_some(), "{place}");
                        seen.routes += 1;
                    }
                    _ => {}
                }
            }
        }
    }
    let all = Seen {
        frames: 170,
        written_alike: 163,
        receipts: 24,
        routes: 16,
        heartbeats: 7,
    };
    assert_eq!(seen, all);
}

#[test]
fn what_a_broker_refused_for_want_of_credentials_is_not_tried_again() {
    use rocketmq_producer_remoting::RetryRule;
    let mut checked = 0;
    for entry in vectors("captured/acl.json") {
        for recorded in entry["frames"].as_array().into_iter().flatten() {
            let header = &recorded["header"];
            if header["flag"] == 1 && header["code"] == 16 {
                let class = ResponseClass::of(ResponseCode(16), text(header, "remark"));
                assert_eq!(class.retry(), RetryRule::Never, "{header}");
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 4);
}
