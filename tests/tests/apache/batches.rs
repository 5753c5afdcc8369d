//! Messages of batches, explicit and automatic, are read back by Apache's own consumer, each under its own id at the place
//! of its receipt.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use rocketmq_producer::remoting::{ByteSize, HeaderEncoding};
use rocketmq_producer::{Delivery, ErrorKind, Message, SendReceipt, SendStatus};
use rocketmq_producer_tests::oracle::Oracle;
use tokio::task::JoinSet;

use crate::clusters::{Apache, end, promise};

fn message(topic: &str, body: &Bytes, index: usize) -> Result<Message> {
    let message = Message::new(topic, body.clone())?;
    let message = message.with_keys([format!("key{index}")])?;
    Ok(message.with_property("number", &index.to_string())?)
}

/// Compares every receipt with what Java reads.
fn check(apache: &Apache, topic: &str, receipts: &[(SendReceipt, Bytes)]) -> Result<()> {
    let mut oracle = Oracle::new();
    for (receipt, body) in receipts {
        oracle.acked(receipt, body);
    }
    let read = apache.read(topic, receipts.len())?;
    let verdict = oracle.judge(&read).exactly_once()?;
    assert_eq!(verdict.acked, receipts.len());
    let mut ids = BTreeSet::new();
    for (receipt, body) in receipts {
        let position = (
            &**receipt.queue().broker_name(),
            receipt.queue().queue_id(),
            receipt.queue_offset(),
        );
        let stored = read.iter().find(|stored| stored.position() == position);
        let stored = stored.expect("stored where the receipt says");
        let id = receipt.message_id().as_str();
        assert_eq!(receipt.status(), SendStatus::SendOk);
        assert_eq!((stored.msg_id.as_str(), &*stored.body), (id, &**body));
        assert_eq!(stored.properties["UNIQ_KEY"], id);
        let offset_id = receipt.offset_message_id().map(ToString::to_string);
        assert!(offset_id.is_some());
        assert_eq!(stored.offset_msg_id, offset_id);
        assert!(ids.insert(id.to_owned()));
    }
    Ok(())
}

promise!(explicit_batches_are_read_back_whole: on_5_5_0, on_4_9_7);

async fn explicit_batches_are_read_back_whole(apache: &'static Apache) -> Result<()> {
    let topic = "explicit_batches";
    apache.topic(topic, 4)?;
    let mut receipts = Vec::new();
    for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
        let producer = apache
            .producer_with(&format!("batches_{encoding}"), |settings| {
                let settings = settings.header_encoding(encoding);
                settings.batch_max_bytes(ByteSize::kib(40))
            })
            .await?;
        for count in [1, 2, 100] {
            let bodies: Vec<_> = (0..count)
                .map(|index| Bytes::from(format!("{encoding} {count} {index}")))
                .collect();
            let messages = bodies.iter().enumerate();
            let messages: Result<Vec<_>> = messages
                .map(|(index, body)| {
                    let message = message(topic, body, index)?;
                    if index != 1 {
                        return Ok(message);
                    }
                    // Brokers add properties to those of each message in a batch and do not check their length.
                    let long = "x".repeat(32_200);
                    Ok(message.with_property("long", &long)?)
                })
                .collect();
            let sent = producer.send_batch(messages?).await?;
            receipts.extend(sent.into_iter().zip(bodies));
        }
        // Keys keep their queues.
        let bodies: Vec<_> = (0..50)
            .map(|index| Bytes::from(format!("{encoding} keyed {index}")))
            .collect();
        let messages = bodies.iter().enumerate();
        let messages: Result<Vec<_>> = messages
            .map(|(index, body)| {
                let message = message(topic, body, index)?;
                Ok(message.with_sharding_key(&format!("{}", index % 3))?)
            })
            .collect();
        let sent = producer.send_batch(messages?).await?;
        for key in 0..3 {
            let of_key = || sent.iter().skip(key).step_by(3);
            assert!(of_key().all(|receipt| receipt.queue() == sent[key].queue()));
            assert!(of_key().map(SendReceipt::queue_offset).is_sorted());
        }
        receipts.extend(sent.into_iter().zip(bodies));
        assert!(producer.stats().batches >= 4);
        end(&producer).await?;
    }
    check(apache, topic, &receipts)
}

promise!(automatic_batches_are_read_back_whole: on_5_5_0, on_4_9_7);

async fn automatic_batches_are_read_back_whole(apache: &'static Apache) -> Result<()> {
    let topic = "automatic_batches";
    apache.topic(topic, 4)?;
    let mut receipts = Vec::new();
    for linger in [Duration::ZERO, Duration::from_millis(5)] {
        let producer = apache
            .producer_with("automatic", |settings| {
                settings.auto_batch(true).batch_linger(linger)
            })
            .await?;
        let mut senders = JoinSet::new();
        for sender in 0..100 {
            let producer = producer.clone();
            senders.spawn(async move {
                let mut sent = Vec::new();
                for index in 0..10 {
                    let body = Bytes::from(format!("{linger:?} {sender} {index}"));
                    let mut message = message(topic, &body, index)?;
                    if sender % 4 == 0 {
                        message = message.with_sharding_key(&sender.to_string())?;
                    }
                    sent.push((producer.send(message).await?, body));
                }
                anyhow::Ok(sent)
            });
        }
        while let Some(sent) = senders.join_next().await {
            let sent = sent??;
            if sent
                .iter()
                .all(|(receipt, _)| receipt.queue() == sent[0].0.queue())
            {
                let offsets = sent.iter().map(|(receipt, _)| receipt.queue_offset());
                assert!(offsets.is_sorted(), "as they were awaited");
            }
            receipts.extend(sent);
        }
        let stats = producer.stats();
        assert!(stats.batched > 100, "{stats:?}");
        end(&producer).await?;
    }
    check(apache, topic, &receipts)
}

promise!(a_batch_that_the_broker_refuses_is_refused_for_every_message: on_5_5_0, on_4_9_7);

async fn a_batch_that_the_broker_refuses_is_refused_for_every_message(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "refused_batch";
    apache.topic(topic, 4)?;
    let producer = apache
        .producer_with("refused", |settings| {
            let limit = ByteSize::mib(8);
            // The broker's is 4 MiB.
            settings.max_message_size(limit).batch_max_bytes(limit)
        })
        .await?;
    let large = vec![b'x'; 3 << 20];
    let messages = [
        Message::new(topic, large.clone())?,
        Message::new(topic, large)?,
    ];
    let error = producer.send_batch(messages).await.unwrap_err();
    assert_eq!(error.failed().count(), 2);
    for (_, error) in error.failed() {
        assert_eq!(error.kind(), ErrorKind::MessageSend);
        assert_eq!(error.delivery(), Delivery::Rejected, "{error:?}");
    }
    end(&producer).await?;
    Ok(())
}
