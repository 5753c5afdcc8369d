//! A soak: loads of several kinds, mishaps at random, and an oracle that reads everything back.
//!
//! It runs in rounds. In each, loads of unkeyed, keyed, ordered and one-way messages go to a topic of its own, while what
//! the schedule says happens to brokers and name servers. At its end all is put right, every send has to have an outcome,
//! and the oracle compares outcomes with what is stored. The producers live through all rounds.

mod apache;
mod embedded;
mod ground;
mod lanes;
mod loads;
mod report;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer::Producer;
use rocketmq_producer::config::{Ordered, OrderedOnUnknown};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use apache::Apache;
pub use embedded::Embedded;
pub use ground::Ground;
pub use report::{Report, Round};
pub use schedule::{Kind, Lane, Mishap, draw};

use crate::faults::Canary;
use crate::fuzz::random::Random;
use loads::{Loads, Producers};

/// Longest round.
const ROUND: Duration = Duration::from_secs(60);
/// Besides the canary's delay: threads that wait for a processor.
const SLACK: Duration = Duration::from_millis(250);
/// Sends that have no outcome by then never get one.
const NEVER: Duration = Duration::from_secs(60);

/// How to soak.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by the command line and tests"
)]
pub struct Plan {
    /// What the schedule is drawn from.
    pub seed: u64,
    /// How long in all.
    pub time: Duration,
    /// Whether the producers gather messages in batches.
    pub auto_batch: bool,
    /// Told what happens as it happens.
    pub tell: fn(&str),
    /// Memory in use in KiB, if the program counts it; else nothing is said about it. Resident memory would not do: in it
    /// stays what the judge needed once, and what else the process did.
    pub memory: Option<fn() -> u64>,
}

/// Runs all rounds.
///
/// # Errors
/// When the cluster does not do what it is told. Broken promises are in the report.
///
/// # Cancel safety
/// Dropped midway, the producers end without waiting.
pub async fn run<G: Ground>(ground: G, plan: &Plan) -> Result<Report> {
    let ground = Arc::new(ground);
    let auto_batch = plan.auto_batch;
    let plain = Producer::builder("soak")
        .name_servers(&ground.name_servers())
        .configure(|settings| settings.auto_batch(auto_batch));
    let ordered = Producer::builder("soak_ordered")
        .name_servers(&ground.name_servers())
        .configure(|settings| {
            settings
                .auto_batch(auto_batch)
                .ordered(Ordered::Key)
                .ordered_on_unknown(OrderedOnUnknown::Continue)
        });
    let producers = Producers {
        plain: plain.start().await?,
        ordered: ordered.start().await?,
    };
    let rounds = plan.time.as_secs().div_ceil(ROUND.as_secs()).max(2);
    let length = plan.time / u32::try_from(rounds)?;
    let mut report = Report::new(plan.seed);
    for number in 0..rounds {
        let round = round(&ground, &producers, plan, number, length).await;
        let round = round.with_context(|| format!("round {number} of seed {}", plan.seed))?;
        (plan.tell)(&format!("{round}"));
        report.push(round);
    }
    for producer in [producers.plain, producers.ordered] {
        let ended = producer.shutdown(producer.config().send_msg_timeout).await;
        if !ended.is_drained() {
            report.breach(format!("the shutdown left something undone: {ended:?}"));
        }
    }
    Ok(report)
}

async fn round<G: Ground>(
    ground: &Arc<G>,
    producers: &Producers,
    plan: &Plan,
    number: u64,
    length: Duration,
) -> Result<Round> {
    let topic = format!("soak_{number}");
    ground.open(&topic).await?;
    let canary = Canary::start();
    let random = |lane| Random::of_input("soak lanes", plan.seed, number * 64 + lane);
    let loads = Loads::start(producers, &topic, random);
    let lanes = (0..ground::BROKERS).map(Lane::Broker);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut running = Vec::new();
    for lane in lanes.chain([Lane::NameServers]) {
        let mishaps = draw(plan.seed, number, lane, ground.kinds(lane), length);
        let shown: Vec<String> = mishaps.iter().map(ToString::to_string).collect();
        (plan.tell)(&format!("round {number}, {lane}: {}", shown.join(", ")));
        let work = live_through(Arc::clone(ground), lane, mishaps, stop.clone());
        running.push(tasks.spawn(work));
    }
    tokio::time::sleep(length).await;
    // What has begun ends in order: every lane is whole afterwards.
    stop.cancel();
    let mut mishaps = 0;
    for lane in running {
        mishaps += lane.await??;
    }
    let ended = tokio::time::timeout(NEVER, loads.finish()).await;
    let outcomes =
        ended.context("sends without an outcome a minute after the last was begun")??;
    let stored = ground.read(&topic, outcomes.receipts()).await?;
    let budget = producers.plain.config().send_msg_timeout + SLACK;
    let mut round = Round::judge(number, outcomes, &stored, budget, canary.take());
    round.add_frames(|id| ground.frames(id));
    drop(stored);
    ground.close(&topic).await;
    round.mishaps = mishaps;
    round.memory = plan.memory.map(|memory| memory());
    Ok(round)
}

/// Lets the mishaps of a lane happen until they are over or it is time to stop; how many did.
async fn live_through<G: Ground>(
    ground: Arc<G>,
    lane: Lane,
    mishaps: Vec<Mishap>,
    stop: CancellationToken,
) -> Result<usize> {
    let mut happened = 0;
    for Mishap { pause, kind, lasts } in mishaps {
        if stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_none()
        {
            break;
        }
        let what = || format!("{kind:?} of {lane}");
        ground.begin(lane, kind).await.with_context(what)?;
        let _ = stop.run_until_cancelled(tokio::time::sleep(lasts)).await;
        ground.end(lane, kind).await.with_context(what)?;
        happened += 1;
    }
    Ok(happened)
}

#[cfg(test)]
mod tests;
