//! Keeps so many sends of a stream under way.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{Fuse, FusedStream, FuturesOrdered, FuturesUnordered};
use futures_util::{Stream, StreamExt};
use pin_project_lite::pin_project;

use super::SendProgress;
use crate::config::routing::remoting::Message;
use crate::error::SendError;
use crate::options::SendOptions;
use crate::producer::Producer;
use crate::receipt::SendReceipt;

/// The number of a message and what became of it.
pub(super) type Sent = (u64, Result<SendReceipt, SendError>);

/// One send.
pub(super) type Sending = Pin<Box<dyn Future<Output = Sent> + Send>>;

/// What begins sends and counts them.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) producer: Producer,
    pub(super) options: SendOptions,
    pub(super) progress: SendProgress,
}

impl Sender {
    pub(super) fn new(producer: Producer) -> Self {
        Self {
            producer,
            options: SendOptions::new(),
            progress: SendProgress::default(),
        }
    }

    pub(super) fn begin(&self, message: Message) -> Sending {
        let (producer, options) = (self.producer.clone(), self.options.clone());
        let progress = self.progress.clone();
        let number = progress.begin();
        Box::pin(async move {
            let outcome = producer.send_with(message, options).await;
            progress.end(outcome.is_ok());
            (number, outcome)
        })
    }
}

/// Sends under way, and those whose outcome was not taken yet.
pub(super) trait Flight: Stream<Item = Sent> + Unpin + Default {
    fn add(&mut self, sending: Sending);

    fn held(&self) -> usize;
}

impl Flight for FuturesOrdered<Sending> {
    fn add(&mut self, sending: Sending) {
        self.push_back(sending);
    }

    fn held(&self) -> usize {
        self.len()
    }
}

impl Flight for FuturesUnordered<Sending> {
    fn add(&mut self, sending: Sending) {
        self.push(sending);
    }

    fn held(&self) -> usize {
        self.len()
    }
}

pin_project! {
    pub(super) struct Pump<S, F> {
        #[pin]
        input: Fuse<S>,
        flight: F,
        concurrency: usize,
        pub(super) sender: Sender,
    }
}

impl<S: Stream<Item = Message>, F: Flight> Pump<S, F> {
    pub(super) fn new(sender: Sender, input: S, concurrency: usize) -> Self {
        Self {
            input: input.fuse(),
            flight: F::default(),
            concurrency: concurrency.max(1),
            sender,
        }
    }

    /// The same without what is under way.
    pub(super) fn into_other<G: Flight>(self) -> Pump<S, G> {
        Pump {
            input: self.input,
            flight: G::default(),
            concurrency: self.concurrency,
            sender: self.sender,
        }
    }

    /// Takes from the input what there is room for, then asks for the next outcome.
    pub(super) fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Sent>> {
        let mut this = self.project();
        while this.flight.held() < *this.concurrency {
            match this.input.as_mut().poll_next(context) {
                Poll::Ready(Some(message)) => this.flight.add(this.sender.begin(message)),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        match this.flight.poll_next_unpin(context) {
            // Nothing is under way, and the input may have more.
            Poll::Ready(None) if !this.input.is_terminated() => Poll::Pending,
            next => next,
        }
    }
}
