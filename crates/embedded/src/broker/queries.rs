//! What a broker answers about itself, its topics and queues.

use std::sync::Arc;

use rocketmq_producer_remoting::protocol::{
    Permission, QueueStats, TopicConfig as TopicSettings, TopicStats,
};
use rocketmq_producer_remoting::{RemotingCommand, ResponseCode};
use serde_json::json;

use super::{Broker, TopicConfig};
use crate::server::remark;

/// Seconds of a day.
const DAY: i64 = 86_400;

impl Broker {
    /// A few of the many lines of a real broker.
    pub(super) fn runtime_info(&self) -> RemotingCommand {
        let up = self.now().saturating_sub(self.booted).max(0) / 1000;
        let (days, hours, minutes, seconds) = (up / DAY, up % DAY / 3600, up % 3600 / 60, up % 60);
        let table = json!({"table": {
            "bootTimestamp": self.booted.to_string(),
            "brokerActive": "true",
            "brokerVersion": "513",
            "brokerVersionDesc": "V5_5_0",
            "msgPutTotalTodayNow": self.store.count().to_string(),
            "runtime": format!("[ {days} days, {hours} hours, {minutes} minutes, {seconds} seconds ]"),
        }});
        success().with_body(table.to_string())
    }

    pub(super) fn max_offset(&self, request: &RemotingCommand) -> RemotingCommand {
        let offset = self.store.max_offset(topic(request), queue(request));
        success().with_field("offset", offset.to_string())
    }

    /// Nothing is ever removed from the front of a queue.
    pub(super) fn min_offset(&self, _: &RemotingCommand) -> RemotingCommand {
        success().with_field("offset", "0")
    }

    pub(super) fn search_offset(&self, request: &RemotingCommand) -> RemotingCommand {
        let timestamp = request
            .field("timestamp")
            .and_then(|text| text.parse().ok());
        let Some(timestamp) = timestamp else {
            return remark(
                ResponseCode::SYSTEM_ERROR,
                "the custom field <timestamp> is null",
            );
        };
        let offset = self
            .store
            .offset_at(topic(request), queue(request), timestamp);
        success().with_field("offset", offset.to_string())
    }

    /// Creates a topic, or changes it and keeps its messages. Attributes are not kept.
    pub(super) fn update_and_create_topic(&self, request: &RemotingCommand) -> RemotingCommand {
        let number = |name: &str| -> Option<i32> { request.field(name)?.parse().ok() };
        let name = topic(request);
        let (Some(read_queues), Some(write_queues), Some(perm)) = (
            number("readQueueNums"),
            number("writeQueueNums"),
            number("perm"),
        ) else {
            return remark(ResponseCode::SYSTEM_ERROR, "a custom field is null");
        };
        if let Some(refusal) = self.illegal_topic(name) {
            return refusal;
        }
        let config = TopicConfig {
            read_queues,
            write_queues,
            perm: Permission(perm),
        };
        let name: Arc<str> = name.into();
        self.store.put_topic(&name, config);
        self.registrar.topic_created(&self.name, &name, config);
        success()
    }

    pub(super) fn topic_config(&self, request: &RemotingCommand) -> RemotingCommand {
        let name = topic(request);
        let Some(config) = self.store.topic(name) else {
            return remark(
                ResponseCode::TOPIC_NOT_EXIST,
                format!("No topic in this broker. topic: {name}"),
            );
        };
        let mut settings = TopicSettings::new(name, config.read_queues);
        settings.write_queue_nums = config.write_queues;
        settings.perm = config.perm;
        success().with_body(serde_json::to_vec(&settings).unwrap_or_default())
    }

    pub(super) fn topic_stats(&self, request: &RemotingCommand) -> RemotingCommand {
        let name = topic(request);
        let Some(config) = self.store.topic(name) else {
            return remark(
                ResponseCode::TOPIC_NOT_EXIST,
                format!("topic[{name}] not exist"),
            );
        };
        let mut stats = TopicStats::default();
        stats.queues = (0..config.queues())
            .map(|queue_id| {
                let mut queue = QueueStats::new(name, &self.name, queue_id);
                queue.max_offset = self.store.max_offset(name, queue_id);
                queue.last_update_timestamp = self.store.newest_timestamp(name, queue_id);
                queue
            })
            .collect();
        success().with_body(stats.encode())
    }
}

pub(super) fn success() -> RemotingCommand {
    RemotingCommand::response(ResponseCode::SUCCESS, 0, None)
}

pub(super) fn topic(request: &RemotingCommand) -> &str {
    request.field("topic").unwrap_or_default()
}

fn queue(request: &RemotingCommand) -> i32 {
    let queue = request.field("queueId").and_then(|id| id.parse().ok());
    queue.unwrap_or(-1)
}
