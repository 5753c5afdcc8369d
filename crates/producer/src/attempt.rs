//! One try of a send at one broker.

use std::sync::Arc;
use std::time::Duration;

use crate::config::routing::QueuePlace;
use crate::error::SendFailure;

/// One try of a send at one broker: where it went, how long it took, how it ended.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Shared with all sends to the queue.
    pub(crate) place: Arc<QueuePlace>,
    pub(crate) began_after: Duration,
    pub(crate) elapsed: Duration,
    /// Boxed, since most attempts have none.
    pub(crate) failure: Option<Box<SendFailure>>,
}

impl Attempt {
    /// The broker's name.
    #[must_use]
    pub fn broker(&self) -> &str {
        self.place.broker()
    }

    /// The broker's address, `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        self.place.address()
    }

    /// The queue it was meant for.
    #[must_use]
    pub fn queue_id(&self) -> i32 {
        self.place.queue().queue_id()
    }

    /// Time from the beginning of the send to the beginning of the attempt.
    #[must_use]
    pub const fn began_after(&self) -> Duration {
        self.began_after
    }

    /// How long the attempt took.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Why it failed; `None` for the attempt that brought the receipt, or for one whose receipt was
    /// too weak and was tried to be bettered.
    #[must_use]
    pub fn failure(&self) -> Option<&SendFailure> {
        self.failure.as_deref()
    }
}
