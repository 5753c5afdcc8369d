//! Heartbeat: tells a broker which producer groups live behind a connection.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::lenient;
use crate::code::RequestCode;
use crate::header::{FieldSink, RequestHeader};

/// Header of `HEART_BEAT`: it has no fields, the body says everything.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "the request has no fields")]
pub struct HeartbeatRequestHeader;

impl RequestHeader for HeartbeatRequestHeader {
    fn code(&self) -> RequestCode {
        RequestCode::HEART_BEAT
    }

    fn write_fields<S: FieldSink>(&self, _sink: &mut S) {}
}

/// Body of a heartbeat. Java: `HeartbeatData`.
///
/// Only producers are read and written; the fields of consumers stay empty.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HeartbeatData {
    /// Id of the client.
    #[serde(rename = "clientID", default, deserialize_with = "lenient::or_default")]
    pub client_id: String,
    #[serde(skip_deserializing)]
    consumer_data_set: [(); 0],
    #[serde(skip_deserializing)]
    heartbeat_fingerprint: i32,
    /// The producer groups.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub producer_data_set: Vec<ProducerData>,
    #[serde(skip_deserializing)]
    without_sub: bool,
}

/// One producer group in a heartbeat. Java: `ProducerData`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct ProducerData {
    /// Name of the group.
    #[serde(deserialize_with = "lenient::or_default")]
    pub group_name: String,
}

impl HeartbeatData {
    /// The heartbeat of a client that produces for `groups`.
    #[must_use]
    pub fn producer<I, S>(client_id: impl Into<String>, groups: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Self {
            client_id: client_id.into(),
            consumer_data_set: [],
            heartbeat_fingerprint: 0,
            producer_data_set: groups
                .into_iter()
                .map(|group| ProducerData {
                    group_name: group.into(),
                })
                .collect(),
            without_sub: false,
        }
    }

    /// The body, the same bytes that Java writes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        // Strings and numbers only: serde_json cannot fail on them.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Reads a body; members that it does not know are ignored.
    ///
    /// # Errors
    /// When the bytes are no JSON of this shape.
    pub fn decode(body: &[u8]) -> Result<Self, HeartbeatParseError> {
        serde_json::from_slice(body).map_err(|error| HeartbeatParseError {
            reason: error.to_string(),
        })
    }

    /// Names of the producer groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.producer_data_set
            .iter()
            .map(|producer| producer.group_name.as_str())
    }
}

/// Why bytes are no heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("body is no heartbeat: {reason}")]
#[non_exhaustive]
pub struct HeartbeatParseError {
    /// What the JSON reader says.
    pub reason: String,
}
