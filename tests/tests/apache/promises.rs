//! The promises that matter most, on a real broker that is killed with `kill -9` and started again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rocketmq_producer::config::ProducerConfigBuilder;
use rocketmq_producer::{Delivery, Message, Producer, SendError, SendOptions, SendReceipt};
use rocketmq_producer_tests::oracle::{Oracle, Verdict};
use tokio::task::JoinSet;

use crate::clusters::{Apache, end, promise};

const SENDERS: usize = 8;
/// So many are acknowledged before the broker is killed, and again after its return.
const ENOUGH: usize = 200;
/// Nothing that is waited for here takes this long.
const PATIENT: Duration = Duration::from_secs(120);

type Outcome = (Result<SendReceipt, SendError>, Bytes);

/// What became of a load over the death of the only broker, and what Apache's own client read back.
struct Story {
    /// Per sender, in the order of its sends.
    outcomes: Vec<Vec<Outcome>>,
    verdict: Verdict,
}

impl Story {
    fn failed(&self, delivery: Delivery) -> usize {
        let outcomes = self.outcomes.iter().flatten();
        let errors = outcomes.filter_map(|(outcome, _)| outcome.as_ref().err());
        errors.filter(|error| error.delivery() == delivery).count()
    }
}

/// Sends of one task, one after the other, until `stop`.
async fn send_on(
    producer: Producer,
    topic: &'static str,
    number: usize,
    budget: Duration,
    acked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let body = Bytes::from(format!("{topic} {number} {}", outcomes.len()));
        let key = format!("key-{number}");
        let message = Message::new(topic, body.clone())?.with_sharding_key(&key)?;
        let options = SendOptions::new().timeout(budget);
        let outcome = producer.send_with(message, options).await;
        acked.fetch_add(usize::from(outcome.is_ok()), Ordering::SeqCst);
        outcomes.push((outcome, body));
    }
    Ok(outcomes)
}

/// A load of senders with a key each, in the midst of which the broker is killed, and started again.
async fn over_a_kill(
    apache: &'static Apache,
    topic: &'static str,
    budget: Duration,
    change: impl FnOnce(ProducerConfigBuilder) -> ProducerConfigBuilder,
) -> Result<Story> {
    apache.topic(topic, 4)?;
    let broker = apache.cluster.brokers().first().context("a broker")?;
    let producer = apache.producer_with(topic, change).await?;
    let (acked, stop) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut senders = JoinSet::new();
    for number in 0..SENDERS {
        let (acked, stop) = (Arc::clone(&acked), Arc::clone(&stop));
        senders.spawn(send_on(
            producer.clone(),
            topic,
            number,
            budget,
            acked,
            stop,
        ));
    }
    let some_more = async || {
        let enough = acked.load(Ordering::SeqCst) + ENOUGH;
        let arrived = async {
            while acked.load(Ordering::SeqCst) < enough {
                tokio::task::yield_now().await;
            }
        };
        let arrived = tokio::time::timeout(PATIENT, arrived).await;
        arrived.context("sends are acknowledged")
    };
    let before = some_more().await;
    let killed = broker.kill();
    // Others use it too: it is back before anything may fail.
    broker.start()?;
    before?;
    killed?;
    let after = some_more().await;
    stop.store(true, Ordering::SeqCst);
    let (mut outcomes, mut oracle) = (Vec::new(), Oracle::new());
    while let Some(sender) = senders.join_next().await {
        outcomes.push(sender??);
    }
    after?;
    end(&producer).await?;
    for (number, of_sender) in outcomes.iter().enumerate() {
        // The first copies of what has a receipt are in the order of sending.
        let key = format!("sender {number}");
        for (outcome, body) in of_sender {
            match outcome {
                Ok(receipt) => oracle.acked_in_order(receipt, body, &key),
                Err(error) => oracle.failed(error),
            }
        }
    }
    let read = apache.read(topic, oracle.receipts())?;
    let verdict = oracle.judge(&read);
    ensure!(verdict.acked >= 2 * ENOUGH, "{verdict:?}");
    Ok(Story { outcomes, verdict })
}

promise!(no_acknowledged_message_is_lost: on_5_1_4);

async fn no_acknowledged_message_is_lost(apache: &'static Apache) -> Result<()> {
    let patient = |settings: ProducerConfigBuilder| settings.retry_times(100);
    let story = over_a_kill(apache, "promise_not_lost", PATIENT, patient).await?;
    assert_eq!(story.verdict.lost, 0, "{:?}", story.verdict);
    // With time enough, and attempts, every one outlived the broker's death.
    let failed = story
        .outcomes
        .iter()
        .flatten()
        .filter(|(outcome, _)| outcome.is_err());
    assert_eq!(failed.count(), 0);
    story.verdict.kept()?;
    Ok(())
}

promise!(not_sent_means_not_stored: on_5_1_4);

async fn not_sent_means_not_stored(apache: &'static Apache) -> Result<()> {
    let hasty = |settings: ProducerConfigBuilder| settings.retry_times(0);
    let budget = Duration::from_millis(150);
    let story = over_a_kill(apache, "promise_not_sent", budget, hasty).await?;
    assert!(story.failed(Delivery::NotSent) > 0, "the broker was away");
    assert_eq!(story.verdict.overstated, 0, "{:?}", story.verdict);
    story.verdict.kept()?;
    Ok(())
}

promise!(order_per_sharding_key_holds: on_5_1_4);

async fn order_per_sharding_key_holds(apache: &'static Apache) -> Result<()> {
    let budget = Duration::from_secs(1);
    let story = over_a_kill(apache, "promise_order", budget, |settings| settings).await?;
    for of_sender in &story.outcomes {
        let receipts = of_sender
            .iter()
            .filter_map(|(outcome, _)| outcome.as_ref().ok());
        let mut queues: Vec<_> = receipts.map(SendReceipt::queue).collect();
        queues.dedup();
        assert_eq!(queues.len(), 1, "a key stays where it is: {queues:?}");
    }
    assert_eq!(story.verdict.disordered, 0, "{:?}", story.verdict);
    story.verdict.kept()?;
    Ok(())
}
