//! Batches, explicit and automatic: every message has its own id, place and outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer::remoting::{ByteSize, Delivery, ResponseCode};
use rocketmq_producer::routing::MessageQueue;
use rocketmq_producer::{
    BatchRule, BatchSplit, ErrorKind, Message, Producer, SendOptions, SendReceipt,
};
use rocketmq_producer_embedded::{Condition, EmbeddedCluster, Fault, Reaction};

use crate::support::{PATIENT, builder, cluster, until};

async fn start(cluster: &EmbeddedCluster, batch: bool) -> Result<Producer> {
    let builder = builder(cluster, "batches").configure(|settings| settings.auto_batch(batch));
    Ok(builder.start().await?)
}

fn numbered(topic: &str, count: usize) -> Vec<Message> {
    let message = |index| Message::new(topic, format!("body {index}")).expect("a good message");
    (0..count).map(message).collect()
}

/// Every message is where its receipt says, under its own id, and no other is there.
fn check(cluster: &EmbeddedCluster, topic: &str, receipts: &[(SendReceipt, String)]) {
    let stored = cluster.messages(topic);
    assert_eq!(stored.len(), receipts.len(), "stored");
    let by_place: BTreeMap<_, _> = stored
        .iter()
        .map(|it| ((&*it.broker_name, it.queue_id, it.queue_offset), it))
        .collect();
    let mut ids = BTreeSet::new();
    for (receipt, body) in receipts {
        let queue = receipt.queue();
        let place = (
            &**queue.broker_name(),
            queue.queue_id(),
            receipt.queue_offset(),
        );
        let stored = by_place[&place];
        assert_eq!(&*stored.body, body.as_bytes());
        let id = receipt.message_id().as_str();
        assert_eq!(stored.properties.get("UNIQ_KEY"), Some(id));
        assert_eq!(receipt.offset_message_id(), Some(&stored.offset_message_id));
        assert!(ids.insert(id.to_owned()), "an id of its own");
    }
}

#[tokio::test]
async fn an_explicit_batch_is_one_request_with_a_receipt_for_each() -> Result<()> {
    let cluster = cluster().topic("t", 4).start().await?;
    let producer = start(&cluster, false).await?;
    let receipts = producer.send_batch(numbered("t", 100)).await?;
    let first = &receipts[0];
    for (index, receipt) in receipts.iter().enumerate() {
        assert_eq!(receipt.queue(), first.queue());
        assert_eq!(receipt.queue_offset(), first.queue_offset() + index as i64);
    }
    let stats = producer.stats();
    assert_eq!(
        (stats.batches, stats.batched, stats.total_sent),
        (1, 100, 100)
    );
    assert_eq!((stats.under_way, stats.bytes_under_way), (0, 0));
    let bodies = (0..100).map(|index| format!("body {index}"));
    check(
        &cluster,
        "t",
        &receipts.into_iter().zip(bodies).collect::<Vec<_>>(),
    );
    // One message needs no batch.
    producer.send_batch(numbered("t", 1)).await?;
    assert_eq!(producer.stats().batches, 1);
    Ok(())
}

#[tokio::test]
async fn a_batch_beyond_the_limits_is_cut_and_only_what_is_too_large_fails() -> Result<()> {
    let cluster = cluster().topic("t", 4).start().await?;
    let producer = builder(&cluster, "cut")
        .configure(|settings| {
            let limit = ByteSize::kib(4);
            // Compressed, the large one would fit.
            let settings = settings.compress_type(None);
            settings.max_message_size(limit).batch_max_bytes(limit)
        })
        .start()
        .await?;
    let mut messages = numbered("t", 200);
    messages[77] = Message::new("t", vec![b'x'; 5000])?;
    messages[78] = Message::new("t", vec![b'y'; 4096])?;
    let error = producer.send_batch(messages).await.unwrap_err();
    let failed: Vec<_> = error.failed().collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (failed[0].0, failed[0].1.kind()),
        (77, ErrorKind::MessageValidation)
    );
    assert_eq!(failed[0].1.delivery(), Delivery::NotSent);
    assert_eq!(error.results().iter().filter(|it| it.is_ok()).count(), 199);
    assert_eq!(cluster.messages("t").len(), 199);
    let batches = producer.stats().batches;
    assert!((3..20).contains(&batches), "{batches} batches");
    // By count.
    let producer = builder(&cluster, "count")
        .configure(|settings| {
            settings
                .batch_size(10)
                .batch_split_type(BatchSplit::ByCount)
        })
        .start()
        .await?;
    producer.send_batch(numbered("t", 100)).await?;
    assert_eq!(producer.stats().batches, 10);
    Ok(())
}

#[tokio::test]
async fn messages_that_cannot_go_together_are_refused_before_anything_is_sent() -> Result<()> {
    let cluster = cluster().topic("t", 4).topic("u", 4).start().await?;
    let producer = start(&cluster, false).await?;
    let mut mixed = numbered("t", 3);
    mixed[1] = Message::new("u", "x")?;
    let mut hasty = numbered("t", 3);
    hasty[2] = Message::new("t", "x")?.with_wait_store_msg_ok(false);
    let again = numbered("%RETRY%group", 2);
    for (messages, count, rule) in [
        (Vec::new(), 0, "Empty"),
        (mixed, 3, "Topic"),
        (hasty, 3, "Wait"),
        (again, 2, "Kind"),
    ] {
        let error = producer.send_batch(messages).await.unwrap_err();
        let broken = match error.rule() {
            Some(BatchRule::Empty) => "Empty",
            Some(BatchRule::Topic { index: 1 }) => "Topic",
            Some(BatchRule::Wait { index: 2 }) => "Wait",
            Some(BatchRule::Kind { index: 0, .. }) => "Kind",
            _ => "other",
        };
        assert_eq!((broken, error.results().len()), (rule, count), "{error:?}");
        let all_unsent = error
            .failed()
            .all(|(_, it)| it.delivery() == Delivery::NotSent);
        assert!(all_unsent && error.failed().count() == count);
    }
    assert!(cluster.messages("t").is_empty());
    Ok(())
}

#[tokio::test]
async fn keyed_messages_of_a_batch_keep_their_queues_and_their_order() -> Result<()> {
    let cluster = cluster().topic("t", 4).start().await?;
    let producer = builder(&cluster, "keyed")
        .configure(|settings| settings.batch_size(7).batch_split_type(BatchSplit::ByCount))
        .start()
        .await?;
    let key = |index: usize| format!("key {}", index % 5);
    let mut messages = numbered("t", 100);
    for (index, message) in messages.iter_mut().enumerate() {
        // Some have no key.
        if index % 10 != 0 {
            *message = message.clone().with_sharding_key(&key(index))?;
        }
    }
    let singles = producer
        .send(Message::new("t", "one")?.with_sharding_key(&key(3))?)
        .await?;
    let receipts = producer.send_batch(messages).await?;
    assert_eq!(
        receipts[3].queue(),
        singles.queue(),
        "where single messages of the key go"
    );
    for number in 0..5 {
        let of_key = || (0..100).filter(|index| index % 10 != 0 && index % 5 == number);
        let queues: BTreeSet<_> = of_key().map(|index| receipts[index].queue()).collect();
        assert_eq!(queues.len(), 1);
        let offsets: Vec<_> = of_key()
            .map(|index| receipts[index].queue_offset())
            .collect();
        assert!(offsets.is_sorted(), "{offsets:?}");
    }
    let queue = MessageQueue::new("t", Arc::clone(receipts[0].queue().broker_name()), 2);
    let options = SendOptions::new().to_queue(queue.clone());
    let to_queue = producer.send_batch_with(numbered("t", 20), options).await?;
    assert!(to_queue.iter().all(|receipt| *receipt.queue() == queue));
    Ok(())
}

#[tokio::test]
async fn a_refused_batch_is_refused_for_every_message() -> Result<()> {
    let cluster = cluster().topic("t", 4).start().await?;
    let reaction = Reaction::answer(ResponseCode::MESSAGE_ILLEGAL, "no");
    for broker in cluster.brokers() {
        let fault = Fault::new(Condition::sends(), reaction.clone());
        cluster.faults(&broker.name)?.arm(fault);
    }
    let producer = start(&cluster, true).await?;
    let error = producer.send_batch(numbered("t", 5)).await.unwrap_err();
    assert_eq!(error.failed().count(), 5);
    assert!(
        error
            .failed()
            .all(|(_, it)| it.delivery() == Delivery::Rejected)
    );
    let sends = numbered("t", 40).into_iter().map(|message| {
        let producer = producer.clone();
        async move { producer.send(message).await }
    });
    for result in together(sends).await {
        let error = result.unwrap_err();
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::MessageSend, Delivery::Rejected)
        );
        assert!(error.message_id().is_some());
    }
    assert!(producer.stats().batches > 0);
    assert_eq!(
        (producer.stats().rejected, producer.stats().under_way),
        (45, 0)
    );
    Ok(())
}

/// Polls all at the same time, each once before any is polled again.
async fn together<F>(futures: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let tasks: tokio_util::task::TaskTracker = tokio_util::task::TaskTracker::new();
    let handles: Vec<_> = futures.map(|future| tasks.spawn(future)).collect();
    let mut outputs = Vec::new();
    for handle in handles {
        outputs.push(handle.await.expect("no panic"));
    }
    outputs
}

#[tokio::test]
async fn sends_at_the_same_time_share_requests_and_nothing_else() -> Result<()> {
    let cluster = cluster().topic("t", 4).start().await?;
    let producer = start(&cluster, true).await?;
    let alone = producer.send(Message::new("t", "alone")?).await?;
    assert_eq!(producer.stats().batches, 0, "a lone message goes by itself");
    let sends = (0..500).map(|index| {
        let producer = producer.clone();
        async move {
            let mut message = Message::new("t", format!("{index}")).expect("a good message");
            if index % 3 == 0 {
                message = message
                    .with_sharding_key(&format!("{}", index % 7))
                    .expect("a key");
            }
            (producer.send(message).await, format!("{index}"))
        }
    });
    let mut receipts = vec![(alone, "alone".to_owned())];
    for (result, body) in together(sends).await {
        receipts.push((result?, body));
    }
    check(&cluster, "t", &receipts);
    let stats = producer.stats();
    assert!(stats.batches > 0 && stats.batched > 100, "{stats:?}");
    assert!(stats.batched <= stats.batches * 32, "{stats:?}");
    assert_eq!(
        (stats.total_sent, stats.under_way, stats.bytes_under_way),
        (501, 0, 0)
    );
    let queues: BTreeSet<_> = receipts
        .iter()
        .map(|(receipt, _)| receipt.queue())
        .collect();
    assert!(queues.len() > 4, "batches take turns: {queues:?}");
    Ok(())
}

#[tokio::test]
async fn keyed_sends_at_the_same_time_are_stored_in_the_order_of_their_calls() -> Result<()> {
    let cluster = cluster().topic("t", 4).start().await?;
    let producer = start(&cluster, true).await?;
    let first = Message::new("t", "first")?.with_sharding_key("k")?;
    // With its route at hand a send joins its lane when it is polled first.
    assert_eq!(producer.send(first).await?.queue_offset(), 0);
    // On one thread, tasks are polled in the order in which they were spawned.
    let sends = (0..300).map(|index| {
        let producer = producer.clone();
        async move {
            let message = Message::new("t", format!("{index}")).expect("a good message");
            producer
                .send(message.with_sharding_key("k").expect("a key"))
                .await
        }
    });
    let mut offsets = Vec::new();
    for result in together(sends).await {
        offsets.push(result?.queue_offset());
    }
    assert_eq!(offsets, (1..301).collect::<Vec<_>>());
    assert!(producer.stats().batches > 0);
    Ok(())
}

#[tokio::test]
async fn a_lingering_batch_leaves_with_a_flush_and_with_a_shutdown() -> Result<()> {
    let cluster = cluster().topic("t", 4).start().await?;
    let producer = builder(&cluster, "linger")
        .configure(|settings| {
            let settings = settings.auto_batch(true).send_msg_timeout(PATIENT * 2);
            settings.batch_linger(Duration::from_secs(50))
        })
        .start()
        .await?;
    for round in 0..2 {
        let sends = numbered("t", 5).into_iter().map(|message| {
            let producer = producer.clone();
            async move { producer.send(message).await }
        });
        let sends = together(sends);
        let end = async {
            while producer.stats().under_way < 5 {
                tokio::task::yield_now().await;
            }
            if round == 0 {
                let report = producer.flush(Duration::from_secs(20)).await;
                assert_eq!((report.acked, report.under_way), (5, 0));
            } else {
                let report = producer.shutdown(Duration::from_secs(20)).await;
                assert_eq!((report.acked, report.abandoned), (5, 0));
            }
        };
        let (results, ()) = tokio::join!(sends, end);
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert_eq!(producer.stats().batches, round + 1);
    }
    Ok(())
}

#[tokio::test]
async fn who_leaves_a_batch_leaves_the_others_alone_and_keeps_its_place_until_the_outcome()
-> Result<()> {
    let cluster = cluster().topic("t", 4).start().await?;
    let producer = builder(&cluster, "leaver")
        .configure(|settings| {
            settings
                .auto_batch(true)
                .batch_linger(Duration::from_secs(50))
        })
        .start()
        .await?;
    let mut sends: Vec<_> = numbered("t", 5)
        .into_iter()
        .map(|message| Box::pin(producer.send(message)))
        .collect();
    for send in &mut sends {
        assert!(is_pending(send.as_mut()).await, "it lingers");
    }
    drop(sends.remove(2));
    assert_eq!(producer.stats().under_way, 5, "its place is held");
    let flush = producer.flush(Duration::from_secs(20));
    let (flushed, rest) = tokio::join!(flush, async {
        let mut receipts = Vec::new();
        for send in sends {
            receipts.push(send.await.expect("a receipt"));
        }
        receipts
    });
    assert_eq!((flushed.acked, flushed.under_way), (5, 0));
    let offsets: Vec<_> = rest.iter().map(SendReceipt::queue_offset).collect();
    assert_eq!(offsets, [0, 1, 3, 4]);
    assert_eq!(
        (cluster.messages("t").len(), producer.stats().under_way),
        (5, 0)
    );
    Ok(())
}

#[tokio::test]
async fn dropping_the_last_handle_ends_a_lingering_batch() -> Result<()> {
    let cluster = cluster().topic("t", 4).start().await?;
    let producer = builder(&cluster, "dropped")
        .configure(|settings| {
            settings
                .auto_batch(true)
                .batch_linger(Duration::from_secs(50))
        })
        .start()
        .await?;
    // A first message brings the connection.
    let (first, _) = tokio::join!(
        producer.send(Message::new("t", "first")?),
        producer.flush(Duration::from_secs(20))
    );
    first.context("the first")?;
    {
        let mut send = Box::pin(producer.send(Message::new("t", "left")?));
        assert!(is_pending(send.as_mut()).await);
    }
    drop(producer);
    let closed = |cluster: &EmbeddedCluster| crate::support::connections(cluster) == 0;
    until(&cluster, "all connections end", closed).await
}

/// Polls once.
async fn is_pending(mut future: std::pin::Pin<&mut impl Future>) -> bool {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}
