//! Health decides where messages go, and only brokers' own failures count.

use rocketmq_producer_core::Producer;
use rocketmq_producer_core::config::routing::{BrokerHealthInfo, BrokerState, MessageQueue};
use rocketmq_producer_core::{ErrorKind, SendOptions};
use rocketmq_producer_embedded::{EmbeddedCluster, Reaction};
use tokio::time::Instant;

use crate::support::*;

fn health(producer: &Producer, broker: &str) -> BrokerHealthInfo {
    producer.router().broker_health_info(broker).remove(0)
}

/// Has five sends in a row refused at [`A`], with time enough for each answer: who gives up early blames nobody.
async fn make_a_unhealthy(cluster: &EmbeddedCluster) -> Producer {
    let producer = producer_with(cluster, |settings| settings.retry_times(0)).await;
    assert_eq!(health(&producer, A).state, BrokerState::Healthy);
    let busy = cluster.faults(A).unwrap().arm(refuse(2, "busy"));
    for _ in 0..5 {
        let options = SendOptions::new().to_queue(MessageQueue::new(TOPIC, A, 0));
        producer.send_with(message(), options).await.unwrap_err();
    }
    busy.lift();
    producer
}

#[tokio::test]
async fn a_broker_that_fails_five_times_in_a_row_is_avoided() {
    let cluster = cluster(2).await;
    let producer = make_a_unhealthy(&cluster).await;
    let info = health(&producer, A);
    assert_eq!(info.state, BrokerState::Unhealthy);
    assert!(!info.is_available);
    assert!(info.last_error.unwrap().contains("busy"));
    assert_eq!(producer.router().available_brokers(), [B.into()]);
    let before = sends(&cluster, A);
    for _ in 0..20 {
        producer.send(message()).await.unwrap();
    }
    assert!(sends(&cluster, A) <= before + 1, "a probe at most");

    // With every other broker out it is used all the same.
    cluster.stop_broker(B).await.unwrap();
    let used = async { while producer.send(message()).await.is_err() {} };
    soon(used).await;
}

#[tokio::test]
async fn a_broker_that_died_is_avoided_before_any_message_meets_it_and_used_once_it_is_back() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    let mut events = producer.router().mapping().registry().events();
    let watch = producer.router().mapping().registry().watch();
    cluster.stop_broker_unnoticed(A).await.unwrap();
    until(|| !health(&producer, A).is_available).await;
    let info = health(&producer, A);
    assert_eq!(info.state, BrokerState::Healthy, "no message has failed");
    assert!(info.connectivity.is_suspect());
    for _ in 0..8 {
        let receipt = producer.send(message()).await.unwrap();
        assert_eq!(receipt.attempts().count(), 1);
        assert_eq!(&**receipt.queue().broker_name(), B);
    }
    let told = async { while !events.next().await.unwrap().to.connectivity.is_suspect() {} };
    soon(told).await;
    until(|| {
        watch
            .borrow()
            .iter()
            .any(|info| info.connectivity.is_suspect())
    })
    .await;

    cluster.start_broker(A).await.unwrap();
    until(|| health(&producer, A).is_available).await;
    let mut back = 0;
    for _ in 0..8 {
        let receipt = producer.send(message()).await.unwrap();
        back += u32::from(&**receipt.queue().broker_name() == A);
    }
    assert_eq!(back, 4);
}

#[tokio::test]
async fn an_avoided_broker_is_probed_and_comes_back() {
    let cluster = cluster(2).await;
    let producer = make_a_unhealthy(&cluster).await;
    let back = async {
        while !health(&producer, A).is_available {
            producer.send(message()).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    soon(back).await;
    assert_eq!(health(&producer, A).state, BrokerState::Healthy);
}

#[tokio::test]
async fn forced_recovery_brings_a_broker_back_at_once() {
    let cluster = cluster(2).await;
    let producer = make_a_unhealthy(&cluster).await;
    assert!(producer.router().force_broker_recovery(A, Instant::now()));
    let info = health(&producer, A);
    assert_eq!(info.state, BrokerState::Healthy);
    assert_eq!(info.consecutive_failures, 0);
    aim_at_a(&producer);
    let receipt = producer.send(message()).await.unwrap();
    assert_eq!(&**receipt.queue().broker_name(), A);
    assert!(!producer.router().force_broker_recovery("x", Instant::now()));
}

#[tokio::test]
async fn a_suspended_broker_gets_nothing_until_it_is_resumed() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    let key = key_on(&producer, A).await;
    assert!(producer.router().suspend_broker(A, Instant::now()));
    for _ in 0..20 {
        producer.send(message()).await.unwrap();
    }
    let error = producer.send(keyed(&key)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QueueNotAvailable);
    assert!(chain(&error).contains("suspended"), "{}", chain(&error));
    assert_eq!(sends(&cluster, A), 0);

    producer.router().suspend_broker(B, Instant::now());
    let error = producer.send(message()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QueueNotAvailable);
    for word in [A, B, "suspended"] {
        assert!(chain(&error).contains(word), "{}", chain(&error));
    }
    assert!(producer.router().resume_broker(A, Instant::now()));
    let receipt = producer.send(message()).await.unwrap();
    assert_eq!(&**receipt.queue().broker_name(), A);
    producer.send(keyed(&key)).await.unwrap();
}

#[tokio::test]
async fn a_broken_connection_counts_once_however_many_sends_it_carried() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.retry_times(0)).await;
    let faults = cluster.faults(A).unwrap();
    let swallowed = faults.arm(every_send(Reaction::Swallow));
    let mut under_way = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let producer = producer.clone();
        under_way.spawn(async move { producer.send(message()).await.unwrap_err() });
    }
    soon(swallowed.wait_fired(100)).await;
    cluster.stop_broker_unnoticed(A).await.unwrap();
    soon(under_way.join_all()).await;
    let info = health(&producer, A);
    assert_eq!(info.consecutive_failures, 1, "{info:?}");
    assert_eq!(info.coalesced_count, 99);
    assert_eq!(info.state, BrokerState::Healthy);
}

#[tokio::test]
async fn only_the_brokers_own_failures_count() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.retry_times(0)).await;
    let faults = cluster.faults(A).unwrap();
    for (code, remark) in [
        (13, "illegal"),
        (16, "check signature failed."),
        (17, "topic not exist"),
        (29, "request queueId["),
        (1500, "please go away"),
    ] {
        faults.arm(next_send(answer(code, remark)));
        producer.send(message()).await.unwrap_err();
    }
    // The caller gave up.
    let lost = faults.arm(next_send(Reaction::Discard));
    let cancelled = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(message()).await }
    });
    soon(lost.wait_fired(1)).await;
    cancelled.abort();
    assert!(cancelled.await.unwrap_err().is_cancelled());
    // The caller was too impatient for any broker.
    faults.arm(next_send(Reaction::Discard));
    let impatient = SendOptions::new().timeout(millis(10));
    producer.send_with(message(), impatient).await.unwrap_err();
    let info = health(&producer, A);
    assert_eq!(info.failure_count, 0, "{info:?}");

    for (number, reaction) in [
        answer(2, "busy"),
        answer(14, "disk full"),
        Reaction::CloseBefore,
    ]
    .into_iter()
    .enumerate()
    {
        faults.arm(next_send(reaction));
        producer.send(message()).await.unwrap_err();
        assert_eq!(health(&producer, A).failure_count, number as u64 + 1);
    }
    let last_error = health(&producer, A).last_error.unwrap();
    assert!(last_error.contains("closed by peer"), "{last_error}");
}

#[tokio::test]
async fn a_shutdown_blames_no_broker() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let faults = cluster.faults(A).unwrap();
    let swallowed = faults.arm(every_send(Reaction::Swallow));
    let sending = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(message()).await }
    });
    soon(swallowed.wait_fired(1)).await;
    producer.shutdown(millis(50)).await;
    soon(sending).await.unwrap().unwrap_err();
    assert_eq!(health(&producer, A).failure_count, 0);
}
