//! One try of a send at one broker.

use std::sync::Arc;
use std::time::Duration;

use crate::error::SendFailure;

/// One try of a send at one broker: where it went, how long it took, how it ended.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub(crate) broker: Arc<str>,
    pub(crate) address: Arc<str>,
    pub(crate) queue_id: i32,
    pub(crate) began_after: Duration,
    pub(crate) elapsed: Duration,
    pub(crate) failure: Option<SendFailure>,
}

impl Attempt {
    /// The broker's name.
    #[must_use]
    pub fn broker(&self) -> &str {
        &self.broker
    }

    /// The broker's address, `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The queue it was meant for.
    #[must_use]
    pub const fn queue_id(&self) -> i32 {
        self.queue_id
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
    pub const fn failure(&self) -> Option<&SendFailure> {
        self.failure.as_ref()
    }
}
