//! Clients that announce themselves, brokers that stop and start, and what is left after a drop.

use rocketmq_producer_embedded::EmbeddedCluster;
use rocketmq_producer_remoting::protocol::{HeartbeatData, TopicRouteData};
use rocketmq_producer_remoting::{LanguageCode, RemotingCommand, RequestCode};
use tokio::net::TcpStream;

use crate::raw::{RawClient, ids, send};

#[tokio::test]
async fn producers_are_known_by_their_heartbeats_until_they_leave() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    let mut client = RawClient::to_broker(&cluster, 0).await;
    let heartbeat = HeartbeatData::producer("127.0.0.1@raw", ["PG", "PG2"]);
    let request = RemotingCommand::request(34, 1).with_body(heartbeat.encode());
    let answer = client.ask(&request).await;
    assert_eq!(answer.code, 0);
    assert_eq!(answer.field("IS_SUPPORT_HEART_BEAT_V2"), Some("true"));
    let known = cluster.producer_connections("PG");
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].client_id, "127.0.0.1@raw");
    assert_eq!(
        (known[0].language, known[0].version),
        (Some(LanguageCode::RUST), 513)
    );
    assert_eq!(known[0].address, client.address());

    let list = RemotingCommand::request(204, 2).with_field("producerGroup", "PG");
    let body = client.ask(&list).await.body;
    let expected = format!(
        "{{\"connectionSet\":[{{\"clientAddr\":\"{}\",\"clientId\":\"127.0.0.1@raw\",\"language\":\"RUST\",\"version\":513}}]}}",
        client.address()
    );
    assert_eq!(body, expected);

    let leave = RemotingCommand::request(35, 3)
        .with_field("clientID", "127.0.0.1@raw")
        .with_field("producerGroup", "PG");
    assert_eq!(client.ask(&leave).await.code, 0);
    assert!(cluster.producer_connections("PG").is_empty());
    assert_eq!(client.ask(&list).await.code, 1);
    assert_eq!(cluster.producer_connections("PG2").len(), 1);
    drop(client);
    cluster
        .wait_until(|cluster| cluster.producer_connections("PG2").is_empty())
        .await;
}

#[tokio::test]
async fn a_stopped_broker_refuses_leaves_the_route_and_comes_back_with_its_messages() {
    let cluster = EmbeddedCluster::builder()
        .brokers(2)
        .topic("t", 1)
        .start()
        .await
        .unwrap();
    let mut client = RawClient::to_broker(&cluster, 0).await;
    assert_eq!(client.ask(&send("t", 0, "1", 1)).await.code, 0);
    let address = cluster.brokers()[0].address;
    cluster.stop_broker("broker-a").await.unwrap();
    assert!(client.frame().await.is_none());
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!cluster.brokers()[0].is_running);

    let mut name_server = RawClient::to_name_server(&cluster).await;
    let ask = RemotingCommand::request(105, 1).with_field("topic", "t");
    let route = TopicRouteData::parse(&name_server.ask(&ask).await.body).unwrap();
    assert_eq!(route.broker_datas.len(), 1);

    cluster.start_broker("broker-a").await.unwrap();
    let route = TopicRouteData::parse(&name_server.ask(&ask).await.body).unwrap();
    assert_eq!(route.broker_datas[0].master(), Some(&*address.to_string()));
    let mut client = RawClient::to_broker(&cluster, 0).await;
    let receipt = client.ask(&send("t", 0, "2", 1)).await;
    assert_eq!(receipt.field("queueOffset"), Some("1"));
    assert_eq!(ids(&cluster.messages("t")), ["1", "2"]);
    assert!(cluster.stop_broker("broker-x").await.is_err());
}

#[tokio::test]
async fn a_broker_cut_off_stays_in_the_route() {
    let cluster = EmbeddedCluster::builder()
        .topic("t", 1)
        .start()
        .await
        .unwrap();
    cluster.stop_broker_unnoticed("broker-a").await.unwrap();
    let mut name_server = RawClient::to_name_server(&cluster).await;
    let ask = RemotingCommand::request(105, 1).with_field("topic", "t");
    assert_eq!(name_server.ask(&ask).await.code, 0);
}

#[tokio::test]
async fn without_its_master_a_broker_is_in_the_route_with_its_slave_only() {
    let cluster = EmbeddedCluster::builder()
        .slaves(1)
        .topic("t", 1)
        .start()
        .await
        .unwrap();
    cluster.stop_broker("broker-a").await.unwrap();
    let mut name_server = RawClient::to_name_server(&cluster).await;
    let ask = RemotingCommand::request(105, 1).with_field("topic", "t");
    let route = TopicRouteData::parse(&name_server.ask(&ask).await.body).unwrap();
    assert_eq!(route.broker_datas[0].master(), None);
    assert_eq!(route.broker_datas[0].broker_addrs.len(), 1);
}

#[tokio::test]
async fn a_bad_frame_closes_its_connection_and_no_other() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    let mut good = RawClient::to_broker(&cluster, 0).await;
    for bad in [
        &b"\x00\x00\x00\x0a\x00\x00\x00\x64abcdef"[..],
        b"\x7f\xff\xff\xff\x00\x00\x00\x00",
        b"\x00\x00\x00\x0a\x00\x00\x00\x06abcdef",
    ] {
        let mut client = RawClient::to_broker(&cluster, 0).await;
        client.write_bytes(bad).await;
        assert!(client.frame().await.is_none());
    }
    // A response nobody waits for is dropped.
    let mut stray = RemotingCommand::request(0, 39);
    stray.flag = 1;
    good.write(&stray, rocketmq_producer_remoting::HeaderEncoding::Json)
        .await;
    assert_eq!(good.ask(&RemotingCommand::request(28, 1)).await.code, 0);
    assert_eq!(cluster.requests("broker-a", RequestCode(28)).unwrap(), 1);
    cluster
        .wait_until(|cluster| cluster.connections("broker-a").unwrap() == 1)
        .await;
}

#[tokio::test]
async fn shutdown_and_drop_free_every_socket() {
    for is_drop in [false, true] {
        let cluster = EmbeddedCluster::builder()
            .brokers(2)
            .slaves(1)
            .start()
            .await
            .unwrap();
        let mut client = RawClient::to_broker(&cluster, 1).await;
        let addresses = cluster.brokers();
        let name_server = cluster.name_servers();
        if is_drop {
            drop(cluster);
        } else {
            cluster.shutdown().await;
        }
        assert!(client.frame().await.is_none());
        for broker in addresses {
            closed(broker.address.to_string()).await;
            closed(broker.slaves[0].to_string()).await;
        }
        closed(name_server).await;
    }
}

/// Waits until nothing listens there: tasks of a dropped cluster end at their next step.
async fn closed(address: String) {
    while TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let builder = EmbeddedCluster::builder().name_server_port(Some(port));
    let error = builder.start().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot listen on 127.0.0.1:{port} for name server 0")
    );
    assert!(std::error::Error::source(&error).is_some());
}
