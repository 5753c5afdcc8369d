//! A cluster that rows are tried on, producers that fit it, and Apache's client to look at it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rocketmq_producer::config::ProducerConfigBuilder;
use rocketmq_producer::{Producer, ProducerBuilder};
use tokio::time::{Instant, sleep};
use xtask::apache::{
    Cluster, Node, Permission, ProducerConnection, ReadMessage, ReadOptions, Reader, ServerTls,
    Version, ask,
};
use xtask::wait;

use super::Column;
use crate::accounts;
use crate::authority::{Authority, Signed, Validity, text};

/// `UPDATE_AND_CREATE_TOPIC`, sent to a broker.
const CREATE_TOPIC: i32 = 17;
/// `GET_ROUTEINFO_BY_TOPIC`, sent to a name server.
const TOPIC_ROUTE: i32 = 105;
/// `GET_BROKER_HA_STATUS`, sent to a master.
const HA_STATUS: i32 = 907;
/// Two processors run Java machines and rows: no send may fail for want of time.
pub(super) const PATIENT: Duration = Duration::from_secs(20);
/// Within this an effect is seen by another process.
pub(super) const SOON: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(150);

/// A running cluster.
#[derive(Debug)]
pub struct Ground {
    column: Column,
    cluster: Cluster,
    reader: Reader,
    /// What servers and clients show each other, where servers speak TLS.
    files: Option<Files>,
}

/// An authority, and the certificate that it has signed for servers and clients alike.
#[derive(Debug)]
struct Files {
    authority: Authority,
    own: Signed,
}

impl Ground {
    /// Boots the column's cluster and waits until it is ready for everything.
    ///
    /// # Errors
    /// When a server or Apache's client does not start.
    pub fn boot(column: Column) -> Result<Self> {
        let mut spec = column.spec();
        let mut reader = Reader::new(spec.version)?;
        let mut files = None;
        if column == Column::Tls {
            let ours = Authority::new("ours")?;
            let own = ours.sign("own", &["127.0.0.1"], Validity::Now)?;
            spec = spec.tls(&ServerTls::new(&own.cert, &own.key, ours.ca()).client_auth(true));
            reader = reader.with_java(client_java(&ours, &own));
            files = Some(Files {
                authority: ours,
                own,
            });
        }
        if column.checks_access() {
            let (access_key, secret_key) = accounts::SUPER;
            spec = spec.acl(access_key, secret_key, accounts::FILE);
            reader = reader.with_credentials(access_key, secret_key);
        }
        let reader = reader.in_one_process()?;
        let cluster = Cluster::start(&spec)?;
        let ground = Self {
            column,
            cluster,
            reader,
            files,
        };
        if column.checks_access() {
            let brokers: Vec<&str> = ground.brokers().iter().map(Node::address).collect();
            accounts::create(&ground.reader, column.version(), &brokers)?;
        }
        if column == Column::SyncSlave {
            ground.wait_for_slave()?;
        }
        Ok(ground)
    }

    /// A master without its slave refuses to say `SEND_OK`.
    pub(super) fn wait_for_slave(&self) -> Result<()> {
        let master = self.brokers().first().context("a master")?.address();
        let in_sync = || {
            let answer = ask(master, HA_STATUS, &[], PATIENT).ok()?;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            text.contains("\"inSync\":true").then_some(())
        };
        wait::until(SOON, in_sync).context("the slave does not follow its master")
    }

    /// Which cluster it is.
    #[must_use]
    pub const fn column(&self) -> Column {
        self.column
    }

    /// The version of every server.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.column.version()
    }

    /// The masters.
    #[must_use]
    pub fn brokers(&self) -> &[Node] {
        self.cluster.brokers()
    }

    /// The servers.
    #[must_use]
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What a producer is given as its name servers.
    #[must_use]
    pub fn name_servers(&self) -> String {
        match self.cluster.proxy() {
            Some(proxy) => proxy.address().to_owned(),
            None => self.cluster.name_server_addr(),
        }
    }

    /// Where Apache's client looks, past any proxy.
    #[must_use]
    pub fn direct(&self) -> String {
        self.cluster.name_server_addr()
    }

    /// The certificate of the authority that signed the servers', where servers speak TLS.
    pub(super) fn ca(&self) -> Option<PathBuf> {
        self.files.as_ref().map(|files| files.authority.ca())
    }

    /// A producer that has all that the cluster asks for.
    pub fn builder(&self, group: &str) -> ProducerBuilder {
        let builder = self.unencrypted(group);
        self.encrypted(builder)
    }

    /// The same builder, in TLS with all that servers ask for, where they speak it.
    pub(super) fn encrypted(&self, builder: ProducerBuilder) -> ProducerBuilder {
        builder.configure(|settings| self.shown(self.trusting(settings)))
    }

    /// Settings of TLS without a certificate of the client's own, where servers speak it.
    pub(super) fn trusting(&self, settings: ProducerConfigBuilder) -> ProducerConfigBuilder {
        match self.ca() {
            Some(ca) => settings.tls(true).tls_ca(text(&ca)),
            None => settings,
        }
    }

    /// The settings with the client's own certificate, where servers ask for one.
    pub(super) fn shown(&self, settings: ProducerConfigBuilder) -> ProducerConfigBuilder {
        match &self.files {
            Some(Files { own, .. }) => settings.tls_cert(text(&own.cert)).tls_key(text(&own.key)),
            None => settings,
        }
    }

    /// All that the cluster asks for, as a file of settings has it.
    pub(super) fn settings(&self) -> String {
        let mut lines = vec!["send_msg_timeout = \"20s\"".to_owned()];
        if self.column.checks_access() {
            let (access_key, secret_key) = accounts::SUPER;
            lines.push(format!("access_key = \"{access_key}\""));
            lines.push(format!("secret_key = \"{secret_key}\""));
        }
        if let Some(Files { authority, own }) = &self.files {
            lines.push("tls = true".to_owned());
            lines.push(format!("tls_ca = \"{}\"", text(&authority.ca())));
            lines.push(format!("tls_cert = \"{}\"", text(&own.cert)));
            lines.push(format!("tls_key = \"{}\"", text(&own.key)));
        }
        lines.join("\n")
    }

    /// The same, in plain text.
    pub(super) fn unencrypted(&self, group: &str) -> ProducerBuilder {
        let builder = self.unsigned(group);
        if self.column.checks_access() {
            builder.credentials(accounts::SUPER.0, accounts::SUPER.1)
        } else {
            builder
        }
    }

    /// A producer without credentials, in plain text.
    pub(super) fn unsigned(&self, group: &str) -> ProducerBuilder {
        Producer::builder(group)
            .name_servers(&self.name_servers())
            .configure(|settings| settings.send_msg_timeout(PATIENT))
    }

    /// Calls Apache's client on a thread where it may block.
    pub(super) async fn java<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&Self, &Reader) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let ground = Arc::clone(self);
        tokio::task::spawn_blocking(move || call(&ground, &ground.reader)).await?
    }

    /// Another version's client, with all that the cluster asks for.
    pub(super) fn fitted(&self, reader: Reader) -> Reader {
        let reader = match &self.files {
            Some(Files { authority, own }) => reader.with_java(client_java(authority, own)),
            None => reader,
        };
        if self.column.checks_access() {
            reader.with_credentials(accounts::SUPER.0, accounts::SUPER.1)
        } else {
            reader
        }
    }

    /// Does something to a server on a thread where it may block.
    pub(super) async fn with_broker<T: Send + 'static>(
        self: &Arc<Self>,
        index: usize,
        call: impl FnOnce(&Node) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let ground = Arc::clone(self);
        let work = move || call(ground.brokers().get(index).context("no such broker")?);
        tokio::task::spawn_blocking(work).await?
    }

    /// Creates a topic for messages of every kind, with so many queues on each master, and waits until it is in the
    /// route.
    pub(super) async fn topic(self: &Arc<Self>, topic: &str, queues: u32) -> Result<()> {
        // The proxy takes only what the topic is for. Brokers do not look at it.
        let attributes = match self.column {
            Column::Proxy => "+message.type=MIXED",
            _ => "",
        };
        self.topic_with(topic, queues, Permission::READ_WRITE, attributes)
            .await
    }

    /// Likewise, with a permission, and topic attributes of 5.x.
    pub(super) async fn topic_with(
        self: &Arc<Self>,
        topic: &str,
        queues: u32,
        permission: Permission,
        attributes: &str,
    ) -> Result<()> {
        let (topic, attributes) = (topic.to_owned(), attributes.to_owned());
        self.java(move |ground, java| {
            let queues = queues.to_string();
            let permission = permission.0.to_string();
            let mut fields = vec![
                ("topic", topic.as_str()),
                ("defaultTopic", "TBW102"),
                ("readQueueNums", &queues),
                ("writeQueueNums", &queues),
                ("perm", &permission),
                ("topicFilterType", "SINGLE_TAG"),
                ("topicSysFlag", "0"),
                ("order", "false"),
            ];
            if !attributes.is_empty() {
                fields.push(("attributes", &attributes));
            }
            for broker in ground.brokers() {
                java.ask(broker.address(), CREATE_TOPIC, &fields, "")
                    .with_context(|| format!("cannot create {topic} on {}", broker.name()))?;
            }
            ground.wait_in_route(java, &topic)
        })
        .await
    }

    fn wait_in_route(&self, java: &Reader, topic: &str) -> Result<()> {
        let shows = || {
            let route = java
                .ask(&self.direct(), TOPIC_ROUTE, &[("topic", topic)], "")
                .ok()?;
            let has = |broker: &Node| route.contains(&format!("\"{}\"", broker.name()));
            self.brokers().iter().all(has).then_some(())
        };
        wait::until(SOON, shows).with_context(|| format!("no route of {topic}"))
    }

    /// All messages of a topic as Apache's consumer sees them, once there are so many.
    pub(super) async fn read(
        self: &Arc<Self>,
        topic: &str,
        at_least: usize,
    ) -> Result<Vec<ReadMessage>> {
        self.read_within(topic, at_least, SOON).await
    }

    /// Likewise, but what is there after `patience` is given back even if it is too little.
    pub(super) async fn read_within(
        self: &Arc<Self>,
        topic: &str,
        at_least: usize,
        patience: Duration,
    ) -> Result<Vec<ReadMessage>> {
        let deadline = Instant::now() + patience;
        loop {
            // Looked at anew instead of waited for in there: the one Java process serves all rows.
            let name = topic.to_owned();
            let options = ReadOptions::new().wait(Duration::from_secs(5));
            let read = self
                .java(move |ground, java| java.read_topic_with(&ground.direct(), &name, &options))
                .await?;
            if read.len() >= at_least || Instant::now() >= deadline {
                return Ok(read);
            }
            sleep(PAUSE).await;
        }
    }

    /// The producers of a group that the topic's brokers know.
    pub(super) async fn producers(
        self: &Arc<Self>,
        group: &str,
        topic: &str,
    ) -> Result<Vec<ProducerConnection>> {
        let (group, topic) = (group.to_owned(), topic.to_owned());
        self.java(move |ground, java| java.producer_connections(&ground.direct(), &group, &topic))
            .await
    }
}

/// Options of a Java machine whose clients show a certificate.
fn client_java(authority: &Authority, own: &Signed) -> Vec<String> {
    let mut options = ServerTls::client_java(&authority.ca());
    for (option, file) in [("keyPath", &own.key), ("certPath", &own.cert)] {
        options.push(format!("-Dtls.client.{option}={}", file.display()));
    }
    options
}

/// Ends a producer and expects that nothing was left undone.
pub(super) async fn end(producer: &Producer) -> Result<()> {
    let report = producer.shutdown(PATIENT).await;
    ensure!(report.is_drained(), "{report:?}");
    Ok(())
}
