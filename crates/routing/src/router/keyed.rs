//! The queue of a keyed message when the broker of its own queue is out.

use std::sync::Arc;

use crate::{
    health::Verdict,
    options::{BrokerAvoidance, KeyedFailover},
    route::{RouteInfo, RoutedQueue},
    selector::hash_index,
};

/// The place in the ring for a key with this hash, whose own place is `index`.
///
/// With [`KeyedFailover::Stay`] it is always its own. With [`KeyedFailover::Move`] and its own
/// out, the key is hashed over the queues that are in order, so that all its messages agree on
/// another queue while the same brokers are out.
pub(super) fn keyed_place(
    route: &RouteInfo,
    index: usize,
    hash: i32,
    tried: &[Arc<str>],
    (failover, avoidance): (KeyedFailover, BrokerAvoidance),
) -> usize {
    let ring = route.queues();
    let in_order = |queue: &RoutedQueue| {
        queue.is_usable()
            && queue.broker().is_some_and(|broker| {
                let healthy = match broker.health().verdict() {
                    Verdict::Use => true,
                    Verdict::Never => false,
                    Verdict::AvoidDegraded
                    | Verdict::AvoidSuspect
                    | Verdict::AvoidUnhealthy
                    | Verdict::AvoidUnhealthySuspect => avoidance == BrokerAvoidance::Disabled,
                };
                healthy && !tried.contains(broker.name())
            })
    };
    if failover == KeyedFailover::Stay || ring.get(index).is_some_and(in_order) {
        return index;
    }
    let others = || {
        ring.iter()
            .enumerate()
            .filter(|(_, queue)| in_order(queue))
            .map(|(place, _)| place)
    };
    hash_index(hash, others().count())
        .and_then(|nth| others().nth(nth))
        .unwrap_or(index)
}
