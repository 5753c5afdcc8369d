//! One queue after the other.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use dashmap::DashMap;
use rocketmq_producer_remoting::Message;

use super::{
    QueueSelector, SelectorArgument,
    random::{nth_usable, random_below},
};
use crate::route::RoutedQueue;

/// Topics whose position is kept; beyond it all positions start anew.
const MAX_TOPICS: usize = 65_536;

/// Chooses the usable queues of each topic in turn.
///
/// Every topic has its own position, which starts at random, so that many producers
/// do not begin with the same queue, and survives between sends. Clones share the
/// positions.
#[derive(Clone, Debug, Default)]
pub struct RoundRobinSelector {
    positions: Arc<DashMap<Arc<str>, AtomicUsize>>,
}

impl RoundRobinSelector {
    /// A selector with a position of its own for every topic.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a topic from its first queue.
    pub fn reset(&self, topic: &str) {
        if let Some(position) = self.positions.get(topic) {
            position.store(0, Ordering::Relaxed);
        }
    }

    /// Starts every topic from its first queue.
    pub fn reset_all(&self) {
        for position in self.positions.iter() {
            position.store(0, Ordering::Relaxed);
        }
    }

    fn advance(&self, topic: &Arc<str>) -> usize {
        if let Some(position) = self.positions.get(topic) {
            return position.fetch_add(1, Ordering::Relaxed);
        }
        if self.positions.len() >= MAX_TOPICS {
            self.positions.clear();
        }
        self.positions
            .entry(Arc::clone(topic))
            .or_insert_with(|| AtomicUsize::new(random_below(1 << 16)))
            .fetch_add(1, Ordering::Relaxed)
    }
}

impl QueueSelector for RoundRobinSelector {
    fn name(&self) -> &'static str {
        "round_robin"
    }

    fn select(&self, ring: &[RoutedQueue], _: &Message, _: &SelectorArgument) -> Option<usize> {
        let topic = ring.first()?.queue().topic();
        nth_usable(ring, |count| self.advance(topic) % count)
    }
}
