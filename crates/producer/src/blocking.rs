//! The producer for threads that do not await.
//!
//! A blocking call never runs the producer's work on the calling thread: it hands it to the runtime
//! that runs the producer and waits. So it cannot panic inside a runtime, and it can only deadlock
//! if that runtime has no thread but the caller's, which is told apart and refused.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::batch::BatchError;
use crate::config::routing::RoutingError;
use crate::config::routing::remoting::Message;
use crate::config::routing::remoting::message::MessageId;
use crate::error::{BlockingFailure, SendError, SendFailure, StartError};
use crate::options::SendOptions;
use crate::producer::Producer;
use crate::recall::RecallError;
use crate::receipt::SendReceipt;
use crate::reply::Reply;
use crate::report::{FlushReport, ShutdownReport};
use crate::request::RequestError;
use crate::stats::ProducerStats;

/// Time beyond a call's own budget before its runtime counts as stalled.
pub(crate) const SLACK: Duration = Duration::from_secs(1);

/// Longest wait for a blocking start.
const START_PATIENCE: Duration = Duration::from_secs(60 * 60);

/// A [`Producer`] whose calls block the calling thread.
///
/// Made by [`ProducerBuilder::start_blocking`](crate::ProducerBuilder::start_blocking), with a
/// runtime of its own, its calls work on any thread, inside and outside of other runtimes. Made by
/// [`Producer::blocking`], they work on any thread that the producer's runtime can do without: a
/// call inside a current-thread runtime that runs the producer itself is refused.
///
/// Inside an async task prefer [`Producer::send`]: a blocked thread runs no other task.
#[derive(Clone)]
pub struct BlockingProducer {
    producer: Producer,
    /// Kept alive by the last handle.
    _runtime: Option<Arc<OwnRuntime>>,
}

impl fmt::Debug for BlockingProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.producer.fmt(f)
    }
}

/// A runtime that may be dropped anywhere, also inside another runtime.
#[derive(Debug)]
pub(crate) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    fn new() -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rocketmq-producer")
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => Ok(Self(Some(runtime))),
            Err(error) => Err(StartError::Runtime(Arc::new(error))),
        }
    }

    fn handle(&self) -> Option<Handle> {
        self.0.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl BlockingProducer {
    pub(crate) const fn of(producer: Producer) -> Self {
        Self {
            producer,
            _runtime: None,
        }
    }

    /// Starts a producer on a runtime of its own.
    pub(crate) fn start(producer: Producer) -> Result<Self, StartError> {
        let runtime = producer.core.client.own_runtime(OwnRuntime::new)?;
        // Nobody else is on the threads of a runtime of our own.
        let home = Home {
            handle: runtime
                .handle()
                .ok_or(BlockingFailure::RuntimeGone)
                .map_err(StartError::Blocking)?,
            only_thread: None,
        };
        let starting = producer.clone();
        let start = async move { starting.start().await };
        wait_for(&home, START_PATIENCE, start).map_err(StartError::Blocking)??;
        Ok(Self {
            producer,
            _runtime: Some(runtime),
        })
    }

    /// Sends a message and blocks until its outcome.
    ///
    /// # Errors
    /// As [`Producer::send`]; further [`SendFailure::Blocking`] if the call would wait for its own
    /// thread, or if the producer's runtime did not run it.
    pub fn send(&self, message: Message) -> Result<SendReceipt, SendError> {
        self.send_with(message, SendOptions::default())
    }

    /// [`send`](Self::send) under the name of the documents.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_sync(&self, message: Message) -> Result<SendReceipt, SendError> {
        self.send(message)
    }

    /// Sends a message with options of its own.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_with(
        &self,
        message: Message,
        options: SendOptions,
    ) -> Result<SendReceipt, SendError> {
        self.run(message, options, |producer, message, options| async move {
            producer.send_with(message, options).await
        })
    }

    /// Sends messages of one topic in as few requests as possible, and blocks until each has its outcome.
    ///
    /// # Errors
    /// As [`Producer::send_batch`] and [`send`](Self::send).
    pub fn send_batch(
        &self,
        messages: impl IntoIterator<Item = Message>,
    ) -> Result<Vec<SendReceipt>, BatchError> {
        let messages: Vec<_> = messages.into_iter().collect();
        let topics: Vec<_> = messages
            .iter()
            .map(|it| Arc::clone(it.topic_shared()))
            .collect();
        let fail = |cause: SendFailure| {
            let fail =
                |topic| SendError::new(topic, None, Duration::ZERO, Vec::new(), cause.clone());
            let results = topics.into_iter().map(|topic| Err(fail(topic)));
            Err(BatchError::of_results(results.collect()))
        };
        let Some(home) = self.producer.core.home() else {
            return fail(SendFailure::State(self.producer.state()));
        };
        let limit = self
            .producer
            .config()
            .send_msg_timeout
            .saturating_add(SLACK);
        let producer = self.producer.clone();
        let call = async move { producer.send_batch(messages).await };
        wait_for(&home, limit, call).unwrap_or_else(|cause| fail(SendFailure::Blocking(cause)))
    }

    /// Sends a message without asking for an answer, and blocks until it was written.
    ///
    /// # Errors
    /// As [`Producer::send_oneway`] and [`send`](Self::send).
    pub fn send_oneway(&self, message: Message) -> Result<MessageId, SendError> {
        let options = SendOptions::default();
        self.run(message, options, |producer, message, options| async move {
            producer.send_oneway_with(message, options).await
        })
    }

    /// Sends a request, as [`Producer::request`], and blocks until its reply, for `timeout` at most.
    ///
    /// # Errors
    /// As there; [`RequestError::Send`] with [`SendFailure::Blocking`] if the call would wait for its own thread, or if
    /// the producer's runtime did not run it.
    pub fn request(&self, message: Message, timeout: Duration) -> Result<Reply, RequestError> {
        self.request_with(message, timeout, SendOptions::default())
    }

    /// Sends a request with options of its own, as [`Producer::request_with`], and blocks until its reply.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub fn request_with(
        &self,
        message: Message,
        timeout: Duration,
        options: SendOptions,
    ) -> Result<Reply, RequestError> {
        let topic = Arc::clone(message.topic_shared());
        let fail = |cause| {
            let error = SendError::new(topic, None, Duration::ZERO, Vec::new(), cause);
            Err(RequestError::Send(Box::new(error)))
        };
        let Some(home) = self.producer.core.home() else {
            return fail(SendFailure::State(self.producer.state()));
        };
        let producer = self.producer.clone();
        let call = async move { producer.request_with(message, timeout, options).await };
        wait_for(&home, timeout.saturating_add(SLACK), call)
            .unwrap_or_else(|cause| fail(SendFailure::Blocking(cause)))
    }

    /// Takes a timer message back, as [`Producer::recall`], and blocks until the outcome.
    ///
    /// # Errors
    /// As there; [`RecallError::Failed`] with [`SendFailure::Blocking`] if the call would wait for its own thread, or
    /// if the producer's runtime did not run it.
    pub fn recall(&self, topic: &str, handle: &str) -> Result<String, RecallError> {
        let Some(home) = self.producer.core.home() else {
            let state = self.producer.state();
            return Err(RecallError::Failed(SendFailure::State(state)));
        };
        let limit = self
            .producer
            .config()
            .send_msg_timeout
            .saturating_add(SLACK);
        let producer = self.producer.clone();
        let (topic, handle) = (topic.to_owned(), handle.to_owned());
        let call = async move { producer.recall(&topic, &handle).await };
        wait_for(&home, limit, call)
            .unwrap_or_else(|cause| Err(RecallError::Failed(SendFailure::Blocking(cause))))
    }

    /// Waits until every send called before has its outcome, as [`Producer::flush`].
    ///
    /// # Errors
    /// [`BlockingFailure`] if the call would wait for its own thread, or if the producer's runtime has ended.
    pub fn flush(&self, patience: Duration) -> Result<FlushReport, BlockingFailure> {
        let Some(home) = self.producer.core.home() else {
            // Nothing was ever sent.
            return Ok(FlushReport::default());
        };
        let producer = self.producer.clone();
        let limit = patience.saturating_add(SLACK);
        wait_for(&home, limit, async move { producer.flush(patience).await })
    }

    /// Waits until a topic exists, as [`Producer::wait_for_topic`].
    ///
    /// # Errors
    /// As there, within the inner result; [`BlockingFailure`] if the call would wait for its own thread, or if the
    /// producer's runtime has ended or was never begun.
    pub fn wait_for_topic(
        &self,
        topic: &str,
        patience: Duration,
    ) -> Result<Result<(), RoutingError>, BlockingFailure> {
        let home = self.producer.core.home();
        let home = home.ok_or(BlockingFailure::RuntimeGone)?;
        let (producer, topic) = (self.producer.clone(), topic.to_owned());
        let limit = patience.saturating_add(SLACK);
        wait_for(&home, limit, async move {
            producer.wait_for_topic(&topic, patience).await
        })
    }

    /// Shuts the producer down, as [`Producer::shutdown`].
    ///
    /// # Errors
    /// [`BlockingFailure`] if the call would wait for its own thread, or if the producer's runtime
    /// has ended; there is nothing left to shut down then.
    pub fn shutdown(&self, patience: Duration) -> Result<ShutdownReport, BlockingFailure> {
        let core = &self.producer.core;
        let Some(home) = core.home() else {
            return core
                .shutdown_unstarted()
                .ok_or(BlockingFailure::RuntimeGone);
        };
        let producer = self.producer.clone();
        let limit = patience.saturating_add(SLACK * 3);
        let shutdown = async move { producer.shutdown(patience).await };
        wait_for(&home, limit, shutdown)
    }

    /// What the producer has done so far.
    #[must_use]
    pub fn stats(&self) -> ProducerStats {
        self.producer.stats()
    }

    /// The producer itself, for what does not block.
    #[must_use]
    pub const fn producer(&self) -> &Producer {
        &self.producer
    }

    fn run<T, F>(
        &self,
        message: Message,
        options: SendOptions,
        send: impl FnOnce(Producer, Message, SendOptions) -> F,
    ) -> Result<T, SendError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, SendError>> + Send + 'static,
    {
        let topic = Arc::clone(message.topic_shared());
        let fail = |cause| SendError::new(topic, None, Duration::ZERO, Vec::new(), cause);
        let Some(home) = self.producer.core.home() else {
            return Err(fail(SendFailure::State(self.producer.state())));
        };
        let budget = options
            .timeout
            .unwrap_or_else(|| self.producer.config().send_msg_timeout);
        let call = send(self.producer.clone(), message, options);
        wait_for(&home, budget.saturating_add(SLACK), call)
            .unwrap_or_else(|failure| Err(fail(SendFailure::Blocking(failure))))
    }
}

/// The runtime that a producer was started on.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    handle: Handle,
    /// The thread that runs all its tasks, if there is but one.
    only_thread: Option<ThreadId>,
}

impl Home {
    /// The runtime.
    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The runtime that this is called on.
    pub(crate) async fn here(tasks: &TaskTracker) -> Self {
        let handle = Handle::current();
        let only_thread = if handle.metrics().num_workers() == 1 {
            // Where this future is polled says nothing: `block_on` may do that on any thread.
            let thread = async { thread::current().id() };
            tasks.spawn_on(thread, &handle).await.ok()
        } else {
            None
        };
        Self {
            handle,
            only_thread,
        }
    }
}

/// Runs `work` on the runtime of `home` and blocks until it is done, `limit` at most.
pub(crate) fn wait_for<T: Send + 'static>(
    home: &Home,
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, BlockingFailure> {
    let handle = &home.handle;
    let inside = Handle::try_current().is_ok_and(|here| here.id() == handle.id());
    if inside && home.only_thread == Some(thread::current().id()) {
        return Err(BlockingFailure::WouldDeadlock);
    }
    let (done, outcome) = sync_channel(1);
    let given_up = CancellationToken::new();
    let begun = Arc::new(AtomicBool::new(false));
    let work = {
        let (given_up, begun) = (given_up.clone(), Arc::clone(&begun));
        async move {
            begun.store(true, Ordering::Release);
            if let Some(outcome) = given_up.run_until_cancelled(work).await {
                // The caller may have given up just now.
                let _ = done.send(outcome);
            }
        }
    };
    if inside {
        // A task spawned from a worker thread goes to that worker first, and this one is about to
        // block. One spawned from a thread for blocking work goes to whoever is free.
        let spawner = handle.clone();
        handle.spawn_blocking(move || {
            spawner.spawn(work);
        });
    } else {
        handle.spawn(work);
    }
    match outcome.recv_timeout(limit) {
        Ok(outcome) => Ok(outcome),
        Err(RecvTimeoutError::Disconnected) if begun.load(Ordering::Acquire) => {
            Err(BlockingFailure::Interrupted)
        }
        Err(RecvTimeoutError::Disconnected) => Err(BlockingFailure::RuntimeGone),
        Err(RecvTimeoutError::Timeout) => {
            given_up.cancel();
            Err(BlockingFailure::Stalled)
        }
    }
}
