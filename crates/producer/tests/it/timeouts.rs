//! A send ends within its budget, whatever the broker does.

use std::time::Duration;

use rocketmq_producer_core::config::routing::remoting::Delivery;
use rocketmq_producer_core::{ErrorKind, SendOptions};
use rocketmq_producer_embedded::Reaction;
use tokio::time::Instant;

use crate::support::*;

/// What scheduling may add on a busy machine.
const SLACK: Duration = Duration::from_millis(400);

fn timeout(budget: Duration) -> SendOptions {
    SendOptions::new().timeout(budget)
}

#[tokio::test]
async fn a_swallowed_answer_is_unknown_at_the_timeout_and_others_do_not_notice() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let faults = cluster.faults(A).unwrap();
    let swallowed = faults.arm(next_send(Reaction::Swallow));
    let budget = millis(300);
    let began = Instant::now();
    let lost = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send_with(message(), timeout(budget)).await }
    });
    soon(swallowed.wait_fired(1)).await;
    for _ in 0..50 {
        producer.send(message()).await.unwrap();
    }
    let error = lost.await.unwrap().unwrap_err();
    let took = began.elapsed();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.code(), 5002);
    assert_eq!(error.delivery(), Delivery::Unknown);
    assert!(error.is_retryable());
    assert!(took >= budget && took < budget + SLACK, "{took:?}");
    assert!(error.elapsed() >= budget && error.elapsed() < budget + SLACK);
    assert!(error.message_id().is_some());
    let stats = producer.stats().brokers;
    assert_eq!((stats.closed_connections, stats.timeouts), (0, 1));
    assert_eq!(cluster.message_count(TOPIC), 51, "it was stored");
}

#[tokio::test]
async fn one_budget_covers_all_attempts() {
    let cluster = cluster(2).await;
    let producer = producer_with(&cluster, |settings| settings.retry_times(50)).await;
    for broker in [A, B] {
        let faults = cluster.faults(broker).unwrap();
        faults.arm(refuse(2, "[REJECTREQUEST]"));
    }
    let budget = millis(300);
    let error = producer
        .send_with(message(), timeout(budget))
        .await
        .unwrap_err();
    assert!(error.elapsed() < budget + SLACK, "{:?}", error.elapsed());
    assert!(error.attempts().len() > 2);
    let first = error.attempts()[0].failure().unwrap();
    assert_eq!(first.kind(), ErrorKind::MessageSend);
}

#[tokio::test]
async fn a_hung_broker_costs_a_fraction_of_the_budget_while_another_exists() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    cluster
        .faults(A)
        .unwrap()
        .arm(every_send(Reaction::Discard));
    let budget = millis(1500);
    let receipt = producer
        .send_with(message(), timeout(budget))
        .await
        .unwrap();
    assert_eq!(&**receipt.queue().broker_name(), B);
    assert!(receipt.latency() < budget * 2 / 3, "{receipt:?}");
    let attempts: Vec<_> = receipt.attempts().collect();
    assert_eq!(attempts.len(), 2);
    let failure = attempts[0].failure().unwrap();
    assert_eq!(failure.kind(), ErrorKind::Timeout);
    assert_eq!(failure.delivery(), Delivery::Unknown);
}

#[tokio::test]
async fn an_unreachable_name_server_does_not_hold_a_send_beyond_its_budget() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let faults = cluster.name_server_faults(0).unwrap();
    faults.arm(rocketmq_producer_embedded::Fault::new(
        rocketmq_producer_embedded::Condition::any(),
        Reaction::Discard,
    ));
    let other = rocketmq_producer_core::config::routing::remoting::Message::new("other", "x");
    let budget = millis(200);
    let error = producer
        .send_with(other.unwrap(), timeout(budget))
        .await
        .unwrap_err();
    assert!(error.elapsed() >= budget && error.elapsed() < budget + SLACK);
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.delivery(), Delivery::NotSent);
}

#[tokio::test]
async fn the_shortest_and_the_longest_timeout_work() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let error = producer
        .send_with(message(), timeout(Duration::ZERO))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.delivery(), Delivery::NotSent);
    producer
        .send_with(message(), timeout(Duration::MAX))
        .await
        .unwrap();
    // Below the least time worth a retry, the first attempt is made all the same.
    let error = producer
        .send_with(message(), timeout(Duration::from_nanos(1)))
        .await
        .err();
    assert!(error.is_none_or(|error| error.kind() == ErrorKind::Timeout));
    cluster
        .faults(A)
        .unwrap()
        .arm(every_send(Reaction::Discard));
    let error = producer
        .send_with(message(), timeout(millis(4)))
        .await
        .unwrap_err();
    assert_eq!(error.attempts().len(), 1, "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn no_time_is_kept_for_a_broker_that_is_suspended() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    assert!(producer.router().suspend_broker(B, Instant::now()));
    let slow = every_send(Reaction::Delay(millis(700)));
    cluster.faults(A).unwrap().arm(slow);
    let receipt = producer
        .send_with(message(), timeout(millis(1500)))
        .await
        .unwrap();
    assert_eq!(receipt.attempts().count(), 1, "{receipt:?}");
}
