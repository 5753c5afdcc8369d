//! The cluster, the producer and the judgement of each case.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer::Producer;
use tokio::time::Instant;
use xtask::apache::{
    Cluster, ClusterSpec, Node, Permission, ReadMessage, ReadOptions, Reader, Version,
};

use super::cases::on_nodes;
use super::suspicion::Suspicion;
use super::warm_up::warm_up;
use super::{Canary, Case, Figures, Load, LoadSpec, Observed, Sent};
use crate::oracle::{Oracle, Verdict};
use crate::proxy::{FaultProxy, ProxiedCluster};

const QUEUES: u32 = 4;
const KEYS: u32 = 64;
/// All keys together may have so many times the producer's own bound under way: the keys of a bad broker alone can ask
/// for all of its places, and a slow machine still gets them through within their budget.
const KEYED_DEMAND: usize = 2;
const WARM_UP_TOPIC: &str = "faults_warm_up";
/// Failed sends and frame traces shown per case.
const SHOWN: usize = 3;

/// What to run.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "made by the command line only")]
pub struct Plan {
    /// Brokers of the cluster.
    pub brokers: usize,
    /// Messages per second of each load.
    pub rate: u32,
    /// Length of a case; a quarter of it goes before the fault.
    pub seconds: u64,
    /// The loads.
    pub mode: Mode,
}

/// Which loads a case has, each with a topic and a producer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "every combination of the two")]
pub enum Mode {
    /// Messages without a sharding key.
    Unkeyed,
    /// Messages with one of 64 sharding keys.
    Keyed,
    /// Both at the same time.
    Mixed,
}

impl Mode {
    /// Its loads, each told by whether it has keys.
    pub(super) const fn loads(self) -> &'static [bool] {
        match self {
            Self::Unkeyed => &[false],
            Self::Keyed => &[true],
            Self::Mixed => &[false, true],
        }
    }
}

/// A load that is about to begin.
struct Act {
    producer: Producer,
    spec: LoadSpec,
    /// Dials that failed before it began.
    failed_dials: u64,
    /// How the warm-up went.
    warmed_up: String,
}

/// A booted cluster with its proxies.
#[derive(Debug)]
pub struct Stage {
    cluster: Arc<Cluster>,
    reader: Reader,
    pub(super) proxies: ProxiedCluster,
    plan: Plan,
}

/// What one load of a case came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Row {
    /// The fault.
    pub case: Case,
    /// Sends under way at most.
    pub in_flight: usize,
    /// Whether its messages have sharding keys.
    pub is_keyed: bool,
    /// Its figures.
    pub figures: Figures,
    /// What the oracle found.
    pub verdict: Verdict,
    /// The largest delay of a 10 ms timer meanwhile.
    pub canary: Duration,
    /// Dials to brokers that failed.
    pub failed_dials: u64,
    /// How the producer's view of the bad broker changed.
    pub story: Vec<String>,
    /// What deserves a look.
    pub findings: Vec<Finding>,
}

/// Something to look at, with what is known of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Finding {
    /// What it is.
    pub what: String,
    /// What happened on the wire, where that was recorded.
    pub frames: Vec<String>,
}

impl Stage {
    /// Boots a cluster of Apache 5.5.0 with two name servers.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn boot(plan: Plan) -> Result<Self> {
        let spec = ClusterSpec::new(Version::V5_5_0)
            .brokers(plan.brokers)
            .name_servers(2);
        let booted = move || {
            let reader = Reader::new(Version::V5_5_0)?;
            anyhow::Ok((reader, Arc::new(Cluster::start(&spec)?)))
        };
        let (reader, cluster) = tokio::task::spawn_blocking(booted).await??;
        Ok(Self {
            proxies: ProxiedCluster::start(&cluster)?,
            cluster,
            reader,
            plan,
        })
    }

    /// Runs one case, each load on a topic of its own; a row for each.
    ///
    /// # Errors
    /// When the cluster does not do what the fault needs, or cannot be read back.
    pub async fn run(&self, case: Case, in_flight: usize) -> Result<Vec<Row>> {
        self.ready().await?;
        let trace = self.proxies.trace();
        trace.clear();
        let mut acts = Vec::new();
        for is_keyed in self.plan.mode.loads() {
            acts.push(self.act(case, in_flight, *is_keyed).await?);
        }
        trace.record(case.is_proxied());
        let (canary, began) = (Canary::start(), Instant::now());
        let start = |act: &Act| Load::start_at(began, act.producer.clone(), act.spec.clone());
        let loads: Vec<Load> = acts.iter().map(start).collect();
        let broker = self.broker()?;
        let watch = |act: &Act| Suspicion::watch(&act.producer, broker, began);
        let suspicions: Vec<Suspicion> = acts.iter().map(watch).collect();
        let window = case.happen(self, began, self.plan.seconds).await?;
        let mut ended = Vec::new();
        for ((act, load), suspicion) in acts.into_iter().zip(loads).zip(suspicions) {
            let mut window = window.clone();
            window.suspected = suspicion.first_in(&window);
            let story = suspicion.story(&window);
            load.stop();
            ended.push((act, load, window, story));
        }
        let mut judged = Vec::new();
        for (act, load, window, story) in ended {
            judged.push((act, load.finish().await?, window, story));
        }
        let canary = canary.take();
        trace.record(false);

        let mut rows = Vec::new();
        for (act, sent, window, mut story) in judged {
            let failed_dials = act.producer.stats().brokers.failed_dials - act.failed_dials;
            let budget = act.producer.config().send_msg_timeout;
            act.producer.shutdown(budget).await;
            let verdict = self.judge(&act.spec, &sent).await?;
            let observed: Vec<Observed> = sent.iter().map(Observed::from).collect();
            let rate = f64::from(self.plan.rate);
            story.insert(0, act.warmed_up);
            rows.push(Row {
                case,
                in_flight,
                is_keyed: act.spec.keys.is_some(),
                figures: Figures::of(&observed, &window, rate, budget),
                canary,
                failed_dials,
                story,
                findings: self.findings(&verdict, &sent),
                verdict,
            });
        }
        Ok(rows)
    }

    /// A producer that is warm, and what it is to send.
    async fn act(&self, case: Case, in_flight: usize, is_keyed: bool) -> Result<Act> {
        let kind = if is_keyed { "keyed" } else { "unkeyed" };
        let topic = format!("faults_{}_{in_flight}_{kind}", case.letter());
        self.create(&topic).await?;
        let producer = Producer::builder("faults")
            .name_servers(&self.address(case))
            .preheat([&*topic, WARM_UP_TOPIC])
            .configure(|settings| {
                settings.async_send_semaphore(u32::try_from(in_flight).unwrap_or(u32::MAX))
            })
            .start()
            .await?;
        let names = self.cluster.brokers().iter().map(Node::name);
        let warmed_up = warm_up(&producer, WARM_UP_TOPIC, &names.collect::<Vec<_>>()).await?;
        let spec = LoadSpec::new(topic, self.plan.rate, in_flight);
        let of_key = (in_flight * KEYED_DEMAND).div_ceil(KEYS as usize);
        Ok(Act {
            spec: if is_keyed {
                spec.keys(KEYS, of_key)
            } else {
                spec
            },
            failed_dials: producer.stats().brokers.failed_dials,
            warmed_up: format!("{kind}: {warmed_up}"),
            producer,
        })
    }

    /// The plan it was booted for.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    async fn ready(&self) -> Result<()> {
        self.proxies.heal();
        on_nodes(&self.cluster, Cluster::brokers, Node::wait_ready).await?;
        self.create(WARM_UP_TOPIC).await
    }

    async fn create(&self, topic: &str) -> Result<()> {
        let (cluster, topic) = (Arc::clone(&self.cluster), topic.to_owned());
        let create = move || cluster.create_topic(&topic, QUEUES, Permission::READ_WRITE);
        tokio::task::spawn_blocking(create).await?
    }

    fn address(&self, case: Case) -> String {
        if case.is_proxied() {
            self.proxies.name_server_addr()
        } else {
            self.cluster.name_server_addr()
        }
    }

    async fn judge(&self, spec: &LoadSpec, sent: &[Sent]) -> Result<Verdict> {
        let mut oracle = Oracle::new();
        for one in sent {
            oracle.outcome(&one.outcome, &spec.body(one.index));
        }
        // Every topic is in the route again once the brokers are.
        on_nodes(&self.cluster, Cluster::brokers, Node::wait_ready).await?;
        let stored = self.read(&spec.topic, oracle.receipts()).await?;
        tokio::task::spawn_blocking(move || Ok(oracle.judge(&stored))).await?
    }

    async fn read(&self, topic: &str, at_least: usize) -> Result<Vec<ReadMessage>> {
        let options = ReadOptions::new()
            .digest_only()
            .at_least(at_least)
            .wait(Duration::from_secs(30));
        let (reader, address) = (self.reader.clone(), self.cluster.name_server_addr());
        let topic = topic.to_owned();
        let read = move || reader.read_topic_with(&address, &topic, &options);
        tokio::task::spawn_blocking(read).await?
    }

    fn findings(&self, verdict: &Verdict, sent: &[Sent]) -> Vec<Finding> {
        let frames = |id: &str| -> Vec<String> {
            let steps = self.proxies.trace().of(id);
            steps.iter().map(ToString::to_string).collect()
        };
        let of_send = |id: &str| {
            let is_it = |one: &&Sent| match &one.outcome {
                Ok(receipt) => receipt.message_id().to_string() == id,
                Err(error) => error.message_id().is_some_and(|own| own.to_string() == id),
            };
            let sent = sent.iter().find(is_it);
            sent.map_or_else(String::new, |one| format!("\n{one:?}"))
        };
        let complaints = verdict.complaints.iter().zip(&verdict.suspects);
        let complaints = complaints.take(SHOWN).map(|(complaint, id)| Finding {
            what: format!("{complaint}{}", of_send(id)),
            frames: frames(id),
        });
        let failed = sent
            .iter()
            .filter_map(|one| Some((one, one.outcome.as_ref().err()?)));
        let mut failed: Vec<_> = failed.collect();
        // Some of each delivery, early and late ones.
        failed.sort_by_key(|(one, error)| (error.delivery(), one.begun));
        let groups = failed.chunk_by(|(_, one), (_, next)| one.delivery() == next.delivery());
        let ends = groups.flat_map(|group| {
            let late = group.len().saturating_sub(SHOWN).max(SHOWN);
            let (early, late) = (group.iter().take(SHOWN), group.iter().skip(late));
            early.chain(late)
        });
        let failed = ends.map(|(one, error)| {
            let id = error.message_id().map(ToString::to_string);
            Finding {
                what: format!("begun at {:.3} s: {error:?}", one.begun.as_secs_f64()),
                frames: id.map_or_else(Vec::new, |id| frames(&id)),
            }
        });
        complaints.chain(failed).collect()
    }

    /// The broker that faults happen to.
    pub(super) fn broker(&self) -> Result<&str> {
        let first = self.cluster.brokers().first();
        Ok(first.context("a cluster without brokers")?.name())
    }

    pub(super) fn proxy(&self) -> Result<&FaultProxy> {
        self.proxies
            .brokers()
            .first()
            .context("a cluster without brokers")
    }

    pub(super) async fn on_broker(&self, what: fn(&Node) -> Result<()>) -> Result<()> {
        on_nodes(&self.cluster, first_broker, what).await
    }

    pub(super) async fn on_name_servers(&self, what: fn(&Node) -> Result<()>) -> Result<()> {
        on_nodes(&self.cluster, Cluster::name_servers, what).await
    }
}

fn first_broker(cluster: &Cluster) -> &[Node] {
    cluster.brokers().get(..1).unwrap_or_default()
}
