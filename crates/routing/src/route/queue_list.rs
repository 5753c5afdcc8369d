//! The queues a route offers for writing, by Java's rules and in Java's order.
//!
//! Order configuration first, then the mapping of a static topic, then the writable
//! queues of every broker with a master, sorted by broker name.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use rocketmq_producer_remoting::protocol::{
    BrokerData, Permission, QueueData, TopicQueueMappingInfo, TopicRouteData,
};

use super::{ExcludedQueues, ExclusionReason, RouteKind};

/// Queues of one topic at most, as bound on what a name server can make us build.
const MAX_QUEUES: u32 = 1 << 17;

/// What Java puts before the scope to name the logical broker of a static topic.
const LOGICAL_BROKER_PREFIX: &str = "__syslo__";
const GLOBAL_SCOPE: &str = "__global__";

/// A queue as the route describes it, before brokers are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListedQueue<'a> {
    /// Logical for a static topic.
    pub(super) broker_name: Arc<str>,
    pub(super) queue_id: i32,
    /// The broker that serves it and its master's address.
    pub(super) master: Result<Master<'a>, ExclusionReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Master<'a> {
    pub(super) name: &'a str,
    pub(super) cluster: &'a str,
    pub(super) address: &'a str,
}

#[derive(Debug)]
pub(super) struct QueueList<'a> {
    pub(super) kind: RouteKind,
    pub(super) queues: Vec<ListedQueue<'a>>,
    pub(super) excluded: Vec<ExcludedQueues>,
}

impl<'a> QueueList<'a> {
    pub(super) fn of(data: &'a TopicRouteData) -> Self {
        match (&data.order_topic_conf, &data.topic_queue_mapping_by_broker) {
            (Some(conf), _) if !conf.is_empty() => Self::ordered(data, conf),
            // An empty order configuration rules the mapping out, as in Java.
            (None, Some(mapping)) if !mapping.is_empty() => Self::static_topic(data, mapping),
            _ => Self::plain(data),
        }
    }

    fn ordered(data: &'a TopicRouteData, conf: &str) -> Self {
        let mut list = Self::empty(RouteKind::Ordered);
        let masters = Masters::of(data);
        for piece in conf.split(';').filter(|piece| !piece.is_empty()) {
            let room = MAX_QUEUES.saturating_sub(u32::try_from(list.queues.len()).unwrap_or(0));
            let parsed = piece.split_once(':').and_then(|(name, count)| {
                let count = count.trim().parse::<u32>().ok()?;
                (count <= room).then_some((name, count))
            });
            let Some((name, count)) = parsed else {
                list.exclude(piece, 0, None, ExclusionReason::InvalidOrderConfiguration);
                continue;
            };
            let master = masters.get(name);
            if let Err(reason) = master {
                list.exclude(name, count, None, reason);
            }
            list.push(name, count, master);
        }
        list
    }

    fn static_topic(
        data: &'a TopicRouteData,
        mapping: &BTreeMap<String, TopicQueueMappingInfo>,
    ) -> Self {
        let mut list = Self::empty(RouteKind::StaticTopic);
        let masters = Masters::of(data);
        let mut scopes: BTreeMap<&str, Vec<(&str, &TopicQueueMappingInfo)>> = BTreeMap::new();
        for (broker, info) in mapping {
            let scope = info.scope.as_deref().unwrap_or(GLOBAL_SCOPE);
            scopes.entry(scope).or_default().push((broker, info));
        }
        for (scope, mut infos) in scopes {
            // Of two brokers that both claim a queue, the later mapping holds.
            infos.sort_by_key(|(_, info)| std::cmp::Reverse(info.epoch));
            let mut owners: HashMap<i32, &str> = HashMap::new();
            for (broker, info) in &infos {
                for queue_id in info.curr_id_map.keys() {
                    owners.entry(*queue_id).or_insert(broker);
                }
            }
            let total = infos.iter().map(|(_, info)| info.total_queues).max();
            let total = total
                .unwrap_or(0)
                .min(i32::try_from(MAX_QUEUES).unwrap_or(0));
            let logical: Arc<str> = Arc::from(logical_broker_name(scope));
            for queue_id in 0..total {
                let owner = owners.get(&queue_id).copied();
                let master = match owner {
                    Some(broker) => masters.get(broker),
                    None => Err(ExclusionReason::NotMapped),
                };
                if let Err(reason) = master {
                    list.exclude(owner.unwrap_or(&logical), 1, None, reason);
                }
                list.queues.push(ListedQueue {
                    broker_name: Arc::clone(&logical),
                    queue_id,
                    master,
                });
            }
        }
        list
    }

    fn plain(data: &'a TopicRouteData) -> Self {
        let mut list = Self::empty(RouteKind::Plain);
        let masters = Masters::of(data);
        let mut sorted: Vec<&QueueData> = data.queue_datas.iter().collect();
        sorted.sort_by_key(|queues| java_order(&queues.broker_name));
        for queues in sorted {
            let name = queues.broker_name.as_str();
            let count = u32::try_from(queues.write_queue_nums).unwrap_or(0);
            let master = if !queues.perm.is_writable() {
                Err(ExclusionReason::NotWritable)
            } else if count == 0 {
                Err(ExclusionReason::NoQueues)
            } else {
                masters.get(name)
            };
            match master {
                Ok(_) => list.push(name, count.min(MAX_QUEUES), master),
                Err(reason) => list.exclude(name, count, Some(queues.perm), reason),
            }
        }
        list
    }

    fn empty(kind: RouteKind) -> Self {
        Self {
            kind,
            queues: Vec::new(),
            excluded: Vec::new(),
        }
    }

    fn push(&mut self, name: &str, count: u32, master: Result<Master<'a>, ExclusionReason>) {
        let broker_name: Arc<str> = Arc::from(name);
        let count = i32::try_from(count).unwrap_or(0);
        self.queues.extend((0..count).map(|queue_id| ListedQueue {
            broker_name: Arc::clone(&broker_name),
            queue_id,
            master,
        }));
    }

    fn exclude(
        &mut self,
        name: &str,
        queues: u32,
        permission: Option<Permission>,
        reason: ExclusionReason,
    ) {
        if let Some(last) = self.excluded.last_mut() {
            if last.broker_name.as_ref() == name
                && last.reason == reason
                && last.permission == permission
            {
                last.queues = last.queues.saturating_add(queues);
                return;
            }
        }
        self.excluded.push(ExcludedQueues {
            broker_name: Arc::from(name),
            queues,
            permission,
            reason,
        });
    }
}

/// The brokers of a route by name.
struct Masters<'a>(HashMap<&'a str, &'a BrokerData>);

impl<'a> Masters<'a> {
    fn of(data: &'a TopicRouteData) -> Self {
        let mut brokers = HashMap::with_capacity(data.broker_datas.len());
        for broker in &data.broker_datas {
            brokers.entry(broker.broker_name.as_str()).or_insert(broker);
        }
        Self(brokers)
    }

    fn get(&self, name: &str) -> Result<Master<'a>, ExclusionReason> {
        let broker = *self.0.get(name).ok_or(ExclusionReason::BrokerUnknown)?;
        let address = broker
            .master()
            .filter(|address| !address.trim().is_empty())
            .ok_or(ExclusionReason::NoMaster)?;
        Ok(Master {
            name: &broker.broker_name,
            cluster: &broker.cluster,
            address,
        })
    }
}

fn logical_broker_name(scope: &str) -> String {
    // Java takes the two underscores of the global scope for those of the prefix.
    let scope = if scope == GLOBAL_SCOPE {
        scope.trim_start_matches("__")
    } else {
        scope
    };
    format!("{LOGICAL_BROKER_PREFIX}{scope}")
}

/// Java compares strings by UTF-16 units; the ring must have the same order there.
pub(super) fn java_order(name: &str) -> Vec<u16> {
    name.encode_utf16().collect()
}
