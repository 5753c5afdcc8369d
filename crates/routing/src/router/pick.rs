//! Choosing among brokers for a message that may go to any queue.

use std::sync::Arc;

use tokio::time::Instant;

use super::balance::is_full;
use crate::{
    health::{BrokerHealth, Verdict},
    options::BrokerAvoidance,
    route::{BrokerGroup, RouteInfo},
    selector::random_below,
};

/// A queue for a message without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pick {
    /// Place in the ring.
    pub(super) index: usize,
    /// Whether it is a trial of a broker that is otherwise avoided.
    pub(super) is_probe: bool,
}

/// How a send looks at brokers.
#[derive(Clone, Copy)]
pub(super) struct Outlook<'a> {
    /// Brokers that it tried already.
    pub(super) tried: &'a [Arc<str>],
    pub(super) avoidance: BrokerAvoidance,
    /// Whether its message may try out an avoided broker.
    pub(super) probes: bool,
}

impl Outlook<'_> {
    /// How unwelcome a broker is; 0 for one in order, and lower is better.
    ///
    /// One that holds its share is worse than those that do not. One that this send tried
    /// already is worse than any it has not: a send must not fail while a broker is left that
    /// might take it. A vanished broker is the last resort. Among equals that are not in
    /// order, fewer failures in a row are better.
    pub(super) fn badness(self, group: &BrokerGroup) -> Option<u64> {
        let health: &BrokerHealth = group.broker.health();
        let verdict = match (health.verdict(), self.avoidance) {
            (Verdict::Never, _) => return None,
            (_, BrokerAvoidance::Disabled) => Verdict::Use,
            (verdict, BrokerAvoidance::Enabled) => verdict,
        };
        let was_tried = self.tried.contains(group.broker.name());
        let tier: u64 = match verdict {
            Verdict::Use if !is_full(group) => 0,
            Verdict::Use => 1,
            Verdict::AvoidDegraded => 2,
            Verdict::AvoidSuspect => 3,
            Verdict::AvoidUnhealthy => 4,
            Verdict::AvoidUnhealthySuspect | Verdict::Never => 5,
        };
        let tier = if was_tried { tier + TIERS } else { tier };
        let tier = if group.vanished {
            tier + 2 * TIERS
        } else {
            tier
        };
        if tier == 0 {
            return Some(0);
        }
        Some((tier << 32) | u64::from(health.failure_run()))
    }

    /// Takes the right to try out the broker, if a trial is due.
    fn claims_probe(self, group: &BrokerGroup, now: Instant) -> bool {
        self.probes && !group.vanished && group.broker.health().claim_probe(now)
    }
}

/// Kinds of brokers that were not tried and have not vanished.
const TIERS: u64 = 6;

/// Draws made before all brokers are looked at.
const DRAWS: usize = 16;

/// Draws queues until one belongs to a broker in order, or to one whose probe is due.
///
/// Drawing on gives the queues in order equal shares, in turn or at random as
/// `choose` has it, at a cost that does not grow with the number of brokers.
pub(super) fn draw(
    route: &RouteInfo,
    outlook: Outlook<'_>,
    now: Instant,
    choose: &mut impl FnMut(usize) -> usize,
) -> Option<Pick> {
    let ring = route.queues();
    for _ in 0..DRAWS.min(ring.len()) {
        let index = choose(ring.len());
        let routed = ring.get(index)?;
        if routed.broker().is_none() {
            continue;
        }
        let group = route.groups().get(routed.group())?;
        if outlook.badness(group) == Some(0) {
            return Some(Pick {
                index,
                is_probe: false,
            });
        }
        if outlook.claims_probe(group, now) {
            return Some(Pick {
                index,
                is_probe: true,
            });
        }
    }
    None
}

/// A queue of an avoided broker whose probe is due, if there is one.
pub(super) fn probe(route: &RouteInfo, outlook: Outlook<'_>, now: Instant) -> Option<Pick> {
    let group = route
        .groups()
        .iter()
        .find(|group| outlook.claims_probe(group, now))?;
    let index = group.queues.get(random_below(group.queues.len()))?;
    Some(Pick {
        index: usize::try_from(*index).ok()?,
        is_probe: true,
    })
}

/// Picks a queue of the least bad brokers; nothing if every broker is suspended or
/// there is none.
pub(super) fn pick(route: &RouteInfo, outlook: Outlook<'_>) -> Option<Pick> {
    let groups = route.groups();
    let mut best = u64::MAX;
    let mut queues = 0_usize;
    for group in groups {
        let Some(bad) = outlook.badness(group) else {
            continue;
        };
        if bad < best {
            best = bad;
            queues = 0;
        }
        if bad == best {
            queues += group.queues.len();
        }
    }
    if queues == 0 {
        return None;
    }
    // By chance, not in turn: the draws before have moved the turn on, by a number that
    // might make it come round to the same queue each time.
    let mut nth = random_below(queues);
    for group in groups {
        // Health may have changed since the first pass; then a later broker, or in
        // the end the first one that is not suspended, takes its place.
        if outlook.badness(group).is_none_or(|bad| bad > best) {
            continue;
        }
        match group.queues.get(nth) {
            Some(index) => {
                return Some(Pick {
                    index: usize::try_from(*index).ok()?,
                    is_probe: false,
                });
            }
            None => nth -= group.queues.len(),
        }
    }
    groups
        .iter()
        .find(|group| outlook.badness(group).is_some())
        .and_then(|group| group.queues.first())
        .and_then(|index| usize::try_from(*index).ok())
        .map(|index| Pick {
            index,
            is_probe: false,
        })
}
