//! The place that was decided on.

use std::{fmt, sync::Arc};

use super::RoutedBy;
use crate::{
    broker::Broker,
    error::{QueueProblem, RoutingError},
    health::Verdict,
    load::{Occupancy, Occupied, wait_for_room},
    queue::{MessageQueue, QueuePlace},
    route::{QueueTarget, RouteInfo, RoutedQueue},
};

/// Where one attempt of a send goes.
#[derive(Clone)]
pub struct Routing {
    route: Arc<RouteInfo>,
    /// Places in the route's ring and among its brokers; within both, since
    /// [`routing`] alone makes a `Routing`. One shared pointer is cheaper than two.
    /// Small, since futures keep it: a ring has at most 2^17 places.
    index: u32,
    group: u32,
    by: RoutedBy,
    is_probe: bool,
    /// When it was decided, as the broker's record has it.
    at: u64,
}

impl Routing {
    /// The chosen queue.
    #[must_use]
    pub fn queue(&self) -> &MessageQueue {
        self.route.queues()[self.index as usize].queue()
    }

    /// The chosen queue and its broker as names.
    #[must_use]
    pub fn place(&self) -> &Arc<QueuePlace> {
        self.route.queues()[self.index as usize].place()
    }

    /// The broker that serves it. For a static topic it has another name than the
    /// queue's broker.
    #[must_use]
    pub fn broker(&self) -> &Arc<Broker> {
        &self.route.groups()[self.group as usize].broker
    }

    /// The address of the broker's master.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        self.broker().address()
    }

    /// The route it was chosen from.
    #[must_use]
    pub fn route(&self) -> &Arc<RouteInfo> {
        &self.route
    }

    /// What decided.
    #[must_use]
    pub fn routed_by(&self) -> RoutedBy {
        self.by
    }

    /// Takes places among what is under way at the broker, for so many messages of so
    /// many bytes together, whatever the broker holds already.
    pub fn occupy(&self, sends: usize, bytes: usize) -> Occupancy {
        Occupancy::new(self.broker().health(), sends, bytes, self.at)
    }

    /// As [`occupy`](Self::occupy), for as long as this routing is borrowed.
    pub fn occupied(&self, sends: usize, bytes: usize) -> Occupied<'_> {
        Occupied::new(self.broker().health(), sends, bytes, self.at)
    }

    /// Takes places at the broker unless it holds its
    /// [`broker_share`](crate::RoutingOptions::broker_share) and another broker of the
    /// route is in order.
    #[must_use]
    pub fn try_occupy(&self, sends: usize, bytes: usize) -> Option<Occupancy> {
        let health = self.broker().health();
        Occupancy::within_share(health, sends, bytes, self.at)
            .or_else(|| (!self.is_shared()).then(|| Occupancy::new(health, sends, bytes, self.at)))
    }

    /// Waits until [`try_occupy`](Self::try_occupy) may succeed. Another may be
    /// faster, so try in a loop.
    ///
    /// # Cancel safety
    /// Safe: somebody else is woken instead.
    pub async fn room(&self) {
        let health = self.broker().health();
        let has_room = || !health.load().is_still_full(health.share()) || !self.is_shared();
        wait_for_room(health, has_room).await;
    }

    /// Whether another broker of the route is in order, so that this one is held to
    /// its share.
    fn is_shared(&self) -> bool {
        let groups = self.route.groups().iter().enumerate();
        groups
            .filter(|(place, group)| *place != self.group as usize && !group.vanished)
            .any(|(_, group)| group.broker.health().verdict() == Verdict::Use)
    }

    /// Whether this message tries out a broker that is otherwise avoided.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.is_probe
    }
}

impl fmt::Debug for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routing")
            .field("queue", self.queue())
            .field("address", self.address())
            .field("by", &self.by)
            .field("is_probe", &self.is_probe)
            .finish_non_exhaustive()
    }
}

pub(super) fn selected(
    route: Arc<RouteInfo>,
    selector: &'static str,
    chosen: Option<usize>,
    at: u64,
) -> Result<Routing, RoutingError> {
    match chosen {
        None => Err(RoutingError::SelectorRefused {
            selector,
            topic: Arc::clone(route.topic()),
        }),
        Some(index) if index >= route.queues().len() => Err(RoutingError::SelectorOutOfRange {
            selector,
            topic: Arc::clone(route.topic()),
            index,
            queues: route.queues().len(),
        }),
        Some(index) => fixed(route, index, RoutedBy::Selector(selector), at),
    }
}

/// That queue and no other, whatever the health of its broker, unless an operator
/// forbade it.
pub(super) fn fixed(
    route: Arc<RouteInfo>,
    index: usize,
    by: RoutedBy,
    at: u64,
) -> Result<Routing, RoutingError> {
    let suspended = route
        .queues()
        .get(index)
        .and_then(RoutedQueue::broker)
        .is_some_and(|broker| broker.health().verdict() == Verdict::Never);
    if suspended {
        let queue = route.queues()[index].queue();
        return Err(not_available(queue, QueueProblem::BrokerSuspended));
    }
    routing(route, index, by, false, at)
}

pub(super) fn routing(
    route: Arc<RouteInfo>,
    index: usize,
    by: RoutedBy,
    is_probe: bool,
    at: u64,
) -> Result<Routing, RoutingError> {
    let Some(routed) = route.queues().get(index) else {
        return Err(RoutingError::nowhere(&route));
    };
    match routed.target() {
        QueueTarget::Listed(_) | QueueTarget::Vanished { .. } => {
            let (Ok(index), Ok(group)) = (u32::try_from(index), u32::try_from(routed.group()))
            else {
                return Err(RoutingError::nowhere(&route));
            };
            Ok(Routing {
                route,
                index,
                group,
                by,
                is_probe,
                at,
            })
        }
        QueueTarget::Unavailable(reason) => Err(not_available(
            routed.queue(),
            QueueProblem::Excluded(*reason),
        )),
    }
}

#[cold]
pub(super) fn not_available(queue: &MessageQueue, reason: QueueProblem) -> RoutingError {
    RoutingError::QueueNotAvailable {
        queue: Box::new(queue.clone()),
        reason,
    }
}
