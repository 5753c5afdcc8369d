//! What the name server answers.

use rocketmq_producer_embedded::{EmbeddedCluster, Registration};
use rocketmq_producer_remoting::protocol::{ClusterInfo, Permission, TopicRouteData};
use rocketmq_producer_remoting::{HeaderEncoding, RemotingCommand};

use crate::raw::{RawClient, send};

fn route(topic: &str, version: i32) -> RemotingCommand {
    let mut request = RemotingCommand::request(105, 5).with_field("topic", topic);
    request.version = version;
    request
}

#[tokio::test]
async fn a_route_names_every_broker_and_its_queues() {
    let cluster = EmbeddedCluster::builder()
        .brokers(2)
        .topic("t", 3)
        .start()
        .await
        .unwrap();
    let mut client = RawClient::to_name_server(&cluster).await;
    let answer = client.ask(&route("t", 513)).await;
    assert_eq!((answer.code, answer.opaque, answer.flag), (0, 5, 1));
    let route = TopicRouteData::parse(&answer.body).unwrap();
    assert_eq!(route.order_topic_conf, None);
    for (index, broker) in cluster.brokers().iter().enumerate() {
        assert_eq!(
            route.broker_datas[index].master(),
            Some(&*broker.address.to_string())
        );
        assert_eq!(route.queue_datas[index].broker_name, *broker.name);
        assert_eq!(route.queue_datas[index].write_queue_nums, 3);
        assert_eq!(route.queue_datas[index].perm, Permission(6));
    }
}

#[tokio::test]
async fn old_clients_get_bare_keys_unless_they_ask_for_standard_json() {
    let cluster = EmbeddedCluster::builder()
        .topic("t", 1)
        .start()
        .await
        .unwrap();
    let mut client = RawClient::to_name_server(&cluster).await;
    let body = |answer: RemotingCommand| String::from_utf8(answer.body.to_vec()).unwrap();
    let old = body(client.ask(&route("t", 317)).await);
    assert!(old.contains("{\"brokerAddrs\":{0:\"127.0.0.1:"), "{old}");
    let asked = route("t", 317).with_field("acceptStandardJsonOnly", "true");
    for standard in [route("t", 401), asked] {
        let text = body(client.ask(&standard).await);
        assert!(
            text.contains("{\"brokerAddrs\":{\"0\":\"127.0.0.1:"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn unknown_topics_and_codes_get_apaches_remarks() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    let mut client = RawClient::to_name_server(&cluster).await;
    let answer = client.ask(&route("never", 513)).await;
    assert_eq!(answer.code, 17);
    assert_eq!(
        answer.remark.unwrap(),
        "No topic route info in name server for the topic: never\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."
    );
    let answer = client.ask(&RemotingCommand::request(9999, 1)).await;
    assert_eq!(answer.code, 3);
    assert_eq!(answer.remark.unwrap(), " request type 9999 not supported");
}

#[tokio::test]
async fn the_template_topic_is_in_the_route_iff_topics_are_created_on_demand() {
    for (enabled, code) in [(true, 0), (false, 17)] {
        let builder = EmbeddedCluster::builder().auto_create_topics(enabled);
        let cluster = builder.start().await.unwrap();
        let mut client = RawClient::to_name_server(&cluster).await;
        assert_eq!(client.ask(&route("TBW102", 513)).await.code, code);
    }
}

#[tokio::test]
async fn a_topic_created_by_a_send_is_in_the_route_of_that_broker_at_once() {
    let cluster = EmbeddedCluster::builder().brokers(2).start().await.unwrap();
    let mut broker = RawClient::to_broker(&cluster, 1).await;
    let mut request = send("fresh", 0, "1", 1).with_field("d", "40");
    request.opaque = 9;
    assert_eq!(broker.ask(&request).await.code, 0);
    let mut client = RawClient::to_name_server(&cluster).await;
    let route = TopicRouteData::parse(&client.ask(&route("fresh", 513)).await.body).unwrap();
    assert_eq!(route.broker_datas.len(), 1);
    assert_eq!(route.queue_datas[0].broker_name, "broker-b");
    assert_eq!(route.queue_datas[0].write_queue_nums, 8);
    assert_eq!(route.queue_datas[0].perm, Permission(6));
}

#[tokio::test]
async fn the_servers_encoding_decides_not_the_requests() {
    for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
        let builder = EmbeddedCluster::builder()
            .topic("t", 1)
            .header_encoding(encoding);
        let cluster = builder.start().await.unwrap();
        let mut client = RawClient::to_name_server(&cluster).await;
        for asked in [HeaderEncoding::Json, HeaderEncoding::Binary] {
            client.write(&route("t", 513), asked).await;
            assert_eq!(client.frame().await.unwrap().encoding, encoding);
        }
    }
}

#[tokio::test]
async fn topics_change_and_go_with_their_messages() {
    let cluster = EmbeddedCluster::builder().brokers(2).start().await.unwrap();
    let mut client = RawClient::to_name_server(&cluster).await;
    cluster.create_topic("t", 2, Permission(4));
    let parsed = |answer: RemotingCommand| TopicRouteData::parse(&answer.body).unwrap();
    let before = parsed(client.ask(&route("t", 513)).await);
    assert!(!before.queue_datas[0].perm.is_writable());
    cluster
        .create_topic_on("broker-b", "t", 5, Permission(6))
        .unwrap();
    cluster.set_order_configuration("t", Some("broker-a:2;broker-b:5"));
    let after = parsed(client.ask(&route("t", 513)).await);
    assert_eq!(
        after.order_topic_conf.as_deref(),
        Some("broker-a:2;broker-b:5")
    );
    assert_eq!(after.queue_datas[0], before.queue_datas[0]);
    assert_eq!(after.queue_datas[1].write_queue_nums, 5);
    cluster.delete_topic("t");
    assert_eq!(client.ask(&route("t", 513)).await.code, 17);
    assert!(
        cluster
            .create_topic_on("broker-z", "t", 1, Permission(6))
            .is_err()
    );
}

#[tokio::test]
async fn cluster_info_lists_every_broker() {
    let cluster = EmbeddedCluster::builder()
        .brokers(2)
        .slaves(1)
        .start()
        .await
        .unwrap();
    let mut client = RawClient::to_name_server(&cluster).await;
    let info =
        ClusterInfo::parse(&client.ask(&RemotingCommand::request(106, 1)).await.body).unwrap();
    assert_eq!(
        info.cluster_addr_table["DefaultCluster"],
        ["broker-a", "broker-b"]
    );
    let broker = &cluster.brokers()[1];
    let addresses = &info.broker_addr_table["broker-b"].broker_addrs;
    assert_eq!(addresses[&0], broker.address.to_string());
    assert_eq!(addresses[&1], broker.slaves[0].to_string());
}

#[tokio::test]
async fn a_restarted_name_server_knows_nothing_until_brokers_register() {
    let cluster = EmbeddedCluster::builder()
        .name_servers(2)
        .topic("t", 1)
        .start()
        .await
        .unwrap();
    let addresses = cluster.name_servers();
    assert_eq!(addresses.split(';').count(), 2);
    cluster.stop_name_server(0).await.unwrap();
    let first = addresses.split(';').next().unwrap();
    assert!(tokio::net::TcpStream::connect(first).await.is_err());
    cluster
        .start_name_server(0, Registration::Withheld)
        .await
        .unwrap();
    let mut client = RawClient::connect(first.parse().unwrap()).await;
    assert_eq!(client.ask(&route("t", 513)).await.code, 17);
    cluster.register_brokers();
    assert_eq!(client.ask(&route("t", 513)).await.code, 0);
    assert!(cluster.stop_name_server(2).await.is_err());
}
