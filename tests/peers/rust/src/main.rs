//! Loads a broker through the community's Rust client and prints one line of JSON, with the same arguments and the
//! same fields as the Java and Go programs beside it and as `rocketmq-producer bench --json`.
//!
//! The fastest way that was found: one task per send under way, each awaiting `send`, all of them on the runtime that
//! the client itself runs on.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rocketmq_client_rust::{
    ClientRuntime, ClientRuntimeConfig, DefaultMQProducer, SendResult, SendStatus,
};
use rocketmq_model::common::message::message_single::Message;
use rocketmq_observability::TelemetryRuntimeGuard;
use rocketmq_runtime::RuntimeOwner;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

/// What to send and how.
struct Load {
    producer: DefaultMQProducer,
    topic: String,
    body: Bytes,
    /// Messages per request; 1 is a plain send.
    batch: u64,
    concurrency: usize,
}

/// What came of it.
#[derive(Default)]
struct Outcome {
    acked: u64,
    failed: u64,
    /// In tenths of a microsecond, one per message.
    latencies: Vec<u32>,
    first_error: Option<String>,
}

fn main() -> Result<(), Failure> {
    let began = Instant::now();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options: HashMap<&str, &str> = arguments
        .chunks_exact(2)
        .map(|pair| (pair[0].trim_start_matches('-'), pair[1].as_str()))
        .collect();
    let text = |name: &str, default: &'static str| options.get(name).copied().unwrap_or(default);
    let number = |name: &str, default: &'static str| text(name, default).parse::<u64>();
    let mode = text("mode", "sync");
    let body = number("body", "256")?;
    let count = number("count", "100000")?;
    let warm_up = number("warmup", "10000")?;
    let concurrency = number("concurrency", "64")?;
    let rate: f64 = text("rate", "0").parse()?;

    let owner = RuntimeOwner::new()?;
    let telemetry = TelemetryRuntimeGuard::noop();
    let client = ClientRuntime::try_new(
        owner.root_context().component("bench"),
        ClientRuntimeConfig::default(),
        telemetry.handle(),
    )?;
    let line = owner.block_on(async {
        let mut producer = DefaultMQProducer::builder(client.clone())
            .producer_group(text("group", "bench-rust").to_owned())
            .name_server_addr(text("namesrv", "127.0.0.1:9876").to_owned())
            // Every client of a comparison sends the body as it is.
            .compress_msg_body_over_howmuch(i32::MAX as u32)
            .build();
        producer.start().await?;
        let load = Arc::new(Load {
            producer,
            topic: text("topic", "bench").to_owned(),
            body: printable(body as usize),
            batch: if mode == "batch" { number("batch", "32")? } else { 1 },
            concurrency: concurrency as usize,
        });
        load.send(1).await?;
        let first_ack = began.elapsed();
        if warm_up > 0 {
            run(&load, warm_up, 0.0).await?;
        }
        let (cpu, began) = (cpu_time(), Instant::now());
        let mut outcome = run(&load, count, rate).await?;
        let (secs, cpu) = (began.elapsed().as_secs_f64(), cpu_time() - cpu);
        if let Some(error) = &outcome.first_error {
            eprintln!("{} failed, the first one so: {error}", outcome.failed);
        }
        outcome.latencies.sort_unstable();
        let at = |quantile: f64| quantile_of(&outcome.latencies, quantile);
        Ok::<_, Failure>(format!(
            "{{\"peer\":\"rust\",\"mode\":\"{mode}\",\"body\":{body},\"count\":{count},\"concurrency\":{concurrency},\
             \"acked\":{},\"failed\":{},\"secs\":{secs:.3},\"msgs_per_s\":{:.3},\"cpu_s\":{cpu:.3},\
             \"cpu_us_per_msg\":{:.3},\"p50_us\":{:.1},\"p99_us\":{:.1},\"p999_us\":{:.1},\"max_us\":{:.1},\
             \"rss_mib\":{:.1},\"first_ack_ms\":{:.3}}}",
            outcome.acked,
            outcome.failed,
            outcome.acked as f64 / secs,
            cpu * 1e6 / (outcome.acked + outcome.failed).max(1) as f64,
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
            resident_mib(),
            first_ack.as_secs_f64() * 1e3,
        ))
    })?;
    println!("{line}");
    // The figures are out; an orderly end is not what is measured here.
    std::process::exit(0);
}

impl Load {
    fn message(&self) -> Message {
        Message::new_with_bytes(self.topic.as_str(), self.body.clone())
    }

    /// Sends so many messages, in one request if there are several.
    async fn send(&self, messages: u64) -> Result<(), Failure> {
        let result = if self.batch == 1 {
            self.producer.send(self.message()).await?
        } else {
            let batch: Vec<Message> = (0..messages).map(|_| self.message()).collect();
            Some(self.producer.send_batch(batch).await?)
        };
        match result {
            Some(SendResult {
                send_status: SendStatus::SendOk,
                ..
            }) => Ok(()),
            other => Err(format!("not stored: {other:?}").into()),
        }
    }
}

async fn run(load: &Arc<Load>, count: u64, rate: f64) -> Result<Outcome, Failure> {
    let turns = Arc::new(Turns::new(count, load.batch, rate));
    let pacer = (rate > 0.0).then(|| {
        let (turns, workers) = (Arc::clone(&turns), load.concurrency);
        std::thread::spawn(move || turns.pace(workers))
    });
    let total = Arc::new(Mutex::new(Outcome::default()));
    let mut workers = JoinSet::new();
    for _ in 0..load.concurrency {
        let (load, turns, total) = (Arc::clone(load), Arc::clone(&turns), Arc::clone(&total));
        workers.spawn(async move {
            let mut mine = Outcome::default();
            while let Some((since, messages)) = turns.next().await {
                match load.send(messages).await {
                    Ok(()) => {
                        let tenths = (since.elapsed().as_nanos() / 100).min(u32::MAX.into()) as u32;
                        mine.acked += messages;
                        mine.latencies
                            .extend(std::iter::repeat_n(tenths, messages as usize));
                    }
                    Err(error) => {
                        mine.failed += messages;
                        mine.first_error.get_or_insert_with(|| error.to_string());
                    }
                }
            }
            let mut total = total.lock().expect("no worker panics here");
            total.acked += mine.acked;
            total.failed += mine.failed;
            total.latencies.append(&mut mine.latencies);
            if let Some(error) = mine.first_error {
                total.first_error.get_or_insert(error);
            }
        });
    }
    while let Some(joined) = workers.join_next().await {
        joined?;
    }
    if let Some(pacer) = pacer {
        pacer.join().map_err(|_| "the pacer failed")?;
    }
    Ok(std::mem::take(
        &mut *total.lock().expect("no worker panics here"),
    ))
}

/// Hands out turns to send. With a rate they come due by the clock, whatever the answers do, and count from then.
struct Turns {
    requests: u64,
    count: u64,
    batch: u64,
    taken: AtomicU64,
    began: Instant,
    interval: f64,
    due: Option<Semaphore>,
}

impl Turns {
    fn new(count: u64, batch: u64, rate: f64) -> Self {
        let paced = rate > 0.0;
        Self {
            requests: count.div_ceil(batch),
            count,
            batch,
            taken: AtomicU64::new(0),
            began: Instant::now(),
            interval: if paced { batch as f64 / rate } else { 0.0 },
            due: paced.then(|| Semaphore::new(0)),
        }
    }

    async fn next(&self) -> Option<(Instant, u64)> {
        if let Some(due) = &self.due {
            due.acquire().await.ok()?.forget();
        }
        let turn = self.taken.fetch_add(1, Ordering::Relaxed);
        if turn >= self.requests {
            return None;
        }
        let since = match self.due {
            Some(_) => self.due_at(turn),
            None => Instant::now(),
        };
        Some((since, self.batch.min(self.count - turn * self.batch)))
    }

    fn due_at(&self, turn: u64) -> Instant {
        self.began + Duration::from_secs_f64(self.interval * turn as f64)
    }

    /// Runs in a thread of its own, which sleeps to some ten microseconds.
    fn pace(&self, workers: usize) {
        let Some(due) = &self.due else { return };
        for turn in 0..self.requests {
            std::thread::sleep(self.due_at(turn).saturating_duration_since(Instant::now()));
            due.add_permits(1);
        }
        // Every worker learns that there are no more turns.
        due.add_permits(workers);
    }
}

/// The same bytes in every run, which hardly compress.
fn printable(size: usize) -> Bytes {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'!' + (state % 94) as u8
    };
    (0..size).map(|_| next()).collect()
}

fn quantile_of(sorted: &[u32], quantile: f64) -> f64 {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .map_or(0.0, |tenths| f64::from(*tenths) / 10.0)
}

/// CPU time of the whole process, in seconds.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| {
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<f64>()
            .ok()
    });
    kib.unwrap_or(f64::NAN) / 1024.0
}
