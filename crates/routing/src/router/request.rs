//! What is asked of the router for one attempt of a send.

use std::sync::Arc;

use rocketmq_producer_remoting::Message;

use crate::{
    queue::MessageQueue,
    selector::{QueueSelector, SelectorArgument},
    strategy::RoutingStrategy,
};

/// What a routing decision depends on besides route and health.
///
/// A given queue goes before a selector, a selector before the sharding key, and the
/// key before the strategy.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteRequest<'a> {
    pub(super) message: Option<&'a Message>,
    pub(super) queue: Option<&'a MessageQueue>,
    pub(super) selector: Option<(&'a dyn QueueSelector, &'a SelectorArgument)>,
    pub(super) strategy: Option<RoutingStrategy>,
    pub(super) tried: &'a [Arc<str>],
}

impl<'a> RouteRequest<'a> {
    /// A request for any queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            message: None,
            queue: None,
            selector: None,
            strategy: None,
            tried: &[],
        }
    }

    /// A request for the queue of a message.
    #[must_use]
    pub const fn of(message: &'a Message) -> Self {
        let mut request = Self::new();
        request.message = Some(message);
        request
    }

    /// Asks for this queue and no other.
    #[must_use]
    pub const fn to_queue(mut self, queue: &'a MessageQueue) -> Self {
        self.queue = Some(queue);
        self
    }

    /// Has a selector choose. Without a message it chooses nothing.
    #[must_use]
    pub const fn with_selector(
        mut self,
        selector: &'a dyn QueueSelector,
        argument: &'a SelectorArgument,
    ) -> Self {
        self.selector = Some((selector, argument));
        self
    }

    /// Overrides the router's strategy.
    #[must_use]
    pub const fn with_strategy(mut self, strategy: RoutingStrategy) -> Self {
        self.strategy = Some(strategy);
        self
    }

    /// Names the brokers that this send tried before. They are avoided while another
    /// exists, unless queue, selector or key leave no choice.
    #[must_use]
    pub const fn avoiding(mut self, brokers: &'a [Arc<str>]) -> Self {
        self.tried = brokers;
        self
    }
}
