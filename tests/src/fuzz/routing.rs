//! The queue list that a route gives, and what the next route makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use rocketmq_producer::remoting::protocol::{
    BrokerData, Permission, QueueData, TopicQueueMappingInfo, TopicRouteData,
};
use rocketmq_producer::remoting::{ConnectionOptions, ConnectionPool, Message, NoConsumer};
use rocketmq_producer::routing::{
    BrokerRegistry, HealthOptions, MessageHashSelector, NameServerError, QueueSelector,
    QueueTarget, RandomSelector, RoundRobinSelector, RouteAnswer, RouteInfo, RouteKind,
    RouteQuestion, RouteSource, RoutedQueue, RoutingOptions, SelectorArgument, TopicBrokerMapping,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Verdict;
use super::bodies::route_seeds;
use super::corpus::Corpus;

const TOPIC: &str = "T";
/// Most queues of a topic that a route can make.
const MOST_QUEUES: usize = 1 << 17;
/// First byte of an input whose rest is the JSON of a route; any other begins a made-up one.
const JSON: u8 = b'{';

/// Names whose order differs by bytes, by letters and by UTF-16 units.
const NAMES: [&str; 8] = ["a", "b", "B", "ab", "", "é", "\u{ff5e}", "\u{1f600}"];
const ADDRESSES: [&str; 6] = ["h:1", "h:2", "10.0.0.1:10911", "", " ", "\u{1}"];

pub(super) fn seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let mut seeds = route_seeds(corpus);
    // Two routes of a few brokers each; mutation changes them soon enough.
    for start in 0_u8..16 {
        seeds.push(
            (0_u8..80)
                .map(|n| n.wrapping_mul(37) ^ start.wrapping_mul(29))
                .collect(),
        );
    }
    seeds
}

pub(super) fn queue_list(input: &[u8]) -> Verdict {
    let (first, second) = if input.first() == Some(&JSON) {
        let Ok(first) = TopicRouteData::parse(input) else {
            return Verdict::Refused;
        };
        // The next route lacks a broker and has the others in another order.
        let mut second = first.clone();
        second.queue_datas.reverse();
        second.broker_datas.pop();
        (first, second)
    } else {
        let mut left = Left(input);
        (left.route(), left.route())
    };

    let mapping = TopicBrokerMapping::new(
        Arc::new(NoSource),
        RoutingOptions::default(),
        Arc::new(BrokerRegistry::new(HealthOptions::default())),
        ConnectionPool::new(ConnectionOptions::new(), Arc::new(NoConsumer)),
        TaskTracker::new(),
        CancellationToken::new(),
    );
    let old = mapping.update_route_info(TOPIC, first.clone());
    assert_eq!(old.generation(), 1);
    check_route(&old, &first);
    assert!(old.kind() != RouteKind::Plain || old.queues().iter().all(RoutedQueue::is_usable));
    check_selectors(old.queues());

    let new = mapping.update_route_info(TOPIC, second.clone());
    assert_eq!(new.generation(), 2);
    check_route(&new, &second);
    check_vanished(&old, &new, &second);
    let addresses: BTreeSet<_> = new.brokers().map(|b| b.address().as_ref()).collect();
    let known = mapping.broker_addresses();
    assert!(known.iter().map(AsRef::as_ref).eq(addresses));

    let back = mapping.update_route_info(TOPIC, first.clone());
    check_route(&back, &first);
    Verdict::of(old.usable_queues().next().is_some())
}

/// What holds of the queues that can be sent to, whatever was known before.
fn check_route(route: &RouteInfo, data: &TopicRouteData) {
    let usable: Vec<(&str, i32, &str)> = route
        .usable_queues()
        .filter_map(|queue| {
            let (queue, broker) = (queue.queue(), queue.broker()?);
            Some((
                queue.broker_name().as_ref(),
                queue.queue_id(),
                broker.address().as_ref(),
            ))
        })
        .collect();
    let masters = masters(data);
    let mapped = data.topic_queue_mapping_by_broker.as_ref();
    match (&data.order_topic_conf, mapped) {
        (Some(conf), _) if !conf.is_empty() => {
            assert_eq!(route.kind(), RouteKind::Ordered);
            assert!(route.queues().len() <= MOST_QUEUES);
            for (name, id, address) in usable {
                assert_eq!(masters.get(name), Some(&address));
                assert!(id >= 0);
                assert!(conf.split(';').any(|piece| piece.starts_with(name)));
            }
        }
        (None, Some(mapping)) if !mapping.is_empty() => {
            assert_eq!(route.kind(), RouteKind::StaticTopic);
            let scopes: BTreeSet<_> = mapping.values().map(|info| &info.scope).collect();
            assert!(route.queues().len() <= MOST_QUEUES * scopes.len());
            let served: BTreeSet<_> = mapping
                .keys()
                .filter_map(|b| masters.get(b.as_str()))
                .collect();
            for (name, id, address) in usable {
                assert!(name.starts_with("__syslo__"), "{name} is no logical broker");
                assert!(served.contains(&address));
                let claims = |info: &TopicQueueMappingInfo| {
                    id < info.total_queues || info.curr_id_map.contains_key(&id)
                };
                assert!(mapping.values().any(claims), "queue {id} of nobody");
            }
        }
        _ => {
            assert_eq!(route.kind(), RouteKind::Plain);
            assert_eq!(usable, plain_queues(data), "by Java's rules");
            let names: Vec<Vec<u16>> = route.queues().iter().map(utf16_name).collect();
            assert!(names.is_sorted(), "in Java's order");
        }
    }
}

/// The addresses of masters; of equal names the first counts.
fn masters(data: &TopicRouteData) -> BTreeMap<&str, &str> {
    let mut masters = BTreeMap::new();
    for broker in data.broker_datas.iter().rev() {
        let address = broker.broker_addrs.get(&0).map_or("", String::as_str);
        masters.insert(broker.broker_name.as_str(), address);
    }
    masters.retain(|_, address| !address.trim().is_empty());
    masters
}

/// The queues of an ordinary topic: Java's rules written down a second time.
fn plain_queues(data: &TopicRouteData) -> Vec<(&str, i32, &str)> {
    let masters = masters(data);
    let mut by_name: BTreeMap<Vec<u16>, Vec<&QueueData>> = BTreeMap::new();
    for queues in &data.queue_datas {
        let name = queues.broker_name.encode_utf16().collect();
        by_name.entry(name).or_default().push(queues);
    }
    let mut list = Vec::new();
    for queues in by_name.into_values().flatten() {
        let name = queues.broker_name.as_str();
        if let Some(master) = masters.get(name).filter(|_| queues.perm.0 & 2 == 2) {
            let count = i32::try_from(MOST_QUEUES).unwrap_or(i32::MAX);
            let count = queues.write_queue_nums.min(count);
            list.extend((0..count).map(|id| (name, id, *master)));
        }
    }
    list
}

fn utf16_name(queue: &RoutedQueue) -> Vec<u16> {
    queue.queue().broker_name().encode_utf16().collect()
}

/// Brokers that are only missing keep their places; those that are listed without queues to write go.
fn check_vanished(old: &RouteInfo, new: &RouteInfo, data: &TopicRouteData) {
    let vanished = |route: &RouteInfo| -> Vec<(String, i32)> {
        let gone = |q: &&RoutedQueue| matches!(q.target(), QueueTarget::Vanished { .. });
        let queues = route.queues().iter().filter(gone).map(RoutedQueue::queue);
        queues
            .map(|q| (q.broker_name().to_string(), q.queue_id()))
            .collect()
    };
    if new.kind() != RouteKind::Plain {
        return;
    }
    if old.kind() != new.kind() {
        assert_eq!(vanished(new), [], "places of another rule");
        return;
    }
    let listed: BTreeSet<&str> = plain_queues(data).into_iter().map(|q| q.0).collect();
    let taken_out: BTreeSet<&str> = data
        .queue_datas
        .iter()
        .filter(|queues| queues.perm.0 & 2 == 0 || queues.write_queue_nums <= 0)
        .map(|queues| queues.broker_name.as_str())
        .collect();
    let kept: Vec<(String, i32)> = old
        .queues()
        .iter()
        .map(|queue| {
            (
                queue.queue().broker_name().as_ref(),
                queue.queue().queue_id(),
            )
        })
        .filter(|(name, _)| !listed.contains(name) && !taken_out.contains(name))
        .map(|(name, id)| (name.to_owned(), id))
        .collect();
    assert_eq!(vanished(new), kept, "places of vanished brokers");
    assert_eq!(new.has_vanished(), !kept.is_empty());
}

fn check_selectors(ring: &[RoutedQueue]) {
    let message = Message::new(TOPIC, &b"body"[..])
        .and_then(|message| message.with_sharding_key("key"))
        .expect("a valid message");
    let selectors: [&dyn QueueSelector; 3] = [
        &MessageHashSelector::new(),
        &RandomSelector::new(),
        &RoundRobinSelector::new(),
    ];
    for selector in selectors {
        let chosen = selector.select(ring, &message, &SelectorArgument::None);
        assert_eq!(chosen.is_some(), !ring.is_empty(), "{}", selector.name());
        assert!(chosen.is_none_or(|index| index < ring.len()));
    }
}

/// The mapping is only given routes here, it asks for none.
#[derive(Debug)]
struct NoSource;

#[async_trait]
impl RouteSource for NoSource {
    async fn topic_route(&self, _: &RouteQuestion<'_>) -> Result<RouteAnswer, NameServerError> {
        unreachable!("nothing asks for a route")
    }
}

/// What is left of an input that a route is made up from; zeros after its end.
struct Left<'a>(&'a [u8]);

impl Left<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn choose<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        let index = usize::from(self.byte());
        choices.get(index % choices.len().max(1)).copied()
    }

    fn name(&mut self) -> String {
        self.choose(&NAMES).unwrap_or_default().to_owned()
    }

    /// Mostly a few; large numbers only rarely, since each of them costs time.
    fn count(&mut self) -> i32 {
        match self.byte() {
            255 => match self.byte() {
                0 => i32::MAX,
                1 => (1 << 17) + 1,
                n => i32::from(n) * 10,
            },
            254 => -1,
            253 => i32::MIN,
            n => i32::from(n % 9),
        }
    }

    fn route(&mut self) -> TopicRouteData {
        let mut route = TopicRouteData::default();
        let rule = self.byte();
        if rule % 8 == 1 || rule == 0 {
            route.order_topic_conf = Some(self.order_configuration());
        }
        if rule % 8 == 2 || rule == 0 {
            let entries = self.byte() % 4;
            let mapping = (0..entries).map(|_| (self.name(), self.mapping()));
            route.topic_queue_mapping_by_broker = Some(mapping.collect());
        }
        for _ in 0..self.byte() % 6 {
            let mut queues = QueueData::default();
            queues.broker_name = self.name();
            queues.write_queue_nums = self.count();
            queues.read_queue_nums = queues.write_queue_nums;
            let permissions = [6, 2, 3, 7, 6, 6, 4, 0, -1];
            queues.perm = Permission(self.choose(&permissions).unwrap_or(6));
            route.queue_datas.push(queues);
        }
        for _ in 0..self.byte() % 7 {
            let mut broker = BrokerData::default();
            broker.broker_name = self.name();
            broker.cluster = self.name();
            for _ in 0..1 + self.byte() % 3 {
                let id = self.choose(&[0, 0, 1, -1]).unwrap_or(0);
                let address = self.choose(&ADDRESSES).unwrap_or_default();
                broker.broker_addrs.insert(id, address.to_owned());
            }
            route.broker_datas.push(broker);
        }
        route
    }

    fn order_configuration(&mut self) -> String {
        let mut conf = String::new();
        for _ in 0..self.byte() % 5 {
            let name = self.name();
            let separator = self.choose(&[":", ":", ":", "", "::"]).unwrap_or(":");
            let count = self.count();
            conf.push_str(&format!("{name}{separator}{count}"));
            conf.push_str(self.choose(&[";", ";", ";;", ""]).unwrap_or(";"));
        }
        conf
    }

    fn mapping(&mut self) -> TopicQueueMappingInfo {
        let mut info = TopicQueueMappingInfo::default();
        let scope = self.choose(&[None, None, Some("__global__"), Some("s"), Some("")]);
        info.scope = scope.flatten().map(str::to_owned);
        info.total_queues = self.count();
        info.epoch = i64::from(self.byte() % 3);
        for _ in 0..self.byte() % 4 {
            let logical = i32::from(self.byte() % 9) - 1;
            info.curr_id_map.insert(logical, 0);
        }
        info
    }
}
