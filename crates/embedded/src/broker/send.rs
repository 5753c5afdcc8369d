//! A send, checked in the order and answered with the codes and remarks of a real broker.

use std::sync::Arc;

use bytes::Bytes;
use rocketmq_producer_remoting::message::batch::read_batch;
use rocketmq_producer_remoting::message::property::{
    MAX_PROPERTIES_LENGTH, MSG_REGION, TRACE_ON, TRAN_MSG, UNIQ_KEY,
};
use rocketmq_producer_remoting::message::topic::{AUTO_CREATE_TOPIC, FORBIDDEN_TOPICS};
use rocketmq_producer_remoting::message::{OffsetMessageId, TopicError, validate_topic_for_send};
use rocketmq_producer_remoting::protocol::Permission;
use rocketmq_producer_remoting::{RemotingCommand, ResponseCode};

use super::later::Aside;
use super::send_fields::{SendFields, number};
use super::store::{Places, Record, TopicConfig};
use super::stored_properties::{REGION, StoredProperties};
use super::{Broker, FAQ, Role};
use crate::server::{Peer, remark};

/// Why a message is not stored.
#[derive(Debug)]
enum Refusal {
    /// The request could not even be read; real brokers answer from an exception handler then,
    /// without region and trace switch.
    Unreadable(String),
    Refused(ResponseCode, String),
}

/// Properties of messages that are delivered later.
const DELAYS: [&str; 4] = [
    "DELAY",
    "TIMER_DELAY_MS",
    "TIMER_DELAY_SEC",
    "TIMER_DELIVER_MS",
];

/// What a request brings, one message or many.
struct Request<'a> {
    body: &'a Bytes,
    properties: &'a str,
    flag: i32,
    sys_flag: i32,
    born_timestamp: i64,
    store_timestamp: i64,
}

impl Request<'_> {
    fn record(&self, body: &[u8], flag: i32, properties: String) -> Record {
        Record {
            // A copy, so that a small message does not keep the whole read buffer.
            body: Bytes::copy_from_slice(body),
            properties: properties.into_boxed_str(),
            flag,
            sys_flag: self.sys_flag,
            born_timestamp: self.born_timestamp,
            store_timestamp: self.store_timestamp,
            log_offset: 0,
        }
    }
}

/// The value of a property; of several the last.
fn pick<'a>(wire: &'a str, name: &str) -> Option<&'a str> {
    wire.split('\u{2}')
        .filter_map(|piece| piece.split_once('\u{1}'))
        .filter(|(other, value)| *other == name && !value.is_empty())
        .map(|(_, value)| value)
        .next_back()
}

impl Broker {
    pub(super) fn send(&self, peer: &Peer, request: &RemotingCommand) -> RemotingCommand {
        if self.role == Role::Slave {
            return remark(
                ResponseCode::SYSTEM_BUSY,
                "[REJECTREQUEST]system busy, start flow control for a while",
            );
        }
        let fields = SendFields::of(request);
        match self.store_message(peer, &fields, &request.body) {
            Ok(receipt) => receipt,
            Err(Refusal::Unreadable(text)) => remark(ResponseCode::SYSTEM_ERROR, text),
            Err(Refusal::Refused(code, text)) => remark(code, text)
                .with_field(MSG_REGION, REGION)
                .with_field(TRACE_ON, "true"),
        }
    }

    fn store_message(
        &self,
        peer: &Peer,
        fields: &SendFields<'_>,
        body: &Bytes,
    ) -> Result<RemotingCommand, Refusal> {
        let read = |text| number::<i32>(text).map_err(Refusal::Unreadable);
        let queue_id = read(fields.queue_id)?;
        let sys_flag = read(fields.sys_flag)?;
        let flag = read(fields.flag)?;
        let born_timestamp = number(fields.born_timestamp).map_err(Refusal::Unreadable)?;
        let topic = fields.topic.ok_or_else(|| {
            Refusal::Unreadable("java.lang.NullPointerException: \"key\" is null".to_owned())
        })?;
        if body.is_empty() {
            return Err(Refusal::Unreadable(
                "java.lang.NullPointerException: Cannot read the array length because the body is null"
                    .to_owned(),
            ));
        }
        check_topic_name(topic)?;
        let config = match self.store.topic(topic) {
            Some(config) => config,
            None => self.create_on_demand(topic, fields)?,
        };
        if queue_id >= config.queues() {
            return Err(Refusal::Refused(
                ResponseCode::INVALID_PARAMETER,
                illegal_queue(queue_id, topic, config, peer),
            ));
        }
        let request = Request {
            body,
            properties: fields.properties.unwrap_or_default(),
            flag,
            sys_flag,
            born_timestamp,
            store_timestamp: self.now(),
        };
        let is_batch = fields
            .batch
            .is_some_and(|is| is.eq_ignore_ascii_case("true"));
        let is_half = !is_batch && pick(request.properties, TRAN_MSG) == Some("true");
        let (mut records, message_id) = if is_batch {
            let records = self.unpack(topic, &request)?;
            // None is made: each message has its own.
            let id = pick(request.properties, UNIQ_KEY).map(str::to_owned);
            (records, id)
        } else {
            let (record, id) = self.single(&request)?;
            (vec![record], Some(id))
        };
        let queue = usize::try_from(queue_id).unwrap_or_else(|_| {
            let seed = message_id.as_deref().unwrap_or_default();
            any_queue(seed, config.write_queues)
        });
        let half = is_half.then(|| records.pop()).flatten();
        let (places, recall_handle) = match half {
            Some(half) => {
                let places = self.prepare(topic, queue, peer, half);
                (places.map_err(|_| full())?, None)
            }
            None => self.store_or_put_aside(topic, queue, message_id.as_deref(), records)?,
        };
        let ids: Vec<_> = places
            .log_offsets
            .iter()
            .map(|offset| OffsetMessageId::new(self.address, *offset).to_string())
            .collect();
        let mut receipt = RemotingCommand::response(ResponseCode::SUCCESS, 0, None);
        let field = |name: &str, value: String| (name.to_owned(), value);
        receipt.ext_fields = vec![
            field("queueId", queue.to_string()),
            field("msgId", ids.join(",")),
            field(TRACE_ON, "true".to_owned()),
            field(MSG_REGION, REGION.to_owned()),
            field("queueOffset", places.queue_offset.to_string()),
        ];
        if let Some(id) = message_id {
            receipt.ext_fields.insert(1, field("transactionId", id));
        }
        if let Some(handle) = recall_handle {
            receipt.ext_fields.push(field("recallHandle", handle));
        }
        Ok(receipt)
    }

    /// Stores messages where they are for, or one that is to be delivered later where it waits.
    fn store_or_put_aside(
        &self,
        topic: &str,
        queue: usize,
        id: Option<&str>,
        mut records: Vec<Record>,
    ) -> Result<(Places, Option<String>), Refusal> {
        if let (Some(id), true) = (id, records.len() == 1) {
            if let Some(record) = records.pop() {
                let put = self.put_aside(topic, queue, id, record).map_err(|_| {
                    let longest = self.settings.timer_max_delay.as_millis();
                    Refusal::Refused(
                        ResponseCode::MESSAGE_ILLEGAL,
                        format!(
                            "timer message illegal, the delay time should not be bigger than the max delay {longest}ms; or if set del msg, the delay time should be bigger than the current time"
                        ),
                    )
                })?;
                match put {
                    Aside::Full => return Err(full()),
                    Aside::Now(record) => records.push(record),
                    Aside::Put(put) => return Ok((put.places, put.recall_handle)),
                }
            }
        }
        let places = self.store.append(topic, queue, records);
        Ok((places.map_err(|_| full())?, None))
    }

    fn single(&self, request: &Request<'_>) -> Result<(Record, String), Refusal> {
        let properties = StoredProperties::of(request.properties, &self.settings.cluster);
        if request.body.len() > self.settings.max_message_size.as_usize()
            || properties.wire.len() > MAX_PROPERTIES_LENGTH
        {
            return Err(self.illegal());
        }
        let record = request.record(request.body, request.flag, properties.wire);
        Ok((record, properties.message_id))
    }

    /// Java: `SendMessageProcessor.sendBatchMessage`, `MessageDecoder.decodeMessage`.
    fn unpack(&self, topic: &str, request: &Request<'_>) -> Result<Vec<Record>, Refusal> {
        if topic.starts_with("%RETRY%") {
            return Err(Refusal::Refused(
                ResponseCode::MESSAGE_ILLEGAL,
                format!("batch request does not support retry group {topic}"),
            ));
        }
        let is_delayed = |name: &&str| pick(request.properties, name).is_some();
        if DELAYS.iter().any(is_delayed)
            || request.body.len() > self.settings.max_message_size.as_usize()
        {
            return Err(self.illegal());
        }
        let mut records = Vec::new();
        for member in read_batch(request.body) {
            let member = member.map_err(|_| {
                Refusal::Unreadable(
                    "java.nio.BufferUnderflowException, java.base/java.nio.Buffer.nextGetIndex(Buffer.java:707)"
                        .to_owned(),
                )
            })?;
            let (own, batch) = (member.properties(), request.properties);
            let wire = StoredProperties::of_member(own, batch, &self.settings.cluster);
            if wire.len() > MAX_PROPERTIES_LENGTH {
                return Err(self.illegal());
            }
            records.push(request.record(&member.body, member.flag, wire));
        }
        Ok(records)
    }

    fn illegal(&self) -> Refusal {
        Refusal::Refused(
            ResponseCode::MESSAGE_ILLEGAL,
            format!(
                "the message is illegal, maybe msg body or properties length not matched. msg body length limit {}B, msg properties length limit 32KB.",
                self.settings.max_message_size.as_u64()
            ),
        )
    }

    /// What is answered to a topic name that cannot be.
    pub(super) fn illegal_topic(&self, topic: &str) -> Option<RemotingCommand> {
        match check_topic_name(topic) {
            Err(Refusal::Refused(code, text)) => Some(remark(code, text)),
            _ => None,
        }
    }

    /// Java: `createTopicInSendMessageMethod`.
    fn create_on_demand(
        &self,
        topic: &str,
        fields: &SendFields<'_>,
    ) -> Result<TopicConfig, Refusal> {
        let template = fields.default_topic.and_then(|name| self.store.topic(name));
        let Some(template) = template.filter(|t| t.perm.0 & Permission::INHERIT.0 != 0) else {
            return Err(Refusal::Refused(
                ResponseCode::TOPIC_NOT_EXIST,
                format!("topic[{topic}] not exist, apply first please!{FAQ}"),
            ));
        };
        let wanted: i32 = number(fields.default_topic_queue_nums).map_err(Refusal::Unreadable)?;
        let queues = wanted.min(template.write_queues).max(0);
        let perm = Permission(template.perm.0 & !Permission::INHERIT.0);
        let name: Arc<str> = topic.into();
        let (config, is_new) = self
            .store
            .topic_or_put(&name, TopicConfig::new(queues, perm));
        if is_new {
            self.registrar.topic_created(&self.name, &name, config);
        }
        Ok(config)
    }

    /// The topic whose settings are copied, which real brokers have iff topics are auto-created.
    pub(crate) fn allow_auto_create(&self) {
        let perm = Permission(Permission::INHERIT.0 | Permission::READ.0 | Permission::WRITE.0);
        let config = TopicConfig::new(self.settings.default_topic_queue_nums, perm);
        self.store.put_topic(&AUTO_CREATE_TOPIC.into(), config);
    }
}

fn full() -> Refusal {
    Refusal::Refused(
        ResponseCode::SERVICE_NOT_AVAILABLE,
        "service not available now. It may be caused by one of the following reasons: the broker's disk is full [CL:  1.00 CQ:  1.00 INDEX:  1.00], messages are put to the slave, message store has been shut down, etc."
            .to_owned(),
    )
}

fn check_topic_name(topic: &str) -> Result<(), Refusal> {
    let invalid = |text: &str| Refusal::Refused(ResponseCode::INVALID_PARAMETER, text.to_owned());
    match validate_topic_for_send(topic) {
        Ok(()) => Ok(()),
        Err(_) if FORBIDDEN_TOPICS.contains(&topic) => Err(Refusal::Refused(
            ResponseCode::NO_PERMISSION,
            format!("Sending message to topic[{topic}] is forbidden."),
        )),
        Err(TopicError::Blank) => Err(invalid("The specified topic is blank.")),
        Err(TopicError::TooLong { .. }) => Err(invalid(
            "The specified topic is longer than topic max length.",
        )),
        Err(_) => Err(invalid(
            "The specified topic contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$",
        )),
    }
}

fn illegal_queue(queue_id: i32, topic: &str, config: TopicConfig, peer: &Peer) -> String {
    let TopicConfig {
        read_queues,
        write_queues,
        perm,
    } = config;
    let bits = [
        (perm.is_readable(), 'R'),
        (perm.is_writable(), 'W'),
        (perm.0 & Permission::INHERIT.0 != 0, 'X'),
    ];
    let perm: String = bits
        .iter()
        .map(|(is_set, letter)| if *is_set { *letter } else { '-' })
        .collect();
    format!(
        "request queueId[{queue_id}] is illegal, TopicConfig [topicName={topic}, readQueueNums={read_queues}, writeQueueNums={write_queues}, perm={perm}, topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false, attributes={{}}] Producer: {}",
        peer.address
    )
}

/// A queue for a message that names none; it need not be more random than its id.
fn any_queue(message_id: &str, queues: i32) -> usize {
    use std::hash::{BuildHasher, RandomState};
    let queues = u64::try_from(queues.max(1)).unwrap_or(1);
    usize::try_from(RandomState::new().hash_one(message_id) % queues).unwrap_or(0)
}
