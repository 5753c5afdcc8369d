//! Answers that fit no request, and bytes that are no answer.

use bytes::Bytes;
use rocketmq_producer_core::config::routing::remoting::{
    CloseReason, Delivery, RemotingCommand, RequestCode, RequestFailure,
};
use rocketmq_producer_core::{ErrorKind, SendFailure, SendOptions};
use rocketmq_producer_embedded::{Condition, Fault, Reaction};

use crate::scripted;
use crate::support::*;

#[tokio::test]
async fn stray_duplicate_and_late_answers_are_counted_and_ignored() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let faults = cluster.faults(A).unwrap();
    let unmatched = || producer.stats().brokers.unmatched_responses;
    faults.arm(next_send(Reaction::StrayResponse));
    producer.send(message()).await.unwrap();
    until(|| unmatched() == 1).await;
    faults.arm(next_send(Reaction::Duplicate));
    producer.send(message()).await.unwrap();
    until(|| unmatched() == 2).await;
    faults.arm(next_send(Reaction::Delay(millis(150))));
    let options = SendOptions::new().timeout(millis(50));
    let error = producer.send_with(message(), options).await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown);
    // Later answers on the connection find their own requests.
    for number in 0..20 {
        let receipt = producer.send(message()).await.unwrap();
        let stored = cluster.messages(TOPIC);
        let found = stored.iter().find(|stored| {
            stored.queue_id == receipt.queue().queue_id()
                && stored.queue_offset == receipt.queue_offset()
        });
        let id = receipt.message_id().to_string();
        assert_eq!(found.unwrap().message_id(), id, "{number}");
    }
    until(|| unmatched() == 3).await;
    let stats = producer.stats().brokers;
    assert_eq!((stats.closed_connections, stats.dials), (0, 1));
}

#[tokio::test]
async fn garbage_closes_the_connection_with_a_typed_error_and_the_next_send_works() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.retry_times(0)).await;
    let json = |header: &str| {
        let mut frame = Vec::new();
        let length = u32::try_from(header.len()).unwrap();
        frame.extend((length + 4).to_be_bytes());
        frame.extend(length.to_be_bytes());
        frame.extend(header.as_bytes());
        Bytes::from(frame)
    };
    for (round, garbage) in [
        Bytes::from_static(&[0xff; 64]),
        Bytes::from_static(&[0; 64]),
        Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1]),
        // The header is longer than its frame.
        Bytes::from_static(&[0, 0, 0, 8, 0, 0, 0, 99, 1, 2, 3, 4]),
        // No such header encoding.
        Bytes::from_static(&[0, 0, 0, 8, 9, 0, 0, 4, 1, 2, 3, 4]),
        json("not json"),
        json("{\"code\":"),
    ]
    .into_iter()
    .enumerate()
    {
        let faults = cluster.faults(A).unwrap();
        faults.arm(next_send(Reaction::Garbage(garbage)));
        let error = producer.send(message()).await.unwrap_err();
        let SendFailure::Request(failure) = error.cause() else {
            panic!("{error:?}");
        };
        assert!(
            matches!(
                failure.failure(),
                RequestFailure::ConnectionLost(reason)
                    if matches!(**reason, CloseReason::Protocol(_))
            ),
            "{error:?}"
        );
        assert_eq!(error.delivery(), Delivery::Unknown);
        assert_eq!(error.kind(), ErrorKind::BrokerNotAvailable);
        assert!(error.elapsed() < millis(1000), "at once");
        producer.send(message()).await.unwrap();
        assert_eq!(
            producer.stats().brokers.closed_connections,
            round as u64 + 1
        );
    }
}

#[tokio::test]
async fn a_break_fails_everything_under_way_at_once() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.retry_times(0)).await;
    let faults = cluster.faults(A).unwrap();
    let swallowed = faults.arm(every_send(Reaction::Swallow));
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let producer = producer.clone();
        sends.spawn(async move { producer.send(message()).await.unwrap_err() });
    }
    soon(swallowed.wait_fired(50)).await;
    cluster.stop_broker_unnoticed(A).await.unwrap();
    for error in soon(sends.join_all()).await {
        assert_eq!(error.delivery(), Delivery::Unknown);
        assert_eq!(error.kind(), ErrorKind::BrokerNotAvailable);
        assert!(error.elapsed() < millis(2000));
    }
}

#[tokio::test]
async fn requests_of_the_broker_do_not_disturb_sends() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    for code in [
        RequestCode::NOTIFY_CONSUMER_IDS_CHANGED,
        RequestCode::CHECK_TRANSACTION_STATE,
        RequestCode(4711),
    ] {
        cluster
            .faults(A)
            .unwrap()
            .arm(next_send(Reaction::Request(RemotingCommand::request(
                code.0, 0,
            ))));
        producer.send(message()).await.unwrap();
    }
    assert_eq!(producer.stats().brokers.server_requests, 3);
}

#[tokio::test]
async fn a_broker_that_leaves_in_good_order_loses_nothing_and_no_health() {
    let cluster = cluster(2).await;
    let producer = producer_with(&cluster, |settings| settings.retry_times(5)).await;
    let faults = cluster.faults(A).unwrap();
    let leaving = faults.arm(Fault::new(Condition::sends(), Reaction::go_away()).times(5));
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let producer = producer.clone();
        sends.spawn(async move { producer.send(message()).await });
    }
    for outcome in soon(sends.join_all()).await {
        outcome.unwrap();
    }
    assert_eq!(leaving.fired(), 5);
    assert!(producer.stats().brokers.go_aways > 0);
    let health = &producer.router().broker_health_info(A)[0];
    assert_eq!(health.failure_count, 0, "{health:?}");
    let mut ids = stored_ids(&cluster);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 200);
}

#[tokio::test]
async fn a_receipt_that_cannot_be_read_closes_the_connection_and_claims_nothing() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.retry_times(0)).await;
    let broken = scripted::broker_with_truncated_receipts().await;
    scripted::route(&producer, &[&broken]);
    let error = producer.send(message()).await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown);
    assert_eq!(error.kind(), ErrorKind::Serialization);
    assert!(matches!(error.cause(), SendFailure::Answer(_)), "{error:?}");
    until(|| producer.stats().brokers.closed_connections == 1).await;
}
