//! Remoting's own connections against the cluster.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rocketmq_producer_embedded::{Condition, EmbeddedCluster, Fault, Reaction};
use rocketmq_producer_remoting::protocol::{
    GetRouteInfoRequestHeader, HeartbeatData, HeartbeatRequestHeader, SendMessageRequestHeader,
    SendMessageResponseHeader, TopicRouteData,
};
use rocketmq_producer_remoting::{
    ConnectionOptions, ConnectionPool, Delivery, HeaderEncoding, NoConsumer, RequestCode,
    ResponseCode,
};
use tokio::time::Instant;

fn pool(encoding: HeaderEncoding) -> ConnectionPool {
    let options = ConnectionOptions::new().with_header_encoding(encoding);
    ConnectionPool::new(options, Arc::new(NoConsumer))
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[tokio::test]
async fn a_client_finds_its_way_from_the_name_server_to_a_receipt() {
    for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
        let cluster = EmbeddedCluster::builder()
            .brokers(2)
            .topic("t", 2)
            .start()
            .await
            .unwrap();
        let pool = pool(encoding);
        let name_server = pool
            .connection(&cluster.name_servers(), deadline())
            .await
            .unwrap();
        let route = GetRouteInfoRequestHeader::new("t");
        let answer = name_server
            .request(&route, &Bytes::new(), deadline())
            .await
            .unwrap();
        let route = TopicRouteData::parse(answer.body()).unwrap();
        let broker = route.broker_datas[1].master().unwrap();

        let broker = pool.connection(broker, deadline()).await.unwrap();
        let heartbeat = HeartbeatData::producer("id", ["PG"]).encode();
        let answer = broker
            .request(&HeartbeatRequestHeader, &heartbeat, deadline())
            .await
            .unwrap();
        assert_eq!(answer.code(), ResponseCode::SUCCESS);
        assert_eq!(cluster.producer_connections("PG").len(), 1);

        let mut send = SendMessageRequestHeader::new("PG", "t", 1, 5);
        send.unique_key = Some("UNIQUE");
        for offset in 0..100 {
            let body = Bytes::from(format!("message {offset}"));
            let answer = broker.request(&send, &body, deadline()).await.unwrap();
            let receipt = SendMessageResponseHeader::read(answer.frame()).unwrap();
            assert_eq!((receipt.queue_id, receipt.queue_offset), (1, offset));
            let stored = cluster.messages("t");
            let last = stored.last().unwrap();
            assert_eq!(last.body, body);
            assert_eq!(last.message_id(), "UNIQUE");
            assert_eq!(receipt.msg_id.unwrap(), last.offset_message_id.to_string());
        }
        broker
            .oneway(&send, &Bytes::from("last"), deadline())
            .await
            .unwrap();
        cluster.wait_for_messages("t", 101).await;
        pool.close(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn a_connection_lost_after_storing_leaves_the_delivery_unknown() {
    let cluster = EmbeddedCluster::builder()
        .topic("t", 1)
        .start()
        .await
        .unwrap();
    let faults = cluster.faults("broker-a").unwrap();
    faults.arm(Fault::once(Condition::sends(), Reaction::CloseAfter));
    let pool = pool(HeaderEncoding::Binary);
    let broker = pool
        .connection(&cluster.brokers()[0].address.to_string(), deadline())
        .await
        .unwrap();
    let send = SendMessageRequestHeader::new("PG", "t", 0, 5);
    let error = broker
        .request(&send, &Bytes::from("b"), deadline())
        .await
        .unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown);
    assert_eq!(cluster.message_count("t"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_store_every_message_once_in_queue_order() {
    const TASKS: i64 = 8;
    const EACH: i64 = 500;

    let cluster = EmbeddedCluster::builder()
        .topic("t", 4)
        .start()
        .await
        .unwrap();
    let pool = pool(HeaderEncoding::Binary);
    let broker = pool
        .connection(&cluster.brokers()[0].address.to_string(), deadline())
        .await
        .unwrap();
    let tasks: tokio::task::JoinSet<_> = (0..TASKS)
        .map(|task| {
            let broker = broker.clone();
            async move {
                for number in 0..EACH {
                    let queue = i32::try_from(task % 4).unwrap();
                    let send =
                        SendMessageRequestHeader::new("PG", "t", queue, task * EACH + number);
                    broker
                        .request(&send, &Bytes::from("body"), deadline())
                        .await
                        .unwrap();
                }
            }
        })
        .collect();
    tasks.join_all().await;
    let messages = cluster.messages("t");
    assert_eq!(messages.len(), usize::try_from(TASKS * EACH).unwrap());
    for queue in 0..4 {
        let queue: Vec<_> = messages.iter().filter(|m| m.queue_id == queue).collect();
        assert!(
            queue
                .iter()
                .zip(0..)
                .all(|(m, offset)| m.queue_offset == offset)
        );
        assert!(queue.is_sorted_by_key(|m| m.offset_message_id.offset));
        for task in 0..TASKS {
            let range = task * EACH..(task + 1) * EACH;
            let of_task = queue
                .iter()
                .map(|m| m.born_timestamp)
                .filter(|t| range.contains(t));
            assert!(of_task.is_sorted());
        }
    }
    assert_eq!(
        cluster
            .requests("broker-a", RequestCode::SEND_MESSAGE_V2)
            .unwrap(),
        4000
    );
}
