//! Requests and their replies.

use std::time::Duration;

use rocketmq_producer_core::config::routing::remoting::message::property;
use rocketmq_producer_core::config::routing::remoting::{Delivery, RemotingCommand, RequestCode};
use rocketmq_producer_core::{ClientContext, Producer, Reply, RequestError};
use rocketmq_producer_embedded::{EmbeddedCluster, Reaction, StoredMessage};
use tokio::task::JoinHandle;

use crate::support::*;

const LONG: Duration = Duration::from_secs(15);

/// Asks on a task of its own.
fn ask(producer: &Producer, timeout: Duration) -> JoinHandle<Result<Reply, RequestError>> {
    let producer = producer.clone();
    tokio::spawn(async move { producer.request(message(), timeout).await })
}

/// The newest request that was stored, once there are so many.
async fn stored(cluster: &EmbeddedCluster, count: usize) -> Vec<StoredMessage> {
    soon(cluster.wait_for_messages(TOPIC, count)).await
}

/// What the broker was told about the replies it pushed.
fn answers(cluster: &EmbeddedCluster, broker: &str) -> Vec<i32> {
    let responses = cluster.responses(broker).unwrap();
    responses.iter().map(|response| response.code).collect()
}

#[tokio::test]
async fn a_request_carries_what_the_other_side_needs_and_gets_its_reply() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let asked = ask(&producer, LONG);
    let request = stored(&cluster, 1).await.remove(0);
    assert_eq!(
        request.property(property::REPLY_TO_CLIENT),
        Some(producer.client_id())
    );
    assert_eq!(request.property(property::TTL), Some("15000"));
    assert!(request.property(property::CORRELATION_ID).is_some());
    assert!(cluster.reply(A, &request, "pong").unwrap());
    let reply = soon(asked).await.unwrap().unwrap();
    assert_eq!(reply.body(), "pong");
    assert_eq!(reply.message.property("MSG_TYPE"), Some("reply"));
    assert_eq!(reply.receipt.unwrap().queue_offset(), request.queue_offset);
    cluster_is(&cluster, |cluster| answers(cluster, A) == [0]).await;
    let stats = producer.stats();
    assert_eq!(
        (stats.replies, stats.late_replies, stats.unknown_replies),
        (1, 0, 0)
    );
    assert_eq!((stats.total_sent, stats.under_way), (1, 0));
}

#[tokio::test]
async fn concurrent_requests_each_get_their_own_reply_in_any_order() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let mut asked = Vec::new();
    for number in 0..50 {
        let producer = producer.clone();
        let body = format!("ping-{number}");
        asked.push(tokio::spawn(async move {
            let message = message().with_body(body.clone()).unwrap();
            let reply = producer.request(message, LONG).await.unwrap();
            assert_eq!(*reply.body(), format!("re: {body}"));
        }));
    }
    for request in stored(&cluster, 50).await.iter().rev() {
        let body = format!("re: {}", String::from_utf8_lossy(&request.body));
        assert!(cluster.reply(A, request, body).unwrap());
    }
    for request in asked {
        soon(request).await.unwrap();
    }
    assert_eq!(producer.stats().replies, 50);
}

#[tokio::test]
async fn without_a_reply_the_error_says_where_the_request_is_and_a_late_reply_is_counted() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let error = producer.request(message(), millis(300)).await.unwrap_err();
    let RequestError::NoReply { receipt, timeout } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*timeout, millis(300));
    let request = stored(&cluster, 1).await.remove(0);
    assert_eq!(receipt.queue_offset(), request.queue_offset);
    assert_eq!(error.delivery(), None);
    assert!(cluster.reply(A, &request, "too late").unwrap());
    until(|| producer.stats().late_replies == 1).await;
    // The broker is told that all is well, and nothing is disturbed.
    cluster_is(&cluster, |cluster| answers(cluster, A) == [0]).await;
    producer.send(message()).await.unwrap();
    assert_eq!(producer.stats().brokers.dials, 1);
}

#[tokio::test]
async fn a_request_that_was_dropped_leaves_nothing_and_its_reply_is_late() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let asked = ask(&producer, LONG);
    let request = stored(&cluster, 1).await.remove(0);
    asked.abort();
    assert!(soon(asked).await.unwrap_err().is_cancelled());
    assert!(cluster.reply(A, &request, "nobody").unwrap());
    until(|| producer.stats().late_replies == 1).await;
}

#[tokio::test]
async fn replies_to_unknown_requests_and_broken_ones_disturb_nothing() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let asked = ask(&producer, LONG);
    let request = stored(&cluster, 1).await.remove(0);
    let push = || {
        let code = RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT;
        RemotingCommand::request(code.0, 0).with_field("topic", "t")
    };
    let strange = push().with_field("properties", "CORRELATION_ID\u{1}1de76661\u{2}");
    for pushed in [push(), strange, push().with_field("sysFlag", "many")] {
        assert_eq!(cluster.request_clients(A, pushed).unwrap(), 1);
    }
    cluster_is(&cluster, |cluster| answers(cluster, A) == [0, 0, 1]).await;
    assert_eq!(producer.stats().unknown_replies, 2);
    assert!(cluster.reply(A, &request, "pong").unwrap());
    soon(asked).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_a_broker_refuses_is_a_failed_send() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let _fault = cluster.faults(A).unwrap().arm(refuse(13, "illegal"));
    let error = producer.request(message(), LONG).await.unwrap_err();
    assert!(matches!(error, RequestError::Send(_)), "{error:?}");
    assert_eq!(error.delivery(), Some(Delivery::Rejected));
    assert!(error.receipt().is_none());
}

#[tokio::test]
async fn a_reply_shows_that_a_request_was_stored_whose_receipt_was_lost() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.retry_times(0)).await;
    let lost = next_send(Reaction::Delay(millis(60_000)));
    let _lost = cluster.faults(A).unwrap().arm(lost);
    let asked = ask(&producer, millis(1500));
    let request = stored(&cluster, 1).await.remove(0);
    assert!(cluster.reply(A, &request, "pong").unwrap());
    let reply = soon(asked).await.unwrap().unwrap();
    assert_eq!(reply.body(), "pong");
    assert!(reply.receipt.is_err());
}

#[tokio::test]
async fn more_requests_than_sends_may_be_under_way_are_refused() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.async_send_semaphore(1)).await;
    let asked = ask(&producer, LONG);
    let request = stored(&cluster, 1).await.remove(0);
    let error = producer.request(message(), LONG).await.unwrap_err();
    assert!(matches!(error, RequestError::QueueFull { limit: 1 }));
    assert_eq!(error.delivery(), Some(Delivery::NotSent));
    // Waiting for a reply takes no place of a send.
    producer.send(message()).await.unwrap();
    assert!(cluster.reply(A, &request, "pong").unwrap());
    soon(asked).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_shutdown_ends_requests_that_wait_for_replies() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let asked = ask(&producer, LONG);
    stored(&cluster, 1).await;
    until(|| producer.stats().under_way == 0).await;
    producer.shutdown(LONG).await;
    let error = soon(asked).await.unwrap().unwrap_err();
    assert!(matches!(error, RequestError::ShutDown { .. }), "{error:?}");
    assert!(error.receipt().is_some());
    let error = producer.request(message(), LONG).await.unwrap_err();
    assert_eq!(error.delivery(), Some(Delivery::NotSent));
}

#[tokio::test]
async fn every_broker_of_the_topic_knows_the_client_before_the_first_request_is_stored() {
    let cluster = cluster(2).await;
    // Nothing is preheated.
    let builder = Producer::builder(GROUP).name_servers(&cluster.name_servers());
    let producer = builder.start().await.unwrap();
    let asked = ask(&producer, LONG);
    let request = stored(&cluster, 1).await.remove(0);
    let other = if &*request.broker_name == A { B } else { A };
    assert!(cluster.reply(other, &request, "from elsewhere").unwrap());
    let reply = soon(asked).await.unwrap().unwrap();
    assert_eq!(reply.body(), "from elsewhere");
}

#[tokio::test]
async fn replies_find_a_shared_client_after_another_group_has_left() {
    let cluster = cluster(1).await;
    let context = ClientContext::builder().name_servers(&cluster.name_servers());
    let context = context.build().unwrap();
    let one = context.producer(GROUP).start().await.unwrap();
    let two = context.producer("other-group").start().await.unwrap();
    let asked = ask(&one, LONG);
    let request = stored(&cluster, 1).await.remove(0);
    // Brokers forget the client with any of its groups.
    two.shutdown(LONG).await;
    cluster_is(&cluster, |cluster| {
        cluster.reply(A, &request, "pong").unwrap()
    })
    .await;
    soon(asked).await.unwrap().unwrap();
    assert_eq!(cluster.producer_connections(GROUP).len(), 1);
}
