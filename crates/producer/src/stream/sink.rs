//! A sink of messages.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::stream::FuturesUnordered;
use futures_util::{Sink, StreamExt};

use super::SendProgress;
use super::pump::{Sender, Sending};
use crate::config::routing::remoting::Message;
use crate::error::SendError;
use crate::options::SendOptions;
use crate::producer::Producer;

/// Sends what is fed into it, so many messages at a time. Made by [`Producer::sink`].
///
/// It is ready while there is room, and flushed when every message has its outcome. The error of a message comes with the
/// next call that is polled; the other messages go on, and so may the caller. Sends make progress only while the sink is
/// polled, by feeding or flushing it.
///
/// Dropped, it drops the sends under way: their messages may be stored, and nobody learns of it.
#[must_use = "messages are sent only while it is polled"]
pub struct SendSink {
    sender: Sender,
    flight: FuturesUnordered<Sending>,
    concurrency: usize,
}

impl SendSink {
    pub(crate) fn new(producer: Producer, concurrency: usize) -> Self {
        Self {
            sender: Sender::new(producer),
            flight: FuturesUnordered::new(),
            concurrency: concurrency.max(1),
        }
    }

    /// Sends every message from now on with these options.
    pub fn options(mut self, options: SendOptions) -> Self {
        self.sender.options = options;
        self
    }

    /// Shows how far it is, also from another task.
    #[must_use]
    pub fn progress(&self) -> SendProgress {
        self.sender.progress.clone()
    }

    /// Takes outcomes until at most `left` sends are under way, or one has failed.
    fn poll_down_to(
        &mut self,
        left: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        loop {
            match self.flight.poll_next_unpin(context) {
                Poll::Ready(Some((_, outcome))) => drop(outcome?),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending if self.flight.len() <= left => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Sink<Message> for SendSink {
    type Error = SendError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        let left = self.concurrency - 1;
        self.poll_down_to(left, context)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        self.flight.push(self.sender.begin(message));
        Ok(())
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        ready!(self.poll_down_to(0, context))?;
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_flush(context)
    }
}

impl fmt::Debug for SendSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendSink")
            .field("under_way", &self.flight.len())
            .field("progress", &self.sender.progress)
            .finish_non_exhaustive()
    }
}
