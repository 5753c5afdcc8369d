//! The messages of one broker, in memory.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use dashmap::DashMap;
use rocketmq_producer_remoting::ByteSize;
use rocketmq_producer_remoting::message::{OffsetMessageId, Properties};
use rocketmq_producer_remoting::protocol::Permission;

use crate::stored_message::StoredMessage;

/// Bytes of a message in a real commit log beside topic, body and properties, for IPv4 hosts.
const LOG_OVERHEAD: usize = 91;

/// A topic as one broker has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicConfig {
    pub(crate) read_queues: i32,
    pub(crate) write_queues: i32,
    pub(crate) perm: Permission,
}

impl TopicConfig {
    pub(crate) const fn new(queues: i32, perm: Permission) -> Self {
        Self {
            read_queues: queues,
            write_queues: queues,
            perm,
        }
    }

    /// Queues that exist.
    pub(crate) fn queues(&self) -> i32 {
        self.read_queues.max(self.write_queues)
    }
}

/// A message to be stored.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) body: Bytes,
    pub(super) properties: Box<str>,
    pub(super) flag: i32,
    pub(super) sys_flag: i32,
    pub(super) born_timestamp: i64,
    pub(super) store_timestamp: i64,
    /// Set by the store.
    pub(super) log_offset: i64,
}

impl Record {
    /// The same message with other properties.
    pub(super) fn with_properties(&self, properties: &str) -> Self {
        Self {
            body: self.body.clone(),
            properties: Box::from(properties),
            ..*self
        }
    }
}

#[derive(Debug)]
struct Topic {
    config: RwLock<TopicConfig>,
    /// By queue id; grows with the first message of a queue.
    queues: RwLock<Vec<Mutex<Vec<Record>>>>,
}

#[derive(Debug)]
pub(crate) struct Store {
    broker: Arc<str>,
    address: SocketAddr,
    topics: DashMap<Arc<str>, Arc<Topic>>,
    max_bytes: usize,
    bytes: AtomicUsize,
    log_end: AtomicI64,
    count: AtomicU64,
}

/// Where messages of one request went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// Of the first; the others follow.
    pub(super) queue_offset: i64,
    pub(super) log_offsets: Vec<i64>,
}

/// The store holds as much as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Store {
    pub(super) fn new(broker: Arc<str>, address: SocketAddr, max_bytes: ByteSize) -> Self {
        Self {
            broker,
            address,
            topics: DashMap::new(),
            max_bytes: max_bytes.as_usize(),
            bytes: AtomicUsize::new(0),
            log_end: AtomicI64::new(0),
            count: AtomicU64::new(0),
        }
    }

    pub(crate) fn topic(&self, name: &str) -> Option<TopicConfig> {
        let topic = self.topics.get(name)?;
        let config = *read(&topic.config);
        Some(config)
    }

    /// Creates a topic, or changes it and keeps its messages.
    pub(crate) fn put_topic(&self, name: &Arc<str>, config: TopicConfig) {
        let topic = Arc::clone(&self.topics.entry(Arc::clone(name)).or_insert_with(|| {
            Arc::new(Topic {
                config: RwLock::new(config),
                queues: RwLock::default(),
            })
        }));
        *topic.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Creates a topic unless it exists; the settings that hold, and whether they are new.
    pub(super) fn topic_or_put(&self, name: &Arc<str>, config: TopicConfig) -> (TopicConfig, bool) {
        let mut is_new = false;
        let topic = Arc::clone(&self.topics.entry(Arc::clone(name)).or_insert_with(|| {
            is_new = true;
            Arc::new(Topic {
                config: RwLock::new(config),
                queues: RwLock::default(),
            })
        }));
        let config = *read(&topic.config);
        (config, is_new)
    }

    /// Removes a topic and its messages.
    pub(crate) fn remove_topic(&self, name: &str) {
        let Some((name, topic)) = self.topics.remove(name) else {
            return;
        };
        let queues = read(&topic.queues);
        let bytes = queues
            .iter()
            .flat_map(|queue| {
                lock(queue)
                    .iter()
                    .map(|record| size(&name, record))
                    .collect::<Vec<_>>()
            })
            .sum::<usize>();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn topics(&self) -> Vec<(Arc<str>, TopicConfig)> {
        self.topics
            .iter()
            .map(|topic| (Arc::clone(topic.key()), *read(&topic.config)))
            .collect()
    }

    /// Messages taken since the broker exists.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Appends to a queue, all next to one another or none. The topic must exist and `queue` be one of its queues.
    /// Returns the places of the first and of all in the log.
    pub(super) fn append(
        &self,
        topic: &str,
        queue: usize,
        new: Vec<Record>,
    ) -> Result<Places, Full> {
        let Some(entry) = self.topics.get(topic).map(|entry| Arc::clone(&entry)) else {
            // Deleted since it was looked up: as if it went right after the message came.
            return Ok(Places {
                queue_offset: 0,
                log_offsets: vec![self.log_end.load(Ordering::Relaxed); new.len()],
            });
        };
        let total: usize = new.iter().map(|record| size(topic, record)).sum();
        let taken = self
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bytes| {
                bytes
                    .checked_add(total)
                    .filter(|bytes| *bytes <= self.max_bytes)
            });
        if taken.is_err() {
            return Err(Full);
        }
        let mut queues = read(&entry.queues);
        if queues.len() <= queue {
            drop(queues);
            let mut grown = entry.queues.write().unwrap_or_else(PoisonError::into_inner);
            let length = grown.len().max(queue.saturating_add(1));
            grown.resize_with(length, Mutex::default);
            drop(grown);
            queues = read(&entry.queues);
        }
        let Some(queue) = queues.get(queue) else {
            return Err(Full);
        };
        let mut records = lock(queue);
        // Under the queue's lock, so that both offsets grow together.
        let mut log_offset = self
            .log_end
            .fetch_add(i64::try_from(total).unwrap_or(i64::MAX), Ordering::Relaxed);
        let queue_offset = i64::try_from(records.len()).unwrap_or(i64::MAX);
        let mut log_offsets = Vec::with_capacity(new.len());
        for mut record in new {
            record.log_offset = log_offset;
            log_offsets.push(log_offset);
            let length = i64::try_from(size(topic, &record)).unwrap_or(i64::MAX);
            log_offset = log_offset.saturating_add(length);
            records.push(record);
        }
        drop(records);
        let count = u64::try_from(log_offsets.len()).unwrap_or(u64::MAX);
        self.count.fetch_add(count, Ordering::Relaxed);
        Ok(Places {
            queue_offset,
            log_offsets,
        })
    }

    pub(super) fn max_offset(&self, topic: &str, queue: i32) -> i64 {
        let topic = self.topics.get(topic).map(|entry| Arc::clone(&entry));
        let (Some(topic), Ok(queue)) = (topic, usize::try_from(queue)) else {
            return 0;
        };
        let queues = read(&topic.queues);
        let length = queues.get(queue).map_or(0, |queue| lock(queue).len());
        i64::try_from(length).unwrap_or(i64::MAX)
    }

    /// Offset of the first message that was stored at a time or later; that after the last if there is none.
    pub(super) fn offset_at(&self, topic: &str, queue: i32, timestamp: i64) -> i64 {
        let is_older = |record: &Record| record.store_timestamp < timestamp;
        let older = self.look_at(topic, queue, |records| records.partition_point(is_older));
        older.map_or(0, |count| i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// When a queue's newest message was stored; 0 without one.
    pub(super) fn newest_timestamp(&self, topic: &str, queue: i32) -> i64 {
        let newest = |records: &[Record]| records.last().map(|record| record.store_timestamp);
        self.look_at(topic, queue, newest).flatten().unwrap_or(0)
    }

    fn look_at<T>(&self, topic: &str, queue: i32, look: impl FnOnce(&[Record]) -> T) -> Option<T> {
        let topic = self.topics.get(topic).map(|entry| Arc::clone(&entry))?;
        let queues = read(&topic.queues);
        let records = queues.get(usize::try_from(queue).ok()?)?;
        Some(look(&lock(records)))
    }

    pub(crate) fn message_count(&self, topic: &str) -> usize {
        let Some(topic) = self.topics.get(topic).map(|entry| Arc::clone(&entry)) else {
            return 0;
        };
        let queues = read(&topic.queues);
        queues.iter().map(|queue| lock(queue).len()).sum()
    }

    /// Every message of a topic, by queue and offset.
    pub(crate) fn messages(&self, topic: &str, into: &mut Vec<StoredMessage>) {
        self.find(topic, into, |_| true);
    }

    /// The messages of a topic that are meant, by queue and offset.
    pub(super) fn find(
        &self,
        topic: &str,
        into: &mut Vec<StoredMessage>,
        is_meant: impl Fn(&StoredMessage) -> bool,
    ) {
        let Some(entry) = self
            .topics
            .get(topic)
            .map(|entry| (Arc::clone(entry.key()), Arc::clone(&entry)))
        else {
            return;
        };
        let (name, topic) = entry;
        for (queue_id, queue) in (0..).zip(read(&topic.queues).iter()) {
            let records = lock(queue);
            let messages = (0..)
                .zip(records.iter())
                .map(|(queue_offset, record)| StoredMessage {
                    topic: Arc::clone(&name),
                    broker_name: Arc::clone(&self.broker),
                    queue_id,
                    queue_offset,
                    offset_message_id: OffsetMessageId::new(self.address, record.log_offset),
                    body: record.body.clone(),
                    properties: Properties::parse(&record.properties),
                    flag: record.flag,
                    sys_flag: record.sys_flag,
                    born_timestamp: record.born_timestamp,
                    store_timestamp: record.store_timestamp,
                });
            into.extend(messages.filter(&is_meant));
        }
    }
}

/// Bytes that the message would take in a real commit log; about what it takes in memory.
fn size(topic: &str, record: &Record) -> usize {
    LOG_OVERHEAD + topic.len() + record.body.len() + record.properties.len()
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn lock(queue: &Mutex<Vec<Record>>) -> std::sync::MutexGuard<'_, Vec<Record>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
