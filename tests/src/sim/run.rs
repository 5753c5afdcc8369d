//! One simulation, from the seed to the verdict.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::sync::{Once, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rocketmq_producer::config::Ordered;
use rocketmq_producer::remoting::random;
use rocketmq_producer::{Delivery, Message, MessageQueue, Producer, SendOptions, State};
use rocketmq_producer_embedded::{EmbeddedCluster, MemoryNetwork};
use sha2::{Digest, Sha256};
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::judge::judge;
use super::network::SimNetwork;
use super::scenario::{Ending, Scenario};
use super::senders::{End, Sent, TOPIC, moving, send_all};
use super::trouble::{Trouble, World};
use crate::fuzz::bytes::to_hex;
use crate::fuzz::random::Random;

/// Once all trouble is over, a send to each broker succeeds within this time.
pub const RECOVERY: Duration = Duration::from_secs(5);

/// Nothing that is waited for takes this long, in virtual time.
const HANG: Duration = Duration::from_secs(600);
/// No run takes this long, in real time, on any machine.
const STUCK: Duration = Duration::from_secs(120);
/// What a connection that closes may take to write what it was given, and to say so.
const LINGER: Duration = Duration::from_secs(3);

/// What came of a run in which every promise was kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Sends with a receipt.
    pub acked: usize,
    /// Sends that failed, nothing having left the process.
    pub not_sent: usize,
    /// Sends that a broker refused.
    pub rejected: usize,
    /// Sends of unknown delivery.
    pub unknown: usize,
    /// Sends that were dropped by the caller.
    pub dropped: usize,
    /// Copies beyond the first.
    pub duplicates: usize,
    /// Dials.
    pub dials: u64,
    /// How long it took until sends to each broker succeeded again.
    pub recovery: Duration,
    /// What went wrong and what came of each send, a line each.
    pub history: Vec<String>,
}

impl Report {
    /// A digest of the history: equal for equal histories.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for line in &self.history {
            hash.update(line.as_bytes());
            hash.update(b"\n");
        }
        to_hex(&hash.finalize())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acked,
            not_sent,
            rejected,
            unknown,
            dropped,
            duplicates,
            dials,
            recovery,
            ..
        } = self;
        write!(
            f,
            "{acked} acked, {not_sent} not sent, {rejected} rejected, {unknown} unknown, {dropped} dropped, {duplicates} duplicates, {dials} dials, back in {recovery:?}"
        )
    }
}

/// Simulates one seed of a scenario and judges it.
///
/// # Errors
/// The first promise that was not kept, with all that is needed to see it again.
pub fn run(scenario: &Scenario, seed: u64) -> Result<Report> {
    let name = scenario.name;
    let again = format!(
        "scenario {name}, seed {seed}; again: SIM_SEED={seed} cargo test -p rocketmq-producer-tests --test sim {name} -- --nocapture"
    );
    let _watch = watch(again.clone());
    count_panics();
    PANICS.set(0);
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    random::seed_thread(seed);
    let mut lines = Vec::new();
    let result = runtime.block_on(async {
        let simulation = simulate(scenario, seed, &mut lines);
        within(HANG, "the whole run", simulation).await?
    });
    // A task that panics ends alone; nobody else would notice.
    let result = match PANICS.get() {
        0 => result,
        panics => Err(anyhow!("{panics} panics, see above")),
    };
    result
        .map_err(|error| anyhow!("{again}\n{error:?}\n{}", abridged(&lines)))
        .map(|report| Report {
            history: lines,
            ..report
        })
}

async fn simulate(scenario: &Scenario, seed: u64, lines: &mut Vec<String>) -> Result<Report> {
    let start = Instant::now();
    let world = build(scenario, seed).await?;
    let addresses = world.cluster.name_servers();
    let group = format!("sim-{}", scenario.name);
    let mut random = Random::of_input("run", seed, 0);
    let producer = Producer::builder(&group)
        .name_servers(&addresses)
        .dialer(std::sync::Arc::new(world.network.clone()))
        .configure(|settings| {
            let settings = settings
                .client_id("sim")
                // Large bodies would be compressed on other threads, which end when they end.
                .compress_type(None)
                .poll_name_server_interval(Duration::from_secs(10));
            let settings = match scenario.batches {
                None => settings,
                Some(linger) => settings.auto_batch(true).batch_linger(linger),
            };
            match scenario.ordered {
                None => settings,
                Some(on_unknown) => settings
                    .ordered(Ordered::Key)
                    .ordered_on_unknown(on_unknown),
            }
        })
        .start()
        .await?;

    let length = scenario.length;
    let troubles = Trouble::draw(&mut random, length, scenario.brokers, scenario.name_servers);
    lines.extend(troubles.iter().map(|trouble| format!("{trouble:?}")));
    let mut senders = JoinSet::new();
    for number in 0..scenario.senders {
        senders.spawn(send_all(producer.clone(), *scenario, seed, number, start));
    }
    let midway = length.mul_f64(random.below(1000) as f64 / 1000.0);
    let patience = Duration::from_millis(random.below(6000) as u64);
    let stop = async {
        if scenario.ending == Ending::Midway {
            tokio::time::sleep(midway).await;
            shut_down(&producer, patience).await
        } else {
            Ok(())
        }
    };
    let sends = async {
        let mut all = Vec::new();
        while let Some(sender) = senders.join_next().await {
            all.extend(sender??);
        }
        anyhow::Ok(all)
    };
    let (all, troubled, stopped) = tokio::join!(sends, go_wrong(&world, troubles), stop);
    let mut all = all?;
    lines.extend(sorted(&all));
    troubled?;
    stopped?;
    world.restore().await?;
    let recovery = match scenario.ending {
        Ending::Midway => Duration::ZERO,
        _ => recover(&world, &producer, start, &mut all, lines).await?,
    };
    let lanes = producer.stats().lanes;
    ensure!(lanes == 0, "{lanes} lanes left");
    let dials = world.network.dials();
    match scenario.ending {
        Ending::Midway => {}
        Ending::Shutdown => shut_down(&producer, Duration::from_secs(5)).await?,
        Ending::Drop => {}
    }
    drop(producer);
    no_leaks(world, &all, dials, recovery).await
}

/// Judges what is stored, then looks for what is left over once all has ended.
async fn no_leaks(world: World, all: &[Sent], dials: u64, recovery: Duration) -> Result<Report> {
    let closed = async {
        while world.network.open() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let left = world.network.open();
    within(LINGER, "the end of all connections", closed)
        .await
        .with_context(|| format!("{left} connections left"))?;
    // What is under way arrives, so that late copies are there to be seen.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let duplicates = judge(all, &world.cluster.messages(TOPIC))?;
    world.cluster.shutdown().await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    ensure!(tasks == 0, "{tasks} tasks left");
    let delivered = |wanted| {
        let is = |sent: &&Sent| matches!(&sent.end, End::Failed(e) if e.delivery() == wanted);
        all.iter().filter(is).count()
    };
    let ended = |wanted: fn(&End) -> bool| all.iter().filter(|sent| wanted(&sent.end)).count();
    Ok(Report {
        acked: ended(|end| matches!(end, End::Acked(_))),
        not_sent: delivered(Delivery::NotSent),
        rejected: delivered(Delivery::Rejected),
        unknown: delivered(Delivery::Unknown),
        dropped: ended(|end| matches!(end, End::Dropped)),
        duplicates,
        dials,
        recovery,
        history: Vec::new(),
    })
}

async fn build(scenario: &Scenario, seed: u64) -> Result<World> {
    let memory = MemoryNetwork::new();
    let cluster = EmbeddedCluster::builder()
        .in_memory(&memory)
        .brokers(scenario.brokers)
        .name_servers(scenario.name_servers)
        .auto_create_topics(false)
        .topic(TOPIC, 4)
        .start()
        .await?;
    let addresses = cluster.name_servers();
    let name_servers = addresses.split(';').map(str::parse);
    let brokers = cluster.brokers().into_iter();
    Ok(World {
        network: SimNetwork::new(seed, memory),
        brokers: brokers
            .map(|broker| (broker.name.to_string(), broker.address))
            .collect(),
        name_servers: name_servers.collect::<Result<_, _>>()?,
        cluster,
    })
}

/// Lets all troubles begin and end at their times.
async fn go_wrong(world: &World, troubles: Vec<Trouble>) -> Result<()> {
    let one = |trouble: Trouble| async move {
        tokio::time::sleep(trouble.begins).await;
        let begun = trouble.begin(world).await?;
        let Some(ends) = trouble.ends else {
            return Ok(());
        };
        tokio::time::sleep(ends.saturating_sub(trouble.begins)).await;
        trouble.end(begun, world).await
    };
    let mut all = futures(troubles.into_iter().map(one));
    let mut failed = Ok(());
    std::future::poll_fn(|cx| {
        all.retain_mut(|future| match future.as_mut().poll(cx) {
            std::task::Poll::Pending => true,
            std::task::Poll::Ready(result) => {
                if result.is_err() {
                    failed = result;
                }
                false
            }
        });
        if all.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    failed
}

fn futures<F: Future>(futures: impl Iterator<Item = F>) -> Vec<std::pin::Pin<Box<F>>> {
    futures.map(Box::pin).collect()
}

/// Sends to a queue of each broker, and to any, until all have succeeded.
async fn recover(
    world: &World,
    producer: &Producer,
    start: Instant,
    all: &mut Vec<Sent>,
    lines: &mut Vec<String>,
) -> Result<Duration> {
    let over = Instant::now();
    let timeout = Duration::from_secs(1);
    let queues = world
        .brokers
        .iter()
        .map(|(broker, _)| Some(MessageQueue::new(TOPIC, broker.as_str(), 0)));
    for (number, queue) in [None].into_iter().chain(queues).enumerate() {
        for index in 0.. {
            let name = format!("recovery-{number}/{index}");
            let body = format!("{name} ");
            let message = Message::new(TOPIC, body.clone())?;
            let mut options = SendOptions::new().timeout(timeout);
            if let Some(queue) = &queue {
                options = options.to_queue(queue.clone());
            }
            let began = Instant::now();
            let end = End::of(moving(producer.send_with(message, options)).await?);
            let is_back = matches!(end, End::Acked(_));
            let sent = Sent {
                name,
                key: None,
                body: body.into(),
                timeout,
                began: began.duration_since(start),
                elapsed: began.elapsed(),
                end,
            };
            lines.push(sent.to_string());
            all.push(sent);
            if is_back {
                break;
            }
            if over.elapsed() > RECOVERY {
                bail!("{queue:?} is not back {RECOVERY:?} after all trouble was over");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(over.elapsed())
}

async fn shut_down(producer: &Producer, patience: Duration) -> Result<()> {
    let began = Instant::now();
    let report = producer.shutdown(patience).await;
    ensure!(report.unresolved == 0, "{report:?}");
    ensure!(producer.state() == State::Stopped, "{:?}", producer.state());
    let took = began.elapsed();
    ensure!(took <= patience + LINGER, "shutdown took {took:?}");
    Ok(())
}

/// Of a history, all but the sends that succeeded at once.
fn abridged(lines: &[String]) -> String {
    let is_telling = |line: &&String| !line.contains(" acked ") || line.matches('|').count() > 1;
    let telling: Vec<_> = lines
        .iter()
        .filter(is_telling)
        .map(String::as_str)
        .collect();
    telling.join("\n")
}

/// Everything that went wrong or was sent, in the order of its beginning.
fn sorted(all: &[Sent]) -> Vec<String> {
    let mut all: Vec<&Sent> = all.iter().collect();
    all.sort_by_key(|sent| (sent.began, &sent.name));
    all.into_iter().map(ToString::to_string).collect()
}

async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| anyhow!("{what}: not within {limit:?}"))
}

thread_local! {
    /// Panics on this thread.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let _ = PANICS.try_with(|panics| panics.set(panics.get() + 1));
            usual(info);
        }));
    });
}

/// Ends the process if the run does not end: a loop without waiting makes no virtual time pass.
fn watch(what: String) -> mpsc::Sender<()> {
    let (alive, ended) = mpsc::channel();
    std::thread::spawn(move || {
        if ended.recv_timeout(STUCK) == Err(mpsc::RecvTimeoutError::Timeout) {
            #[expect(clippy::print_stderr, reason = "the last words of the process")]
            {
                eprintln!("stuck for {STUCK:?}: {what}");
            }
            std::process::abort();
        }
    });
    alive
}
