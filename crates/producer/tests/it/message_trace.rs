//! Message traces: what is recorded, that no send waits for it, and when it ends.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rocketmq_producer_core::config::ProducerConfigBuilder;
use rocketmq_producer_core::config::routing::remoting::protocol::Permission;
use rocketmq_producer_core::config::routing::remoting::{Credentials, Message};
use rocketmq_producer_core::{
    CheckedMessage, LocalTransactionState, Producer, ProducerStats, SendReceipt, TransactionChecker,
};
use rocketmq_producer_embedded::{Condition, EmbeddedCluster, Fault, Reaction};

use crate::scripted;
use crate::support::*;

const TRACES: &str = "RMQ_SYS_TRACE_TOPIC";

async fn traced(cluster: &EmbeddedCluster) -> Producer {
    producer_with(cluster, |it| it.trace_message(true)).await
}

async fn with_traces(brokers: usize) -> EmbeddedCluster {
    let cluster = cluster(brokers).await;
    cluster.create_topic(TRACES, 1, Permission(6));
    cluster
}

/// All records of the cluster, their fields by themselves.
fn records(cluster: &EmbeddedCluster) -> Vec<Vec<String>> {
    let messages = cluster.messages(TRACES);
    let bodies = messages
        .iter()
        .map(|it| String::from_utf8(it.body.to_vec()).unwrap());
    let records = bodies.flat_map(|body| {
        let records = body.split_terminator('\u{2}').map(str::to_owned);
        records.collect::<Vec<_>>()
    });
    let fields = records.map(|record| record.split('\u{1}').map(str::to_owned).collect());
    fields.collect()
}

fn record_of<'a>(records: &'a [Vec<String>], receipt: &SendReceipt) -> &'a [String] {
    let id = receipt.message_id().as_str();
    let mut found = records.iter().filter(|record| record[5] == id);
    let record = found.next().unwrap();
    assert!(found.next().is_none(), "one record for each");
    record
}

/// Traces stored and dropped.
fn counts(producer: &Producer) -> (u64, u64) {
    let ProducerStats {
        traces_sent,
        traces_dropped,
        ..
    } = producer.stats();
    (traces_sent, traces_dropped)
}

#[tokio::test]
async fn a_stored_message_leaves_a_record_with_its_receipt_and_a_shutdown_sends_it() {
    let cluster = with_traces(1).await;
    let producer = traced(&cluster).await;
    let tagged = message()
        .with_tags("paid")
        .unwrap()
        .with_keys(["k1", "k2"])
        .unwrap();
    let one = producer.send(tagged).await.unwrap();
    let two = producer.send(message()).await.unwrap();
    producer.send_oneway(message()).await.unwrap();
    let batch = producer.send_batch([message(), message()]).await.unwrap();
    producer.shutdown(millis(5000)).await;
    let records = records(&cluster);
    assert_eq!(records.len(), 4, "one-way messages have no receipt");
    let record = record_of(&records, &one);
    assert_eq!(record.len(), 14);
    let attempt = one.attempts().last().unwrap();
    let offset_id = one.offset_message_id().unwrap().to_string();
    let expected = [
        "Pub",
        &record[1],
        "DefaultRegion",
        GROUP,
        TOPIC,
        one.message_id().as_str(),
        "paid",
        "k1 k2",
        attempt.address(),
        "4",
        &record[10],
        "0",
        &offset_id,
        "true",
    ];
    assert_eq!(record, expected);
    let began: i64 = record[1].parse().unwrap();
    assert!((one.born_timestamp()..one.born_timestamp() + 5000).contains(&(began + 1)));
    assert!(record[10].parse::<u64>().unwrap() < 5000);
    assert_eq!(record_of(&records, &two)[6..8], ["null", "null"]);
    for receipt in &batch {
        let offset_id = receipt.offset_message_id().unwrap().to_string();
        assert_eq!(record_of(&records, receipt)[12], offset_id);
    }
    // By the keys of its message a record is found.
    let messages = cluster.messages(TRACES);
    assert_eq!(messages.len(), 1, "records share messages");
    let keys: Vec<_> = messages[0].keys().collect();
    assert!(
        ["k1", "k2", one.message_id().as_str()]
            .iter()
            .all(|key| keys.contains(key))
    );
    assert_eq!(keys.len(), 6);
    assert_eq!(counts(&producer), (4, 0));
    let stats = producer.stats();
    assert_eq!(
        (stats.total_sent, stats.oneway_written),
        (4, 1),
        "traces count apart"
    );
}

#[tokio::test]
async fn what_a_broker_says_to_a_recall_leaves_a_record_found_by_the_messages_id() {
    for is_allowed in [true, false] {
        let builder = EmbeddedCluster::builder()
            .topic(TOPIC, 1)
            .recall(is_allowed);
        let cluster = builder.start().await.unwrap();
        cluster.create_topic(TRACES, 1, Permission(6));
        let producer = traced(&cluster).await;
        let later = message().with_delay(millis(3_600_000)).unwrap();
        let receipt = producer.send(later).await.unwrap();
        let handle = receipt.recall_handle().expect("a handle").to_string();
        let recalled = producer.recall(TOPIC, &handle).await;
        assert_eq!(recalled.is_ok(), is_allowed);
        // Without an answer of a broker there is no record.
        producer.recall("other", &handle).await.unwrap_err();
        producer.shutdown(millis(5000)).await;
        let records = records(&cluster);
        let kinds: Vec<_> = records.iter().map(|record| &*record[0]).collect();
        assert_eq!(kinds, ["Pub", "Recall"]);
        let id = receipt.message_id().as_str();
        let is_success = is_allowed.to_string();
        let record = &records[1];
        let expected = [
            "Recall",
            &record[1],
            "DefaultRegion",
            GROUP,
            TOPIC,
            id,
            &is_success,
        ];
        assert_eq!(*record, expected);
        let now: i64 = record[1].parse().unwrap();
        assert!((receipt.born_timestamp()..receipt.born_timestamp() + 60_000).contains(&now));
        assert_eq!(counts(&producer), (2, 0));
        assert!(cluster.messages(TRACES)[0].keys().any(|key| key == id));
    }
}

#[tokio::test]
async fn messages_that_gather_by_themselves_are_traced_each() {
    let cluster = with_traces(1).await;
    let producer = producer_with(&cluster, |it| it.trace_message(true).auto_batch(true)).await;
    let sends = (0..20).map(|_| producer.send(message()));
    let receipts = futures_util::future::join_all(sends).await;
    assert!(producer.stats().batches > 0);
    producer.shutdown(millis(5000)).await;
    let records = records(&cluster);
    for receipt in &receipts {
        let receipt = receipt.as_ref().unwrap();
        assert_eq!(record_of(&records, receipt)[9], "4");
    }
}

#[tokio::test]
async fn a_message_to_the_trace_topic_and_one_without_receipt_are_not_traced() {
    let cluster = with_traces(1).await;
    let producer = traced(&cluster).await;
    producer
        .send(Message::new(TRACES, "own").unwrap())
        .await
        .unwrap();
    cluster
        .faults(A)
        .unwrap()
        .arm(next_send(answer(13, "illegal")));
    producer.send(message()).await.unwrap_err();
    producer.shutdown(millis(5000)).await;
    assert_eq!(
        (cluster.message_count(TRACES), counts(&producer)),
        (1, (0, 0))
    );
}

#[tokio::test]
async fn a_broker_that_wants_no_traces_gets_none() {
    let cluster = with_traces(1).await;
    let producer = traced(&cluster).await;
    let broker = scripted::broker_without_traces().await;
    scripted::route(&producer, &[&broker]);
    producer.send(message()).await.unwrap();
    producer.shutdown(millis(5000)).await;
    assert_eq!((broker.sends(), cluster.message_count(TRACES)), (1, 0));
}

#[tokio::test]
async fn a_full_queue_drops_records_counts_them_and_holds_no_send_up() {
    let cluster = with_traces(1).await;
    let configured = |it: ProducerConfigBuilder| it.trace_message(true).trace_queue_size(2);
    let producer = producer_with(&cluster, configured).await;
    // The first message of traces hangs.
    producer.send(message()).await.unwrap();
    let hang = Reaction::Delay(millis(3000));
    let of_traces = Condition::sends().and_topic(TRACES);
    cluster.faults(A).unwrap().arm(Fault::once(of_traces, hang));
    until(|| sends(&cluster, A) == 2).await;
    let began = std::time::Instant::now();
    for _ in 0..10 {
        producer.send(message()).await.unwrap();
    }
    assert!(began.elapsed() < millis(2000), "{:?}", began.elapsed());
    assert_eq!(counts(&producer), (0, 8));
    producer.shutdown(millis(9000)).await;
    assert_eq!(counts(&producer), (3, 8));
}

#[tokio::test]
async fn without_the_right_to_the_trace_topic_traces_stop_and_sends_go_on() {
    let credentials = Credentials::new("orders", "a long secret").unwrap();
    let cluster = EmbeddedCluster::builder().topic(TOPIC, 4).topic(TRACES, 1);
    let cluster = cluster
        .account_for(credentials, [TOPIC])
        .start()
        .await
        .unwrap();
    let producer = builder(&cluster)
        .credentials("orders", "a long secret")
        .configure(|it| it.trace_message(true));
    let producer = producer.start().await.unwrap();
    producer.send(message()).await.unwrap();
    until(|| counts(&producer) == (0, 1)).await;
    let before = sends(&cluster, A);
    producer.send(message()).await.unwrap();
    assert_eq!(counts(&producer), (0, 2), "dropped at once");
    producer.shutdown(millis(5000)).await;
    assert_eq!(
        (sends(&cluster, A), cluster.message_count(TRACES)),
        (before + 1, 0)
    );
    assert_eq!(producer.stats().total_sent, 2);
}

/// Never knows.
struct Undecided;

#[async_trait]
impl TransactionChecker for Undecided {
    async fn check(&self, _: &CheckedMessage) -> LocalTransactionState {
        LocalTransactionState::Unknown
    }
}

#[tokio::test]
async fn a_transaction_leaves_a_record_of_its_half_message_and_one_of_its_end() {
    let cluster = with_traces(1).await;
    let producer = builder(&cluster).configure(|it| it.trace_message(true));
    let producer = producer
        .start_transactional(Arc::new(Undecided))
        .await
        .unwrap();
    let tagged = message().with_tags("paid").unwrap();
    let sent = producer.send_transaction(tagged, |_| async { LocalTransactionState::Commit });
    let id = sent.await.unwrap().half().message_id().to_string();
    producer.shutdown(millis(5000)).await;
    let records = records(&cluster);
    let kinds: Vec<_> = records
        .iter()
        .map(|it| (&*it[0], it.len(), &*it[5]))
        .collect();
    assert_eq!(kinds, [("Pub", 14, &*id), ("EndTransaction", 13, &*id)]);
    assert_eq!(records[0][11], "1", "a half message");
    let end = &records[1];
    assert_eq!(
        end[2..8],
        ["DefaultRegion", GROUP, TOPIC, &id, "paid", "null"]
    );
    assert_eq!(end[9..], ["2", &id, "COMMIT_MESSAGE", "false"]);
}

#[tokio::test(start_paused = true)]
async fn the_shutdown_of_a_producer_that_never_ran_waits_for_no_traces() {
    let builder = Producer::builder(GROUP).name_servers("127.0.0.1:9876");
    let builder = builder.configure(|settings| settings.trace_message(true));
    let producer = builder.build().unwrap();
    let report = producer.shutdown(Duration::from_secs(10)).await;
    assert_eq!(report.elapsed, Duration::ZERO);
}
