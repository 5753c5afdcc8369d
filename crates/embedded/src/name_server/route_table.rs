//! What one name server knows, and the JSON in which it tells it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use rocketmq_producer_remoting::protocol::Permission;
use serde_json::{Map, Value, json};

/// A broker as it registers itself.
#[derive(Clone, Debug)]
pub(crate) struct BrokerEntry {
    pub(crate) cluster: Arc<str>,
    pub(crate) name: Arc<str>,
    /// By broker id; 0 is the master.
    pub(crate) addresses: BTreeMap<i64, SocketAddr>,
}

/// A topic as a broker registers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicEntry {
    pub(crate) read_queues: i32,
    pub(crate) write_queues: i32,
    pub(crate) perm: Permission,
}

#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    brokers: BTreeMap<Arc<str>, BrokerEntry>,
    topics: HashMap<Arc<str>, BTreeMap<Arc<str>, TopicEntry>>,
    /// `broker:queues;...` by topic. Real name servers keep it in a file: it survives a restart.
    order: HashMap<String, String>,
}

impl RouteTable {
    /// Adds a broker's addresses to those that are known.
    pub(crate) fn register_broker(&mut self, broker: &BrokerEntry) {
        self.brokers
            .entry(Arc::clone(&broker.name))
            .or_insert_with(|| broker.clone())
            .addresses
            .extend(&broker.addresses);
    }

    /// Of a broker that is not known nothing is kept; its topics come when it registers.
    pub(crate) fn register_topic(
        &mut self,
        broker: &Arc<str>,
        topic: &Arc<str>,
        entry: TopicEntry,
    ) {
        if !self.brokers.contains_key(broker) {
            return;
        }
        self.topics
            .entry(Arc::clone(topic))
            .or_default()
            .insert(Arc::clone(broker), entry);
    }

    pub(crate) fn unregister_topic(&mut self, broker: &str, topic: &str) {
        if let Some(brokers) = self.topics.get_mut(topic) {
            brokers.remove(broker);
            if brokers.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    /// Forgets one address of a broker; with the last one its topics go too.
    pub(crate) fn unregister_broker(&mut self, name: &str, id: i64) {
        let Some(broker) = self.brokers.get_mut(name) else {
            return;
        };
        broker.addresses.remove(&id);
        if broker.addresses.is_empty() {
            self.brokers.remove(name);
            self.topics.retain(|_, brokers| {
                brokers.remove(name);
                !brokers.is_empty()
            });
        }
    }

    /// Forgets everything that brokers registered.
    pub(crate) fn forget_brokers(&mut self) {
        self.brokers.clear();
        self.topics.clear();
    }

    pub(crate) fn set_order(&mut self, topic: &str, configuration: Option<&str>) {
        match configuration {
            Some(text) => self.order.insert(topic.to_owned(), text.to_owned()),
            None => self.order.remove(topic),
        };
    }

    /// The route of a topic; `None` if no broker has it.
    pub(crate) fn route_json(&self, topic: &str, is_standard: bool) -> Option<String> {
        let queues = self.topics.get(topic)?;
        let brokers: Vec<_> = queues
            .keys()
            .filter_map(|name| self.brokers.get(name))
            .collect();
        if brokers.is_empty() {
            return None;
        }
        let queues: Vec<_> = queues
            .iter()
            .map(|(broker, topic)| {
                json!({
                    "brokerName": **broker,
                    "perm": topic.perm.0,
                    "readQueueNums": topic.read_queues,
                    "topicSysFlag": 0,
                    "writeQueueNums": topic.write_queues,
                })
            })
            .collect();
        let mut route = json!({
            "brokerDatas": brokers.iter().map(|broker| broker_json(broker)).collect::<Vec<_>>(),
            "filterServerTable": {},
            "queueDatas": queues,
        });
        if let (Some(order), Value::Object(members)) = (self.order.get(topic), &mut route) {
            members.insert("orderTopicConf".to_owned(), Value::from(order.as_str()));
        }
        Some(write(&route, is_standard))
    }

    /// Names of all topics, in no order.
    pub(crate) fn topics_json(&self) -> String {
        let topics: Vec<&str> = self.topics.keys().map(|topic| &**topic).collect();
        json!({ "topicList": topics }).to_string()
    }

    /// All brokers, in the form that every version of the server uses.
    pub(crate) fn cluster_json(&self) -> String {
        let mut by_name = Map::new();
        let mut by_cluster: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for broker in self.brokers.values() {
            by_name.insert((*broker.name).to_owned(), broker_json(broker));
            by_cluster
                .entry(&broker.cluster)
                .or_default()
                .push(&broker.name);
        }
        let info = json!({"brokerAddrTable": by_name, "clusterAddrTable": by_cluster});
        write(&info, false)
    }
}

fn broker_json(broker: &BrokerEntry) -> Value {
    let addresses: Map<String, Value> = broker
        .addresses
        .iter()
        .map(|(id, address)| (id.to_string(), Value::from(address.to_string())))
        .collect();
    json!({
        "brokerAddrs": addresses,
        "brokerName": *broker.name,
        "cluster": *broker.cluster,
        "enableActingMaster": false,
    })
}

/// Standard JSON, or fastjson's own in which the keys of `brokerAddrs` are bare numbers.
fn write(value: &Value, is_standard: bool) -> String {
    if is_standard {
        value.to_string()
    } else {
        let mut text = String::new();
        write_bare(value, false, &mut text);
        text
    }
}

fn write_bare(value: &Value, are_keys_numbers: bool, text: &mut String) {
    match value {
        Value::Object(members) => {
            text.push('{');
            for (position, (name, member)) in members.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                if are_keys_numbers {
                    text.push_str(name);
                } else {
                    text.push_str(&Value::from(name.as_str()).to_string());
                }
                text.push(':');
                write_bare(member, name == "brokerAddrs", text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write_bare(item, false, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> RouteTable {
        let mut table = RouteTable::default();
        let name: Arc<str> = "vec-a".into();
        table.register_broker(&BrokerEntry {
            cluster: "VecCluster".into(),
            name: Arc::clone(&name),
            addresses: [(0, SocketAddr::from(([127, 0, 0, 1], 38911)))].into(),
        });
        let entry = TopicEntry {
            read_queues: 4,
            write_queues: 4,
            perm: Permission(6),
        };
        table.register_topic(&name, &"VecTopic".into(), entry);
        table
    }

    /// Bodies as 5.5.0 sent them.
    #[test]
    fn route_bodies_equal_those_of_a_real_name_server() {
        let standard = r#"{"brokerDatas":[{"brokerAddrs":{"0":"127.0.0.1:38911"},"brokerName":"vec-a","cluster":"VecCluster","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"vec-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#;
        let bare = standard.replace("{\"0\":", "{0:");
        assert_eq!(table().route_json("VecTopic", true).unwrap(), standard);
        assert_eq!(table().route_json("VecTopic", false).unwrap(), bare);
        assert_eq!(table().route_json("VecNeverSeen", true), None);
    }

    #[test]
    fn a_broker_that_loses_its_last_address_takes_its_topics_with_it() {
        let mut table = table();
        table.register_broker(&BrokerEntry {
            cluster: "VecCluster".into(),
            name: "vec-a".into(),
            addresses: [(1, SocketAddr::from(([127, 0, 0, 1], 38921)))].into(),
        });
        table.unregister_broker("vec-a", 0);
        let route = table.route_json("VecTopic", true).unwrap();
        assert!(
            route.contains(r#""brokerAddrs":{"1":"127.0.0.1:38921"}"#),
            "{route}"
        );
        table.unregister_broker("vec-a", 1);
        assert_eq!(table.route_json("VecTopic", true), None);
    }
}
