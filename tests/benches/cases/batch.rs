//! Messages of 256 B that share requests, to a mirror; counted by message.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rocketmq_producer::{Message, Producer};
use rocketmq_producer_tests::mirror::Mirror;
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;

use super::{Repeat, runtime};

const TOPIC: &str = "orders";

/// Explicit batches, one at a time.
pub fn of_32() -> Repeat {
    const SIZE: u64 = 32;
    let runtime = runtime();
    let producer = start(&runtime, false);
    let messages = move || {
        let body = Bytes::from(vec![b'x'; 256]);
        let message = Message::new(TOPIC, body).unwrap();
        (0..SIZE).map(move |_| message.clone())
    };
    Box::new(move |times| {
        runtime.block_on(async {
            for _ in 0..times / SIZE {
                producer.send_batch(messages()).await.unwrap();
            }
        });
    })
}

pub fn auto_64() -> Repeat {
    auto(64)
}

pub fn auto_1024() -> Repeat {
    auto(1024)
}

/// Sends that batch by themselves.
fn auto(in_flight: u64) -> Repeat {
    let runtime = runtime();
    let tracker = TaskTracker::new();
    let producer = start(&runtime, true);
    let body = Bytes::from(vec![b'x'; 256]);
    Box::new(move |times| {
        runtime.block_on(async {
            let work = (0..in_flight).map(|_| {
                let (producer, body) = (producer.clone(), body.clone());
                tracker.spawn(async move {
                    for _ in 0..times / in_flight {
                        let message = Message::new(TOPIC, body.clone()).unwrap();
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

fn start(runtime: &Runtime, auto_batch: bool) -> Producer {
    runtime.block_on(async {
        Producer::builder("order-service")
            .name_servers("127.0.0.1:9876")
            .dialer(Arc::new(Mirror::new(4, 4)))
            .configure(|settings| {
                // Callgrind is slow; nothing may be late for that.
                let settings = settings.send_msg_timeout(Duration::from_secs(60));
                settings.auto_batch(auto_batch)
            })
            .preheat([TOPIC])
            .start()
            .await
            .unwrap()
    })
}
