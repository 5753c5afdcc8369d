//! Routes, connections and heartbeats before the first send.

use rocketmq_producer_core::config::routing::RoutingError;
use rocketmq_producer_core::config::routing::remoting::RequestCode;
use rocketmq_producer_core::{StartError, State};

use crate::support::*;

#[tokio::test]
async fn everything_is_ready_when_start_returns() {
    let cluster = cluster(2).await;
    let producer = builder(&cluster).build().unwrap();
    let report = producer.start().await.unwrap();
    assert_eq!(report.ready, [TOPIC.into()]);
    assert!(report.failed.is_empty());
    assert_eq!(report.heartbeats.succeeded.len(), 2);
    assert_eq!(cluster.producer_connections(GROUP).len(), 2);
    let routes = RequestCode::GET_ROUTEINFO_BY_TOPIC;
    let before = cluster.name_server_requests(0, routes).unwrap();
    for _ in 0..8 {
        producer.send(message()).await.unwrap();
    }
    assert_eq!(cluster.name_server_requests(0, routes).unwrap(), before);
    assert_eq!(producer.stats().brokers.dials, 2);
}

#[tokio::test]
async fn without_topics_to_preheat_a_start_does_no_io() {
    let cluster = cluster(1).await;
    let producer = rocketmq_producer_core::Producer::builder(GROUP);
    let producer = producer.name_servers(&cluster.name_servers());
    let producer = producer.build().unwrap();
    let report = producer.start().await.unwrap();
    assert!(report.ready.is_empty() && report.heartbeats.succeeded.is_empty());
    assert_eq!(producer.stats().name_servers.dials, 0);
}

#[tokio::test]
async fn an_unknown_topic_is_reported_and_not_fatal() {
    let cluster = cluster(1).await;
    let producer = builder(&cluster).preheat(["nothing"]).build().unwrap();
    let report = producer.start().await.unwrap();
    assert_eq!(report.ready, [TOPIC.into()]);
    let [(topic, cause)] = &report.failed[..] else {
        panic!("{report:?}");
    };
    assert_eq!(&**topic, "nothing");
    assert!(matches!(cause, RoutingError::TopicNotFound { .. }));
    producer.send(message()).await.unwrap();
}

#[tokio::test]
async fn a_required_topic_that_is_unknown_makes_the_start_fail_and_it_can_be_repeated() {
    let cluster = cluster(1).await;
    let producer = builder(&cluster).preheat(["late"]).require_preheat();
    let producer = producer.build().unwrap();
    let error = producer.start().await.unwrap_err();
    let StartError::Preheat { topic, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(&**topic, "late");
    assert_eq!(error.code(), 1001);
    assert!(chain(&error).contains("no such topic late"));
    assert_eq!(producer.state(), State::Created);
    let perm = rocketmq_producer_core::config::routing::remoting::protocol::Permission(6);
    cluster.create_topic("late", 1, perm);
    let again = async { while producer.start().await.is_err() {} };
    soon(again).await;
    producer.send(message()).await.unwrap();
}

#[tokio::test]
async fn a_topic_that_a_broker_would_create_is_told_from_one_that_exists() {
    let cluster = rocketmq_producer_embedded::EmbeddedCluster::builder()
        .topic(TOPIC, 4)
        .auto_create_topics(true)
        .start()
        .await
        .unwrap();
    let creating = || {
        builder(&cluster)
            .configure(|settings| settings.create_topic(true))
            .preheat(["nothing"])
    };
    let producer = creating().build().unwrap();
    let report = producer.start().await.unwrap();
    assert_eq!(report.ready, [TOPIC.into()]);
    assert_eq!(report.to_be_created, ["nothing".into()]);
    let error = creating().require_preheat().start().await.unwrap_err();
    assert!(
        matches!(error, StartError::UnknownTopic { .. }),
        "{error:?}"
    );
    assert_eq!(error.code(), 1001);
}

#[tokio::test]
async fn a_broker_that_is_down_is_reported_and_the_others_are_ready() {
    let cluster = cluster(2).await;
    cluster.stop_broker_unnoticed(A).await.unwrap();
    let producer = builder(&cluster).require_preheat().build().unwrap();
    let report = producer.start().await.unwrap();
    assert_eq!(report.ready, [TOPIC.into()]);
    assert_eq!(report.heartbeats.succeeded.len(), 1);
    let [(address, failure)] = &report.heartbeats.failed[..] else {
        panic!("{report:?}");
    };
    assert_eq!(**address, *cluster.brokers()[0].address.to_string());
    assert!(chain(failure).contains("refused"));
}
