//! From the last route and the name server's news to the next route.
//!
//! A name server drops a dead broker from the route at once, and a restarted one
//! knows no topic for a while. The key ring must not follow either, or keys would
//! move to other queues and back. So a broker that is merely missing keeps its
//! places for a time, marked as vanished, whereas one that is listed without
//! permission to write was taken out on purpose and leaves at once.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use rocketmq_producer_remoting::protocol::TopicRouteData;
use tokio::time::Instant;

use super::{
    QueueTarget, RouteInfo, RouteKind, RouteOrigin, RouteParts, RoutedQueue,
    queue_list::{ListedQueue, Master, QueueList, java_order},
};
use crate::{broker::Broker, queue::MessageQueue};

/// What a merge is made from, besides the brokers.
#[derive(Debug)]
pub(crate) struct News<'a> {
    pub(crate) topic: &'a Arc<str>,
    /// The route so far.
    pub(crate) old: Option<&'a RouteInfo>,
    /// The route as told now; nothing if the name server does not know the topic.
    pub(crate) data: Option<Arc<TopicRouteData>>,
    pub(crate) origin: RouteOrigin,
    pub(crate) now: Instant,
    /// How long a vanished broker keeps its places.
    pub(crate) retention: Duration,
}

/// Makes a broker of name, cluster and address.
pub(crate) type MakeBroker<'a> = &'a dyn Fn(&str, &str, &str) -> Arc<Broker>;

/// The next route. Its ring is empty when nothing is usable and nothing retained.
pub(crate) fn merge(news: News<'_>, make_broker: MakeBroker<'_>) -> RouteInfo {
    let generation = news.old.map_or(1, |old| old.generation().saturating_add(1));
    let Some(data) = news.data.clone() else {
        return missing(&news, generation);
    };
    let list = QueueList::of(&data);
    let kind = list.kind;
    // Places mean something only within one rule.
    let old = news.old.filter(|old| old.kind() == kind);
    let mut brokers = Brokers::new(news.old, make_broker);
    let places: HashMap<&MessageQueue, &RoutedQueue> = old
        .into_iter()
        .flat_map(RouteInfo::queues)
        .map(|known| (known.queue(), known))
        .collect();
    let mut ring: Vec<RoutedQueue> = list
        .queues
        .iter()
        .map(|listed| place(&news, &places, listed, &mut brokers))
        .collect();
    if kind == RouteKind::Plain {
        keep_vanished(&news, old, &data, &mut ring);
    }
    let parts = RouteParts {
        topic: Arc::clone(news.topic),
        kind,
        origin: news.origin,
        generation,
        ring,
        excluded: list.excluded,
        data,
    };
    RouteInfo::new(parts, news.now)
}

/// No name server knows the topic any more: every broker counts as vanished.
fn missing(news: &News<'_>, generation: u64) -> RouteInfo {
    let ring = news.old.map_or_else(Vec::new, |old| {
        let survivors = old.queues().iter().map(|queue| vanish(news, queue));
        match old.kind() {
            RouteKind::Plain => survivors.flatten().collect(),
            // These rings have fixed places: all of it stays while any of it does.
            RouteKind::Ordered | RouteKind::StaticTopic => {
                let places: Vec<_> = survivors.collect();
                if places.iter().all(Option::is_none) {
                    Vec::new()
                } else {
                    places
                        .into_iter()
                        .zip(old.queues())
                        .map(|(kept, queue)| kept.unwrap_or_else(|| queue.clone()))
                        .collect()
                }
            }
        }
    });
    let parts = RouteParts {
        topic: Arc::clone(news.topic),
        kind: news.old.map_or(RouteKind::Plain, RouteInfo::kind),
        origin: news.origin,
        generation,
        data: news
            .old
            .map_or_else(Arc::default, |old| Arc::clone(old.data())),
        ring,
        excluded: Vec::new(),
    };
    // As old as what it was made from: nobody has confirmed it.
    let fetched = news.old.map_or(news.now, RouteInfo::fetched_at);
    RouteInfo::new(parts, fetched)
}

/// A listed queue with its broker; one without master inherits the last broker.
fn place(
    news: &News<'_>,
    places: &HashMap<&MessageQueue, &RoutedQueue>,
    listed: &ListedQueue<'_>,
    brokers: &mut Brokers<'_>,
) -> RoutedQueue {
    let queue = MessageQueue::new(
        Arc::clone(news.topic),
        Arc::clone(&listed.broker_name),
        listed.queue_id,
    );
    match listed.master {
        Ok(master) => {
            let broker = brokers.get(master);
            RoutedQueue::new(queue, QueueTarget::Listed(broker))
        }
        Err(reason) => places
            .get(&queue)
            .and_then(|known| vanish(news, known))
            .unwrap_or_else(|| RoutedQueue::new(queue, QueueTarget::Unavailable(reason))),
    }
}

/// Puts the queues of vanished brokers back into their places.
fn keep_vanished(
    news: &News<'_>,
    old: Option<&RouteInfo>,
    data: &TopicRouteData,
    ring: &mut Vec<RoutedQueue>,
) {
    let Some(old) = old else { return };
    let listed: HashSet<Arc<str>> = ring
        .iter()
        .map(|queue| Arc::clone(queue.queue().broker_name()))
        .collect();
    let taken_out: HashSet<&str> = data
        .queue_datas
        .iter()
        .filter(|queues| !queues.perm.is_writable() || queues.write_queue_nums <= 0)
        .map(|queues| queues.broker_name.as_str())
        .collect();
    let present = ring.len();
    for known in old.queues() {
        let name = known.queue().broker_name();
        if !listed.contains(name) && !taken_out.contains(name.as_ref()) {
            ring.extend(vanish(news, known));
        }
    }
    if ring.len() > present {
        ring.sort_by_cached_key(|queue| java_order(queue.queue().broker_name()));
    }
}

/// The queue as one of a vanished broker, unless it has been so for too long.
fn vanish(news: &News<'_>, known: &RoutedQueue) -> Option<RoutedQueue> {
    let broker = Arc::clone(known.broker()?);
    let since = known.vanished_since().unwrap_or(news.now);
    if news.now.saturating_duration_since(since) >= news.retention {
        return None;
    }
    let target = QueueTarget::Vanished { broker, since };
    Some(RoutedQueue::new(known.queue().clone(), target))
}

/// One `Broker` per name and address, the last route's where it is the same.
struct Brokers<'a> {
    old: HashMap<&'a str, Vec<&'a Arc<Broker>>>,
    known: HashMap<String, Arc<Broker>>,
    make: MakeBroker<'a>,
}

impl<'a> Brokers<'a> {
    fn new(route: Option<&'a RouteInfo>, make: MakeBroker<'a>) -> Self {
        let mut old: HashMap<&str, Vec<&Arc<Broker>>> = HashMap::new();
        for broker in route.into_iter().flat_map(RouteInfo::brokers) {
            old.entry(broker.name()).or_default().push(broker);
        }
        Self {
            old,
            known: HashMap::new(),
            make,
        }
    }

    fn get(&mut self, master: Master<'_>) -> Arc<Broker> {
        if let Some(broker) = self.known.get(master.name) {
            return Arc::clone(broker);
        }
        let same = |broker: &&&Arc<Broker>| {
            broker.address().as_ref() == master.address
                && broker.cluster().as_ref() == master.cluster
        };
        let known = self.old.get(master.name);
        let broker = match known.and_then(|known| known.iter().find(same)) {
            Some(broker) => Arc::clone(broker),
            None => (self.make)(master.name, master.cluster, master.address),
        };
        self.known
            .insert(master.name.to_owned(), Arc::clone(&broker));
        broker
    }
}

#[cfg(test)]
mod tests;
