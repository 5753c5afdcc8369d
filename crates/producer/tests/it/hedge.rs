//! A second attempt beside one that takes long.

use rocketmq_producer_core::SendFailure;
use rocketmq_producer_core::config::DeliveryGuarantee;
use rocketmq_producer_core::config::routing::remoting::Delivery;
use rocketmq_producer_embedded::Reaction;

use crate::support::*;

#[tokio::test]
async fn a_send_without_an_answer_after_the_percentile_is_answered_by_another_broker() {
    let cluster = cluster(2).await;
    let producer = producer_with(&cluster, |settings| settings.hedge_percentile(90)).await;
    for _ in 0..20 {
        producer.send(message()).await.unwrap();
    }
    let before = producer.stats().hedges;
    aim_at_a(&producer);
    let slow = cluster
        .faults(A)
        .unwrap()
        .arm(next_send(Reaction::Delay(millis(5_000))));
    let receipt = producer.send(message()).await.unwrap();
    assert!(receipt.latency() < millis(1_000), "{receipt:?}");
    assert_eq!(&**receipt.queue().broker_name(), B);
    let attempts: Vec<_> = receipt.attempts().collect();
    assert_eq!((attempts[0].broker(), attempts[1].broker()), (A, B));
    let overtaken = attempts[0].failure().unwrap();
    assert!(matches!(overtaken, SendFailure::Overtaken), "{overtaken:?}");
    assert_eq!(overtaken.delivery(), Delivery::Unknown);
    assert!(producer.stats().hedges > before);
    assert_eq!(slow.fired(), 1);
    assert_eq!(producer.stats().under_way, 0);
    let health = producer.broker_health();
    assert!(
        health.iter().all(|broker| broker.in_flight == 0),
        "{health:?}"
    );
}

#[tokio::test]
async fn no_second_attempt_is_made_for_bound_messages_or_at_most_once() {
    let cluster = cluster(2).await;
    for guarantee in [
        DeliveryGuarantee::AtLeastOnce,
        DeliveryGuarantee::AtMostOnce,
    ] {
        let producer = producer_with(&cluster, |settings| {
            settings.hedge_percentile(50).delivery_guarantee(guarantee)
        })
        .await;
        let key = key_on(&producer, A).await;
        let bound = guarantee == DeliveryGuarantee::AtLeastOnce;
        let next = || if bound { keyed(&key) } else { message() };
        for _ in 0..20 {
            producer.send(next()).await.unwrap();
        }
        aim_at_a(&producer);
        cluster
            .faults(A)
            .unwrap()
            .arm(next_send(Reaction::Delay(millis(100))));
        let receipt = producer.send(next()).await.unwrap();
        assert_eq!(receipt.attempts().count(), 1, "{guarantee:?}");
        assert_eq!(producer.stats().hedges, 0);
    }
}
