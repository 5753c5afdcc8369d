//! What one send may ask for beyond the producer's settings.

use std::sync::Arc;
use std::time::Duration;

use crate::config::routing::remoting::message::half::TRANSACTION_PREPARED;
use crate::config::routing::{AsyncQueueSelector, MessageQueue, QueueSelector, SelectorArgument};

/// Options of one send.
///
/// ```
/// use std::time::Duration;
/// use rocketmq_producer_core::SendOptions;
///
/// let options = SendOptions::new().timeout(Duration::from_millis(500));
/// ```
#[derive(Debug, Clone, Default)]
pub struct SendOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) target: Target,
    /// Whether the send fails instead of waiting for a place.
    pub(crate) is_immediate: bool,
    /// Whether no answer is asked for.
    pub(crate) is_oneway: bool,
    /// Bits of the system flag beside those of the body.
    pub(crate) sys_flag: i32,
    /// Whether topics are named as brokers know them.
    pub(crate) is_named: bool,
}

/// How the queue is chosen.
#[derive(Debug, Clone, Default)]
pub(crate) enum Target {
    /// By sharding key if there is one, else by the producer's strategy.
    #[default]
    Strategy,
    Queue(MessageQueue),
    Selector(Arc<dyn QueueSelector>, SelectorArgument),
    AsyncSelector(Arc<dyn AsyncQueueSelector>, SelectorArgument),
}

impl SendOptions {
    /// The producer's settings as they are.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            timeout: None,
            target: Target::Strategy,
            is_immediate: false,
            is_oneway: false,
            sys_flag: 0,
            is_named: false,
        }
    }

    /// The budget of the whole send, instead of `send_msg_timeout`.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Fails instead of waiting for a place.
    #[must_use]
    pub(crate) const fn immediate(mut self) -> Self {
        self.is_immediate = true;
        self
    }

    /// Asks for no answer.
    #[must_use]
    pub(crate) const fn oneway(mut self) -> Self {
        self.is_oneway = true;
        self
    }

    /// Makes it the half message of a transaction.
    #[must_use]
    pub(crate) const fn half(mut self) -> Self {
        self.sys_flag |= TRANSACTION_PREPARED;
        self
    }

    /// Sends to this queue only. It is tried again on the same queue, never moved.
    #[must_use]
    pub fn to_queue(mut self, queue: MessageQueue) -> Self {
        self.target = Target::Queue(queue);
        self
    }

    /// Lets `selector` choose the queue, with an argument (Java: `MessageQueueSelector`).
    #[must_use]
    pub fn selector(
        mut self,
        selector: Arc<dyn QueueSelector>,
        argument: impl Into<SelectorArgument>,
    ) -> Self {
        self.target = Target::Selector(selector, argument.into());
        self
    }

    /// Lets `selector`, which may wait for something, choose the queue, with an argument. The wait
    /// counts against the send's budget.
    #[must_use]
    pub fn async_selector(
        mut self,
        selector: Arc<dyn AsyncQueueSelector>,
        argument: impl Into<SelectorArgument>,
    ) -> Self {
        self.target = Target::AsyncSelector(selector, argument.into());
        self
    }
}
