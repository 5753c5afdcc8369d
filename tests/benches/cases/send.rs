//! Whole sends of 256 B through a producer with its default settings, to a mirror.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rocketmq_producer::{Message, Producer};
use rocketmq_producer_tests::mirror::Mirror;
use tokio_util::task::TaskTracker;

use super::{Repeat, runtime};

pub fn one() -> Repeat {
    repeat(1, 1, 4)
}

pub fn sixty_four() -> Repeat {
    repeat(64, 1, 4)
}

pub fn thousand() -> Repeat {
    repeat(1024, 1, 4)
}

/// Against `sixty_four`: a send costs the same, whatever the number of topics.
pub fn thousand_topics() -> Repeat {
    repeat(64, 1000, 4)
}

/// Against `one`: a send costs the same, whatever the number of brokers. More at once would compare how many sends
/// share one write.
pub fn sixty_four_brokers() -> Repeat {
    repeat(1, 1, 64)
}

fn repeat(in_flight: u64, topics: u64, brokers: usize) -> Repeat {
    let topics: Arc<[String]> = (0..topics).map(|topic| format!("orders-{topic}")).collect();
    let runtime = runtime();
    let tracker = TaskTracker::new();
    let producer = runtime.block_on(async {
        Producer::builder("order-service")
            .name_servers("127.0.0.1:9876")
            .dialer(Arc::new(Mirror::new(brokers, 4)))
            // Callgrind is slow; nothing may be late for that.
            .configure(|settings| settings.send_msg_timeout(Duration::from_secs(60)))
            .preheat(topics.iter())
            .start()
            .await
            .unwrap()
    });
    let body = Bytes::from(vec![b'x'; 256]);
    Box::new(move |times| {
        runtime.block_on(async {
            let work = (0..in_flight).map(|task| {
                let (producer, body) = (producer.clone(), body.clone());
                let topics = Arc::clone(&topics);
                tracker.spawn(async move {
                    let each = times / in_flight;
                    for index in task * each..task * each + each {
                        let topic = &topics[index as usize % topics.len()];
                        let message = Message::new(topic.as_str(), body.clone()).unwrap();
                        producer.send(message).await.unwrap();
                    }
                })
            });
            for task in work.collect::<Vec<_>>() {
                task.await.unwrap();
            }
        });
    })
}
