//! Heap of the client per send in flight: tasks that wait for brokers that never answer.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use rocketmq_producer::remoting::ByteSize;
use rocketmq_producer::{Message, Producer};
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::runtime;
use crate::mirror::Mirror;

/// Of each message; it is part of what a send needs.
const BODY: usize = 256;

/// What so many sends in flight need.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct Memory {
    /// Sends that wait for their answers.
    pub in_flight: usize,
    /// Heap in use that was not before the first of them, in bytes, with their tasks and bodies of 256 B.
    pub heap: usize,
    /// The same for each.
    pub heap_per_send: usize,
}

/// Measures with 1, 1000 and 100 000 sends; `in_use` tells the bytes of heap in use.
///
/// # Errors
/// When a send ends, or does not get under way.
pub fn memory(in_use: fn() -> usize, tell: fn(&str)) -> Result<Vec<Memory>> {
    [1, 1000, 100_000]
        .into_iter()
        .map(|count| {
            tell(&format!("memory: {count} sends in flight"));
            measure(count, in_use)
        })
        .collect()
}

fn measure(count: usize, in_use: fn() -> usize) -> Result<Memory> {
    let mirror = Mirror::new(4, 4);
    let tracker = TaskTracker::new();
    runtime()?.block_on(async {
        let producer = Producer::builder("growth")
            .name_servers("127.0.0.1:9876")
            .dialer(Arc::new(mirror.clone()))
            .configure(|settings| {
                settings
                    .send_msg_timeout(Duration::from_secs(60))
                    .async_send_semaphore(200_000)
                    .max_in_flight_bytes(ByteSize::mib(1024))
            })
            .preheat(["orders"])
            .start()
            .await?;
        for _ in 0..64 {
            producer
                .send(Message::new("orders", vec![0; BODY])?)
                .await?;
        }
        mirror.fall_silent();
        let before = in_use();
        for _ in 0..count {
            let message = Message::new("orders", vec![0; BODY])?;
            let producer = producer.clone();
            tracker.spawn(async move { producer.send(message).await });
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while mirror.taken() < count {
            if Instant::now() > deadline {
                bail!("{} of {count} sends got under way", mirror.taken());
            }
            tokio::task::yield_now().await;
        }
        if tracker.len() != count {
            bail!("{} of {count} sends are in flight", tracker.len());
        }
        let heap = in_use().saturating_sub(before);
        Ok(Memory {
            in_flight: count,
            heap,
            heap_per_send: heap / count,
        })
    })
}
