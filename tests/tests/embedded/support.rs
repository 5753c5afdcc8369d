//! Clusters and patience for the tests of this program.

use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer::{Producer, ProducerBuilder};
use rocketmq_producer_embedded::{ClusterBuilder, EmbeddedCluster};

/// Nothing that is waited for here takes this long on any machine.
pub(crate) const PATIENT: Duration = Duration::from_secs(60);

/// Two brokers that create no topic by themselves.
pub(crate) fn cluster() -> ClusterBuilder {
    EmbeddedCluster::builder()
        .brokers(2)
        .auto_create_topics(false)
}

/// A producer that does not give up because the machine is busy.
pub(crate) fn builder(cluster: &EmbeddedCluster, group: &str) -> ProducerBuilder {
    Producer::builder(group)
        .name_servers(&cluster.name_servers())
        .configure(|settings| settings.send_msg_timeout(PATIENT))
}

/// Waits until a condition holds.
pub(crate) async fn until(
    cluster: &EmbeddedCluster,
    what: &str,
    condition: impl FnMut(&EmbeddedCluster) -> bool,
) -> Result<()> {
    tokio::time::timeout(PATIENT, cluster.wait_until(condition))
        .await
        .with_context(|| format!("{what}: not within {PATIENT:?}"))
}

/// Open connections to all servers of the cluster.
pub(crate) fn connections(cluster: &EmbeddedCluster) -> usize {
    let brokers = cluster.brokers().into_iter();
    let to_brokers: usize = brokers
        .map(|broker| cluster.connections(&broker.name).expect("a broker"))
        .sum();
    to_brokers + cluster.name_server_connections(0).expect("a name server")
}
