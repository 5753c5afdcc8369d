//! The cluster, the producer and the judgement of each case.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer::Producer;
use rocketmq_producer::remoting::Connectivity;
use rocketmq_producer::routing::BrokerHealthInfo;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use xtask::apache::{
    Cluster, ClusterSpec, Node, Permission, ReadMessage, ReadOptions, Reader, Version,
};

use super::cases::on_nodes;
use super::{Canary, Case, Figures, Load, LoadSpec, Observed, Sent, Window};
use crate::oracle::{Oracle, Verdict};
use crate::proxy::{FaultProxy, ProxiedCluster};

const QUEUES: u32 = 4;
const KEYS: u32 = 64;
/// Most sends under way where the producer alone is to decide which go on.
const UNBOUNDED: usize = 20_000;
const LOOK: Duration = Duration::from_millis(10);
/// Failed sends and frame traces shown per case.
const SHOWN: usize = 3;

/// What to run.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "made by the command line only")]
pub struct Plan {
    /// Brokers of the cluster.
    pub brokers: usize,
    /// Messages per second.
    pub rate: u32,
    /// Length of a case; a quarter of it goes before the fault.
    pub seconds: u64,
    /// Whether messages have one of 64 sharding keys.
    pub keyed: bool,
}

/// A booted cluster with its proxies.
#[derive(Debug)]
pub struct Stage {
    cluster: Arc<Cluster>,
    reader: Reader,
    pub(super) proxies: ProxiedCluster,
    plan: Plan,
}

/// What one case came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Row {
    /// The fault.
    pub case: Case,
    /// Sends under way at most.
    pub in_flight: usize,
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

    /// Runs one case on a topic of its own.
    ///
    /// # Errors
    /// When the cluster does not do what the fault needs, or cannot be read back.
    pub async fn run(&self, case: Case, in_flight: usize) -> Result<Row> {
        let topic = format!("faults_{}_{in_flight}", case.letter());
        self.ready(&topic).await?;
        let (address, trace) = (self.address(case), self.proxies.trace());
        trace.clear();
        trace.record(case.is_proxied());
        let producer = Producer::builder("faults")
            .name_servers(&address)
            .preheat([&*topic])
            .configure(|settings| {
                settings.async_send_semaphore(u32::try_from(in_flight).unwrap_or(u32::MAX))
            })
            .start()
            .await?;
        let spec = if self.plan.keyed {
            LoadSpec::new(topic.clone(), self.plan.rate, UNBOUNDED).keys(KEYS)
        } else {
            LoadSpec::new(topic.clone(), self.plan.rate, in_flight)
        };
        let canary = Canary::start();
        let load = Load::start(producer.clone(), spec.clone());
        let suspicion = Suspicion::watch(&producer, self.broker()?, &load);
        let mut window = case.happen(self, &load, self.plan.seconds).await?;
        window.suspected = suspicion.first_in(&window);
        let story = suspicion.story(&window);
        let sent = load.finish().await?;
        let canary = canary.take();
        let failed_dials = producer.stats().brokers.failed_dials;
        let budget = producer.config().send_msg_timeout;
        producer.shutdown(budget).await;
        trace.record(false);

        let verdict = self.judge(&topic, &spec, &sent).await?;
        let observed: Vec<Observed> = sent.iter().map(Observed::from).collect();
        let rate = f64::from(self.plan.rate);
        Ok(Row {
            case,
            in_flight,
            figures: Figures::of(&observed, &window, rate, budget),
            canary,
            failed_dials,
            story,
            findings: self.findings(&verdict, &sent),
            verdict,
        })
    }

    /// The plan it was booted for.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    async fn ready(&self, topic: &str) -> Result<()> {
        self.proxies.heal();
        on_nodes(&self.cluster, Cluster::brokers, Node::wait_ready).await?;
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

    async fn judge(&self, topic: &str, spec: &LoadSpec, sent: &[Sent]) -> Result<Verdict> {
        let mut oracle = Oracle::new();
        for one in sent {
            oracle.outcome(&one.outcome, &spec.body(one.index));
        }
        // Every topic is in the route again once the brokers are.
        on_nodes(&self.cluster, Cluster::brokers, Node::wait_ready).await?;
        let stored = self.read(topic, oracle.receipts()).await?;
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

/// Whether the producer has a reason to prefer another broker.
const fn is_doubted(info: &BrokerHealthInfo) -> bool {
    !info.is_available || matches!(info.connectivity, Connectivity::Suspect(_))
}

/// How the producer's own view of a broker changed.
struct Suspicion {
    seen: Arc<Mutex<Vec<View>>>,
    _end: DropGuard,
}

/// One view of a broker.
struct View {
    at: Duration,
    is_doubted: bool,
    text: String,
}

impl Suspicion {
    fn watch(producer: &Producer, broker: &str, load: &Load) -> Self {
        let (seen, cancel) = (
            Arc::new(Mutex::new(Vec::<View>::new())),
            CancellationToken::new(),
        );
        let (began, broker) = (load.began(), broker.to_owned());
        let (producer, views, ended) = (producer.clone(), Arc::clone(&seen), cancel.clone());
        TaskTracker::new().spawn(async move {
            while !ended.is_cancelled() {
                tokio::time::sleep(LOOK).await;
                let all = producer.router().all_broker_health();
                let own = all.iter().find(|info| *info.broker_name == *broker);
                let Some(info) = own else { continue };
                let text = format!("{}, {:?}, {}", info.state, info.connectivity, info.cause);
                let mut views = views.lock().unwrap_or_else(PoisonError::into_inner);
                if views.last().is_none_or(|last| last.text != text) {
                    views.push(View {
                        at: began.elapsed(),
                        is_doubted: is_doubted(info),
                        text,
                    });
                }
            }
        });
        Self {
            seen,
            _end: cancel.drop_guard(),
        }
    }

    fn first_in(&self, window: &Window) -> Option<Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let in_it = |view: &&View| view.at >= window.begun && view.at < window.back;
        let mut doubted = seen.iter().filter(in_it).filter(|view| view.is_doubted);
        doubted.next().map(|view| view.at)
    }

    fn story(&self, window: &Window) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |time: Duration| format!("{:.3} s", time.as_secs_f64());
        let mut story = vec![format!(
            "fault at {}, lifted at {}, back at {}",
            at(window.begun),
            at(window.lifted),
            at(window.back)
        )];
        story.extend(
            seen.iter()
                .map(|view| format!("{}: {}", at(view.at), view.text)),
        );
        story
    }
}
