//! Messages that a broker has stored: by key, and by place.

use crate::code::RequestCode;
use crate::header::{FieldSink, RequestHeader};

/// Header of `QUERY_MESSAGE`: the messages that a broker's index has under a key.
///
/// The key may be one of the message's keys or its message id (property `UNIQ_KEY`). The index keeps hashes, so an
/// answer may hold messages of other keys. The body holds the messages one after the other; without any the answer is
/// [`QUERY_NOT_FOUND`](crate::ResponseCode::QUERY_NOT_FOUND).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryMessageRequestHeader<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The key.
    pub key: &'a str,
    /// Most messages in the answer; brokers give 64 at most (Java: `maxMsgsNumBatch`).
    pub max_num: i32,
    /// Earliest time of storing, in milliseconds since 1970 by the broker's clock.
    pub begin_timestamp: i64,
    /// Latest time of storing.
    pub end_timestamp: i64,
    /// Whether the key is a message id. A broker then looks for as many as it sees fit.
    ///
    /// Brokers with ACL of 4.9.4 to 4.9.7 leave this field out when they check a signature, unlike all others.
    pub is_unique_key: bool,
}

impl<'a> QueryMessageRequestHeader<'a> {
    /// Asks for up to `max_num` messages of all times.
    #[must_use]
    pub const fn new(topic: &'a str, key: &'a str, max_num: i32) -> Self {
        Self {
            topic,
            key,
            max_num,
            begin_timestamp: 0,
            end_timestamp: i64::MAX,
            is_unique_key: false,
        }
    }

    /// Says that the key is a message id.
    #[must_use]
    pub const fn unique_key(mut self, is_unique_key: bool) -> Self {
        self.is_unique_key = is_unique_key;
        self
    }

    /// Sets the time of storing, in milliseconds since 1970, both ends included.
    #[must_use]
    pub const fn between(mut self, begin: i64, end: i64) -> Self {
        self.begin_timestamp = begin;
        self.end_timestamp = end;
        self
    }
}

impl RequestHeader for QueryMessageRequestHeader<'_> {
    fn code(&self) -> RequestCode {
        RequestCode::QUERY_MESSAGE
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        sink.text("topic", self.topic);
        sink.text("key", self.key);
        sink.integer("maxNum", i64::from(self.max_num));
        sink.integer("beginTimestamp", self.begin_timestamp);
        sink.integer("endTimestamp", self.end_timestamp);
        // What is not said is false.
        if self.is_unique_key {
            sink.boolean("_UNIQUE_KEY_QUERY", true);
        }
    }
}

/// Header of `VIEW_MESSAGE_BY_ID`: the message at a place of a broker's commit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ViewMessageRequestHeader<'a> {
    /// The topic, by which brokers of 5.x check the right to read; others take no notice of it.
    pub topic: &'a str,
    /// Offset in the commit log.
    pub offset: i64,
}

impl<'a> ViewMessageRequestHeader<'a> {
    /// Asks for the message of `topic` at `offset` of the commit log.
    #[must_use]
    pub const fn new(topic: &'a str, offset: i64) -> Self {
        Self { topic, offset }
    }

    /// Whether the words of a failure say that no message begins there. Java:
    /// `QueryMessageProcessor.viewMessageById`.
    #[must_use]
    pub fn is_not_found(remark: &str) -> bool {
        remark.starts_with("can not find message by the offset")
    }
}

impl RequestHeader for ViewMessageRequestHeader<'_> {
    fn code(&self) -> RequestCode {
        RequestCode::VIEW_MESSAGE_BY_ID
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        if !self.topic.is_empty() {
            sink.text("topic", self.topic);
        }
        sink.integer("offset", self.offset);
    }
}
