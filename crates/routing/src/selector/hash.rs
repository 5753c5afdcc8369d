//! One key, one queue: Java's hash and Java's arithmetic, so that producers in Java
//! and this one put a key on the same queue.

use rocketmq_producer_remoting::Message;

use super::{QueueSelector, RandomSelector, SelectorArgument};
use crate::route::RoutedQueue;

/// Chooses by hash: of the call's argument, else of the sharding key, else of the
/// first of the message's keys; a message with none of them goes anywhere.
///
/// Java: `SelectMessageQueueByHash`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct MessageHashSelector;

impl MessageHashSelector {
    /// The selector; it has no state.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl QueueSelector for MessageHashSelector {
    fn name(&self) -> &'static str {
        "message_hash"
    }

    fn select(
        &self,
        ring: &[RoutedQueue],
        message: &Message,
        argument: &SelectorArgument,
    ) -> Option<usize> {
        match argument.java_hash_code().or_else(|| message_hash(message)) {
            Some(hash) => hash_index(hash, ring.len()),
            None => RandomSelector.select(ring, message, argument),
        }
    }
}

/// The hash that decides the queue of a message, if it carries a key.
pub(crate) fn message_hash(message: &Message) -> Option<i32> {
    message
        .sharding_key()
        .or_else(|| message.keys().next())
        .map(java_hash_code)
}

/// Java's `String.hashCode`: over UTF-16 code units, wrapping at 32 bits.
#[must_use]
pub fn java_hash_code(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

/// The place of a hash among `len` queues, as `SelectMessageQueueByHash` computes it:
/// the remainder's absolute value. Nothing if there is no queue.
#[must_use]
pub fn hash_index(hash: i32, len: usize) -> Option<usize> {
    // Over 2^31 queues there is no Java arithmetic to agree with.
    let len = i32::try_from(len).ok().filter(|&len| len > 0)?;
    usize::try_from((hash % len).unsigned_abs()).ok()
}
