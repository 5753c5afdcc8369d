//! Messages that are delivered later, taken back, or in a namespace.

use std::time::Duration;

use rocketmq_producer_core::config::routing::MessageQueue;
use rocketmq_producer_core::config::routing::remoting::message::TimingError;
use rocketmq_producer_core::config::routing::remoting::{
    Delivery, Message, MessageError, RequestCode, ResponseCode,
};
use rocketmq_producer_core::{ErrorKind, RecallError, SendFailure, SendOptions, Via};
use rocketmq_producer_embedded::{ClusterBuilder, EmbeddedCluster, MemoryNetwork};

use crate::support::*;

const SCHEDULE: &str = "SCHEDULE_TOPIC_XXXX";
const TIMER: &str = "rmq_sys_wheel_timer";

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn delayed(delay: Duration) -> Message {
    message().with_delay(delay).unwrap()
}

/// A cluster for a paused clock, and the builder of a producer for it.
async fn in_memory(
    change: impl FnOnce(ClusterBuilder) -> ClusterBuilder,
) -> (EmbeddedCluster, rocketmq_producer_core::Producer) {
    let network = MemoryNetwork::new();
    let cluster = EmbeddedCluster::builder()
        .in_memory(&network)
        .topic(TOPIC, QUEUES as u16)
        .auto_create_topics(false);
    let cluster = change(cluster).start().await.unwrap();
    let producer = builder(&cluster).dialer(std::sync::Arc::new(network));
    (cluster, producer.start().await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_message_with_a_delay_level_is_acknowledged_where_it_waits_and_delivered_later() {
    let (cluster, producer) = in_memory(|it| it).await;
    let message = message().with_delay_level(3).unwrap();
    let receipt = producer.send(message).await.unwrap();
    assert_eq!(receipt.via(), Some(Via::Schedule));
    assert_eq!(receipt.recall_handle(), None);
    let waiting = cluster.messages(SCHEDULE);
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        Some(&waiting[0].offset_message_id),
        receipt.offset_message_id(),
        "the acknowledged place is that of the system topic"
    );
    assert_eq!(waiting[0].queue_id, 2);
    tokio::time::advance(millis(9_999)).await;
    assert_eq!(cluster.message_count(TOPIC), 0);
    tokio::time::advance(millis(1)).await;
    let stored = cluster.messages(TOPIC);
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].message_id(), receipt.message_id().as_str());
    assert_eq!(stored[0].queue_id, receipt.queue().queue_id());
}

#[tokio::test(start_paused = true)]
async fn a_timer_message_is_delivered_at_its_time_under_the_same_id() {
    let (cluster, producer) = in_memory(|it| it).await;
    let receipt = producer.send(delayed(secs(60))).await.unwrap();
    assert_eq!(receipt.via(), Some(Via::Timer));
    let handle = receipt.recall_handle().expect("a handle");
    assert_eq!(handle.topic(), TOPIC);
    assert_eq!(handle.message_id(), receipt.message_id().as_str());
    assert_eq!(cluster.message_count(TIMER), 1);
    tokio::time::advance(secs(58)).await;
    assert_eq!(cluster.message_count(TOPIC), 0);
    // The clock does the waiting.
    let stored = soon(cluster.wait_for_messages(TOPIC, 1)).await;
    assert_eq!(stored[0].message_id(), receipt.message_id().as_str());
}

#[tokio::test]
async fn a_time_that_has_passed_is_delivered_at_once() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let message = message().with_deliver_at_millis(1).unwrap();
    let receipt = producer.send(message).await.unwrap();
    assert_eq!(receipt.via(), None);
    assert_eq!(cluster.message_count(TOPIC), 1);
}

#[tokio::test]
async fn times_beyond_what_brokers_take_are_refused_before_anything_is_sent() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let level = message().with_delay_level(19).unwrap();
    let far = delayed(secs(259_201));
    let later = message().with_deliver_at_millis(i64::MAX as u64).unwrap();
    for message in [level, far, later] {
        for error in [
            producer.send(message.clone()).await.unwrap_err(),
            producer.send_oneway(message).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::MessageValidation);
            assert_eq!(error.delivery(), Delivery::NotSent);
            let SendFailure::Message(MessageError::Timing(reason)) = error.cause() else {
                panic!("{error}");
            };
            let known = [
                matches!(reason, TimingError::LevelTooHigh { .. }),
                matches!(reason, TimingError::TooFar { .. }),
            ];
            assert!(known.contains(&true), "{reason}");
        }
    }
    assert_eq!(sends(&cluster, A), 0);
}

#[tokio::test]
async fn the_highest_level_and_the_longest_delay_are_settings() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| {
        settings.max_delay_level(20).max_timer_delay(secs(400_000))
    })
    .await;
    let level = message().with_delay_level(19).unwrap();
    producer.send(level).await.unwrap();
    // This broker takes three days, whatever the client thinks; its refusal is one of the message.
    let error = producer.send(delayed(secs(300_000))).await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::Rejected);
    assert_eq!(error.attempts().len(), 1, "nothing a retry could better");
    assert!(chain(&error).contains("should not be bigger than the max delay"));
    assert!(error.advice().contains("correct the message"));
}

#[tokio::test]
async fn messages_that_are_delivered_later_go_by_themselves() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| {
        settings.auto_batch(true).batch_linger(millis(20))
    })
    .await;
    let kinds = [
        message().with_delay_level(1).unwrap(),
        delayed(secs(5)),
        message().with_lmq(["light"]).unwrap(),
    ];
    for kind in kinds {
        let error = producer
            .send_batch([message(), kind.clone()])
            .await
            .unwrap_err();
        assert!(error.rule().is_some(), "{error}");
        let batches = cluster
            .requests(A, RequestCode::SEND_BATCH_MESSAGE)
            .unwrap();
        let before = sends(&cluster, A);
        let (one, two) = tokio::join!(producer.send(kind.clone()), producer.send(kind));
        one.unwrap();
        two.unwrap();
        assert_eq!(sends(&cluster, A), before + 2);
        let after = cluster
            .requests(A, RequestCode::SEND_BATCH_MESSAGE)
            .unwrap();
        assert_eq!(after, batches);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_taken_back_is_never_delivered() {
    let (cluster, producer) = in_memory(|it| it.recall(true)).await;
    let kept = producer.send(delayed(secs(60))).await.unwrap();
    let recalled = producer.send(delayed(secs(60))).await.unwrap();
    let handle = recalled.recall_handle().expect("a handle").as_str();
    for _ in 0..2 {
        let id = producer.recall(TOPIC, handle).await.unwrap();
        assert_eq!(id, recalled.message_id().as_str(), "also the second time");
    }
    tokio::time::advance(secs(61)).await;
    let stored = cluster.messages(TOPIC);
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].message_id(), kept.message_id().as_str());
}

#[tokio::test]
async fn a_broker_that_takes_nothing_back_says_so() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let receipt = producer.send(delayed(secs(60))).await.unwrap();
    let handle = receipt.recall_handle().expect("a handle").as_str();
    let error = producer.recall(TOPIC, handle).await.unwrap_err();
    assert!(matches!(error, RecallError::Disabled { .. }), "{error:?}");
    assert!(error.advice().contains("recallMessageEnable"));
    let old = answer(3, " request type 370 not supported");
    let plan = cluster.faults(A).unwrap();
    plan.arm(rocketmq_producer_embedded::Fault::once(
        rocketmq_producer_embedded::Condition::code(RequestCode::RECALL_MESSAGE),
        old,
    ));
    let error = producer.recall(TOPIC, handle).await.unwrap_err();
    assert!(matches!(error, RecallError::NotOffered { .. }), "{error:?}");
}

#[tokio::test]
async fn a_handle_that_is_none_or_of_another_topic_is_refused_before_anything_is_sent() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let receipt = producer.send(delayed(secs(60))).await.unwrap();
    let handle = receipt.recall_handle().expect("a handle").as_str();
    let asked = |cluster: &EmbeddedCluster| cluster.requests(A, RequestCode::RECALL_MESSAGE);
    let error = producer.recall("other", handle).await.unwrap_err();
    assert!(matches!(error, RecallError::OtherTopic { .. }), "{error:?}");
    for garbage in ["", "garbage", "djEgYSBiIGMgZA=="] {
        let error = producer.recall(TOPIC, garbage).await.unwrap_err();
        assert!(matches!(error, RecallError::Handle(_)), "{error:?}");
    }
    let error = producer.recall("%RETRY%g", handle).await.unwrap_err();
    assert!(matches!(error, RecallError::ConsumersTopic { .. }));
    assert_eq!(asked(&cluster).unwrap(), 0);
    producer.shutdown(secs(1)).await;
    let error = producer.recall(TOPIC, handle).await.unwrap_err();
    assert!(matches!(error, RecallError::Failed(SendFailure::State(_))));
}

#[tokio::test]
async fn names_in_a_namespace_are_wrapped_for_brokers_and_plain_for_the_program() {
    let cluster = EmbeddedCluster::builder()
        .topic(format!("ns%{TOPIC}"), QUEUES as u16)
        .auto_create_topics(false);
    let cluster = cluster.start().await.unwrap();
    let producer = builder(&cluster)
        .configure(|settings| settings.namespace("ns"))
        .require_preheat()
        .start()
        .await
        .unwrap();
    assert_eq!(producer.group(), format!("ns%{GROUP}"));
    let receipt = producer.send(message()).await.unwrap();
    assert_eq!(&**receipt.queue().topic(), TOPIC);
    let queue = MessageQueue::new(TOPIC, A, 2);
    let options = SendOptions::new().to_queue(queue.clone());
    let receipt = producer.send_with(message(), options).await.unwrap();
    assert_eq!(*receipt.queue(), queue);
    let receipts = producer.send_batch([message(), message()]).await.unwrap();
    assert!(receipts.iter().all(|it| &**it.queue().topic() == TOPIC));
    let stored = cluster.messages(&format!("ns%{TOPIC}"));
    assert_eq!(stored.len(), 4);
    assert!(
        stored
            .iter()
            .all(|it| it.property("INSTANCE_ID") == Some("ns"))
    );
    let group = format!("ns%{GROUP}");
    cluster_is(&cluster, |it| it.producer_connections(&group).len() == 1).await;

    let unknown = Message::new("unknown", "x").unwrap();
    let error = producer.send(unknown).await.unwrap_err();
    assert_eq!(error.topic(), "unknown");
    let long = Message::new("t".repeat(127), "x").unwrap();
    let error = producer.send(long).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MessageValidation);
    let handle = "djEgbnMlb3RoZXIgYiAxIGQ=";
    let error = producer.recall(TOPIC, handle).await.unwrap_err();
    assert!(matches!(error, RecallError::OtherTopic { .. }));
}

#[tokio::test]
async fn a_timer_that_one_broker_does_not_offer_goes_to_another() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    let remark = "accurate timer message is not enabled, timerWheelEnable is false";
    cluster.faults(A).unwrap().arm(refuse(1, remark));
    let receipt = producer.send(delayed(secs(5))).await.unwrap();
    assert_eq!(&**receipt.queue().broker_name(), B);
    let failure = receipt.attempts().next().unwrap().failure().unwrap();
    assert_eq!(failure.delivery(), Delivery::Rejected);
    assert!(matches!(failure, SendFailure::Refused { code, .. } if *code == ResponseCode(1)));
    assert_eq!(cluster.message_count(TIMER), 1, "one copy only");
}
