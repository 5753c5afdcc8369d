//! What is tried again, where, and what is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rocketmq_producer_core::config::routing::remoting::protocol::Permission;
use rocketmq_producer_core::config::routing::remoting::{Delivery, Message, RequestCode};
use rocketmq_producer_core::config::routing::{QueueSelector, RoutedQueue, SelectorArgument};
use rocketmq_producer_core::{ErrorKind, SendOptions, SendStatus};
use rocketmq_producer_embedded::{Condition, Fault, Reaction};

use crate::scripted;
use crate::support::*;

#[tokio::test]
async fn a_failure_at_one_broker_is_made_good_at_another_under_the_same_id() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    for (reaction, kind, delivery, copies) in [
        (
            answer(2, "[REJECTREQUEST]busy"),
            ErrorKind::MessageSend,
            Delivery::Rejected,
            1,
        ),
        (
            answer(14, "disk full"),
            ErrorKind::MessageSend,
            Delivery::Rejected,
            1,
        ),
        (
            answer(1, "boom"),
            ErrorKind::MessageSend,
            Delivery::Unknown,
            1,
        ),
        (
            answer(16, "the broker sending message is forbidden"),
            ErrorKind::MessageSend,
            Delivery::Rejected,
            1,
        ),
        (
            Reaction::go_away(),
            ErrorKind::MessageSend,
            Delivery::Rejected,
            1,
        ),
        (
            Reaction::CloseBefore,
            ErrorKind::BrokerNotAvailable,
            Delivery::Unknown,
            1,
        ),
        (
            Reaction::CloseAfter,
            ErrorKind::BrokerNotAvailable,
            Delivery::Unknown,
            2,
        ),
    ] {
        // The breaks above count against broker-a, which would be avoided in time.
        let now = tokio::time::Instant::now();
        producer.router().force_broker_recovery(A, now);
        aim_at_a(&producer);
        cluster.faults(A).unwrap().arm(next_send(reaction.clone()));
        let receipt = producer.send(message()).await.unwrap();
        assert_eq!(&**receipt.queue().broker_name(), B, "{reaction:?}");
        let attempts: Vec<_> = receipt.attempts().collect();
        assert_eq!(attempts.len(), 2, "{reaction:?}");
        assert_eq!((attempts[0].broker(), attempts[1].broker()), (A, B));
        let failure = attempts[0].failure().unwrap();
        assert_eq!(failure.kind(), kind, "{reaction:?}");
        assert_eq!(failure.delivery(), delivery, "{reaction:?}");
        assert!(attempts[1].failure().is_none());
        assert!(attempts[1].began_after() >= attempts[0].elapsed());
        let ids = stored_ids(&cluster);
        let id = receipt.message_id().to_string();
        let same = ids.iter().filter(|stored| **stored == id);
        assert_eq!(same.count(), copies, "{reaction:?}");
    }
    assert_eq!(producer.stats().retries, 7);
}

#[tokio::test]
async fn a_dead_broker_is_made_good_at_another() {
    let cluster = cluster(2).await;
    // Health would know before the message does.
    let producer = producer_with(&cluster, |config| {
        config.set("send_latency_enable", "false")
    })
    .await;
    cluster.stop_broker_unnoticed(A).await.unwrap();
    until(|| producer.stats().brokers.closed_connections == 1).await;
    let receipt = producer.send(message()).await.unwrap();
    let attempts: Vec<_> = receipt.attempts().collect();
    assert_eq!((attempts[0].broker(), attempts[1].broker()), (A, B));
    let failure = attempts[0].failure().unwrap();
    assert_eq!(failure.kind(), ErrorKind::BrokerNotAvailable);
    assert_eq!(failure.delivery(), Delivery::NotSent);
    let address = cluster.brokers()[0].address.to_string();
    assert_eq!(attempts[0].address(), address);
}

#[tokio::test]
async fn what_every_broker_would_refuse_is_not_tried_again() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    let mut asked = 0;
    for (code, remark) in [
        (13, "the message is illegal"),
        (16, "check signature failed."),
        (
            1,
            "org.apache.rocketmq.acl.common.AclException: No accessKey is configured",
        ),
        (215, "quota"),
    ] {
        aim_at_a(&producer);
        cluster
            .faults(A)
            .unwrap()
            .arm(next_send(answer(code, remark)));
        let error = producer.send(message()).await.unwrap_err();
        asked += 1;
        assert_eq!(tried(&error), [A], "{code}");
        assert_eq!(error.kind(), ErrorKind::MessageSend);
        assert_eq!(error.code(), 2001);
        assert_eq!(error.delivery(), Delivery::Rejected, "{code}");
        assert!(!error.is_retryable(), "{code}");
        assert!(chain(&error).contains(remark), "{}", chain(&error));
        assert_eq!((sends(&cluster, A), sends(&cluster, B)), (asked, 0));
    }
    let health = &producer.router().broker_health_info(A)[0];
    assert_eq!(health.failure_count, 0, "the broker did its work");
}

#[tokio::test]
async fn no_retry_is_made_if_none_is_allowed() {
    let cluster = cluster(2).await;
    let producer = producer_with(&cluster, |settings| settings.retry_times(0)).await;
    cluster.faults(A).unwrap().arm(next_send(answer(2, "busy")));
    let error = producer.send(message()).await.unwrap_err();
    assert_eq!(tried(&error), [A]);
    assert!(error.is_retryable());
    assert_eq!(sends(&cluster, B), 0);
}

#[tokio::test]
async fn the_only_broker_is_tried_again_after_a_pause() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let busy = next_send(answer(2, "busy")).times(2);
    cluster.faults(A).unwrap().arm(busy);
    let receipt = producer.send(message()).await.unwrap();
    let attempts: Vec<_> = receipt.attempts().collect();
    assert_eq!(attempts.len(), 3);
    assert!(receipt.latency() >= millis(25 + 50), "{receipt:?}");
}

#[tokio::test]
async fn code_1_is_tried_at_another_broker_once_and_never_at_the_same() {
    let alone = cluster(1).await;
    let producer_alone = producer(&alone).await;
    alone.faults(A).unwrap().arm(refuse(1, "boom"));
    let error = producer_alone.send(message()).await.unwrap_err();
    assert_eq!(tried(&error), [A]);
    assert_eq!(error.delivery(), Delivery::Unknown);

    let three = cluster(3).await;
    let producer_of_three = producer_with(&three, |settings| settings.retry_times(9)).await;
    for broker in [A, B, "broker-c"] {
        three.faults(broker).unwrap().arm(refuse(1, "boom"));
    }
    let error = producer_of_three.send(message()).await.unwrap_err();
    assert_eq!(error.attempts().len(), 2, "{error:?}");
}

#[tokio::test]
async fn a_broker_that_failed_for_good_is_not_tried_again_after_another_was_busy() {
    for _ in 0..8 {
        let cluster = cluster(2).await;
        let producer = producer(&cluster).await;
        cluster.faults(A).unwrap().arm(refuse(1, "boom"));
        cluster.faults(B).unwrap().arm(next_send(answer(2, "busy")));
        let receipt = producer.send(message()).await.unwrap();
        let brokers: Vec<_> = receipt.attempts().map(|at| at.broker()).collect();
        assert_eq!(brokers, [A, B, B]);
    }
}

#[tokio::test]
async fn an_illegal_queue_refreshes_the_route_and_routes_again() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.retry_times(1)).await;
    let routes = RequestCode::GET_ROUTEINFO_BY_TOPIC;
    let before = cluster.name_server_requests(0, routes).unwrap();
    for remark in ["request queueId[9] is illegal, TopicConfig"; 2] {
        let code = if cluster.message_count(TOPIC) == 0 {
            29
        } else {
            1
        };
        cluster
            .faults(A)
            .unwrap()
            .arm(next_send(answer(code, remark)));
        let receipt = producer.send(message()).await.unwrap();
        assert_eq!(receipt.attempts().count(), 2);
        assert!(receipt.latency() < millis(1000), "without a pause");
    }
    assert_eq!(
        cluster.name_server_requests(0, routes).unwrap(),
        before + 2,
        "one refresh for each"
    );
    let health = &producer.router().broker_health_info(A)[0];
    assert_eq!(health.failure_count, 0, "the route was at fault");

    cluster
        .faults(A)
        .unwrap()
        .arm(refuse(29, "request queueId[9] is illegal"));
    let error = producer.send(message()).await.unwrap_err();
    assert_eq!(error.attempts().len(), 2, "once only");
}

#[tokio::test]
async fn a_topic_that_lost_its_queues_is_sent_to_the_queues_it_has_now() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let all = Permission(6);
    cluster.create_topic(TOPIC, 1, all);
    for _ in 0..QUEUES {
        let receipt = producer.send(message()).await.unwrap();
        assert_eq!(receipt.queue().queue_id(), 0);
    }
}

#[tokio::test]
async fn no_such_topic_with_a_route_in_hand_goes_to_another_broker_of_the_new_route() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    let routes = RequestCode::GET_ROUTEINFO_BY_TOPIC;
    let before = cluster.name_server_requests(0, routes).unwrap();
    cluster
        .faults(A)
        .unwrap()
        .arm(next_send(answer(17, "topic[orders] not exist")));
    let receipt = producer.send(message()).await.unwrap();
    assert_eq!(&**receipt.queue().broker_name(), B);
    assert_eq!(cluster.name_server_requests(0, routes).unwrap(), before + 1);

    for broker in [A, B] {
        let faults = cluster.faults(broker).unwrap();
        faults.arm(refuse(17, "topic[orders] not exist"));
    }
    let error = producer.send(message()).await.unwrap_err();
    assert_eq!(error.attempts().len(), 2, "each broker once");
    assert_eq!(error.delivery(), Delivery::Rejected);
}

#[tokio::test]
async fn name_servers_that_hang_do_not_eat_the_budget_of_a_retry() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    cluster
        .name_server_faults(0)
        .unwrap()
        .arm(Fault::new(Condition::any(), Reaction::Discard));
    cluster
        .faults(A)
        .unwrap()
        .arm(next_send(answer(17, "not exist")));
    let options = SendOptions::new().timeout(millis(800));
    let receipt = producer.send_with(message(), options).await.unwrap();
    assert_eq!(&**receipt.queue().broker_name(), B);
}

#[tokio::test]
async fn a_weaker_status_is_a_receipt_and_is_bettered_elsewhere_only_if_asked() {
    let cluster = cluster(1).await;
    for (code, status) in [
        (10, SendStatus::FlushDiskTimeout),
        (11, SendStatus::SlaveNotAvailable),
        (12, SendStatus::FlushSlaveTimeout),
    ] {
        let (weak, strong) = (scripted::broker(code).await, scripted::broker(0).await);
        for (asked, brokers, best) in [
            (false, &[A][..], status),
            (true, &[A, B], SendStatus::SendOk),
        ] {
            let producer = producer_with(&cluster, |settings| {
                settings.retry_another_broker_when_not_store_ok(asked)
            })
            .await;
            scripted::route(&producer, &[&weak, &strong]);
            let receipt = producer.send(message()).await.unwrap();
            assert_eq!(receipt.status(), best);
            let went: Vec<_> = receipt.attempts().map(|at| at.broker()).collect();
            assert_eq!(went, brokers);
            assert!(receipt.attempts().all(|at| at.failure().is_none()));
            assert_eq!(producer.stats().total_sent, 1);
        }
        assert_eq!((weak.sends(), strong.sends()), (2, 1));
    }
}

#[tokio::test]
async fn a_weaker_status_stays_a_receipt_when_nothing_better_comes() {
    let cluster = cluster(1).await;
    let (weak, busy) = (scripted::broker(10).await, scripted::broker(2).await);
    let producer = producer_with(&cluster, |settings| {
        settings.retry_another_broker_when_not_store_ok(true)
    })
    .await;
    scripted::route(&producer, &[&weak, &busy]);
    let receipt = producer.send(message()).await.unwrap();
    assert_eq!(receipt.status(), SendStatus::FlushDiskTimeout);
    assert_eq!(&**receipt.queue().broker_name(), A);
    assert_eq!(receipt.attempts().last().unwrap().broker(), A);
    assert_eq!((weak.sends(), busy.sends()), (1, 1));

    // With a key there is no other queue; with a selector that would refuse the second time neither.
    scripted::route(&producer, &[&weak, &busy]);
    let key = key_on(&producer, A).await;
    let receipt = producer.send(keyed(&key)).await.unwrap();
    assert_eq!(receipt.status(), SendStatus::FlushDiskTimeout);
    let options =
        SendOptions::new().selector(Arc::new(OnlyOnce::default()), SelectorArgument::None);
    let receipt = producer.send_with(message(), options).await.unwrap();
    assert_eq!(receipt.status(), SendStatus::FlushDiskTimeout);
    assert_eq!((weak.sends(), busy.sends()), (3, 1));
}

/// Chooses the first queue once, then none.
#[derive(Debug, Default)]
struct OnlyOnce(AtomicBool);

impl QueueSelector for OnlyOnce {
    fn name(&self) -> &'static str {
        "only once"
    }

    fn select(&self, _: &[RoutedQueue], _: &Message, _: &SelectorArgument) -> Option<usize> {
        (!self.0.swap(true, Ordering::Relaxed)).then_some(0)
    }
}
