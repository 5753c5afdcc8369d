//! Receipts stay true while many sends are under way at once, and through a shutdown in their midst.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use bytes::Bytes;
use rocketmq_producer::{Delivery, ErrorKind, Message, Producer, SendError, SendReceipt};
use rocketmq_producer_tests::oracle::Oracle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use xtask::apache::ReadOptions;

use crate::clusters::{Apache, end, promise};

const SENDERS: usize = 200;
const EACH: usize = 20;

type Outcomes = Vec<(Result<SendReceipt, SendError>, Bytes)>;

promise!(receipts_are_true_with_two_hundred_sends_under_way: on_5_5_0, on_4_9_7);

async fn receipts_are_true_with_two_hundred_sends_under_way(apache: &'static Apache) -> Result<()> {
    let topic = "many_under_way";
    apache.topic(topic, 4)?;
    let producer = apache.producer(topic).await?;
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let producer = producer.clone();
        senders.spawn(async move {
            let mut outcomes = Outcomes::new();
            for index in 0..EACH {
                let body = Bytes::from(format!("{sender}/{index}"));
                let message = Message::new(topic, body.clone())?;
                outcomes.push((producer.send(message).await, body));
            }
            anyhow::Ok(outcomes)
        });
    }
    let oracle = gather(senders).await?;
    end(&producer).await?;
    let verdict = judge(apache, topic, &oracle)?;
    assert_eq!(verdict, SENDERS * EACH, "every one acknowledged");
    Ok(())
}

promise!(a_shutdown_amid_sends_leaves_none_without_its_true_outcome: on_5_5_0, on_4_9_7);

async fn a_shutdown_amid_sends_leaves_none_without_its_true_outcome(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "shutdown_amid";
    apache.topic(topic, 4)?;
    let producer = apache.producer(topic).await?;
    let (acked, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let (producer, acked, enough) = (producer.clone(), Arc::clone(&acked), Arc::clone(&enough));
        senders.spawn(async move {
            let outcomes = until_refused(&producer, topic, sender, || {
                if acked.fetch_add(1, Ordering::Relaxed) == 5 * SENDERS {
                    enough.notify_one();
                }
            });
            outcomes.await
        });
    }
    tokio::select! {
        () = enough.notified() => {}
        // Else a broker that takes nothing would keep the test waiting.
        Some(ended) = senders.join_next() => {
            ended??;
            anyhow::bail!("a sender ended before the shutdown");
        }
    }
    let report = end(&producer).await?;
    assert!(
        report.under_way > 0,
        "the shutdown came amid sends: {report:?}"
    );
    assert_eq!(report.acked, report.under_way as u64, "{report:?}");
    let oracle = gather(senders).await?;
    let verdict = judge(apache, topic, &oracle)?;
    assert_eq!(verdict as u64, producer.stats().total_sent);
    Ok(())
}

/// Sends until the producer takes no more; returns all outcomes, the last one included.
async fn until_refused(
    producer: &Producer,
    topic: &'static str,
    sender: usize,
    acked: impl Fn(),
) -> Result<Outcomes> {
    let mut outcomes = Outcomes::new();
    loop {
        let body = Bytes::from(format!("{sender}/{}", outcomes.len()));
        let outcome = producer.send(Message::new(topic, body.clone())?).await;
        let is_refused = match &outcome {
            Ok(_) => {
                acked();
                false
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotRunning, "{error:?}");
                assert_eq!(error.delivery(), Delivery::NotSent, "{error:?}");
                true
            }
        };
        outcomes.push((outcome, body));
        if is_refused {
            return Ok(outcomes);
        }
    }
}

async fn gather(mut senders: JoinSet<Result<Outcomes>>) -> Result<Oracle> {
    let mut oracle = Oracle::new();
    while let Some(sender) = senders.join_next().await {
        for (outcome, body) in sender?? {
            oracle.outcome(&outcome, &body);
        }
    }
    Ok(oracle)
}

/// How many messages are acknowledged, all of them stored once.
fn judge(apache: &Apache, topic: &str, oracle: &Oracle) -> Result<usize> {
    let options = ReadOptions::new().digest_only().at_least(oracle.receipts());
    let read = apache.read_with(topic, &options)?;
    Ok(oracle.judge(&read).exactly_once()?.acked)
}
