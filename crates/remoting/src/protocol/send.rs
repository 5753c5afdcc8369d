//! Headers of a send and of its answer.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::borrow::Cow;
use std::str::FromStr;

use super::PreparedSend;
use crate::code::RequestCode;
use crate::command::visit_fields;
use crate::frame::{Frame, FrameError};
use crate::header::{FieldSink, RequestHeader};
use crate::message::property;
use crate::message::topic::AUTO_CREATE_TOPIC;

/// Queues of a topic that a broker creates on demand, as in Java: 4.
pub const DEFAULT_TOPIC_QUEUE_NUMS: i32 = 4;

/// The beginning of the property that holds the id.
const UNIQ_KEY_IS: &str = "UNIQ_KEY\u{1}";

/// Region of a broker that names none.
const DEFAULT_REGION: &str = "DefaultRegion";

/// Header of a send, in the form with one-letter names. Java: `SendMessageRequestHeaderV2`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SendMessageRequestHeader<'a> {
    /// Code of the request: `SEND_MESSAGE_V2` by default.
    pub code: RequestCode,
    /// The producer group (`a`).
    pub producer_group: &'a str,
    /// The topic (`b`).
    pub topic: &'a str,
    /// Topic whose settings a topic created on demand takes (`c`): `TBW102` by default.
    pub default_topic: &'a str,
    /// Queues of a topic created on demand (`d`): 4 by default.
    pub default_topic_queue_nums: i32,
    /// The queue (`e`).
    pub queue_id: i32,
    /// What is done to the body (`f`): 0 by default.
    pub sys_flag: i32,
    /// When the message was made, in milliseconds since 1970 (`g`).
    pub born_timestamp: i64,
    /// Flag of the message (`h`): 0 by default.
    pub flag: i32,
    /// Property string of the message (`i`): empty by default.
    pub properties: &'a str,
    /// Id that is added to the properties as `UNIQ_KEY`; none by default.
    pub unique_key: Option<&'a str>,
    /// How often consumers have tried (`j`): 0 by default.
    pub reconsume_times: i32,
    /// Whether the producer works for one unit (`k`): no by default.
    pub unit_mode: bool,
    /// How often consumers may try (`l`); absent by default.
    pub max_reconsume_times: Option<i32>,
    /// Whether the body is a batch (`m`): no by default.
    pub batch: bool,
    /// Name of the broker (`n`); absent by default.
    pub broker_name: Option<&'a str>,
    /// What was encoded beforehand; nothing by default. It saves work and changes no byte.
    pub prepared: Option<&'a PreparedSend>,
}

impl<'a> SendMessageRequestHeader<'a> {
    /// The header of a single message for one queue, the rest as documented at each field.
    #[must_use]
    pub const fn new(
        producer_group: &'a str,
        topic: &'a str,
        queue_id: i32,
        born_timestamp: i64,
    ) -> Self {
        Self {
            code: RequestCode::SEND_MESSAGE_V2,
            producer_group,
            topic,
            default_topic: AUTO_CREATE_TOPIC,
            default_topic_queue_nums: DEFAULT_TOPIC_QUEUE_NUMS,
            queue_id,
            sys_flag: 0,
            born_timestamp,
            flag: 0,
            properties: "",
            unique_key: None,
            reconsume_times: 0,
            unit_mode: false,
            max_reconsume_times: None,
            batch: false,
            broker_name: None,
            prepared: None,
        }
    }

    /// The fields before those that each message has of its own.
    pub(super) fn write_before<S: FieldSink>(&self, sink: &mut S) {
        sink.text("a", self.producer_group);
        sink.text("b", self.topic);
        sink.text("c", self.default_topic);
        sink.integer("d", i64::from(self.default_topic_queue_nums));
        sink.integer("e", i64::from(self.queue_id));
        sink.integer("f", i64::from(self.sys_flag));
    }

    /// The fields that each message has of its own.
    #[inline]
    fn write_own<S: FieldSink>(&self, sink: &mut S) {
        sink.integer("g", self.born_timestamp);
        sink.integer("h", i64::from(self.flag));
        self.write_properties("i", sink);
    }

    /// The fields after those.
    pub(super) fn write_after<S: FieldSink>(&self, sink: &mut S) {
        sink.integer("j", i64::from(self.reconsume_times));
        sink.boolean("k", self.unit_mode);
        if let Some(times) = self.max_reconsume_times {
            sink.integer("l", i64::from(times));
        }
        sink.boolean("m", self.batch);
        if let Some(name) = self.broker_name {
            sink.text("n", name);
        }
    }

    fn write_properties<S: FieldSink>(&self, name: &'static str, sink: &mut S) {
        match self.unique_key {
            Some(id) => {
                sink.text_parts(name, &[self.properties, UNIQ_KEY_IS, id, "\u{2}"]);
            }
            // An empty value would be read as null on the other side.
            None if self.properties.is_empty() => {}
            None => sink.text(name, self.properties),
        }
    }
}

impl RequestHeader for SendMessageRequestHeader<'_> {
    fn code(&self) -> RequestCode {
        self.code
    }

    #[inline]
    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        let prepared = self.prepared.and_then(|prepared| prepared.fields(self));
        match prepared {
            Some((before, after)) if sink.encoded(before) => {
                self.write_own(sink);
                sink.encoded(after);
            }
            _ => {
                self.write_before(sink);
                self.write_own(sink);
                self.write_after(sink);
            }
        }
    }
}

/// The same header with long names, code `SEND_MESSAGE` (10). Java: `SendMessageRequestHeader`.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "another way to write the header inside"
)]
pub struct SendMessageRequestHeaderV1<'a>(pub SendMessageRequestHeader<'a>);

impl RequestHeader for SendMessageRequestHeaderV1<'_> {
    fn code(&self) -> RequestCode {
        RequestCode::SEND_MESSAGE
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        let header = &self.0;
        sink.text("producerGroup", header.producer_group);
        sink.text("topic", header.topic);
        sink.text("defaultTopic", header.default_topic);
        sink.integer(
            "defaultTopicQueueNums",
            i64::from(header.default_topic_queue_nums),
        );
        sink.integer("queueId", i64::from(header.queue_id));
        sink.integer("sysFlag", i64::from(header.sys_flag));
        sink.integer("bornTimestamp", header.born_timestamp);
        sink.integer("flag", i64::from(header.flag));
        header.write_properties("properties", sink);
        sink.integer("reconsumeTimes", i64::from(header.reconsume_times));
        sink.boolean("unitMode", header.unit_mode);
        sink.boolean("batch", header.batch);
        if let Some(times) = header.max_reconsume_times {
            sink.integer("maxReconsumeTimes", i64::from(times));
        }
        if let Some(name) = header.broker_name {
            sink.text("bname", name);
        }
    }
}

/// What a broker says about a message that it stored. Java: `SendMessageResponseHeader`.
///
/// It borrows from the frame, so that reading it allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendMessageResponseHeader<'a> {
    /// Where the broker stored the message, see
    /// [`OffsetMessageId`](crate::message::OffsetMessageId); several, separated by commas, for a
    /// batch. Some servers leave it out.
    pub msg_id: Option<Cow<'a, str>>,
    /// The queue.
    pub queue_id: i32,
    /// Offset in the queue.
    pub queue_offset: i64,
    /// Id to end a transaction with; 5.x brokers send it for every message.
    pub transaction_id: Option<Cow<'a, str>>,
    /// Region of the broker; `DefaultRegion` when it names none.
    pub region: Cow<'a, str>,
    /// Whether the broker wants the message traced; unless it says `false`, it does.
    pub trace_on: bool,
    /// What the message can be taken back by, see [`RecallHandle`](crate::message::RecallHandle); brokers of 5.3 and
    /// later give it for timer messages.
    pub recall_handle: Option<Cow<'a, str>>,
}

impl<'a> SendMessageResponseHeader<'a> {
    /// Reads the fields of a receipt from the header of an answer.
    ///
    /// # Errors
    /// When the header is malformed, or the queue or the offset is absent or no number.
    pub fn read(frame: &'a Frame) -> Result<Self, FrameError> {
        let mut fields = Fields::default();
        visit_fields(frame, &mut fields, Fields::set)?;
        Ok(Self {
            msg_id: text("msgId", fields.msg_id)?,
            queue_id: number("queueId", fields.queue_id)?,
            queue_offset: number("queueOffset", fields.queue_offset)?,
            transaction_id: text("transactionId", fields.transaction_id)?,
            region: text(property::MSG_REGION, fields.region)?
                .filter(|region| !region.is_empty())
                .unwrap_or(Cow::Borrowed(DEFAULT_REGION)),
            trace_on: fields.trace_on.is_none_or(|value| *value != *b"false"),
            recall_handle: text("recallHandle", fields.recall_handle)?,
        })
    }
}

/// The fields as they travel.
#[derive(Clone, Default)]
struct Fields<'a> {
    msg_id: Option<Cow<'a, [u8]>>,
    queue_id: Option<Cow<'a, [u8]>>,
    queue_offset: Option<Cow<'a, [u8]>>,
    transaction_id: Option<Cow<'a, [u8]>>,
    region: Option<Cow<'a, [u8]>>,
    trace_on: Option<Cow<'a, [u8]>>,
    recall_handle: Option<Cow<'a, [u8]>>,
}

impl<'a> Fields<'a> {
    fn set(&mut self, name: &[u8], value: Cow<'a, [u8]>) {
        let field = match name {
            b"msgId" => &mut self.msg_id,
            b"queueId" => &mut self.queue_id,
            b"queueOffset" => &mut self.queue_offset,
            b"transactionId" => &mut self.transaction_id,
            b"MSG_REGION" => &mut self.region,
            b"TRACE_ON" => &mut self.trace_on,
            b"recallHandle" => &mut self.recall_handle,
            _ => return,
        };
        *field = Some(value);
    }
}

fn text<'a>(
    name: &'static str,
    value: Option<Cow<'a, [u8]>>,
) -> Result<Option<Cow<'a, str>>, FrameError> {
    let text = match value {
        None => return Ok(None),
        Some(Cow::Borrowed(bytes)) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Some(Cow::Owned(bytes)) => String::from_utf8(bytes).ok().map(Cow::Owned),
    };
    text.map(Some).ok_or(FrameError::InvalidUtf8(name))
}

fn number<T: FromStr>(name: &'static str, value: Option<Cow<'_, [u8]>>) -> Result<T, FrameError> {
    let text = text(name, value)?.ok_or(FrameError::InvalidField {
        name,
        problem: "missing",
    })?;
    text.parse().map_err(|_| FrameError::InvalidField {
        name,
        problem: "no number in its range",
    })
}
