//! What the Java program is asked and what it prints.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

/// How [`Reader::read_topic_with`](super::Reader::read_topic_with) reads.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Leave the bodies out: length and digest are enough. Default off.
    pub digest_only: bool,
    /// Wait until the topic holds so many messages. Default 0.
    pub at_least: usize,
    /// How long to wait for [`at_least`](Self::at_least); what is there by then is returned. Default 10 s.
    pub wait: Duration,
}

impl ReadOptions {
    /// Bodies included, no waiting for more than the brokers have stored by now.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            digest_only: false,
            at_least: 0,
            wait: Duration::from_secs(10),
        }
    }

    /// Leaves the bodies out.
    #[must_use]
    pub const fn digest_only(mut self) -> Self {
        self.digest_only = true;
        self
    }

    /// Waits for at most [`wait`](Self::wait) until so many messages are there.
    #[must_use]
    pub const fn at_least(mut self, messages: usize) -> Self {
        self.at_least = messages;
        self
    }

    /// Sets [`wait`](Self::wait).
    #[must_use]
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// A stored message as a Java consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ReadMessage {
    /// The topic it was read from.
    pub topic: String,
    /// Name of the broker that holds it.
    pub broker: String,
    /// Queue id on that broker.
    pub queue: i32,
    /// Offset in that queue.
    pub offset: i64,
    /// The consumer's message id: the property `UNIQ_KEY`, or the offset message id without one.
    pub msg_id: String,
    /// Address and commit log offset, as the broker gave them.
    pub offset_msg_id: Option<String>,
    /// The property `KEYS`.
    pub keys: Option<String>,
    /// The property `TAGS`.
    pub tags: Option<String>,
    /// The user's flag.
    pub flag: i32,
    /// The system flag as stored.
    pub sys_flag: i32,
    /// When the producer says that it made the message, in epoch milliseconds.
    pub born_timestamp: i64,
    /// The producer's address as the broker saw it.
    pub born_host: Option<String>,
    /// When the broker stored it, in epoch milliseconds.
    pub store_timestamp: i64,
    /// Every property, among them those that the broker (`CLUSTER`) and the consumer (`MIN_OFFSET`, `MAX_OFFSET`) add.
    pub properties: BTreeMap<String, String>,
    /// Length of the body.
    pub len: usize,
    /// SHA-256 of the body in lower-case hexadecimal digits.
    pub sha256: String,
    /// The body; empty when read with [`ReadOptions::digest_only`].
    #[serde(default, rename = "body_base64", deserialize_with = "base64_bytes")]
    pub body: Vec<u8>,
}

impl ReadMessage {
    /// Where the message lies: broker, queue, offset.
    #[must_use]
    pub fn position(&self) -> (&str, i32, i64) {
        (&self.broker, self.queue, self.offset)
    }
}

fn base64_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

/// By what [`Reader::find`](super::Reader::find) searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FindBy<'a> {
    /// One of the message's keys.
    Key(&'a str),
    /// Address and commit log offset.
    OffsetId(&'a str),
    /// The property `UNIQ_KEY`.
    UniqueKey(&'a str),
}

/// A producer that a broker knows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProducerConnection {
    /// The broker that was asked.
    pub broker: String,
    /// The producer's client id.
    pub client_id: String,
    /// Address of the producer's end of the connection.
    pub address: String,
    /// The language it says it is written in: `RUST`, `JAVA`.
    pub language: String,
    /// The version number it sends.
    pub version: i32,
    /// That version as Apache names it.
    pub version_name: String,
}

/// What [`Reader::java_send`](super::Reader::java_send) sends.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JavaSend {
    /// Number of messages.
    pub count: usize,
    /// Producer group. Default `xtask_java_producer`.
    pub group: String,
    /// Length of each body in bytes, at least that of its beginning. Default 64.
    pub body_len: usize,
    /// Sending threads. Default 1.
    pub threads: usize,
    /// How long the producer stays, with its connections and heartbeats, after the last message. Default 0.
    pub linger: Duration,
    /// Whether it leaves message traces. Default not.
    pub traced: bool,
}

impl JavaSend {
    /// Sends `count` messages with the defaults.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self {
            count,
            group: "xtask_java_producer".to_owned(),
            body_len: 64,
            threads: 1,
            linger: Duration::ZERO,
            traced: false,
        }
    }

    /// Sets [`group`](Self::group).
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }

    /// Sets [`body_len`](Self::body_len).
    #[must_use]
    pub const fn body_len(mut self, bytes: usize) -> Self {
        self.body_len = bytes;
        self
    }

    /// Sets [`threads`](Self::threads).
    #[must_use]
    pub const fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets [`traced`](Self::traced).
    #[must_use]
    pub const fn traced(mut self) -> Self {
        self.traced = true;
        self
    }

    /// Sets [`linger`](Self::linger).
    #[must_use]
    pub const fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }
}

/// The outcome of one send of Apache's producer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SentMessage {
    /// Which message: `java-N`.
    pub index: usize,
    /// `SEND_OK` and so on, or `FAILED`.
    pub status: String,
    /// The id (`UNIQ_KEY`) that Java's result carries.
    pub msg_id: Option<String>,
    /// The broker's id.
    pub offset_msg_id: Option<String>,
    /// Name of the broker that took it.
    pub broker: Option<String>,
    /// Queue id on that broker.
    pub queue: Option<i32>,
    /// Offset in that queue.
    pub offset: Option<i64>,
    /// Java's message when the send failed.
    pub error: Option<String>,
}
