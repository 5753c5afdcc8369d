//! The producer's handle.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::admin::{Admin, AdminError};
use crate::batch::BatchError;
use crate::blocking::BlockingProducer;
use crate::builder::ProducerBuilder;
use crate::config::ProducerConfig;
use crate::config::routing::remoting::Message;
use crate::config::routing::remoting::message::MessageId;
use crate::config::routing::{
    BrokerHealthInfo, HealthEvents, MessageRouter, NameServerClient, RoutingError,
    TopicBrokerMapping,
};
use crate::core::Core;
use crate::deadline;
use crate::error::{BuildError, SendError, StartError};
use crate::heartbeat::HeartbeatReport;
use crate::lanes::Lane;
use crate::lifecycle::State;
use crate::metrics::MetricsSnapshot;
use crate::options::SendOptions;
use crate::preheat::PreheatReport;
use crate::rank::InstanceRank;
use crate::recall::RecallError;
use crate::receipt::SendReceipt;
use crate::reply::Reply;
use crate::report::{FlushReport, ShutdownReport};
use crate::request::RequestError;
use crate::stats::ProducerStats;
use crate::stream::{SendAll, SendSink};

/// A producer of messages. Clones are handles to the same producer and may be used from any task.
///
/// Dropping the last handle ends background work and closes connections without waiting and
/// without telling the brokers; [`shutdown`](Self::shutdown) does both.
#[derive(Clone)]
pub struct Producer {
    pub(crate) core: Arc<Core>,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}

/// A producer for `group` with default settings at these name servers (pyrocketmq:
/// `create_producer`). It is not started yet.
///
/// # Errors
/// [`BuildError`] if the group or the addresses are not valid.
pub fn create_producer(group: &str, name_servers: &str) -> Result<Producer, BuildError> {
    Producer::builder(group).name_servers(name_servers).build()
}

impl Producer {
    /// Begins a producer of the given group.
    pub fn builder(group: &str) -> ProducerBuilder {
        ProducerBuilder::new(group)
    }

    /// Begins a producer with settings that were resolved before.
    pub fn from_config(config: ProducerConfig) -> ProducerBuilder {
        ProducerBuilder::from_config(config)
    }

    /// Makes the topics to preheat ready and begins background work: heartbeats and route polls.
    /// Calls at the same time share one start; a started producer returns at once.
    ///
    /// Without topics to preheat it does no network I/O: routes and connections come with the
    /// first send.
    ///
    /// # Errors
    /// [`StartError::Preheat`] or [`StartError::UnknownTopic`] if a required topic is not ready, and
    /// [`StartError::State`] after a shutdown.
    ///
    /// # Cancel safety
    /// Dropped midway, the producer is not started and may be started again.
    pub async fn start(&self) -> Result<PreheatReport, StartError> {
        self.core.start().await
    }

    /// Takes no more messages, waits for the sends under way, tells the brokers, and closes all
    /// connections, all within `patience`, plus at most a second for cutting off what is left.
    /// Calls at the same time, and later ones, return the report of the first.
    ///
    /// # Cancel safety
    /// Dropped midway, no message is taken any more, and the next call goes on.
    pub async fn shutdown(&self, patience: Duration) -> ShutdownReport {
        self.core.shutdown(patience).await
    }

    /// Waits until every send that was called before has its outcome, `patience` at most. Sends called meanwhile go on
    /// and are not waited for. Use it as a checkpoint; [`shutdown`](Self::shutdown) flushes too.
    ///
    /// Messages that wait for others (setting `batch_linger`) go at once. Else it only waits: a send makes progress as long as its future is polled, so a future that nobody polls keeps a
    /// flush waiting.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn flush(&self, patience: Duration) -> FlushReport {
        let deadline = deadline::after(Instant::now(), patience);
        self.core.flush(deadline).await
    }

    /// Sends a message and waits for the broker's receipt.
    ///
    /// One budget, `send_msg_timeout`, covers waiting for a place, fetching the route, every
    /// attempt and the pauses between them. A message with a sharding key goes to the queue of its
    /// key; any other by the producer's strategy, and to another broker when one fails.
    ///
    /// # Errors
    /// A [`SendError`] that tells [whether the message may be stored](SendError::delivery), why,
    /// what was tried, and what to do. An attempt whose outcome is unknown is tried again, so the
    /// message may then be stored twice, under the same message id.
    ///
    /// # Cancel safety
    /// Dropped before its first poll, or while it waits for a place, nothing is sent. Dropped
    /// later, the message may be stored, and nobody learns of it.
    pub fn send(
        &self,
        message: Message,
    ) -> impl Future<Output = Result<SendReceipt, SendError>> + Send {
        // Not an `async fn`, whose future has room for each argument twice. And not made anew, so that no future has to
        // keep it.
        static AS_SET: SendOptions = SendOptions::new();
        async move { self.core.send(&message, &AS_SET, true).await }
    }

    /// Sends a message with options of its own: timeout, queue, or selector.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    #[expect(
        clippy::manual_async_fn,
        reason = "the future of an async fn has room for each argument twice"
    )]
    pub fn send_with(
        &self,
        message: Message,
        options: SendOptions,
    ) -> impl Future<Output = Result<SendReceipt, SendError>> + Send {
        async move { self.core.send(&message, &options, true).await }
    }

    /// Sends a message if there is a place for it now, and waits for the broker's receipt.
    ///
    /// It never waits for a place: not among the sends under way, not at the one broker that the message is bound to,
    /// not for its turn among ordered messages. What it waits for is the route, if the topic's is not known yet, a large
    /// body's compression, and the answer with what that takes: connecting, retries and pauses, all within the budget.
    ///
    /// # Errors
    /// [`ErrorKind::QueueFull`](crate::ErrorKind::QueueFull) at once, not sent, if there is no place; otherwise as
    /// [`send`](Self::send).
    ///
    /// # Cancel safety
    /// Dropped before its first poll, nothing is sent. Dropped later, the message may be stored, and nobody learns of
    /// it.
    pub async fn try_send(&self, message: Message) -> Result<SendReceipt, SendError> {
        let options = SendOptions::default().immediate();
        self.core.send(&message, &options, true).await
    }

    /// As [`try_send`](Self::try_send), with options of its own.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    ///
    /// # Cancel safety
    /// As [`try_send`](Self::try_send).
    pub async fn try_send_with(
        &self,
        message: Message,
        options: SendOptions,
    ) -> Result<SendReceipt, SendError> {
        self.core.send(&message, &options.immediate(), true).await
    }

    /// Sends messages of one topic in as few requests as possible, and waits for all outcomes. Every message keeps its
    /// own id and has its own receipt, in the order given.
    ///
    /// Any number may be given: they are cut into requests by their encoded size (settings `batch_max_bytes`,
    /// `batch_split_type`, `batch_size`). Without a sharding key each request goes to a queue of its own, several at the
    /// same time. Messages of one queue, by sharding key, go in their order, one request after the other.
    ///
    /// # Errors
    /// A [`BatchError`] with the result of every message if not all got a receipt. Nothing is sent if there is no
    /// message, if topics or `WAIT` differ, or if one is of a kind that brokers take by itself only
    /// ([`BatchError::rule`]). A message that exceeds a limit fails alone. If a request fails, so do its messages.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send), for each message; requests that have not begun are not sent.
    pub async fn send_batch(
        &self,
        messages: impl IntoIterator<Item = Message>,
    ) -> Result<Vec<SendReceipt>, BatchError> {
        let messages: Vec<_> = messages.into_iter().collect();
        self.core
            .send_batch(&messages, &SendOptions::default())
            .await
    }

    /// Sends messages with options of their own: one timeout for all; a queue for all; a selector, asked for each.
    ///
    /// # Errors
    /// As [`send_batch`](Self::send_batch).
    ///
    /// # Cancel safety
    /// As [`send_batch`](Self::send_batch).
    pub async fn send_batch_with(
        &self,
        messages: impl IntoIterator<Item = Message>,
        options: SendOptions,
    ) -> Result<Vec<SendReceipt>, BatchError> {
        let messages: Vec<_> = messages.into_iter().collect();
        self.core.send_batch(&messages, &options).await
    }

    /// Sends the messages of a stream, at most `concurrency` (at least 1) at a time, and gives their outcomes in the order
    /// of the messages; [`as_completed`](SendAll::as_completed) gives them as they come. An error ends nothing: the
    /// messages after it are sent too, until the caller takes no more outcomes.
    ///
    /// It takes the next message only when one of its places is free, so it never holds more than `concurrency`. All
    /// else is as in [`send_with`](Self::send_with). Sends make progress only while it is polled.
    ///
    /// ```
    /// # use rocketmq_producer_core::{Producer, SendError};
    /// # use rocketmq_producer_core::config::routing::remoting::Message;
    /// use futures_util::{StreamExt, stream};
    ///
    /// # async fn example(producer: Producer, messages: Vec<Message>) -> Result<(), SendError> {
    /// let mut outcomes = producer.send_all(stream::iter(messages), 64);
    /// let progress = outcomes.progress();
    /// while let Some(outcome) = outcomes.next().await {
    ///     let receipt = outcome?;
    ///     println!("{}, {} of {}", receipt.message_id(), progress.acked(), progress.begun());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Waiting for the next outcome may be given up and taken up again. Dropping the stream of outcomes drops the sends
    /// under way: their messages may be stored, and nobody learns of it. What was not taken from the input stays there.
    pub fn send_all<S: Stream<Item = Message>>(
        &self,
        messages: S,
        concurrency: usize,
    ) -> SendAll<S> {
        SendAll::new(self.clone(), messages, concurrency)
    }

    /// A sink that sends what is fed into it, at most `concurrency` (at least 1) messages at a time.
    pub fn sink(&self, concurrency: usize) -> SendSink {
        SendSink::new(self.clone(), concurrency)
    }

    /// Sends a message and waits until its consumer replies, `timeout` at most for both. Any number of requests may wait
    /// at the same time, up to the setting `async_send_semaphore`.
    ///
    /// The consumer must be one that replies (Java: `MessageUtil.createReplyMessage`). Replies that nobody waits for any
    /// more are counted ([`ProducerStats::late_replies`]). A request that is sent again, because its outcome was
    /// unknown, may be replied to twice; the first reply counts.
    ///
    /// # Errors
    /// A [`RequestError`] that tells whether the request was stored.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send); the reply to a request that was dropped is counted as late.
    pub async fn request(
        &self,
        message: Message,
        timeout: Duration,
    ) -> Result<Reply, RequestError> {
        self.request_with(message, timeout, SendOptions::default())
            .await
    }

    /// As [`request`](Self::request), with options of its own; a timeout among them does not count.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    ///
    /// # Cancel safety
    /// As [`request`](Self::request).
    pub async fn request_with(
        &self,
        message: Message,
        timeout: Duration,
        options: SendOptions,
    ) -> Result<Reply, RequestError> {
        // Rare beside sends, and kept for long.
        Box::pin(self.core.request(message, timeout, options)).await
    }

    /// Sends a message without asking for an answer; done when its last byte was handed to the
    /// operating system. Whether a broker stored it cannot be known: a broker under load drops
    /// one-way messages without a word. The setting `oneway_rate` bounds how many go out a second.
    ///
    /// It holds a place among the sends under way until it is written, and fails where it can be known that nothing
    /// will be stored: no route, no connection, a connection that breaks before the last byte is taken.
    ///
    /// # Errors
    /// A [`SendError`] if the message was not written whole.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_oneway(&self, message: Message) -> Result<MessageId, SendError> {
        let options = SendOptions::default().oneway();
        self.core.send_oneway(&message, &options).await
    }

    /// Sends a one-way message with options of its own.
    ///
    /// # Errors
    /// As [`send_oneway`](Self::send_oneway).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_oneway_with(
        &self,
        message: Message,
        options: SendOptions,
    ) -> Result<MessageId, SendError> {
        let options = options.oneway();
        self.core.send_oneway(&message, &options).await
    }

    /// Takes a timer message back before its time, so that it is never delivered; returns its message id. `handle` is
    /// the text of the receipt's [`recall_handle`](SendReceipt::recall_handle). Java: `recallMessage`.
    ///
    /// For brokers of 5.3 and later whose setting `recallMessageEnable` is on; it is off unless changed. One request is
    /// made, within `send_msg_timeout`; it may be made again, since taking back twice does no harm.
    ///
    /// # Errors
    /// A [`RecallError`]. A handle that is none, or of another topic, is refused before anything is sent.
    ///
    /// # Cancel safety
    /// Dropped midway, the message may or may not be taken back.
    pub async fn recall(&self, topic: &str, handle: &str) -> Result<String, RecallError> {
        self.core.recall(topic, handle).await
    }

    /// Sends a message and blocks until its outcome: [`blocking`](Self::blocking) for one call.
    ///
    /// # Errors
    /// As [`BlockingProducer::send`].
    pub fn send_sync(&self, message: Message) -> Result<SendReceipt, SendError> {
        self.blocking().send(message)
    }

    /// The same producer for threads that do not await.
    #[must_use]
    pub fn blocking(&self) -> BlockingProducer {
        BlockingProducer::of(self.clone())
    }

    /// Sends a heartbeat to the master of every broker in the cached routes, in parallel, and waits
    /// for the answers. Background work does the same on its interval.
    ///
    /// # Cancel safety
    /// Safe; some heartbeats may have been sent.
    pub async fn send_heartbeat_to_all_brokers(&self) -> HeartbeatReport {
        self.core.client.heartbeat_all().await
    }

    /// Lets messages of a lane be sent again that was stopped because the outcome of one is unknown (setting
    /// `ordered_on_unknown`). The lane comes with the errors of the refused ones, in
    /// [`SendFailure::LaneStopped`](crate::SendFailure::LaneStopped). Returns whether it was stopped.
    pub fn resume_lane(&self, lane: &Lane) -> bool {
        self.core.lanes.resume(lane)
    }

    /// The lanes that are stopped now, in no order.
    #[must_use]
    pub fn stopped_lanes(&self) -> Vec<Lane> {
        self.core.lanes.stopped()
    }

    /// What the producer has done so far.
    #[must_use]
    pub fn stats(&self) -> ProducerStats {
        self.core.stats()
    }

    /// What the producer and the layers below it have done so far: counts, latencies, ages. Reading it takes some
    /// microseconds and disturbs no send.
    #[must_use]
    pub fn metrics(&self) -> MetricsSnapshot {
        MetricsSnapshot::of(&self.core)
    }

    /// Waits until a topic exists and has a broker to send to, `patience` at most, asking the name servers at once and
    /// then after growing pauses. Not for topics that a broker is to create with the first message: send instead.
    ///
    /// # Errors
    /// When the time is over, what stood in the way last; see [`TopicBrokerMapping::wait_for_topic`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn wait_for_topic(
        &self,
        topic: &str,
        patience: Duration,
    ) -> Result<(), RoutingError> {
        let deadline = deadline::after(Instant::now(), patience);
        let topic = self.core.topic_name(topic);
        let ready = self.mapping().wait_for_topic(&topic, deadline);
        ready.await.map(|_| ())
    }

    /// The health of every known broker at this moment: state and cause, connectivity, success rate, latencies, what is
    /// under way, the next probe. One record for each broker and address.
    #[must_use]
    pub fn broker_health(&self) -> Vec<BrokerHealthInfo> {
        self.core.client.registry.infos()
    }

    /// Follows [`broker_health`](Self::broker_health): a new value whenever a broker changes its condition, comes or
    /// goes.
    #[must_use]
    pub fn watch_broker_health(&self) -> watch::Receiver<Arc<[BrokerHealthInfo]>> {
        self.core.client.registry.watch()
    }

    /// Every change of a broker's condition from now on. Who reads too slowly is told how many were missed.
    #[must_use]
    pub fn health_events(&self) -> HealthEvents {
        self.core.client.registry.events()
    }

    /// The name servers in use, and how their discovery goes.
    #[must_use]
    pub fn name_servers(&self) -> &NameServerClient {
        &self.core.client.source
    }

    /// Administration over this producer's connections: topics, offsets, stored messages. It works from
    /// [`start`](Self::start) to shutdown.
    #[must_use]
    pub fn admin(&self) -> Admin {
        self.core.admin()
    }

    /// The place of this producer among the instances of its group in all processes, as the brokers know them by their
    /// heartbeats. The setting `spread_by_rank` has the round robin begin by it.
    ///
    /// # Errors
    /// As [`Admin::producer_connections`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn instance_rank(&self) -> Result<InstanceRank, AdminError> {
        self.core.instance_rank().await
    }

    /// The state it is in.
    #[must_use]
    pub fn state(&self) -> State {
        self.core.state.get()
    }

    /// Whether messages are taken.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state() == State::Running
    }

    /// The settings it was built with.
    #[must_use]
    pub fn config(&self) -> &ProducerConfig {
        &self.core.config
    }

    /// The producer group as brokers know it: with a namespace before it, if there is one.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.core.group
    }

    /// The id that brokers know this instance by.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.core.client.id
    }

    /// The routing decisions: strategy, statistics, broker health, suspending a broker.
    #[must_use]
    pub fn router(&self) -> &MessageRouter {
        &self.core.router
    }

    /// The cache of topic routes.
    #[must_use]
    pub fn mapping(&self) -> &TopicBrokerMapping {
        self.core.router.mapping()
    }
}
