//! Whole sends of 256 B through a producer with its default settings, to a mirror with four brokers of four queues.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rocketmq_producer::{Message, Producer};
use rocketmq_producer_tests::mirror::Mirror;
use tokio_util::task::TaskTracker;

use super::{Repeat, runtime};

pub fn one() -> Repeat {
    repeat(1)
}

pub fn sixty_four() -> Repeat {
    repeat(64)
}

pub fn thousand() -> Repeat {
    repeat(1024)
}

fn repeat(in_flight: u64) -> Repeat {
    let runtime = runtime();
    let tracker = TaskTracker::new();
    let producer = runtime.block_on(async {
        Producer::builder("order-service")
            .name_servers("127.0.0.1:9876")
            .dialer(Arc::new(Mirror::new(4, 4)))
            // Callgrind is slow; nothing may be late for that.
            .configure(|settings| settings.send_msg_timeout(Duration::from_secs(60)))
            .preheat(["orders"])
            .start()
            .await
            .unwrap()
    });
    let body = Bytes::from(vec![b'x'; 256]);
    Box::new(move |times| {
        runtime.block_on(async {
            let work = (0..in_flight).map(|_| {
                let (producer, body) = (producer.clone(), body.clone());
                tracker.spawn(async move {
                    for _ in 0..times / in_flight {
                        let message = Message::new("orders", body.clone()).unwrap();
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
