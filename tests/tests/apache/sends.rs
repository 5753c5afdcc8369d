//! A receipt is true, in whatever encoding; one-way messages arrive.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use bytes::Bytes;
use rocketmq_producer::remoting::HeaderEncoding;
use rocketmq_producer::{Message, SendStatus};
use rocketmq_producer_tests::oracle::Oracle;

use crate::clusters::{Apache, end, promise};

const MESSAGES: usize = 60;

promise!(every_receipt_is_true_in_both_encodings: on_5_5_0, on_4_9_7);

async fn every_receipt_is_true_in_both_encodings(apache: &'static Apache) -> Result<()> {
    let topic = "true_receipts";
    apache.topic(topic, 4)?;
    let mut oracle = Oracle::new();
    let mut receipts = Vec::new();
    let mut written = Vec::new();
    for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
        let group = format!("true_receipts_{encoding}");
        let producer = apache
            .producer_with(&group, |settings| settings.header_encoding(encoding))
            .await?;
        for index in 0..MESSAGES {
            let body = Bytes::from(format!("{encoding} {index}"));
            let receipt = producer.send(Message::new(topic, body.clone())?).await?;
            oracle.acked(&receipt, &body);
            receipts.push((receipt, body));
        }
        written.push(producer.stats().brokers.bytes_written);
        end(&producer).await?;
    }
    let read = apache.read(topic, 2 * MESSAGES)?;
    let verdict = oracle.judge(&read).exactly_once()?;
    assert_eq!(verdict.acked, 2 * MESSAGES);
    // The oracle is not alone: what Java shows is compared once more, field by field.
    for (receipt, body) in &receipts {
        let position = (
            &**receipt.queue().broker_name(),
            receipt.queue().queue_id(),
            receipt.queue_offset(),
        );
        let stored = read
            .iter()
            .find(|stored| stored.position() == position)
            .context("stored where the receipt says")?;
        let id = receipt.message_id().as_str();
        assert_eq!(receipt.status(), SendStatus::SendOk);
        assert_eq!(&**receipt.queue().topic(), topic);
        assert_eq!((stored.msg_id.as_str(), &*stored.body), (id, &**body));
        assert_eq!(stored.properties["UNIQ_KEY"], id);
        let offset_id = receipt.offset_message_id().map(ToString::to_string);
        assert!(offset_id.is_some());
        assert_eq!(stored.offset_msg_id, offset_id);
        assert_eq!(stored.sys_flag, 0);
        assert!(stored.born_timestamp <= stored.store_timestamp);
    }
    // The same messages: only the headers can make the difference.
    assert!(written[0] > written[1], "JSON takes more than binary");
    Ok(())
}

promise!(one_way_messages_arrive: on_5_5_0, on_4_9_7);

async fn one_way_messages_arrive(apache: &'static Apache) -> Result<()> {
    let topic = "one_way";
    apache.topic(topic, 4)?;
    let mut sent = BTreeSet::new();
    for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
        let producer = apache
            .producer_with("one_way", |settings| settings.header_encoding(encoding))
            .await?;
        for index in 0..MESSAGES {
            let body = format!("{encoding} {index}");
            let id = producer
                .send_oneway(Message::new(topic, body.clone())?)
                .await?;
            sent.insert((id.to_string(), body));
        }
        assert_eq!(producer.stats().oneway_written, MESSAGES as u64);
        end(&producer).await?;
    }
    assert_eq!(sent.len(), 2 * MESSAGES);
    let read = apache.read(topic, sent.len())?;
    assert_eq!(read.len(), sent.len(), "each once");
    let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    let stored: BTreeSet<_> = read
        .iter()
        .map(|stored| (stored.msg_id.clone(), text(&stored.body)))
        .collect();
    assert_eq!(stored, sent);
    Ok(())
}
