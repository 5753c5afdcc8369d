//! Who produces for a group, as one broker sees it.

use serde::{Deserialize, Serialize};

use super::lenient;
use super::route::{RouteParseError, parse_tolerant};
use crate::code::{RequestCode, ResponseCode};
use crate::header::{FieldSink, RequestHeader};

/// Header of `GET_PRODUCER_CONNECTION_LIST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetProducerConnectionListRequestHeader<'a> {
    /// The producer group.
    pub producer_group: &'a str,
}

impl<'a> GetProducerConnectionListRequestHeader<'a> {
    /// Asks for the connections of `producer_group`.
    #[must_use]
    pub const fn new(producer_group: &'a str) -> Self {
        Self { producer_group }
    }
}

impl RequestHeader for GetProducerConnectionListRequestHeader<'_> {
    fn code(&self) -> RequestCode {
        RequestCode::GET_PRODUCER_CONNECTION_LIST
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        sink.text("producerGroup", self.producer_group);
    }
}

/// The connections of a producer group to one broker. Java: `ProducerConnection`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct ProducerConnections {
    /// The connections, in no order.
    #[serde(rename = "connectionSet", deserialize_with = "lenient::or_default")]
    pub connections: Vec<ClientConnection>,
}

/// A client's connection as its heartbeats declared it. Java: `Connection`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct ClientConnection {
    /// Id of the client.
    #[serde(deserialize_with = "lenient::or_default")]
    pub client_id: String,
    /// The client's end, `host:port`.
    #[serde(deserialize_with = "lenient::or_default")]
    pub client_addr: String,
    /// Name of the client's language, as in [`LanguageCode`](crate::LanguageCode); empty where the broker does not
    /// know it.
    #[serde(deserialize_with = "lenient::or_default")]
    pub language: String,
    /// Version of the client, an ordinal of Java's `MQVersion`.
    #[serde(deserialize_with = "lenient::integer")]
    pub version: i32,
}

impl ProducerConnections {
    /// Reads the body of an answer to `GET_PRODUCER_CONNECTION_LIST`, in either form of JSON.
    ///
    /// # Errors
    /// When the bytes are no such body.
    pub fn parse(body: &[u8]) -> Result<Self, RouteParseError> {
        parse_tolerant(body)
    }

    /// Whether an answer says that the broker knows no producer of the group. There is no code for it, only words.
    /// Java: `AdminBrokerProcessor.getProducerConnectionList`.
    #[must_use]
    pub fn is_unknown_group(code: ResponseCode, remark: &str) -> bool {
        code == ResponseCode::SYSTEM_ERROR
            && remark.starts_with("the producer group[")
            && remark.contains("] not exist")
    }
}

#[cfg(test)]
mod tests {
    use super::ProducerConnections;
    use crate::code::ResponseCode;

    #[test]
    fn connections_are_read_with_a_language_that_the_broker_does_not_know() {
        let body = br#"{"connectionSet":[{"clientAddr":"1.2.3.4:5","clientId":"a@1","language":"RUST","version":513},{"clientAddr":"1.2.3.4:6","clientId":"a@2","version":401}]}"#;
        let read = ProducerConnections::parse(body).unwrap();
        assert_eq!(read.connections.len(), 2);
        assert_eq!(read.connections[0].language, "RUST");
        assert_eq!(read.connections[0].client_addr, "1.2.3.4:5");
        assert_eq!(read.connections[1].language, "");
        assert_eq!(read.connections[1].version, 401);
        assert!(ProducerConnections::parse(b"<html>").is_err());
    }

    #[test]
    fn a_group_that_is_not_known_is_told_from_a_failure() {
        let unknown = |code, remark| ProducerConnections::is_unknown_group(code, remark);
        let words = "the producer group[g] not exist";
        assert!(unknown(ResponseCode::SYSTEM_ERROR, words));
        assert!(!unknown(ResponseCode::SYSTEM_ERROR, "null"));
        assert!(!unknown(ResponseCode::NO_PERMISSION, words));
    }
}
