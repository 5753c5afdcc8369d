//! Which of two brokers in order takes a message that may go to either.

use crate::{
    load::Load,
    options::BrokerAvoidance,
    route::{BrokerGroup, RouteInfo},
    selector::random_below,
    strategy::RoutingStrategy,
};

/// How much later than twice the other's time a broker may answer and still keep its
/// share, per message under way at the other.
///
/// Far above what scheduling does to equal brokers, so that they keep equal shares,
/// and far below what a user would call slow.
const SLACK: u64 = 10_000_000;

/// How many more than twice the other's messages a broker may have under way and still
/// keep its share.
///
/// A broker that has just stopped is found out by what piles up there long before its
/// silence can be told from a slow answer; and unlike a latency, a pile leaves nothing
/// behind once it is answered.
const PILE: u64 = 4;

/// How the broker of a drawn queue is weighed against another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Balance {
    /// The draw holds.
    Off,
    /// The draw holds unless its broker is clearly worse off.
    Guard,
    /// The broker that is expected to answer sooner.
    Latency,
    /// The broker with less under way.
    Load,
}

impl Balance {
    pub(super) const fn of(strategy: RoutingStrategy, avoidance: BrokerAvoidance) -> Self {
        match (strategy, avoidance) {
            (RoutingStrategy::LeastLatency, _) => Self::Latency,
            (RoutingStrategy::LeastLoad, _) => Self::Load,
            (_, BrokerAvoidance::Enabled) => Self::Guard,
            (_, BrokerAvoidance::Disabled) => Self::Off,
        }
    }

    /// Whether the drawn broker keeps the message without a look at another.
    fn is_content(self, drawn: &BrokerGroup, at: u64) -> bool {
        match self {
            Self::Off => true,
            Self::Guard => load(drawn).queue() <= PILE + 2 && cost(drawn, at) <= SLACK,
            Self::Latency | Self::Load => false,
        }
    }

    /// Whether the other broker takes the message from the drawn one.
    fn prefers(self, other: &BrokerGroup, drawn: &BrokerGroup, at: u64) -> bool {
        match self {
            Self::Off => false,
            Self::Guard => {
                let queue = load(other).queue();
                if load(drawn).queue() > queue.saturating_mul(2).saturating_add(PILE) {
                    return true;
                }
                let allowed = cost(other, at)
                    .saturating_mul(2)
                    .saturating_add(queue.saturating_mul(SLACK));
                cost(drawn, at) > allowed
            }
            Self::Latency => cost(other, at) < cost(drawn, at),
            Self::Load => load(other).queue() < load(drawn).queue(),
        }
    }
}

fn load(group: &BrokerGroup) -> &Load {
    group.broker.health().load()
}

fn cost(group: &BrokerGroup, at: u64) -> u64 {
    load(group).cost(at)
}

/// The place in the ring for a message whose queue was drawn at `index`: that one, or
/// a queue of another broker in order, chosen at random, that is better off.
///
/// Two choices are enough to even out load, and looking at all brokers would send
/// every message to the same one until its answers come in.
pub(super) fn balanced(
    route: &RouteInfo,
    index: usize,
    balance: Balance,
    is_candidate: impl Fn(&BrokerGroup) -> bool,
    at: u64,
) -> usize {
    let groups = route.groups();
    let Some(routed) = route.queues().get(index) else {
        return index;
    };
    let Some(drawn) = groups.get(routed.group()) else {
        return index;
    };
    if groups.len() < 2 || routed.broker().is_none() || balance.is_content(drawn, at) {
        return index;
    }
    let start = random_below(groups.len());
    let (before, after) = groups.split_at(start.min(groups.len()));
    let other = after
        .iter()
        .chain(before)
        .find(|group| !std::ptr::eq(*group, drawn) && is_candidate(group));
    match other {
        Some(other) if balance.prefers(other, drawn, at) => queue_of(other).unwrap_or(index),
        _ => index,
    }
}

/// A queue of the group at random; its place in the ring.
fn queue_of(group: &BrokerGroup) -> Option<usize> {
    let place = group.queues.get(random_below(group.queues.len()))?;
    usize::try_from(*place).ok()
}

/// Whether the broker of the queue at `index` has room in its share, or there is only
/// one broker.
pub(super) fn has_room(route: &RouteInfo, index: usize) -> bool {
    let groups = route.groups();
    if groups.len() < 2 {
        return true;
    }
    let group = route.queues().get(index).map(|routed| routed.group());
    group
        .and_then(|group| groups.get(group))
        .is_none_or(|group| !is_full(group))
}

/// Whether the broker holds its share.
pub(super) fn is_full(group: &BrokerGroup) -> bool {
    let health = group.broker.health();
    health.load().is_full(health.share())
}
