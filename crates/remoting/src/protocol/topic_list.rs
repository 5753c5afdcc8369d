//! Names of all topics that a name server knows.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::lenient;
use super::route::{RouteParseError, parse_tolerant};

/// The answer to `GET_ALL_TOPIC_LIST_FROM_NAMESERVER`, a request without fields. Java: `TopicList`.
///
/// It holds system topics as well, and one topic per broker and per cluster, of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct TopicList {
    /// The names.
    #[serde(rename = "topicList", deserialize_with = "lenient::or_default")]
    pub topics: BTreeSet<String>,
}

impl TopicList {
    /// Reads the body of an answer, in either form of JSON.
    ///
    /// # Errors
    /// When the bytes are no such body.
    pub fn parse(body: &[u8]) -> Result<Self, RouteParseError> {
        parse_tolerant(body)
    }
}

#[cfg(test)]
mod tests {
    use super::TopicList;

    #[test]
    fn names_are_read() {
        let list = TopicList::parse(br#"{"brokerAddr":null,"topicList":["b","a","b"]}"#).unwrap();
        assert_eq!(list.topics.into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(TopicList::parse(b"{}"), Ok(TopicList::default()));
        assert!(TopicList::parse(b"null").is_err());
    }
}
