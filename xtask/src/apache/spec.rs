//! What a cluster should look like.

use super::Version;

/// How to start a [`Cluster`](super::Cluster): one name server, one broker, topics only by
/// [`create_topic`](super::Cluster::create_topic), unless said otherwise.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClusterSpec {
    /// The version of every server.
    pub version: Version,
    /// Name servers; every broker registers with each. Default 1.
    pub name_servers: usize,
    /// Master brokers, named `broker-a`, `broker-b` and so on. Default 1.
    pub brokers: usize,
    /// `autoCreateTopicEnable`: a send to an unknown topic creates it. Default off.
    pub auto_create_topics: bool,
    /// Further lines `key=value` of every broker's configuration; they win over those of the starter.
    pub broker_conf: Vec<String>,
    /// Further options of every broker's Java machine.
    pub broker_java: Vec<String>,
    /// Maximum heap of each broker in MiB. Default 512.
    pub broker_heap_mib: u32,
    /// The first name server's port, the other servers in steps of 10 above it; free ports by default.
    pub port: Option<u16>,
}

impl ClusterSpec {
    /// One name server and one broker of `version`.
    #[must_use]
    pub const fn new(version: Version) -> Self {
        Self {
            version,
            name_servers: 1,
            brokers: 1,
            auto_create_topics: false,
            broker_conf: Vec::new(),
            broker_java: Vec::new(),
            broker_heap_mib: 512,
            port: None,
        }
    }

    /// Sets [`name_servers`](Self::name_servers).
    #[must_use]
    pub const fn name_servers(mut self, count: usize) -> Self {
        self.name_servers = count;
        self
    }

    /// Sets [`brokers`](Self::brokers).
    #[must_use]
    pub const fn brokers(mut self, count: usize) -> Self {
        self.brokers = count;
        self
    }

    /// Sets [`auto_create_topics`](Self::auto_create_topics).
    #[must_use]
    pub const fn auto_create_topics(mut self, enabled: bool) -> Self {
        self.auto_create_topics = enabled;
        self
    }

    /// Adds to [`broker_conf`](Self::broker_conf).
    #[must_use]
    pub fn broker_conf(mut self, line: impl Into<String>) -> Self {
        self.broker_conf.push(line.into());
        self
    }

    /// Adds to [`broker_java`](Self::broker_java).
    #[must_use]
    pub fn broker_java(mut self, option: impl Into<String>) -> Self {
        self.broker_java.push(option.into());
        self
    }

    /// Sets [`broker_heap_mib`](Self::broker_heap_mib).
    #[must_use]
    pub const fn broker_heap_mib(mut self, mib: u32) -> Self {
        self.broker_heap_mib = mib;
        self
    }

    /// Sets [`port`](Self::port).
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }
}
