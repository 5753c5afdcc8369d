//! Stored messages that a broker gives out: by place and by key.

use bytes::BytesMut;
use rocketmq_producer_remoting::message::{MessageExt, property};
use rocketmq_producer_remoting::{RemotingCommand, ResponseCode};

use super::Broker;
use super::queries::{success, topic};
use crate::server::remark;
use crate::stored_message::StoredMessage;

/// Most messages of one answer. Java: `maxMsgsNumBatch`.
const MAX_MESSAGES: usize = 64;

impl Broker {
    pub(super) fn view_message(&self, request: &RemotingCommand) -> RemotingCommand {
        let offset: Option<i64> = request.field("offset").and_then(|text| text.parse().ok());
        let Some(offset) = offset else {
            return remark(
                ResponseCode::SYSTEM_ERROR,
                "the custom field <offset> is null",
            );
        };
        let mut found = Vec::new();
        for (topic, _) in self.store.topics() {
            self.store.find(&topic, &mut found, |message| {
                message.offset_message_id.offset == offset
            });
        }
        match found.first() {
            Some(message) => success().with_body(encode([message])),
            None => remark(
                ResponseCode::SYSTEM_ERROR,
                format!("can not find message by the offset, {offset}"),
            ),
        }
    }

    /// The newest messages with a key, as the index of a real broker has them: by keys and by id.
    pub(super) fn query_message(&self, request: &RemotingCommand) -> RemotingCommand {
        let number = |name: &str| -> Option<i64> { request.field(name)?.parse().ok() };
        let (Some(key), Some(begin), Some(end), Some(max)) = (
            request.field("key"),
            number("beginTimestamp"),
            number("endTimestamp"),
            number("maxNum"),
        ) else {
            return remark(ResponseCode::SYSTEM_ERROR, "a custom field is null");
        };
        let max = usize::try_from(max).unwrap_or(0).min(MAX_MESSAGES);
        let mut found = Vec::new();
        self.store.find(topic(request), &mut found, |message| {
            let is_meant = message.keys().any(|other| other == key)
                || message.property(property::UNIQ_KEY) == Some(key);
            is_meant && (begin..=end).contains(&message.store_timestamp)
        });
        found.sort_by_key(|message| std::cmp::Reverse(message.offset_message_id.offset));
        found.truncate(max);
        if found.is_empty() {
            return remark(
                ResponseCode::QUERY_NOT_FOUND,
                "can not find message, maybe time range not correct",
            );
        }
        success().with_body(encode(&found))
    }
}

fn encode<'a>(messages: impl IntoIterator<Item = &'a StoredMessage>) -> BytesMut {
    let mut body = BytesMut::new();
    for message in messages {
        let id = message.offset_message_id;
        let properties = message.properties.clone();
        let mut stored = MessageExt::new(&*message.topic, message.body.clone(), properties);
        stored.flag = message.flag;
        stored.sys_flag = message.sys_flag;
        stored.queue_id = message.queue_id;
        stored.queue_offset = message.queue_offset;
        stored.commit_log_offset = id.offset;
        stored.born_timestamp = message.born_timestamp;
        stored.store_timestamp = message.store_timestamp;
        stored.store_host = id.address;
        stored.encode(&mut body);
    }
    body
}
