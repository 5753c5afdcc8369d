//! `rocketmq-producer doctor` at real brokers that are set up wrong, each in its way.

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use rocketmq_producer::remoting::protocol::{Permission, TopicConfig};
use rocketmq_producer::{Admin, TopicTarget};
use rocketmq_producer_tests::command;
use serde_json::Value;
use xtask::apache::Version;

use crate::clusters::{Apache, end, promise};

/// What the command says of a topic.
#[derive(Debug)]
pub(crate) struct Diagnosis {
    status: Option<i32>,
    report: Value,
}

impl Diagnosis {
    /// The diagnosis of `topic` with settings as a file has them.
    pub(crate) fn of(name_servers: &str, topic: &str, settings: &str) -> Result<Self> {
        let (status, report) = command::doctor(name_servers, topic, settings)?;
        Ok(Self { status, report })
    }

    pub(crate) fn says(&self, status: i32, cause: &str) -> Result<()> {
        ensure!(
            self.status == Some(status) && self.report["cause"] == cause,
            "not {cause} ({status}): {self:#?}"
        );
        Ok(())
    }

    pub(crate) fn finds_nothing(&self) -> Result<()> {
        ensure!(self.status == Some(0), "{self:#?}");
        Ok(())
    }
}

fn unused_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

async fn topic(admin: &Admin, name: &str, change: impl FnOnce(&mut TopicConfig)) -> Result<()> {
    let mut config = TopicConfig::new(name, 2);
    change(&mut config);
    let made = admin
        .create_topic(&config, &TopicTarget::Everywhere)
        .await?;
    ensure!(made.failed.is_empty(), "{:?}", made.failed);
    Ok(())
}

promise!(each_broken_set_up_is_told_by_its_cause: on_5_5_0, on_4_9_7);

async fn each_broken_set_up_is_told_by_its_cause(apache: &'static Apache) -> Result<()> {
    let sound = "doctor_sound";
    let name_servers = apache.name_servers();
    let producer = apache.producer("doctor").await?;
    let admin = producer.admin();
    let patience = std::time::Duration::from_secs(30);
    topic(&admin, sound, |_| {}).await?;
    producer.wait_for_topic(sound, patience).await?;
    Diagnosis::of(&name_servers, sound, "")?.finds_nothing()?;
    ensure!(
        admin
            .topic_status(sound)
            .await?
            .queues
            .iter()
            .all(|queue| queue.max_offset == 0)
    );

    // The name server: its port, and that of a broker.
    let dead = format!("127.0.0.1:{}", unused_port()?);
    Diagnosis::of(&dead, sound, "")?.says(4, "name_server_unreachable")?;
    let broker = apache.cluster.brokers().first().context("a broker")?;
    Diagnosis::of(broker.address(), sound, "")?.says(6, "not_a_name_server")?;
    // A server that was told nothing of TLS offers a certificate that nobody signed.
    Diagnosis::of(&name_servers, sound, "tls = true")?.says(5, "tls_failed")?;

    // The topic.
    let creates = apache.cluster.version() == Version::V5_5_0;
    let cause = if creates {
        "topic_not_created_yet"
    } else {
        "topic_missing"
    };
    Diagnosis::of(&name_servers, "doctor_nosuch", "")?.says(8, cause)?;
    let closed = "doctor_readonly";
    topic(&admin, closed, |config| config.perm = Permission::READ).await?;
    visible(&admin, closed).await?;
    Diagnosis::of(&name_servers, closed, "")?.says(9, "not_writable")?;

    // A broker whose address leads elsewhere from here, as behind NAT.
    let map = format!("address_map = \"{}={dead}\"", broker.address());
    Diagnosis::of(&name_servers, sound, &map)?.says(10, "broker_unreachable")?;

    if apache.cluster.brokers().len() > 1 {
        let uneven = "doctor_uneven";
        let target = TopicTarget::Broker(broker.name().to_owned());
        admin
            .create_topic(&TopicConfig::new(uneven, 2), &target)
            .await?;
        visible(&admin, uneven).await?;
        Diagnosis::of(&name_servers, uneven, "")?.says(12, "uneven_queues")?;
    }
    end(&producer).await.map(drop)
}

/// Waits until a name server has a route, writable or not.
async fn visible(admin: &Admin, topic: &str) -> Result<()> {
    let asking = async {
        while admin.route(topic).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let patience = std::time::Duration::from_secs(30);
    tokio::time::timeout(patience, asking)
        .await
        .context("no route")
}
