//! A soak on the embedded cluster: its fault plans, and servers that stop and start.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use rocketmq_producer::remoting::ResponseCode;
use rocketmq_producer::remoting::protocol::Permission;
use rocketmq_producer_embedded::{
    Condition, EmbeddedCluster, Fault, FaultPlan, Reaction, Registration,
};

use super::ground::BROKERS;
use super::{Ground, Kind, Lane};
use crate::oracle::Stored;

const QUEUES: u16 = 4;
const OF_BROKERS: &[Kind] = &[
    Kind::Busy,
    Kind::Cut,
    Kind::Echo,
    Kind::Garble,
    Kind::GoAway,
    Kind::HalfOpen,
    Kind::Kill,
    Kind::Slow,
    Kind::Stop,
    Kind::Swallow,
    Kind::Unavailable,
    Kind::Vanish,
];
const OF_NAME_SERVERS: &[Kind] = &[
    Kind::Cut,
    Kind::HalfOpen,
    Kind::Kill,
    Kind::Slow,
    Kind::Stop,
    Kind::Unavailable,
];

/// Two brokers and a name server in this process.
#[derive(Debug)]
pub struct Embedded {
    cluster: EmbeddedCluster,
    names: Vec<Arc<str>>,
}

impl Embedded {
    /// Starts the cluster.
    ///
    /// # Errors
    /// When it does not start.
    ///
    /// # Cancel safety
    /// Dropped midway, nothing is left behind.
    pub async fn start() -> Result<Self> {
        let cluster = EmbeddedCluster::builder()
            .brokers(BROKERS)
            .auto_create_topics(false)
            .start()
            .await?;
        let names = cluster.brokers().into_iter().map(|broker| broker.name);
        Ok(Self {
            names: names.collect(),
            cluster,
        })
    }

    fn name(&self, lane: Lane) -> Result<Option<&str>> {
        match lane {
            Lane::NameServers => Ok(None),
            Lane::Broker(index) => {
                let name = self.names.get(index).context("no such broker")?;
                Ok(Some(name))
            }
        }
    }

    fn plan(&self, lane: Lane) -> Result<FaultPlan> {
        Ok(match self.name(lane)? {
            Some(broker) => self.cluster.faults(broker)?,
            None => self.cluster.name_server_faults(0)?,
        })
    }
}

/// What happens to requests; kinds that concern the whole server have none.
fn faults(kind: Kind, all: &Condition) -> Vec<Fault> {
    let sends = Condition::sends();
    let refused = |code, remark: &str| Fault::new(all.clone(), Reaction::answer(code, remark));
    match kind {
        Kind::Busy => vec![refused(
            ResponseCode::SYSTEM_BUSY,
            "[TIMEOUT_CLEAN_QUEUE]broker busy",
        )],
        Kind::Unavailable => {
            vec![refused(
                ResponseCode::SERVICE_NOT_AVAILABLE,
                "service not available now",
            )]
        }
        Kind::Cut => vec![
            Fault::new(all.clone(), Reaction::CloseAfter).times(3),
            Fault::new(all.clone(), Reaction::CloseBefore).times(3),
        ],
        Kind::Echo => vec![
            Fault::new(sends.clone(), Reaction::Duplicate).times(10),
            Fault::new(sends, Reaction::StrayResponse).times(10),
        ],
        Kind::Garble => {
            let bytes = Bytes::from_static(b"\x00\x00\x00\x10neither this nor that");
            vec![Fault::new(sends, Reaction::Garbage(bytes)).times(3)]
        }
        Kind::GoAway => vec![Fault::new(sends, Reaction::go_away())],
        Kind::HalfOpen => vec![Fault::new(Condition::any(), Reaction::Discard)],
        Kind::Slow => vec![Fault::new(
            all.clone(),
            Reaction::Delay(Duration::from_millis(150)),
        )],
        Kind::Stop => vec![Fault::new(Condition::any(), Reaction::Stall)],
        Kind::Swallow => vec![Fault::new(sends, Reaction::Swallow).times(5)],
        Kind::Kill | Kind::Shutdown | Kind::Vanish => Vec::new(),
    }
}

#[async_trait]
impl Ground for Embedded {
    fn name_servers(&self) -> String {
        self.cluster.name_servers()
    }

    fn of_brokers(&self) -> &'static [Kind] {
        OF_BROKERS
    }

    fn of_name_servers(&self) -> &'static [Kind] {
        OF_NAME_SERVERS
    }

    async fn begin(&self, lane: Lane, kind: Kind) -> Result<()> {
        match (self.name(lane)?, kind) {
            (Some(broker), Kind::Kill) => self.cluster.stop_broker(broker).await?,
            (Some(broker), Kind::Vanish) => self.cluster.stop_broker_unnoticed(broker).await?,
            (None, Kind::Kill) => self.cluster.stop_name_server(0).await?,
            (broker, kind) => {
                let all = broker.map_or_else(Condition::any, |_| Condition::sends());
                let plan = self.plan(lane)?;
                for fault in faults(kind, &all) {
                    plan.arm(fault);
                }
            }
        }
        Ok(())
    }

    async fn end(&self, lane: Lane, kind: Kind) -> Result<()> {
        self.plan(lane)?.clear();
        match (self.name(lane)?, kind) {
            (Some(broker), Kind::Kill | Kind::Vanish) => self.cluster.start_broker(broker).await?,
            (None, Kind::Kill) => {
                let registration = Registration::AtOnce;
                self.cluster.start_name_server(0, registration).await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn open(&self, topic: &str) -> Result<()> {
        let permission = Permission(Permission::READ.0 | Permission::WRITE.0);
        self.cluster.create_topic(topic, QUEUES, permission);
        Ok(())
    }

    async fn read(&self, topic: &str, _at_least: usize) -> Result<Vec<Stored>> {
        let stored = self.cluster.messages(topic);
        Ok(stored.iter().map(Stored::from).collect())
    }

    async fn close(&self, topic: &str) {
        self.cluster.delete_topic(topic);
    }

    fn frames(&self, _unique_key: &str) -> Vec<String> {
        Vec::new()
    }
}
