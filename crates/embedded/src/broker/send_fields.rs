//! The fields of a send, under their long and their one-letter names.

use std::str::FromStr;

use rocketmq_producer_remoting::{RemotingCommand, RequestCode};

type Text<'a> = Option<&'a str>;

#[derive(Debug, Default)]
pub(super) struct SendFields<'a> {
    pub(super) topic: Text<'a>,
    pub(super) default_topic: Text<'a>,
    pub(super) default_topic_queue_nums: Text<'a>,
    pub(super) queue_id: Text<'a>,
    pub(super) sys_flag: Text<'a>,
    pub(super) born_timestamp: Text<'a>,
    pub(super) flag: Text<'a>,
    pub(super) properties: Text<'a>,
    pub(super) batch: Text<'a>,
}

impl<'a> SendFields<'a> {
    pub(super) fn of(request: &'a RemotingCommand) -> Self {
        let mut fields = Self::default();
        let set = if request.code == RequestCode::SEND_MESSAGE.0 {
            Self::set_long
        } else {
            Self::set_short
        };
        for (name, value) in &request.ext_fields {
            set(&mut fields, name, value);
        }
        fields
    }

    fn set_short(&mut self, name: &str, value: &'a str) {
        let field = match name {
            "b" => &mut self.topic,
            "c" => &mut self.default_topic,
            "d" => &mut self.default_topic_queue_nums,
            "e" => &mut self.queue_id,
            "f" => &mut self.sys_flag,
            "g" => &mut self.born_timestamp,
            "h" => &mut self.flag,
            "i" => &mut self.properties,
            "m" => &mut self.batch,
            _ => return,
        };
        *field = Some(value);
    }

    fn set_long(&mut self, name: &str, value: &'a str) {
        let field = match name {
            "topic" => &mut self.topic,
            "defaultTopic" => &mut self.default_topic,
            "defaultTopicQueueNums" => &mut self.default_topic_queue_nums,
            "queueId" => &mut self.queue_id,
            "sysFlag" => &mut self.sys_flag,
            "bornTimestamp" => &mut self.born_timestamp,
            "flag" => &mut self.flag,
            "properties" => &mut self.properties,
            "batch" => &mut self.batch,
            _ => return,
        };
        *field = Some(value);
    }
}

/// A number, or the remark with which a real broker answers code 1.
pub(super) fn number<T: FromStr>(text: Text<'_>) -> Result<T, String> {
    match text {
        None => Err("java.lang.NullPointerException: a required number is missing".to_owned()),
        Some(text) => text
            .parse()
            .map_err(|_| format!("java.lang.NumberFormatException: For input string: \"{text}\"")),
    }
}
