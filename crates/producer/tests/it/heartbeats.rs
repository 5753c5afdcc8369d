//! How brokers learn that a producer lives, and that it has left.

use rocketmq_producer_core::config::routing::remoting::{LanguageCode, RequestCode};
use rocketmq_producer_embedded::{Condition, Fault, Reaction};

use crate::support::*;

fn every_heartbeat(reaction: Reaction) -> Fault {
    Fault::new(Condition::code(RequestCode::HEART_BEAT), reaction)
}

#[tokio::test]
async fn every_broker_knows_the_producer_from_its_first_connection_on() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    cluster_is(&cluster, |c| c.producer_connections(GROUP).len() == 2).await;
    for connection in cluster.producer_connections(GROUP) {
        assert_eq!(connection.client_id, producer.client_id());
        assert_eq!(connection.language, Some(LanguageCode::RUST));
        assert_eq!(connection.version, 513);
    }
    assert_eq!(producer.stats().heartbeats_failed, 0);
}

#[tokio::test]
async fn a_connection_that_a_send_opens_gets_a_heartbeat_at_once() {
    let cluster = cluster(1).await;
    let builder = rocketmq_producer_core::Producer::builder(GROUP);
    let builder = builder.name_servers(&cluster.name_servers());
    let producer = builder.start().await.unwrap();
    assert_eq!(cluster.connections(A).unwrap(), 0);
    producer.send(message()).await.unwrap();
    cluster_is(&cluster, |c| c.producer_connections(GROUP).len() == 1).await;

    // So does the one that takes the place of a broken one.
    cluster.stop_broker_unnoticed(A).await.unwrap();
    cluster.start_broker(A).await.unwrap();
    assert!(cluster.producer_connections(GROUP).is_empty());
    let healed = async { while producer.send(message()).await.is_err() {} };
    soon(healed).await;
    cluster_is(&cluster, |c| c.producer_connections(GROUP).len() == 1).await;
}

#[tokio::test]
async fn heartbeats_go_out_on_the_interval_and_are_counted() {
    let cluster = cluster(2).await;
    let producer = producer_with(&cluster, |settings| {
        settings.heartbeat_broker_interval(millis(100))
    })
    .await;
    cluster_is(&cluster, |cluster| {
        heartbeats(cluster, A) >= 5 && heartbeats(cluster, B) >= 5
    })
    .await;
    until(|| producer.stats().heartbeats_succeeded >= 10).await;
    assert_eq!(producer.stats().heartbeats_failed, 0);
}

#[tokio::test]
async fn a_broker_that_hangs_or_refuses_does_not_touch_the_heartbeats_of_others() {
    let cluster = cluster(3).await;
    let producer = producer_with(&cluster, |settings| {
        settings.heartbeat_broker_interval(millis(100))
    })
    .await;
    let hung = cluster
        .faults(A)
        .unwrap()
        .arm(every_heartbeat(Reaction::Discard));
    soon(hung.wait_fired(1)).await;
    let refused = cluster
        .faults(B)
        .unwrap()
        .arm(every_heartbeat(answer(16, "check signature failed.")));
    soon(refused.wait_fired(5)).await;
    let before = heartbeats(&cluster, "broker-c");
    let began = tokio::time::Instant::now();
    cluster_is(&cluster, |c| heartbeats(c, "broker-c") >= before + 10).await;
    assert!(
        began.elapsed() < millis(15_000),
        "the timeout of broker-a is 3 s, and ten of them 30 s; the interval is 100 ms"
    );
    until(|| producer.stats().heartbeats_failed >= 5).await;
}

#[tokio::test]
async fn a_round_of_heartbeats_by_hand_reports_each_broker() {
    let cluster = cluster(3).await;
    let producer = producer_with(&cluster, |settings| settings.request_timeout(millis(200))).await;
    let faults = [A, B].map(|broker| cluster.faults(broker).unwrap());
    faults[0].arm(every_heartbeat(Reaction::Discard));
    faults[1].arm(every_heartbeat(answer(16, "check signature failed.")));
    let report = producer.send_heartbeat_to_all_brokers().await;
    let addresses: Vec<_> = cluster
        .brokers()
        .iter()
        .map(|broker| broker.address.to_string())
        .collect();
    let succeeded: Vec<_> = report.succeeded.iter().map(ToString::to_string).collect();
    assert_eq!(succeeded, addresses[2..]);
    let mut failed: Vec<_> = report
        .failed
        .iter()
        .map(|(address, failure)| (address.to_string(), chain(failure)))
        .collect();
    failed.sort();
    let mut expected = addresses[..2].to_vec();
    expected.sort();
    let named: Vec<_> = failed.iter().map(|(address, _)| address.clone()).collect();
    assert_eq!(named, expected);
    assert!(failed.iter().any(|(_, why)| why.contains("signature")));
    assert!(failed.iter().any(|(_, why)| why.contains("deadline")));
}

#[tokio::test]
async fn an_address_that_no_route_names_any_more_loses_its_connection() {
    let cluster = cluster(2).await;
    let producer = producer_with(&cluster, |settings| {
        settings
            .heartbeat_broker_interval(millis(100))
            .update_topic_route_info_interval(millis(100))
            .route_retention(std::time::Duration::ZERO)
    })
    .await;
    assert_eq!(cluster.connections(B).unwrap(), 1);
    producer.mapping().remove_route_info(TOPIC);
    cluster_is(&cluster, |cluster| cluster.connections(B).unwrap() == 0).await;
    producer.send(message()).await.unwrap();
}

#[tokio::test]
async fn every_connection_to_a_broker_carries_messages_and_gets_heartbeats() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| {
        settings
            .connections_per_broker(3)
            .heartbeat_broker_interval(millis(100))
    })
    .await;
    cluster_is(&cluster, |c| c.producer_connections(GROUP).len() == 3).await;
    let before = heartbeats(&cluster, A);
    cluster_is(&cluster, |c| heartbeats(c, A) >= before + 6).await;
    let sends = (0..30).map(|_| producer.send(message()));
    for receipt in futures_util::future::join_all(sends).await {
        receipt.unwrap();
    }
    assert_eq!(cluster.messages(TOPIC).len(), 30);

    // All of them come back after a restart, and all take leave.
    cluster.stop_broker_unnoticed(A).await.unwrap();
    cluster.start_broker(A).await.unwrap();
    cluster_is(&cluster, |c| c.producer_connections(GROUP).len() == 3).await;
    producer.shutdown(millis(3000)).await;
    cluster_is(&cluster, |c| c.producer_connections(GROUP).is_empty()).await;
}
