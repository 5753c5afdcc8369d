//! Recall handles and the request that carries one, against Java's.

use rocketmq_producer_remoting::message::{RecallHandle, RecallHandleError};
use rocketmq_producer_remoting::protocol::RecallMessageRequestHeader;

use crate::requests::{encode, from_this_client};
use crate::support::{command, frame, name, text, unhex, vectors};

#[test]
fn handles_are_made_byte_for_byte_as_java_makes_them() {
    let mut checked = 0;
    for entry in vectors("recall.json") {
        let (Some(java), Some(inputs)) = (text(&entry, "handle"), entry["inputs"].as_array())
        else {
            continue;
        };
        let [topic, broker, time, id] = &**inputs else {
            panic!("{entry}");
        };
        let [topic, broker, time, id] = [topic, broker, time, id].map(|it| it.as_str().unwrap());
        let handle = RecallHandle::new(topic, broker, time.parse().unwrap(), id).unwrap();
        assert_eq!(handle.as_str(), java, "{}", name(&entry));
        assert_eq!(java.parse(), Ok(handle));
        checked += 1;
    }
    assert_eq!(checked, 4);
}

#[test]
fn handles_are_read_as_java_reads_them_and_more_strictly_where_no_broker_could_use_them() {
    let mut checked = 0;
    for entry in vectors("recall.json") {
        let (Some(handle), java) = (text(&entry, "handle"), &entry["result"]) else {
            continue;
        };
        if java.is_null() {
            continue;
        }
        let ours = handle.parse::<RecallHandle>();
        let of_java = |member| java[member].as_str().unwrap_or_default();
        if java["error"].is_string() {
            assert!(ours.is_err(), "{}", name(&entry));
        } else if of_java("brokerName").is_empty() {
            assert_eq!(ours, Err(RecallHandleError::Parts));
        } else {
            // The times in these are no numbers, which a broker refuses.
            assert!(of_java("timestamp").parse::<u64>().is_err());
            assert_eq!(ours, Err(RecallHandleError::Time), "{}", name(&entry));
        }
        checked += 1;
    }
    assert_eq!(checked, 10);
}

#[test]
fn the_request_equals_that_of_java() {
    let handle = "djEgVG9waWNUZXN0IGJyb2tlci1hIDE3NjAwMDAwMDAwMDAgQUMxNDE1MTE2RDE0MThCNEFBQzIxN0ZFMUI0RTAwMDA=";
    let header = RecallMessageRequestHeader::new("PG", "broker-a", "TopicTest", handle);
    let mut checked = 0;
    for entry in vectors("recall.json") {
        let Some(hex) = text(&entry, "hex") else {
            continue;
        };
        let java = unhex(hex);
        let decoded = command(&java).unwrap();
        let encoding = frame(&java).unwrap().encoding;
        let ours = encode(&header, decoded.opaque, encoding, &[]);
        if name(&entry).ends_with("binary") {
            assert_eq!(ours, from_this_client(&java), "{}", name(&entry));
        } else {
            let sorted = |bytes: &[u8]| {
                let mut command = command(bytes).unwrap();
                command.ext_fields.sort();
                command
            };
            assert_eq!(sorted(&ours), sorted(&from_this_client(&java)));
        }
        checked += 1;
    }
    assert_eq!(checked, 2);
}
