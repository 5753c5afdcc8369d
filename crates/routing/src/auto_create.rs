//! Topics that a broker makes when the first message comes.

use std::sync::Arc;

use dashmap::DashSet;
use rocketmq_producer_remoting::protocol::TopicRouteData;

/// The topic whose settings new topics inherit; every broker that creates topics on
/// demand registers it (Java: `AUTO_CREATE_TOPIC_KEY_TOPIC`).
pub const DEFAULT_TOPIC: &str = "TBW102";

/// Topics warned about; beyond it the warnings start anew.
const MAX_WARNED: usize = 10_000;

/// What the route of a topic will be once the brokers of `TBW102` have made it.
pub(crate) fn route_of_new_topic(mut route: TopicRouteData, queue_nums: u32) -> TopicRouteData {
    let bound = i32::try_from(queue_nums).unwrap_or(i32::MAX);
    for queues in &mut route.queue_datas {
        // Both counts, as Java does: the new topic has as many of either.
        let count = queues.read_queue_nums.min(bound);
        queues.read_queue_nums = count;
        queues.write_queue_nums = count;
    }
    route
}

/// Warns of each topic once.
#[derive(Debug, Default)]
pub(crate) struct CreationWarnings {
    warned: DashSet<Arc<str>>,
}

impl CreationWarnings {
    pub(crate) fn warn(&self, topic: &Arc<str>) {
        if self.warned.contains(topic) {
            return;
        }
        if self.warned.len() >= MAX_WARNED {
            self.warned.clear();
        }
        self.warned.insert(Arc::clone(topic));
        tracing::warn!(
            %topic,
            "topic does not exist; the brokers of TBW102 will create it with the first message"
        );
    }
}

#[cfg(test)]
mod tests {
    use rocketmq_producer_remoting::protocol::TopicRouteData;

    use super::route_of_new_topic;

    #[test]
    fn a_new_topic_has_at_most_the_queues_of_the_default_topic() {
        let body = br#"{"queueDatas":[
            {"brokerName":"a","perm":7,"readQueueNums":8,"writeQueueNums":8},
            {"brokerName":"b","perm":7,"readQueueNums":2,"writeQueueNums":8}]}"#;
        let route = route_of_new_topic(TopicRouteData::parse(body).unwrap(), 4);
        let counts: Vec<_> = route
            .queue_datas
            .iter()
            .map(|queues| (queues.read_queue_nums, queues.write_queue_nums))
            .collect();
        assert_eq!(counts, [(4, 4), (2, 2)]);
    }
}
