//! The lowest layer alone: a request to a name server over a pooled connection, and its answer.
//! Any other request of the protocol is sent the same way, with a header of its own.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rocketmq_producer::remoting::protocol::{GetRouteInfoRequestHeader, TopicRouteData};
use rocketmq_producer::remoting::{ConnectionOptions, ConnectionPool, NoConsumer, ResponseCode};
use rocketmq_producer_embedded::EmbeddedCluster;
use tokio::time::Instant;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cluster;
    let address = match std::env::var("NAMESRV_ADDR") {
        Ok(given) => given.split(';').next().unwrap_or_default().to_owned(),
        Err(_) => {
            let builder = EmbeddedCluster::builder().brokers(2).topic("orders", 4);
            cluster = builder.start().await?;
            cluster.name_servers()
        }
    };

    // Requests that servers send us go to the handler; this one answers as a client that only
    // produces.
    let pool = ConnectionPool::new(ConnectionOptions::new(), Arc::new(NoConsumer));
    let deadline = Instant::now() + Duration::from_secs(3);
    let connection = pool.connection(&address, deadline).await?;

    // A failed request says whether a byte of it may have left; an answer with a failure code is
    // an answer all the same.
    let header = GetRouteInfoRequestHeader::new("orders");
    let answer = connection.request(&header, &Bytes::new(), deadline).await?;
    println!("{address} answered {}", answer.code());
    if answer.code() == ResponseCode::SUCCESS {
        let route = TopicRouteData::parse(answer.body())?;
        for broker in &route.broker_datas {
            println!("{} at {:?}", broker.broker_name, broker.broker_addrs);
        }
        for queues in &route.queue_datas {
            let (number, perm) = (queues.write_queue_nums, queues.perm);
            println!(
                "{} has {number} queues for writing, {perm}",
                queues.broker_name
            );
        }
    }

    let stats = pool.stats();
    println!(
        "{} bytes out, {} bytes in",
        stats.bytes_written, stats.bytes_read
    );
    pool.close(Duration::from_secs(1)).await;
    Ok(())
}
