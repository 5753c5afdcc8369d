//! [`Message`]: what a caller sends, checked as it is built.

pub mod batch;
mod clock;
pub mod compression;
pub mod half;
pub mod id;
pub mod lmq;
pub mod namespace;
pub mod properties;
pub mod property;
pub mod recall_handle;
mod request;
mod stored;
pub mod timing;
pub mod topic;
pub mod trace;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

pub use clock::{SystemClock, WallClock};
pub use compression::{CompressionError, CompressionType, Compressor};
pub use id::{MessageId, MessageIdGenerator, OffsetMessageId, OffsetMessageIdError};
pub use lmq::LmqError;
pub use namespace::{Namespace, NamespaceError};
pub use properties::Properties;
pub use property::PropertyError;
pub use recall_handle::{RecallHandle, RecallHandleError};
pub use stored::{MessageExt, StoredMessageError};
pub use timing::{Timing, TimingError, TimingLimits};
pub use topic::{GroupError, TopicError, validate_group, validate_topic_for_send};

use crate::byte_size::ByteSize;

/// Bytes of the property string that are left to the broker, which adds properties of its own
/// (region, trace switch, cluster) before it checks the limit: 512.
pub const DEFAULT_PROPERTY_MARGIN: usize = 512;

/// A message to send: topic, body, properties and flag.
///
/// Every rule is checked when the part is set, so that a `Message` at hand is one that a broker
/// can take, apart from the limits of [`check_limits`](Self::check_limits). Cloning copies no
/// body. `Debug` prints sizes, never the body or the value of a property.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    topic: Arc<str>,
    body: Bytes,
    properties: Properties,
    flag: i32,
    /// Whether the properties hold a sharding key, under either name: most messages have none,
    /// and every routing decision asks.
    is_keyed: bool,
    /// Whether the properties hold a time of delivery: most messages have none, and every send asks.
    is_timed: bool,
}

impl Message {
    /// A message for `topic` with the property `WAIT=true`, as in Java.
    ///
    /// # Errors
    /// When the topic is blank, longer than 127 characters, holds a character outside
    /// `^[%|a-zA-Z0-9_-]+$` or may not be sent to, or when the body is empty.
    pub fn new(topic: impl Into<Arc<str>>, body: impl Into<Bytes>) -> Result<Self, MessageError> {
        let topic = topic.into();
        let body = body.into();
        validate_topic_for_send(&topic)?;
        if body.is_empty() {
            return Err(MessageError::EmptyBody {
                topic: topic.as_ref().to_owned(),
            });
        }
        Ok(Self {
            topic,
            body,
            properties: Properties::of_new_message(),
            flag: 0,
            is_keyed: false,
            is_timed: false,
        })
    }

    /// Sets the tag that consumers filter by; none by default. Java: `setTags`.
    ///
    /// # Errors
    /// When it is blank, holds U+0001 or U+0002, or makes the properties too long.
    pub fn with_tags(mut self, tags: &str) -> Result<Self, MessageError> {
        self.properties.set(property::TAGS, tags)?;
        Ok(self)
    }

    /// Sets the keys by which the broker indexes the message; none by default. Java: `setKeys`.
    /// No keys at all removes those set before.
    ///
    /// # Errors
    /// When a key is empty or holds a space (which separates keys), U+0001 or U+0002, or when
    /// the properties become too long.
    pub fn with_keys<I, S>(mut self, keys: I) -> Result<Self, MessageError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let mut joined = String::new();
        for (index, key) in keys.into_iter().enumerate() {
            let key = key.as_ref();
            if key.trim().is_empty() {
                return Err(MessageError::EmptyKey { index });
            }
            if key.contains(' ') {
                return Err(MessageError::SpaceInKey { index });
            }
            if !joined.is_empty() {
                joined.push(' ');
            }
            joined.push_str(key);
        }
        if joined.is_empty() {
            self.properties.remove(property::KEYS);
        } else {
            self.properties.set(property::KEYS, &joined)?;
        }
        Ok(self)
    }

    /// Sets the key whose messages stay in one queue, in order; none by default.
    /// It travels as `__SHARDINGKEY`, as in Java.
    ///
    /// # Errors
    /// When it is blank, holds U+0001 or U+0002, or makes the properties too long.
    pub fn with_sharding_key(mut self, key: &str) -> Result<Self, MessageError> {
        self.properties.set(property::SHARDING_KEY, key)?;
        self.is_keyed = true;
        Ok(self)
    }

    /// Sets a property of the caller's own; a value set before is replaced. Java:
    /// `putUserProperty`.
    ///
    /// # Errors
    /// When the name is reserved, name or value is blank or holds U+0001 or U+0002, or the
    /// properties become longer than 32767 bytes encoded.
    pub fn with_property(mut self, name: &str, value: &str) -> Result<Self, MessageError> {
        if property::is_reserved(name) {
            return Err(MessageError::Property(PropertyError::Reserved {
                name: name.to_owned(),
            }));
        }
        self.properties.set(name, value)?;
        self.is_keyed |= [property::SHARDING_KEY, property::SHARDING_KEY_ALIAS].contains(&name);
        Ok(self)
    }

    /// Puts another body in its place.
    ///
    /// # Errors
    /// When it is empty.
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Result<Self, MessageError> {
        let body = body.into();
        if body.is_empty() {
            let topic = self.topic.as_ref().to_owned();
            return Err(MessageError::EmptyBody { topic });
        }
        self.body = body;
        Ok(self)
    }

    /// Sets the flag, a number that brokers hand to consumers unread; 0 by default.
    #[must_use]
    pub fn with_flag(mut self, flag: i32) -> Self {
        self.flag = flag;
        self
    }

    /// Whether the broker answers only once the message is flushed and replicated as it is set
    /// up to do; `true` by default. Java: `setWaitStoreMsgOK`.
    #[must_use]
    pub fn with_wait_store_msg_ok(mut self, wait: bool) -> Self {
        self.properties.set_wait(wait);
        self
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The topic, to share without copying.
    #[must_use]
    pub fn topic_shared(&self) -> &Arc<str> {
        &self.topic
    }

    /// The body; never empty.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The flag.
    #[must_use]
    pub fn flag(&self) -> i32 {
        self.flag
    }

    /// The tag.
    #[must_use]
    pub fn tags(&self) -> Option<&str> {
        self.properties.get(property::TAGS)
    }

    /// The keys, in the order given.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.properties
            .get(property::KEYS)
            .unwrap_or_default()
            .split(' ')
            .filter(|key| !key.is_empty())
    }

    /// The sharding key: `__SHARDINGKEY`, else `SHARDING_KEY`, the name that pyrocketmq and the
    /// Go client use.
    #[must_use]
    pub fn sharding_key(&self) -> Option<&str> {
        if !self.is_keyed {
            return None;
        }
        self.properties
            .get(property::SHARDING_KEY)
            .or_else(|| self.properties.get(property::SHARDING_KEY_ALIAS))
    }

    /// The value of a property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name)
    }

    /// All properties, the producer's own included.
    #[must_use]
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// Checks the limits that depend on settings: the body, and the encoded properties with
    /// `property_margin` bytes (default [`DEFAULT_PROPERTY_MARGIN`]) left to the broker and to the
    /// message id.
    ///
    /// # Errors
    /// The limit that is exceeded.
    pub fn check_limits(
        &self,
        max_message_size: ByteSize,
        property_margin: usize,
    ) -> Result<(), MessageError> {
        if self.body.len() > max_message_size.as_usize() {
            return Err(MessageError::BodyTooLarge {
                size: self.body.len(),
                limit: max_message_size,
            });
        }
        let limit = property::MAX_PROPERTIES_LENGTH.saturating_sub(property_margin);
        if self.properties.wire_len() > limit {
            return Err(MessageError::PropertiesTooLong {
                length: self.properties.wire_len(),
                limit,
                margin: property_margin,
            });
        }
        Ok(())
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic)
            .field("body_len", &self.body.len())
            .field("properties", &self.properties)
            .field("flag", &self.flag)
            .finish()
    }
}

/// Why a message is refused. Bodies and property values never appear in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The body is over the limit.
    #[error("the body has {size} bytes, at most {} ({limit}) are allowed (setting max_message_size)", limit.as_u64())]
    BodyTooLarge {
        /// Size of the body in bytes.
        size: usize,
        /// The limit.
        limit: ByteSize,
    },
    /// A light queue is refused.
    #[error(transparent)]
    Lmq(#[from] LmqError),
    /// The body is empty, which brokers refuse.
    #[error("the body of the message for topic {topic:?} is empty")]
    EmptyBody {
        /// The topic.
        topic: String,
    },
    /// A key is empty or white space.
    #[error("key number {} is blank", .index + 1)]
    EmptyKey {
        /// Position of the key, from 0.
        index: usize,
    },
    /// The properties leave no room for those that the broker adds.
    #[error(
        "the properties take {length} bytes encoded, at most {limit} are allowed: 32767 less a margin of {margin} for what the broker adds"
    )]
    PropertiesTooLong {
        /// Encoded length in bytes.
        length: usize,
        /// Longest allowed, in bytes.
        limit: usize,
        /// The margin, in bytes.
        margin: usize,
    },
    /// A property is refused.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// A key holds a space, which separates keys.
    #[error("key number {} holds a space, which separates keys", .index + 1)]
    SpaceInKey {
        /// Position of the key, from 0.
        index: usize,
    },
    /// The time of delivery is refused.
    #[error(transparent)]
    Timing(#[from] TimingError),
    /// The topic is refused.
    #[error(transparent)]
    Topic(#[from] TopicError),
}

#[cfg(test)]
mod tests {
    use super::{Message, MessageError, PropertyError, TopicError};
    use crate::byte_size::ByteSize;

    fn message() -> Message {
        Message::new("orders", "paid").unwrap()
    }

    #[test]
    fn a_new_message_waits_for_the_store_as_in_java() {
        let m = message();
        assert_eq!(m.properties().as_wire(), "WAIT\u{1}true\u{2}");
        let m = m.with_wait_store_msg_ok(false);
        assert_eq!(m.property("WAIT"), Some("false"));
    }

    #[test]
    fn bad_topics_and_empty_bodies_are_refused() {
        assert!(matches!(
            Message::new(" ", "x"),
            Err(MessageError::Topic(TopicError::Blank))
        ));
        assert!(matches!(
            Message::new("t", ""),
            Err(MessageError::EmptyBody { .. })
        ));
    }

    #[test]
    fn keys_are_joined_and_read_back() {
        let m = message().with_keys(["42", "a-b"]).unwrap();
        assert_eq!(m.property("KEYS"), Some("42 a-b"));
        assert_eq!(m.keys().collect::<Vec<_>>(), ["42", "a-b"]);
        assert_eq!(message().keys().count(), 0);
        assert_eq!(
            message().with_keys(["a b"]),
            Err(MessageError::SpaceInKey { index: 0 })
        );
        assert_eq!(
            message().with_keys(["a", ""]),
            Err(MessageError::EmptyKey { index: 1 })
        );
        assert!(matches!(
            message().with_keys(["a\u{1}"]),
            Err(MessageError::Property(
                PropertyError::SeparatorInValue { .. }
            ))
        ));
        let m = m.with_keys(Vec::<String>::new()).unwrap();
        assert_eq!(m.property("KEYS"), None);
    }

    #[test]
    fn the_sharding_key_is_read_under_both_names_and_written_under_javas() {
        let m = message().with_property("SHARDING_KEY", "old").unwrap();
        assert_eq!(m.sharding_key(), Some("old"));
        let m = m.with_sharding_key("user-7").unwrap();
        assert_eq!(m.sharding_key(), Some("user-7"));
        assert_eq!(m.property("__SHARDINGKEY"), Some("user-7"));
    }

    #[test]
    fn reserved_names_are_refused() {
        assert!(matches!(
            message().with_property("UNIQ_KEY", "x"),
            Err(MessageError::Property(PropertyError::Reserved { .. }))
        ));
    }

    #[test]
    fn limits_name_what_is_exceeded() {
        let limit = ByteSize::mib(4);
        let exact = Message::new("t", vec![0; 4 << 20]).unwrap();
        assert_eq!(exact.check_limits(limit, 512), Ok(()));
        let over = Message::new("t", vec![0; (4 << 20) + 1]).unwrap();
        let error = over.check_limits(limit, 512).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the body has 4194305 bytes, at most 4194304 (4 MiB) are allowed (setting max_message_size)"
        );
        // WAIT takes 10 bytes, the property 3 beside its value.
        let exact = message()
            .with_property("k", &"v".repeat(32_767 - 512 - 13))
            .unwrap();
        assert_eq!(exact.check_limits(limit, 512), Ok(()));
        let over = message()
            .with_property("k", &"v".repeat(32_767 - 512 - 12))
            .unwrap();
        assert!(matches!(
            over.check_limits(limit, 512),
            Err(MessageError::PropertiesTooLong {
                length: 32_256,
                limit: 32_255,
                margin: 512
            })
        ));
        assert_eq!(over.check_limits(limit, 0), Ok(()));
    }

    #[test]
    fn debug_hides_body_and_values() {
        let m = message().with_property("card", "4111").unwrap();
        let text = format!("{m:?}");
        assert!(text.contains("orders") && text.contains("body_len: 4") && text.contains("card"));
        assert!(!text.contains("paid") && !text.contains("4111"), "{text}");
    }
}
