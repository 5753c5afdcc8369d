//! Rules of messages and names, and ids, against Java's.

use std::net::SocketAddr;

use rocketmq_producer_remoting::message::property::RESERVED;
use rocketmq_producer_remoting::message::{
    OffsetMessageId, Properties, validate_group, validate_topic_for_send,
};
use rocketmq_producer_remoting::{ByteSize, Message};
use serde_json::Value;

use crate::support::{int, name, text, unhex, vectors};

fn pairs(value: &Value) -> Vec<(&str, &str)> {
    let members = value.as_object().unwrap();
    members
        .iter()
        .filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
        .collect()
}

#[test]
fn property_strings_are_read_as_java_reads_them() {
    let mut checked = 0;
    for entry in vectors("properties.json") {
        let (wire, java) = match (text(&entry, "text"), &entry["result"], &entry["parsedBack"]) {
            (Some(wire), java, Value::Null) | (Some(wire), Value::Null, java)
                if java.is_object() =>
            {
                (wire, java)
            }
            _ => continue,
        };
        if let Some(hex) = text(&entry, "hex") {
            assert_eq!(wire.as_bytes(), unhex(hex));
        }
        let properties = Properties::parse(wire);
        let mut ours: Vec<_> = properties.iter().collect();
        ours.sort_unstable();
        assert_eq!(ours, pairs(java), "{}", name(&entry));
        assert_eq!(Properties::parse(properties.as_wire()), properties);
        checked += 1;
    }
    assert_eq!(checked, 22);
}

#[test]
fn property_strings_are_written_as_java_writes_them() {
    let mut checked = 0;
    for entry in vectors("properties.json") {
        let (Some(wire), Some(given)) = (text(&entry, "text"), entry["properties"].as_object())
        else {
            continue;
        };
        let mut properties = Properties::new();
        // The order is that of Java's map, so it is taken from the result.
        let mut names: Vec<_> = given
            .keys()
            .filter(|name| given[*name].is_string())
            .collect();
        names.sort_by_key(|name| wire.find(&format!("{name}\u{1}")));
        let all_set = names
            .iter()
            .all(|name| properties.set(name, given[*name].as_str().unwrap()).is_ok());
        // A separator in a value corrupts the string in Java; here it is refused.
        assert_eq!(all_set, name(&entry) != "encode-4", "{}", name(&entry));
        if all_set {
            assert_eq!(properties.as_wire(), wire, "{}", name(&entry));
        }
        checked += 1;
    }
    assert_eq!(checked, 4);
}

#[test]
fn messages_have_the_properties_that_java_gives_them() {
    let mut checked = 0;
    for entry in vectors("properties.json") {
        let name = name(&entry);
        let message = || Message::new("T", "b").unwrap();
        let ours = match name.strip_prefix("message-") {
            Some("new-topic-body") => Ok(message()),
            Some("new-topic-tags-body") => message().with_tags("TagA"),
            Some("new-topic-tags-keys-body") => message()
                .with_tags("TagA")
                .and_then(|m| m.with_keys(["k1"])),
            Some("user-property") => message().with_property("k", "v"),
            Some("put-user-property-blank0") => message().with_property("", "v"),
            Some("put-user-property-k-blank0") => message().with_property("k", ""),
            Some(rest) => match rest.strip_prefix("put-user-property-") {
                Some(property) if !property.contains("null") => {
                    let value = &entry["result"]["properties"][property];
                    message().with_property(property, value.as_str().unwrap_or("x"))
                }
                _ => continue,
            },
            None => continue,
        };
        let java = &entry["result"];
        if java.get("error").is_some() {
            assert!(ours.is_err(), "{name}");
        } else {
            let ours = ours.unwrap();
            let mut properties: Vec<_> = ours.properties().iter().collect();
            properties.sort_unstable();
            assert_eq!(properties, pairs(&java["properties"]), "{name}");
            assert_eq!(i64::from(ours.flag()), int(java, "flag"), "{name}");
        }
        checked += 1;
    }
    assert_eq!(checked, 17);
}

#[test]
fn reserved_names_are_those_of_java() {
    let entries = vectors("properties.json");
    let entry = entries
        .iter()
        .find(|e| name(e) == "reserved-names")
        .unwrap();
    let java: Vec<_> = entry["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_str().unwrap())
        .collect();
    assert_eq!(RESERVED.as_slice(), java);
}

#[test]
fn topics_groups_and_bodies_are_judged_as_java_judges_them() {
    let mut checked = 0;
    for entry in vectors("misc.json") {
        let java = entry["result"] == "ok";
        let name = name(&entry);
        let ours = if let Some(topic) = name.strip_prefix("topic-") {
            // The number marks a second case of the same topic.
            let topic = topic.strip_prefix("223-").unwrap_or(topic);
            let topic = if topic == "empty" { "" } else { topic };
            validate_topic_for_send(topic).map_err(|e| e.to_string())
        } else if let Some(group) = name.strip_prefix("group-") {
            let group = match group.strip_suffix("-chars") {
                Some(length) => "g".repeat(length.parse().unwrap()),
                None if group == "empty" => String::new(),
                None => group.to_owned(),
            };
            validate_group(&group).map_err(|e| e.to_string())
        } else if name == "check-message-empty-body" {
            Message::new("T", "").map(drop).map_err(|e| e.to_string())
        } else if name == "check-message-4MiB-plus-1" {
            let message = Message::new("T", vec![0; (4 << 20) + 1]).unwrap();
            message
                .check_limits(ByteSize::mib(4), 512)
                .map_err(|e| e.to_string())
        } else {
            continue;
        };
        assert_eq!(ours.is_ok(), java, "{name}: {ours:?}");
        checked += 1;
    }
    assert_eq!(checked, 23);
}

#[test]
fn offset_ids_are_written_and_read_as_java_does() {
    let mut checked = 0;
    for entry in vectors("message_id.json") {
        let name = name(&entry);
        if name.starts_with("offset-id-") {
            let inputs = &entry["inputs"];
            let id = OffsetMessageId::new(
                SocketAddr::new(
                    text(inputs, "ip").unwrap().parse().unwrap(),
                    u16::try_from(int(inputs, "port")).unwrap(),
                ),
                text(inputs, "offset").unwrap().parse().unwrap(),
            );
            assert_eq!(id.to_string(), text(&entry, "id").unwrap(), "{name}");
            assert_eq!(id.to_string().parse(), Ok(id), "{name}");
        } else if name.starts_with("decode-offset-id-") {
            let parsed = text(&entry, "inputs").unwrap().parse::<OffsetMessageId>();
            let java = &entry["result"];
            // Java reads any character as some digit; that is an error here.
            if java.get("error").is_some() || name.contains("ZZ") {
                assert!(parsed.is_err(), "{name}");
            } else {
                let id = parsed.unwrap();
                assert_eq!(
                    Some(id.address.ip().to_string().as_str()),
                    text(java, "ip"),
                    "{name}"
                );
                assert_eq!(i64::from(id.address.port()), int(java, "port"), "{name}");
                assert_eq!(
                    Some(id.offset.to_string().as_str()),
                    text(java, "offset"),
                    "{name}"
                );
            }
        } else {
            continue;
        }
        checked += 1;
    }
    assert_eq!(checked, 11);
}
