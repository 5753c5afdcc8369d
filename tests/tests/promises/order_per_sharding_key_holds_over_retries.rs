//! Of messages with one sharding key, sent one after the other, the first copies are in order.

use anyhow::Result;
use bytes::Bytes;
use rocketmq_producer::SendOptions;
use rocketmq_producer::remoting::ResponseCode;
use rocketmq_producer_embedded::{Condition, Fault, Reaction};
use rocketmq_producer_tests::oracle::Oracle;
use tokio::task::JoinSet;

use crate::support::{A, B, PATIENT, TOPIC, cluster, message, millis, producer, random};

const KEYS: u64 = 16;
const EACH: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_per_sharding_key_holds_over_retries() -> Result<()> {
    for seed in 0..3 {
        attack(seed).await?;
    }
    Ok(())
}

/// Every key's messages, each awaited, while brokers refuse, lose answers and end connections.
async fn attack(seed: u64) -> Result<()> {
    let cluster = cluster().start().await?;
    let producer = producer(&cluster.name_servers(), |settings| settings.retry_times(20)).await?;
    let mut faults = random("order", seed);
    for broker in [A, B] {
        let plan = cluster.faults(broker)?;
        // A fault that is armed later waits for its turn, with sends that are well in between.
        for _ in 0..60 {
            let reaction = match faults.below(8) {
                0 => Reaction::CloseBefore,
                1 => Reaction::CloseAfter,
                2 => Reaction::answer(ResponseCode::SYSTEM_BUSY, "[OVERLOAD]"),
                3 => Reaction::answer(ResponseCode::SERVICE_NOT_AVAILABLE, ""),
                4 => Reaction::go_away(),
                5 => Reaction::Delay(millis(20)),
                6 => Reaction::Garbage(Bytes::from_static(&[0xff; 20])),
                _ => Reaction::Duplicate,
            };
            plan.arm(Fault::once(Condition::sends(), reaction));
        }
        // Costs the sends that meet it their budget, since a key has no other broker.
        plan.arm(Fault::once(Condition::sends(), Reaction::Swallow));
        plan.arm(Fault::once(Condition::sends(), Reaction::Discard));
    }
    let mut senders = JoinSet::new();
    for key in 0..KEYS {
        let producer = producer.clone();
        senders.spawn(async move {
            let key = format!("key-{key}");
            let mut outcomes = Vec::new();
            for index in 0..EACH {
                let body = Bytes::from(format!("{key}/{index}"));
                let message = message(body.clone())?.with_sharding_key(&key)?;
                let options = SendOptions::new().timeout(millis(1000));
                let outcome = producer.send_with(message, options).await;
                outcomes.push((outcome, body));
            }
            anyhow::Ok((key, outcomes))
        });
    }
    let mut oracle = Oracle::new();
    let (mut acked, mut retried) = (0, 0);
    while let Some(sender) = senders.join_next().await {
        let (key, outcomes) = sender??;
        let mut queue = None;
        for (outcome, body) in outcomes {
            match &outcome {
                Ok(receipt) => {
                    acked += 1;
                    retried += usize::from(receipt.attempts().count() > 1);
                    let here = receipt.queue().clone();
                    let first = queue.get_or_insert_with(|| here.clone());
                    assert_eq!(*first, here, "{key} has moved");
                    oracle.acked_in_order(receipt, &body, &key);
                }
                Err(error) => oracle.failed(error),
            }
        }
    }
    producer.shutdown(PATIENT).await;
    oracle.judge(&cluster.messages(TOPIC)).kept()?;
    assert!(retried > 10, "{retried} of {acked} were retried");
    assert!(acked > KEYS * EACH * 9 / 10, "only {acked} were stored");
    Ok(())
}
