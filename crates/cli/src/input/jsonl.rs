//! A message as one JSON object.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rocketmq_producer::LocalTransactionState;
use rocketmq_producer::remoting::message::{Message, MessageError};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::Entry;
use crate::args::patience;

/// Why a line is not a message in JSON.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("body_base64 is not base64: {0}")]
    Base64(base64::DecodeError),
    #[error("neither body nor body_base64")]
    BodyMissing,
    #[error("both body and body_base64")]
    BodyTwice,
    #[error("not a JSON object")]
    NotAnObject,
    /// What the reader met, and the column where.
    #[error("{0}")]
    Syntax(String),
    #[error("a transaction is no request")]
    TwoKinds,
    #[error("a request has no time of delivery, since its reply is waited for")]
    LateRequest,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        // The reader saw one line: its line number would only confuse.
        let text = error.to_string();
        let position = format!(" at line {} column {}", error.line(), error.column());
        let reason = text.strip_suffix(position.as_str()).unwrap_or(&text);
        Self::Syntax(format!("{reason} (column {})", error.column()))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(default, deserialize_with = "string_or_number")]
    id: Value,
    body: Option<String>,
    body_base64: Option<String>,
    tags: Option<String>,
    keys: Option<Vec<String>>,
    sharding_key: Option<String>,
    delay_level: Option<u8>,
    delay_ms: Option<u64>,
    /// Milliseconds since 1970.
    deliver_at: Option<u64>,
    #[serde(default)]
    properties: Option<Pairs>,
    transaction: Option<End>,
    #[serde(default, deserialize_with = "duration")]
    request: Option<Duration>,
}

impl Record {
    /// Whether it has a time of delivery.
    const fn is_late(&self) -> bool {
        self.delay_level.is_some() || self.delay_ms.is_some() || self.deliver_at.is_some()
    }
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum End {
    Commit,
    Rollback,
    Unknown,
}

impl From<End> for LocalTransactionState {
    fn from(end: End) -> Self {
        match end {
            End::Commit => Self::Commit,
            End::Rollback => Self::Rollback,
            End::Unknown => Self::Unknown,
        }
    }
}

/// Names and values in the order given, no name twice.
#[derive(Debug, Default)]
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of names and values, all of them strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs: Vec<(String, String)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    if pairs.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format!("property {name:?} twice")));
                    }
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor)
    }
}

fn string_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let id = Value::deserialize(deserializer)?;
    match id {
        Value::Null | Value::Number(_) | Value::String(_) => Ok(id),
        _ => Err(D::Error::custom("id must be a string or a number")),
    }
}

/// A time such as `3s`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    patience(&text)
        .map(Some)
        .map_err(|error| D::Error::custom(format_args!("{text:?}: {error}")))
}

/// Reads the line `text`, whose number is `line`; `request` is how long its reply is waited for unless it says so itself.
pub(super) fn parse(
    line: u64,
    topic: Arc<str>,
    text: &str,
    request: Option<Duration>,
) -> Result<Entry, JsonError> {
    // Serde would take an array for a record as well.
    if !text.trim_start().starts_with('{') {
        return Err(JsonError::NotAnObject);
    }
    let record: Record = serde_json::from_str(text)?;
    let request = record.request.or(request);
    if request.is_some() {
        if record.transaction.is_some() {
            return Err(JsonError::TwoKinds);
        }
        if record.is_late() {
            return Err(JsonError::LateRequest);
        }
    }
    let body = match (&record.body, &record.body_base64) {
        (Some(body), None) => Bytes::copy_from_slice(body.as_bytes()),
        (None, Some(text)) => Bytes::from(STANDARD.decode(text).map_err(JsonError::Base64)?),
        (None, None) => return Err(JsonError::BodyMissing),
        (Some(_), Some(_)) => return Err(JsonError::BodyTwice),
    };
    Ok(Entry {
        line,
        message: message(topic, body.clone(), &record),
        key: record.keys.into_iter().flatten().next(),
        transaction: record.transaction.map(Into::into),
        request,
        shard: record.sharding_key,
        id: record.id,
        body,
    })
}

fn message(topic: Arc<str>, body: Bytes, record: &Record) -> Result<Message, MessageError> {
    let mut message = Message::new(topic, body)?;
    if let Some(tags) = &record.tags {
        message = message.with_tags(tags)?;
    }
    if let Some(keys) = &record.keys {
        message = message.with_keys(keys)?;
    }
    if let Some(key) = &record.sharding_key {
        message = message.with_sharding_key(key)?;
    }
    if let Some(level) = record.delay_level {
        message = message.with_delay_level(level)?;
    }
    if let Some(millis) = record.delay_ms {
        message = message.with_delay(Duration::from_millis(millis))?;
    }
    if let Some(millis) = record.deliver_at {
        message = message.with_deliver_at_millis(millis)?;
    }
    for (name, value) in record.properties.iter().flat_map(|pairs| &pairs.0) {
        message = message.with_property(name, value)?;
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Entry, String> {
        parse(1, Arc::from("t"), text, None).map_err(|error| error.to_string())
    }

    #[test]
    fn every_field_reaches_the_message() {
        let entry = read(
            r#"{"id":"a","body":"paid ü","tags":"T","keys":["k1","k2"],"sharding_key":"s","properties":{"p":"1","q":"2"}}"#,
        )
        .unwrap();
        assert_eq!(entry.id, "a");
        assert_eq!(entry.key.as_deref(), Some("k1"));
        assert_eq!(entry.shard.as_deref(), Some("s"));
        let message = entry.message.unwrap();
        assert_eq!(message.body(), "paid ü".as_bytes());
        assert_eq!(message.tags(), Some("T"));
        assert_eq!(message.keys().collect::<Vec<_>>(), ["k1", "k2"]);
        assert_eq!(message.sharding_key(), Some("s"));
        assert_eq!(message.property("p"), Some("1"));
        assert_eq!(message.property("q"), Some("2"));
    }

    #[test]
    fn a_request_says_how_long_its_reply_is_waited_for() {
        let entry = read(r#"{"body":"x","request":"1500ms"}"#).unwrap();
        assert_eq!(entry.request, Some(Duration::from_millis(1500)));
        let error = read(r#"{"body":"x","request":"soon"}"#).unwrap_err();
        assert!(error.to_string().contains("soon"), "{error}");
        let both = read(r#"{"body":"x","request":"1s","transaction":"commit"}"#);
        assert!(both.unwrap_err().contains("a transaction"));
        for late in [r#""delay_level":1"#, r#""delay_ms":1"#, r#""deliver_at":1"#] {
            let both = read(&format!(r#"{{"body":"x","request":"1s",{late}}}"#));
            assert!(both.unwrap_err().contains("time of delivery"), "{late}");
        }
        assert!(read(r#"{"body":"x","request":"0s"}"#).is_err());
    }

    #[test]
    fn a_line_takes_the_time_given_for_all_unless_it_has_its_own() {
        let all = Some(Duration::from_secs(3));
        let read = |text| parse(1, Arc::from("t"), text, all).map(|entry| entry.request);
        assert_eq!(read(r#"{"body":"x"}"#).unwrap(), all);
        assert_eq!(read(r#"{"body":"x","request":null}"#).unwrap(), all);
        let own = read(r#"{"body":"x","request":"1s"}"#).unwrap();
        assert_eq!(own, Some(Duration::from_secs(1)));
        let error = read(r#"{"body":"x","transaction":"commit"}"#).unwrap_err();
        assert!(matches!(error, JsonError::TwoKinds));
    }

    #[test]
    fn a_transaction_ends_as_the_line_says() {
        let entry = read(r#"{"body":"x","transaction":"rollback"}"#).unwrap();
        assert_eq!(entry.transaction, Some(LocalTransactionState::Rollback));
        let error = read(r#"{"body":"x","transaction":"maybe"}"#).unwrap_err();
        assert!(error.contains("`commit`, `rollback`, `unknown`"), "{error}");
    }

    #[test]
    fn a_time_of_delivery_reaches_the_message_and_two_are_a_broken_rule() {
        for (text, name, value) in [
            (r#"{"body":"x","delay_level":3}"#, "DELAY", "3"),
            (r#"{"body":"x","delay_ms":1500}"#, "TIMER_DELAY_MS", "1500"),
            (r#"{"body":"x","deliver_at":17}"#, "TIMER_DELIVER_MS", "17"),
        ] {
            let message = read(text).unwrap().message.unwrap();
            assert_eq!(message.property(name), Some(value), "{text}");
        }
        let both = read(r#"{"body":"x","delay_level":3,"delay_ms":1}"#).unwrap();
        assert!(matches!(both.message, Err(MessageError::Timing(_))));
        let negative = read(r#"{"body":"x","delay_ms":-1}"#).unwrap_err();
        assert!(
            negative.starts_with("invalid value: integer `-1`"),
            "{negative}"
        );
    }

    #[test]
    fn only_the_body_must_be_given() {
        let entry = read(r#" {"body":"x","tags":null,"keys":null,"properties":null} "#).unwrap();
        assert_eq!(entry.id, Value::Null);
        assert!(entry.message.is_ok());
        assert_eq!(read(r#"{"id":7,"body":"x"}"#).unwrap().id, 7);
    }

    #[test]
    fn a_body_of_any_bytes_comes_in_base64() {
        let entry = read(r#"{"body_base64":"AP8B"}"#).unwrap();
        assert_eq!(entry.body, vec![0, 255, 1]);
    }

    #[test]
    fn a_broken_rule_keeps_what_names_the_message() {
        let entry = read(r#"{"id":"a","body":"x","properties":{"KEYS":"y"}}"#).unwrap();
        assert_eq!(entry.id, "a");
        assert!(matches!(entry.message, Err(MessageError::Property(_))));
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "not a JSON object"),
            ("[\"a\",\"b\"]", "not a JSON object"),
            ("{\"body\":\"x\"", "EOF while parsing an object (column 11)"),
            ("{\"body\":\"x\"} {}", "trailing characters (column 14)"),
            (
                "{\"body\":1}",
                "invalid type: integer `1`, expected a string (column 9)",
            ),
            ("{\"id\":1}", "neither body nor body_base64"),
            (
                "{\"body\":\"x\",\"body_base64\":\"\"}",
                "both body and body_base64",
            ),
            (
                "{\"body\":\"x\",\"body\":\"y\"}",
                "duplicate field `body` (column 18)",
            ),
            (
                "{\"body\":\"x\",\"id\":[1]}",
                "id must be a string or a number (column 21)",
            ),
            (
                "{\"body\":\"x\",\"properties\":{\"a\":\"1\",\"a\":\"2\"}}",
                "property \"a\" twice (column 42)",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), reason, "{text}");
        }
        let error = read(r#"{"body_base64":"?"}"#).unwrap_err();
        assert!(error.starts_with("body_base64 is not base64: "), "{error}");
    }

    #[test]
    fn a_field_of_a_later_version_is_an_error_that_names_it() {
        let error = read(r#"{"body":"x","delay_seconds":5}"#).unwrap_err();
        assert!(
            error.starts_with("unknown field `delay_seconds`, expected one of `id`"),
            "{error}"
        );
    }
}
