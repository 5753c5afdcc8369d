//! [`TopicStats`]: offsets of a topic's queues on one broker.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lenient;
use super::object_keys::quote_object_keys;
use super::route::{RouteParseError, parse_tolerant};
use crate::code::RequestCode;
use crate::header::{FieldSink, RequestHeader};

/// Header of `GET_TOPIC_STATS_INFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetTopicStatsRequestHeader<'a> {
    /// The topic.
    pub topic: &'a str,
}

impl<'a> GetTopicStatsRequestHeader<'a> {
    /// Asks for the queues of `topic`.
    #[must_use]
    pub const fn new(topic: &'a str) -> Self {
        Self { topic }
    }
}

impl RequestHeader for GetTopicStatsRequestHeader<'_> {
    fn code(&self) -> RequestCode {
        RequestCode::GET_TOPIC_STATS_INFO
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        sink.text("topic", self.topic);
    }
}

/// The queues of a topic on one broker. Java: `TopicStatsTable`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// The queues, by broker and number.
    pub queues: Vec<QueueStats>,
}

/// One queue. Java: `MessageQueue` and `TopicOffset`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct QueueStats {
    /// Name of the broker.
    pub broker_name: String,
    /// Number of the queue.
    pub queue_id: i32,
    /// The topic.
    pub topic: String,
    /// Offset of the oldest message.
    pub min_offset: i64,
    /// Offset of the next message.
    pub max_offset: i64,
    /// When the newest message was stored, in milliseconds since 1970 by the broker's clock; 0 without one.
    pub last_update_timestamp: i64,
}

impl QueueStats {
    /// Messages that the queue holds.
    #[must_use]
    pub const fn messages(&self) -> i64 {
        self.max_offset.saturating_sub(self.min_offset)
    }

    /// A queue of a broker.
    #[must_use]
    pub fn new(topic: &str, broker_name: &str, queue_id: i32) -> Self {
        Self {
            broker_name: broker_name.to_owned(),
            queue_id,
            topic: topic.to_owned(),
            ..Self::default()
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Table {
    /// By queue, as the text of an object.
    #[serde(deserialize_with = "lenient::or_default")]
    offset_table: BTreeMap<String, Offsets>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Queue {
    #[serde(deserialize_with = "lenient::or_default")]
    broker_name: String,
    #[serde(deserialize_with = "lenient::integer")]
    queue_id: i32,
    #[serde(deserialize_with = "lenient::or_default")]
    topic: String,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Offsets {
    #[serde(deserialize_with = "lenient::integer")]
    last_update_timestamp: i64,
    #[serde(deserialize_with = "lenient::integer")]
    max_offset: i64,
    #[serde(deserialize_with = "lenient::integer")]
    min_offset: i64,
}

impl TopicStats {
    /// Reads the body of an answer to `GET_TOPIC_STATS_INFO`.
    ///
    /// It is no JSON: its keys are objects, `{"offsetTable":{{"brokerName":"a",...}:{...}}}`. Keys that are strings
    /// holding such objects are taken as well.
    ///
    /// # Errors
    /// When the bytes are no such body.
    pub fn parse(body: &[u8]) -> Result<Self, RouteParseError> {
        let table: Table = parse_tolerant(&quote_object_keys(body))?;
        let queues = table.offset_table.into_iter().map(|(queue, offsets)| {
            let queue: Queue = parse_tolerant(queue.as_bytes())?;
            Ok(QueueStats {
                broker_name: queue.broker_name,
                queue_id: queue.queue_id,
                topic: queue.topic,
                min_offset: offsets.min_offset,
                max_offset: offsets.max_offset,
                last_update_timestamp: offsets.last_update_timestamp,
            })
        });
        let mut queues = queues.collect::<Result<Vec<_>, _>>()?;
        queues.sort_unstable();
        // The same queue under keys of different form.
        queues.dedup_by(|one, other| {
            (&one.broker_name, one.queue_id, &one.topic)
                == (&other.broker_name, other.queue_id, &other.topic)
        });
        Ok(Self { queues })
    }

    /// The body as brokers write it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = br#"{"offsetTable":{"#.to_vec();
        for (index, stats) in self.queues.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            let queue = Queue {
                broker_name: stats.broker_name.clone(),
                queue_id: stats.queue_id,
                topic: stats.topic.clone(),
            };
            let offsets = Offsets {
                last_update_timestamp: stats.last_update_timestamp,
                max_offset: stats.max_offset,
                min_offset: stats.min_offset,
            };
            // Texts and numbers only: serde_json cannot fail on them.
            body.extend(serde_json::to_vec(&queue).unwrap_or_default());
            body.push(b':');
            body.extend(serde_json::to_vec(&offsets).unwrap_or_default());
        }
        body.extend_from_slice(b"}}");
        body
    }
}

#[cfg(test)]
mod tests {
    use super::{QueueStats, TopicStats};

    #[test]
    fn the_body_of_a_real_broker_is_read() {
        let body = br#"{"offsetTable":{{"brokerName":"broker-a","queueId":1,"topic":"probe"}:{"lastUpdateTimestamp":7,"maxOffset":5,"minOffset":2},{"brokerName":"broker-a","queueId":0,"topic":"probe"}:{"lastUpdateTimestamp":0,"maxOffset":0,"minOffset":0}},"topicPutTps":0.0}"#;
        let stats = TopicStats::parse(body).unwrap();
        let second = QueueStats {
            min_offset: 2,
            max_offset: 5,
            last_update_timestamp: 7,
            ..QueueStats::new("probe", "broker-a", 1)
        };
        assert_eq!(second.messages(), 3);
        assert_eq!(
            stats.queues,
            [QueueStats::new("probe", "broker-a", 0), second]
        );
        assert_eq!(TopicStats::parse(&stats.encode()), Ok(stats));
    }

    #[test]
    fn other_bodies_are_empty_or_refused() {
        assert_eq!(TopicStats::parse(b"{}"), Ok(TopicStats::default()));
        for wrong in [
            &b"[1]"[..],
            b"",
            br#"{"offsetTable":{"x":{}}}"#,
            b"{\"offsetTable\":{{",
        ] {
            assert!(TopicStats::parse(wrong).is_err());
        }
    }
}
