//! Requests over one connection: numbered, encoded, entered into the pending table, written, answered by a mirror, cut,
//! matched and completed. The pending table is private and is measured within this.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rocketmq_producer::remoting::protocol::SendMessageRequestHeader;
use rocketmq_producer::remoting::{Connection, ConnectionOptions, NoConsumer};
use rocketmq_producer_tests::mirror::Mirror;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::{Repeat, runtime};

/// One at a time.
pub fn request() -> Repeat {
    repeat(1)
}

/// 64 tasks at once.
pub fn requests() -> Repeat {
    repeat(64)
}

fn repeat(tasks: u64) -> Repeat {
    let runtime = runtime();
    let tracker = TaskTracker::new();
    let (connection, driver) = Connection::new(
        Mirror::new(1, 4).stream(),
        Arc::from("mirror"),
        &ConnectionOptions::default(),
        Arc::new(NoConsumer),
    );
    tracker.spawn_on(driver, runtime.handle());
    Box::new(move |times| {
        runtime.block_on(async {
            let work = (0..tasks).map(|_| {
                let connection = connection.clone();
                tracker.spawn(async move {
                    for _ in 0..times / tasks {
                        exchange(&connection).await;
                    }
                })
            });
            for task in work.collect::<Vec<_>>() {
                task.await.unwrap();
            }
        });
    })
}

async fn exchange(connection: &Connection) {
    static BODY: [u8; 256] = [b'x'; 256];
    let mut header = SendMessageRequestHeader::new("order-service", "orders", 3, 1_780_000_000_000);
    header.unique_key = Some("7F0000012A9F18B4AAC2000000000001");
    let deadline = Instant::now() + Duration::from_secs(60);
    connection
        .request(&header, &Bytes::from_static(&BODY), deadline)
        .await
        .unwrap();
}
