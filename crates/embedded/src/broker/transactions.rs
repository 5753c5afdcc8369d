//! Half messages: kept until their end is told, and asked for if it is not.
//!
//! As in real brokers a half message lies in a system topic, is written there again each time it is asked for, and is never
//! removed but marked in another system topic. Java: `EndTransactionProcessor`, `TransactionalMessageServiceImpl`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rocketmq_producer_remoting::message::half::{
    CHECK_TIMES_PROPERTY, HALF_TOPIC, OP_TOPIC, PRODUCER_GROUP_PROPERTY, TRANSACTION_PREPARED,
    check_times,
};
use rocketmq_producer_remoting::message::property::UNIQ_KEY;
use rocketmq_producer_remoting::message::{MessageExt, OffsetMessageId, Properties};
use rocketmq_producer_remoting::protocol::{Permission, TransactionEnd};
use rocketmq_producer_remoting::{RemotingCommand, RequestCode, ResponseCode};

use super::store::{Full, Places, Record, TopicConfig};
use super::{Broker, Role};
use crate::server::{Peer, remark};

/// Topic that a half message is for. Java: `PROPERTY_REAL_TOPIC`.
const REAL_TOPIC: &str = "REAL_TOPIC";
/// Queue that a half message is for. Java: `PROPERTY_REAL_QUEUE_ID`.
const REAL_QUEUE: &str = "REAL_QID";
/// The bits that tell the state of a transaction.
const TRANSACTION_MASK: i32 = 0xc;

/// When a broker asks for half messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TransactionSettings {
    /// How often it looks. Java: `transactionCheckInterval`.
    pub(crate) check_interval: Duration,
    /// How old a half message must be. Java: `transactionTimeOut`.
    pub(crate) timeout: Duration,
    /// How often it asks for one. Java: `transactionCheckMax`.
    pub(crate) check_max: u32,
}

impl Default for TransactionSettings {
    fn default() -> Self {
        Self {
            check_interval: Duration::from_secs(30),
            timeout: Duration::from_secs(6),
            check_max: 15,
        }
    }
}

/// A half message.
#[derive(Clone, Debug)]
struct Half {
    queue_offset: i64,
    message: MessageExt,
    /// Neither ended nor written again.
    is_open: bool,
}

/// Every half message by its place in the commit log. A real broker reads it from there whenever it is named, so one that
/// is committed twice is delivered twice.
#[derive(Debug, Default)]
pub(crate) struct Halves(Mutex<BTreeMap<i64, Half>>);

impl Halves {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<i64, Half>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broker {
    /// Keeps a half message instead of giving it to consumers.
    pub(super) fn prepare(
        &self,
        topic: &str,
        queue: usize,
        peer: &Peer,
        record: Record,
    ) -> Result<Places, Full> {
        let mut properties = Properties::parse(&record.properties);
        // Checked as a whole before; what is added here is short.
        let _ = properties.set(REAL_TOPIC, topic);
        let _ = properties.set(REAL_QUEUE, &queue.to_string());
        let mut message = MessageExt::new(topic, record.body.clone(), properties);
        message.queue_id = i32::try_from(queue).unwrap_or(i32::MAX);
        message.flag = record.flag;
        message.sys_flag = record.sys_flag;
        message.born_timestamp = record.born_timestamp;
        message.born_host = peer.address;
        message.store_host = self.address;
        self.write_half(message)
    }

    fn write_half(&self, mut message: MessageExt) -> Result<Places, Full> {
        self.system_topic(HALF_TOPIC);
        message.store_timestamp = self.now();
        let record = record_of(&message, message.sys_flag & !TRANSACTION_MASK);
        // Held meanwhile, so that nobody looks for a half message before it is noted.
        let mut halves = self.halves.lock();
        let places = self.store.append(HALF_TOPIC, 0, vec![record])?;
        let log_offset = places.log_offsets.first().copied().unwrap_or_default();
        message.commit_log_offset = log_offset;
        message.queue_offset = places.queue_offset;
        let queue_offset = places.queue_offset;
        halves.insert(
            log_offset,
            Half {
                queue_offset,
                message,
                is_open: true,
            },
        );
        Ok(places)
    }

    fn system_topic(&self, name: &str) {
        let perm = Permission(Permission::READ.0 | Permission::WRITE.0);
        let name: Arc<str> = name.into();
        let (config, is_new) = self.store.topic_or_put(&name, TopicConfig::new(1, perm));
        if is_new {
            self.registrar.topic_created(&self.name, &name, config);
        }
    }

    /// Notes that a half message is done with.
    fn mark(&self, half: &Half) {
        self.system_topic(OP_TOPIC);
        let mark = MessageExt::new(
            OP_TOPIC,
            half.queue_offset.to_string(),
            Properties::parse("TAGS\u{1}d\u{2}"),
        );
        // A full broker asks once more.
        let _ = self.store.append(OP_TOPIC, 0, vec![record_of(&mark, 0)]);
    }

    /// `END_TRANSACTION`. A real broker gives an unknown no answer, and clients ask for none.
    pub(super) fn end_transaction(&self, request: &RemotingCommand) -> RemotingCommand {
        if self.role == Role::Slave {
            return RemotingCommand::response(ResponseCode::SLAVE_NOT_AVAILABLE, 0, None);
        }
        let error = |text: &str| remark(ResponseCode::SYSTEM_ERROR, text);
        let number = |name| {
            request
                .field(name)
                .and_then(|text| text.parse::<i64>().ok())
        };
        let end = number("commitOrRollback").and_then(|end| i32::try_from(end).ok());
        let Some(end) = end.and_then(TransactionEnd::of_number) else {
            return error(
                "org.apache.rocketmq.remoting.exception.RemotingCommandException: commitOrRollback field wrong",
            );
        };
        if end == TransactionEnd::Unknown {
            return RemotingCommand::response(ResponseCode::SUCCESS, 0, None);
        }
        let log_offset = number("commitLogOffset").unwrap_or(-1);
        let mut halves = self.halves.lock();
        let Some(half) = halves.get(&log_offset).cloned() else {
            return error("Find prepared transaction message failed");
        };
        let group = half.message.property(PRODUCER_GROUP_PROPERTY);
        if group != request.field("producerGroup") {
            return error("The producer group wrong");
        }
        if number("tranStateTableOffset") != Some(half.queue_offset) {
            return error("The transaction state table offset wrong");
        }
        if end == TransactionEnd::Commit && self.commit(&half).is_err() {
            return remark(
                ResponseCode::SERVICE_NOT_AVAILABLE,
                "Service not available now.",
            );
        }
        if let Some(half) = halves.get_mut(&log_offset) {
            half.is_open = false;
        }
        drop(halves);
        self.mark(&half);
        RemotingCommand::response(ResponseCode::SUCCESS, 0, None)
    }

    fn commit(&self, half: &Half) -> Result<Places, Full> {
        let mut message = half.message.clone();
        message.properties.remove(REAL_TOPIC);
        message.properties.remove(REAL_QUEUE);
        let sys_flag = (message.sys_flag & !TRANSACTION_MASK) | TransactionEnd::Commit.number();
        message.store_timestamp = self.now();
        let record = record_of(&message, sys_flag);
        let queue = usize::try_from(message.queue_id).unwrap_or(0);
        self.store.append(&message.topic, queue, vec![record])
    }

    /// Half messages whose end is not known.
    pub(crate) fn open_transactions(&self) -> usize {
        let halves = self.halves.lock();
        halves.values().filter(|half| half.is_open).count()
    }

    /// Asks for half messages that are older than `age`: one connection of the group each. Returns the questions, with
    /// the connection that each is for.
    pub(crate) fn questions(&self, age: Duration) -> Vec<(Peer, RemotingCommand)> {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        // By the client's clock, which may be ahead.
        let before = if age == 0 {
            i64::MAX
        } else {
            self.now().saturating_sub(age)
        };
        let due: Vec<_> = {
            let mut halves = self.halves.lock();
            let due = halves
                .values_mut()
                .filter(|half| half.is_open && half.message.born_timestamp <= before);
            due.map(|half| {
                half.is_open = false;
                half.clone()
            })
            .collect()
        };
        due.into_iter()
            .filter_map(|half| {
                let asked = self.ask_again(&half);
                self.mark(&half);
                asked
            })
            .collect()
    }

    /// Writes a half message once more, and asks for the copy; nothing more if it was asked for often enough.
    fn ask_again(&self, half: &Half) -> Option<(Peer, RemotingCommand)> {
        let mut message = half.message.clone();
        let times = check_times(&message.properties);
        if times >= self.settings.transactions.check_max {
            return None;
        }
        let times = times.saturating_add(1).to_string();
        let _ = message.properties.set(CHECK_TIMES_PROPERTY, &times);
        let places = self.write_half(message.clone()).ok()?;
        message.commit_log_offset = places.log_offsets.first().copied()?;
        message.queue_offset = places.queue_offset;
        let group = message.property(PRODUCER_GROUP_PROPERTY)?;
        let peer = self.producers.any_peer(group)?;
        let mut body = BytesMut::new();
        message.sys_flag |= TRANSACTION_PREPARED;
        message.encode(&mut body);
        let id = message.property(UNIQ_KEY).unwrap_or_default();
        let offset_id = OffsetMessageId::new(self.address, message.commit_log_offset);
        let mut question = RemotingCommand::request(RequestCode::CHECK_TRANSACTION_STATE.0, 0)
            .with_field("topic", HALF_TOPIC)
            .with_field("tranStateTableOffset", message.queue_offset.to_string())
            .with_field("commitLogOffset", message.commit_log_offset.to_string())
            .with_field("msgId", id)
            .with_field("transactionId", id)
            .with_field("offsetMsgId", offset_id.to_string())
            .with_field("bname", &*self.name)
            .with_body(body.freeze());
        // One-way: the answer is a request of its own.
        question.flag = 2;
        Some((peer, question))
    }
}

fn record_of(message: &MessageExt, sys_flag: i32) -> Record {
    Record {
        body: Bytes::clone(&message.body),
        properties: message.properties.as_wire().into(),
        flag: message.flag,
        sys_flag,
        born_timestamp: message.born_timestamp,
        store_timestamp: message.store_timestamp,
        log_offset: 0,
    }
}
