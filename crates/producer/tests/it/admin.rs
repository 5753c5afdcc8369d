//! Administration on an embedded cluster: what a producer sent is found again, and failures are told apart.

use std::time::Duration;

use rocketmq_producer_core::config::routing::MessageQueue;
use rocketmq_producer_core::config::routing::remoting::protocol::{
    Boundary, Permission, TopicConfig,
};
use rocketmq_producer_core::config::routing::remoting::{
    Credentials, Message, RequestCode, ResponseCode,
};
use rocketmq_producer_core::{AdminError, KeyQuery, Producer, SendProbe, TopicTarget};
use rocketmq_producer_embedded::{Condition, EmbeddedCluster, Fault, Reaction};

const PATIENCE: Duration = Duration::from_secs(20);

async fn producer(cluster: &EmbeddedCluster) -> Producer {
    let builder = Producer::builder("admin").name_servers(&cluster.name_servers());
    builder.start().await.unwrap()
}

#[tokio::test]
async fn what_was_sent_is_found_by_place_by_id_and_by_key() {
    let cluster = EmbeddedCluster::builder()
        .brokers(2)
        .topic("orders", 2)
        .start()
        .await
        .unwrap();
    let producer = producer(&cluster).await;
    let admin = producer.admin();
    let mut receipts = Vec::new();
    for number in 0..8 {
        let body = format!("body {number}");
        let message = Message::new("orders", body)
            .unwrap()
            .with_keys(["shared", &format!("own-{number}")])
            .unwrap();
        receipts.push(producer.send(message).await.unwrap());
    }
    for (number, receipt) in receipts.iter().enumerate() {
        let body = format!("body {number}");
        let id = *receipt.offset_message_id().unwrap();
        let by_place = admin.view_message("orders", id).await.unwrap().unwrap();
        assert_eq!(by_place.body, body);
        let id = receipt.message_id().to_string();
        let by_id = admin.find_by_message_id("orders", &id).await.unwrap();
        assert!(by_id.failed.is_empty());
        assert_eq!(by_id.messages, std::slice::from_ref(&by_place));
        let key = format!("own-{number}");
        let by_key = admin.find_by_key("orders", &key, KeyQuery::new()).await;
        assert_eq!(by_key.unwrap().messages, [by_place]);
    }
    let all = admin.find_by_key("orders", "shared", KeyQuery::new()).await;
    assert_eq!(all.unwrap().messages.len(), 8);
    let few = KeyQuery::new().max_per_broker(1);
    let few = admin.find_by_key("orders", "shared", few).await.unwrap();
    assert_eq!(few.messages.len(), 2, "one of each broker");
    let none = KeyQuery::new().between(0, 1);
    let none = admin.find_by_key("orders", "shared", none).await.unwrap();
    assert!(none.messages.is_empty());

    // An id that names no message, and one of another topic.
    let mut id = *receipts[0].offset_message_id().unwrap();
    assert_eq!(admin.view_message("other", id).await.unwrap(), None);
    id.offset += 1;
    assert_eq!(admin.view_message("orders", id).await.unwrap(), None);
}

#[tokio::test]
async fn a_topic_is_created_everywhere_or_where_it_is_wanted() {
    let cluster = EmbeddedCluster::builder().brokers(2).start().await.unwrap();
    let producer = producer(&cluster).await;
    let admin = producer.admin();
    let config = TopicConfig::new("new", 3);
    let change = admin.create_topic(&config, &TopicTarget::default()).await;
    assert_eq!(change.unwrap().done, ["broker-a", "broker-b"]);
    producer.wait_for_topic("new", PATIENCE).await.unwrap();
    let status = admin.topic_status("new").await.unwrap();
    assert_eq!(status.queues.len(), 6);
    assert!(admin.topics().await.unwrap().contains(&"new".to_owned()));

    let mut one = TopicConfig::new("one", 1);
    one.perm = Permission::READ;
    let target = TopicTarget::Broker("broker-b".into());
    let change = admin.create_topic(&one, &target).await.unwrap();
    assert_eq!(change.done, ["broker-b"]);
    let address = cluster.brokers()[1].address.to_string();
    let kept = admin.topic_config("one", &address).await.unwrap();
    assert_eq!((kept.perm, kept.read_queue_nums), (Permission::READ, 1));
    let address = cluster.brokers()[0].address.to_string();
    let error = admin.topic_config("one", &address).await.unwrap_err();
    assert!(error.is_topic_not_found(), "{error}");

    let nowhere = TopicTarget::Cluster("nosuch".into());
    let error = admin.create_topic(&one, &nowhere).await.unwrap_err();
    assert!(matches!(error, AdminError::NoMaster(_)), "{error}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_sent() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    let producer = producer(&cluster).await;
    let admin = producer.admin();
    let with = |change: fn(&mut TopicConfig)| {
        let mut config = TopicConfig::new("t", 1);
        change(&mut config);
        config
    };
    for wrong in [
        with(|config| config.topic_name = "a b".into()),
        with(|config| config.write_queue_nums = -1),
        with(|config| (config.read_queue_nums, config.write_queue_nums) = (0, 0)),
        with(|config| config.perm = Permission(64)),
        with(|config| drop(config.attributes.insert("x".into(), "y".into()))),
        with(|config| drop(config.attributes.insert("+x".into(), "a,b".into()))),
    ] {
        let error = admin.create_topic(&wrong, &TopicTarget::default()).await;
        assert!(matches!(error, Err(AdminError::Invalid(_))), "{error:?}");
    }
    let asked = cluster.requests("broker-a", RequestCode::UPDATE_AND_CREATE_TOPIC);
    assert_eq!(asked.unwrap(), 0);
}

#[tokio::test]
async fn offsets_are_those_of_the_queue_and_of_the_time() {
    let cluster = EmbeddedCluster::builder()
        .topic("orders", 1)
        .start()
        .await
        .unwrap();
    let producer = producer(&cluster).await;
    let admin = producer.admin();
    let queue = MessageQueue::new("orders", "broker-a", 0);
    assert_eq!(admin.max_offset(&queue).await.unwrap(), 0);
    for _ in 0..3 {
        let message = Message::new("orders", "x").unwrap();
        producer.send(message).await.unwrap();
    }
    assert_eq!(admin.min_offset(&queue).await.unwrap(), 0);
    assert_eq!(admin.max_offset(&queue).await.unwrap(), 3);
    let lower = Boundary::Lower;
    assert_eq!(admin.search_offset(&queue, 0, lower).await.unwrap(), 0);
    let late = admin.search_offset(&queue, i64::MAX, lower).await;
    assert_eq!(late.unwrap(), 3);
    let elsewhere = MessageQueue::new("orders", "nosuch", 0);
    let error = admin.max_offset(&elsewhere).await.unwrap_err();
    assert!(matches!(error, AdminError::NoMaster(_)), "{error}");
}

#[tokio::test]
async fn what_some_brokers_say_is_told_with_the_others_failures() {
    let cluster = EmbeddedCluster::builder()
        .brokers(2)
        .topic("orders", 1)
        .start()
        .await
        .unwrap();
    let producer = producer(&cluster).await;
    let admin = producer.admin();
    cluster.stop_broker_unnoticed("broker-b").await.unwrap();
    let status = admin.topic_status("orders").await.unwrap();
    assert_eq!(status.queues.len(), 1);
    let (name, error) = &status.failed[0];
    assert_eq!(name, "broker-b");
    assert!(matches!(error, AdminError::Connect(_)), "{error}");
    let found = admin.find_by_message_id("orders", "nosuch").await.unwrap();
    assert_eq!((found.messages.len(), found.failed.len()), (0, 1));

    cluster.stop_broker_unnoticed("broker-a").await.unwrap();
    let error = admin.topic_status("orders").await.unwrap_err();
    assert!(error.advice().contains("brokerIP1"), "{}", error.advice());
}

#[tokio::test]
async fn the_probe_shows_that_a_message_would_be_taken_and_stores_none() {
    let cluster = EmbeddedCluster::builder()
        .topic("orders", 2)
        .start()
        .await
        .unwrap();
    let producer = producer(&cluster).await;
    let admin = producer.admin();
    let address = cluster.brokers()[0].address.to_string();
    let probe = admin
        .probe_send("orders", "broker-a", &address)
        .await
        .unwrap();
    assert_eq!(probe, SendProbe::WouldTake);
    assert_eq!(cluster.message_count("orders"), 0);
    // Although the broker creates topics on demand, it creates none for a probe.
    let error = admin
        .probe_send("nosuch", "broker-a", &address)
        .await
        .unwrap_err();
    assert!(error.is_topic_not_found(), "{error}");

    let busy = Reaction::answer(ResponseCode::SYSTEM_BUSY, "[OVERLOAD]system busy");
    let faults = cluster.faults("broker-a").unwrap();
    faults.arm(Fault::once(Condition::sends(), busy));
    let error = admin
        .probe_send("orders", "broker-a", &address)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("OVERLOAD"), "{error}");
}

#[tokio::test]
async fn a_broker_tells_its_version_and_its_clock() {
    let cluster = EmbeddedCluster::builder()
        .clock_offset(-3_600_000)
        .start()
        .await
        .unwrap();
    let producer = producer(&cluster).await;
    let admin = producer.admin();
    let address = cluster.brokers()[0].address.to_string();
    assert_eq!(admin.ping(&address).await.unwrap().version, 513);
    let info = admin.broker_info(&address).await.unwrap();
    assert_eq!(info.version(), Some("V5_5_0"));
    let clock = info.clock().unwrap();
    let later = admin.broker_info(&address).await.unwrap().clock().unwrap();
    assert!(later >= clock);
    // An hour behind, whatever this machine's clock says.
    let here = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let behind = i64::try_from(here).unwrap() - clock;
    assert!((3_500_000..4_200_000).contains(&behind), "{behind} ms");
}

#[tokio::test]
async fn producers_of_the_group_are_seen_at_every_broker() {
    let cluster = EmbeddedCluster::builder()
        .brokers(2)
        .topic("orders", 1)
        .start()
        .await
        .unwrap();
    let producer = producer(&cluster).await;
    let admin = producer.admin();
    assert_eq!(admin.producer_connections("nosuch").await.unwrap(), []);
    for _ in 0..4 {
        let message = Message::new("orders", "x").unwrap();
        producer.send(message).await.unwrap();
    }
    let seen = admin.producer_connections("admin").await.unwrap();
    let of = |name: &str| seen.iter().filter(|one| one.broker_name == name).count();
    assert_eq!((of("broker-a"), of("broker-b")), (1, 1), "{seen:?}");
    let ids = seen.iter().map(|one| one.connection.client_id.as_str());
    assert!(ids.eq([producer.client_id(); 2]), "{seen:?}");
}

#[tokio::test]
async fn wrong_credentials_are_told_from_other_refusals() {
    let cluster = EmbeddedCluster::builder()
        .account(Credentials::new("right", "secret-right").unwrap())
        .topic("orders", 1)
        .start()
        .await
        .unwrap();
    let address = cluster.brokers()[0].address.to_string();
    let producer = Producer::builder("admin")
        .name_servers(&cluster.name_servers())
        .credentials("right", "secret-wrong")
        .start()
        .await
        .unwrap();
    let error = producer.admin().ping(&address).await.unwrap_err();
    assert!(error.is_denied(), "{error}");
    let error = producer.admin().topic_status("orders").await.unwrap_err();
    assert!(error.is_denied() && !error.is_topic_not_found(), "{error}");
}

#[tokio::test]
async fn names_are_those_of_the_producers_namespace() {
    let cluster = EmbeddedCluster::builder()
        .auto_create_topics(false)
        .start()
        .await
        .unwrap();
    let producer = Producer::builder("admin")
        .name_servers(&cluster.name_servers())
        .configure(|settings| settings.namespace("tenant"))
        .start()
        .await
        .unwrap();
    let admin = producer.admin();
    let config = TopicConfig::new("orders", 1);
    let everywhere = TopicTarget::default();
    admin.create_topic(&config, &everywhere).await.unwrap();
    let topics = admin.topics().await.unwrap();
    assert!(topics.contains(&"tenant%orders".to_owned()), "{topics:?}");
    let message = Message::new("orders", "x").unwrap().with_keys(["k"]);
    let receipt = producer.send(message.unwrap()).await.unwrap();
    let id = *receipt.offset_message_id().unwrap();
    let by_place = admin.view_message("orders", id).await.unwrap().unwrap();
    assert_eq!(by_place.topic, "orders");
    for name in ["orders", "tenant%orders"] {
        let found = admin.find_by_key(name, "k", KeyQuery::new()).await.unwrap();
        assert_eq!(found.messages.len(), 1, "{name}");
        assert_eq!(found.messages[0].topic, name);
        let status = admin.topic_status(name).await.unwrap();
        assert_eq!(status.queues[0].max_offset, 1);
    }
    assert_eq!(admin.producer_connections("admin").await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_costs_no_more_than_the_timeout() {
    use rocketmq_producer_embedded::MemoryNetwork;
    let network = MemoryNetwork::new();
    let cluster = EmbeddedCluster::builder()
        .topic("orders", 1)
        .in_memory(&network)
        .start()
        .await
        .unwrap();
    let producer = Producer::builder("admin")
        .name_servers(&cluster.name_servers())
        .dialer(std::sync::Arc::new(network.clone()))
        .start()
        .await
        .unwrap();
    let stats = Condition::code(RequestCode::GET_TOPIC_STATS_INFO);
    let faults = cluster.faults("broker-a").unwrap();
    faults.arm(Fault::new(stats, Reaction::Swallow));
    let began = tokio::time::Instant::now();
    let timeout = Duration::from_secs(2);
    let admin = producer.admin().with_timeout(timeout);
    let error = admin.topic_status("orders").await.unwrap_err();
    assert!(matches!(error, AdminError::Request(_)), "{error}");
    assert!(began.elapsed() <= timeout + Duration::from_millis(10));
}
