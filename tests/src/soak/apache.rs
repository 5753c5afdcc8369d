//! A soak on real brokers behind proxies.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use xtask::apache::{Cluster, ClusterSpec, Node, Permission, ReadOptions, Reader, Version};

use super::ground::BROKERS;
use super::{Ground, Kind, Lane};
use crate::oracle::Stored;
use crate::proxy::{Fault, FaultProxy, Mischief, ProxiedCluster, Which};

const QUEUES: u32 = 4;
const SOME: Which = Which::Every(40);
/// An orderly end takes half a minute: all else has two chances against its one.
const OF_BROKERS: &[Kind] = &[
    Kind::Busy,
    Kind::Busy,
    Kind::Cut,
    Kind::Cut,
    Kind::Echo,
    Kind::Garble,
    Kind::GoAway,
    Kind::GoAway,
    Kind::HalfOpen,
    Kind::HalfOpen,
    Kind::Kill,
    Kind::Kill,
    Kind::Shutdown,
    Kind::Slow,
    Kind::Slow,
    Kind::Stop,
    Kind::Stop,
    Kind::Stop,
    Kind::Swallow,
    Kind::Swallow,
    Kind::Unavailable,
];
const OF_NAME_SERVERS: &[Kind] = &[
    Kind::Cut,
    Kind::HalfOpen,
    Kind::Kill,
    Kind::Slow,
    Kind::Stop,
];

/// Two brokers and two name servers of Apache 5.5.0.
pub struct Apache {
    cluster: Arc<Cluster>,
    reader: Reader,
    proxies: ProxiedCluster,
}

impl fmt::Debug for Apache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apache").finish_non_exhaustive()
    }
}

impl Apache {
    /// Boots the cluster and puts its proxies before it.
    ///
    /// # Errors
    /// When it does not start.
    ///
    /// # Cancel safety
    /// Dropped midway, the cluster ends when it has started.
    pub async fn start() -> Result<Self> {
        let boot = || {
            let spec = ClusterSpec::new(Version::V5_5_0)
                .brokers(BROKERS)
                .name_servers(2);
            anyhow::Ok((Reader::new(spec.version)?, Arc::new(Cluster::start(&spec)?)))
        };
        let (reader, cluster) = tokio::task::spawn_blocking(boot).await??;
        let proxies = ProxiedCluster::start(&cluster)?;
        proxies.trace().record(true);
        Ok(Self {
            proxies,
            cluster,
            reader,
        })
    }

    fn proxies(&self, lane: Lane) -> &[FaultProxy] {
        match lane {
            Lane::NameServers => self.proxies.name_servers(),
            Lane::Broker(index) => self
                .proxies
                .brokers()
                .get(index..=index)
                .unwrap_or_default(),
        }
    }

    async fn on(&self, lane: Lane, what: fn(&Node) -> Result<()>) -> Result<()> {
        let cluster = Arc::clone(&self.cluster);
        let work = move || match lane {
            Lane::NameServers => cluster.name_servers().iter().try_for_each(what),
            Lane::Broker(index) => what(cluster.brokers().get(index).context("no such broker")?),
        };
        tokio::task::spawn_blocking(work).await?
    }

    /// A proxy hides the end of what is behind it, unless it is told.
    fn set(&self, lane: Lane, fault: &Fault) {
        for proxy in self.proxies(lane) {
            proxy.set(fault.clone());
        }
    }
}

/// What the proxy does; kinds that concern the process have none.
fn fault(lane: Lane, kind: Kind) -> Option<Fault> {
    Some(match (kind, lane) {
        (Kind::Busy, _) => Fault::Sends(Which::All, Mischief::busy()),
        (Kind::Unavailable, _) => Fault::Sends(
            Which::All,
            Mischief::answer(14, "service not available now, maybe disk full"),
        ),
        (Kind::GoAway, _) => Fault::Sends(Which::All, Mischief::go_away()),
        (Kind::Cut, Lane::Broker(_)) => Fault::ResetEvery(60),
        (Kind::Cut, Lane::NameServers) => Fault::ResetEvery(3),
        (Kind::Garble, _) => Fault::Sends(SOME, Mischief::Garble),
        (Kind::Swallow, _) => Fault::Sends(SOME, Mischief::Swallow),
        (Kind::Echo, _) => Fault::Sends(SOME, Mischief::Truncate),
        (Kind::HalfOpen | Kind::Vanish, _) => Fault::HalfOpen,
        (Kind::Slow, _) => Fault::Delay(Duration::from_millis(150)),
        (Kind::Kill | Kind::Shutdown | Kind::Stop, _) => return None,
    })
}

#[async_trait]
impl Ground for Apache {
    fn name_servers(&self) -> String {
        self.proxies.name_server_addr()
    }

    fn of_brokers(&self) -> &'static [Kind] {
        OF_BROKERS
    }

    fn of_name_servers(&self) -> &'static [Kind] {
        OF_NAME_SERVERS
    }

    async fn begin(&self, lane: Lane, kind: Kind) -> Result<()> {
        if let Some(fault) = fault(lane, kind) {
            self.set(lane, &fault);
            return Ok(());
        }
        match kind {
            Kind::Stop => self.on(lane, Node::pause).await,
            Kind::Shutdown => {
                let ended = self.on(lane, Node::stop).await;
                self.set(lane, &Fault::Refuse);
                ended
            }
            _ => {
                self.on(lane, Node::kill).await?;
                self.set(lane, &Fault::Refuse);
                Ok(())
            }
        }
    }

    async fn end(&self, lane: Lane, kind: Kind) -> Result<()> {
        if fault(lane, kind).is_none() {
            if kind == Kind::Stop {
                self.on(lane, Node::resume).await?;
            } else {
                // Clients find it while it starts, as they would without a proxy.
                self.set(lane, &Fault::Pass);
                self.on(lane, Node::start).await?;
            }
        }
        self.set(lane, &Fault::Pass);
        Ok(())
    }

    async fn open(&self, topic: &str) -> Result<()> {
        self.proxies.heal();
        self.proxies.trace().clear();
        let (cluster, topic) = (Arc::clone(&self.cluster), topic.to_owned());
        let create = move || {
            cluster.brokers().iter().try_for_each(Node::wait_ready)?;
            cluster.create_topic(&topic, QUEUES, Permission::READ_WRITE)
        };
        tokio::task::spawn_blocking(create).await?
    }

    async fn read(&self, topic: &str, at_least: usize) -> Result<Vec<Stored>> {
        let options = ReadOptions::new()
            .digest_only()
            .at_least(at_least)
            .wait(Duration::from_secs(60));
        let (cluster, reader) = (Arc::clone(&self.cluster), self.reader.clone());
        let topic = topic.to_owned();
        let read = move || {
            // A name server that was restarted knows the topic once each broker has registered again.
            cluster.brokers().iter().try_for_each(Node::wait_ready)?;
            let address = cluster.name_server_addr();
            let read = reader.read_topic_with(&address, &topic, &options)?;
            anyhow::Ok(read.iter().map(Stored::from).collect())
        };
        tokio::task::spawn_blocking(read).await?
    }

    async fn close(&self, _topic: &str) {}

    fn frames(&self, unique_key: &str) -> Vec<String> {
        let steps = self.proxies.trace().of(unique_key);
        steps.iter().map(ToString::to_string).collect()
    }
}
