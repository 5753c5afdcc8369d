//! Many messages at once, from one producer and from many.

use std::collections::HashSet;

use anyhow::Result;
use bytes::Bytes;
use rocketmq_producer::{Message, Producer, SendError, SendReceipt};
use rocketmq_producer_tests::oracle::Oracle;
use tokio::task::JoinSet;

use crate::support::{PATIENT, builder, cluster};

const TOPIC: &str = "burst";

type Outcomes = Vec<(Result<SendReceipt, SendError>, Bytes, Option<String>)>;

/// Sends one message after the other, each with the sharding key if there is one.
async fn send_all(producer: Producer, bodies: Vec<Bytes>, key: Option<String>) -> Result<Outcomes> {
    let mut outcomes = Outcomes::with_capacity(bodies.len());
    for body in bodies {
        let mut message = Message::new(TOPIC, body.clone())?;
        if let Some(key) = &key {
            message = message.with_sharding_key(key)?;
        }
        outcomes.push((producer.send(message).await, body, key.clone()));
    }
    Ok(outcomes)
}

async fn judge(oracle: &mut Oracle, mut senders: JoinSet<Result<Outcomes>>) -> Result<()> {
    while let Some(sender) = senders.join_next().await {
        for (outcome, body, key) in sender?? {
            match (&outcome, key) {
                (Ok(receipt), Some(key)) => oracle.acked_in_order(receipt, &body, &key),
                (outcome, _) => oracle.outcome(outcome, &body),
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_100_000_messages_sent_at_once_each_is_stored_once_where_its_receipt_says() -> Result<()>
{
    const SENDERS: usize = 500;
    const EACH: usize = 200;
    let cluster = cluster().topic(TOPIC, 4).start().await?;
    let producer = builder(&cluster, "burst").start().await?;
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let bodies = (0..EACH).map(|index| Bytes::from(format!("{sender}/{index}")));
        // Every other sender keeps its messages in order.
        let key = (sender % 2 == 0).then(|| format!("key-{sender}"));
        senders.spawn(send_all(producer.clone(), bodies.collect(), key));
    }
    let mut oracle = Oracle::new();
    judge(&mut oracle, senders).await?;
    let stats = producer.stats();
    assert!(producer.shutdown(PATIENT).await.is_drained());
    let stored = cluster.messages(TOPIC);
    let verdict = oracle.judge(&stored).exactly_once()?;
    assert_eq!(verdict.acked, SENDERS * EACH, "{stats:?}");
    assert_eq!((stats.total_sent, stats.retries), (100_000, 0));
    let queues: HashSet<_> = stored
        .iter()
        .map(|m| (&m.broker_name, m.queue_id))
        .collect();
    assert_eq!(queues.len(), 8, "spread over all queues of both brokers");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_producers_of_one_process_do_not_get_in_each_other_s_way() -> Result<()> {
    const PRODUCERS: usize = 40;
    const EACH: usize = 100;
    let cluster = cluster().topic(TOPIC, 4).start().await?;
    let mut producers = Vec::new();
    let mut senders = JoinSet::new();
    for number in 0..PRODUCERS {
        // Four of a group.
        let group = format!("many_{}", number / 4);
        let producer = builder(&cluster, &group).preheat([TOPIC]).start().await?;
        let bodies = (0..EACH).map(|index| Bytes::from(format!("{number}/{index}")));
        senders.spawn(send_all(producer.clone(), bodies.collect(), None));
        producers.push(producer);
    }
    let ids: HashSet<_> = producers.iter().map(Producer::client_id).collect();
    assert_eq!(ids.len(), PRODUCERS, "each has a client id of its own");
    for group in 0..PRODUCERS / 4 {
        let listed = cluster.producer_connections(&format!("many_{group}"));
        assert_eq!(listed.len(), 4 * 2, "four producers on two brokers");
    }
    let mut oracle = Oracle::new();
    judge(&mut oracle, senders).await?;
    // One that leaves takes no other one of its group with it.
    let gone = producers.swap_remove(0);
    assert_eq!(gone.shutdown(PATIENT).await.unregistered, 2);
    assert_eq!(cluster.producer_connections("many_0").len(), 3 * 2);
    for producer in &producers {
        assert_eq!(producer.stats().total_sent, EACH as u64);
        assert!(producer.shutdown(PATIENT).await.is_drained());
    }
    let verdict = oracle.judge(&cluster.messages(TOPIC)).exactly_once()?;
    assert_eq!(verdict.acked, PRODUCERS * EACH);
    Ok(())
}
