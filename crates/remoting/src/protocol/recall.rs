//! The request that takes a timer message back, and its answer.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use crate::code::RequestCode;
use crate::command::RemotingCommand;
use crate::frame::{Frame, FrameError};
use crate::header::{FieldSink, RequestHeader};
use crate::message::property::MSG_REGION;

/// Header of `RECALL_MESSAGE`, for brokers of 5.3 and later. Java: `RecallMessageRequestHeader`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecallMessageRequestHeader<'a> {
    /// The producer group.
    pub producer_group: &'a str,
    /// Name of the broker that holds the message.
    pub broker_name: &'a str,
    /// The topic, which must be that in the handle.
    pub topic: &'a str,
    /// The handle as the broker gave it.
    pub recall_handle: &'a str,
}

impl<'a> RecallMessageRequestHeader<'a> {
    /// Takes the message of a handle back.
    #[must_use]
    pub const fn new(
        producer_group: &'a str,
        broker_name: &'a str,
        topic: &'a str,
        recall_handle: &'a str,
    ) -> Self {
        Self {
            producer_group,
            broker_name,
            topic,
            recall_handle,
        }
    }
}

impl RequestHeader for RecallMessageRequestHeader<'_> {
    fn code(&self) -> RequestCode {
        RequestCode::RECALL_MESSAGE
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        sink.text("producerGroup", self.producer_group);
        sink.text("bname", self.broker_name);
        sink.text("topic", self.topic);
        sink.text("recallHandle", self.recall_handle);
    }
}

/// What a broker answers to a recall. Java: `RecallMessageResponseHeader`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecallMessageResponseHeader {
    /// The client's id of the message that was taken back.
    pub msg_id: Option<String>,
    /// Region of the broker, which one of 5.5 names in every answer, for message traces.
    pub region: Option<String>,
}

impl RecallMessageResponseHeader {
    /// Reads the fields of an answer.
    ///
    /// # Errors
    /// When the header is malformed.
    pub fn read(frame: &Frame) -> Result<Self, FrameError> {
        let answer = RemotingCommand::decode(frame.clone())?;
        Ok(Self {
            msg_id: answer.field("msgId").map(str::to_owned),
            region: answer.field(MSG_REGION).map(str::to_owned),
        })
    }
}
