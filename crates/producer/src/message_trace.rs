//! Message traces: a record of every stored message goes to the trace topic, as Java's clients write them.
//!
//! A send never waits for its trace: records go into a bounded queue, and what finds it full is dropped and counted. One
//! task sends them, many to a message. Its messages are neither traced nor seen by send hooks, count in no statistics of
//! sends, and take no place among those under way.

mod letter;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use self::letter::Letter;
use crate::attempt::Attempt;
use crate::config::ProducerConfig;
use crate::config::routing::remoting::message::trace::{
    DEFAULT_TRACE_REGION, EndTransactionTrace, PublishTrace, RecallTrace, TracedKind, TracedMessage,
};
use crate::config::routing::remoting::message::{
    OffsetMessageId, SystemClock, WallClock, property,
};
use crate::config::routing::remoting::{ResponseClass, RetryRule};
use crate::core::Core;
use crate::error::SendFailure;
use crate::hooks::EndTransactionContext;
use crate::receipt::SendStatus;

/// How long a record waits for others to share its message.
const LINGER: Duration = Duration::from_secs(1);

/// What a trace message is given. Java: `AsyncTraceDispatcher`.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// What a broker says about the tracing of a message.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) region: Box<str>,
    pub(crate) is_on: bool,
}

/// A stored message.
pub(crate) struct Published<'a> {
    pub(crate) topic: &'a str,
    pub(crate) message_id: &'a str,
    pub(crate) tags: Option<&'a str>,
    pub(crate) keys: Option<&'a str>,
    pub(crate) is_half: bool,
    pub(crate) is_delayed: bool,
    /// As it travelled.
    pub(crate) body_length: usize,
    pub(crate) status: SendStatus,
    pub(crate) offset_message_id: Option<&'a OffsetMessageId>,
}

impl<'a> Published<'a> {
    /// With what `property` gives of the message's properties.
    pub(crate) fn new(
        topic: &'a str,
        message_id: &'a str,
        property: impl Fn(&str) -> Option<&'a str>,
        body_length: usize,
        status: SendStatus,
        offset_message_id: Option<&'a OffsetMessageId>,
    ) -> Self {
        Self {
            topic,
            message_id,
            tags: property(property::TAGS),
            keys: property(property::KEYS),
            is_half: property("TRAN_MSG") == Some("true"),
            is_delayed: property("DELAY").is_some() || property("__STARTDELIVERTIME").is_some(),
            body_length,
            status,
            offset_message_id,
        }
    }
}

/// A record, and the keys by which it is found.
#[derive(Debug)]
struct Record {
    text: String,
    keys: String,
}

enum Order {
    Send(Record),
    /// Send what is there, and tell.
    Flush(oneshot::Sender<()>),
}

/// Writes traces, if a producer is to.
pub(crate) struct Tracer {
    group: Arc<str>,
    topic: Arc<str>,
    /// What topics begin with that are in the producer's namespace; records leave it out.
    namespace: Option<String>,
    queue: mpsc::Sender<Order>,
    /// Until the task takes it.
    orders: Mutex<Option<mpsc::Receiver<Order>>>,
    /// The trace topic may not be written to.
    is_stopped: AtomicBool,
    has_warned: AtomicBool,
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Tracer {
    pub(crate) fn of(config: &ProducerConfig, group: &Arc<str>) -> Option<Arc<Self>> {
        if !config.trace_message {
            return None;
        }
        let size = usize::try_from(config.trace_queue_size).unwrap_or(usize::MAX);
        let (queue, orders) = mpsc::channel(size.max(1));
        Some(Arc::new(Self {
            group: Arc::clone(group),
            topic: Arc::from(config.trace_topic.as_str()),
            namespace: config.namespace.as_ref().map(|name| format!("{name}%")),
            queue,
            orders: Mutex::new(Some(orders)),
            is_stopped: AtomicBool::new(false),
            has_warned: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Records that were sent, and those that were dropped.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.sent.load(Relaxed), self.dropped.load(Relaxed))
    }

    /// Notes a message that was stored in this attempt, unless its broker wants no traces (Java:
    /// `SendMessageTraceHookImpl`).
    pub(crate) fn published(&self, told: &Told, attempt: &Attempt, published: &Published<'_>) {
        // A caller may send to the trace topic too.
        if !told.is_on || published.topic.starts_with(&*self.topic) {
            return;
        }
        let cost = u64::try_from(attempt.elapsed.as_millis()).unwrap_or(u64::MAX);
        let began = SystemClock.epoch_millis().saturating_sub(cost);
        let kind = match published {
            Published {
                is_delayed: true, ..
            } => TracedKind::Delayed,
            Published { is_half: true, .. } => TracedKind::Half,
            _ => TracedKind::Normal,
        };
        let offset_message_id = published.offset_message_id.map(ToString::to_string);
        let record = PublishTrace {
            message: TracedMessage {
                timestamp: i64::try_from(began).unwrap_or(i64::MAX),
                region: &told.region,
                group: &self.group,
                topic: self.without_namespace(published.topic),
                message_id: published.message_id,
                tags: published.tags,
                keys: published.keys,
                store_host: attempt.address(),
            },
            body_length: published.body_length,
            cost_millis: cost,
            kind,
            offset_message_id: offset_message_id.as_deref(),
            is_success: published.status == SendStatus::SendOk,
        };
        let mut text = String::with_capacity(256);
        record.write(&mut text);
        self.take(text, published.message_id, published.keys);
    }

    /// Notes the end of a transaction (Java: `EndTransactionTraceHookImpl`).
    pub(crate) fn transaction_ends(&self, end: &EndTransactionContext<'_>) {
        if end.topic().starts_with(&*self.topic) {
            return;
        }
        let region = end.properties().get(property::MSG_REGION);
        let now = i64::try_from(SystemClock.epoch_millis()).unwrap_or(i64::MAX);
        let record = EndTransactionTrace {
            message: TracedMessage {
                timestamp: now,
                region: region.unwrap_or(DEFAULT_TRACE_REGION),
                group: &self.group,
                topic: self.without_namespace(end.topic()),
                message_id: end.message_id(),
                tags: end.tags(),
                keys: end.keys(),
                store_host: end.broker_address(),
            },
            kind: TracedKind::TransactionEnd,
            // Java: `TransactionMQProducer` gives the message's id.
            transaction_id: Some(end.transaction_id().unwrap_or_else(|| end.message_id())),
            state: end.state().java_name(),
            is_from_check: end.is_from_check(),
        };
        let mut text = String::with_capacity(256);
        record.write(&mut text);
        self.take(text, end.message_id(), end.keys());
    }

    /// Notes what a broker said that was to take a message back.
    pub(crate) fn recalled(&self, region: &str, topic: &str, message_id: &str, is_success: bool) {
        let record = RecallTrace {
            timestamp: i64::try_from(SystemClock.epoch_millis()).unwrap_or(i64::MAX),
            region,
            group: &self.group,
            topic: self.without_namespace(topic),
            message_id,
            is_success,
        };
        let mut text = String::with_capacity(128);
        record.write(&mut text);
        self.take(text, message_id, None);
    }

    /// Java: `NamespaceUtil.withoutNamespace`.
    fn without_namespace<'a>(&self, topic: &'a str) -> &'a str {
        let namespace = self.namespace.as_deref();
        namespace
            .and_then(|namespace| topic.strip_prefix(namespace))
            .unwrap_or(topic)
    }

    fn take(&self, text: String, message_id: &str, keys: Option<&str>) {
        if self.is_stopped.load(Relaxed) {
            self.drop_records(1);
            return;
        }
        let keys = match keys {
            Some(keys) => format!("{message_id} {keys}"),
            None => message_id.to_owned(),
        };
        if self
            .queue
            .try_send(Order::Send(Record { text, keys }))
            .is_err()
        {
            self.drop_records(1);
            self.warn_once("more messages are sent than can be traced");
        }
    }

    fn drop_records(&self, records: u64) {
        self.dropped.fetch_add(records, Relaxed);
    }

    fn warn_once(&self, cause: &str) {
        if !self.has_warned.swap(true, Relaxed) {
            warn!(
                topic = %self.topic, cause,
                "message traces are dropped; said once, statistics count them"
            );
        }
    }

    /// Sends all records that are there, `deadline` at the latest.
    pub(crate) async fn flush(&self, deadline: Instant) {
        if self.orders().is_some() {
            // No task has begun, so nothing was sent that could have left a record.
            return;
        }
        let (told, done) = oneshot::channel();
        let flush = async {
            if self.queue.send(Order::Flush(told)).await.is_ok() {
                // Without an answer the task has ended.
                let _ = done.await;
            }
        };
        if timeout_at(deadline, flush).await.is_err() {
            debug!(topic = %self.topic, "message traces were not all sent before the end");
        }
    }

    /// The task that sends, until the producer is dropped or shut down.
    pub(crate) fn task(
        self: &Arc<Self>,
        core: Weak<Core>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let tracer = Arc::clone(self);
        let orders = self.orders().take();
        async move {
            if let Some(orders) = orders {
                tracer.run(&core, orders).await;
            }
        }
    }

    fn orders(&self) -> MutexGuard<'_, Option<mpsc::Receiver<Order>>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, core: &Weak<Core>, mut orders: mpsc::Receiver<Order>) {
        let mut letter = Letter::default();
        let mut leave = Instant::now();
        loop {
            let order = if letter.is_empty() {
                Ok(orders.recv().await)
            } else {
                timeout_at(leave, orders.recv()).await
            };
            match order {
                Ok(Some(Order::Send(record))) => {
                    if !letter.has_room(&record) {
                        self.send(core, std::mem::take(&mut letter)).await;
                    }
                    if letter.is_empty() {
                        leave = Instant::now() + LINGER;
                    }
                    letter.add(&record);
                }
                Ok(Some(Order::Flush(told))) => {
                    self.send(core, std::mem::take(&mut letter)).await;
                    // Whoever waited may have gone.
                    let _ = told.send(());
                }
                // The producer was dropped.
                Ok(None) => return,
                Err(_) => self.send(core, std::mem::take(&mut letter)).await,
            }
        }
    }

    async fn send(&self, core: &Weak<Core>, letter: Letter) {
        let records = letter.records;
        if records == 0 {
            return;
        }
        let outcome = match (core.upgrade(), letter.into_message(&self.topic)) {
            (Some(core), Ok(message)) if !self.is_stopped.load(Relaxed) => {
                let deadline = Instant::now() + SEND_TIMEOUT;
                core.send_aside(&message, deadline).await
            }
            (_, Err(error)) => Err(SendFailure::Message(error)),
            _ => Err(SendFailure::Shutdown),
        };
        match outcome {
            Ok(()) => {
                self.sent.fetch_add(records, Relaxed);
            }
            Err(failure) => {
                self.drop_records(records);
                let cause = failure.with_causes();
                debug!(topic = %self.topic, records, cause, "message traces were not stored");
                if is_final(&failure) && !self.is_stopped.swap(true, Relaxed) {
                    warn!(topic = %self.topic, cause, "message traces have stopped; messages go on");
                } else if !matches!(failure, SendFailure::Shutdown) {
                    self.warn_once(&cause);
                }
            }
        }
    }
}

/// Whether no trace could be sent until an operator does something: there is no right to the topic.
fn is_final(failure: &SendFailure) -> bool {
    match failure {
        SendFailure::Refused { code, remark } => {
            ResponseClass::of(*code, Some(remark)).retry() == RetryRule::Never
        }
        _ => false,
    }
}
