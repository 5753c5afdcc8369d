//! `oneway`: what a real broker loses of one-way messages, at full speed and at rates; see `docs/src/oneway.md`.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use rocketmq_producer::{Message, MessageQueue, Producer, SendOptions};
use tokio::task::JoinSet;
use tokio::time::Instant;
use xtask::apache::{Availability, Cluster, ClusterSpec, Permission, Version};

/// Sends one-way messages to a broker of 5.5.0 with its own settings and counts what it stores.
#[derive(Debug, Parser)]
struct Options {
    /// One-way messages a second, one run for each; 0 is full speed.
    #[arg(long, value_delimiter = ',', default_value = "0,50000,20000,5000")]
    rates: Vec<u32>,
    /// Messages of a run; at a rate, as many as go out in ten seconds if that is less.
    #[arg(long, default_value_t = 400_000)]
    messages: u64,
    /// Runs of each rate, interleaved.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Bytes of a body.
    #[arg(long, default_value_t = 256)]
    body: usize,
    /// Tasks that send at the same time.
    #[arg(long, default_value_t = 64)]
    tasks: u64,
}

const QUEUES: u32 = 4;
/// A broker that has not stored a message by then never will.
const SETTLED: Duration = Duration::from_secs(3);

/// One run.
struct Run {
    written: u64,
    failed: u64,
    stored: u64,
    took: Duration,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Availability::Missing(missing) = Availability::check() {
        bail!("no real broker can run here: {missing}");
    }
    let cluster = Cluster::start(&ClusterSpec::new(Version::V5_5_0).broker_heap_mib(1024))?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(run_all(&options, &cluster))
}

async fn run_all(options: &Options, cluster: &Cluster) -> Result<()> {
    // The first run finds a cold broker, and is not counted.
    run(options, cluster, "warm-up", 0, options.messages / 4).await?;
    println!("| `oneway_rate` | written a second | written | stored | lost |");
    println!("|---|---|---|---|---|");
    for round in 0..options.rounds {
        for &rate in &options.rates {
            let messages = match u64::from(rate) * 10 {
                0 => options.messages,
                ten_seconds => options.messages.min(ten_seconds),
            };
            let topic = format!("oneway-{rate}-{round}");
            let Run {
                written,
                failed,
                stored,
                took,
            } = run(options, cluster, &topic, rate, messages).await?;
            let lost = written.saturating_sub(stored) as f64 * 100.0 / written.max(1) as f64;
            let speed = written as f64 / took.as_secs_f64();
            let failures = match failed {
                0 => String::new(),
                failed => format!(" ({failed} not written)"),
            };
            println!("| {rate} | {speed:.0} | {written}{failures} | {stored} | {lost:.2} % |");
        }
    }
    Ok(())
}

async fn run(
    options: &Options,
    cluster: &Cluster,
    topic: &str,
    rate: u32,
    messages: u64,
) -> Result<Run> {
    cluster.create_topic(topic, QUEUES, Permission::READ_WRITE)?;
    let producer = Producer::builder("oneway")
        .name_servers(&cluster.name_server_addr())
        .configure(|settings| {
            settings
                .oneway_rate(rate)
                .send_msg_timeout(Duration::from_secs(10))
        })
        .preheat([topic])
        .start()
        .await?;
    let message = Message::new(topic, vec![b'x'; options.body])?;
    let (left, failed) = (Arc::new(AtomicU64::new(messages)), Arc::default());
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..options.tasks {
        let (producer, message) = (producer.clone(), message.clone());
        let (left, failed) = (Arc::clone(&left), Arc::<AtomicU64>::clone(&failed));
        tasks.spawn(async move {
            let more = |left: u64| left.checked_sub(1);
            while left.fetch_update(Relaxed, Relaxed, more).is_ok() {
                if producer.send_oneway(message.clone()).await.is_err() {
                    failed.fetch_add(1, Relaxed);
                }
            }
        });
    }
    tasks.join_all().await;
    let took = began.elapsed();
    let written = producer.stats().oneway_written;
    let stored = settled(&producer, topic).await?;
    producer.shutdown(Duration::from_secs(5)).await;
    Ok(Run {
        written,
        failed: failed.load(Relaxed),
        stored,
        took,
    })
}

/// How many messages the topic holds once that number does not change any more.
///
/// A message that is sent to a queue and acknowledged tells by its offset how many are before it.
async fn settled(producer: &Producer, topic: &str) -> Result<u64> {
    let mut markers: BTreeMap<i32, u64> = BTreeMap::new();
    let mut before = None;
    loop {
        tokio::time::sleep(SETTLED).await;
        let mut stored = 0;
        for queue in 0..i32::try_from(QUEUES)? {
            let there = MessageQueue::new(topic, "broker-a", queue);
            let options = SendOptions::new().to_queue(there);
            let marker = Message::new(topic, "marker")?;
            let receipt = producer.send_with(marker, options).await?;
            let count = markers.entry(queue).or_default();
            let offset = u64::try_from(receipt.queue_offset())?;
            stored += offset.checked_sub(*count).context("fewer than markers")?;
            *count += 1;
        }
        if before.replace(stored) == Some(stored) {
            return Ok(stored);
        }
    }
}
