//! Choosing a queue of a topic: the extension points and the three that come with it.

use std::fmt;

use async_trait::async_trait;
use rocketmq_producer_remoting::Message;

use crate::route::RoutedQueue;

pub(crate) use self::{hash::message_hash, random::random_below};

mod argument;
mod hash;
mod random;
mod round_robin;

pub use self::{
    argument::SelectorArgument,
    hash::{MessageHashSelector, hash_index, java_hash_code},
    random::RandomSelector,
    round_robin::RoundRobinSelector,
};

/// Chooses one queue of a topic's key ring.
///
/// The ring is the last complete queue list, so that the same choice stays the same
/// while a broker is away; it may therefore hold queues that nothing can be sent to
/// now ([`RoutedQueue::is_usable`]).
///
/// ```
/// use rocketmq_producer_routing::{QueueSelector, RoutedQueue, SelectorArgument, remoting::Message};
///
/// #[derive(Debug)]
/// struct Last;
///
/// impl QueueSelector for Last {
///     fn name(&self) -> &'static str {
///         "last"
///     }
///
///     fn select(&self, ring: &[RoutedQueue], _: &Message, _: &SelectorArgument) -> Option<usize> {
///         ring.len().checked_sub(1)
///     }
/// }
/// ```
pub trait QueueSelector: fmt::Debug + Send + Sync {
    /// The name in statistics and results.
    fn name(&self) -> &'static str;

    /// The index of the chosen queue, or nothing to refuse the message.
    fn select(
        &self,
        ring: &[RoutedQueue],
        message: &Message,
        argument: &SelectorArgument,
    ) -> Option<usize>;
}

/// A [`QueueSelector`] that may wait for something, such as a look-up.
///
/// Every `QueueSelector` is one too.
#[async_trait]
pub trait AsyncQueueSelector: fmt::Debug + Send + Sync {
    /// The name in statistics and results.
    fn name(&self) -> &'static str;

    /// The index of the chosen queue, or nothing to refuse the message.
    ///
    /// # Cancel safety
    /// Dropped when the send is; nothing is sent then.
    async fn select_async(
        &self,
        ring: &[RoutedQueue],
        message: &Message,
        argument: &SelectorArgument,
    ) -> Option<usize>;
}

#[async_trait]
impl<S: QueueSelector> AsyncQueueSelector for S {
    fn name(&self) -> &'static str {
        QueueSelector::name(self)
    }

    async fn select_async(
        &self,
        ring: &[RoutedQueue],
        message: &Message,
        argument: &SelectorArgument,
    ) -> Option<usize> {
        self.select(ring, message, argument)
    }
}

#[cfg(test)]
mod tests;
