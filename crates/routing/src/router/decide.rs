//! The decision itself.

use std::sync::{Arc, atomic::Ordering};

use tokio::time::Instant;

use super::{
    MessageRouter, RouteRequest, RoutedBy, Routing,
    balance::{Balance, balanced, has_room, is_full},
    keyed::keyed_place,
    pick::{Outlook, Pick, draw, pick, probe},
    routing::{fixed, not_available, routing, selected},
};
use crate::{
    error::{QueueProblem, RoutingError},
    mapping::TopicEntry,
    route::{BrokerGroup, RouteInfo},
    selector::{hash_index, java_hash_code, message_hash, random_below},
    strategy::RoutingStrategy,
};

/// How often all brokers of a route are looked at while one is in bad health: a probe
/// is at most this many nanoseconds late on a topic with many queues.
const SCAN_INTERVAL: u64 = 1_000_000;

impl MessageRouter {
    pub(super) fn decide(
        &self,
        entry: &TopicEntry,
        request: &RouteRequest<'_>,
        now: Instant,
    ) -> Result<Routing, RoutingError> {
        let at = self.mapping().health().nanos(now);
        let route = self.ready_route(entry, at)?;
        if let Some(queue) = request.queue {
            let index = route
                .position(queue)
                .ok_or_else(|| not_available(queue, QueueProblem::Unknown))?;
            return fixed(route, index, RoutedBy::GivenQueue, at);
        }
        if let Some((selector, argument)) = request.selector {
            let chosen = request
                .message
                .and_then(|message| selector.select(route.queues(), message, argument));
            return selected(route, selector.name(), chosen, at);
        }
        let strategy = request.strategy.unwrap_or_else(|| self.strategy());
        let hash = request.message.and_then(|message| match strategy {
            RoutingStrategy::MessageHash => message_hash(message),
            _ => message.sharding_key().map(java_hash_code),
        });
        if let Some(index) = hash.and_then(|hash| hash_index(hash, route.queues().len())) {
            let rules = (self.shared.keyed_failover, self.shared.avoidance);
            let index = match hash {
                Some(hash) => keyed_place(&route, index, hash, request.tried, rules),
                None => index,
            };
            return fixed(route, index, RoutedBy::MessageHash, at);
        }
        let rule = Rule {
            tried: request.tried,
            balance: Balance::of(strategy, self.shared.avoidance),
            now,
            at,
            by: match strategy {
                RoutingStrategy::LeastLatency => RoutedBy::LeastLatency,
                RoutingStrategy::LeastLoad => RoutedBy::LeastLoad,
                RoutingStrategy::MessageHash | RoutingStrategy::Random => RoutedBy::Random,
                RoutingStrategy::RoundRobin => RoutedBy::RoundRobin,
            },
        };
        if strategy == RoutingStrategy::RoundRobin {
            self.any(route, rule, |count| entry.advance() % count.max(1))
        } else {
            self.any(route, rule, random_below)
        }
    }

    /// The entry's route, if there is a broker in it.
    pub(super) fn ready_route(
        &self,
        entry: &TopicEntry,
        at: u64,
    ) -> Result<Arc<RouteInfo>, RoutingError> {
        entry.touch_at(at);
        let Some(route) = entry.route() else {
            return Err(RoutingError::RouteRemoved {
                topic: Arc::clone(entry.topic()),
            });
        };
        if route.groups().is_empty() {
            return Err(RoutingError::nowhere(&route));
        }
        Ok(route)
    }

    /// Whether all brokers should be looked at for a probe that is due, rather than
    /// those drawn; true once per [`SCAN_INTERVAL`], however many messages there are.
    fn is_scan_due(&self, at: u64) -> bool {
        let next = &self.shared.next_scan;
        let due = next.load(Ordering::Relaxed);
        let later = at.saturating_add(SCAN_INTERVAL);
        at >= due
            && next
                .compare_exchange(due, later, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// A queue for a message that may go anywhere.
    fn any(
        &self,
        route: Arc<RouteInfo>,
        rule: Rule<'_>,
        mut choose: impl FnMut(usize) -> usize,
    ) -> Result<Routing, RoutingError> {
        let Rule {
            tried,
            balance,
            now,
            at,
            by,
        } = rule;
        // With every broker in order, and that is nearly always, all queues are
        // equal and only the load of the drawn one is looked at.
        if tried.is_empty() && route.all_usable() && self.mapping().health().all_usable() {
            let index = choose(route.queues().len());
            if has_room(&route, index) {
                let index = balanced(&route, index, balance, |other| !is_full(other), at);
                return routing(route, index, by, false, at);
            }
        }
        let outlook = Outlook {
            tried,
            avoidance: self.shared.avoidance,
            // A message that failed once already is not risked on a trial.
            probes: self.shared.probes && tried.is_empty(),
        };
        let due = if outlook.probes && self.is_scan_due(at) {
            probe(&route, outlook, now)
        } else {
            None
        };
        let in_order = |group: &BrokerGroup| outlook.badness(group) == Some(0);
        let drawn = || {
            let drawn = draw(&route, outlook, now, &mut choose)?;
            if drawn.is_probe {
                return Some(drawn);
            }
            let index = balanced(&route, drawn.index, balance, in_order, at);
            Some(Pick { index, ..drawn })
        };
        let picked = due.or_else(drawn).or_else(|| pick(&route, outlook));
        match picked {
            Some(pick) => routing(route, pick.index, by, pick.is_probe, at),
            None => Err(RoutingError::BrokersSuspended {
                topic: Arc::clone(route.topic()),
                brokers: route
                    .brokers()
                    .map(|broker| Arc::clone(broker.name()))
                    .collect(),
            }),
        }
    }
}

/// How a queue is chosen for a message that may go anywhere.
#[derive(Clone, Copy)]
struct Rule<'a> {
    tried: &'a [Arc<str>],
    balance: Balance,
    now: Instant,
    /// `now` as the records have it.
    at: u64,
    by: RoutedBy,
}
