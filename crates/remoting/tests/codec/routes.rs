//! Route bodies as Java reads them.

use rocketmq_producer_remoting::protocol::TopicRouteData;
use serde_json::Value;

use crate::support::{int, name, text, unhex, vectors};

fn assert_route(name: &str, route: &TopicRouteData, java: &Value) {
    assert_eq!(
        route.order_topic_conf.as_deref(),
        text(java, "orderTopicConf"),
        "{name}"
    );
    let queues = java["queueDatas"].as_array().unwrap();
    assert_eq!(route.queue_datas.len(), queues.len(), "{name}");
    for (ours, java) in route.queue_datas.iter().zip(queues) {
        assert_eq!(
            Some(ours.broker_name.as_str()),
            text(java, "brokerName"),
            "{name}"
        );
        assert_eq!(i64::from(ours.read_queue_nums), int(java, "read"), "{name}");
        assert_eq!(
            i64::from(ours.write_queue_nums),
            int(java, "write"),
            "{name}"
        );
        assert_eq!(i64::from(ours.perm.0), int(java, "perm"), "{name}");
        assert_eq!(
            i64::from(ours.topic_sys_flag),
            int(java, "topicSysFlag"),
            "{name}"
        );
    }
    let brokers = java["brokerDatas"].as_array().unwrap();
    assert_eq!(route.broker_datas.len(), brokers.len(), "{name}");
    for (ours, java) in route.broker_datas.iter().zip(brokers) {
        // Java tells null from empty; nothing depends on it.
        assert_eq!(
            ours.cluster,
            text(java, "cluster").unwrap_or_default(),
            "{name}"
        );
        assert_eq!(
            ours.broker_name,
            text(java, "brokerName").unwrap_or_default(),
            "{name}"
        );
        assert_eq!(ours.zone_name.as_deref(), text(java, "zoneName"), "{name}");
        assert_eq!(
            Some(ours.enable_acting_master),
            java["enableActingMaster"].as_bool()
        );
        let none = serde_json::Map::new();
        let addresses = java["addrs"].as_object().unwrap_or(&none);
        assert_eq!(ours.broker_addrs.len(), addresses.len(), "{name}");
        for (id, address) in addresses {
            let ours = ours.broker_addrs.get(&id.parse().unwrap());
            assert_eq!(ours.map(String::as_str), address.as_str(), "{name}");
        }
    }
    let ours = route.topic_queue_mapping_by_broker.as_ref();
    let ours = ours.map(|map| map.keys().cloned().collect::<Vec<_>>());
    let java = java["mapping"].as_array();
    let java = java.map(|names| {
        names
            .iter()
            .map(|n| n.as_str().unwrap().to_owned())
            .collect()
    });
    assert_eq!(ours, java, "{name}");
}

#[test]
fn routes_are_read_as_java_reads_them_in_both_forms() {
    let mut read = 0;
    let mut refused = 0;
    for entry in vectors("route.json") {
        let name = name(&entry);
        let body = text(&entry, "hex")
            .map_or_else(|| text(&entry, "text").unwrap().as_bytes().to_vec(), unhex);
        let route = TopicRouteData::parse(&body);
        let java = &entry["decoded"];
        if java.get("error").is_some() {
            assert!(route.is_err(), "{name}");
            refused += 1;
            continue;
        }
        let route = route.unwrap_or_else(|error| panic!("{name}: {error}"));
        if !java.is_null() {
            assert_route(name, &route, java);
        }
        read += 1;
    }
    assert_eq!((read, refused), (23, 2));
}

#[test]
fn a_static_topic_keeps_its_map_of_queues() {
    let entries = vectors("route.json");
    let entry = entries
        .iter()
        .find(|e| name(e) == "case-static-topic-mapping-hole")
        .unwrap();
    let body = text(entry, "text").unwrap();
    // The same with bare keys, as older name servers write it.
    let bare = body.replace(r#""0":0"#, "0:0").replace(r#""2":1"#, "2:1");
    assert_ne!(bare, body);
    for body in [body, &bare] {
        let route = TopicRouteData::parse(body.as_bytes()).unwrap();
        let mapping = &route.topic_queue_mapping_by_broker.unwrap()["a"];
        assert_eq!(mapping.scope.as_deref(), Some("__global__"));
        assert_eq!((mapping.total_queues, mapping.epoch), (3, 1));
        assert_eq!(
            mapping.curr_id_map.iter().collect::<Vec<_>>(),
            [(&0, &0), (&2, &1)]
        );
    }
}
