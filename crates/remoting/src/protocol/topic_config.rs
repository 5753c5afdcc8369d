//! Settings of a topic on a broker: reading them, and creating or changing a topic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lenient;
use super::route::{Permission, RouteParseError, parse_tolerant};
use crate::code::RequestCode;
use crate::header::{FieldSink, RequestHeader};

/// Topic whose settings topics created on demand take over. Java: `AUTO_CREATE_TOPIC_KEY_TOPIC`.
pub const DEFAULT_TOPIC: &str = "TBW102";

/// A topic as one broker has it. Java: `TopicConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct TopicConfig {
    /// Name of the topic.
    #[serde(deserialize_with = "lenient::or_default")]
    pub topic_name: String,
    /// Queues that consumers may read.
    #[serde(deserialize_with = "lenient::integer")]
    pub read_queue_nums: i32,
    /// Queues that producers may write.
    #[serde(deserialize_with = "lenient::integer")]
    pub write_queue_nums: i32,
    /// What is allowed.
    pub perm: Permission,
    /// Flags of the topic (bits of Java's `TopicSysFlag`).
    #[serde(deserialize_with = "lenient::integer")]
    pub topic_sys_flag: i32,
    /// Whether the topic is marked as ordered.
    #[serde(deserialize_with = "lenient::or_default")]
    pub order: bool,
    /// Attributes, such as `message.type` = `DELAY`; 5.x only.
    #[serde(deserialize_with = "lenient::or_default")]
    pub attributes: BTreeMap<String, String>,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self::new("", 0)
    }
}

impl TopicConfig {
    /// A topic with `queues` queues that may be written and read.
    #[must_use]
    pub fn new(topic_name: impl Into<String>, queues: i32) -> Self {
        Self {
            topic_name: topic_name.into(),
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm: Permission(Permission::READ.0 | Permission::WRITE.0),
            topic_sys_flag: 0,
            order: false,
            attributes: BTreeMap::new(),
        }
    }

    /// Reads the body of an answer to `GET_TOPIC_CONFIG`, in either form of JSON.
    ///
    /// # Errors
    /// When the bytes are no such body.
    pub fn parse(body: &[u8]) -> Result<Self, RouteParseError> {
        parse_tolerant(body)
    }
}

/// Header of `GET_TOPIC_CONFIG`. Brokers of 4.x do not know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetTopicConfigRequestHeader<'a> {
    /// The topic.
    pub topic: &'a str,
}

impl<'a> GetTopicConfigRequestHeader<'a> {
    /// Asks for the settings of `topic`.
    #[must_use]
    pub const fn new(topic: &'a str) -> Self {
        Self { topic }
    }
}

impl RequestHeader for GetTopicConfigRequestHeader<'_> {
    fn code(&self) -> RequestCode {
        RequestCode::GET_TOPIC_CONFIG
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        sink.text("topic", self.topic);
    }
}

/// Header of `UPDATE_AND_CREATE_TOPIC`. Java: `CreateTopicRequestHeader`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateTopicRequestHeader<'a> {
    /// The settings that the topic shall have; those of a topic that exists are replaced.
    ///
    /// Attributes are written as changes: `+name` adds one that is new or changes it, `-name` removes it.
    pub config: &'a TopicConfig,
    /// Not used by brokers, but it must be there.
    pub default_topic: &'a str,
}

impl<'a> CreateTopicRequestHeader<'a> {
    /// Creates or changes the topic of these settings.
    #[must_use]
    pub const fn new(config: &'a TopicConfig) -> Self {
        Self {
            config,
            default_topic: DEFAULT_TOPIC,
        }
    }
}

impl RequestHeader for CreateTopicRequestHeader<'_> {
    fn code(&self) -> RequestCode {
        RequestCode::UPDATE_AND_CREATE_TOPIC
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        let config = self.config;
        sink.text("topic", &config.topic_name);
        sink.text("defaultTopic", self.default_topic);
        sink.integer("readQueueNums", i64::from(config.read_queue_nums));
        sink.integer("writeQueueNums", i64::from(config.write_queue_nums));
        sink.integer("perm", i64::from(config.perm.0));
        // Tags by their hash: the other kind is for filter servers, which are gone.
        sink.text("topicFilterType", "SINGLE_TAG");
        sink.integer("topicSysFlag", i64::from(config.topic_sys_flag));
        sink.boolean("order", config.order);
        if !config.attributes.is_empty() {
            // Java: `AttributeParser.parseToString`.
            let mut parts = Vec::with_capacity(config.attributes.len().saturating_mul(4));
            for (name, value) in &config.attributes {
                if !parts.is_empty() {
                    parts.push(",");
                }
                parts.push(name.as_str());
                if !name.starts_with('-') {
                    parts.push("=");
                    parts.push(value.as_str());
                }
            }
            sink.text_parts("attributes", &parts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CreateTopicRequestHeader, TopicConfig};
    use crate::header::{FieldSink, RequestHeader as _};
    use crate::protocol::Permission;

    #[derive(Default)]
    struct Fields(Vec<(&'static str, String)>);

    impl FieldSink for Fields {
        fn text(&mut self, name: &'static str, value: &str) {
            self.0.push((name, value.to_owned()));
        }

        fn text_parts(&mut self, name: &'static str, parts: &[&str]) {
            self.0.push((name, parts.concat()));
        }

        fn integer(&mut self, name: &'static str, value: i64) {
            self.0.push((name, value.to_string()));
        }

        fn added(&mut self, _: &str, _: &str) {
            unreachable!("hooks add such fields");
        }
    }

    #[test]
    fn attributes_are_written_as_java_writes_them() {
        let mut config = TopicConfig::new("T", 3);
        let written = |config: &TopicConfig| {
            let mut fields = Fields::default();
            CreateTopicRequestHeader::new(config).write_fields(&mut fields);
            fields.0
        };
        assert!(
            written(&config)
                .iter()
                .all(|(name, _)| *name != "attributes")
        );
        config
            .attributes
            .insert("+message.type".into(), "DELAY".into());
        config
            .attributes
            .insert("-cleanup.policy".into(), String::new());
        let fields = written(&config);
        let attributes = (
            "attributes",
            "+message.type=DELAY,-cleanup.policy".to_owned(),
        );
        assert!(fields.contains(&attributes), "{fields:?}");
        assert!(fields.contains(&("perm", "6".to_owned())), "{fields:?}");
    }

    #[test]
    fn a_config_reads_back_what_it_wrote() {
        let body = br#"{"attributes":{"message.type":"NORMAL"},"order":false,"perm":6,"readQueueNums":2,"topicFilterType":"SINGLE_TAG","topicName":"probe","topicSysFlag":0,"writeQueueNums":2}"#;
        let config = TopicConfig::parse(body).unwrap();
        assert_eq!(config.topic_name, "probe");
        assert_eq!(config.perm, Permission(6));
        assert_eq!(config.attributes["message.type"], "NORMAL");
        let json = serde_json::to_vec(&config).unwrap();
        assert_eq!(TopicConfig::parse(&json), Ok(config));
    }
}
