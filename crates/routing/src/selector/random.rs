//! Any queue.

use rocketmq_producer_remoting::{Message, random};

use super::{QueueSelector, SelectorArgument};
use crate::route::RoutedQueue;

/// Chooses one of the usable queues at random, or of all if none is usable.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RandomSelector;

impl RandomSelector {
    /// The selector; it has no state.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl QueueSelector for RandomSelector {
    fn name(&self) -> &'static str {
        "random"
    }

    fn select(&self, ring: &[RoutedQueue], _: &Message, _: &SelectorArgument) -> Option<usize> {
        nth_usable(ring, random_below)
    }
}

/// A number below `bound`, which is not 0.
pub(crate) fn random_below(bound: usize) -> usize {
    random::below(bound)
}

/// Asks `choose` for one of the usable queues, or of all if none is usable.
pub(super) fn nth_usable(
    ring: &[RoutedQueue],
    choose: impl FnOnce(usize) -> usize,
) -> Option<usize> {
    if ring.is_empty() {
        return None;
    }
    let usable = ring.iter().filter(|queue| queue.is_usable()).count();
    if usable == 0 || usable == ring.len() {
        return Some(choose(ring.len()));
    }
    let nth = choose(usable);
    ring.iter()
        .enumerate()
        .filter(|(_, queue)| queue.is_usable())
        .nth(nth)
        .map(|(index, _)| index)
}
