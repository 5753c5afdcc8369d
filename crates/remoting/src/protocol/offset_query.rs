//! Offsets of a queue: the smallest, the largest, and by time.

use crate::code::RequestCode;
use crate::command::RemotingCommand;
use crate::frame::{Frame, FrameError};
use crate::header::{FieldSink, RequestHeader};

/// An end of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a queue has two ends")]
pub enum QueueEnd {
    /// Where its oldest message is.
    Oldest,
    /// Where its next message will be.
    Next,
}

/// Header of `GET_MIN_OFFSET` and `GET_MAX_OFFSET`: where a queue begins and ends. Java: `GetMinOffsetRequestHeader` and
/// `GetMaxOffsetRequestHeader`, which have the same fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetOffsetRequestHeader<'a> {
    /// The end that is asked for, which is the code of the request.
    pub end: QueueEnd,
    /// Name of the queue's broker, by which a proxy knows whom to ask (Java: `RpcRequestHeader.bname`).
    pub broker_name: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The queue.
    pub queue_id: i32,
}

impl<'a> GetOffsetRequestHeader<'a> {
    /// Asks for an end of a queue.
    #[must_use]
    pub const fn new(end: QueueEnd, broker_name: &'a str, topic: &'a str, queue_id: i32) -> Self {
        Self {
            end,
            broker_name,
            topic,
            queue_id,
        }
    }
}

impl RequestHeader for GetOffsetRequestHeader<'_> {
    fn code(&self) -> RequestCode {
        match self.end {
            QueueEnd::Oldest => RequestCode::GET_MIN_OFFSET,
            QueueEnd::Next => RequestCode::GET_MAX_OFFSET,
        }
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        sink.text("bname", self.broker_name);
        sink.text("topic", self.topic);
        sink.integer("queueId", i64::from(self.queue_id));
    }
}

/// Which of several messages of one moment is meant. Java: `BoundaryType`; brokers before 5.2 take no notice of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Boundary {
    /// The first one.
    #[default]
    Lower,
    /// The last one.
    Upper,
}

/// Header of `SEARCH_OFFSET_BY_TIMESTAMP`: the offset of the first message that was stored at a time or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchOffsetRequestHeader<'a> {
    /// Name of the queue's broker, by which a proxy knows whom to ask (Java: `RpcRequestHeader.bname`).
    pub broker_name: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The queue.
    pub queue_id: i32,
    /// The time, in milliseconds since 1970 by the broker's clock.
    pub timestamp: i64,
    /// Which of several messages of that moment.
    pub boundary: Boundary,
}

impl<'a> SearchOffsetRequestHeader<'a> {
    /// Asks for the offset at a time in milliseconds since 1970.
    #[must_use]
    pub const fn new(
        broker_name: &'a str,
        topic: &'a str,
        queue_id: i32,
        timestamp: i64,
        boundary: Boundary,
    ) -> Self {
        Self {
            broker_name,
            topic,
            queue_id,
            timestamp,
            boundary,
        }
    }
}

impl RequestHeader for SearchOffsetRequestHeader<'_> {
    fn code(&self) -> RequestCode {
        RequestCode::SEARCH_OFFSET_BY_TIMESTAMP
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        sink.text("bname", self.broker_name);
        sink.text("topic", self.topic);
        sink.integer("queueId", i64::from(self.queue_id));
        sink.integer("timestamp", self.timestamp);
        // What is not said is the lower one.
        if self.boundary == Boundary::Upper {
            sink.text("boundaryType", "UPPER");
        }
    }
}

/// The offset in an answer to one of these requests. Java: `GetMaxOffsetResponseHeader` and the like.
///
/// # Errors
/// When the header is malformed, or the offset is absent or no number.
pub fn read_offset(frame: &Frame) -> Result<i64, FrameError> {
    let answer = RemotingCommand::decode(frame.clone())?;
    let text = answer.field("offset").ok_or(FrameError::InvalidField {
        name: "offset",
        problem: "missing",
    })?;
    text.parse().map_err(|_| FrameError::InvalidField {
        name: "offset",
        problem: "no number in its range",
    })
}
