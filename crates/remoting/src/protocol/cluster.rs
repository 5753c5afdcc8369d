//! [`ClusterInfo`]: all brokers that a name server knows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lenient;
use super::route::{BrokerData, RouteParseError, parse_tolerant};
use crate::code::RequestCode;
use crate::header::{FieldSink, RequestHeader};

/// Brokers by name and names by cluster. Java: `ClusterInfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct ClusterInfo {
    /// Brokers by name.
    #[serde(deserialize_with = "lenient::or_default")]
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    /// Names of the brokers of each cluster.
    #[serde(deserialize_with = "lenient::or_default")]
    pub cluster_addr_table: BTreeMap<String, Vec<String>>,
}

impl ClusterInfo {
    /// Reads the body of an answer to `GET_BROKER_CLUSTER_INFO`, in either form of JSON.
    ///
    /// # Errors
    /// When the bytes are no such body.
    pub fn parse(body: &[u8]) -> Result<Self, RouteParseError> {
        parse_tolerant(body)
    }
}

/// Header of `GET_BROKER_CLUSTER_INFO`: it has no fields.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "the request has no fields")]
pub struct GetClusterInfoRequestHeader;

impl RequestHeader for GetClusterInfoRequestHeader {
    fn code(&self) -> RequestCode {
        RequestCode::GET_BROKER_CLUSTER_INFO
    }

    fn write_fields<S: FieldSink>(&self, _sink: &mut S) {}
}

#[cfg(test)]
mod tests {
    use super::ClusterInfo;

    #[test]
    fn both_forms_of_the_body_are_read() {
        let strict = br#"{"brokerAddrTable":{"a":{"brokerAddrs":{"0":"h:1"},"brokerName":"a","cluster":"C"}},"clusterAddrTable":{"C":["a"]}}"#;
        let bare = br#"{"brokerAddrTable":{"a":{"brokerAddrs":{0:"h:1"},"brokerName":"a","cluster":"C"}},"clusterAddrTable":{"C":["a"]}}"#;
        let info = ClusterInfo::parse(strict).unwrap();
        assert_eq!(info.broker_addr_table["a"].master(), Some("h:1"));
        assert_eq!(ClusterInfo::parse(bare), Ok(info));
        assert!(ClusterInfo::parse(b"<html>").is_err());
    }
}
