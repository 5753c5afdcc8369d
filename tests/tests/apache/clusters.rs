//! The clusters that the tests share, and producers for them.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rocketmq_producer::config::ProducerConfigBuilder;
use rocketmq_producer::{Producer, ProducerBuilder, ShutdownReport};
use serde_json::Value;
use xtask::apache::{
    Cluster, ClusterSpec, Permission, ReadMessage, ReadOptions, Reader, Version, ask, require,
};

/// `GET_PRODUCER_CONNECTION_LIST`, sent to a broker.
const PRODUCER_CONNECTIONS: i32 = 204;
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// Two processors run four Java machines and the tests: no send may fail for want of time.
const PATIENT: Duration = Duration::from_secs(20);

/// The fields of `UPDATE_AND_CREATE_TOPIC` for a topic of four queues, for clusters that only their own client may ask.
pub(crate) const fn topic_fields(topic: &str) -> [(&str, &str); 8] {
    [
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "4"),
        ("writeQueueNums", "4"),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
    ]
}

/// A running cluster and Apache's client of the same version.
#[derive(Debug)]
pub(crate) struct Apache {
    pub(crate) cluster: Cluster,
    pub(crate) reader: Reader,
}

/// Declares one test per version: `promise!(what_is_promised: on_5_5_0, on_4_9_7)` runs the function
/// `what_is_promised` on each.
macro_rules! promise {
    ($name:ident: $($version:ident),+) => {
        mod $name {
            $(
                #[test]
                fn $version() -> anyhow::Result<()> {
                    let test = concat!(module_path!(), "::", stringify!($version));
                    crate::clusters::run(test, crate::clusters::$version(), super::$name)
                }
            )+
        }
    };
}
pub(crate) use promise;

/// Two brokers, which create topics on demand.
pub(crate) fn on_5_5_0() -> ClusterSpec {
    spec(Version::V5_5_0)
        .brokers(2)
        .auto_create_topics(true)
        // Light queues, which nothing uses that does not name them.
        .broker_conf("enableLmq=true")
        .broker_conf("enableMultiDispatch=true")
}

/// One broker, which creates no topic by itself.
pub(crate) fn on_4_9_7() -> ClusterSpec {
    spec(Version::V4_9_7)
}

/// One broker, which tests may kill if they start it again: they run one at a time.
pub(crate) fn on_5_1_4() -> ClusterSpec {
    spec(Version::V5_1_4)
}

fn spec(version: Version) -> ClusterSpec {
    ClusterSpec::new(version)
        .broker_heap_mib(384)
        // On a busy machine a broker sheds load after 200 ms, one-way messages without a word.
        .broker_conf("waitTimeMillsInSendQueue=15000")
        .broker_conf("osPageCacheBusyTimeOutMills=15000")
        .broker_conf("traceTopicEnable=true")
        // Transactions are asked for within seconds.
        .broker_conf("transactionCheckInterval=3000")
        .broker_conf("transactionTimeOut=3000")
}

/// Runs a test's function on the shared cluster, or notes that it had to be skipped.
pub(crate) fn run<F: Future<Output = Result<()>>>(
    test: &str,
    spec: ClusterSpec,
    body: impl FnOnce(&'static Apache) -> F,
) -> Result<()> {
    let Some(()) = require(test) else {
        return Ok(());
    };
    static ALONE: Mutex<()> = Mutex::new(());
    let one_at_a_time = spec.version == Version::V5_1_4;
    let _turn = one_at_a_time.then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner));
    let apache = shared(&spec)?;
    block_on(body(apache))
}

/// Runs a future on a runtime of its own. Its workers go on while the future blocks in a call of Apache's client.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(future)
}

/// The cluster of a version, never dropped: it ends with the process, however that ends.
fn shared(spec: &ClusterSpec) -> Result<&'static Apache> {
    static CLUSTERS: [OnceLock<Result<Apache, String>>; 3] = [const { OnceLock::new() }; 3];
    let place = Version::ALL.iter().position(|v| *v == spec.version);
    let cell = &CLUSTERS[place.context("a known version")?];
    // A cluster that does not start is not tried again by every test.
    cell.get_or_init(|| Apache::start(spec).map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow!("no cluster of {}: {error}", spec.version))
}

impl Apache {
    fn start(spec: &ClusterSpec) -> Result<Self> {
        Ok(Self {
            reader: Reader::new(spec.version)?,
            cluster: Cluster::start(spec)?,
        })
    }

    pub(crate) fn name_servers(&self) -> String {
        self.cluster.name_server_addr()
    }

    /// Creates a topic with `queues` queues in all, spread evenly over the brokers.
    pub(crate) fn topic(&self, topic: &str, queues: u32) -> Result<()> {
        let brokers = u32::try_from(self.cluster.brokers().len())?;
        ensure!(
            queues.is_multiple_of(brokers),
            "{queues} queues on {brokers} brokers"
        );
        self.cluster
            .create_topic(topic, queues / brokers, Permission::READ_WRITE)
    }

    /// A producer with the name servers and a patient timeout set.
    pub(crate) fn builder(&self, group: &str) -> ProducerBuilder {
        Producer::builder(group)
            .name_servers(&self.name_servers())
            .configure(|settings| settings.send_msg_timeout(PATIENT))
    }

    pub(crate) async fn producer(&self, group: &str) -> Result<Producer> {
        Ok(self.builder(group).start().await?)
    }

    pub(crate) async fn producer_with(
        &self,
        group: &str,
        change: impl FnOnce(ProducerConfigBuilder) -> ProducerConfigBuilder,
    ) -> Result<Producer> {
        Ok(self.builder(group).configure(change).start().await?)
    }

    /// All messages of a topic with their bodies, once there are at least so many.
    pub(crate) fn read(&self, topic: &str, at_least: usize) -> Result<Vec<ReadMessage>> {
        self.read_with(topic, &ReadOptions::new().at_least(at_least))
    }

    pub(crate) fn read_with(&self, topic: &str, options: &ReadOptions) -> Result<Vec<ReadMessage>> {
        let options = options.clone().wait(Duration::from_secs(30));
        self.reader
            .read_topic_with(&self.name_servers(), topic, &options)
    }

    /// The client ids that each broker lists for a group at this moment, by the broker's address.
    pub(crate) fn listed(&self, group: &str) -> Result<Vec<(String, Vec<String>)>> {
        let of = |address: &str| -> Result<Vec<String>> {
            let fields = [("producerGroup", group)];
            let answer = ask(address, PRODUCER_CONNECTIONS, &fields, ASK_TIMEOUT)?;
            if answer.code != 0 {
                let remark = answer.remark.unwrap_or_default();
                ensure!(remark.contains("not exist"), "{}: {remark}", answer.code);
                return Ok(Vec::new());
            }
            let list: Value = serde_json::from_slice(&answer.body)?;
            let connections = list["connectionSet"].as_array().context("a list")?;
            let ids = connections.iter().filter_map(|c| c["clientId"].as_str());
            Ok(ids.map(str::to_owned).collect())
        };
        let brokers = self.cluster.brokers().iter();
        brokers
            .map(|broker| Ok((broker.address().to_owned(), of(broker.address())?)))
            .collect()
    }

    /// The addresses of the brokers that list exactly this client for a group at this moment.
    pub(crate) fn brokers_that_list(&self, group: &str, client_id: &str) -> Result<Vec<String>> {
        let listed = self.listed(group)?.into_iter();
        Ok(listed
            .filter(|(_, ids)| *ids == [client_id])
            .map(|(address, _)| address)
            .collect())
    }

    pub(crate) fn broker_addresses(&self) -> Vec<String> {
        let brokers = self.cluster.brokers().iter();
        brokers.map(|broker| broker.address().to_owned()).collect()
    }
}

/// Shuts a producer down and expects that nothing was left undone.
pub(crate) async fn end(producer: &Producer) -> Result<ShutdownReport> {
    let report = producer.shutdown(PATIENT).await;
    ensure!(report.is_drained(), "{report:?}");
    Ok(report)
}
