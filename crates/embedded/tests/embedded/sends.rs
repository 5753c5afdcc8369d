//! What a broker stores and what it refuses.

use rocketmq_producer_embedded::EmbeddedCluster;
use rocketmq_producer_remoting::message::OffsetMessageId;
use rocketmq_producer_remoting::{ByteSize, HeaderEncoding, RemotingCommand};

use crate::raw::{RawClient, ids, send};

#[tokio::test]
async fn a_stored_message_is_what_was_sent_and_the_receipt_names_its_place() {
    let cluster = EmbeddedCluster::builder()
        .topic("t", 4)
        .start()
        .await
        .unwrap();
    let mut client = RawClient::to_broker(&cluster, 0).await;
    for (offset, encoding) in [HeaderEncoding::Json, HeaderEncoding::Binary]
        .into_iter()
        .enumerate()
    {
        let id = format!("ID{offset}");
        client.write(&send("t", 2, &id, 7), encoding).await;
        let receipt = client.read().await;
        assert_eq!((receipt.code, receipt.opaque, receipt.flag), (0, 7, 1));
        assert_eq!(receipt.field("queueId"), Some("2"));
        assert_eq!(receipt.field("queueOffset"), Some(&*offset.to_string()));
        assert_eq!(receipt.field("transactionId"), Some(&*id));
        assert_eq!(receipt.field("MSG_REGION"), Some("DefaultRegion"));
        assert_eq!(receipt.field("TRACE_ON"), Some("true"));
        let place: OffsetMessageId = receipt.field("msgId").unwrap().parse().unwrap();
        let stored = &cluster.messages("t")[offset];
        assert_eq!(stored.offset_message_id, place);
        assert_eq!(place.address, cluster.brokers()[0].address);
        assert_eq!(stored.body, format!("body of {id}"));
        assert_eq!((stored.queue_id, stored.message_id()), (2, &*id));
        assert_eq!(stored.born_timestamp, 1_700_000_000_000);
        assert!(stored.store_timestamp > stored.born_timestamp);
        for (name, value) in [("WAIT", "true"), ("CLUSTER", "DefaultCluster")] {
            assert_eq!(stored.property(name), Some(value));
        }
    }
    let [first, second] = &cluster.messages("t")[..] else {
        panic!("two messages")
    };
    assert!(first.offset_message_id.offset < second.offset_message_id.offset);
}

#[tokio::test]
async fn the_long_form_is_understood() {
    let cluster = EmbeddedCluster::builder()
        .topic("t", 1)
        .start()
        .await
        .unwrap();
    let mut client = RawClient::to_broker(&cluster, 0).await;
    let fields = [
        ("producerGroup", "PG"),
        ("topic", "t"),
        ("defaultTopic", "TBW102"),
        ("defaultTopicQueueNums", "4"),
        ("queueId", "0"),
        ("sysFlag", "1"),
        ("bornTimestamp", "5"),
        ("flag", "17"),
        ("properties", "TAGS\u{1}red\u{2}KEYS\u{1}a b\u{2}"),
    ];
    let request = fields
        .iter()
        .fold(RemotingCommand::request(10, 1), |request, (name, value)| {
            request.with_field(*name, *value)
        })
        .with_body("b");
    let receipt = client.ask(&request).await;
    let stored = cluster.messages("t").remove(0);
    assert_eq!(
        (stored.sys_flag, stored.flag, stored.born_timestamp),
        (1, 17, 5)
    );
    assert_eq!(stored.tags(), Some("red"));
    assert_eq!(stored.keys().collect::<Vec<_>>(), ["a", "b"]);
    // The broker made the id.
    assert_eq!(receipt.field("transactionId"), Some(stored.message_id()));
    assert!(stored.message_id().len() >= 32);
}

#[tokio::test]
async fn one_way_sends_are_stored_and_not_answered() {
    let cluster = EmbeddedCluster::builder()
        .topic("t", 1)
        .start()
        .await
        .unwrap();
    let mut client = RawClient::to_broker(&cluster, 0).await;
    let mut oneway = send("t", 0, "1", 1);
    oneway.flag = 2;
    client.write(&oneway, HeaderEncoding::Json).await;
    // The first answer is the one to the second send.
    assert_eq!(client.ask(&send("t", 0, "2", 2)).await.opaque, 2);
    assert_eq!(ids(&cluster.wait_for_messages("t", 2).await), ["1", "2"]);
}

#[tokio::test]
async fn a_negative_queue_means_any() {
    let cluster = EmbeddedCluster::builder()
        .topic("t", 4)
        .start()
        .await
        .unwrap();
    let mut client = RawClient::to_broker(&cluster, 0).await;
    for opaque in 0..64 {
        assert_eq!(
            client
                .ask(&send("t", -1, &opaque.to_string(), opaque))
                .await
                .code,
            0
        );
    }
    let mut queues: Vec<_> = cluster.messages("t").iter().map(|m| m.queue_id).collect();
    queues.dedup();
    assert_eq!(queues, [0, 1, 2, 3]);
}

#[tokio::test]
async fn refusals_have_the_codes_and_remarks_of_a_real_broker() {
    let builder = EmbeddedCluster::builder()
        .topic("t", 4)
        .auto_create_topics(false);
    let cluster = builder
        .max_message_size(ByteSize::kib(1))
        .start()
        .await
        .unwrap();
    let mut client = RawClient::to_broker(&cluster, 0).await;
    let illegal = "the message is illegal, maybe msg body or properties length not matched. msg body length limit 1024B, msg properties length limit 32KB.";
    // The broker adds 62 bytes of its own, among them the name of the cluster.
    let properties =
        |length: usize| format!("UNIQ_KEY\u{1}1\u{2}k\u{1}{}\u{2}", "v".repeat(length - 14));
    let cases = [
        (
            send("no", 0, "1", 1),
            17,
            "topic[no] not exist, apply first please!\nSee https://",
        ),
        (
            send("t", 9, "1", 1),
            29,
            "request queueId[9] is illegal, TopicConfig [topicName=t, readQueueNums=4, writeQueueNums=4, perm=RW-, ",
        ),
        (send("t", 4, "1", 1), 29, "request queueId[4] is illegal, "),
        (
            send("a b", 0, "1", 1),
            29,
            "The specified topic contains illegal characters",
        ),
        (
            send(&"t".repeat(128), 0, "1", 1),
            29,
            "The specified topic is longer",
        ),
        (
            send("SCHEDULE_TOPIC_XXXX", 0, "1", 1),
            16,
            "Sending message to topic[SCHEDULE_TOPIC_XXXX] is forbidden.",
        ),
        (send("t", 0, "1", 1).with_body(vec![0; 1025]), 13, illegal),
        (
            send("t", 0, "1", 1).with_field("i", properties(32_767 - 61)),
            13,
            illegal,
        ),
        (
            send("t", 0, "1", 1).with_body(""),
            1,
            "java.lang.NullPointerException",
        ),
        (
            send("t", 0, "1", 1).with_field("e", "x"),
            1,
            "java.lang.NumberFormatException: For input string: \"x\"",
        ),
    ];
    for (request, code, remark) in cases {
        let answer = client.ask(&request).await;
        assert_eq!(answer.code, code, "{remark}");
        let text = answer.remark.unwrap();
        assert!(text.starts_with(remark), "{text}");
    }
    let mut without_topic = send("t", 0, "1", 1);
    without_topic.ext_fields.retain(|(name, _)| name != "b");
    assert_eq!(client.ask(&without_topic).await.code, 1);
    assert_eq!(client.ask(&RemotingCommand::request(320, 1)).await.code, 1);
    assert_eq!(client.ask(&RemotingCommand::request(4711, 1)).await.code, 3);
    assert_eq!(cluster.message_count("t"), 0);
    let longest = send("t", 0, "1", 1).with_field("i", properties(32_767 - 62));
    for fits in [longest, send("t", 0, "2", 1).with_body(vec![0; 1024])] {
        assert_eq!(client.ask(&fits).await.code, 0);
    }
    assert_eq!(cluster.message_count("t"), 2);
}

#[tokio::test]
async fn a_full_broker_refuses_until_room_is_made() {
    let builder = EmbeddedCluster::builder().topic("t", 1).topic("u", 1);
    let cluster = builder.max_stored(ByteSize::kib(4)).start().await.unwrap();
    let mut client = RawClient::to_broker(&cluster, 0).await;
    assert_eq!(
        client
            .ask(&send("t", 0, "1", 1).with_body(vec![0; 3000]))
            .await
            .code,
        0
    );
    let answer = client
        .ask(&send("u", 0, "2", 2).with_body(vec![0; 3000]))
        .await;
    assert_eq!(answer.code, 14);
    assert!(answer.remark.unwrap().contains("the broker's disk is full"));
    cluster.delete_topic("t");
    assert_eq!(
        client
            .ask(&send("u", 0, "2", 3).with_body(vec![0; 3000]))
            .await
            .code,
        0
    );
    assert_eq!(ids(&cluster.messages("u")), ["2"]);
}

#[tokio::test]
async fn offsets_and_runtime_info_are_told() {
    let cluster = EmbeddedCluster::builder()
        .topic("t", 2)
        .start()
        .await
        .unwrap();
    let mut client = RawClient::to_broker(&cluster, 0).await;
    client.ask(&send("t", 1, "1", 1)).await;
    let ask = |code, queue: &str| {
        RemotingCommand::request(code, 3)
            .with_field("topic", "t")
            .with_field("queueId", queue)
    };
    for (code, queue, offset) in [
        (30, "1", "1"),
        (30, "0", "0"),
        (30, "7", "0"),
        (31, "1", "0"),
    ] {
        assert_eq!(
            client.ask(&ask(code, queue)).await.field("offset"),
            Some(offset)
        );
    }
    let info = client.ask(&RemotingCommand::request(28, 4)).await;
    assert!(String::from_utf8_lossy(&info.body).contains("\"brokerVersionDesc\":\"V5_5_0\""));
}

#[tokio::test]
async fn slaves_refuse_sends() {
    let cluster = EmbeddedCluster::builder()
        .slaves(1)
        .topic("t", 1)
        .start()
        .await
        .unwrap();
    let mut slave = RawClient::connect(cluster.brokers()[0].slaves[0]).await;
    let answer = slave.ask(&send("t", 0, "1", 1)).await;
    assert_eq!(answer.code, 2);
    assert_eq!(
        cluster
            .slave_requests("broker-a", rocketmq_producer_remoting::RequestCode(310))
            .unwrap(),
        1
    );
}
