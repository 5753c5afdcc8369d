//! Bodies of answers to administration.

use rocketmq_producer::remoting::protocol::route::RouteParseError;
use rocketmq_producer::remoting::protocol::{
    BrokerInfo, ProducerConnections, TopicConfig, TopicList, TopicStats,
};
use serde::Serialize;

use super::Verdict;
use super::corpus::Corpus;

const STATS: &[u8] = br#"{"offsetTable":{{"brokerName":"a","queueId":1,"topic":"T"}:{"lastUpdateTimestamp":7,"maxOffset":5,"minOffset":2},{"brokerName":"a","queueId":0,"topic":"T"}:{"maxOffset":0}},"topicPutTps":0.0}"#;
const STATS_IN_STRINGS: &[u8] =
    br#"{"offsetTable":{"{\"brokerName\":\"a\",\"queueId\":1,\"topic\":\"T\"}":{"maxOffset":5}}}"#;
const CONFIG: &[u8] = br#"{"attributes":{"message.type":"DELAY"},"order":false,"perm":6,"readQueueNums":2,"topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":0,"writeQueueNums":2}"#;
const LIST: &[u8] = br#"{"brokerAddr":null,"topicList":["a","TBW102"]}"#;
const CONNECTIONS: &[u8] = br#"{"connectionSet":[{"clientAddr":"1.2.3.4:5","clientId":"a@1","language":"RUST","version":513},{"clientId":"b","language":null}]}"#;
const INFO: &[u8] = br#"{"table":{"bootTimestamp":"1000","runtime":"[ 1 days, 2 hours, 3 minutes, 4 seconds ]","brokerVersionDesc":"V5_5_0","x":null}}"#;

pub(super) fn topic_stats_seeds(_: &Corpus) -> Vec<Vec<u8>> {
    vec![STATS.to_vec(), STATS_IN_STRINGS.to_vec()]
}

pub(super) fn seeds(_: &Corpus) -> Vec<Vec<u8>> {
    [CONFIG, LIST, CONNECTIONS, INFO].map(<[u8]>::to_vec).into()
}

pub(super) fn topic_stats(body: &[u8]) -> Verdict {
    let Ok(stats) = TopicStats::parse(body) else {
        return Verdict::Refused;
    };
    assert!(stats.queues.len() <= body.len(), "no queue out of nothing");
    let each = stats.queues.windows(2);
    assert!(each.into_iter().all(|pair| pair[0] < pair[1]), "in order");
    assert_eq!(TopicStats::parse(&stats.encode()).as_ref(), Ok(&stats));
    Verdict::Accepted
}

/// Every reader gets every input; what one takes it takes again from what is written.
pub(super) fn bodies(body: &[u8]) -> Verdict {
    let taken = [
        survives(body, TopicConfig::parse),
        survives(body, TopicList::parse),
        survives(body, ProducerConnections::parse),
        survives(body, BrokerInfo::parse),
    ];
    if let Ok(info) = BrokerInfo::parse(body) {
        // Whatever it says is a time or none.
        let _ = (info.clock(), info.version());
    }
    Verdict::of(taken.contains(&true))
}

fn survives<T: Serialize + PartialEq + std::fmt::Debug>(
    body: &[u8],
    parse: fn(&[u8]) -> Result<T, RouteParseError>,
) -> bool {
    let Ok(read) = parse(body) else {
        return false;
    };
    let json = serde_json::to_vec(&read).expect("texts and numbers only");
    assert_eq!(parse(&json).as_ref(), Ok(&read));
    true
}
