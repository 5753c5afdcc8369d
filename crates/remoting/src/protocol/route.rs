//! [`TopicRouteData`]: which brokers have queues of a topic, as name servers tell it.
//!
//! Two forms are read: standard JSON, and what fastjson writes by default, in which number keys
//! carry no quotes. Name servers before 4.9.4 know only the second.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::bare_keys::quote_bare_keys;
use super::lenient;

/// Most queues that one route may have, over all brokers: far above any real topic, and small
/// enough that a list of all of them does no harm.
pub const MAX_ROUTE_QUEUES: u32 = 1 << 17;

/// Broker id of a master.
pub const MASTER_ID: i64 = 0;

/// The route of a topic. Java: `TopicRouteData`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct TopicRouteData {
    /// `broker:n;broker:n`: queues of an ordered topic. Empty and absent differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<String>,
    /// Queues per broker.
    #[serde(deserialize_with = "lenient::or_default")]
    pub queue_datas: Vec<QueueData>,
    /// Addresses per broker.
    #[serde(deserialize_with = "lenient::or_default")]
    pub broker_datas: Vec<BrokerData>,
    /// Logical queues of a static topic by broker; absent for other topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_queue_mapping_by_broker: Option<BTreeMap<String, TopicQueueMappingInfo>>,
}

impl TopicRouteData {
    /// Reads the body of an answer to `GET_ROUTEINFO_BY_TOPIC`.
    ///
    /// Unknown members are ignored and absent or null ones take their defaults, as in Java.
    ///
    /// # Errors
    /// When the bytes are neither form of a route, or when the route has more than
    /// [`MAX_ROUTE_QUEUES`] queues.
    pub fn parse(body: &[u8]) -> Result<Self, RouteParseError> {
        let route: Self = parse_tolerant(body)?;
        route.check_size()?;
        Ok(route)
    }

    /// The route as standard JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Maps with integer keys and plain structures: serde_json cannot fail on them.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// A list of queues is built from these numbers, so they are bounded here.
    fn check_size(&self) -> Result<(), RouteParseError> {
        let physical = self
            .queue_datas
            .iter()
            .flat_map(|queues| [queues.read_queue_nums, queues.write_queue_nums]);
        let logical = self
            .topic_queue_mapping_by_broker
            .iter()
            .flat_map(BTreeMap::values)
            .map(|mapping| mapping.total_queues);
        let queues = physical
            .chain(logical)
            .map(|count| u64::try_from(count).unwrap_or(0))
            .fold(0_u64, u64::saturating_add);
        // Reading and writing queues are counted apart.
        if queues > u64::from(MAX_ROUTE_QUEUES).saturating_mul(2) {
            return Err(RouteParseError::TooManyQueues { queues });
        }
        Ok(())
    }
}

/// Queues that a broker has of a topic. Java: `QueueData`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct QueueData {
    /// Name of the broker.
    #[serde(deserialize_with = "lenient::or_default")]
    pub broker_name: String,
    /// Queues that consumers may read.
    #[serde(deserialize_with = "lenient::integer")]
    pub read_queue_nums: i32,
    /// Queues that producers may write.
    #[serde(deserialize_with = "lenient::integer")]
    pub write_queue_nums: i32,
    /// What is allowed.
    pub perm: Permission,
    /// Flags of the topic on this broker.
    #[serde(deserialize_with = "lenient::integer")]
    pub topic_sys_flag: i32,
}

/// What a broker allows on a topic, as bits. Java: `PermName`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(transparent)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a number of the protocol, any value may come"
)]
pub struct Permission(#[serde(deserialize_with = "lenient::integer")] pub i32);

impl Permission {
    /// Topics created after this one take its settings.
    pub const INHERIT: Self = Self(1);
    /// Producers may write.
    pub const WRITE: Self = Self(2);
    /// Consumers may read.
    pub const READ: Self = Self(4);
    /// Queues have priorities.
    pub const PRIORITY: Self = Self(8);

    /// Whether producers may write.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.0 & Self::WRITE.0 != 0
    }

    /// Whether consumers may read.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.0 & Self::READ.0 != 0
    }
}

impl std::fmt::Display for Permission {
    /// As Java prints it: `RW-`, with `X` in the third place for topics that others inherit from.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inherit = self.0 & Self::INHERIT.0 != 0;
        f.write_str(if self.is_readable() { "R" } else { "-" })?;
        f.write_str(if self.is_writable() { "W" } else { "-" })?;
        f.write_str(if inherit { "X" } else { "-" })
    }
}

/// Addresses of a broker. Java: `BrokerData`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct BrokerData {
    /// Name of the cluster.
    #[serde(deserialize_with = "lenient::or_default")]
    pub cluster: String,
    /// Name that master and slaves share.
    #[serde(deserialize_with = "lenient::or_default")]
    pub broker_name: String,
    /// `host:port` by broker id; id 0 is the master.
    #[serde(deserialize_with = "lenient::or_default")]
    pub broker_addrs: BTreeMap<i64, String>,
    /// Name of the zone, where zones are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_name: Option<String>,
    /// Whether a slave may stand in for a lost master.
    #[serde(deserialize_with = "lenient::or_default")]
    pub enable_acting_master: bool,
}

impl BrokerData {
    /// Address of the master.
    #[must_use]
    pub fn master(&self) -> Option<&str> {
        self.broker_addrs.get(&MASTER_ID).map(String::as_str)
    }
}

/// Logical queues that a broker serves of a static topic. Java: `TopicQueueMappingInfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct TopicQueueMappingInfo {
    /// The topic.
    #[serde(deserialize_with = "lenient::or_default")]
    pub topic: String,
    /// Scope of the logical queues; `__global__` unless set otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Logical queues of the topic over all brokers.
    #[serde(deserialize_with = "lenient::integer")]
    pub total_queues: i32,
    /// Name of the broker.
    #[serde(deserialize_with = "lenient::or_default")]
    pub bname: String,
    /// Grows with each change of the mapping.
    #[serde(deserialize_with = "lenient::integer")]
    pub epoch: i64,
    /// Physical queue on this broker by logical queue.
    #[serde(deserialize_with = "lenient::or_default")]
    pub curr_id_map: BTreeMap<i32, i32>,
}

/// Reads JSON; when it is none, reads it again with quotes put around bare integer keys, the last
/// of equal keys counting, as in Java.
pub(crate) fn parse_tolerant<T: DeserializeOwned>(body: &[u8]) -> Result<T, RouteParseError> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let quoted = quote_bare_keys(body);
    serde_json::from_slice::<serde_json::Value>(&quoted)
        .and_then(T::deserialize)
        .map_err(|error| RouteParseError::Json {
            reason: error.to_string(),
            length: body.len(),
        })
}

/// Why bytes are no route.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RouteParseError {
    /// The bytes are no JSON of the expected shape, not even with number keys quoted.
    #[error("body of {length} bytes is no JSON of the expected shape: {reason}")]
    Json {
        /// What the JSON reader says.
        reason: String,
        /// Length of the body in bytes.
        length: usize,
    },
    /// The route has more queues than any real topic.
    #[error("route with {queues} queues, at most {} are accepted", MAX_ROUTE_QUEUES.saturating_mul(2))]
    TooManyQueues {
        /// Number of queues, reading and writing ones counted apart.
        queues: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::{Permission, RouteParseError, TopicRouteData};

    #[test]
    fn a_route_reads_back_what_it_wrote() {
        let text = br#"{"queueDatas":[{"brokerName":"a","perm":"6","writeQueueNums":2}],
            "brokerDatas":[{"brokerName":"a","brokerAddrs":{0:"h:1",-1:"h:2"},"zoneName":null}],
            "topicQueueMappingByBroker":{"a":{"totalQueues":1,"currIdMap":{0:0}}}}"#;
        let route = TopicRouteData::parse(text).unwrap();
        assert_eq!(route.broker_datas[0].master(), Some("h:1"));
        assert_eq!(route.queue_datas[0].perm, Permission(6));
        assert_eq!(TopicRouteData::parse(&route.to_json()), Ok(route));
    }

    #[test]
    fn the_last_of_equal_keys_counts_as_in_java() {
        let route = TopicRouteData::parse(br#"{"orderTopicConf":"a","orderTopicConf":"b"}"#);
        assert_eq!(route.unwrap().order_topic_conf.as_deref(), Some("b"));
    }

    #[test]
    fn a_route_with_absurd_numbers_is_refused() {
        let text = br#"{"queueDatas":[{"brokerName":"a","perm":6,"writeQueueNums":2000000000}]}"#;
        assert_eq!(
            TopicRouteData::parse(text),
            Err(RouteParseError::TooManyQueues {
                queues: 2_000_000_000
            })
        );
        let text =
            br#"{"queueDatas":[{"brokerName":"a","perm":6,"writeQueueNums":2000000000000}]}"#;
        assert!(matches!(
            TopicRouteData::parse(text),
            Err(RouteParseError::Json { .. })
        ));
    }

    #[test]
    fn permissions_print_as_in_java() {
        assert_eq!(Permission(6).to_string(), "RW-");
        assert_eq!(Permission(4).to_string(), "R--");
        assert_eq!(Permission(7).to_string(), "RWX");
        assert!(!Permission(5).is_writable());
    }
}
