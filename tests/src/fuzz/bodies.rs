//! Bodies in JSON: routes, cluster information, heartbeats.

use bytes::Bytes;
use rocketmq_producer::remoting::message::batch::{MEMBER_OVERHEAD, read_batch};
use rocketmq_producer::remoting::protocol::route::MAX_ROUTE_QUEUES;
use rocketmq_producer::remoting::protocol::{ClusterInfo, HeartbeatData, TopicRouteData};
use serde_json::Value;

use super::Verdict;
use super::corpus::Corpus;

/// A static topic: the vectors have none from a real cluster.
const STATIC_ROUTE: &[u8] = br#"{"queueDatas":[{"brokerName":"a","perm":6,"writeQueueNums":2,"readQueueNums":2}],"brokerDatas":[{"brokerName":"a","brokerAddrs":{0:"h:1"}}],"topicQueueMappingByBroker":{"a":{"topic":"T","totalQueues":2,"bname":"a","epoch":7,"currIdMap":{0:0,1:1}}}}"#;
const CLUSTER: &[u8] = br#"{"brokerAddrTable":{"a":{"brokerAddrs":{0:"h:1",1:"h:2"},"brokerName":"a","cluster":"C","enableActingMaster":false}},"clusterAddrTable":{"C":["a","b"]}}"#;

pub(super) fn route_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let mut seeds = corpus.texts_of(|text| {
        TopicRouteData::parse(text).is_ok_and(|route| route != TopicRouteData::default())
    });
    seeds.push(STATIC_ROUTE.to_vec());
    seeds
}

pub(super) fn cluster_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let mut seeds = corpus
        .texts_of(|text| ClusterInfo::parse(text).is_ok_and(|info| info != ClusterInfo::default()));
    seeds.push(CLUSTER.to_vec());
    let strict = String::from_utf8_lossy(CLUSTER);
    let strict = strict.replace("{0:", "{\"0\":").replace(",1:", ",\"1\":");
    seeds.push(strict.into_bytes());
    seeds
}

pub(super) fn heartbeat_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let mut seeds = corpus.texts_of(|text| {
        HeartbeatData::decode(text).is_ok_and(|heartbeat| heartbeat.groups().count() > 0)
    });
    let own = HeartbeatData::producer("1.2.3.4@5#6", ["PG", "CLIENT_INNER_PRODUCER"]);
    seeds.push(own.encode().to_vec());
    seeds
}

pub(super) fn batch_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    corpus.texts_of(|text| {
        let mut members = read_batch(&Bytes::copy_from_slice(text));
        matches!(members.next(), Some(Ok(_))) && members.all(|member| member.is_ok())
    })
}

/// Every accepted byte belongs to one member: their lengths add up.
pub(super) fn batch(body: &[u8]) -> Verdict {
    let body = Bytes::copy_from_slice(body);
    let mut length = 0;
    let mut members = read_batch(&body);
    for member in members.by_ref() {
        let Ok(member) = member else {
            assert!(members.next().is_none(), "nothing after an error");
            return Verdict::Refused;
        };
        length += MEMBER_OVERHEAD + member.body.len() + member.properties().len();
        assert!(length <= body.len());
    }
    assert_eq!(length, body.len());
    Verdict::Accepted
}

pub(super) fn route(body: &[u8]) -> Verdict {
    let Ok(route) = TopicRouteData::parse(body) else {
        return Verdict::Refused;
    };
    let counts = route
        .queue_datas
        .iter()
        .flat_map(|queues| [queues.read_queue_nums, queues.write_queue_nums]);
    let queues: u64 = counts.filter_map(|count| u64::try_from(count).ok()).sum();
    assert!(queues <= 2 * u64::from(MAX_ROUTE_QUEUES), "{queues} queues");
    let json = route.to_json();
    assert_eq!(TopicRouteData::parse(&json).as_ref(), Ok(&route));
    assert_eq!(TopicRouteData::parse(&bare(&json)).as_ref(), Ok(&route));
    for broker in &route.broker_datas {
        let master = broker.broker_addrs.get(&0).map(String::as_str);
        assert_eq!(broker.master(), master);
    }
    Verdict::Accepted
}

pub(super) fn cluster(body: &[u8]) -> Verdict {
    let Ok(info) = ClusterInfo::parse(body) else {
        return Verdict::Refused;
    };
    let json = serde_json::to_vec(&info).expect("texts and numbers only");
    assert_eq!(ClusterInfo::parse(&json).as_ref(), Ok(&info));
    assert_eq!(ClusterInfo::parse(&bare(&json)).as_ref(), Ok(&info));
    Verdict::Accepted
}

pub(super) fn heartbeat(body: &[u8]) -> Verdict {
    let Ok(heartbeat) = HeartbeatData::decode(body) else {
        return Verdict::Refused;
    };
    let encoded = heartbeat.encode();
    assert_eq!(HeartbeatData::decode(&encoded).as_ref(), Ok(&heartbeat));
    let groups: Vec<_> = heartbeat.groups().collect();
    let same = HeartbeatData::producer(heartbeat.client_id.as_str(), groups);
    assert_eq!(same.encode(), encoded, "the same heartbeat made anew");
    Verdict::Accepted
}

/// Standard JSON as fastjson writes it: keys that are numbers lose their quotes.
fn bare(json: &[u8]) -> Vec<u8> {
    let value: Value = serde_json::from_slice(json).expect("what is written is JSON");
    let mut text = String::new();
    write_bare(&value, &mut text);
    text.into_bytes()
}

fn write_bare(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            text.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                let digits = name.strip_prefix('-').unwrap_or(name);
                if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    text.push_str(name);
                } else {
                    text.push_str(&Value::from(name.as_str()).to_string());
                }
                text.push(':');
                write_bare(value, text);
            }
            text.push('}');
        }
        Value::Array(values) => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_bare(value, text);
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}
