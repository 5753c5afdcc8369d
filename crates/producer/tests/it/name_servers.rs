//! The five ways in which there is nowhere to send to, and name servers that come and go.

use rocketmq_producer_core::config::routing::remoting::protocol::Permission;
use rocketmq_producer_core::config::routing::remoting::{Delivery, Message, RequestCode};
use rocketmq_producer_core::config::routing::{NameServerError, RoutingError};
use rocketmq_producer_core::{ErrorKind, Producer, SendError, SendFailure};
use rocketmq_producer_embedded::{EmbeddedCluster, Registration};

use crate::support::*;

async fn started(cluster: &EmbeddedCluster) -> Producer {
    let addresses = cluster.name_servers();
    let builder = Producer::builder(GROUP).name_servers(&addresses);
    builder.start().await.unwrap()
}

async fn nowhere(producer: &Producer, topic: &str) -> (SendError, RoutingError) {
    let message = Message::new(topic, "body").unwrap();
    let error = producer.send(message).await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert!(error.attempts().is_empty());
    let SendFailure::Routing(cause) = error.cause().clone() else {
        panic!("{error:?}");
    };
    (error, cause)
}

#[tokio::test]
async fn an_unreachable_name_server_is_named_with_every_address_tried() {
    let cluster = EmbeddedCluster::builder().name_servers(2);
    let cluster = cluster.start().await.unwrap();
    let producer = started(&cluster).await;
    for index in [0, 1] {
        cluster.stop_name_server(index).await.unwrap();
    }
    let (error, cause) = nowhere(&producer, TOPIC).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::NameServer, 4001));
    assert!(error.is_retryable());
    assert!(matches!(
        cause,
        RoutingError::NameServer {
            cause: NameServerError::Unreachable { .. },
            ..
        }
    ));
    for address in cluster.name_servers().split(';') {
        assert!(chain(&error).contains(address), "{}", chain(&error));
    }
    assert!(chain(&error).contains("refused"), "{}", chain(&error));
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_named_with_who_said_so() {
    let cluster = cluster(1).await;
    let producer = started(&cluster).await;
    let (error, cause) = nowhere(&producer, "nothing").await;
    assert_eq!(error.kind(), ErrorKind::RouteNotFound);
    assert_eq!(error.code(), 3001);
    assert!(matches!(cause, RoutingError::TopicNotFound { .. }));
    for word in ["nothing", &cluster.name_servers()] {
        assert!(chain(&error).contains(word), "{}", chain(&error));
    }
    assert!(error.advice().contains("create the topic"));
}

#[tokio::test]
async fn a_topic_that_nobody_may_write_to_is_named_with_its_brokers_and_permission() {
    let cluster = cluster(2).await;
    cluster.create_topic("archive", 4, Permission(4));
    let producer = started(&cluster).await;
    let (error, cause) = nowhere(&producer, "archive").await;
    assert_eq!(error.kind(), ErrorKind::QueueNotAvailable);
    assert_eq!(error.code(), 3003);
    assert!(matches!(cause, RoutingError::NothingWritable { .. }));
    for word in ["archive", A, B, "not writable", "R--"] {
        assert!(chain(&error).contains(word), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_topic_whose_brokers_have_no_master_is_named_with_them() {
    let cluster = EmbeddedCluster::builder().slaves(1).topic(TOPIC, 4);
    let cluster = cluster.start().await.unwrap();
    cluster.stop_broker(A).await.unwrap();
    let producer = started(&cluster).await;
    let (error, cause) = nowhere(&producer, TOPIC).await;
    assert_eq!(error.kind(), ErrorKind::QueueNotAvailable);
    assert!(matches!(cause, RoutingError::NoMaster { .. }));
    for word in [TOPIC, A, "no master"] {
        assert!(chain(&error).contains(word), "{}", chain(&error));
    }
    assert!(error.advice().contains("master"));
}

#[tokio::test]
async fn an_unreachable_broker_is_named_with_its_address_and_every_attempt() {
    let cluster = cluster(2).await;
    let producer = started(&cluster).await;
    for broker in [A, B] {
        cluster.stop_broker_unnoticed(broker).await.unwrap();
    }
    let error = producer.send(message()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokerNotAvailable);
    assert_eq!(error.code(), 3002);
    assert_eq!(error.delivery(), Delivery::NotSent);
    // One is dialled, and since the other is no better the return of either is awaited.
    assert_eq!(error.attempts().len(), 2);
    assert_eq!(error.elapsed().as_secs(), 3);
    for attempt in error.attempts() {
        let text = chain(attempt.failure().unwrap());
        assert!(text.contains(attempt.address()), "{text}");
        assert!(text.contains("refused"), "{text}");
    }
    let last = error.attempts().last().unwrap();
    assert!(chain(&error).contains(last.address()), "{}", chain(&error));
}

#[tokio::test]
async fn a_topic_is_created_on_demand_where_brokers_allow_it() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    let producer = started(&cluster).await;
    let message = Message::new("fresh", "body").unwrap();
    producer.send(message.clone()).await.unwrap();
    assert_eq!(cluster.message_count("fresh"), 1);

    let strict = Producer::builder(GROUP)
        .name_servers(&cluster.name_servers())
        .configure(|settings| settings.create_topic(false));
    let strict = strict.start().await.unwrap();
    let (error, _) = nowhere(&strict, "fresher").await;
    assert_eq!(error.kind(), ErrorKind::RouteNotFound);
    strict.send(message).await.unwrap();
}

#[tokio::test]
async fn one_name_server_of_two_is_enough() {
    let cluster = EmbeddedCluster::builder().name_servers(2).topic(TOPIC, 4);
    let cluster = cluster.start().await.unwrap();
    for down in [0, 1] {
        cluster.stop_name_server(down).await.unwrap();
        let producer = started(&cluster).await;
        producer.send(message()).await.unwrap();
        cluster
            .start_name_server(down, Registration::AtOnce)
            .await
            .unwrap();
    }
}

/// An address that takes connections and never answers, while the listener lives.
async fn silent() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[tokio::test]
async fn a_silent_name_server_is_named_although_the_budget_of_the_send_ends_first() {
    let (_listener, address) = silent().await;
    let builder = Producer::builder(GROUP)
        .name_servers(&address)
        .configure(|settings| settings.send_msg_timeout(millis(400)));
    let producer = builder.start().await.unwrap();
    let (error, cause) = nowhere(&producer, TOPIC).await;
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(matches!(cause, RoutingError::DeadlineExceeded { .. }));
    for word in [TOPIC, &address, "no answer"] {
        assert!(chain(&error).contains(word), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_silent_name_server_beside_a_good_one_costs_no_send() {
    let cluster = cluster(1).await;
    let (_listener, address) = silent().await;
    let both = format!("{address};{}", cluster.name_servers());
    // The order is shuffled: the silent one comes first in half of them.
    for _ in 0..8 {
        let builder = Producer::builder(GROUP)
            .name_servers(&both)
            .configure(|settings| settings.send_msg_timeout(millis(2500)));
        let producer = builder.start().await.unwrap();
        producer.send(message()).await.unwrap();
    }
}

#[tokio::test]
async fn a_stale_route_is_served_while_the_name_servers_are_down() {
    let cluster = cluster(2).await;
    let producer = producer_with(&cluster, |settings| {
        settings
            .route_timeout(millis(100))
            .update_topic_route_info_interval(millis(100))
            .poll_name_server_interval(millis(100))
    })
    .await;
    cluster.stop_name_server(0).await.unwrap();
    let generation = producer.mapping().route_info(TOPIC).unwrap().generation();
    let stale = || {
        let route = producer.mapping().route_info(TOPIC).unwrap();
        route.age(tokio::time::Instant::now()) > millis(500)
    };
    until(stale).await;
    for _ in 0..20 {
        producer.send(message()).await.unwrap();
    }
    let route = producer.mapping().route_info(TOPIC).unwrap();
    assert_eq!(route.generation(), generation);

    // Restarted, it knows no topic until the brokers register again.
    let withheld = Registration::Withheld;
    cluster.start_name_server(0, withheld).await.unwrap();
    let routes = RequestCode::GET_ROUTEINFO_BY_TOPIC;
    let before = cluster.name_server_requests(0, routes).unwrap();
    cluster_is(&cluster, |cluster| {
        cluster.name_server_requests(0, routes).unwrap() > before + 2
    })
    .await;
    for _ in 0..20 {
        producer.send(message()).await.unwrap();
    }
    assert_eq!(cluster.message_count(TOPIC), 40);
}

#[tokio::test]
async fn a_broker_that_joins_gets_its_share_once_the_route_is_polled() {
    let cluster = cluster(2).await;
    cluster.stop_broker(B).await.unwrap();
    let producer = producer_with(&cluster, |settings| {
        settings.update_topic_route_info_interval(millis(100))
    })
    .await;
    for _ in 0..8 {
        producer.send(message()).await.unwrap();
    }
    assert_eq!(sends(&cluster, B), 0);
    cluster.start_broker(B).await.unwrap();
    let reached = async {
        while sends(&cluster, B) == 0 {
            producer.send(message()).await.unwrap();
        }
    };
    soon(reached).await;
}
