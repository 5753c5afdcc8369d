//! The producer for threads that do not await.
//!
//! A blocking call never runs the producer's work on the calling thread: it hands it to the runtime
//! that runs the producer and waits. So it cannot panic inside a runtime, and it can only deadlock
//! if that runtime has no thread but the caller's, which is told apart and refused.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use tokio::runtime::{Handle, Runtime, RuntimeFlavor};

use crate::config::routing::remoting::Message;
use crate::config::routing::remoting::message::MessageId;
use crate::error::{BlockingFailure, SendError, SendFailure, StartError};
use crate::options::SendOptions;
use crate::producer::Producer;
use crate::receipt::SendReceipt;
use crate::report::ShutdownReport;
use crate::stats::ProducerStats;

/// Time beyond a call's own budget before its runtime counts as stalled.
const SLACK: Duration = Duration::from_secs(1);

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
    runtime: Option<Arc<OwnRuntime>>,
}

impl fmt::Debug for BlockingProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.producer.fmt(f)
    }
}

/// A runtime that may be dropped anywhere, also inside another runtime.
struct OwnRuntime(Option<Runtime>);

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
            runtime: None,
        }
    }

    /// Starts a producer on a runtime of its own.
    pub(crate) fn start(producer: Producer) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rocketmq-producer")
            .enable_all()
            .build()
            .map_err(|error| StartError::Runtime(Arc::new(error)))?;
        let handle = runtime.handle().clone();
        let runtime = Some(Arc::new(OwnRuntime(Some(runtime))));
        let starting = producer.clone();
        let start = async move { starting.start().await };
        wait_for(&handle, START_PATIENCE, start).map_err(StartError::Blocking)??;
        Ok(Self { producer, runtime })
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

    /// Shuts the producer down, as [`Producer::shutdown`].
    ///
    /// # Errors
    /// [`BlockingFailure`] if the call would wait for its own thread, or if the producer's runtime
    /// has ended; there is nothing left to shut down then.
    pub fn shutdown(&self, patience: Duration) -> Result<ShutdownReport, BlockingFailure> {
        let handle = self.handle().ok_or(BlockingFailure::RuntimeGone)?;
        let producer = self.producer.clone();
        let limit = patience.saturating_add(SLACK * 3);
        wait_for(
            &handle,
            limit,
            async move { producer.shutdown(patience).await },
        )
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

    fn handle(&self) -> Option<Handle> {
        match &self.runtime {
            Some(own) => own.0.as_ref().map(|runtime| runtime.handle().clone()),
            None => self.producer.core.runtime.get().cloned(),
        }
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
        let Some(handle) = self.handle() else {
            return Err(fail(SendFailure::State(self.producer.state())));
        };
        let budget = options
            .timeout
            .unwrap_or_else(|| self.producer.config().send_msg_timeout);
        let call = send(self.producer.clone(), message, options);
        wait_for(&handle, budget.saturating_add(SLACK), call)
            .unwrap_or_else(|failure| Err(fail(SendFailure::Blocking(failure))))
    }
}

/// Runs `work` on the runtime of `handle` and blocks until it is done, `limit` at most.
fn wait_for<T: Send + 'static>(
    handle: &Handle,
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, BlockingFailure> {
    let here = Handle::try_current().ok();
    let only_thread = handle.runtime_flavor() == RuntimeFlavor::CurrentThread;
    if only_thread && here.is_some_and(|here| here.id() == handle.id()) {
        return Err(BlockingFailure::WouldDeadlock);
    }
    let (done, outcome) = sync_channel(1);
    let task = handle.spawn(async move {
        // The caller may have given up.
        let _ = done.send(work.await);
    });
    match outcome.recv_timeout(limit) {
        Ok(outcome) => Ok(outcome),
        Err(RecvTimeoutError::Disconnected) => Err(BlockingFailure::RuntimeGone),
        Err(RecvTimeoutError::Timeout) => {
            task.abort();
            Err(BlockingFailure::Stalled)
        }
    }
}
