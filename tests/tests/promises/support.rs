//! What the attacks share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer::config::ProducerConfigBuilder;
use rocketmq_producer::{Message, Producer};
use rocketmq_producer_embedded::{ClusterBuilder, EmbeddedCluster};
use rocketmq_producer_tests::fuzz::random::Random;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

pub(crate) const TOPIC: &str = "promises";
pub(crate) const A: &str = "broker-a";
pub(crate) const B: &str = "broker-b";

/// Nothing that is waited for here takes this long on any machine.
pub(crate) const PATIENT: Duration = Duration::from_secs(60);

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Two brokers with one topic of four queues each.
pub(crate) fn cluster() -> ClusterBuilder {
    EmbeddedCluster::builder()
        .brokers(2)
        .topic(TOPIC, 4)
        .auto_create_topics(false)
}

/// A started producer for these name servers.
pub(crate) async fn producer(
    name_servers: &str,
    change: impl FnOnce(ProducerConfigBuilder) -> ProducerConfigBuilder,
) -> Result<Producer> {
    let builder = Producer::builder("promises").name_servers(name_servers);
    Ok(builder.configure(change).start().await?)
}

pub(crate) fn message(body: impl Into<bytes::Bytes>) -> Result<Message> {
    Ok(Message::new(TOPIC, body)?)
}

/// Numbers that are the same in every run.
pub(crate) fn random(what: &str, seed: u64) -> Random {
    Random::of_input(what, 4, seed)
}

/// Fails the test if `work` hangs.
pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(PATIENT, work)
        .await
        .with_context(|| format!("{what}: it never happened"))
}

/// A timer of 10 ms whose largest delay says how late this machine makes timers.
pub(crate) struct Canary {
    over: Arc<AtomicBool>,
    task: JoinHandle<Duration>,
}

impl Canary {
    pub(crate) fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let task = tokio::spawn(async move {
            let mut worst = Duration::ZERO;
            let mut ticks = tokio::time::interval(millis(10));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            while !stop.load(Ordering::SeqCst) {
                let due = Instant::now() + millis(10);
                ticks.tick().await;
                worst = worst.max(Instant::now().saturating_duration_since(due));
            }
            worst
        });
        Self { over, task }
    }

    /// The largest delay.
    pub(crate) async fn worst(self) -> Result<Duration> {
        self.over.store(true, Ordering::SeqCst);
        Ok(self.task.await?)
    }
}

/// A number of /proc/self/status, in bytes.
pub(crate) fn memory(field: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(field));
    let number = line
        .context("the field is there")?
        .split_whitespace()
        .nth(1);
    Ok(number.context("a number")?.parse::<u64>()? * 1024)
}
