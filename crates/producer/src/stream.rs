//! Many messages from a stream, or into a sink, so many at a time.

mod pump;
mod sink;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use pin_project_lite::pin_project;

use self::pump::{Pump, Sender, Sending};
pub use self::sink::SendSink;
use crate::config::routing::remoting::Message;
use crate::error::SendError;
use crate::options::SendOptions;
use crate::producer::Producer;
use crate::receipt::SendReceipt;

/// How far a stream of sends is. Clones show the same, from any task.
#[derive(Debug, Clone, Default)]
pub struct SendProgress {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicU64,
    acked: AtomicU64,
    failed: AtomicU64,
}

impl SendProgress {
    /// Messages taken from the input.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.counts.begun.load(Relaxed)
    }

    /// Messages that brokers acknowledged.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.counts.acked.load(Relaxed)
    }

    /// Messages that ended with an error.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.counts.failed.load(Relaxed)
    }

    /// Notes that one begins, and gives its number.
    fn begin(&self) -> u64 {
        self.counts.begun.fetch_add(1, Relaxed)
    }

    fn end(&self, is_acked: bool) {
        let counter = if is_acked {
            &self.counts.acked
        } else {
            &self.counts.failed
        };
        counter.fetch_add(1, Relaxed);
    }
}

pin_project! {
    /// The outcomes of the messages of a stream, in the order of the messages. Made by [`Producer::send_all`].
    ///
    /// An outcome that is ready waits for those before it, and counts among the sends at a time until it is taken.
    #[must_use = "nothing is sent until it is polled"]
    pub struct SendAll<S> {
        #[pin]
        pump: Pump<S, FuturesOrdered<Sending>>,
    }
}

pin_project! {
    /// The outcomes of the messages of a stream as they come, each with the number of its message, from 0. Made by
    /// [`SendAll::as_completed`].
    #[must_use = "nothing is sent until it is polled"]
    pub struct SendAllAsCompleted<S> {
        #[pin]
        pump: Pump<S, FuturesUnordered<Sending>>,
    }
}

impl<S: Stream<Item = Message>> SendAll<S> {
    pub(crate) fn new(producer: Producer, messages: S, concurrency: usize) -> Self {
        let sender = Sender::new(producer);
        Self {
            pump: Pump::new(sender, messages, concurrency),
        }
    }

    /// Sends every message with these options.
    pub fn options(mut self, options: SendOptions) -> Self {
        self.pump.sender.options = options;
        self
    }

    /// Gives each outcome as soon as it is known. To be called before the first poll: what was begun is dropped.
    pub fn as_completed(self) -> SendAllAsCompleted<S> {
        SendAllAsCompleted {
            pump: self.pump.into_other(),
        }
    }

    /// Shows how far it is, also from another task.
    #[must_use]
    pub fn progress(&self) -> SendProgress {
        self.pump.sender.progress.clone()
    }
}

impl<S: Stream<Item = Message>> SendAllAsCompleted<S> {
    /// Shows how far it is, also from another task.
    #[must_use]
    pub fn progress(&self) -> SendProgress {
        self.pump.sender.progress.clone()
    }
}

impl<S: Stream<Item = Message>> Stream for SendAll<S> {
    type Item = Result<SendReceipt, SendError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.project().pump.poll_next(context);
        next.map(|next| next.map(|(_, outcome)| outcome))
    }
}

impl<S: Stream<Item = Message>> Stream for SendAllAsCompleted<S> {
    type Item = (u64, Result<SendReceipt, SendError>);

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().pump.poll_next(context)
    }
}

impl<S> fmt::Debug for SendAll<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendAll")
            .field("progress", &self.pump.sender.progress)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for SendAllAsCompleted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendAllAsCompleted")
            .field("progress", &self.pump.sender.progress)
            .finish_non_exhaustive()
    }
}
