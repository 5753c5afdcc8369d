//! How messages without a key spread over brokers that are equal, slow or back again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer::config::routing::BrokerHealthInfo;
use rocketmq_producer::config::routing::remoting::{RequestCode, ResponseCode};
use rocketmq_producer::{Message, Producer};
use rocketmq_producer_embedded::{
    ArmedFault, Condition, EmbeddedCluster, Fault, MemoryNetwork, Reaction,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use crate::support::{PATIENT, builder, cluster};

const TOPIC: &str = "shares";
const SLOW: &str = "broker-a";

fn message() -> Message {
    Message::new(TOPIC, "x").expect("a message")
}

/// So many brokers that all answer after a millisecond, each by a fault of its name, and a producer. For virtual time: on
/// a busy machine every broker is slow.
async fn equals(
    brokers: usize,
) -> Result<(EmbeddedCluster, BTreeMap<String, ArmedFault>, Producer)> {
    let network = MemoryNetwork::new();
    let cluster = cluster().brokers(brokers).topic(TOPIC, 4);
    let cluster = cluster.in_memory(&network).start().await?;
    let mut usual = BTreeMap::new();
    for broker in cluster.brokers() {
        let delay = Reaction::Delay(Duration::from_millis(1));
        let plan = cluster.faults(&broker.name)?;
        let armed = plan.arm(Fault::new(Condition::sends(), delay));
        usual.insert(broker.name.to_string(), armed);
    }
    let builder = builder(&cluster, "equals").dialer(Arc::new(network));
    let producer = builder.start().await?;
    Ok((cluster, usual, producer))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_brokers_keep_equal_shares() -> Result<()> {
    const SENDERS: usize = 64;
    const ALL: usize = 100_000;
    let cluster = cluster().topic(TOPIC, 4).start().await?;
    let producer = builder(&cluster, "equal").start().await?;
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let producer = producer.clone();
        senders.spawn(async move {
            for _ in (sender..ALL).step_by(SENDERS) {
                producer.send(message()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    let mut queues = BTreeMap::new();
    for message in cluster.messages(TOPIC) {
        *queues
            .entry((message.broker_name, message.queue_id))
            .or_insert(0_usize) += 1;
    }
    assert_eq!(queues.len(), 8);
    for (queue, count) in &queues {
        let share = *count as f64 / ALL as f64;
        // To a quarter: where the machine makes one of the two answer in bursts, some of its messages rightly go to the
        // other. How equal the shares are without that is seen in virtual time, below.
        assert!((share - 0.125).abs() <= 0.03125, "{queue:?}: {share}");
    }
    Ok(())
}

/// Sends at a steady pace, whatever becomes of the earlier ones, until it is dropped.
fn steady_load(producer: &Producer) -> JoinSet<()> {
    let producer = producer.clone();
    let mut load = JoinSet::new();
    load.spawn(async move {
        let mut sends = JoinSet::new();
        let mut ticks = interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            while sends.try_join_next().is_some() {}
            for _ in 0..8 {
                let producer = producer.clone();
                sends.spawn(async move { producer.send(message()).await.map(drop) });
            }
        }
    });
    load
}

/// The part of the next `count` decisions that falls to the slow broker, of its equal share.
async fn share(producer: &Producer, count: u64) -> f64 {
    let before = producer.router().routing_stats();
    let mut ticks = interval(Duration::from_millis(5));
    loop {
        ticks.tick().await;
        let passed = producer.router().routing_stats().since(&before);
        if passed.successful_routing >= count {
            let slow = passed.broker_usage.get(SLOW).copied().unwrap_or(0);
            return slow as f64 * passed.broker_usage.len() as f64
                / passed.successful_routing as f64;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_broker_gets_less_than_a_third_of_its_share_and_gets_it_back() -> Result<()> {
    let (cluster, mut usual, producer) = equals(4).await?;
    let mut load = steady_load(&producer);
    let equal = share(&producer, 1000).await;
    assert!((0.9..=1.1).contains(&equal), "{equal} before");

    // The fault that was armed first decides.
    usual.remove(SLOW).context("a broker")?.lift();
    let delay = Reaction::Delay(Duration::from_millis(100));
    let delayed = cluster
        .faults(SLOW)?
        .arm(Fault::new(Condition::sends(), delay));
    // It is found out by the first answers.
    share(&producer, 500).await;
    let slow = share(&producer, 3000).await;
    assert!(slow < 1.0 / 3.0, "{slow} of its share while slow");

    delayed.lift();
    let began = Instant::now();
    let back = timeout(PATIENT, async {
        while share(&producer, 400).await < 0.8 {}
    });
    back.await.context("it never got its share back")?;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    load.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_active_detector_of_the_settings_wins_a_broker_back_without_a_message() -> Result<()> {
    let cluster = cluster().topic(TOPIC, 4).start().await?;
    let producer = builder(&cluster, "detector")
        .configure(|settings| settings.active_detector(Some(Duration::from_millis(100))))
        .start()
        .await?;
    let refusal = Reaction::answer(ResponseCode::SERVICE_NOT_AVAILABLE, "disk full");
    let refused = cluster
        .faults(SLOW)?
        .arm(Fault::new(Condition::any(), refusal));
    let mut health = producer.watch_broker_health();
    while health
        .borrow_and_update()
        .iter()
        .all(|info| info.is_available)
    {
        producer.send(message()).await?;
    }
    let (sends, beats) = (
        sends(&cluster)?,
        cluster.requests(SLOW, RequestCode::HEART_BEAT)?,
    );
    let beaten = |cluster: &EmbeddedCluster| {
        cluster
            .requests(SLOW, RequestCode::HEART_BEAT)
            .expect("a broker")
            >= beats + 5
    };
    // Many messages meanwhile, and none of them tries it out.
    while !beaten(&cluster) {
        producer.send(message()).await?;
    }
    assert_eq!(self::sends(&cluster)?, sends);
    refused.lift();
    let all_usable = |infos: &Arc<[BrokerHealthInfo]>| infos.iter().all(|info| info.is_available);
    timeout(PATIENT, health.wait_for(all_usable)).await??;
    assert_eq!(self::sends(&cluster)?, sends);
    Ok(())
}

/// Sends that the broker has got.
fn sends(cluster: &EmbeddedCluster) -> Result<u64> {
    Ok(cluster.requests(SLOW, RequestCode::SEND_MESSAGE_V2)?
        + cluster.requests(SLOW, RequestCode::SEND_MESSAGE)?)
}
