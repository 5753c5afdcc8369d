//! [`Namespace`]: topics and groups of one tenant, kept apart by a prefix of their names.
//!
//! Java: `NamespaceUtil`, `ClientConfig.withNamespace`. Namespaces of the second kind are no part of names but fields of
//! every request ([`ConnectionOptions::namespace`](crate::ConnectionOptions::namespace)).

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::Message;
use super::property::INSTANCE_ID;

/// Longest name of a namespace, in characters, so that there is room for the names in it.
pub const NAMESPACE_MAX_LENGTH: usize = 64;

/// Stands between the namespace and the name.
const SEPARATOR: char = '%';

/// Prefixes that stay in front of the namespace: topics of messages that are consumed again, or were given up.
const OUTER_PREFIXES: [&str; 2] = ["%RETRY%", "%DLQ%"];

/// Topics of the system beside those that begin with `rmq_sys_`, which belong to no namespace. Java:
/// `TopicValidator.SYSTEM_TOPIC_SET`.
const SYSTEM_TOPICS: [&str; 10] = [
    "BenchmarkTest",
    "CHECKPOINT_TOPIC",
    "OFFSET_MOVED_EVENT",
    "RMQ_SYS_TRACE_TOPIC",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "SCHEDULE_TOPIC_XXXX",
    "SELF_TEST_TOPIC",
    "TBW102",
    "TRANS_CHECK_MAX_TIME_TOPIC",
];

/// A namespace of the first kind: a prefix of topics and groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    name: Arc<str>,
}

impl Namespace {
    /// The namespace of this name.
    ///
    /// # Errors
    /// When it is empty, too long, or holds a character outside `^[|a-zA-Z0-9_-]+$`.
    pub fn new(name: impl Into<Arc<str>>) -> Result<Self, NamespaceError> {
        let name = name.into();
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'|' | b'_' | b'-');
        if name.is_empty() {
            return Err(NamespaceError::Empty);
        }
        if let Some(character) = name.chars().find(|c| !u8::try_from(*c).is_ok_and(legal)) {
            return Err(NamespaceError::IllegalCharacter { character });
        }
        if name.len() > NAMESPACE_MAX_LENGTH {
            return Err(NamespaceError::TooLong { length: name.len() });
        }
        Ok(Self { name })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The name of a topic or group as brokers know it. Names of the system, and those that are in the namespace
    /// already, stay as they are. Java: `NamespaceUtil.wrapNamespace`.
    #[must_use]
    pub fn wrap(&self, plain: &str) -> Arc<str> {
        let (outer, inner) = split(plain);
        if plain.is_empty() || is_system(plain) || self.strip(inner).is_some() {
            return Arc::from(plain);
        }
        Arc::from(format!("{outer}{}{SEPARATOR}{inner}", self.name))
    }

    /// The name as the program knows it, if it is in this namespace. Java: `NamespaceUtil.withoutNamespace`.
    #[must_use]
    pub fn unwrap(&self, wrapped: &str) -> Arc<str> {
        let (outer, inner) = split(wrapped);
        match self.strip(inner) {
            Some(plain) => Arc::from(format!("{outer}{plain}")),
            None => Arc::from(wrapped),
        }
    }

    /// What follows the namespace.
    fn strip<'a>(&self, inner: &'a str) -> Option<&'a str> {
        inner.strip_prefix(&*self.name)?.strip_prefix(SEPARATOR)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Message {
    /// The message for the topic of that name in a namespace, which it names as `INSTANCE_ID`, as Java's does. The
    /// limits of topic and properties are left to the check before sending.
    #[must_use]
    pub fn in_namespace(&self, namespace: &Namespace) -> Self {
        let mut message = self.clone();
        message.topic = namespace.wrap(&self.topic);
        message.properties.put(INSTANCE_ID, &namespace.name);
        message
    }
}

/// Whether a name belongs to the system and so to no namespace.
fn is_system(name: &str) -> bool {
    name.starts_with("rmq_sys_")
        || name.starts_with("CID_RMQ_SYS_")
        || SYSTEM_TOPICS.binary_search(&name).is_ok()
}

/// A prefix that stays in front, and the rest.
fn split(name: &str) -> (&'static str, &str) {
    let found = OUTER_PREFIXES
        .into_iter()
        .find_map(|prefix| Some((prefix, name.strip_prefix(prefix)?)));
    found.unwrap_or(("", name))
}

/// Why a name is none for a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// It is empty.
    #[error("the namespace is empty")]
    Empty,
    /// It holds a character that namespaces may not hold.
    #[error("the namespace holds {character:?}, allowed is ^[|a-zA-Z0-9_-]+$")]
    IllegalCharacter {
        /// The first such character.
        character: char,
    },
    /// It is too long.
    #[error("the namespace has {length} characters, at most {NAMESPACE_MAX_LENGTH} are allowed")]
    TooLong {
        /// Its length in characters.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::{Namespace, NamespaceError, SYSTEM_TOPICS};
    use crate::message::Message;

    #[test]
    fn the_list_of_system_topics_is_sorted_for_the_binary_search() {
        assert!(SYSTEM_TOPICS.is_sorted());
    }

    #[test]
    fn a_name_is_wrapped_once_and_unwrapped_by_its_own_namespace_only() {
        let ns = Namespace::new("MQ_INST_1").unwrap();
        assert_eq!(&*ns.wrap("orders"), "MQ_INST_1%orders");
        assert_eq!(&*ns.wrap("MQ_INST_1%orders"), "MQ_INST_1%orders");
        assert_eq!(&*ns.unwrap("MQ_INST_1%orders"), "orders");
        assert_eq!(&*ns.unwrap("MQ_INST_2%orders"), "MQ_INST_2%orders");
        assert_eq!(&*ns.unwrap("MQ_INST_1"), "MQ_INST_1");
    }

    #[test]
    fn a_message_in_a_namespace_names_it() {
        let ns = Namespace::new("ns").unwrap();
        let plain = Message::new("orders", "x").unwrap();
        let message = plain.in_namespace(&ns);
        assert_eq!(message.topic(), "ns%orders");
        assert_eq!(message.property("INSTANCE_ID"), Some("ns"));
        assert_eq!(message.in_namespace(&ns), message);
        assert_eq!(plain.topic(), "orders");
    }

    #[test]
    fn names_that_would_be_read_otherwise_are_refused() {
        assert_eq!(Namespace::new(""), Err(NamespaceError::Empty));
        assert_eq!(
            Namespace::new("a%b"),
            Err(NamespaceError::IllegalCharacter { character: '%' })
        );
        assert_eq!(
            Namespace::new("n".repeat(65)),
            Err(NamespaceError::TooLong { length: 65 })
        );
    }
}
